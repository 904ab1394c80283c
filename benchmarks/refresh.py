"""Cold, unchanged and 1 % changed: the product, the floor and both peers, in turns.

`changed` is the first change, for which the product builds a fresh collection. What a change costs
from then on, when it recycles one, is measured by `change`.
"""

import logging
import statistics
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import combinations_with_replacement

from benchmarks.contestant import Timed
from benchmarks.corpus import change_corpus
from benchmarks.places import contestants, place, refreshed
from benchmarks.report import Figure, Progress

WARM_DOCUMENTS = 30
UNCHANGED_REPEATS = 5
COLD_ROUNDS = {1_000: 9}  # one of more documents: the run is long enough
CHANGE_ROUNDS = {1_000: 3}
OURS, FLOOR = "ours", "floor"
PEERS = ("langchain", "llamaindex")
BESIDE = (FLOOR, "langchain", FLOOR, "llamaindex")  # a round; one of ours between any two
BUILD_STAGES = ("documents", "chunks", "vectors", "index")

COLD_TARGET = 1.15
UNCHANGED_LANGCHAIN_TARGET = 1 / 20

Timings = dict[tuple[str, str], list[Timed]]
Neighbours = tuple[Timed, Timed, Timed]  # ours before, another, ours after


def measure_refresh(documents: int, progress: Progress) -> Iterator[Figure]:
    """The figures of one corpus size."""
    warm_up(progress)
    chain = _cold_chain(documents, progress)
    yield from _cold_figures(documents, chain)
    floors = [found for name, found in chain if name == FLOOR]
    timings: Timings = {(FLOOR, "cold"): floors}
    for number in range(CHANGE_ROUNDS.get(documents, 1)):
        for name in _in_turn(number):
            progress(f"changes in {documents:,} documents, round {number + 1}: {name}")
            _measure_changes(name, documents, timings)
    yield from _change_figures(documents, timings)


def warm_up(progress: Progress) -> None:
    """Import everything and touch every path once: imports are nobody's time here."""
    progress("imports")
    warnings.filterwarnings("ignore", category=UserWarning, module="llama_index")
    logging.getLogger("pymilvus").setLevel(logging.ERROR)
    for name in (FLOOR, OURS, *PEERS):
        _measure_cold(name, WARM_DOCUMENTS)
    for name in (OURS, *PEERS):
        _measure_changes(name, WARM_DOCUMENTS, {})


def _in_turn(number: int) -> list[str]:
    """Another one goes first in every round."""
    names = [OURS, *PEERS]
    return names[number % len(names) :] + names[: number % len(names)]


def _measure_cold(name: str, documents: int) -> Timed:
    from benchmarks.milvus_index import stored_characters

    with place(documents) as here:
        found = refreshed(contestants()[name](here.corpus, here.home, here.uri), here)
        found.facts["characters"] = stored_characters(here.uri)
        return found


def _cold_chain(documents: int, progress: Progress) -> list[tuple[str, Timed]]:
    """Cold runs one after the other: ours first, last, and between any two others."""
    others = BESIDE * COLD_ROUNDS.get(documents, 1)
    names = [OURS, *(name for other in others for name in (other, OURS))]
    chain: list[tuple[str, Timed]] = []
    for number, name in enumerate(names, start=1):
        progress(f"cold refresh of {documents:,} documents, {number} of {len(names)}: {name}")
        chain.append((name, _measure_cold(name, documents)))
    return chain


def _measure_changes(name: str, documents: int, timings: Timings) -> None:
    with place(documents) as here:
        contestant = contestants()[name](here.corpus, here.home, here.uri)
        contestant.refresh()
        for _ in range(UNCHANGED_REPEATS):
            timings.setdefault((name, "unchanged"), []).append(refreshed(contestant, here))
        change_corpus(here.corpus, documents, edition=1)
        timings.setdefault((name, "changed"), []).append(refreshed(contestant, here))


def _cold_figures(documents: int, chain: Sequence[tuple[str, Timed]]) -> Iterator[Figure]:
    """Each other run is compared with the mean of ours before and after it: a shared machine's
    speed drifts by a third within minutes. The product's whole run also makes evidence and
    releases; `build` is what the others do as well: documents to index."""
    runs = [found for _, found in chain]
    for other, target in ((FLOOR, COLD_TARGET), *((peer, 1.0) for peer in PEERS)):
        beside = [
            (runs[at - 1], found, runs[at + 1])
            for at, (name, found) in enumerate(chain)
            if name == other
        ]
        built = [(_build(a), found, _build(b)) for a, found, b in beside]
        for name, triples in ((OURS, beside), (f"{OURS}, build", built)):
            yield _cold_figure(f"cold, {documents:,} documents: {name} / {other}", triples, target)


def _cold_figure(name: str, beside: Sequence[Neighbours], target: float) -> Figure:
    ratios = [(a.seconds + b.seconds) / 2 / found.seconds for a, found, b in beside]
    ours, others = [a for a, _, _ in beside], [found for _, found, _ in beside]
    return Figure(
        name=name,
        value=hodges_lehmann(ratios),
        target=target,
        detail=f"{_detail(ratios, _median(ours), _median(others))}; "
        f"characters {_characters(ours[-1])} / {_characters(others[-1])}",
        record={
            "ratios": [round(ratio, 4) for ratio in ratios],
            "ours before": [_record(a) for a, _, _ in beside],
            "other": [_record(found) for _, found, _ in beside],
            "ours after": [_record(b) for _, _, b in beside],
        },
    )


def hodges_lehmann(values: Sequence[float]) -> float:
    """The median of the means of all pairs: as robust as needed here, and nearly as exact as the
    mean (Hodges and Lehmann, Estimates of Location Based on Rank Tests, 1963)."""
    return statistics.median((a + b) / 2 for a, b in combinations_with_replacement(values, 2))


def _build(run: Timed) -> Timed:
    stages = run.facts["stages"]
    assert isinstance(stages, dict)
    return replace(run, seconds=sum(stages[stage] for stage in BUILD_STAGES))


def _change_figures(documents: int, timings: Timings) -> Iterator[Figure]:
    """Medians of the rounds' ratios; of the floor, medians alone: it knows no change."""

    def figure(other: str, kind: str, target: float | None = None) -> Figure:
        mine = timings[OURS, kind]
        if other == FLOOR:
            floor = _median(timings[FLOOR, "cold"])
            theirs = [floor] * len(mine)
        else:
            theirs = timings[other, kind]
        ratios = [a.seconds / b.seconds for a, b in zip(mine, theirs, strict=True)]
        return Figure(
            name=f"{kind}, {documents:,} documents: {OURS} / {other}",
            value=statistics.median(ratios),
            target=target,
            detail=_detail(ratios, _median(mine), _median(theirs)),
            record={OURS: [_record(t) for t in mine], other: [_record(t) for t in theirs]},
        )

    yield figure("langchain", "unchanged", UNCHANGED_LANGCHAIN_TARGET)
    yield figure("llamaindex", "unchanged", 1.0)
    for other in (FLOOR, *PEERS):
        yield figure(other, "changed")


def _detail(ratios: Sequence[float], ours: Timed, other: Timed) -> str:
    return (
        f"{min(ratios):.2f} to {max(ratios):.2f} in {len(ratios)}; "
        f"{ours.seconds:.3f} s / {other.seconds:.3f} s; processor "
        f"{ours.cpu_seconds:.2f} s / {other.cpu_seconds:.2f} s; "
        f"rows {ours.rows:,} / {other.rows:,}"
    )


def _characters(run: Timed) -> str:
    return f"{run.facts['characters']:,}"


def _median(of: Sequence[Timed]) -> Timed:
    return replace(
        of[-1],
        seconds=statistics.median(one.seconds for one in of),
        cpu_seconds=statistics.median(one.cpu_seconds for one in of),
    )


def _record(one: Timed) -> dict[str, object]:
    return {
        "seconds": round(one.seconds, 4),
        "cpu_seconds": round(one.cpu_seconds, 4),
        "rows": one.rows,
        **one.facts,
    }
