"""Tasks on a RayJob: every outcome once, adopted after a kill, deleted at the end."""

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from platform_pipelines.compute import plans
from platform_pipelines.compute.pod_specs import PodSettings
from platform_pipelines.compute.ray_jobs import RayJobs
from platform_pipelines.compute.tasks import TaskFailed, TaskRecord, TaskSpec
from platform_pipelines.core.road.compute_profiles import seed_profiles
from platform_pipelines.core.road.manifests import Manifest, ObjectKey, key_of
from platform_pipelines.errors import ConfigurationError, UnavailableError
from platform_pipelines.gateways.obstore_store import open_store
from tests.fakes import FakeClock

PODS = PodSettings("platform", "registry/platform:1", ("platform",), ("keys",), "tasks")


class KubeRay:
    """Keeps RayJobs; `work` is done of one at each look, until it says how the job stands."""

    def __init__(self, work: Callable[[Manifest], Mapping[str, Any]]) -> None:
        self.work = work
        self.jobs: dict[str, Manifest] = {}
        self.applied: list[Manifest] = []

    def get(self, key: ObjectKey) -> Any:
        job = self.jobs.get(str(key))
        return job and {**job, "status": self.work(job)}

    def apply(self, manifest: Manifest, *, dry_run: bool = False, force: bool = False) -> Manifest:
        self.applied.append(manifest)
        return self.jobs.setdefault(str(key_of(manifest)), manifest)

    def delete(self, live: Manifest, *, dry_run: bool = False) -> None:
        self.jobs.pop(str(key_of(live)), None)


def backend(folder: Path, cluster: Any) -> RayJobs:
    root = (folder / "store").as_uri()
    return RayJobs(
        cluster, PODS, seed_profiles(), root, lambda url: open_store(url, create=True), FakeClock()
    )


def tasks(folder: Path, count: int) -> list[TaskSpec]:
    url = f"{(folder / 'store').as_uri()}/knowledge/handbook"
    return [TaskSpec(operation="x:y", shard=n, store=url, arguments={"n": n}) for n in range(count)]


def finished(folder: Path, given: list[TaskSpec], indexes: list[int], *, failed: int = -1) -> None:
    """What the workers of these rows wrote."""
    store, key = open_store(given[0].store, create=True), plans.plan_key(given)
    for index in indexes:
        task = given[index]
        record: Any = TaskRecord(task=task.digest, shard=index, record={"n": index})
        if index == failed:
            record = TaskFailed(
                task=task.digest, shard=index, error_type="UnavailableError", detail="no",
                terminal=False, fields={"what": "no"},
            )  # fmt: skip
        plans.write_outcome(store, key, index, record)


def test_records_come_as_rows_end_and_failures_when_the_job_is_over(tmp_path: Path) -> None:
    """KubeRay may try the job again: a failure is none before it has given up."""
    given, looks = tasks(tmp_path, 4), list[int]()

    def work(job: Manifest) -> Mapping[str, Any]:
        looks.append(len(looks))
        if len(looks) == 1:
            finished(tmp_path, given, [2])
            return {"jobDeploymentStatus": "Running"}
        finished(tmp_path, given, [0, 1], failed=1)
        return {"jobDeploymentStatus": "Failed", "message": "a node went"}

    cluster = KubeRay(work)
    told = list(backend(tmp_path, cluster).run("chunks", given, profile="cpu", progress=print))
    assert [one.shard for one in told] == [2, 0, 1, 3]
    assert [type(one).__name__ for one in told] == [
        "TaskRecord", "TaskRecord", "TaskFailed", "TaskFailed",
    ]  # fmt: skip
    assert isinstance(told[3], TaskFailed)
    assert "a node went" in told[3].detail
    assert cluster.jobs == {}


def test_the_pods_have_the_platforms_access_and_the_profiles_resources(tmp_path: Path) -> None:
    """Workers open stores by their own environment, on the GPUs of the profile."""
    given = tasks(tmp_path, 3)

    def work(job: Manifest) -> Mapping[str, Any]:
        finished(tmp_path, given, [0, 1, 2])
        return {"jobDeploymentStatus": "Complete"}

    cluster = KubeRay(work)
    list(backend(tmp_path, cluster).run("vectors", given, profile="gpu-spot", progress=print))
    (job,) = cluster.applied
    (group,) = job["spec"]["rayClusterSpec"]["workerGroupSpecs"]
    (container,) = group["template"]["spec"]["containers"]
    assert group["replicas"] == 3
    assert container["resources"]["limits"]["nvidia.com/gpu"] == "1"
    assert container["envFrom"] == [
        {"configMapRef": {"name": "platform"}}, {"secretRef": {"name": "keys"}}
    ]  # fmt: skip
    assert "knowledge/handbook/tasks/" in job["spec"]["entrypoint"]


def test_a_run_that_is_started_again_follows_the_same_job(tmp_path: Path) -> None:
    """One plan is one RayJob; a run that is cancelled deletes it."""
    given = tasks(tmp_path, 2)

    def work(job: Manifest) -> Mapping[str, Any]:
        finished(tmp_path, given, [0])
        return {"jobDeploymentStatus": "Running"}

    cluster = KubeRay(work)
    for _ in range(2):
        running: Any = backend(tmp_path, cluster).run("x", given, profile="cpu", progress=print)
        assert next(running).shard == 0
        running.close()
        assert cluster.jobs == {}
    names = {one["metadata"]["name"] for one in cluster.applied}
    assert len(names) == 1


def test_a_job_that_somebody_deletes_and_a_profile_that_is_none_are_told(tmp_path: Path) -> None:
    """Else a stage waits for ever."""
    cluster = KubeRay(lambda job: {})
    running = backend(tmp_path, cluster).run("x", tasks(tmp_path, 1), profile="no", progress=print)
    with pytest.raises(ConfigurationError, match="no compute profile"):
        next(running)
    sentinel = KubeRay(lambda job: {})
    sentinel.apply = lambda manifest, **_: manifest  # type: ignore[method-assign, assignment]
    gone = backend(tmp_path, sentinel).run("x", tasks(tmp_path, 1), profile="cpu", progress=print)
    with pytest.raises(UnavailableError, match="deleted while it worked"):
        next(gone)


def test_rows_run_in_the_image_of_their_class(tmp_path: Path) -> None:
    """A RayJob asked for an image of the name `platform-{class}`."""
    url = f"{(tmp_path / 'store').as_uri()}/knowledge/handbook"
    given = [TaskSpec(operation="vectors.embed", shard=0, store=url, arguments={})]

    def work(job: Manifest) -> Mapping[str, Any]:
        finished(tmp_path, given, [0])
        return {"jobDeploymentStatus": "Complete"}

    ray = KubeRay(work)
    classes = replace(PODS, image="registry/platform-{class}:1")
    backend_of = replace(backend(tmp_path, ray), pods=classes)
    outcomes = list(backend_of.run("vectors", given, profile="cpu", progress=lambda _: None))
    assert len(outcomes) == 1
    assert '"registry/platform-embed:1"' in json.dumps(ray.applied)
    assert "{class}" not in json.dumps(ray.applied)
