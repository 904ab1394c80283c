"""The wheel in somebody else's project: found by `dg`, scaffolded, checked, run, searched."""

import os
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.conftest import stop_local_milvus

pytestmark = pytest.mark.end_to_end
ROOT = Path(__file__).resolve().parents[2]
COMPONENT = "platform_pipelines.components.KnowledgeBase"
SECONDS = 180

PYPROJECT = """
[project]
name = "my-project"
version = "0.1.0"
requires-python = ">=3.11"

[tool.dg]
directory_type = "project"

[tool.dg.project]
root_module = "my_project"
registry_modules = ["my_project.components.*"]
"""

DEFINITIONS = """
from pathlib import Path

from dagster import definitions, load_from_defs_folder


@definitions
def defs():
    return load_from_defs_folder(path_within_project=Path(__file__).parent)
"""

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built wheel, laid out as an installer does; nothing of this checkout beside it."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder)]
    subprocess.run([*build, str(ROOT)], check=True, capture_output=True, timeout=SECONDS)
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "site")
    return folder / "site"


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty project, as `create-dagster` makes one."""
    folder = tmp_path_factory.mktemp("somewhere") / "my-project"
    package = folder / "src" / "my_project"
    for module in (package, package / "components", package / "defs"):
        module.mkdir(parents=True)
        (module / "__init__.py").touch()
    (folder / "pyproject.toml").write_text(PYPROJECT, encoding="utf-8")
    (package / "definitions.py").write_text(DEFINITIONS, encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def run(installed: Path, project: Path) -> Iterator[Run]:
    """A program in that project, with the wheel and this Python's other packages."""
    home = project.parent / "home"
    (home / "dagster").mkdir(parents=True)
    scripts = Path(sys.executable).parent
    environment = {
        "PATH": f"{scripts}{os.pathsep}{os.environ.get('PATH', '')}",
        "HOME": str(home),
        "PYTHONPATH": os.pathsep.join([str(installed), str(project / "src")]),
        "DAGSTER_HOME": str(home / "dagster"),
        "DAGSTER_DISABLE_TELEMETRY": "yes",
    }

    def start(*command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command,
            cwd=project,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=SECONDS,
        )

    yield start
    stop_local_milvus(project / ".platform" / "milvus")


def succeeded(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_wheel_holds_what_it_needs_and_nothing_else(installed: Path) -> None:
    """The sample corpus is the manual that the demo answers from; tests are not for users."""
    held = {path.name for path in installed.iterdir()}
    assert {name for name in held if not name.endswith(".dist-info")} == {"platform_pipelines"}
    package = installed / "platform_pipelines"
    assert (package / "defs" / "handbook" / "defs.yaml").is_file()
    assert (package / "samples" / "golden" / "handbook.jsonl").is_file()
    assert sum(path.is_file() for path in (package / "samples" / "handbook").rglob("*")) >= 28
    (info,) = installed.glob("*.dist-info")
    entry_points = (info / "entry_points.txt").read_text(encoding="utf-8")
    assert "dagster_dg_cli.registry_modules" in entry_points
    assert "platform-pipelines = platform_pipelines.cli:main" in entry_points
    assert (info / "licenses" / "LICENSE").is_file()


def test_from_an_empty_project_to_an_answer(run: Run, project: Path) -> None:
    """Find the component, scaffold it, check it, run its job, search what it released."""
    assert COMPONENT in succeeded(run("dg", "list", "components"))
    succeeded(run("dg", "scaffold", "defs", COMPONENT, "tickets"))
    folder = project / "src" / "my_project" / "defs" / "tickets"
    declared = folder / "defs.yaml"
    text = declared.read_text(encoding="utf-8")
    assert "tickets" in text
    declared.write_text(f"{text.rstrip()}\n  embed:\n    provider: hash\n", encoding="utf-8")
    page = "# Cooling\n\nPump seven is served by the harbour crew every second Tuesday.\n"
    (folder / "documents" / "cooling.md").write_text(page, encoding="utf-8")
    succeeded(run("dg", "check", "yaml"))
    succeeded(run("dg", "check", "defs"))
    succeeded(run("dg", "launch", "--job", "tickets_refresh"))
    use = "import sys; from platform_pipelines.cli import main; main()"
    found = succeeded(run(sys.executable, "-c", use, "search", "tickets", "who serves pump seven"))
    assert found.startswith("1. cooling.md")
    again = run("dg", "launch", "--job", "tickets_refresh")
    succeeded(again)
    assert len(list((project / ".platform").rglob("releases/tickets/*.json"))) == 1


def test_a_wrong_attribute_fails_the_check(run: Run, project: Path) -> None:
    """`dg check defs` in somebody's CI names the field.

    `dg check yaml` alone is not enough: it checks one file of each component type (dg 1.13.27).
    """
    folder = project / "src" / "my_project" / "defs" / "wrong"
    folder.mkdir()
    wrong = f"type: {COMPONENT}\nattributes:\n  name: wrong\n  source: {{url: x}}\n  tenants: a\n"
    (folder / "defs.yaml").write_text(wrong, encoding="utf-8")
    try:
        done = run("dg", "check", "defs")
        assert done.returncode != 0
        assert "tenants" in done.stdout + done.stderr
        wrong = wrong.replace("tenants: a", "gate: {k: 0}")
        (folder / "defs.yaml").write_text(wrong, encoding="utf-8")
        done = run("dg", "check", "defs")
        assert done.returncode != 0
        assert "gate.k" in done.stdout + done.stderr
    finally:
        (folder / "defs.yaml").unlink()
        folder.rmdir()


def test_a_failed_run_ends_with_its_own_exit_code(run: Run, project: Path) -> None:
    """CI must see that nothing was released."""
    folder = project / "src" / "my_project" / "defs" / "empty"
    (folder / "documents").mkdir(parents=True)
    declared = f"type: {COMPONENT}\nattributes:\n  name: empty\n  source: {{url: documents}}\n"
    (folder / "defs.yaml").write_text(declared, encoding="utf-8")
    try:
        done = run("dg", "launch", "--job", "empty_refresh")
        assert done.returncode != 0
        assert "EmptyCorpusError" in done.stdout + done.stderr
    finally:
        (folder / "defs.yaml").unlink()
