"""A page that tells people to type something that does not exist is worse than no page."""

import ast
import json
import re
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from platform_pipelines import cli, components, settings
from platform_pipelines.components.knowledge_base.assets import ReleaseConfig
from platform_pipelines.components.shared.jobs import RollbackConfig
from platform_pipelines.core.knowledge_base.chunking.policy import policies_from_mapping
from platform_pipelines.core.knowledge_base.declaration import parse_declaration
from platform_pipelines.core.knowledge_base.golden import parse_golden_set
from tests.readme import ENGLISH, KOREAN, ROOT, Readme

NAMES = {"handbook", "notes"}  # the shipped knowledge base, and the one that the tour declares
TOUR = "platform_pipelines/defs/notes/"  # made by the tour itself
INSTALLED = (".venv/", "dist/")  # made by `make`, by the line above
ELSEWHERE = {"apt-get", "cd", "echo", "export", "pip", "source"}
PAGES = pytest.mark.parametrize("page", [ENGLISH, KOREAN], ids=["english", "korean"])


def parses(command: Any, words: list[str]) -> None:
    """Follow the words through the groups of a command line and parse the rest; nothing is run.

    `Any`: dg is made with click, and ours with typer, which carries a click of its own.
    """
    while hasattr(command, "get_command"):
        found = command.get_command(command.context_class(command), words[0])
        assert found is not None, words
        command, words = found, words[1:]
    try:
        command.make_context(command.name, list(words))
    except Exception as error:
        raise AssertionError(f"{words}: {error}") from error


def make(words: list[str]) -> None:
    """A target of the Makefile."""
    targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)
    assert words[0] in targets


def python3(words: list[str]) -> None:
    """`tasks.py` with a task that it has."""
    assert words[0] == "tasks.py"
    tree = ast.parse((ROOT / "tasks.py").read_text("utf-8"))
    choices = [k.value for k in ast.walk(tree) if isinstance(k, ast.keyword) and k.arg == "choices"]
    assert words[1] in ast.literal_eval(choices[0])


def platform_pipelines(words: list[str]) -> None:
    """Our own command line takes these words."""
    parses(typer.main.get_command(cli.app), words)
    assert words[0] == "doctor" or words[1] in NAMES


def dg(words: list[str]) -> None:
    """Dagster's command line takes these words; jobs, components and their settings exist."""
    from dagster_dg_cli.cli import create_dg_cli

    if words[:2] == ["scaffold", "defs"]:
        assert hasattr(components, words[2].removeprefix("platform_pipelines.components."))
        assert words[3] in NAMES
        return
    parses(create_dg_cli(), words)
    options = dict(zip(words[1::2], words[2::2], strict=False))
    if words[0] == "launch":
        name, _, job = options["--job"].rpartition("_")
        assert name in NAMES
        assert job in ("refresh", "rollback")
        configured(name, json.loads(options.get("--config-json", "{}")))


def configured(name: str, run: Mapping[str, Any]) -> None:
    """The run configuration names ops and fields that there are."""
    fields = {f"{name}__release": ReleaseConfig, f"{name}_roll_back": RollbackConfig}
    for op, given in run.get("ops", {}).items():
        assert set(given["config"]) <= set(fields[op].model_fields)


PROGRAMS: dict[str, Callable[[list[str]], None]] = {
    "make": make, "python3": python3, "platform-pipelines": platform_pipelines, "dg": dg,
}  # fmt: skip


def test_every_command_exists() -> None:
    """A target, a task, an option or a job that was renamed."""
    assert len(ENGLISH.commands) > 20
    for words in ENGLISH.commands:
        if words[0] in PROGRAMS:
            PROGRAMS[words[0]](words[1:])
        else:
            assert words[0] in ELSEWHERE or words[0].startswith(INSTALLED), words


def test_a_wrong_command_is_seen() -> None:
    """Checks that accept everything check nothing."""
    for words in (
        "make demonstration", "python3 tasks.py demos", "platform-pipelines find handbook x",
        "platform-pipelines search handbook x --limit 3", "dg launch --jobs handbook_refresh",
        "dg launch --job handbook_build", "dg check definitions",
        'dg launch --job notes_refresh --config-json {"ops":{"notes__release":{"config":{"x":1}}}}',
        "dg scaffold defs platform_pipelines.components.Knowledge notes",
    ):  # fmt: skip
        program, *rest = str(words).split()
        with pytest.raises(AssertionError):
            PROGRAMS[program](rest)


@PAGES
def test_every_path_that_is_named_exists(page: Readme) -> None:
    """A file that was moved. Paths below `.venv`, or made by the tour, are not in a checkout."""
    tops = {path.name for path in ROOT.iterdir()}
    words = [word for command in page.commands for word in command]
    words += re.findall(r"`([^`\s]+)`", page.prose)
    named = [w for w in words if re.fullmatch(r"[\w.\-가-힣]+(/[\w.\-가-힣]*)+", w)]
    named = [w for w in named if w.split("/")[0] in tops and not w.startswith((TOUR, *INSTALLED))]
    assert len(named) > 8
    pages = [link for link in page.links if not link.endswith(".png")]
    assert [w for w in [*named, *pages] if not (ROOT / w).exists()] == []


@PAGES
def test_every_picture_is_there(page: Readme) -> None:
    """A page with holes where the screenshots were."""
    pictures = [link for link in page.links if link.endswith(".png")]
    assert len(pictures) == 6
    assert [link for link in pictures if not (ROOT / link).exists()] == []


@PAGES
def test_declarations_load(page: Readme) -> None:
    """An example that is copied and refused; an attribute that was renamed."""
    declared = [yaml.safe_load(block) for block in page.blocks("yaml")]
    assert len(declared) >= 2
    for declaration in declared:
        assert declaration["type"] == "platform_pipelines.components.KnowledgeBase"
        spec = parse_declaration(declaration["attributes"], where="README")
        policies_from_mapping(spec.chunk)


@PAGES
def test_the_golden_set_shown_is_accepted(page: Readme) -> None:
    """It is what a newcomer copies first."""
    (block,) = page.blocks("json")
    golden = parse_golden_set(block, where="README")
    assert golden.answerable
    assert golden.unanswerable


@PAGES
def test_the_sample_is_as_large_as_it_is_said_to_be(page: Readme) -> None:
    """Numbers in prose go stale first."""
    samples = ROOT / "platform_pipelines" / "samples"
    documents = [path for path in (samples / "handbook").rglob("*") if path.is_file()]
    golden = (samples / "golden" / "handbook.jsonl").read_text("utf-8")
    questions = parse_golden_set(golden, where="handbook").questions
    told = next(line for line in page.prose.splitlines() if "`handbook`" in line)
    assert {int(n) for n in re.findall(r"\d+", told)} == {len(documents), len(questions)}


@PAGES
def test_the_project_shown_is_a_project_for_dg(page: Readme) -> None:
    """The three lines without which `dg` finds nothing."""
    (block,) = page.blocks("toml")
    tool = tomllib.loads(block)["tool"]["dg"]
    assert tool["directory_type"] == "project"
    assert tool["project"]["root_module"] in page.blocks("python")[0] + page.prose


@PAGES
def test_every_variable_is_told_and_no_other(page: Readme) -> None:
    """A variable that nobody knows of, or one that does nothing."""
    source = Path(settings.__file__).read_text("utf-8")
    read = set(re.findall(r'"(PLATFORM_\w+)"', source))
    assert len(read) > 15
    assert read == set(re.findall(r"^\| `(PLATFORM_\w+)`", page.prose, re.MULTILINE))


@PAGES
def test_every_exit_code_is_told(page: Readme) -> None:
    """Scripts branch on them."""
    codes = {v for k, v in vars(cli).items() if k.startswith("EXIT_") and isinstance(v, int)} | {0}
    assert codes == {int(n) for n in re.findall(r"^\| (\d+) \|", page.prose, re.MULTILINE)}


def promised(page: Readme) -> list[str]:
    """The tests that the page names, as pytest takes them: `path::test`, `path::Class::test`."""
    return re.findall(r"`(tests/[\w/]+\.py(?:::\w+)+)`", page.prose)


def test_every_promise_is_held_by_a_test_that_exists() -> None:
    """A promise whose test was renamed is held by nothing."""
    tests = promised(ENGLISH)
    assert len(tests) > 10
    assert [one for one in tests if not _exists(*one.split("::"))] == []
    assert not _exists("tests/docs/test_readme.py", "test_of_nothing")


def _exists(path: str, *names: str) -> bool:
    file = ROOT / path
    node: Any = ast.parse(file.read_text("utf-8") if file.exists() else "")
    for name in names:
        named = [n for n in node.body if getattr(n, "name", None) == name]
        if not named:
            return False
        node = named[0]
    return isinstance(node, ast.FunctionDef)


def test_both_languages_say_the_same() -> None:
    """What is added to one page only is missing from the other for years."""
    assert KOREAN.headings == ENGLISH.headings
    assert KOREAN.commands == ENGLISH.commands
    for language in ("yaml", "json", "toml", "python", "text"):
        assert KOREAN.blocks(language) == ENGLISH.blocks(language)
    assert promised(KOREAN) == promised(ENGLISH)
    images = [[link for link in page.links if link.endswith(".png")] for page in (ENGLISH, KOREAN)]
    assert images[0] == images[1]
    tables = [re.findall(r"^\|.*\|$", page.prose, re.MULTILINE) for page in (ENGLISH, KOREAN)]
    assert [row.count("|") for row in tables[0]] == [row.count("|") for row in tables[1]]
