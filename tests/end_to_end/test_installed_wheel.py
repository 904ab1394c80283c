"""The wheel in somebody else's project: found by `dg`, scaffolded, checked, run, searched."""

import os
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from tests.conftest import stop_local_milvus
from tests.knowledge import write_guides
from tests.readme import ENGLISH

pytestmark = pytest.mark.end_to_end
ROOT = Path(__file__).resolve().parents[2]
COMPONENT = "platform_pipelines.components.KnowledgeBase"
SECONDS = 180

# What `create-dagster project` 1.13.27 writes; it names `components.*` and makes no such package.
PYPROJECT = """
[project]
name = "my_project"
requires-python = ">=3.10,<3.15"
version = "0.1.0"
dependencies = ["dagster==1.13.27"]

[dependency-groups]
dev = ["dagster-webserver", "dagster-dg-cli"]

[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"

[tool.hatch.build.targets.wheel]
force-include = { "pyproject.toml" = "pyproject.toml" }

[tool.dg]
directory_type = "project"

[tool.dg.project]
root_module = "my_project"
registry_modules = [
    "my_project.components.*",
]
"""

DEFINITIONS = """
from pathlib import Path

from dagster import definitions

from platform_pipelines.definitions import build_defs


@definitions
def defs():
    return build_defs(Path(__file__).parent)
"""

PROGRAM = """#!{python}
import sys
from {module} import {function}
sys.exit({function}())
"""
PROGRAMS = {"dg": "dagster_dg_cli.cli", "dagster": "dagster._cli"}


@dataclass(frozen=True)
class Project:
    """A project of somebody else, and the environment in which its programs run."""

    folder: Path
    package: Path
    programs: Path
    variables: Mapping[str, str] = field(default_factory=dict)

    @property
    def home(self) -> Path:
        """Of a user who has nothing yet: what `dg` keeps between calls lands here, too."""
        return self.folder.parent / "home"

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        """One of the environment's programs, in the project's folder."""
        (self.home / "dagster").mkdir(parents=True, exist_ok=True)
        environment = {
            "PATH": f"{self.programs}{os.pathsep}{os.environ.get('PATH', '')}",
            "HOME": str(self.home),
            "DAGSTER_HOME": str(self.home / "dagster"),
            "DAGSTER_DISABLE_TELEMETRY": "yes",
            "PLATFORM_WORKERS": "2",
            **self.variables,
        }
        return subprocess.run(
            [str(self.programs / command[0]), *command[1:]],
            cwd=self.folder, env=environment, capture_output=True, text=True, check=False,
            timeout=SECONDS,
        )  # fmt: skip

    def declare(self, name: str, attributes: str) -> Path:
        """A folder below `defs` with this declaration; `attributes` are lines of YAML."""
        folder = self.package / "defs" / name
        folder.mkdir()
        lines = "".join(f"  {line}\n" for line in attributes.strip().splitlines())
        text = f"type: {COMPONENT}\nattributes:\n  name: {name}\n{lines}"
        (folder / "defs.yaml").write_text(text, encoding="utf-8")
        return folder


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from this checkout with what the lock holds: nothing is downloaded."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder)]
    subprocess.run([*build, str(ROOT)], check=True, capture_output=True, timeout=SECONDS)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def environment(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment into which pip installed the wheel, beside this Python's other packages.

    Those come by a line in a .pth file, which does not follow the .pth files that they have: an
    editable install of this checkout stays unseen.
    """
    folder = tmp_path_factory.mktemp("environment")
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True, timeout=SECONDS)
    python = folder / "bin" / "python"
    pip = [str(python), "-m", "pip", "install", "-q", "--no-index", "--no-deps", "--no-cache-dir"]
    subprocess.run([*pip, str(wheel)], check=True, capture_output=True, timeout=SECONDS)
    (site,) = folder.glob("lib/python*/site-packages")
    others = sorted({sysconfig.get_path("purelib"), sysconfig.get_path("platlib")})
    (site / "others.pth").write_text("\n".join(others), encoding="utf-8")
    for name, module in PROGRAMS.items():
        program = folder / "bin" / name
        text = PROGRAM.format(python=python, module=module, function="main")
        program.write_text(text, encoding="utf-8")
        program.chmod(0o755)
    return folder


def programs_for(environment: Path, sources: Path) -> Path:
    """The environment's programs, after an editable install of a project's sources."""
    (site,) = environment.glob("lib/python*/site-packages")
    (site / f"{sources.parent.name}.pth").write_text(str(sources), encoding="utf-8")
    return environment / "bin"


@pytest.fixture(scope="module")
def project(environment: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """An empty project, as `create-dagster project my_project` makes one, installed editable."""
    folder = tmp_path_factory.mktemp("somewhere") / "my-project"
    package = folder / "src" / "my_project"
    for module in (package, package / "defs"):
        module.mkdir(parents=True)
        (module / "__init__.py").touch()
    (folder / "pyproject.toml").write_text(PYPROJECT, encoding="utf-8")
    (package / "definitions.py").write_text(DEFINITIONS, encoding="utf-8")
    made = Project(folder, package, programs_for(environment, folder / "src"))
    (made.home / "dagster").mkdir(parents=True)
    shutil.copy(ROOT / "deploy" / "dagster.yaml", made.home / "dagster")  # as the README advises
    yield made
    stop_local_milvus(folder / ".platform" / "milvus")


def succeeded(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def refused(done: subprocess.CompletedProcess[str]) -> str:
    said = done.stdout + done.stderr
    assert done.returncode != 0, said
    return said


def released(project: Project, name: str) -> list[Path]:
    return sorted((project.folder / ".platform").rglob(f"releases/{name}/*.json"))


def test_the_wheel_holds_what_it_needs_and_nothing_else(wheel: Path) -> None:
    """The sample corpus is the manual that the demo answers from; tests are not for users."""
    with zipfile.ZipFile(wheel) as archive:
        held = set(archive.namelist())
        (entries,) = (name for name in held if name.endswith(".dist-info/entry_points.txt"))
        entry_points = archive.read(entries).decode()
    tops = {name.split("/")[0] for name in held}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"platform_pipelines"}
    package = {name.removeprefix("platform_pipelines/") for name in held}
    assert {"defs/handbook/defs.yaml", "samples/golden/handbook.jsonl"} <= package
    assert sum(name.startswith("samples/handbook/") for name in package) >= 28
    assert "dagster_dg_cli.registry_modules" in entry_points
    assert "platform-pipelines = platform_pipelines.cli:main" in entry_points
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in held)


def test_what_runs_is_the_wheel_and_not_this_checkout(environment: Path, project: Project) -> None:
    """A file that is missing from the wheel must not be found here instead."""
    look = (
        "import platform_pipelines as p, importlib.metadata as m, sys; "
        "print(p.__file__, m.distribution('platform-pipelines').locate_file('')); print(sys.path)"
    )
    said = succeeded(project.run("python", "-c", look))
    places, path = said.splitlines()
    assert all(place.startswith(str(environment)) for place in places.split())
    assert str(ROOT) not in path.replace(sysconfig.get_path("purelib"), "")


@pytest.fixture(scope="module")
def tickets(project: Project) -> Path:
    """Found, scaffolded and checked as a newcomer does, then released; hash vectors."""
    assert COMPONENT in succeeded(project.run("dg", "list", "components"))
    succeeded(project.run("dg", "scaffold", "defs", COMPONENT, "tickets"))
    folder = project.package / "defs" / "tickets"
    declared = folder / "defs.yaml"
    text = declared.read_text(encoding="utf-8")
    shortest = f"type: {COMPONENT} attributes: name: tickets source: url: documents"
    assert text.split() == shortest.split()
    succeeded(project.run("dg", "check", "yaml"))
    succeeded(project.run("dg", "check", "defs"))
    declared.write_text(f"{text.rstrip()}\n  embed:\n    provider: hash\n", encoding="utf-8")
    write_guides(folder / "documents", range(3))
    succeeded(project.run("dg", "launch", "--job", "tickets_refresh"))
    return folder


def found(project: Project, name: str, number: int) -> list[str]:
    """All documents that a search finds, best first."""
    asked = ("search", name, f"quota of pool number {number}", "-k", "100")
    lines = succeeded(project.run("platform-pipelines", *asked)).splitlines()
    assert lines[-1].startswith("revision ")
    return [line.split()[1] for line in lines if line[0].isdigit()]


def test_from_an_empty_project_to_an_answer(project: Project, tickets: Path) -> None:
    """Find the component, scaffold it, check it, run its job, search what it released."""
    assert len(released(project, tickets.name)) == 1
    documents = found(project, tickets.name, 2)
    assert documents[0] == "guide2.md"
    assert {"guide0.md", "guide1.md", "README.md"} <= set(documents)


@pytest.mark.model
def test_the_shortest_declaration_runs_beside_another(
    project: Project, tickets: Path, tmp_path: Path, e5_model_dir: Path
) -> None:
    """A name and a source URL: the defaults of a laptop, the local model among them, do the rest.

    In one project, one store and one Milvus neither answers from the other's documents.
    """
    ours = replace(project, variables={"PLATFORM_MODEL_DIR": str(e5_model_dir)})
    write_guides(tmp_path / "elsewhere", range(10, 13))
    folder = ours.declare("depot", f"source: {{url: '{(tmp_path / 'elsewhere').as_uri()}'}}")
    try:
        succeeded(ours.run("dg", "launch", "--job", "depot_refresh"))
        asked = ("search", "depot", "구역11의 담당자는 언제까지 보고서를 내야 하나요?", "-k", "1")
        assert succeeded(ours.run("platform-pipelines", *asked)).startswith("1. guide11.md")
        assert set(found(ours, "depot", 1)) == {"guide10.md", "guide11.md", "guide12.md"}
        assert found(ours, tickets.name, 1)[0] == "guide1.md"
        unknown = ours.run("platform-pipelines", "search", "ticket", "quota")
        assert unknown.returncode == 1
        assert "depot, tickets" in unknown.stderr
    finally:
        (folder / "defs.yaml").unlink()


@pytest.mark.parametrize(
    ("attributes", "words"),
    [
        ("source: {url: x}\ntenants: a", ["tenants", "chunk", "refresh"]),
        (
            "source: {url: x}\nindex: {kind: HNSX}\ngate: {k: 0}",
            ["index.kind", "HNSX", "HNSW", "IVF_FLAT", "gate.k", "greater than or equal to 1"],
        ),
    ],
)
def test_a_wrong_attribute_fails_the_check(
    project: Project, attributes: str, words: list[str]
) -> None:
    """`dg check defs` in somebody's CI names the field, its value and what is allowed.

    `dg check yaml` alone is not enough: it checks one file of each component type (dg 1.13.27).
    """
    folder = project.declare("wrong", attributes)
    try:
        said = refused(project.run("dg", "check", "defs"))
        assert [word for word in words if word not in said] == [], said
    finally:
        (folder / "defs.yaml").unlink()
        folder.rmdir()


def test_a_failed_run_ends_with_its_own_exit_code(project: Project) -> None:
    """CI must see that nothing was released."""
    folder = project.declare("empty", "source: {url: documents}")
    (folder / "documents").mkdir()
    try:
        done = project.run("dg", "launch", "--job", "empty_refresh")
        assert "EmptyCorpusError" in refused(done)
        assert released(project, "empty") == []
    finally:
        (folder / "defs.yaml").unlink()


def test_the_project_of_the_readme_works_as_shown(
    environment: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """A package beside its pyproject.toml, installed nowhere: copied from the page, it loads."""
    folder = tmp_path_factory.mktemp("readme") / "my-platform"
    package = folder / "my_platform"
    (package / "defs").mkdir(parents=True)
    (package / "defs" / "__init__.py").touch()
    (folder / "pyproject.toml").write_text(ENGLISH.blocks("toml")[0], encoding="utf-8")
    (package / "definitions.py").write_text(ENGLISH.blocks("python")[0], encoding="utf-8")
    project = Project(folder, package, environment / "bin")
    succeeded(project.run("dg", "scaffold", "defs", COMPONENT, "notes"))
    listed = succeeded(project.run("dg", "list", "defs"))
    assert "notes_refresh" in listed
    assert "notes_rollback" in listed
