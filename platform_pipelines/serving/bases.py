"""The knowledge bases that a server answers from, opened once and followed to each release.

A request works on one revision from its beginning to its end; the next one may find another. The
pointer is looked at a few times a second, which costs a request nothing that it would notice. A
store that does not answer for a moment leaves what is open in use.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

from platform_pipelines.core.knowledge_base.revision import alias_name
from platform_pipelines.errors import TransientError, UnknownNameError
from platform_pipelines.gateways.clock import Clock, SystemClock
from platform_pipelines.gateways.embedder import Embedder
from platform_pipelines.gateways.language_model import LanguageModel
from platform_pipelines.settings import Settings
from platform_pipelines.stages.knowledge_base import connect
from platform_pipelines.stages.knowledge_base.live import Live, LiveRecord, names, read_live
from platform_pipelines.stages.road.connect import release_log

LOOK_SECONDS = 0.25


@dataclass(eq=False)
class Opened:
    """A released revision with who words its answers; `users` are requests that work on it."""

    live: Live
    model: LanguageModel | None
    users: int = 0
    retired: bool = False


@dataclass(eq=False)
class _Base:
    """One knowledge base: what is open, and when the pointer was last looked at."""

    opened: Opened | None = None
    looked_at: float = float("-inf")
    lock: threading.Lock = field(default_factory=threading.Lock)


class Bases:
    """Use as a context manager. Threads may share it."""

    def __init__(
        self, settings: Settings, progress: Callable[[str], None], clock: Clock | None = None
    ) -> None:
        self.settings = settings
        self._progress = progress
        self._clock = clock or SystemClock()
        self._stack = ExitStack()
        self._vectors = self._stack.enter_context(connect.vectors_of(settings))
        self._embedders: dict[str, Embedder] = {}
        self._bases: dict[str, _Base] = {}
        self._lock = threading.Lock()

    def names(self) -> list[str]:
        """What is released, sorted."""
        return names(self.settings)

    def warm(self) -> None:
        """Open everything that is released and search it once, so that no request pays for it."""
        for name in self.names():
            with self.use(name) as opened:
                tenant = opened.live.revision.recipe.tenant
                opened.live.retriever.search(["warm"], k=1, tenant=tenant)

    @contextmanager
    def use(self, name: str, *, again: bool = False) -> Iterator[Opened]:
        """What is live now, for one request. `again` looks at the pointer in any case.

        Raises:
            UnknownNameError: nothing of that name is released.
        """
        base = self._base(name)
        opened = self._current(base, name, again=again)
        try:
            yield opened
        finally:
            with base.lock:
                opened.users -= 1
                self._close_idle(opened)

    def close(self) -> None:
        """Close everything; requests are over by then."""
        for base in self._bases.values():
            if base.opened is not None and base.opened.model is not None:
                base.opened.model.close()
        for embedder in self._embedders.values():
            embedder.close()
        self._stack.close()

    def _base(self, name: str) -> _Base:
        with self._lock:
            known = self._bases.get(name)
        if known is not None:
            return known
        if name not in self.names():  # a stranger's names must not pile up here
            raise _unknown(name, self.names())
        with self._lock:
            return self._bases.setdefault(name, _Base())

    def _current(self, base: _Base, name: str, *, again: bool) -> Opened:
        with base.lock:
            now = self._clock.monotonic()
            if base.opened is None or again or now - base.looked_at >= LOOK_SECONDS:
                self._follow(base, name)
                base.looked_at = now
            assert base.opened is not None
            base.opened.users += 1
            return base.opened

    def _follow(self, base: _Base, name: str) -> None:
        try:
            if base.opened is not None and not self._moved(base.opened, name):
                return
            record = read_live(self.settings, name, self._vectors)
            opened = self._open(record)
        except TransientError as error:
            if base.opened is None:
                raise
            self._progress(f"{name}: cannot look for a newer release: {error.what}")
            return
        before, base.opened = base.opened, opened
        self._progress(f"{name}: answers from revision {record.revision.digest[:12]} now")
        if before is not None:
            before.retired = True
            self._close_idle(before)

    def _moved(self, opened: Opened, name: str) -> bool:
        """The alias says what is followed; the log, that the same collection was released again."""
        alias = alias_name(name, opened.live.revision.recipe.prefix)
        if self._vectors.alias(alias) != opened.live.entry.target:
            return True
        head = release_log(connect.open_knowledge_store(self.settings, name), name).head()
        return head is not None and head.sequence != opened.live.entry.sequence

    def _open(self, record: LiveRecord) -> Opened:
        recipe = record.revision.recipe
        digest = record.revision.embedder_digest
        with self._lock:
            if digest not in self._embedders:
                self._embedders[digest] = connect.open_embedder(
                    self.settings, recipe.embed, self._progress
                )
            embedder = self._embedders[digest]
        model = connect.open_language_model(self.settings, recipe.answer)
        return Opened(record.opened(self._vectors, embedder), model)

    def _close_idle(self, opened: Opened) -> None:
        if opened.retired and opened.users == 0 and opened.model is not None:
            opened.model.close()


def _unknown(name: str, known: list[str]) -> UnknownNameError:
    return UnknownNameError(
        f"nothing called {name!r} is released",
        stored=", ".join(known) or "no knowledge base at all",
        remedy="name one of those",
    )
