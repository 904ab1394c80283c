"""Which process this is, and whether another one on this machine is gone."""

import os
import socket
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True, slots=True)
class ProcessName:
    """A process among all machines and all times."""

    host: str  # machine, its boot, and the namespace in which the process id counts
    pid: int
    started: str  # tells a reused process id apart; "" where the system does not say


class Processes(Protocol):
    """The process table, as far as a lease needs it."""

    def this(self) -> ProcessName:
        """The name of this process."""
        ...

    def is_gone(self, process: ProcessName) -> bool:
        """Whether it surely runs no more. A process of another host is never surely gone."""
        ...


class LocalProcesses:
    """This machine's process table."""

    def this(self) -> ProcessName:
        """The name of this process."""
        pid = os.getpid()
        return ProcessName(_host(), pid, _started(pid))

    def is_gone(self, process: ProcessName) -> bool:
        """Whether it surely runs no more."""
        if process.host != _host():
            return False
        try:
            with suppress(PermissionError):  # it lives, as somebody else
                os.kill(process.pid, 0)
        except ProcessLookupError:
            return True
        started = _started(process.pid)
        return bool(process.started and started) and started != process.started


def _host() -> str:
    """Containers may share a host name and not a process table: the namespace is in the name."""
    boot = _text("/proc/sys/kernel/random/boot_id")
    try:
        namespace = os.readlink("/proc/self/ns/pid")
    except OSError:
        namespace = ""
    return "/".join(part for part in (socket.gethostname(), boot, namespace) if part)


def _started(pid: int) -> str:
    """Clock ticks from boot to its start (field 22 of proc(5) stat); "" if unknown."""
    after_name = _text(f"/proc/{pid}/stat").rpartition(")")[2].split()
    return after_name[19] if len(after_name) > 19 else ""


def _text(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""
