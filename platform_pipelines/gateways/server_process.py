"""A server process of this machine that outlives its starter, in a folder of its own.

Whether it lives is whether its lock is held (`programs/launch.py`). What it was started for stands
in `wanted.json`, written before the start: whoever comes later finds the same.
"""

import fcntl
import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, cast

from platform_pipelines.errors import UnavailableError
from platform_pipelines.gateways.clock import Clock, SystemClock

LAUNCHER = Path(__file__).parent / "programs" / "launch.py"
_POLL_SECONDS = 0.1
_SECONDS_TO_LAUNCH = 60.0
_TAIL_BYTES = 2000


class ServerProcess:
    """The one server of a folder."""

    def __init__(self, folder: Path, clock: Clock | None = None) -> None:
        self.folder = folder
        self._clock = clock or SystemClock()

    def is_running(self) -> bool:
        """Whether it lives: its lock is held."""
        try:
            handle = os.open(self.folder / "lock", os.O_RDWR)
        except FileNotFoundError:
            return False
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(handle)
        return False

    def wanted(self) -> Mapping[str, Any] | None:
        """What it was started for, None when it never was."""
        return _read(self.folder / "wanted.json")

    def start(
        self, command: Sequence[str], environment: Mapping[str, str], wanted: Mapping[str, Any]
    ) -> None:
        """Start it, unless it runs.

        Raises:
            UnavailableError: it could not be launched.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        if self.is_running():
            return
        with suppress(FileNotFoundError):
            (self.folder / "running.json").unlink()
        unfinished = self.folder / "wanted.json.part"
        unfinished.write_text(json.dumps(dict(wanted)), encoding="utf-8")
        unfinished.replace(self.folder / "wanted.json")
        done = subprocess.run(
            [sys.executable, "-I", str(LAUNCHER), str(self.folder), *command],
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=_SECONDS_TO_LAUNCH,
        )
        if done.returncode != 0 and not self.is_running():
            raise UnavailableError(
                "a server could not be launched",
                where=str(self.folder),
                stored=f"exit status {done.returncode}: {done.stderr[-400:]}",
                remedy="look at its log",
            )

    def stop(self, *, grace_seconds: float) -> str:
        """End it: SIGTERM, then SIGKILL for its whole group. `absent`, `ended` or `killed`."""
        if not self.is_running():
            return "absent"
        pid = self._pid()
        self._signal(pid, signal.SIGTERM, group=False)
        is_gone = self._await_end(grace_seconds)
        self._signal(pid, signal.SIGKILL, group=True)  # also what a dead server left behind
        if not is_gone and not self._await_end(grace_seconds):
            raise UnavailableError(
                "a server does not end",
                where=str(self.folder),
                stored=f"process {pid}",
                remedy="look what holds it; the folder's lock is still held",
            )
        return "ended" if is_gone else "killed"

    def log_tail(self) -> str:
        """The end of what it wrote."""
        try:
            with (self.folder / "log").open("rb") as file:
                file.seek(0, os.SEEK_END)
                file.seek(max(0, file.tell() - _TAIL_BYTES))
                return file.read().decode("utf-8", "replace").strip()
        except FileNotFoundError:
            return ""

    def _pid(self) -> int:
        record = _read(self.folder / "running.json")
        if record is None:
            raise UnavailableError(
                "a server runs that nobody knows", where=str(self.folder), expected="running.json"
            )
        return int(record["pid"])

    def _await_end(self, seconds: float) -> bool:
        """Whether it ended. The last look is after the last moment: on a busy machine this process
        may have stood still for the whole of the grace, with a look from before it."""
        ends_at = self._clock.monotonic() + seconds
        while self._clock.monotonic() <= ends_at:
            if not self.is_running():
                return True
            self._clock.sleep(_POLL_SECONDS)
        return not self.is_running()

    def _signal(self, pid: int, number: signal.Signals, *, group: bool) -> None:
        with suppress(ProcessLookupError):
            if group:
                os.killpg(pid, number)
            else:
                os.kill(pid, number)


def _read(path: Path) -> dict[str, Any] | None:
    try:
        return cast("dict[str, Any]", json.loads(path.read_text(encoding="utf-8")))
    except (FileNotFoundError, ValueError):
        return None
