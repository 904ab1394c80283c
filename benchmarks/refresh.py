"""Cold, unchanged and 1 % changed: the product, the floor and both peers, in turns."""

import logging
import shutil
import statistics
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.contestant import Contestant, Timed, local_server, server_pid, timed
from benchmarks.corpus import change_corpus, write_corpus
from benchmarks.report import Figure, Progress

WARM_DOCUMENTS = 30
UNCHANGED_REPEATS = 5
COLD_REPEATS = {1_000: 7}  # one of more documents: the run is long enough
PEERS = ("langchain", "llamaindex")
BUILD_STAGES = ("documents", "chunks", "vectors", "index")

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
    """Medians of the rounds' ratios: within a round the machine is the same for everybody. The
    product's whole run also makes evidence and releases; `build` is what the others do as well:
    documents to index."""
    for one in timings["ours", "cold"]:
        stages = one.facts["stages"]
        assert isinstance(stages, dict)
        built = sum(seconds for name, seconds in stages.items() if name in BUILD_STAGES)
        timings.setdefault(("ours, build", "cold"), []).append(replace(one, seconds=built))

    def figure(name: str, over: str, kind: str, target: float | None = None) -> Figure:
        mine, theirs = timings[name, kind], timings[over, "cold" if over == "floor" else kind]
        above, below = _median(mine), _median(theirs)
        ratios = [a.seconds / b.seconds for a, b in zip(mine, theirs, strict=True)]
        return Figure(
            name=f"{kind}, {documents:,} documents: {name} / {over}",
            value=statistics.median(ratios),
            target=target,
            detail=f"{min(ratios):.2f} to {max(ratios):.2f} in {len(ratios)}; "
            f"{above.seconds:.3f} s / {below.seconds:.3f} s; processor "
            f"{above.cpu_seconds:.2f} s / {below.cpu_seconds:.2f} s; "
            f"rows {above.rows:,} / {below.rows:,}",
            record={name: [_record(t) for t in mine], over: [_record(t) for t in theirs]},
        )

    yield figure("ours", "floor", "cold", COLD_TARGET)
    yield figure("ours, build", "floor", "cold", COLD_TARGET)
    for peer in PEERS:
        yield figure("ours", peer, "cold", 1.0)
        yield figure("ours, build", peer, "cold", 1.0)
    yield figure("ours", "langchain", "unchanged", UNCHANGED_LANGCHAIN_TARGET)
    yield figure("ours", "llamaindex", "unchanged", 1.0)
    for other in ("floor", *PEERS):
        yield figure("ours", other, "changed")


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
