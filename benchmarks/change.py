"""What 1 % of change costs once recycling has begun: beside the floor's cold run, which knows no
change, and beside the same change by both peers.

In every round each does one more change on the corpus, the state and the Milvus of its own, one
after the other, and the floor one cold run. The verdict is on processor time, of the process, its
workers and its Milvus: on a machine that others use, wall time says more of them. The start of the
parser's process is paid once a refresh, whatever its size; it is shown, and left out beside the
floor, which parses in its own process.
"""

import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace

from benchmarks.contestant import Contestant, Timed, server_pid, timed
from benchmarks.corpus import change_corpus
from benchmarks.places import Place, contestants, place, refreshed
from benchmarks.refresh import FLOOR, OURS, PEERS, warm_up
from benchmarks.report import Figure, Progress
from platform_pipelines.core.knowledge_base.declaration import ReleaseSpec

# The first build, and one more release than are kept, are of fresh collections.
RECYCLES_AFTER = ReleaseSpec().keep + 1
ROUNDS = {1_000: 5}  # one of more documents: a floor's run is long enough
START_UP = "start-up"
FLOOR_TARGETS = {1_000: 0.15, 10_000: 0.05}
PEER_TARGET = 1.0

Runs = dict[str, list[Timed]]


def measure_change(documents: int, progress: Progress) -> Iterator[Figure]:
    """The figures of one corpus size."""
    from benchmarks.ours import Ours

    warm_up(progress)
    runs: Runs = {name: [] for name in (OURS, START_UP, FLOOR, *PEERS)}
    with ExitStack() as stack:
        standing: dict[str, tuple[Contestant, Place]] = {}
        for name in (OURS, *PEERS):
            here = stack.enter_context(place(documents))
            standing[name] = contestants()[name](here.corpus, here.home, here.uri), here
            for edition in range(1 + (RECYCLES_AFTER if name == OURS else 0)):
                progress(f"{name}: {documents:,} documents, {edition} changes before")
                change_corpus(here.corpus, documents, edition=edition)
                standing[name][0].refresh()
        for number in range(1, ROUNDS.get(documents, 1) + 1):
            progress(f"{documents:,} documents, round {number}")
            for name, (contestant, here) in standing.items():
                change_corpus(here.corpus, documents, edition=RECYCLES_AFTER + number)
                runs[name].append(refreshed(contestant, here))
                if isinstance(contestant, Ours):
                    server = server_pid(here.home / "milvus")
                    runs[START_UP].append(timed(contestant.start_up, server=server))
            with place(documents) as cold:
                floor = contestants()[FLOOR](cold.corpus, cold.home, cold.uri)
                runs[FLOOR].append(refreshed(floor, cold))
    yield from figures(documents, runs)


def figures(documents: int, runs: Runs) -> Iterator[Figure]:
    """Medians of the rounds' ratios: processor time with its target, wall time beside it."""
    pairs = zip(runs[OURS], runs[START_UP], strict=True)
    apart = [_without(run, start) for run, start in pairs]
    target = FLOOR_TARGETS.get(documents)
    start = statistics.median(one.cpu_seconds for one in runs[START_UP])
    note = f"; start-up {start:.2f} s of processor"
    compared: list[tuple[str, Sequence[Timed], str, float | None, str]] = [
        (f"{OURS}, start-up apart, / {FLOOR}'s cold run", apart, FLOOR, target, note),
        (f"{OURS} / {FLOOR}'s cold run", runs[OURS], FLOOR, None, ""),
        *((f"{OURS} / {peer}", runs[OURS], peer, PEER_TARGET, "") for peer in PEERS),
    ]
    for name, mine, other, wanted, noted in compared:
        for kind, read in READ.items():
            ratios = [read(a) / read(b) for a, b in zip(mine, runs[other], strict=True)]
            ours, theirs = (statistics.median(map(read, of)) for of in (mine, runs[other]))
            yield Figure(
                name=f"1 % of {documents:,} documents, {kind}: {name}",
                value=statistics.median(ratios),
                target=wanted if kind == "processor" else None,
                detail=f"{min(ratios):.3f} to {max(ratios):.3f} in {len(ratios)}; "
                f"{ours:.3f} s / {theirs:.3f} s{noted}",
                record={key: [_record(one) for one in of] for key, of in runs.items()},
            )


READ: Mapping[str, Callable[[Timed], float]] = {
    "processor": lambda one: one.cpu_seconds,
    "wall": lambda one: one.seconds,
}


def _without(run: Timed, start: Timed) -> Timed:
    return replace(
        run, seconds=run.seconds - start.seconds, cpu_seconds=run.cpu_seconds - start.cpu_seconds
    )


def _record(one: Timed) -> dict[str, object]:
    return {"seconds": one.seconds, "cpu_seconds": one.cpu_seconds, "rows": one.rows, **one.facts}
