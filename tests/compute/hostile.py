"""A parser that an attacker took over: it looks for everything that another process knows.

In a pool's worker, operation `hostile:spy`; or alone, `python hostile.py UID JSON`, as that user.
"""

import contextlib
import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from platform_pipelines.compute import confinement


def spy(
    shared: Mapping[str, Any], items: Iterator[Mapping[str, Any]]
) -> Iterator[Mapping[str, Any]]:
    """Who it is, and every environment that it can read, of every process; confined or not."""
    if not shared["landlock"]:  # as on a kernel without it
        confinement._ruleset = lambda readable: None
    if shared["confined"]:
        confinement.confine()
    for _ in items:
        seen = dict(_readable("environ"))
        yield {
            "uid": os.getuid(),
            "parent": os.getppid(),
            "seen": "\n".join(seen.values()),
            "owners": sorted(seen.keys() - {os.getpid()}),
            "memories": [pid for pid in _pids() if pid != os.getpid() and _opens(pid, "mem")],
            "files": [path for path in shared["files"] if _is_readable(path)],
            "runs": _runs(),
            "connects": _connects(shared["port"]),
        }


def _pids() -> Iterator[int]:
    """All there may be: /proc cannot always be listed."""
    yield from range(1, os.getpid() + 100)


def _readable(what: str) -> Iterator[tuple[int, str]]:
    for pid in _pids():
        with contextlib.suppress(OSError):
            yield pid, Path(f"/proc/{pid}/{what}").read_bytes().decode("utf-8", "replace")


def _opens(pid: int, what: str) -> bool:
    return _is_readable(f"/proc/{pid}/{what}")


def _is_readable(path: str) -> bool:
    with contextlib.suppress(OSError), open(path, "rb"):
        return True
    return False


def _runs() -> bool:
    with contextlib.suppress(OSError):
        return subprocess.run(["/bin/true"], check=False).returncode == 0
    return False


def _connects(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False


if __name__ == "__main__":
    if user := int(sys.argv[1]):
        confinement._keep_in_reach(list(confinement._import_folders()))
        os.setgroups([])
        os.setresgid(user, user, user)
        os.setresuid(user, user, user)
    for answer in spy(json.loads(sys.argv[2]), iter([{}])):
        print(json.dumps(answer))
