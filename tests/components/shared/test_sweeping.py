"""The sensor asks for a sweep of what it found twice, and of nothing else."""

from typing import Any

import dagster as dg
import pytest

from platform_pipelines.components.shared import sweeping
from platform_pipelines.components.shared.resource import platform_resources
from platform_pipelines.compute.pod_specs import OWNER
from platform_pipelines.errors import UnavailableError
from platform_pipelines.gateways.cluster.jobs import OpenJob


class Jobs:
    """What the cluster has, changed by the test."""

    def __init__(self) -> None:
        self.there = [OpenJob("chunks-1", "u1", {OWNER: "handbook"})]
        self.deleted: list[str] = []

    def unfinished(self, labels: Any) -> list[OpenJob]:
        assert labels
        return self.there

    def delete(self, name: str) -> None:
        self.deleted.append(name)


@pytest.fixture
def jobs() -> Jobs:
    return Jobs()


class Ticks:
    """A daemon's ticks, one after the other, with the cursor that each leaves."""

    def __init__(self, instance: dg.DagsterInstance, **ready: Any) -> None:
        self.instance, self.cursor = instance, ""
        self.resources = {**platform_resources(), **ready}
        self.defs = dg.Definitions.merge(
            sweeping.build_sweeping(), dg.Definitions(resources=self.resources)
        )

    def tick(self) -> Any:
        context = dg.build_sensor_context(
            instance=self.instance, cursor=self.cursor, resources=self.resources
        )
        (sensor,) = self.defs.sensors or []
        assert isinstance(sensor, dg.SensorDefinition)
        data = sensor.evaluate_tick(context)
        self.cursor = data.cursor or self.cursor
        return data


def test_nothing_is_looked_at_where_tasks_run_here() -> None:
    """No cluster is asked for on a laptop."""
    with dg.DagsterInstance.ephemeral() as instance:
        data = Ticks(instance).tick()
    assert "on this machine" in data.skip_message


def test_what_is_found_twice_is_asked_for_once(jobs: Jobs) -> None:
    """The first look may fall between a run's end and the next one's start."""
    with dg.DagsterInstance.ephemeral() as instance:
        ticks = Ticks(instance, jobs=jobs)
        assert "once more" in ticks.tick().skip_message
        (request,) = ticks.tick().run_requests
        assert request.run_config["ops"]["sweep_orphans"]["config"] == {"jobs": ["chunks-1/u1"]}
        jobs.there = []
        assert "has its run" in ticks.tick().skip_message


def test_a_run_of_the_owner_keeps_its_jobs(jobs: Jobs) -> None:
    """It follows them, or adopts them when it gets there."""
    with dg.DagsterInstance.ephemeral() as instance:
        ticks = Ticks(instance, jobs=jobs)
        ticks.tick()
        instance.create_run_for_job(
            _job, tags={"platform/knowledge_base": "handbook"}, status=dg.DagsterRunStatus.STARTED
        )
        assert "has its run" in ticks.tick().skip_message


@dg.job
def _job() -> None:
    """Of no work."""


def test_the_job_deletes_what_is_an_orphan_still(jobs: Jobs) -> None:
    """And says which."""
    defs = dg.Definitions.merge(
        sweeping.build_sweeping(), dg.Definitions(resources={**platform_resources(), "jobs": jobs})
    )
    config = {"ops": {"sweep_orphans": {"config": {"jobs": ["chunks-1/u1", "gone/u2"]}}}}
    done = defs.get_job_def(sweeping.SWEEP).execute_in_process(run_config=config)
    assert done.success
    assert jobs.deleted == ["chunks-1"]


class Away(Jobs):
    """A cluster that nobody reaches."""

    def unfinished(self, labels: Any) -> list[OpenJob]:
        raise UnavailableError("the API server does not answer")


def test_a_cluster_that_does_not_answer_fails_the_tick() -> None:
    """The next tick looks again; nothing was found, and nothing is deleted."""
    with (
        dg.DagsterInstance.ephemeral() as instance,
        pytest.raises(UnavailableError, match="does not answer"),
    ):
        Ticks(instance, jobs=Away()).tick()
