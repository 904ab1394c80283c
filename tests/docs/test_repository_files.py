"""Licence, change log and hooks: files that nobody runs and everybody relies on."""

import ast
import hashlib
import re
import tomllib

import yaml

from tests.readme import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
APACHE_2 = "cfc7749b96f63bd31c3c42b5c471bf756814053e847c10f3eb003417bc523d30"  # with no holder yet


def test_the_licence_is_the_declared_one_word_for_word() -> None:
    """A licence text with a changed word is another licence."""
    text = (ROOT / "LICENSE").read_text("utf-8")
    holder = re.search(r"Copyright \d{4} Platform Pipelines contributors", text)
    assert holder is not None
    blank = text.replace(holder[0], "Copyright [yyyy] [name of copyright owner]")
    assert hashlib.sha256(blank.encode()).hexdigest() == APACHE_2
    assert PROJECT["license"] == "Apache-2.0"


def test_the_change_log_knows_this_version() -> None:
    """Who upgrades looks there first."""
    text = (ROOT / "CHANGELOG.md").read_text("utf-8")
    versions = re.findall(r"^## \[([^\]]+)\] - (unreleased|\d{4}-\d{2}-\d{2})$", text, re.MULTILINE)
    assert versions[0][0] == PROJECT["version"]


def test_hooks_are_local_and_run_what_ci_runs() -> None:
    """A commit that passes here and fails in CI; a hook that fetches code from a network."""
    config = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text("utf-8"))
    assert [repo["repo"] for repo in config["repos"]] == ["local"]
    hooks = config["repos"][0]["hooks"]
    entries = [hook["entry"].removeprefix(".venv/bin/") for hook in hooks]
    checks = linted()
    assert len(checks) == 3
    assert [entry for entry in entries if entry in checks] == checks


def linted() -> list[str]:
    """The commands of `tasks.py lint`."""
    tree = ast.parse((ROOT / "tasks.py").read_text("utf-8"))
    (lint,) = (n for n in tree.body if isinstance(n, ast.FunctionDef) and n.name == "lint")
    calls = [n for n in ast.walk(lint) if isinstance(n, ast.Call) and ast.unparse(n.func) == "run"]
    words = [[_word(argument) for argument in call.args] for call in calls]
    return [" ".join(one) for one in words]


def _word(argument: ast.expr) -> str:
    if ast.unparse(argument) == "str(BIN / 'python')":
        return ".venv/bin/python"
    return ast.literal_eval(argument)
