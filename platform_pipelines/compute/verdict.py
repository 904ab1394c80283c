"""Why a worker died, from what can be seen from outside. Pure."""

import signal
from dataclasses import dataclass

from platform_pipelines.compute.protocol import FailureKind

_OUTSIDE = {signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT}
_NO_MEMORY = ("bad_alloc", "MemoryError", "annot allocate memory", "out of memory")
ERROR_TYPES = {
    FailureKind.TIME_BUDGET: "StageTimeoutError",
    FailureKind.MEMORY_BUDGET: "MemoryBudgetError",
    FailureKind.CRASHED: "WorkerLostError",
}


@dataclass(frozen=True, slots=True)
class Verdict:
    """What to hold against the item that the worker was inside of.

    `certain` is False where the item may be innocent (somebody else killed the worker, or earlier
    items had filled its memory): then it has a second try on a fresh worker.
    """

    kind: FailureKind
    detail: str
    certain: bool


def judge(
    exit_code: int, *, killed_for: FailureKind | None, oom_killed: bool, is_fresh: bool, log: str
) -> Verdict:
    """The verdict on a dead worker.

    `killed_for`: the budget for which the pool killed it. `oom_killed`: the kernel has killed for
    memory since the worker started. `is_fresh`: no other item was answered by this worker.
    """
    if killed_for is FailureKind.TIME_BUDGET:
        return Verdict(killed_for, "ran longer than its time budget and was killed", certain=True)
    if killed_for is FailureKind.MEMORY_BUDGET:
        detail = "used more memory than its budget and was killed"
        return Verdict(killed_for, detail, certain=is_fresh)
    if exit_code >= 0:
        return Verdict(
            FailureKind.CRASHED, f"its process ended with exit code {exit_code}", certain=True
        )
    name = signal_name(-exit_code)
    if -exit_code == signal.SIGKILL and oom_killed:
        detail = "the kernel ran out of memory and killed its process"
        return Verdict(FailureKind.MEMORY_BUDGET, detail, certain=is_fresh)
    if -exit_code == signal.SIGABRT and any(sign in log for sign in _NO_MEMORY):
        detail = "its process could not allocate memory and aborted"
        return Verdict(FailureKind.MEMORY_BUDGET, detail, certain=is_fresh)
    certain = -exit_code not in _OUTSIDE
    return Verdict(FailureKind.CRASHED, f"its process was ended by {name}", certain=certain)


def signal_name(number: int) -> str:
    """SIGSEGV for 11; the number for a signal without a name."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
