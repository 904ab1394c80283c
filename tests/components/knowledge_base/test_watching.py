"""The sensor: asks for a refresh when the source changed, and again when that refresh failed."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import dagster as dg
import pytest

from platform_pipelines.components.knowledge_base.automation import build_refresh_job
from platform_pipelines.components.knowledge_base.policy import (
    REFRESH_ATTEMPTS,
    REQUEST_TAG,
    job_tags,
    retry_seconds,
)
from platform_pipelines.components.knowledge_base.watching import Request, build_sensor
from platform_pipelines.errors import SourceNotFoundError
from tests.declared import definitions_of, resources_of
from tests.fakes import FakeClock
from tests.knowledge import Knowledge


def sensor_context(
    knowledge: Knowledge, instance: dg.DagsterInstance, cursor: str | None
) -> dg.SensorEvaluationContext:
    """A tick's context, with the platform's resources."""
    resources = resources_of(knowledge.settings)
    return dg.build_sensor_context(instance=instance, cursor=cursor, resources=resources)


def watch(knowledge: Knowledge, cursor: str | None) -> Any:
    """One tick of the sensor."""
    with definitions_of(knowledge) as defs:
        sensor = defs.get_repository_def().get_sensor_def(f"{knowledge.name}_watch")
        with dg.DagsterInstance.ephemeral() as instance:
            context = sensor_context(knowledge, instance, cursor)
            return sensor.evaluate_tick(context)


def test_the_sensor_asks_for_a_run_when_a_document_changed(knowledge: Knowledge) -> None:
    """One run per state of the source; none while nothing changes; one again after a deletion."""
    first = watch(knowledge, None)
    assert len(first.run_requests) == 1
    again = watch(knowledge, first.cursor)
    assert again.run_requests == []
    assert "no document" in again.skip_message
    (knowledge.documents / "guide0.md").unlink()
    after = watch(knowledge, first.cursor)
    assert [one.run_key for one in after.run_requests] != [
        one.run_key for one in first.run_requests
    ]
    assert after.run_requests[0].tags["platform/knowledge_base"] == knowledge.name


def test_the_sensor_notes_what_it_saw_of_the_source(knowledge: Knowledge) -> None:
    """The lineage begins at the source, and shows when it changed."""
    (seen,) = watch(knowledge, None).asset_events
    assert seen.asset_key == dg.AssetKey([knowledge.name, "source"])
    assert watch(knowledge, None).asset_events[0].tags == seen.tags
    (knowledge.documents / "guide0.md").unlink()
    assert watch(knowledge, None).asset_events[0].tags != seen.tags


def test_the_sensor_tells_what_is_wrong_with_the_source(
    make_knowledge: Callable[..., Knowledge],
) -> None:
    """A folder that was unmounted must show as a failed tick, not as a run that deletes all."""
    knowledge = make_knowledge(source={"url": "gone", "shards": 2})
    with pytest.raises(SourceNotFoundError, match="no such folder"):
        watch(knowledge, None)


@dataclass
class Watched:
    """A sensor on an instance of its own, whose runs a test lets succeed or fail."""

    knowledge: Knowledge
    instance: dg.DagsterInstance
    clock: FakeClock
    cursor: str | None = None

    def tick(self) -> Any:
        """One tick, and the cursor that it leaves."""
        spec = self.knowledge.spec
        sensor = build_sensor(spec, build_refresh_job(spec), clock=self.clock)
        seen = sensor.evaluate_tick(sensor_context(self.knowledge, self.instance, self.cursor))
        self.cursor = seen.cursor or self.cursor
        return seen

    def ran(self, status: dg.DagsterRunStatus, *, by_sensor: bool = True) -> str:
        """A run of the job, as the daemon or a person launches it, in this state."""
        name, tags = self.knowledge.name, job_tags(self.knowledge.spec)
        if by_sensor:
            tags = {**tags, REQUEST_TAG: str(self.cursor)}
        run = dg.DagsterRun(job_name=f"{name}_refresh", tags=tags, status=status)
        self.instance.add_run(run)
        if status is dg.DagsterRunStatus.FAILURE:
            self.instance.report_run_failed(run)
        self.clock = FakeClock(datetime.now(UTC))  # the instance stamps runs by its own clock
        return run.run_id

    def failed(self) -> str:
        return self.ran(dg.DagsterRunStatus.FAILURE)

    def wait(self, seconds: float) -> None:
        self.clock.advance(seconds)


@pytest.fixture
def watched(knowledge: Knowledge) -> Iterator[Watched]:
    """A sensor that has asked for its first run."""
    with dg.DagsterInstance.ephemeral() as instance:
        one = Watched(knowledge, instance, FakeClock(datetime.now(UTC)))
        assert len(one.tick().run_requests) == 1
        yield one


def test_a_failed_refresh_is_asked_for_again_after_a_while(watched: Watched) -> None:
    """The cursor has moved on: without this the documents wait for the next change, or for ever."""
    first, run = watched.cursor, watched.failed()
    soon = watched.tick()
    assert soon.run_requests == []
    assert f"run {run}" in soon.skip_message
    assert f"attempt 2 of {REFRESH_ATTEMPTS} in 5 min" in soon.skip_message
    watched.wait(retry_seconds(1) + 60)
    again = watched.tick().run_requests
    assert len(again) == 1
    assert again[0].run_key != first
    assert again[0].tags["platform/attempt"] == "2"


def test_a_refresh_that_keeps_failing_is_given_up_and_the_tick_says_so(watched: Watched) -> None:
    """A broken document store must not cost a run every few minutes for ever."""
    waits: list[float] = []
    for attempt in range(1, REFRESH_ATTEMPTS):
        watched.failed()
        watched.wait(retry_seconds(attempt) - 60)
        assert watched.tick().run_requests == []
        watched.wait(120)
        assert len(watched.tick().run_requests) == 1
        waits.append(retry_seconds(attempt))
    run = watched.failed()
    watched.wait(10 * max(waits))
    given_up = watched.tick()
    assert given_up.run_requests == []
    assert run in given_up.skip_message
    assert f"dg launch --job {watched.knowledge.name}_refresh" in given_up.skip_message
    assert waits == sorted(set(waits))


def test_a_change_is_asked_for_at_once_after_any_failure(watched: Watched) -> None:
    """Whoever mends the document must not wait for the back-off of the broken one."""
    watched.failed()
    (watched.knowledge.documents / "guide0.md").unlink()
    changed = watched.tick().run_requests
    assert [one.tags["platform/attempt"] for one in changed] == ["1"]


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (dg.DagsterRunStatus.SUCCESS, "no document was added"),
        (dg.DagsterRunStatus.STARTED, "goes on"),
        (dg.DagsterRunStatus.CANCELED, "canceled"),
    ],
)
def test_a_run_that_did_not_fail_is_not_asked_for_again(
    watched: Watched, status: dg.DagsterRunStatus, words: str
) -> None:
    """A person's cancel stands, a slow run is not doubled."""
    watched.ran(status)
    watched.wait(86400)
    seen = watched.tick()
    assert seen.run_requests == []
    assert words in seen.skip_message


@pytest.mark.parametrize("status", [dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.STARTED])
def test_a_later_run_by_a_person_settles_a_failed_one(
    watched: Watched, status: dg.DagsterRunStatus
) -> None:
    """Somebody who launches the job by hand has done, or is doing, what the sensor wants."""
    watched.failed()
    watched.ran(status, by_sensor=False)
    watched.wait(86400)
    assert watched.tick().run_requests == []


@pytest.mark.parametrize("cursor", [None, "", "7:abc", "7:abc:3", "rubbish", "x:y:z"])
def test_any_cursor_can_be_read(cursor: str | None) -> None:
    """One of an earlier version, or one that somebody typed into the web UI."""
    request = Request.parse(cursor)
    assert Request.parse(str(request)) == request
    assert str(request.of_source("new")) == f"{request.number + 1}:new"
