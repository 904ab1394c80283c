"""Tasks as one Indexed Job on the nodes of their compute profile: `tasks.Backend` in a cluster.

The plan and every outcome travel through the object store, so that nothing is lost with a pod. The
Job's name follows from the plan: a run that is started again adopts the Job that still works.
Closing the iterator, as a cancelled run does, deletes the Job.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from platform_pipelines.compute import plans
from platform_pipelines.compute.pod_specs import PodSettings, indexed_job, job_name
from platform_pipelines.compute.pod_starts import PodStarts
from platform_pipelines.compute.tasks import (
    TaskFailed,
    TaskOutcome,
    TaskSpec,
    plan_digest,
)
from platform_pipelines.core.road.compute_profiles import ComputeProfile
from platform_pipelines.errors import (
    SourceNotFoundError,
    UnavailableError,
)
from platform_pipelines.gateways.clock import Clock
from platform_pipelines.gateways.cluster.jobs import Jobs, JobState, PodEnd
from platform_pipelines.gateways.object_store import ObjectStore

POLL_SECONDS = 1.0
MOST_POLL_SECONDS = 5.0
PATIENCE_SECONDS = 300.0  # with an API server that does not answer
SECONDS_TO_DELETE = 60.0


@dataclass(frozen=True, slots=True)
class IndexedJobs:
    """Tasks in pods. `open_store` opens the folder that tasks name; `root` is above all of them."""

    jobs: Jobs
    pods: PodSettings
    profiles: Mapping[str, ComputeProfile]
    root: str
    open_store: Callable[[str], ObjectStore]
    clock: Clock
    owner: str = ""

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
            ConflictError: a Job of this plan has another content (profile or image changed).
            UnavailableError: the API server did not answer for minutes; the Job goes on.
            PlatformError: no pod can start, or an engine does not hold (see `pod_starts`).
        """
        if not tasks:
            return
        chosen = plans.chosen_profile(self.profiles, profile)
        folder = plans.folder_of(tasks, self.root)
        store = self.open_store(folder)
        # A plan is deleted when its outcomes are taken: a Job without one has nothing more to say,
        # and what it made may have been deleted since.
        is_known = store.exists(plans.plan_key(tasks))
        key = plans.write_plan(store, tasks)
        name = job_name(stage, plan_digest(tasks))
        pods = self.pods.for_operation(tasks[0].operation)
        manifest = indexed_job(
            chosen,
            pods,
            name=name,
            plan_key=f"{folder.removeprefix(self.root).strip('/')}/{key}",
            tasks=len(tasks),
            owner=self.owner,
            stage=stage,
        )
        where = f"{self.jobs.namespace}/{name}"
        starts = PodStarts(where, chosen, chosen.image or pods.image)
        following = _Following(self, stage, name, tasks, store, key, progress, starts)
        following.start(manifest, is_known=is_known)
        finished = False
        try:
            yield from following.outcomes()
            finished = True
            store.delete([key])
        finally:
            if not finished and not following.lost_sight:
                self.jobs.delete(name)


@dataclass(slots=True)
class _Following:
    """One Job, followed to its end."""

    backend: IndexedJobs
    stage: str
    name: str
    tasks: Sequence[TaskSpec]
    store: ObjectStore
    plan: str
    progress: Callable[[str], None]
    starts: PodStarts
    lost_sight: bool = False  # the API server does not answer: the Job is left to go on
    told: set[int] = field(default_factory=set[int])
    ends: dict[int, PodEnd] = field(default_factory=dict[int, PodEnd])
    waiting: str = ""

    @property
    def jobs(self) -> Jobs:
        return self.backend.jobs

    def start(self, manifest: dict[str, object], *, is_known: bool) -> None:
        """Create the Job, or adopt the one that works or whose outcomes nobody took.

        One that failed, or has ended and belongs to no plan that is still known, is made anew.
        """
        if self.jobs.create(manifest):
            self.progress(f"{self.stage}: Job {self.name} created, {len(self.tasks)} tasks")
            return
        state = self.jobs.state(self.name)
        if not state.ended or (is_known and not state.reason and not state.failed):
            self.progress(f"{self.stage}: Job {self.name} adopted")
            return
        self.jobs.delete(self.name)
        self._until_gone()
        self.jobs.create(manifest)
        self.progress(f"{self.stage}: Job {self.name} of a former try is made anew")

    def outcomes(self) -> Iterator[TaskOutcome]:
        """Of every task, as its index ends."""
        pause = POLL_SECONDS
        while True:
            state = self._state()
            new = sorted((state.succeeded | state.failed) - self.told)
            if new or state.ended or state.active:
                self._look_at_pods(state)
            for index in new:
                self.told.add(index)
                yield self._outcome(index, failed=index in state.failed)
            if state.ended:
                yield from self._rest(state)
                return
            self._say(state)
            pause = POLL_SECONDS if new else min(pause * 1.3, MOST_POLL_SECONDS)
            self.backend.clock.sleep(pause)

    def _state(self) -> JobState:
        """What the Job says; an API server that is away for a while is waited for."""
        clock = self.backend.clock
        until = clock.monotonic() + PATIENCE_SECONDS
        while True:
            try:
                return self.jobs.state(self.name)
            except SourceNotFoundError as error:
                raise UnavailableError(
                    "the Job was deleted while it worked",
                    where=f"{self.jobs.namespace}/{self.name}",
                    remedy="run again: finished tasks are found, the others are done again",
                ) from error
            except UnavailableError:
                if clock.monotonic() > until:
                    self.lost_sight = True
                    raise
                self.progress(f"{self.stage}: the API server does not answer; the Job goes on")
                clock.sleep(MOST_POLL_SECONDS)

    def _look_at_pods(self, state: JobState) -> None:
        self.ends = self.jobs.pod_ends(self.name)
        waits = {end.waiting for end in self.ends.values() if end.waiting}
        self.waiting = next(iter(sorted(waits)), "")
        if state.active:
            done = len(state.succeeded | state.failed)
            now = self.backend.clock.monotonic()
            self.starts.look(self.ends.values(), done=done, now=now)

    def _outcome(self, index: int, *, failed: bool) -> TaskOutcome:
        task = self.tasks[index]
        found = plans.read_outcome(self.store, self.plan, index, task)
        if found is not None and not (failed and not isinstance(found, TaskFailed)):
            return found
        return pod_failure(task, self.ends.get(index))

    def _rest(self, state: JobState) -> Iterator[TaskOutcome]:
        """Indexes that a deadline cut off never ended on their own."""
        for index in range(len(self.tasks)):
            if index in self.told:
                continue
            self.told.add(index)
            found = plans.read_outcome(self.store, self.plan, index, self.tasks[index])
            yield found or pod_failure(self.tasks[index], self.ends.get(index), why=state.reason)

    def _say(self, state: JobState) -> None:
        done, of = len(state.succeeded), len(self.tasks)
        if state.suspended:
            self.progress(f"{self.stage}: {done} of {of} tasks, queued")
            return
        waits = f", waiting: {self.waiting}" if self.waiting else ""
        failed = f", {len(state.failed)} failed" if state.failed else ""
        self.progress(f"{self.stage}: {done} of {of} tasks, {state.active} pods{failed}{waits}")

    def _until_gone(self) -> None:
        clock = self.backend.clock
        until = clock.monotonic() + SECONDS_TO_DELETE
        while self.jobs.exists(self.name):
            if clock.monotonic() > until:
                raise UnavailableError(
                    "the failed Job is not deleted",
                    where=f"{self.jobs.namespace}/{self.name}",
                    remedy="look at its finalizers and pods",
                )
            clock.sleep(POLL_SECONDS)


def pod_failure(task: TaskSpec, end: PodEnd | None, *, why: str = "") -> TaskFailed:
    """The failure of a task whose pod left no word of its own in the store."""
    reason = end.reason if end else ""
    if reason == "OOMKilled":
        kind, terminal = "MemoryBudgetError", True
        detail = "the pod was killed for memory; the same again would be, too"
    elif why == "DeadlineExceeded":
        kind, terminal, detail = "StageTimeoutError", False, "the profile's deadline is over"
    else:
        code = f" with {end.exit_code}" if end and end.exit_code is not None else ""
        kind, terminal = "WorkerLostError", False
        detail = f"the pod ended{code}: {reason or why or 'nothing is known of it'}"
    return TaskFailed(
        task=task.digest,
        shard=task.shard,
        error_type=kind,
        detail=detail,
        terminal=terminal,
        fields={"what": detail, "where": f"task {task.shard} of {task.operation}"},
        log=end.message if end else "",
    )
