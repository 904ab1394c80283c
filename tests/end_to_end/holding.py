"""A refresh in a process of its own that is held before one of its writes to the vector store."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self, cast

from platform_pipelines.gateways.vector_store import VectorStore
from platform_pipelines.settings import Settings
from platform_pipelines.stages.knowledge_base import connect
from tests.end_to_end.killing import FORKS, SECONDS, Ending, ending_of, refresh_and_report
from tests.knowledge import Knowledge

WRITES = ("create", "insert", "seal", "point_alias")


class HeldRefresh:
    """Started by `with`; goes on when the block ends. `before` is one of `WRITES`."""

    def __init__(self, knowledge: Knowledge, folder: Path, *, before: str) -> None:
        assert before in WRITES
        self._report = folder / f"held-before-{before}.json"
        self._held, self._go = FORKS.Event(), FORKS.Event()
        arguments = (knowledge, before, self._held, self._go, self._report)
        self._process = FORKS.Process(target=_refresh, args=arguments)

    def __enter__(self) -> Self:
        self._process.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._go.set()
        self._process.join(SECONDS)

    def wait_until_held(self) -> None:
        """Until the write is next, and stays so."""
        assert self._held.wait(SECONDS), "it never came to that write"

    def is_running(self) -> bool:
        return self._process.is_alive()

    def ending(self) -> Ending:
        return ending_of(self._process, self._report)


def _refresh(knowledge: Knowledge, before: str, held: Any, go: Any, report: Path) -> None:
    setattr(connect, "vectors_of", _held_vectors(before, held, go))  # noqa: B010 - its own process
    refresh_and_report(knowledge, report)


class _Holding:
    """The real store, but that one kind of write waits to be let through."""

    def __init__(self, inner: VectorStore, before: str, held: Any, go: Any) -> None:
        self._inner, self._before, self._held, self._go = inner, before, held, go

    def __getattr__(self, name: str) -> Any:
        if name == self._before:
            self._held.set()
            assert self._go.wait(SECONDS)
        return getattr(self._inner, name)


def _held_vectors(before: str, held: Any, go: Any) -> Any:
    opened = connect.vectors_of

    @contextmanager
    def holding(settings: Settings) -> Iterator[VectorStore]:
        with opened(settings) as store:
            yield cast("VectorStore", _Holding(store, before, held, go))

    return holding
