"""Asking prompts, several at once; an answer is stored before its slot asks the next.

So a kill loses at most one answer a slot, and what is asked again is at most kills x concurrency.
"""

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

from platform_pipelines.core.batch_inference.answers import Answered, State, from_line
from platform_pipelines.core.batch_inference.prompts import Prompt
from platform_pipelines.errors import (
    ConflictError,
    PlatformError,
    RequestRefusedError,
    TransientError,
)
from platform_pipelines.gateways.clock import Clock
from platform_pipelines.gateways.language_model import LanguageModel, Message, ModelReply
from platform_pipelines.gateways.object_store import ObjectStore

INBOX = "inbox"
BATCHES_AHEAD = 1  # asked while the slowest prompt of the one before is waited for


@dataclass(frozen=True, slots=True)
class AskedBatch:
    """Prompts of one batch: those that ended, and those to be asked in another run."""

    prompts: tuple[Prompt, ...]
    ended: tuple[Answered, ...]
    waiting: Mapping[str, TransientError]  # by key


@dataclass
class Asker:
    """Asks a model with `concurrency` slots. Use it by `with`; the model stays the caller's."""

    model: LanguageModel
    inbox: ObjectStore
    recipe: str
    concurrency: int
    clock: Clock
    check: Callable[[], None]  # raises when the time is over or the lease is lost
    kept: frozenset[str] = frozenset()  # keys whose answer an earlier run left in the inbox
    calls: int = 0
    found: int = 0  # answers that an earlier run had stored
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def batches(self, batches: Sequence[Sequence[Prompt]]) -> Iterator[AskedBatch]:
        """Every batch, in order, as soon as all of it has ended."""
        stopped = threading.Event()
        pool = ThreadPoolExecutor(self.concurrency, thread_name_prefix="prompts")
        flying: list[tuple[Sequence[Prompt], list[Future[Answered]]]] = []
        try:
            for batch in batches:
                flying.append((batch, [pool.submit(self._end, one, stopped) for one in batch]))
                if len(flying) > BATCHES_AHEAD:
                    yield _landed(*flying.pop(0))
            for prompts, futures in flying:
                yield _landed(prompts, futures)
        finally:
            stopped.set()
            pool.shutdown(wait=True, cancel_futures=True)

    def forget(self, keys: Sequence[str]) -> None:
        """Take answers out of the inbox: they are in a file now."""
        self.inbox.delete([self._key(key) for key in keys])

    def _end(self, prompt: Prompt, stopped: threading.Event) -> Answered:
        if prompt.key in self.kept:
            with self._lock:
                self.found += 1
            return self._stored(prompt.key)
        if stopped.is_set():
            raise TransientError("the run ends", where=prompt.id)
        self.check()
        with self._lock:
            self.calls += 1
        started = self.clock.monotonic()
        try:
            reply = self.model.complete([Message(role, text) for role, text in prompt.messages])
        except RequestRefusedError as error:
            return self._made(prompt, State.REJECTED, error.what, None, started)
        state = _state(reply)
        text = reply.refusal if state is State.REFUSED else reply.text
        return self._keep(self._made(prompt, state, text, reply, started))

    def _keep(self, answered: Answered) -> Answered:
        """Store it, or take what another run has stored meanwhile: there is one answer."""
        try:
            self.inbox.put(self._key(answered.key), answered.to_line().encode(), if_absent=True)
        except ConflictError:
            return self._stored(answered.key)
        return answered

    def _stored(self, key: str) -> Answered:
        return from_line(self.inbox.get(self._key(key))[0].decode())

    def _made(
        self, prompt: Prompt, state: State, text: str, reply: ModelReply | None, started: float
    ) -> Answered:
        return Answered(
            prompt.key, prompt.id, state, text, self.model.name,
            reply.input_tokens if reply else 0, reply.output_tokens if reply else 0,
            self.clock.monotonic() - started, self.clock.now().isoformat(timespec="seconds"),
        )  # fmt: skip

    def _key(self, key: str) -> str:
        return f"{INBOX}/{self.recipe}/{key}.json"


def kept_in(inbox: ObjectStore, recipe: str) -> frozenset[str]:
    """The keys of answers that a killed run left."""
    listed = (one.key for batch in inbox.list_objects(f"{INBOX}/{recipe}") for one in batch)
    return frozenset(key.rpartition("/")[2].removesuffix(".json") for key in listed)


def _state(reply: ModelReply) -> State:
    if reply.refusal and not reply.text:
        return State.REFUSED
    return State.ANSWERED if reply.finished else State.CUT


def _landed(prompts: Sequence[Prompt], futures: Sequence[Future[Answered]]) -> AskedBatch:
    """Waits for all of a batch. What the server could not do now is told by its prompt.

    Raises:
        PlatformError: what stops the run: the time, the lease, a key that is refused.
    """
    ended: list[Answered] = []
    waiting: dict[str, TransientError] = {}
    stop: PlatformError | None = None
    for prompt, future in zip(prompts, futures, strict=True):
        try:
            ended.append(future.result())
        except TransientError as error:
            if isinstance(error, ConflictError):
                stop = stop or error
            waiting[prompt.key] = error
        except PlatformError as error:
            stop = stop or error
    if stop is not None:
        raise stop
    return AskedBatch(tuple(prompts), tuple(ended), waiting)
