"""One run of an operation over tasks on a crew of workers: hand out, collect, watch, recover."""

import selectors
import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from platform_pipelines.compute.crew import TASKS_PER_WORKER, Crew
from platform_pipelines.compute.limits import oom_kills
from platform_pipelines.compute.member import Job, Member
from platform_pipelines.compute.protocol import (
    FailureKind,
    ItemDone,
    ItemFailed,
    ItemWorking,
    Outcome,
    Task,
    TaskDone,
    rebuild_error,
)
from platform_pipelines.compute.sequence import Arrivals
from platform_pipelines.compute.verdict import ERROR_TYPES, Verdict, judge
from platform_pipelines.errors import IntegrityError

_WATCH_SECONDS = 0.05  # how often budgets are looked at, and how late a kill may come
_MAX_LOSSES = 3  # deaths in a row that no item is guilty of


class Run:
    """State of one `WorkerPool.run`. Single-threaded: it moves while the caller asks for more."""

    def __init__(
        self,
        crew: Crew,
        operation: str,
        shared: Mapping[str, object],
        tasks: Iterable[Task],
        *,
        ordered: bool,
    ) -> None:
        self._crew = crew
        self._operation = operation
        self._shared = shared
        self._source = enumerate(tasks)
        self._is_exhausted = False
        self._queue: deque[Job] = deque()
        self._arrivals = Arrivals(ordered=ordered)
        # Ordered, a slow head task must not let the others' results pile up without bound.
        self._window = crew.limit * TASKS_PER_WORKER if ordered else None
        self._losses = 0
        self._watch_at = 0.0
        self._selector: selectors.BaseSelector = selectors.DefaultSelector()

    def outcomes(self) -> Iterator[Outcome]:
        """See `WorkerPool.run`."""
        with self._selector:
            for member in self._crew:
                self._engage(member)
            while True:
                self._assign()
                yield from self._arrivals.take()
                if self._is_exhausted and not self._queue and self._crew.is_idle:
                    return
                self._poll()

    def _engage(self, member: Member) -> None:
        if member.process.has_ended():  # died while nobody used the pool
            self._crew.dismiss(member)
            return
        self._selector.register(member.process.channel, selectors.EVENT_READ, member)
        member.open(self._operation, self._shared, self._crew.budget)

    def _assign(self) -> None:
        for member in self._crew.retired():
            self._dismiss(member)
        self._refill()
        while self._may_start_next() and (member := self._next_member(self._queue[0])) is not None:
            member.give(self._queue.popleft())
            self._refill()

    def _refill(self) -> None:
        while not self._is_exhausted and len(self._queue) <= self._crew.limit:
            numbered = next(self._source, None)
            if numbered is None:
                self._is_exhausted = True
                return
            sequence, task = numbered
            self._queue.append(Job(task, sequence, list(range(len(task.items)))))

    def _may_start_next(self) -> bool:
        if not self._queue:
            return False
        return self._window is None or self._queue[0].sequence < self._arrivals.head + self._window

    def _dismiss(self, member: Member) -> None:
        self._selector.unregister(member.process.channel)
        self._crew.dismiss(member)

    def _next_member(self, job: Job) -> Member | None:
        idle = self._crew.idle_member()
        if idle is not None and job.suspects and idle.answered:
            self._dismiss(idle)  # a second try counts only on a fresh worker
            idle = None
        if idle is not None:
            return idle
        if self._crew.has_room:
            member = self._crew.hire()
            self._engage(member)
            return member
        # The last tasks go to whoever is idle first, not to the queue behind a slow one.
        if job.suspects or len(self._queue) <= self._crew.limit:
            return None
        return self._crew.ahead_member()

    def _poll(self) -> None:
        for member in self._crew:
            self._set_interest(member)
        for key, events in self._selector.select(_WATCH_SECONDS):
            if events & selectors.EVENT_WRITE:
                key.data.process.write()
            if events & selectors.EVENT_READ:
                self._read(key.data)
        now = time.monotonic()
        if now >= self._watch_at:
            self._watch_at = now + _WATCH_SECONDS
            self._watch(now)

    def _set_interest(self, member: Member) -> None:
        wanted = selectors.EVENT_READ
        if member.process.wants_to_write:
            wanted |= selectors.EVENT_WRITE
        if self._selector.get_key(member.process.channel).events != wanted:
            self._selector.modify(member.process.channel, wanted, member)

    def _watch(self, now: float) -> None:
        for member in self._crew:
            if member.process.has_ended():
                self._lost(member)
            elif member.is_fit and (kind := member.overrun(self._crew.budget, now)) is not None:
                member.kill_for(kind)
            else:
                member.process.trim_log()

    def _read(self, member: Member) -> None:
        messages = member.process.receive()
        if messages is None:
            self._lost(member)
            return
        for message in messages:
            self._handle(member, message)

    def _handle(self, member: Member, message: dict[str, Any]) -> None:
        match message.get("kind"):
            case "done":
                job, index = self._answered(member, message)
                self._arrivals.add(job, ItemDone(job.task.id, index, message["result"]))
            case "working":
                job = member.jobs[message["task"]]
                going = ItemWorking(job.task.id, message["index"], message["counts"])
                self._arrivals.add(job, going)
            case "failed":
                self._failed(member, message)
            case "task_done":
                self._put_back(member.finish(message["task"], self._crew.budget))
            case "ready":
                member.became_ready()
            case "broken":
                raise self._with_log(
                    member,
                    rebuild_error(message["error_type"], message["detail"], message["fields"]),
                )
            case kind:
                raise IntegrityError("a worker sent a message that is not known", stored=kind)

    def _answered(self, member: Member, message: dict[str, Any]) -> tuple[Job, int]:
        job, index = member.jobs.get(message["task"]), message["index"]
        if job is None or index not in job.remaining:
            raise IntegrityError(
                "a worker answered an item that it was not given", stored=message.get("index")
            )
        job.remaining.remove(index)
        member.answered += 1
        self._losses = 0
        return job, index

    def _failed(self, member: Member, message: dict[str, Any]) -> None:
        was_fresh = member.answered == 0
        job, index = self._answered(member, message)
        kind = FailureKind(message["failure"])
        if kind is FailureKind.MEMORY_BUDGET:
            member.retires = True
            if not was_fresh and index not in job.suspects:
                # Earlier items may have filled the memory: once more, on a fresh worker.
                job.suspects.add(index)
                job.remaining.append(index)
                return
        failed = ItemFailed(
            task_id=job.task.id,
            index=index,
            kind=kind,
            detail=message["detail"],
            error_type=message["error_type"],
            terminal=message["terminal"],
            reason=str(message["fields"].get("reason", "")),
            fields=message["fields"],
        )
        self._arrivals.add(job, failed)

    def _lost(self, member: Member) -> None:
        """A worker is dead: blame one item or nobody, and put the rest back in the queue."""
        self._selector.unregister(member.process.channel)
        self._crew.strike(member)
        exit_code = member.process.end()
        log, culprit = member.process.log_tail(), member.culprit()
        verdict = judge(
            exit_code,
            killed_for=member.killed_for,
            oom_killed=oom_kills() > member.oom_kills_before,
            is_fresh=member.answered == 0,
            log=log,
        )
        try:
            if culprit is None:
                self._count_loss(member, verdict)
            else:
                self._blame(*culprit, verdict, log)
        finally:
            member.process.free()
        for job in reversed(member.jobs.values()):
            self._put_back(job)

    def _blame(self, job: Job, index: int, verdict: Verdict, log: str) -> None:
        if not verdict.certain and index not in job.suspects:
            job.suspects.add(index)
            return
        self._losses = 0
        job.remaining.remove(index)
        failed = ItemFailed(
            task_id=job.task.id,
            index=index,
            kind=verdict.kind,
            detail=verdict.detail,
            error_type=ERROR_TYPES[verdict.kind],
            terminal=verdict.certain or verdict.kind is not FailureKind.CRASHED,
            log=log,
        )
        self._arrivals.add(job, failed)

    def _put_back(self, job: Job) -> None:
        if job.remaining:
            job.remaining.sort(key=lambda index: (index not in job.suspects, index))
            self._queue.appendleft(job)
        else:
            self._arrivals.add(job, TaskDone(job.task.id))

    def _count_loss(self, member: Member, verdict: Verdict) -> None:
        if member.moved_on:
            return
        self._losses += 1
        if self._losses < _MAX_LOSSES:
            return
        name = ERROR_TYPES[verdict.kind] if member.is_ready else "UnavailableError"
        what = f"workers keep dying outside of any item: {verdict.detail}"
        fields = {"what": what, "where": self._operation, "remedy": "see the worker's output"}
        raise self._with_log(member, rebuild_error(name, what, fields))

    @staticmethod
    def _with_log(member: Member, error: Exception) -> Exception:
        if log := member.process.log_tail():
            error.add_note(f"the worker's output ended with:\n{log}")
        return error
