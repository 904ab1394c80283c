"""Tasks as rows of a Ray Data set on a RayJob of KubeRay: another `tasks.Backend` in a cluster.

The plan and every outcome travel through the object store, as those of an Indexed Job do. The
RayJob's name follows from the plan: a run that is started again finds the one that still works.
Closing the iterator, as a cancelled run does, deletes it.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from platform_pipelines.compute import plans
from platform_pipelines.compute.pod_specs import PodSettings, job_name
from platform_pipelines.compute.tasks import (
    TaskFailed,
    TaskOutcome,
    TaskRecord,
    TaskSpec,
    counted,
    plan_digest,
)
from platform_pipelines.core.road.bridges import RayTasks, ray_job
from platform_pipelines.core.road.compute_profiles import ComputeProfile
from platform_pipelines.core.road.manifests import Manifest, key_of
from platform_pipelines.errors import UnavailableError
from platform_pipelines.gateways.clock import Clock
from platform_pipelines.gateways.cluster.manifests import Cluster
from platform_pipelines.gateways.object_store import ObjectStore

POLL_SECONDS = 2.0
RAY_VERSION = "2.56.0"  # of the profile's image
_ENDED = ("Complete", "Failed", "ValidationFailed")


@dataclass(frozen=True, slots=True)
class RayJobs:
    """Tasks on Ray. `open_store` opens the folder that tasks name; `root` is above all of them."""

    cluster: Cluster
    pods: PodSettings
    profiles: Mapping[str, ComputeProfile]
    root: str
    open_store: Callable[[str], ObjectStore]
    clock: Clock

    def run(
        self,
        stage: str,
        tasks: Sequence[TaskSpec],
        *,
        profile: str = "",
        progress: Callable[[str], None],
    ) -> Iterator[TaskOutcome]:
        """See `tasks.Backend`.

        Raises:
            ConfigurationError: no such profile, or the tasks are for several stores.
            UnavailableError: the RayJob was deleted while it worked.
        """
        if not tasks:
            return
        folder = plans.folder_of(tasks, self.root)
        store = self.open_store(folder)
        key = plans.write_plan(store, tasks)
        where = f"{folder.removeprefix(self.root).strip('/')}/{key}"
        manifest = self._manifest(stage, tasks, where, plans.chosen_profile(self.profiles, profile))
        self.cluster.apply(manifest, force=True)
        progress(f"{stage}: RayJob {manifest['metadata']['name']}, {len(tasks)} tasks")
        try:
            yield from self._follow(stage, manifest, store, key, tasks, progress)
            store.delete([key])
        finally:
            live = self.cluster.get(key_of(manifest))
            if live is not None:
                self.cluster.delete(live)

    def _follow(
        self,
        stage: str,
        manifest: Manifest,
        store: ObjectStore,
        key: str,
        tasks: Sequence[TaskSpec],
        progress: Callable[[str], None],
    ) -> Iterator[TaskOutcome]:
        """Records as they are there; failures once the job is over, because it tries again."""
        told: set[int] = set()
        while len(told) < len(tasks):
            status = self._status(manifest)
            is_over = status.get("jobDeploymentStatus") in _ENDED
            for index, task in enumerate(tasks):
                if index in told:
                    continue
                found = plans.read_outcome(store, key, index, task)
                if isinstance(found, TaskRecord) or is_over:
                    told.add(index)
                    yield found or _lost(task, status)
            progress(counted(stage, len(told), len(tasks), {}))
            if len(told) < len(tasks):
                self.clock.sleep(POLL_SECONDS)

    def _status(self, manifest: Manifest) -> Mapping[str, Any]:
        live = self.cluster.get(key_of(manifest))
        if live is None:
            raise UnavailableError(
                "the RayJob was deleted while it worked",
                where=str(key_of(manifest)),
                remedy="run again: finished tasks are found, the others are done again",
            )
        return live.get("status") or {}

    def _manifest(
        self, stage: str, tasks: Sequence[TaskSpec], plan: str, profile: ComputeProfile
    ) -> Manifest:
        pods = self.pods.for_operation(tasks[0].operation)
        return ray_job(
            RayTasks(
                name=job_name(stage, plan_digest(tasks)),
                namespace=pods.namespace,
                image=profile.image or pods.image,
                ray_version=RAY_VERSION,
                plan_key=plan,
                tasks=len(tasks),
                workers=min(profile.parallelism, len(tasks)),
                cpu=profile.cpu_request,
                memory=profile.memory,
                gpus=profile.gpu,
                queue=pods.queue,
                seconds=profile.deadline_seconds,
                config_maps=tuple(pods.config_maps),
                secrets=tuple(pods.secrets),
                service_account=pods.service_account,
            )
        )


def _lost(task: TaskSpec, status: Mapping[str, Any]) -> TaskFailed:
    why = str(status.get("message") or status.get("reason") or "nothing is known of it")
    detail = f"the RayJob ended without a word of this task: {why}"
    return TaskFailed(
        task=task.digest, shard=task.shard, error_type="WorkerLostError", detail=detail,
        terminal=False,
        fields={"what": detail, "where": f"task {task.shard} of {task.operation}"},
    )  # fmt: skip
