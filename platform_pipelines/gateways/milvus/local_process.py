"""The server process of a local Milvus Lite database: `python -m <this module> DIRECTORY ...`.

Milvus Lite lets one process at a time into a database; this is that process, and everybody else is
a gRPC client of it. It listens on 127.0.0.1 only, and ends by itself when no client has lived for
`--idle-seconds` (see `local_files` for the locks).

What it adds to the `milvus-lite server` command, whose engine has one writer per collection and
opens collections without a lock (milvus-lite 3.2.2, `adapter/grpc/server.py`, "Concurrency model"):

- writes to one collection take turns; reads are never held up by them;
- a collection is opened once, even when two clients ask at the same moment, and is loaded then:
  Milvus Lite forgets `load` when it is reopened;
- what aliases point to is opened, and its keyword index built, before a person asks;
- keywords are scored by the statistics of the whole collection (`lite_keywords`), and what is live
  is known without a look at each row (`lite_live`); of a hit, what is shown is made (`lite_rows`);
- it answers with one mark of all ids (`lite_mark`): a build compares them without a list.
"""

import argparse
import json
import logging
import os
import signal
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import FrameType
from typing import IO, TYPE_CHECKING, Any

from platform_pipelines.gateways.milvus.library import milvus_lite
from platform_pipelines.gateways.milvus.lite_keywords import CorpusKeywords
from platform_pipelines.gateways.milvus.lite_live import LiveRows, quick_searches
from platform_pipelines.gateways.milvus.lite_mark import mark_handler
from platform_pipelines.gateways.milvus.lite_rows import ShownRows, quick_replies, quick_rows
from platform_pipelines.gateways.milvus.local_files import (
    LOG_MAX_BYTES,
    LocalFiles,
    ServerRecord,
    open_lock_file,
    try_lock,
    unlock,
)

if TYPE_CHECKING:
    import grpc

LOGGER = logging.getLogger("platform_pipelines.local_milvus")

MESSAGE_MAX_BYTES = 256 * 1024 * 1024
WORKER_THREADS = 16
# An insert decodes rows in Python and holds the interpreter for 5 ms at a time; a search beside it
# needs tens of turns. Measured with 20,000 rows inserted beside searches of 20,000: p50 85 ms,
# p95 215 ms, longest 650 ms (alone: p50 33 ms).
SWITCH_INTERVAL_SECONDS = 0.001
LOCK_WAIT_SECONDS = 10.0
STOP_GRACE_SECONDS = 5.0

# The collection's name is in the request; alias changes and drops are serialised together.
COLLECTION_WRITES = frozenset(
    {
        "Insert", "Upsert", "Delete", "Flush", "CreateIndex", "DropIndex",
        "LoadCollection", "ReleaseCollection",
    }
)  # fmt: skip
CATALOGUE_WRITES = frozenset(
    {"CreateCollection", "DropCollection", "CreateAlias", "AlterAlias", "DropAlias"}
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve one directory until no client is left. Exit code 0; 1 when the start failed.

    The start's outcome is one JSON line on the file descriptor `--report`: {"port": n} or
    {"error": text}. The process that was started returns at once; the server is its child and
    belongs to nobody: neither Ctrl-C nor the starter's end ends it, and no zombie stays behind.
    """
    options = _parse(arguments)
    if os.fork():
        return 0
    with os.fdopen(options.report, "w", encoding="utf-8") as report:
        files = LocalFiles(Path(options.directory))
        _log_to(files)
        try:
            server = LocalServer(files)
            server.start()
        except Exception as error:
            # The one place that may catch everything: the starter waits for a verdict.
            LOGGER.exception("the server did not start")
            report.write(json.dumps({"error": f"{type(error).__name__}: {error}"}) + "\n")
            return 1
        report.write(json.dumps({"port": server.port}) + "\n")
    server.serve_until_idle(options.idle_seconds)
    return 0


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Serve a local Milvus Lite database.")
    parser.add_argument("directory")
    parser.add_argument("--idle-seconds", type=float, required=True)
    parser.add_argument("--report", type=int, required=True, help="file descriptor")
    return parser.parse_args(arguments)


def _log_to(files: LocalFiles) -> None:
    mode = "a"
    if files.log.exists() and files.log.stat().st_size > LOG_MAX_BYTES:
        mode = "w"
    stream = files.log.open(mode, encoding="utf-8", buffering=1)
    os.dup2(stream.fileno(), sys.stdout.fileno())
    os.dup2(stream.fileno(), sys.stderr.fileno())
    logging.basicConfig(
        stream=stream,
        level=logging.INFO,
        format="%(asctime)s %(process)d %(levelname)s %(message)s",
    )


class LocalServer:
    """One open database behind gRPC."""

    def __init__(self, files: LocalFiles) -> None:
        self._files = files
        self._stop = threading.Event()
        self._lock: IO[bytes] | None = None
        self._database: Any = None
        self._server: grpc.Server | None = None
        self.port = 0

    def start(self) -> None:
        """Own the directory, open the database, listen, and say so in `server.json`."""
        self._lock = self._own_directory()
        self._database = _open_database(str(self._files.data))
        self._server, self.port = _listen(self._database)
        for name in (signal.SIGTERM, signal.SIGINT):
            signal.signal(name, self._told_to_stop)
        self._files.write_record(ServerRecord(pid=os.getpid(), port=self.port, started=time.time()))
        LOGGER.info("serving %s on 127.0.0.1:%d", self._files.data, self.port)
        threading.Thread(target=_warm_aliases, args=(self._database,), daemon=True).start()

    def _told_to_stop(self, _signal: int, _frame: FrameType | None) -> None:
        self._stop.set()

    def _own_directory(self) -> IO[bytes]:
        stream = open_lock_file(self._files.server_lock)
        deadline = time.monotonic() + LOCK_WAIT_SECONDS
        while not try_lock(stream):
            if time.monotonic() > deadline:
                stream.close()
                raise TimeoutError("another server owns the directory")
            time.sleep(0.02)
        return stream

    def serve_until_idle(self, idle_seconds: float) -> None:
        """Block until told to stop, or until no client lived for `idle_seconds`; then shut down."""
        interval = min(1.0, max(0.05, idle_seconds / 4))
        idle_since = time.monotonic()
        with open_lock_file(self._files.lease) as lease:
            while not self._stop.wait(interval):
                if not try_lock(lease):
                    idle_since = time.monotonic()
                    continue
                if time.monotonic() - idle_since >= idle_seconds:
                    LOGGER.info("no client for %g s: ending", idle_seconds)
                    break  # the lease stays locked: a newcomer waits until this server is gone
                unlock(lease)
            self._shut_down()

    def _shut_down(self) -> None:
        record = self._files.living_server()
        if record is not None and record.pid == os.getpid():
            self._files.record.unlink(missing_ok=True)
        if self._server is not None:
            self._server.stop(grace=STOP_GRACE_SECONDS).wait()
        if self._database is not None:
            self._database.close()
        if self._lock is not None:
            self._lock.close()
        LOGGER.info("ended")


def _open_database(path: str) -> Any:
    base: Any = milvus_lite().MilvusLite
    default: str = milvus_lite("db").DEFAULT_DATABASE_NAME

    class OpenedOnce(base):
        """A database whose collections are opened and loaded once, whoever asks first."""

        def __init__(self, data_dir: str) -> None:
            base.__init__(self, data_dir)
            self._opening = threading.RLock()
            self._opened: set[str] = set()

        def get_collection(self, name: str, database_name: str = default) -> Any:
            if self.resolve_collection_name(name, database_name) in self._opened:
                return base.get_collection(self, name, database_name)
            with self._opening:
                collection = base.get_collection(self, name, database_name)
                if collection.name not in self._opened:
                    _load(collection)
                    collection.live_rows = live = LiveRows(collection)
                    collection.query, collection._num_entities = live.query, live.count
                    keywords = CorpusKeywords(collection)
                    collection._search_sparse = keywords.search
                    collection.release = keywords.kept(collection.release)
                    collection.search = ShownRows(collection).search
                    self._opened.add(collection.name)
                return collection

        def drop_collection(self, name: str, database_name: str = default) -> None:
            with self._opening:
                self._opened.discard(self.resolve_collection_name(name, database_name))
                base.drop_collection(self, name, database_name)

    quick_rows()
    quick_replies()
    quick_searches()
    return OpenedOnce(path)


def _load(collection: Any) -> None:
    try:
        collection.load()
    except Exception:
        # A kind that Milvus Lite accepts and cannot build: its searches say NotLoaded.
        LOGGER.exception("collection %s does not load", collection.name)


def _warm_aliases(database: Any) -> None:
    """Open what readers follow and build its keyword index: 2.5 s for 20,000 rows at first use."""
    for alias in database.list_aliases():
        try:
            collection = database.get_collection(alias)
            for function in collection.schema.functions:
                field = function.output_field_names[0]
                collection.search(["warm"], top_k=1, anns_field=field, output_fields=[])
        except Exception:
            LOGGER.exception("alias %s is not warm", alias)


def _listen(database: Any) -> "tuple[grpc.Server, int]":
    import grpc

    servicer: Any = milvus_lite("adapter.grpc.servicer")
    sys.setswitchinterval(SWITCH_INTERVAL_SECONDS)
    server = grpc.server(
        ThreadPoolExecutor(max_workers=WORKER_THREADS),
        interceptors=[_writes_take_turns()],
        options=[
            ("grpc.max_receive_message_length", MESSAGE_MAX_BYTES),
            ("grpc.max_send_message_length", MESSAGE_MAX_BYTES),
            ("grpc.so_reuseport", 0),
            # pymilvus pings every 10 s; by default gRPC servers hang up on such clients.
            ("grpc.keepalive_permit_without_calls", 1),
            ("grpc.http2.min_recv_ping_interval_without_data_ms", 1_000),
            ("grpc.http2.max_ping_strikes", 0),
        ],
    )
    servicer.milvus_pb2_grpc.add_MilvusServiceServicer_to_server(
        servicer.MilvusServicer(database), server
    )
    server.add_generic_rpc_handlers((mark_handler(database),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    return server, port


def _writes_take_turns() -> "grpc.ServerInterceptor":
    import grpc

    locks: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)

    class WritesTakeTurns(grpc.ServerInterceptor):
        def intercept_service(self, continuation: Any, handler_call_details: Any) -> Any:
            handler = continuation(handler_call_details)
            method = str(handler_call_details.method).rsplit("/", 1)[-1]
            if handler is None or method not in COLLECTION_WRITES | CATALOGUE_WRITES:
                return handler

            def in_turn(request: Any, context: Any) -> Any:
                with locks[_turn(method, request)]:
                    return handler.unary_unary(request, context)

            return grpc.unary_unary_rpc_method_handler(
                in_turn,
                request_deserializer=handler.request_deserializer,
                response_serializer=handler.response_serializer,
            )

    return WritesTakeTurns()


def _turn(method: str, request: Any) -> str:
    if method in CATALOGUE_WRITES:
        return ""
    if method == "Flush":
        return str(next(iter(request.collection_names), ""))
    return str(request.collection_name)


if __name__ == "__main__":
    sys.exit(main())
