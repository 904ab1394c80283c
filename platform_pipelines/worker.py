"""The one entry point inside a worker process: an operation and its items in, results out.

Started by `compute.pool` with inherited file descriptors, or alone:

    python -m platform_pipelines.worker --task FILE

where FILE is JSON `{"operation": …, "shared": {…}, "items": [{…}]}`. It prints one JSON object per
item and exits with 0 (all done), 65 (an item failed and would fail again), 75 (a retry may help) or
2 (the task itself cannot be used). Keep this module light: every worker pays for its imports.

An operation is `def op(shared: Mapping, items: Iterator[Mapping]) -> Iterator[Mapping]`, and yields
exactly one result per item, before it takes the next item. When it raises inside an item, only that
item fails, and the operation is called again with the items that remain.
"""

import argparse
import importlib
import json
import os
import socket
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn, TextIO

from platform_pipelines.compute.execute import Operation, execute
from platform_pipelines.compute.limits import live_only_with_parent, settle_signals
from platform_pipelines.compute.progress import Phase, Progress
from platform_pipelines.compute.serve import serve
from platform_pipelines.errors import ConfigurationError, PlatformError

OPERATIONS = {
    "chunks.shard": "platform_pipelines.stages.knowledge_base.chunks_worker:chunk_shards",
    "documents.parse": "platform_pipelines.stages.knowledge_base.documents_worker:parse_items",
    "evidence.judge": "platform_pipelines.stages.knowledge_base.evidence_worker:judge_items",
    "evidence.ragas": "platform_pipelines.stages.knowledge_base.evidence_worker:ragas_items",
}
EXIT_UNUSABLE = 2
EXIT_TERMINAL = 65  # EX_DATAERR: on this code a Kubernetes podFailurePolicy can fail an index
EXIT_TRANSIENT = 75  # EX_TEMPFAIL


def resolve(operation: str) -> Operation:
    """The function of an operation's name, or of `module:function`. Raises ConfigurationError."""
    target = OPERATIONS.get(operation, operation if ":" in operation else "")
    module, _, function = target.partition(":")
    if not (module and function):
        raise ConfigurationError(
            "no such worker operation",
            where="operation",
            stored=operation,
            expected=", ".join(sorted(OPERATIONS)),
        )
    try:
        return getattr(importlib.import_module(module), function)
    except (ImportError, AttributeError) as error:
        raise ConfigurationError(
            "the worker operation cannot be imported",
            where=operation,
            stored=f"{type(error).__name__}: {error}",
            expected=target,
            remedy="install what the operation imports, or correct its name",
        ) from error


def run_task_file(path: Path, output: TextIO) -> int:
    """Run the one task in a JSON file, print a JSON line per item, and return the exit code."""
    task = _read_task(path)
    failures: list[bool] = []

    def report(message: dict[str, object]) -> None:
        if message["kind"] == "failed":
            failures.append(bool(message["terminal"]))
        print(json.dumps(message, ensure_ascii=False), file=output, flush=True)

    items = list(enumerate(task["items"]))
    execute(
        resolve(task["operation"]), task.get("shared", {}), items, marker=_Nowhere(), report=report
    )
    if not failures:
        return 0
    return EXIT_TERMINAL if any(failures) else EXIT_TRANSIENT


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse the command line and run as a pool's worker or for one task file."""
    parser = argparse.ArgumentParser(prog="python -m platform_pipelines.worker")
    parser.add_argument("--task", type=Path, metavar="FILE", help="run one task from a JSON file")
    parser.add_argument(
        "--inherited",
        nargs=3,
        type=int,
        metavar=("CHANNEL", "LIFELINE", "PROGRESS"),
        help="file descriptors of the pool that started this worker",
    )
    options = parser.parse_args(arguments)
    if options.inherited:
        _serve_pool(*options.inherited)
    if options.task is None:
        parser.error("give --task FILE")
    # Libraries print to stdout; keep it for the results alone.
    with os.fdopen(os.dup(1), "w", encoding="utf-8") as output:
        os.dup2(2, 1)
        try:
            return run_task_file(options.task, output)
        except PlatformError as error:
            print(f"{type(error).__name__}: {error}", file=sys.stderr)
            return EXIT_UNUSABLE if error.terminal else EXIT_TRANSIENT


def _serve_pool(channel: int, lifeline: int, progress: int) -> NoReturn:
    for descriptor in (channel, lifeline, progress):
        os.set_inheritable(descriptor, False)  # a program that an operation starts gets none
    settle_signals()
    live_only_with_parent(lifeline)
    with socket.socket(fileno=channel) as connection:
        code = serve(connection, Progress(progress), resolve)
    sys.stdout.flush()
    sys.stderr.flush()
    # Every answer is sent: taking the interpreter apart would be 30 ms that the pool waits for.
    os._exit(code)


def _read_task(path: Path) -> dict[str, Any]:
    try:
        task = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigurationError(
            "the task file cannot be read", where=str(path), stored=str(error)
        ) from error
    if not (isinstance(task, dict) and {"operation", "items"} <= task.keys()):
        raise ConfigurationError(
            "the task file is incomplete", where=str(path), expected="operation, items[, shared]"
        )
    return task


class _Nowhere:
    """A single task needs no position: whoever reads its exit code runs the whole task again."""

    def mark(self, index: int, phase: Phase) -> None:
        """Forget it."""


if __name__ == "__main__":
    sys.exit(main())
