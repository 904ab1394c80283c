"""Become a server that outlives whoever started it: python launch.py FOLDER PROGRAM [ARGUMENT ...]

The lock of the folder is held by the server itself, over exec, for as long as it lives: no process
id is trusted, two servers never run in one folder, and a starter that is killed leaves either no
server or one that is found again. Exit status 3: one is running already. Standard library only.
"""

import fcntl
import json
import os
import signal
import sys
import time
from pathlib import Path

RUNNING = 3


def launch(folder: Path, command: list[str]) -> int:
    """Start the program as nobody's child; the exit status of the launcher.

    Envoy is ended by the system when the process that started it ends (seen with 1.40): so the
    program's parent is gone before it starts.
    """
    reader, writer = os.pipe()  # closed by exec
    launcher = os.getpid()
    if os.fork():
        os.close(writer)
        return 0 if os.read(reader, 1) else RUNNING
    os.close(reader)
    os.setsid()
    if not _prepared(folder):
        os._exit(RUNNING)
    os.write(writer, b"1")
    while os.getppid() == launcher:
        time.sleep(0.01)
    _hear_signals()
    os.execv(command[0], command)  # noqa: S606 - no shell is meant
    return RUNNING  # never: exec does not come back


def _prepared(folder: Path) -> bool:
    """Take the lock for good, write to the log, and say who runs."""
    lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o644)
    if not _taken(lock):
        return False
    os.set_inheritable(lock, True)
    log = os.open(folder / "log", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    os.dup2(log, 1)
    os.dup2(log, 2)
    unfinished = folder / "running.json.part"
    unfinished.write_text(json.dumps({"pid": os.getpid()}), encoding="utf-8")
    unfinished.replace(folder / "running.json")
    return True


def _hear_signals() -> None:
    """Ignored and blocked signals outlive exec: a server must not be deaf as its starter was."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def _taken(lock: int) -> bool:
    """Whoever only looks whether a server lives holds the lock for a moment: try for a second."""
    for _ in range(10):
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(0.1)
        else:
            return True
    return False


if __name__ == "__main__":
    sys.exit(launch(Path(sys.argv[1]), sys.argv[2:]))
