"""`python -m benchmarks`: speed and memory against the floor and against peers, as ratios.

It asserts nothing: a busy machine is no failure. The exit code is 0 when all was measured.
"""

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.in_cluster import measure_cluster
from benchmarks.memory import measure_memory
from benchmarks.parsing import measure_parsing
from benchmarks.real_embedder import measure_real
from benchmarks.refresh import measure_refresh
from benchmarks.report import Figure, say, table, write_json
from benchmarks.serving import measure_serving

NAMES = ("refresh", "real", "serving", "parsing", "memory")
CLUSTER = "cluster"  # measured when it is asked for by name: it needs a cluster


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure what was asked for, print the table, and keep the record."""
    options = _parse(arguments)
    figures: list[Figure] = []
    for name in options.only or NAMES:
        figures.extend(_measure(name, options.documents))
    path = write_json(options.json, figures)
    print(table(figures))
    say(f"kept in {path}")
    return 0


def _measure(name: str, documents: Sequence[int]) -> Iterator[Figure]:
    if name == "refresh":
        for count in documents:
            yield from measure_refresh(count, say)
    elif name == "parsing":
        yield from measure_parsing(say)
    elif name == CLUSTER:
        yield from measure_cluster(say)
    elif name == "real":
        yield from measure_real(say)
    elif name == "serving":
        yield from measure_serving(say)
    else:
        yield from measure_memory(min(documents), max(documents), say)


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "--documents", type=int, nargs="+", default=[1_000, 10_000], help="sizes of the corpus"
    )
    parser.add_argument(
        "--only",
        choices=[*NAMES, CLUSTER],
        action="append",
        help="measure this alone (may be repeated)",
    )
    parser.add_argument("--json", type=Path, help="where the record goes")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
