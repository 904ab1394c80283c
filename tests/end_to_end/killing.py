"""Processes of their own: a stage that is killed at one of its writes, and refreshes side by side.

They are forked from a server that has imported everything, so that each costs milliseconds. Nothing
is cleaned up at a kill: the process dies as if the machine had lost power.
"""

import json
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, BinaryIO, TypeVar, cast

from platform_pipelines.compute.local_backend import HereBackend
from platform_pipelines.errors import PlatformError
from platform_pipelines.gateways.object_store import ObjectStore
from platform_pipelines.gateways.vector_store import VectorStore
from platform_pipelines.settings import Settings
from platform_pipelines.stages.knowledge_base import (
    chunks_worker,
    connect,
    documents_worker,
    vectors_worker,
)
from platform_pipelines.stages.knowledge_base.workspace import Workspace
from platform_pipelines.stages.road.access import access_record, open_named
from platform_pipelines.worker import OPERATIONS, resolve
from tests.knowledge import RUN, Knowledge

Result = TypeVar("Result")

TASKS = (documents_worker, chunks_worker, vectors_worker)  # where tasks open stores
AFTER, HALFWAY = "after", "halfway"
FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload([__name__, "pyarrow.parquet", "pymilvus", "numpy"])
SECONDS = 120


@dataclass
class Fuse:
    """Counts the external writes of this process and kills it at the one that was named."""

    at: int | str  # from 1, or `insert`, `point_alias`
    how: str
    number: int = 0
    counts_leases: bool = True
    _counting: threading.Lock = field(default_factory=threading.Lock)

    def burn(
        self,
        write: Callable[[], Result],
        half: Callable[[], object] | None = None,
        *,
        name: str = "",
    ) -> Result:
        with self._counting:  # tables are written beside other writes
            self.number += 1
            named = self.at in (self.number, name)
        if named and self.how == HALFWAY and half is not None:
            half()
            _die()
        done = write()
        if named and self.how == AFTER:
            _die()
        return done


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


class _Delegate:
    """Everything that is not a write is the real thing's."""

    def __init__(self, inner: Any, fuse: Fuse) -> None:
        self._inner = inner
        self._fuse = fuse

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


class DeadlyObjectStore(_Delegate):
    """A real store in which one write is the last thing that happens."""

    def put(self, key: str, data: bytes, **conditions: Any) -> str:
        if key.startswith("leases/") and not self._fuse.counts_leases:
            return str(self._inner.put(key, data, **conditions))
        return self._fuse.burn(lambda: self._inner.put(key, data, **conditions))

    def delete(self, keys: Any) -> None:
        for key in keys:
            self._fuse.burn(lambda key=key: self._inner.delete([key]))

    @contextmanager
    def open_writer(self, key: str) -> Iterator[BinaryIO]:
        with self._inner.open_writer(key) as file:
            yield cast("BinaryIO", _HalfFile(file, self._fuse))
        self._fuse.burn(lambda: None)


class _HalfFile(_Delegate):
    """Dies with half of the first bytes written, when the fuse says so."""

    closed = False

    def write(self, data: Any) -> int:
        fuse = self._fuse
        if fuse.how == HALFWAY and fuse.number + 1 == fuse.at:
            self._inner.write(bytes(data)[: len(data) // 2])
            self._inner.flush()
            _die()
        return int(self._inner.write(data))


class DeadlyVectorStore(_Delegate):
    """A real vector store in which one write is the last thing that happens."""

    def create(self, spec: Any, **options: Any) -> None:
        self._fuse.burn(lambda: self._inner.create(spec, **options))

    def insert(self, collection: str, rows: Any) -> int:
        some = list(rows)[: max(1, len(rows) // 2)]
        return self._fuse.burn(
            lambda: self._inner.insert(collection, rows),
            lambda: self._inner.insert(collection, some),
            name="insert",
        )

    def delete(self, collection: str, ids: Any) -> None:
        some = list(ids)[: max(1, len(ids) // 2)]
        self._fuse.burn(
            lambda: self._inner.delete(collection, ids),
            lambda: self._inner.delete(collection, some),
            name="delete",
        )

    def unload(self, collection: str) -> None:
        self._fuse.burn(lambda: self._inner.unload(collection))

    def seal(self, spec: Any, **options: Any) -> None:
        self._fuse.burn(lambda: self._inner.seal(spec, **options))

    def drop(self, collection: str) -> None:
        self._fuse.burn(lambda: self._inner.drop(collection))

    def point_alias(self, alias: str, collection: str) -> None:
        self._fuse.burn(lambda: self._inner.point_alias(alias, collection), name="point_alias")


def fused(workspace: Workspace, fuse: Fuse) -> Workspace:
    """A workspace whose writes, and whose words of progress, burn the fuse.

    Its tasks run in this process; see `fused_stores` for what they write.
    """
    operations = {name: resolve(name) for name in OPERATIONS}
    return replace(
        workspace,
        store=cast("ObjectStore", DeadlyObjectStore(workspace.store, fuse)),
        progress=lambda _: fuse.burn(lambda: None),
        backend=HereBackend(operations, access_record(workspace.settings)),
    )


def fused_stores(fuse: Fuse) -> Callable[..., ObjectStore]:
    """In the place of `open_named` in the modules of `TASKS`: the same, but that writes burn it."""

    def deadly(access: Mapping[str, Any], url: str, *, create: bool = False) -> ObjectStore:
        return cast("ObjectStore", DeadlyObjectStore(open_named(access, url, create=create), fuse))

    return deadly


def fused_vectors(fuse: Fuse) -> Callable[[Settings], AbstractContextManager[VectorStore]]:
    """In the place of `connect.vectors_of`: the same, but that its writes burn the fuse."""
    opened = connect.vectors_of

    @contextmanager
    def deadly(settings: Settings) -> Iterator[VectorStore]:
        with opened(settings) as store:
            yield cast("VectorStore", DeadlyVectorStore(store, fuse))

    return deadly


def killed_at(knowledge: Knowledge, stage: str, at: int | str, how: str) -> bool:
    """Run a stage that dies at its write `at`; False when it ended well without one."""
    process = FORKS.Process(target=_run, args=(knowledge, stage, at, how))
    process.start()
    process.join(SECONDS)
    assert process.exitcode in {0, -signal.SIGKILL}, (stage, at, how, process.exitcode)
    died = process.exitcode != 0
    process.close()
    return died


def _run(knowledge: Knowledge, stage: str, at: int | str, how: str) -> None:
    fuse = Fuse(at, how)
    # This process is about to die: nothing is put back.
    setattr(connect, "vectors_of", fused_vectors(fuse))  # noqa: B010
    for module in TASKS:
        setattr(module, "open_named", fused_stores(fuse))  # noqa: B010
    RUN[stage](fused(knowledge.workspace(), fuse))


@dataclass(frozen=True)
class Ending:
    """How a refresh in another process ended: the error's name, or nothing."""

    error: str
    message: str


class Refresh:
    """One refresh in a process of its own, started at once."""

    def __init__(self, knowledge: Knowledge, folder: Path, label: str) -> None:
        self._report = folder / f"{label}.json"
        self._process = FORKS.Process(target=refresh_and_report, args=(knowledge, self._report))
        self._process.start()

    def is_running(self) -> bool:
        return self._process.is_alive()

    def ending(self) -> Ending:
        """Wait for it."""
        return ending_of(self._process, self._report)


def ending_of(process: Any, report: Path) -> Ending:
    """Wait for a process that runs `refresh_and_report`."""
    process.join(SECONDS)
    assert process.exitcode == 0
    process.close()
    return Ending(**json.loads(report.read_text(encoding="utf-8")))


def refresh_and_report(knowledge: Knowledge, report: Path) -> None:
    """All stages; how they ended is written to a file."""
    ending = {"error": "", "message": ""}
    try:
        knowledge.refresh()
    except PlatformError as error:
        ending = {"error": type(error).__name__, "message": str(error)}
    report.write_text(json.dumps(ending), encoding="utf-8")
