"""The files by which clients and the one server of a local database agree, and the locks on them.

All agreement rests on `flock`: the kernel drops a lock when its process dies, however it dies, so a
file that a killed process leaves behind means nothing.

    start.lock    exclusive while somebody starts the server: two starters get one server
    server.lock   exclusive for as long as the server lives
    lease         shared by every living client; the server ends when it can be had exclusively
    server.json   {pid, port, started}: believed only while `server.lock` is held
    server.log    what the server said, of its last starts
    data/         the database
"""

import fcntl
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import IO

LOG_MAX_BYTES = 1_000_000


@dataclass(frozen=True, slots=True)
class ServerRecord:
    """What `server.json` says. `started` is seconds since 1970."""

    pid: int
    port: int
    started: float


@dataclass(frozen=True, slots=True)
class LocalFiles:
    """The paths of one local database."""

    directory: Path

    @property
    def start_lock(self) -> Path:
        """Held while a server is started: two starters get one server."""
        return self.directory / "start.lock"

    @property
    def server_lock(self) -> Path:
        """Held by the server for as long as it lives."""
        return self.directory / "server.lock"

    @property
    def lease(self) -> Path:
        """Shared by all living clients; free when the last one is gone."""
        return self.directory / "lease"

    @property
    def record(self) -> Path:
        """Where the server is: pid, port, start."""
        return self.directory / "server.json"

    @property
    def log(self) -> Path:
        """What the server says."""
        return self.directory / "server.log"

    @property
    def data(self) -> Path:
        """The database."""
        return self.directory / "data"

    def write_record(self, record: ServerRecord) -> None:
        """Replace `server.json` atomically."""
        content = {"pid": record.pid, "port": record.port, "started": record.started}
        temporary = self.record.with_suffix(f".{record.pid}.tmp")
        temporary.write_text(json.dumps(content), encoding="utf-8")
        temporary.replace(self.record)

    def living_server(self) -> ServerRecord | None:
        """The record of the server that lives now; None when none does, or it is not ready yet."""
        if not is_locked(self.server_lock):
            return None
        return self._read_record()

    def _read_record(self) -> ServerRecord | None:
        try:
            content = json.loads(self.record.read_text(encoding="utf-8"))
            return ServerRecord(
                pid=int(content["pid"]),
                port=int(content["port"]),
                started=float(content["started"]),
            )
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def tail_of_log(self, *, max_bytes: int = 2_000) -> str:
        """The end of `server.log`, for an error message."""
        try:
            with self.log.open("rb") as stream:
                size = stream.seek(0, os.SEEK_END)
                stream.seek(max(0, size - max_bytes))
                return stream.read().decode("utf-8", "replace").strip()
        except OSError:
            return ""


def open_lock_file(path: Path) -> IO[bytes]:
    """Open a lock file, made when absent; its content is never read."""
    return path.open("ab")


def try_lock(stream: IO[bytes], *, shared: bool = False) -> bool:
    """Take the lock if nobody holds one that excludes it; never waits."""
    mode = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
    try:
        fcntl.flock(stream, mode | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def unlock(stream: IO[bytes]) -> None:
    """Give the lock back; the file stays open."""
    fcntl.flock(stream, fcntl.LOCK_UN)


def is_locked(path: Path) -> bool:
    """Whether a living process holds the lock of `path` exclusively."""
    try:
        with path.open("rb") as stream:
            return not try_lock(stream, shared=True)
    except FileNotFoundError:
        return False
