"""Puts outcomes into the order of their tasks and items. Pure."""

from collections import deque
from collections.abc import Iterator

from platform_pipelines.compute.member import Job
from platform_pipelines.compute.protocol import Outcome, TaskDone


class Arrivals:
    """Outcomes as they come; or, when `ordered`, held back until everything before them came.

    What is held back is bounded by how far the pool lets tasks run ahead of `head`.
    """

    def __init__(self, *, ordered: bool) -> None:
        self._ordered = ordered
        self._out: deque[Outcome] = deque()
        self._held: dict[int, dict[int, Outcome]] = {}
        self.head = 0  # sequence number of the first task that is not over
        self._next_index = 0

    def add(self, job: Job, outcome: Outcome) -> None:
        """An outcome of a task came."""
        if not self._ordered:
            self._out.append(outcome)
            return
        index = len(job.task.items) if isinstance(outcome, TaskDone) else outcome.index
        self._held.setdefault(job.sequence, {})[index] = outcome
        self._release()

    def take(self) -> Iterator[Outcome]:
        """Everything that may be handed on now."""
        while self._out:
            yield self._out.popleft()

    def _release(self) -> None:
        while (held := self._held.get(self.head)) and self._next_index in held:
            outcome = held.pop(self._next_index)
            self._out.append(outcome)
            self._next_index += 1
            if isinstance(outcome, TaskDone):
                del self._held[self.head]
                self.head += 1
                self._next_index = 0
