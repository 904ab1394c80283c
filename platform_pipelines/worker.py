"""The one entry point inside a worker process: an operation and its items in, results out.

Started by `compute.pool` with inherited file descriptors, or alone:

    python -m platform_pipelines.worker --task FILE
    python -m platform_pipelines.worker --plan KEY [--index N]

FILE is JSON: items, `{"operation": …, "shared": {…}, "items": [{…}]}`, or one `tasks.TaskSpec`. KEY
is that of a plan (`compute.plans`) in the platform's store, e.g.
`knowledge/handbook/tasks/<digest>/plan.json`; task N of it is run, and its record written beside
the plan. Without `--index`, N is what an Indexed Job says (JOB_COMPLETION_INDEX). A task gets its
access to stores from this process's own settings.

It prints one JSON object an item and exits with 0 (all done), 65 (an item failed and would fail
again), 75 (a retry may help) or 2 (the task itself cannot be used). Keep this module light: every
worker pays for its imports.

An operation is `def op(shared: Mapping, items: Iterator[Mapping]) -> Iterator[Mapping]`, and yields
exactly one result per item, before it takes the next item. When it raises inside an item, only that
item fails, and the operation is called again with the items that remain. Before an item's result it
may yield `protocol.Working` any number of times, to say how far it is.
"""

import argparse
import importlib
import json
import os
import signal
import socket
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn, TextIO

from platform_pipelines.compute.confinement import hide_from_peers
from platform_pipelines.compute.execute import Operation, execute
from platform_pipelines.compute.limits import live_only_with_parent, settle_signals
from platform_pipelines.compute.progress import Phase, Progress
from platform_pipelines.compute.serve import serve
from platform_pipelines.errors import ConfigurationError, PlatformError

_KNOWLEDGE = "platform_pipelines.stages.knowledge_base"
OPERATIONS = {
    "chunks.shards": f"{_KNOWLEDGE}.chunks_worker:chunk_shards",
    "vectors.embed": f"{_KNOWLEDGE}.vectors_worker:embed_shards",
    "vectors.move": f"{_KNOWLEDGE}.vectors_moving:move_vectors",
    "documents.parse": f"{_KNOWLEDGE}.parsing_worker:parse_bytes",
    "documents.shards": f"{_KNOWLEDGE}.documents_worker:parse_shards",
    "evaluation.answer": f"{_KNOWLEDGE}.answering_worker:answer_questions",
    "evaluation.ask": f"{_KNOWLEDGE}.evaluation_worker:ask_shards",
    "evaluation.judge": f"{_KNOWLEDGE}.answering_worker:judge_shards",
    "evaluation.sample": f"{_KNOWLEDGE}.evaluation_worker:sample_sentences",
    "evaluation.scan": f"{_KNOWLEDGE}.evaluation_worker:scan_chunks",
    "prompts.answer": "platform_pipelines.stages.batch_inference.jobs:answer_prompts",
    "evaluation.copies": f"{_KNOWLEDGE}.evaluation_worker:find_copies",
    "evidence.judge": f"{_KNOWLEDGE}.evidence_worker:judge_items",
    "evidence.ragas": f"{_KNOWLEDGE}.evidence_worker:ragas_items",
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

    if "items" in task:
        items, shared = task["items"], task.get("shared", {})
    else:
        items, shared = [task], _own_access()
    numbered = list(enumerate(items))
    execute(resolve(task["operation"]), shared, numbered, marker=_Nowhere(), report=report)
    if not failures:
        return 0
    return EXIT_TERMINAL if any(failures) else EXIT_TRANSIENT


def run_planned_task(plan: str, index: int | None, output: TextIO) -> int:
    """Run one task of a plan in the platform's store, write its outcome, return the exit code."""
    from platform_pipelines.compute import plans
    from platform_pipelines.compute.local_backend import run_one
    from platform_pipelines.compute.tasks import TaskFailed
    from platform_pipelines.settings import load_settings
    from platform_pipelines.stages.road.access import open_named

    signal.signal(signal.SIGTERM, _end_to_be_tried_again)
    chosen = load_settings().task_index if index is None else index
    if chosen is None:
        raise ConfigurationError(
            "which task of the plan?", remedy="give --index N, or run it in an Indexed Job"
        )
    access = _own_access()
    store = open_named(access, access["root"])
    task = plans.task_at(plans.read_plan(store, plan), chosen, root=store.url)

    def say(counts: Mapping[str, int]) -> None:
        print(json.dumps({"kind": "working", "counts": dict(counts)}), file=output, flush=True)

    outcome = run_one(resolve(task.operation), task, access, working=say)
    plans.write_outcome(store, plan, chosen, outcome)
    print(outcome.model_dump_json(), file=output, flush=True)
    if not isinstance(outcome, TaskFailed):
        return 0
    return EXIT_TERMINAL if outcome.terminal else EXIT_TRANSIENT


def _end_to_be_tried_again(signum: int, frame: object) -> NoReturn:
    """The first process of a container ignores SIGTERM, and would be killed as if for memory."""
    del signum, frame
    os._exit(EXIT_TRANSIENT)


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse the command line and run as a pool's worker or for one task."""
    parser = argparse.ArgumentParser(prog="python -m platform_pipelines.worker")
    parser.add_argument("--task", type=Path, metavar="FILE", help="run one task from a JSON file")
    parser.add_argument("--plan", metavar="KEY", help="run one task of a plan in the store")
    parser.add_argument("--index", type=int, metavar="N", help="which task of the plan, from 0")
    parser.add_argument(
        "--inherited",
        nargs=3,
        type=int,
        metavar=("CHANNEL", "LIFELINE", "PROGRESS"),
        help="file descriptors of the pool that started this worker",
    )
    options = parser.parse_args(arguments)
    hide_from_peers()
    if options.inherited:
        _serve_pool(*options.inherited)
    if (options.task is None) == (options.plan is None):
        parser.error("give --task FILE or --plan KEY")
    # Libraries print to stdout; keep it for the results alone.
    with os.fdopen(os.dup(1), "w", encoding="utf-8") as output:
        os.dup2(2, 1)
        try:
            if options.task is not None:
                return run_task_file(options.task, output)
            return run_planned_task(options.plan, options.index, output)
        except PlatformError as error:
            print(f"{type(error).__name__}: {error}", file=sys.stderr)
            return EXIT_UNUSABLE if error.terminal else EXIT_TRANSIENT


def _own_access() -> dict[str, Any]:
    from platform_pipelines.settings import load_settings
    from platform_pipelines.stages.road.access import access_record

    return access_record(load_settings())


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
    shapes = ({"operation", "items"}, {"operation", "shard", "store", "arguments"})
    if not (isinstance(task, dict) and any(shape <= task.keys() for shape in shapes)):
        raise ConfigurationError(
            "the task file is incomplete",
            where=str(path),
            expected="operation, items[, shared]; or operation, shard, store, arguments",
        )
    return task


class _Nowhere:
    """A single task needs no position: whoever reads its exit code runs the whole task again."""

    def mark(self, index: int, phase: Phase) -> None:
        """Forget it."""


if __name__ == "__main__":
    sys.exit(main())
