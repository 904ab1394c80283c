"""Where a worker is, in two machine words of shared memory: readable after it was killed.

Writing costs some 0.1 microseconds, so every item is marked, and a SIGKILL in the middle of an item
still names it. Each word is written by one store, and the parent only ever compares and reads.
"""

import mmap
from dataclasses import dataclass
from enum import IntEnum

PAGE_BYTES = mmap.PAGESIZE


class Phase(IntEnum):
    """What the worker is doing."""

    WAITING = 0  # for a task
    RUNNING = 1  # inside an item
    BETWEEN = 2  # in the operation, before its first item, between two, or after its last
    WRITING = 3  # sending results; the parent may be slow to take them


@dataclass(frozen=True, slots=True)
class Position:
    """One reading. Two equal readings mean that the worker has not moved on."""

    task: int  # the dispatch number, unique per worker
    index: int
    phase: Phase


class Progress:
    """The worker's side and the parent's side of the same page of memory."""

    def __init__(self, descriptor: int) -> None:
        self._memory = mmap.mmap(descriptor, PAGE_BYTES)
        self._words = memoryview(self._memory).cast("Q")

    def start_task(self, task: int) -> None:
        """A task begins; nobody is inside an item."""
        self._words[1] = Phase.BETWEEN
        self._words[0] = task

    def mark(self, index: int, phase: Phase) -> None:
        """The worker is at `items[index]` of the task, in that phase."""
        self._words[1] = index << 2 | phase

    def set_phase(self, phase: Phase) -> None:
        """Change the phase and keep the index."""
        self._words[1] = self._words[1] & ~3 | phase

    def read(self) -> Position:
        """Where the worker is, or was when it died."""
        word = self._words[1]
        return Position(self._words[0], word >> 2, Phase(word & 3))

    def close(self) -> None:
        """Unmap the page."""
        self._words.release()
        self._memory.close()
