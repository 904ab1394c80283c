"""The worker on its own: one task from a file, results as JSON lines, an exit code that decides."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

OPERATIONS = Path(__file__).parent / "compute"


def run_worker(*arguments: str) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join([str(OPERATIONS), *(os.path.abspath(entry) for entry in sys.path)])
    return subprocess.run(
        [sys.executable, "-P", "-m", "platform_pipelines.worker", *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env={"PYTHONPATH": path, "PYTHONIOENCODING": "utf-8"},
    )


def run_task(
    tmp_path: Path, *items: Mapping[str, object], operation: str = "operations:act"
) -> tuple[int, list[dict[str, Any]], str]:
    path = tmp_path / "task.json"
    path.write_text(json.dumps({"operation": operation, "items": items}), encoding="utf-8")
    done = run_worker("--task", str(path))
    return done.returncode, [json.loads(line) for line in done.stdout.splitlines()], done.stderr


def test_a_task_from_a_file_prints_one_json_line_per_item(tmp_path: Path) -> None:
    """And only that: what an operation prints goes to stderr."""
    noise: dict[str, object] = {"do": "print", "length": 10, "n": 1}
    code, lines, printed = run_task(tmp_path, {"n": 0}, noise)
    assert code == 0
    assert [(line["index"], line["result"]) for line in lines] == [
        (0, {"answer": 0}),
        (1, {"answer": 1}),
    ]
    assert "x" * 10 in printed


@pytest.mark.parametrize(
    ("items", "expected"),
    [
        (["transient_error", ""], 75),
        (["document_error", ""], 65),
        (["transient_error", "document_error"], 65),
    ],
)
def test_the_exit_code_says_whether_a_retry_helps(
    tmp_path: Path, items: list[str], expected: int
) -> None:
    """What a Kubernetes podFailurePolicy decides on. The other items are done all the same."""
    code, lines, _ = run_task(tmp_path, *({"do": item} for item in items))
    assert code == expected
    assert len(lines) == 2


@pytest.mark.parametrize("operation", ["no.such", "no_such_module:f", "operations:fail_at_once"])
def test_a_task_that_cannot_be_done_at_all_says_why(tmp_path: Path, operation: str) -> None:
    """Typed, on stderr, without a stack."""
    code, lines, printed = run_task(tmp_path, {}, operation=operation)
    assert (code, lines) == (2, [])
    assert "Error: " in printed
    assert "Traceback" not in printed


@pytest.mark.parametrize("content", ["", "[]", '{"operation": "a:b"}', "\udcff"])
def test_a_task_file_that_is_no_task_is_refused(tmp_path: Path, content: str) -> None:
    """Truncated, or something else."""
    path = tmp_path / "task.json"
    path.write_bytes(content.encode("utf-8", "surrogateescape"))
    done = run_worker("--task", str(path))
    assert done.returncode == 2
    assert "ConfigurationError: the task file" in done.stderr


def test_a_task_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    """The path is in the message."""
    done = run_worker("--task", str(tmp_path / "none.json"))
    assert done.returncode == 2
    assert "none.json" in done.stderr


def test_help_and_no_arguments_tell_how_to_use_it() -> None:
    """A person who finds the module can find out what it does."""
    assert "--task FILE" in run_worker("--help").stdout
    bare = run_worker()
    assert bare.returncode == 2
    assert "--task FILE" in bare.stderr


@pytest.mark.parametrize("operation", ["", "documents.parse"])
def test_a_worker_imports_nothing_heavy(operation: str) -> None:
    """Every worker pays for it: a start has to stay below a tenth of a second."""
    probe = (
        "import sys; from platform_pipelines import worker; "
        f"{operation!r} and worker.resolve({operation!r}); print(*sorted(sys.modules))"
    )
    path = os.pathsep.join(os.path.abspath(entry) for entry in sys.path)
    done = subprocess.run(
        [sys.executable, "-S", "-c", probe],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
        env={"PYTHONPATH": path},
    )
    heavy = {"dagster", "numpy", "pydantic", "pyarrow", "yaml", "multiprocessing", "asyncio"}
    unused = {"ssl", "http.client", "lxml", "platform_pipelines.stages.knowledge_base.parsing.pdf"}
    assert (heavy | unused).isdisjoint(done.stdout.split())
