"""One run of an operation over tasks on a pool's workers: hand out, collect, watch, recover."""

import selectors
import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from platform_pipelines.compute.limits import oom_kills
from platform_pipelines.compute.pooled_worker import Job, PooledWorker
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
from platform_pipelines.compute.verdict import ERROR_TYPES, Verdict, judge
from platform_pipelines.compute.workers import Workers
from platform_pipelines.errors import IntegrityError

_WATCH_SECONDS = 0.05  # how often budgets are looked at, and how late a kill may come
_MAX_LOSSES = 3  # deaths in a row that no item is guilty of


class Run:
    """State of one `WorkerPool.run`. Single-threaded: it moves while the caller asks for more."""

    def __init__(
        self,
        workers: Workers,
        operation: str,
        shared: Mapping[str, object],
        tasks: Iterable[Task],
    ) -> None:
        self._workers = workers
        self._operation = operation
        self._shared = shared
        self._source = iter(tasks)
        self._is_exhausted = False
        self._queue: deque[Job] = deque()
        self._out: deque[Outcome] = deque()  # what the caller has not taken yet
        self._losses = 0
        self._watch_at = 0.0
        self._selector: selectors.BaseSelector = selectors.DefaultSelector()

    def outcomes(self) -> Iterator[Outcome]:
        """See `WorkerPool.run`."""
        with self._selector:
            for worker in self._workers:
                self._open(worker)
            while True:
                self._assign()
                while self._out:
                    yield self._out.popleft()
                if self._is_exhausted and not self._queue and self._workers.is_idle:
                    return
                self._poll()

    def _open(self, worker: PooledWorker) -> None:
        if worker.process.has_ended():  # died while nobody used the pool
            self._workers.stop(worker)
            return
        self._selector.register(worker.process.channel, selectors.EVENT_READ, worker)
        worker.open(self._operation, self._shared, self._workers.budget)

    def _assign(self) -> None:
        for worker in self._workers.retired():
            self._stop(worker)
        self._refill()
        while self._queue and (worker := self._next_worker(self._queue[0])) is not None:
            worker.give(self._queue.popleft())
            self._refill()

    def _refill(self) -> None:
        while not self._is_exhausted and len(self._queue) <= self._workers.limit:
            task = next(self._source, None)
            if task is None:
                self._is_exhausted = True
                return
            self._queue.append(Job(task, list(range(len(task.items)))))

    def _stop(self, worker: PooledWorker) -> None:
        self._selector.unregister(worker.process.channel)
        self._workers.stop(worker)

    def _next_worker(self, job: Job) -> PooledWorker | None:
        idle = self._workers.idle_worker()
        if idle is not None and job.suspects and idle.answered:
            self._stop(idle)  # a second try counts only on a fresh worker
            idle = None
        if idle is not None:
            return idle
        if self._workers.has_room:
            worker = self._workers.start()
            self._open(worker)
            return worker
        # The last tasks go to whoever is idle first, not to the queue behind a slow one.
        if job.suspects or len(self._queue) <= self._workers.limit:
            return None
        return self._workers.worker_with_room()

    def _poll(self) -> None:
        for worker in self._workers:
            self._set_interest(worker)
        for key, events in self._selector.select(_WATCH_SECONDS):
            if events & selectors.EVENT_WRITE:
                key.data.process.write()
            if events & selectors.EVENT_READ:
                self._read(key.data)
        now = time.monotonic()
        if now >= self._watch_at:
            self._watch_at = now + _WATCH_SECONDS
            self._watch(now)

    def _set_interest(self, worker: PooledWorker) -> None:
        wanted = selectors.EVENT_READ
        if worker.process.wants_to_write:
            wanted |= selectors.EVENT_WRITE
        if self._selector.get_key(worker.process.channel).events != wanted:
            self._selector.modify(worker.process.channel, wanted, worker)

    def _watch(self, now: float) -> None:
        for worker in self._workers:
            if worker.process.has_ended():
                self._lost(worker)
            elif worker.is_fit and (kind := worker.overrun(self._workers.budget, now)) is not None:
                worker.kill_for(kind)
            else:
                worker.process.trim_log()

    def _read(self, worker: PooledWorker) -> None:
        messages = worker.process.receive()
        if messages is None:
            self._lost(worker)
            return
        for message in messages:
            self._handle(worker, message)

    def _handle(self, worker: PooledWorker, message: dict[str, Any]) -> None:
        match message.get("kind"):
            case "done":
                job, index = self._answered(worker, message)
                self._out.append(ItemDone(job.task.id, index, message["result"]))
            case "working":
                job = worker.jobs[message["task"]]
                going = ItemWorking(job.task.id, message["index"], message["counts"])
                self._out.append(going)
            case "failed":
                self._failed(worker, message)
            case "task_done":
                self._put_back(worker.finish(message["task"], self._workers.budget))
            case "ready":
                worker.became_ready()
            case "broken":
                raise self._with_log(
                    worker,
                    rebuild_error(message["error_type"], message["detail"], message["fields"]),
                )
            case kind:
                raise IntegrityError("a worker sent a message that is not known", stored=kind)

    def _answered(self, worker: PooledWorker, message: dict[str, Any]) -> tuple[Job, int]:
        job, index = worker.jobs.get(message["task"]), message["index"]
        if job is None or index not in job.remaining:
            raise IntegrityError(
                "a worker answered an item that it was not given", stored=message.get("index")
            )
        job.remaining.remove(index)
        worker.answered += 1
        self._losses = 0
        return job, index

    def _failed(self, worker: PooledWorker, message: dict[str, Any]) -> None:
        was_fresh = worker.answered == 0
        job, index = self._answered(worker, message)
        kind = FailureKind(message["failure"])
        if kind is FailureKind.MEMORY_BUDGET:
            worker.retires = True
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
        self._out.append(failed)

    def _lost(self, worker: PooledWorker) -> None:
        """A worker is dead: blame one item or nobody, and put the rest back in the queue."""
        self._selector.unregister(worker.process.channel)
        self._workers.forget(worker)
        exit_code = worker.process.end()
        log, culprit = worker.process.log_tail(), worker.culprit()
        verdict = judge(
            exit_code,
            killed_for=worker.killed_for,
            oom_killed=oom_kills() > worker.oom_kills_before,
            is_fresh=worker.answered == 0,
            log=log,
        )
        try:
            if culprit is None:
                self._count_loss(worker, verdict)
            else:
                self._blame(*culprit, verdict, log)
        finally:
            worker.process.free()
        for job in reversed(worker.jobs.values()):
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
        self._out.append(failed)

    def _put_back(self, job: Job) -> None:
        if job.remaining:
            job.remaining.sort(key=lambda index: (index not in job.suspects, index))
            self._queue.appendleft(job)
        else:
            self._out.append(TaskDone(job.task.id))

    def _count_loss(self, worker: PooledWorker, verdict: Verdict) -> None:
        if worker.moved_on:
            return
        self._losses += 1
        if self._losses < _MAX_LOSSES:
            return
        name = ERROR_TYPES[verdict.kind] if worker.is_ready else "UnavailableError"
        what = f"workers keep dying outside of any item: {verdict.detail}"
        fields = {"what": what, "where": self._operation, "remedy": "see the worker's output"}
        raise self._with_log(worker, rebuild_error(name, what, fields))

    @staticmethod
    def _with_log(worker: PooledWorker, error: Exception) -> Exception:
        if log := worker.process.log_tail():
            error.add_note(f"the worker's output ended with:\n{log}")
        return error
