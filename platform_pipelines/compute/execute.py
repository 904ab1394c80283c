"""Runs an operation over items, one answer per item, and confines an error to its item."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol

from platform_pipelines.compute.progress import Phase
from platform_pipelines.compute.protocol import FailureKind, Working, error_fields
from platform_pipelines.errors import IntegrityError, PlatformError

Answer = Mapping[str, Any] | Working
Operation = Callable[[Mapping[str, Any], Iterator[Mapping[str, Any]]], Iterator[Answer]]
Report = Callable[[dict[str, object]], None]
_DETAIL_CHARS = 4000


class Marker(Protocol):
    """Where the position is written; `progress.Progress` in a worker."""

    def mark(self, index: int, phase: Phase) -> None:
        """The worker is at `items[index]` of the task, in that phase."""
        ...


def execute(
    operation: Operation,
    shared: Mapping[str, Any],
    items: Sequence[tuple[int, Mapping[str, Any]]],
    *,
    marker: Marker,
    report: Report,
) -> None:
    """Report `done` or `failed` for each (index, item), in order, and `working` on the way.

    When the operation raises inside an item, it is called again with the rest. Raises what it
    raises outside of an item, and IntegrityError when it does not answer item by item.
    """
    feed = _Feed(items, marker)
    while feed.remaining:
        _attempt(operation, shared, feed, report)


def failure(error: BaseException) -> dict[str, object]:
    """An exception as the fields of a message."""
    kind = FailureKind.MEMORY_BUDGET if isinstance(error, MemoryError) else FailureKind.RAISED
    terminal = error.terminal if isinstance(error, PlatformError) else True
    name = "MemoryBudgetError" if isinstance(error, MemoryError) else type(error).__name__
    return {
        "failure": str(kind),
        "error_type": name,
        "detail": _describe(error)[:_DETAIL_CHARS],
        "terminal": terminal,
        "fields": error_fields(error),
    }


class _Feed:
    """Hands out items one at a time, and knows which one the operation is inside of."""

    def __init__(self, items: Sequence[tuple[int, Mapping[str, Any]]], marker: Marker) -> None:
        self._items = items
        self._marker = marker
        self._taken = 0
        self._answered = 0
        self.broken = False

    @property
    def remaining(self) -> int:
        return len(self._items) - self._answered

    @property
    def is_inside(self) -> bool:
        return self._taken > self._answered and not self.broken

    def __iter__(self) -> Iterator[Mapping[str, Any]]:
        while self._taken < len(self._items):
            if self.is_inside:
                self.broken = True
                raise IntegrityError("the operation took an item before it answered the last one")
            index, item = self._items[self._taken]
            self._taken += 1
            self._marker.mark(index, Phase.RUNNING)
            yield item

    def answer(self) -> int:
        """The index that an answer now belongs to."""
        if not self.is_inside:
            self.broken = True
            raise IntegrityError("the operation gave a result that belongs to no item")
        return self._items[self._answered][0]

    def step(self) -> None:
        """The item has its answer."""
        self._marker.mark(self._items[self._answered][0], Phase.BETWEEN)
        self._answered += 1


def _attempt(operation: Operation, shared: Mapping[str, Any], feed: _Feed, report: Report) -> None:
    try:
        for result in operation(shared, iter(feed)):
            index = feed.answer()
            if isinstance(result, Working):
                report({"kind": "working", "index": index, "counts": dict(result.counts)})
                continue
            report({"kind": "done", "index": index, "result": _checked(result)})
            feed.step()
    except (Exception, SystemExit) as error:
        if not feed.is_inside:
            raise
        report({"kind": "failed", "index": feed.answer(), **failure(error)})
        feed.step()
        return
    if feed.remaining:
        raise IntegrityError(
            "the operation ended before it answered every item",
            stored=f"{feed.remaining} without an answer",
            expected="one result per item, in order",
        )


def _checked(result: object) -> dict[str, object]:
    if not isinstance(result, Mapping):
        raise IntegrityError(
            "an operation's result must be a mapping", stored=type(result).__name__
        )
    return dict(result)


def _describe(error: BaseException) -> str:
    if isinstance(error, MemoryError):
        return "needed more memory than the budget allows"
    if isinstance(error, PlatformError):
        return str(error)
    import traceback  # and with it the tokenizer of Python: no worker pays unless it failed

    where = traceback.extract_tb(error.__traceback__)
    place = f" ({where[-1].name}, line {where[-1].lineno})" if where else ""
    return f"{type(error).__name__}: {error}{place}"
