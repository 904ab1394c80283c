"""What binds a worker from inside: memory, its parent's life, signals. And how memory is read."""

import contextlib
import faulthandler
import fcntl
import os
import resource
import select
import signal
from pathlib import Path

STACK_SIGNAL = signal.SIGUSR1  # makes a worker print where it is, even inside a C loop
_PROC = Path("/proc")


def memory_is_bounded() -> bool:
    """Whether this system can hold a worker to its memory budget (Linux). `doctor` tells it."""
    return (_PROC / "self/statm").exists()


def private_bytes(pid: int | str) -> int | None:
    """Resident memory in bytes without pages of files, which can be dropped; None when unknown."""
    pages = _statm(pid)
    return None if pages is None else (pages[1] - pages[2]) * resource.getpagesize()


def oom_kills() -> int:
    """How many processes the kernel has killed for lack of memory since boot; 0 when unknown."""
    with contextlib.suppress(OSError):
        for line in (_PROC / "vmstat").read_text().splitlines():
            name, _, count = line.partition(" ")
            if name == "oom_kill":
                return int(count)
    return 0


def limit_address_space(budget_bytes: int) -> None:
    """From here on the process may map `budget_bytes` more; beyond that it gets a MemoryError.

    Only the soft limit moves, so that the next operation may set its own. Does nothing where the
    present size cannot be read (macOS, where the limit is not enforced either).
    """
    pages = _statm("self")
    if pages is None:
        return
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    wanted = pages[0] * resource.getpagesize() + budget_bytes
    soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def live_only_with_parent(lifeline: int) -> None:
    """The kernel kills this process group when the parent's end of the pipe `lifeline` closes.

    Not PR_SET_PDEATHSIG: that fires when the parent's *thread* ends, and Dagster runs steps in
    threads. The pipe's signal also reaches a worker that hangs in C and never reads its channel.
    """
    with contextlib.suppress(OSError, AttributeError):  # macOS: no F_SETSIG; end of channel remains
        fcntl.fcntl(lifeline, fcntl.F_SETOWN, -os.getpgrp())
        fcntl.fcntl(lifeline, fcntl.F_SETSIG, signal.SIGKILL)
        flags = fcntl.fcntl(lifeline, fcntl.F_GETFL)
        fcntl.fcntl(lifeline, fcntl.F_SETFL, flags | os.O_ASYNC)
    if select.select([lifeline], [], [], 0)[0]:  # closed before the signal was armed
        os._exit(1)


def settle_signals() -> None:
    """Ctrl-C is the parent's to handle; a crash prints its stack and leaves no core file."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
    faulthandler.enable()
    faulthandler.register(STACK_SIGNAL, all_threads=False)


def _statm(pid: int | str) -> tuple[int, int, int] | None:
    """Pages: size, resident, shared. None without /proc, or when the process is gone."""
    try:
        fields = (_PROC / str(pid) / "statm").read_bytes().split()
    except OSError:
        return None
    return (int(fields[0]), int(fields[1]), int(fields[2])) if len(fields) >= 3 else None
