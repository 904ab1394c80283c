"""Fakes that other tests share: a clock that stands still, and a store that fails on demand."""

import random
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import BinaryIO

from platform_pipelines.core.knowledge_base.documents import SourceObject
from platform_pipelines.core.road.manifests import Manifest, ObjectKey
from platform_pipelines.errors import PlatformError, UnavailableError
from platform_pipelines.gateways.object_store import Fetched, ObjectStore, Skipped

EPOCH = datetime(2026, 11, 21, 9, 0, tzinfo=UTC)


class FakeClock:
    """Time that moves only by `sleep` and `advance`. Records what was slept.

    `on_sleep` runs after each sleep, to let something else happen meanwhile.
    """

    def __init__(
        self,
        start: datetime = EPOCH,
        *,
        monotonic_seconds: float = 1000.0,
        on_sleep: Callable[[float], None] | None = None,
    ) -> None:
        self._now = start
        self._monotonic = monotonic_seconds
        self._on_sleep = on_sleep
        self.slept: list[float] = []

    def now(self) -> datetime:
        return self._now

    def monotonic(self) -> float:
        return self._monotonic

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.advance(seconds)
        if self._on_sleep is not None:
            self._on_sleep(seconds)

    def advance(self, seconds: float) -> None:
        self._now += timedelta(seconds=max(0.0, seconds))
        self._monotonic += max(0.0, seconds)


class FaultyObjectStore:
    """A real store whose writes fail as told. With no knob set it is the store itself.

    Args:
        inner: the store that does the work.
        fail_before: chance that a write fails and nothing was written.
        fail_after: chance that a write fails although it landed (the answer was lost).
        fail_reads: chance that a read fails.
        fail_at: the number of a write (from 1) and how it fails: `before` or `after`; once each.
        error: what is raised.
        seed: of the chances.
    """

    def __init__(
        self,
        inner: ObjectStore,
        *,
        fail_before: float = 0.0,
        fail_after: float = 0.0,
        fail_reads: float = 0.0,
        fail_at: Mapping[int, str] | None = None,
        error: Callable[[], PlatformError] = lambda: UnavailableError("injected fault"),
        seed: int = 0,
    ) -> None:
        self.url = inner.url
        self._inner = inner
        self._fail_before = fail_before
        self._fail_after = fail_after
        self._fail_reads = fail_reads
        self._fail_at = dict(fail_at or {})
        self._error = error
        self._random = random.Random(seed)
        self.writes: list[
            tuple[str, str]
        ] = []  # ("put" | "write" | "delete", key), also the failed
        self.reads: list[str] = []

    def list_objects(
        self, prefix: str = "", *, skipped: Skipped | None = None
    ) -> Iterator[Sequence[SourceObject]]:
        self._read(f"list {prefix}")
        return self._inner.list_objects(prefix, skipped=skipped)

    def get(self, key: str) -> tuple[bytes, str]:
        self._read(key)
        return self._inner.get(key)

    def get_many(self, keys: Iterable[str]) -> Iterator[Fetched]:
        for fetched in self._inner.get_many(keys):
            self._read(fetched.key)
            yield fetched

    def open_reader(self, key: str) -> BinaryIO:
        self._read(key)
        return self._inner.open_reader(key)

    @contextmanager
    def open_writer(self, key: str) -> Generator[BinaryIO]:
        with self._write("write", key), self._inner.open_writer(key) as file:
            yield file

    def put(
        self, key: str, data: bytes, *, if_absent: bool = False, if_version: str | None = None
    ) -> str:
        with self._write("put", key):
            return self._inner.put(key, data, if_absent=if_absent, if_version=if_version)

    def delete(self, keys: Iterable[str]) -> None:
        for key in keys:  # one by one, so that a fault may come between
            with self._write("delete", key):
                self._inner.delete([key])

    def head(self, key: str) -> SourceObject | None:
        self._read(key)
        return self._inner.head(key)

    def exists(self, key: str) -> bool:
        return self.head(key) is not None

    @contextmanager
    def _write(self, kind: str, key: str) -> Generator[None]:
        self.writes.append((kind, key))
        told = self._fail_at.pop(len(self.writes), "")
        if told == "before" or self._random.random() < self._fail_before:
            raise self._error()
        yield
        if told == "after" or self._random.random() < self._fail_after:
            raise self._error()

    def _read(self, key: str) -> None:
        self.reads.append(key)
        if self._random.random() < self._fail_reads:
            raise self._error()


class Admitting:
    """A cluster that takes everything and keeps it: these tests are about the gate."""

    def __init__(self) -> None:
        self.objects: dict[str, Manifest] = {}

    def get(self, key: ObjectKey) -> Manifest | None:
        return self.objects.get(str(key))

    def apply(self, manifest: Manifest, *, dry_run: bool = False, force: bool = False) -> Manifest:
        return manifest

    def delete(self, live: Manifest, *, dry_run: bool = False) -> None:
        raise AssertionError("nothing is pruned here")

    def owned(self, kinds: set[tuple[str, str]], labels: Mapping[str, str]) -> Iterator[Manifest]:
        return iter(())
