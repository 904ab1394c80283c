"""Cold, unchanged and 1 % changed: the product, the floor and both peers, in turns."""

import logging
import shutil
import statistics
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.contestant import Contestant, Timed, local_server, server_pid, timed
from benchmarks.corpus import change_corpus, write_corpus
from benchmarks.report import Figure, Progress

WARM_DOCUMENTS = 30
UNCHANGED_REPEATS = 5
COLD_REPEATS = {1_000: 3}  # one of more documents: the run is long enough
KINDS = ("cold", "unchanged", "changed")

COLD_TARGET = 1.15
UNCHANGED_LANGCHAIN_TARGET = 1 / 20

Make = Callable[[Path, Path, str], Contestant]
Timings = dict[tuple[str, str], list[Timed]]


def measure_refresh(documents: int, progress: Progress) -> Iterator[Figure]:
    """The figures of one corpus size."""
    warm_up(progress)
    timings: Timings = {}
    for number in range(COLD_REPEATS.get(documents, 1)):
        for name, make in _in_turn(number):
            progress(f"refresh of {documents:,} documents, round {number + 1}: {name}")
            _measure(name, make, documents, timings)
    yield from _figures(documents, timings)


def warm_up(progress: Progress) -> None:
    """Import everything and touch every path once: imports are nobody's time here."""
    progress("imports")
    warnings.filterwarnings("ignore", category=UserWarning, module="llama_index")
    logging.getLogger("pymilvus").setLevel(logging.ERROR)
    for name, make in _contestants().items():
        _measure(name, make, WARM_DOCUMENTS, {})


def _contestants() -> dict[str, Make]:
    from benchmarks.floor import Floor
    from benchmarks.langchain_index import LangChainIndex
    from benchmarks.llamaindex_pipeline import LlamaIndexPipeline
    from benchmarks.ours import Ours

    return {c.name: c for c in (Floor, Ours, LangChainIndex, LlamaIndexPipeline)}


def _in_turn(number: int) -> list[tuple[str, Make]]:
    """Another one goes first in every round."""
    makes = list(_contestants().items())
    return makes[number % len(makes) :] + makes[: number % len(makes)]


@dataclass(frozen=True, slots=True)
class _Place:
    corpus: Path
    home: Path
    uri: str


@contextmanager
def _place(documents: int) -> Iterator[_Place]:
    """A corpus, a home and a running Milvus, all of one contestant alone."""
    with ExitStack() as stack:
        root = Path(stack.enter_context(TemporaryDirectory(ignore_cleanup_errors=True)))
        corpus, home = root / "corpus", root / "home"
        home.mkdir()
        write_corpus(corpus, documents)
        uri = stack.enter_context(local_server(home / "milvus"))
        yield _Place(corpus, home, uri)
        shutil.rmtree(corpus)


def _measure(name: str, make: Make, documents: int, timings: Timings) -> None:
    def note(kind: str, contestant: Contestant, place: _Place) -> None:
        found = timed(contestant.refresh, server=server_pid(place.home / "milvus"))
        found.facts.update({"stages": dict(getattr(contestant, "stage_seconds", {}))})
        timings.setdefault((name, kind), []).append(found)

    with _place(documents) as place:
        contestant = make(place.corpus, place.home, place.uri)
        note("cold", contestant, place)
        if name == "floor":
            return
        for _ in range(UNCHANGED_REPEATS):
            note("unchanged", contestant, place)
        change_corpus(place.corpus, documents, edition=1)
        note("changed", contestant, place)


def _figures(documents: int, timings: Timings) -> Iterator[Figure]:
    def seconds(name: str, kind: str) -> float:
        return statistics.median(one.seconds for one in timings[name, kind])

    def figure(name: str, over: str, kind: str, target: float | None = None) -> Figure:
        against = "cold" if over == "floor" else kind
        return Figure(
            name=f"{kind}, {documents:,} documents: {name} / {over}",
            value=seconds(name, kind) / seconds(over, against),
            target=target,
            detail=f"{seconds(name, kind):.3f} s / {seconds(over, against):.3f} s; rows "
            f"{timings[name, kind][-1].rows:,} / {timings[over, against][-1].rows:,}",
            record={n: [vars_of(t) for t in timings[n, k]] for n, k in _pair(name, kind, over)},
        )

    yield figure("ours", "floor", "cold", COLD_TARGET)
    yield figure("ours", "langchain", "cold", 1.0)
    yield figure("ours", "llamaindex", "cold", 1.0)
    yield figure("ours", "langchain", "unchanged", UNCHANGED_LANGCHAIN_TARGET)
    yield figure("ours", "llamaindex", "unchanged", 1.0)
    yield figure("ours", "floor", "changed")
    yield figure("ours", "langchain", "changed")
    yield figure("ours", "llamaindex", "changed")


def _pair(name: str, kind: str, over: str) -> list[tuple[str, str]]:
    return [(name, kind), (over, "cold" if over == "floor" else kind)]


def vars_of(one: Timed) -> dict[str, object]:
    """A timing as JSON."""
    return {
        "seconds": round(one.seconds, 4),
        "cpu_seconds": round(one.cpu_seconds, 4),
        "rows": one.rows,
        **one.facts,
    }
