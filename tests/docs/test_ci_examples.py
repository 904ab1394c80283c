"""deploy/ci holds what GitHub and GitLab read, and its commands do what they say."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import yaml
from jsonschema import Draft7Validator

from platform_pipelines.errors import GateFailedError
from tests.declared import use_settings
from tests.knowledge import (
    Knowledge,
    golden_lines,
    new_knowledge,
    settings_under,
    vague_lines,
)
from tests.readme import ROOT

FOLDER = ROOT / "deploy" / "ci"
SCHEMAS = ROOT / "tests" / "fixtures" / "ci"
GUIDES = range(12)


def example(name: str) -> Any:
    return yaml.safe_load((FOLDER / f"{name}.yml").read_text("utf-8"))


@pytest.mark.parametrize(
    ("name", "schema"), [("github-actions", "github-workflows"), ("gitlab-ci", "gitlab-ci")]
)
def test_an_example_is_what_its_service_reads(name: str, schema: str) -> None:
    """By the schemas that editors check such files with."""
    known = json.loads((SCHEMAS / f"{schema}.schema.json").read_text("utf-8"))
    told = example(name)
    if True in told:  # YAML 1.1 reads the key `on` as a boolean; GitHub does not
        told["on"] = told.pop(True)
    Draft7Validator(known).validate(told)


@dataclass
class Machine:
    """A runner: a folder, and what its programs are."""

    folder: Path
    environment: dict[str, str]

    def run(self, lines: Sequence[str]) -> int:
        """As both services do: one shell, which ends at the first failure."""
        script = "\n".join(lines)
        return subprocess.run(
            ["bash", "-e", "-o", "pipefail", "-c", script], cwd=self.folder,
            env=self.environment, check=False,
        ).returncode  # fmt: skip


@pytest.fixture(scope="module")
def handbook(tmp_path_factory: pytest.TempPathFactory, lite_uri: str) -> Knowledge:
    """Released, with evidence that passes."""
    folder = tmp_path_factory.mktemp("ci")
    (folder / "golden.jsonl").write_text(golden_lines(GUIDES), encoding="utf-8")
    gate = {"golden_set": (folder / "golden.jsonl").as_uri(), "floors": {"hit_at_k": 0.5}}
    settings = settings_under(folder / "home", lite_uri)
    made = new_knowledge(folder / "kb", settings, guides=GUIDES, name="handbook", gate=gate)
    made.refresh()
    return made


@pytest.fixture
def machine(handbook: Knowledge, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """`platform-pipelines` is the real one. The refresh ran in this process before, and pip has
    nothing to install: both end with the code that `refreshed` and 0 say."""
    use_settings(monkeypatch, handbook.settings)
    programs = tmp_path / "bin"
    programs.mkdir()
    for name, code in (("dg", "${REFRESHED:-0}"), ("pip", "0")):
        (programs / name).write_text(
            f'#!/bin/sh\necho "$@" >> {tmp_path}/{name}.log\nexit {code}\n'
        )
        (programs / name).chmod(0o755)
    path = os.pathsep.join((str(programs), str(Path(sys.executable).parent), os.environ["PATH"]))
    summary = str(tmp_path / "summary.md")
    return Machine(tmp_path, {**os.environ, "PATH": path, "GITHUB_STEP_SUMMARY": summary})


def on_github(machine: Machine) -> bool:
    """The job's steps in order: after a failure only those that say so."""
    good = True
    for step in example("github-actions")["jobs"]["gate"]["steps"]:
        assert step.get("if", "") in ("", "${{ !cancelled() }}")
        if "run" in step and (good or "if" in step):
            good = machine.run([step["run"]]) == 0 and good
    return good


def on_gitlab(machine: Machine) -> int:
    return machine.run(example("gitlab-ci")["gate"]["script"])


def test_a_release_is_green_with_its_reports(machine: Machine) -> None:
    """On both services; the job that is launched is the example's own."""
    assert on_github(machine)
    assert "# PASS" in (machine.folder / "summary.md").read_text("utf-8")
    assert "<!doctype html>" in (machine.folder / "gate.html").read_text("utf-8").lower()
    assert on_gitlab(machine) == 0
    report = ElementTree.parse(machine.folder / "gate.xml").getroot()
    assert report.find(".//failure") is None
    launched = (machine.folder / "dg.log").read_text("utf-8").splitlines()
    assert launched == ["launch --job handbook_refresh"] * 2


def test_a_refresh_that_broke_is_red_though_the_old_report_passes(machine: Machine) -> None:
    """A lost database made the pipeline green with the verdict of last week."""
    machine.environment["REFRESHED"] = "1"
    assert not on_github(machine)
    assert "# PASS" in (machine.folder / "summary.md").read_text("utf-8")
    assert on_gitlab(machine) == 1


def test_a_gate_that_fails_is_red_and_says_why(machine: Machine, handbook: Knowledge) -> None:
    """The reports are there, and name what failed."""
    added = handbook.documents / "guide99.md"
    added.write_text("# New\n\nPool 99 is here.\n", "utf-8")
    vague = machine.folder / "vague.jsonl"  # questions that no document stands out for
    vague.write_text(vague_lines(GUIDES), "utf-8")
    gate = {"golden_set": vague.as_uri(), "floors": {"mrr": 0.9999}}
    worse = handbook.declared(gate=gate)
    try:
        with pytest.raises(GateFailedError):
            worse.refresh()
        machine.environment["REFRESHED"] = "1"
        assert not on_github(machine)
        assert "# FAIL" in (machine.folder / "summary.md").read_text("utf-8")
        assert on_gitlab(machine) == 10
        report = ElementTree.parse(machine.folder / "gate.xml").getroot()
        assert report.find(".//failure") is not None
    finally:
        added.unlink()
        handbook.refresh()
