"""`python -m benchmarks`: speed and memory against the floor and against peers, as ratios.

It asserts nothing: a busy machine is no failure. The exit code is 0 when all was measured.
"""

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.change import measure_change
from benchmarks.in_cluster import measure_cluster
from benchmarks.memory import measure_memory
from benchmarks.parsing import measure_parsing
from benchmarks.real_embedder import measure_real
from benchmarks.refresh import measure_refresh
from benchmarks.report import Figure, say, table, write_json
from benchmarks.serving import measure_serving
from benchmarks.training import measure_training

NAMES = ("refresh", "change", "real", "serving", "parsing", "memory")
# Measured when they are asked for by name: they need a cluster, an environment of their own.
CLUSTER, TRAINING = "cluster", "training"


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


# Once for each size of the corpus, and once.
BY_SIZE = {"refresh": measure_refresh, "change": measure_change}
ALONE = {
    "real": measure_real,
    "serving": measure_serving,
    "parsing": measure_parsing,
    TRAINING: measure_training,
    CLUSTER: measure_cluster,
}


def _measure(name: str, documents: Sequence[int]) -> Iterator[Figure]:
    if name in BY_SIZE:
        for count in documents:
            yield from BY_SIZE[name](count, say)
    elif name in ALONE:
        yield from ALONE[name](say)
    else:
        yield from measure_memory(min(documents), max(documents), say)


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "--documents", type=int, nargs="+", default=[1_000, 10_000], help="sizes of the corpus"
    )
    parser.add_argument(
        "--only",
        choices=[*NAMES, TRAINING, CLUSTER],
        action="append",
        help="measure this alone (may be repeated)",
    )
    parser.add_argument("--json", type=Path, help="where the record goes")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
