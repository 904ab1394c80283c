"""The embedded default: a Milvus Lite database that many processes use at once.

Milvus Lite lets one process at a time into a database, but searches must work while a refresh runs
and while the web UI is open. So one small server process owns the database; it is started by
whoever comes first and ends by itself (`local_process`).
"""

import json
import os
import select
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import IO

from platform_pipelines.errors import ConfigurationError, StorageFullError, UnavailableError
from platform_pipelines.gateways.milvus.local_files import (
    LocalFiles,
    ServerRecord,
    open_lock_file,
    try_lock,
)

START_TIMEOUT_SECONDS = 60.0
NO_SPACE_LEFT = 28  # errno ENOSPC
SERVER_MODULE = "platform_pipelines.gateways.milvus.local_process"


class LocalMilvus:
    """One local database, as its clients see it.

    `idle_seconds` is how long the server outlives its last client; it counts for the server that
    this client starts. Nothing is touched before `uri()` is called. `environment` is all that the
    server sees of it (it outlives its starter, and needs none of its secrets); None: everything.
    """

    def __init__(
        self,
        directory: Path,
        *,
        idle_seconds: float,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self._environment = environment
        self._files = LocalFiles(directory.absolute())
        self._idle_seconds = idle_seconds
        self._mutex = threading.Lock()
        self._lease: IO[bytes] | None = None

    def uri(self) -> str:
        """Address of the living server, started when there is none. Cheap when there is one.

        Raises:
            ConfigurationError: the directory cannot be written.
            StorageFullError: no space is left on its disk.
            UnavailableError: the server did not start; the end of its log is in the message.
        """
        with self._mutex:
            try:
                self._files.directory.mkdir(parents=True, exist_ok=True)
                self._hold_lease()
                record = self._files.living_server() or self._start()
            except OSError as error:
                raise self._cannot_write(error) from error
            except UnavailableError:
                self._release()
                raise
            return f"http://127.0.0.1:{record.port}"

    def close(self) -> None:
        """Give the lease back; the server ends when nobody else holds one. Safe to call twice."""
        with self._mutex:
            self._release()

    def _release(self) -> None:
        if self._lease is not None:
            self._lease.close()
            self._lease = None

    def _hold_lease(self) -> None:
        if self._lease is not None:
            return
        lease = open_lock_file(self._files.lease)
        try:
            # Held exclusively only for an instant, or by a server that is just ending.
            _wait_for_lock(lease, shared=True, seconds=START_TIMEOUT_SECONDS)
        except BaseException:
            lease.close()
            raise
        self._lease = lease

    def _start(self) -> ServerRecord:
        with open_lock_file(self._files.start_lock) as lock:
            _wait_for_lock(lock, shared=False, seconds=START_TIMEOUT_SECONDS)
            record = self._files.living_server()
            if record is None:
                self._spawn()
                record = self._files.living_server()
        if record is None:
            raise self._did_not_start("it ended at once")
        return record

    def _spawn(self) -> None:
        read_end, write_end = os.pipe()
        try:
            # Another session: Ctrl-C in a run must not end the server of everybody else.
            subprocess.run(
                [
                    sys.executable, "-m", SERVER_MODULE, str(self._files.directory),
                    "--idle-seconds", str(self._idle_seconds), "--report", str(write_end),
                ],
                pass_fds=(write_end,),
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                cwd=Path(__file__).parents[3],
                start_new_session=True,
                timeout=START_TIMEOUT_SECONDS,
                check=False,
            )  # fmt: skip
            os.close(write_end)
            write_end = -1
            self._read_verdict(read_end)
        finally:
            os.close(read_end)
            if write_end >= 0:
                os.close(write_end)

    def _read_verdict(self, read_end: int) -> None:
        ready, _, _ = select.select([read_end], [], [], START_TIMEOUT_SECONDS)
        line = os.read(read_end, 65_536) if ready else b""
        try:
            verdict = json.loads(line)
        except ValueError:
            raise self._did_not_start("it said nothing") from None
        if "error" in verdict:
            raise self._did_not_start(str(verdict["error"]))

    def _did_not_start(self, why: str) -> UnavailableError:
        return UnavailableError(
            f"the local Milvus server did not start: {why}",
            where=str(self._files.directory),
            stored=self._files.tail_of_log() or None,
            remedy=f"read {self._files.log}; is another program using the same directory?",
        )

    def _cannot_write(self, error: OSError) -> ConfigurationError | StorageFullError:
        where = str(self._files.directory)
        if error.errno == NO_SPACE_LEFT:
            return StorageFullError("no space for the local vector store", where=where)
        return ConfigurationError(
            f"the local vector store's directory cannot be used: {error.strerror or error}",
            where=where,
            remedy="choose a directory that this user may write",
        )


def _wait_for_lock(stream: IO[bytes], *, shared: bool, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not try_lock(stream, shared=shared):
        if time.monotonic() > deadline:
            raise UnavailableError(
                "a lock of the local vector store was not given back",
                where=str(stream.name),
                remedy="end the process that holds it (fuser names it)",
            )
        time.sleep(0.01)
