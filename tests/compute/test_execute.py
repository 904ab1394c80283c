"""One answer per item, in order, whatever the operation does."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from platform_pipelines.compute.execute import Operation, execute
from platform_pipelines.compute.progress import Phase
from platform_pipelines.errors import IntegrityError, UnavailableError


class Marks:
    """Records where the worker was."""

    def __init__(self) -> None:
        self.seen: list[tuple[int, Phase]] = []

    def mark(self, index: int, phase: Phase) -> None:
        self.seen.append((index, phase))


def fails_where_told(
    shared: Mapping[str, Any], items: Iterator[Mapping[str, Any]]
) -> Iterator[Mapping[str, Any]]:
    for item in items:
        if item["fails"]:
            raise ValueError("told to")
        yield {"n": item["n"]}


def outcomes_of(
    operation: Operation, items: Sequence[tuple[int, Mapping[str, Any]]], marks: Marks | None = None
) -> list[dict[str, object]]:
    reports: list[dict[str, object]] = []
    execute(operation, {}, items, marker=marks or Marks(), report=reports.append)
    return reports


@given(st.lists(st.booleans(), max_size=30))
def test_an_error_fails_its_item_and_no_other(fails: list[bool]) -> None:
    """First, last, all or several in a row."""
    items = [(n * 10, {"n": n, "fails": fail}) for n, fail in enumerate(fails)]
    marks = Marks()
    reports = outcomes_of(fails_where_told, items, marks)
    assert [(r["index"], r["kind"]) for r in reports] == [
        (n * 10, "failed" if fail else "done") for n, fail in enumerate(fails)
    ]
    assert [index for index, phase in marks.seen if phase is Phase.RUNNING] == [
        index for index, _ in items
    ]


def test_an_error_before_the_first_item_is_nobodys() -> None:
    """It would fail every item the same way: the caller hears it once."""

    def operation(shared: Mapping[str, Any], items: Iterator[Any]) -> Iterator[Any]:
        raise UnavailableError("no store")
        yield from items

    with pytest.raises(UnavailableError, match="no store"):
        outcomes_of(operation, [(0, {})])


def test_an_error_after_the_last_item_does_not_take_back_its_result() -> None:
    """The result was given; what failed is the operation's end."""

    def operation(shared: Mapping[str, Any], items: Iterator[Any]) -> Iterator[Any]:
        yield from items
        raise UnavailableError("could not close")

    reports: list[dict[str, object]] = []
    with pytest.raises(UnavailableError, match="could not close"):
        execute(operation, {}, [(0, {"a": 1})], marker=Marks(), report=reports.append)
    assert [r["result"] for r in reports] == [{"a": 1}]


@pytest.mark.parametrize("answer", [None, 7, "text", ["a"]])
def test_a_result_that_is_no_mapping_fails_its_item(answer: object) -> None:
    """Found where it is made, not where it is read."""

    def operation(shared: Mapping[str, Any], items: Iterator[Any]) -> Iterator[Any]:
        for _ in items:
            yield answer

    (report,) = outcomes_of(operation, [(0, {})])
    assert (report["kind"], report["error_type"]) == ("failed", "IntegrityError")


def test_two_results_for_one_item_end_the_run() -> None:
    """From there on every result would belong to the wrong item."""

    def operation(shared: Mapping[str, Any], items: Iterator[Any]) -> Iterator[Any]:
        for item in items:
            yield item
            yield item

    with pytest.raises(IntegrityError, match="belongs to no item"):
        outcomes_of(operation, [(0, {}), (1, {})])
