"""What the status of a Job and of its pods means."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from platform_pipelines.gateways.cluster.jobs import indexes, job_state, pod_end


@pytest.mark.parametrize(
    ("text", "numbers"), [("", set[int]()), ("3", {3}), ("0-2,5", {0, 1, 2, 5}), ("7,9-9", {7, 9})]
)
def test_indexes_as_kubernetes_writes_them(text: str, numbers: set[int]) -> None:
    """Runs of numbers, and single ones."""
    assert indexes(text) == numbers


@given(st.sets(st.integers(0, 300)))
def test_indexes_of_any_set(numbers: set[int]) -> None:
    """Written one by one they mean the same."""
    assert indexes(",".join(str(n) for n in sorted(numbers))) == numbers


def job(*conditions: dict[str, str], suspend: bool = False, **status: Any) -> dict[str, Any]:
    return {"spec": {"suspend": suspend}, "status": {"conditions": list(conditions), **status}}


def test_a_suspended_job_waits_and_has_not_failed() -> None:
    """Kueue owns `suspend`: a Job in its queue is no error."""
    state = job_state(job({"type": "Suspended", "status": "True"}, suspend=True))
    assert state.suspended
    assert not state.ended
    assert state.reason == ""


def test_a_failed_job_says_why() -> None:
    """And which of its indexes were done before that."""
    failed = {"type": "Failed", "status": "True", "reason": "DeadlineExceeded"}
    target = {"type": "FailureTarget", "status": "True", "reason": "PodFailurePolicy"}
    state = job_state(job(target, failed, completedIndexes="0-1", failedIndexes="2", active=0))
    assert (state.ended, state.reason) == (True, "DeadlineExceeded")
    assert (state.succeeded, state.failed) == ({0, 1}, {2})


def test_a_condition_that_is_not_true_says_nothing() -> None:
    """A Job that was about to fail and goes on has not ended."""
    assert not job_state(job({"type": "Failed", "status": "False"})).ended


def pod(**status: Any) -> dict[str, Any]:
    index = {"batch.kubernetes.io/job-completion-index": "4"}
    return {"metadata": {"annotations": index}, "status": status}


@pytest.mark.parametrize(
    ("status", "exit_code", "reason", "waiting"),
    [
        (
            {"containerStatuses": [{"state": {"terminated": {"exitCode": 65, "reason": "Error"}}}]},
            65, "Error", "",
        ),
        (
            {"containerStatuses": [{"state": {"terminated": {"exitCode": 137,
                                                             "reason": "OOMKilled"}}}]},
            137, "OOMKilled", "",
        ),
        (
            {"containerStatuses": [{"state": {"waiting": {"reason": "ImagePullBackOff"}}}]},
            None, "", "ImagePullBackOff",
        ),
        (
            {"conditions": [{"type": "PodScheduled", "status": "False", "message": "no nodes"}]},
            None, "", "Unschedulable: no nodes",
        ),
        ({"reason": "Evicted"}, None, "Evicted", ""),
        ({}, None, "", ""),
    ],
)  # fmt: skip
def test_how_a_pod_ended_or_why_it_does_not_start(
    status: dict[str, Any], exit_code: int | None, reason: str, waiting: str
) -> None:
    """Each is told in the words of Kubernetes, under the index of its task."""
    end = pod_end(pod(**status))
    assert end is not None
    assert (end.index, end.exit_code, end.reason, end.waiting) == (4, exit_code, reason, waiting)


OUT_OF_MEMORY = {"exitCode": 137, "reason": "OOMKilled", "message": "loading weights"}


def sidecar(**more: Any) -> list[dict[str, Any]]:
    return [{"name": "engine", "started": False, "restartCount": 0, "state": {}, **more}]


def test_an_engine_is_read_while_its_pod_lives() -> None:
    """The pod says `Running` whatever its engine does; how that ended stands in its last state."""
    again = sidecar(
        state={"running": {}}, lastState={"terminated": OUT_OF_MEMORY}, restartCount=1, started=True
    )
    end = pod_end(pod(phase="Running", initContainerStatuses=again))
    assert end is not None
    assert end.engine is not None
    seen = end.engine
    assert (seen.runs, seen.started, seen.restarts) == (True, True, 1)
    assert (seen.reason, seen.exit_code, seen.message) == ("OOMKilled", 137, "loading weights")


def test_how_long_an_engine_lived_is_read_from_its_last_end() -> None:
    """Whoever is ended for being late has lived as long as it was given."""
    times = {"startedAt": "2026-11-27T10:00:50Z", "finishedAt": "2026-11-27T10:02:00Z"}
    late = {"exitCode": 0, "reason": "Completed", **times}
    again = sidecar(state={"running": {}}, lastState={"terminated": late}, restartCount=1)
    end = pod_end(pod(phase="Pending", initContainerStatuses=again))
    assert end is not None
    assert end.engine is not None
    assert end.engine.lived == 70.0


@pytest.mark.parametrize("phase", ["Succeeded", "Failed"])
def test_an_engine_of_a_pod_that_ended_says_nothing(phase: str) -> None:
    """It was ended with the pod: its exit code is no failure."""
    ended = sidecar(state={"terminated": {"exitCode": 137, "reason": "Error"}})
    end = pod_end(pod(phase=phase, initContainerStatuses=ended))
    assert end is not None
    assert end.engine is None


def test_an_engine_without_an_image_is_why_the_pod_waits() -> None:
    """The worker's own container only waits for it."""
    worker = [{"state": {"waiting": {"reason": "PodInitializing"}}}]
    waits = sidecar(state={"waiting": {"reason": "ImagePullBackOff"}})
    end = pod_end(pod(phase="Pending", initContainerStatuses=waits, containerStatuses=worker))
    assert end is not None
    assert end.waiting == "ImagePullBackOff"


def test_a_pod_of_another_kind_is_none_of_ours() -> None:
    """It has no index of a task."""
    assert pod_end({"metadata": {}, "status": {}}) is None
