"""Ends the servers of a test run that was killed: python reaper.py FOLDER, as a child of the run.

The product's servers outlive whoever started them, by design: a test run that gets SIGKILL would
leave vLLM and Envoy behind. This process waits for the end of its standard input, which the system
closes with the run, and then kills the process group of every server below FOLDER whose lock is
still held, so that no number of another process is taken for a server's.
"""

import fcntl
import json
import os
import signal
import sys
from contextlib import suppress
from pathlib import Path


def is_held(lock: Path) -> bool:
    """Whether a server lives in the folder of this lock."""
    with lock.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def reap(root: Path) -> list[int]:
    """Kill all servers below a folder; their numbers."""
    ended: list[int] = []
    for record in root.rglob("running.json"):
        with suppress(OSError, ValueError, KeyError):
            if is_held(record.with_name("lock")):
                pid = int(json.loads(record.read_text(encoding="utf-8"))["pid"])
                os.killpg(pid, signal.SIGKILL)
                ended.append(pid)
    return ended


if __name__ == "__main__":
    sys.stdin.buffer.read()
    reap(Path(sys.argv[1]))
