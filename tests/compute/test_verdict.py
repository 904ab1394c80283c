"""What is held against an item when its worker has died."""

import signal

import pytest

from platform_pipelines.compute.protocol import FailureKind
from platform_pipelines.compute.verdict import Verdict, judge, signal_name


def verdict(exit_code: int, **facts: object) -> Verdict:
    base = {"killed_for": None, "oom_killed": False, "is_fresh": True, "log": ""}
    return judge(exit_code, **{**base, **facts})  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", [FailureKind.TIME_BUDGET, FailureKind.MEMORY_BUDGET])
def test_a_kill_by_the_pool_is_the_budget_it_was_for(kind: FailureKind) -> None:
    """Not a crash, whatever the exit code says."""
    assert verdict(-signal.SIGKILL, killed_for=kind).kind is kind


@pytest.mark.parametrize(
    ("oom_killed", "kind"), [(True, FailureKind.MEMORY_BUDGET), (False, FailureKind.CRASHED)]
)
def test_the_kernels_kill_for_memory_is_told_from_any_other_kill(
    oom_killed: bool, kind: FailureKind
) -> None:
    """Both are SIGKILL; only the kernel's own count tells them apart."""
    assert verdict(-signal.SIGKILL, oom_killed=oom_killed).kind is kind


@pytest.mark.parametrize(
    "facts",
    [
        {"killed_for": FailureKind.MEMORY_BUDGET},
        {"oom_killed": True},
    ],
)
def test_memory_is_held_against_an_item_only_on_a_fresh_worker(facts: dict[str, object]) -> None:
    """Else what earlier items left behind decides."""
    assert verdict(-signal.SIGKILL, is_fresh=True, **facts).certain
    assert not verdict(-signal.SIGKILL, is_fresh=False, **facts).certain


@pytest.mark.parametrize("number", [signal.SIGSEGV, signal.SIGBUS, signal.SIGFPE, signal.SIGABRT])
def test_a_fault_is_a_crash_of_the_item(number: signal.Signals) -> None:
    """Even when the kernel has killed something else for memory meanwhile."""
    found = verdict(-number, oom_killed=True)
    assert (found.kind, found.certain) == (FailureKind.CRASHED, True)
    assert number.name in found.detail


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_from_somebody_else_proves_nothing_against_the_item(
    number: signal.Signals,
) -> None:
    """It is tried again."""
    found = verdict(-number)
    assert (found.kind, found.certain) == (FailureKind.CRASHED, False)


@pytest.mark.parametrize("sign", ["std::bad_alloc", "Cannot allocate memory", "out of memory"])
def test_an_abort_that_speaks_of_memory_is_memory(sign: str) -> None:
    """Native libraries abort where Python would raise MemoryError."""
    assert verdict(-signal.SIGABRT, log=f"what(): {sign}").kind is FailureKind.MEMORY_BUDGET


def test_signals_without_a_name_keep_their_number() -> None:
    """Real-time signals have none."""
    assert signal_name(11) == "SIGSEGV"
    assert signal_name(40) == "signal 40"
