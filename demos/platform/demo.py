"""The whole platform on one machine: run by `make demo-platform`.

The shipped samples become a project of their own below the home. Everything is brought up once, in
the order in which it is used: the handbook, the gateway with a small real model, the walls, the
nodes, the agent, the alerts, a night's batch through the gateway, an experiment, the costs. What a
cluster would hold is rendered and held to the rules; with PLATFORM_KUBECONFIG its API server is
asked too. Exit status 1 if anything is otherwise.
"""

import json
import os
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import yaml

from platform_pipelines.core.model_catalogue.declaration import ModelCatalogueSpec
from platform_pipelines.core.model_catalogue.litellm import proxy_config
from platform_pipelines.core.road.assignments import arm_of
from platform_pipelines.core.road.declarations import parse_spec
from platform_pipelines.settings import load_settings
from platform_pipelines.stages.model_catalogue.rehearsal import gateway_of

PACKAGE = Path(__file__).resolve().parents[2] / "platform_pipelines"
SAMPLES = PACKAGE / "samples"
DAYS, PEOPLE = 6, 300
PROMPTS = (
    "Pods of the inference pool stay pending since 09:40; the quota shows 4 of 4 GPUs in use.",
    "The nightly refresh ended with exit code 75 and was fine the second time.",
    "배포 후 p99 지연 시간이 12초로 늘었고, 롤백 후 정상으로 돌아왔다.",
    "A user asks who may approve a release that removes a fifth of the documents.",
)
DEFINITIONS = '''"""The sample platform."""

from pathlib import Path

import dagster as dg

from platform_pipelines.definitions import build_defs


@dg.definitions
def defs() -> dg.Definitions:
    """Everything that is declared under `defs/`."""
    return build_defs(Path(__file__).parent)
'''
PROJECT = """[project]
name = "platform-demo"
version = "0.1.0"

[tool.dg]
directory_type = "project"

[tool.dg.project]
root_module = "platform_demo"
registry_modules = ["platform_pipelines.components"]
"""


def say(text: str) -> None:
    """One line of progress."""
    print(f"==> {text}", flush=True)


def main() -> None:
    """The demo; a job that does not end well ends it."""
    started = time.monotonic()
    settings = load_settings()
    project = settings.home / "demo_platform"
    make_project(project)
    say(f"declared: {', '.join(sorted(one.name for one in defs_of(project).glob('[a-z]*')))}")
    for job in ("handbook_refresh", "models_apply", "acme_apply", "fleet_apply", "vectors_apply",
                "assistant_apply", "watch_apply"):  # fmt: skip
        launch(project, job)
    catalogue = parse_spec(
        ModelCatalogueSpec, declared(project, "models"), where="models", noun="a catalogue"
    )
    with gateway_of(settings, catalogue, proxy_config(catalogue), progress=say) as gateway:
        change(project, "nightly", lambda a: a["language_model"].update(url=f"{gateway.url}/v1"))
        launch(project, "nightly_batch", PLATFORM_LANGUAGE_MODEL_API_KEY=gateway.key)
    launch(project, "models_ab_analyse")
    launch(project, "costs_sum")
    say(f"done in {time.monotonic() - started:.0f} s. The pages:")
    print("    make ui ARGS=platform")


def make_project(project: Path) -> None:
    """A project with the shipped samples; what lies in buckets there lies in folders here."""
    shutil.rmtree(project, ignore_errors=True)
    defs = defs_of(project)
    shutil.copytree(SAMPLES / "platform", defs)
    (defs / "__init__.py").touch()
    (defs.parent / "__init__.py").touch()
    (defs.parent / "definitions.py").write_text(DEFINITIONS, encoding="utf-8")
    (project / "pyproject.toml").write_text(PROJECT, encoding="utf-8")
    shutil.copytree(PACKAGE / "defs" / "handbook", defs / "handbook")
    change(project, "handbook", _shipped_documents)
    change(project, "nightly", lambda a: a.update(prompts="prompts", answers="answers"))
    change(project, "costs", lambda a: a.update(nodes="nodes"))
    change(project, "models_ab", _begin_some_days_ago)
    change(project, "watch", lambda a: a.pop("prometheus"))
    write_prompts(defs / "nightly" / "prompts")
    write_nodes(defs / "costs" / "nodes")
    write_observations(defs / "models_ab" / "observations", declared(project, "models_ab"))


def defs_of(project: Path) -> Path:
    """Where a project's declarations are."""
    return project / "platform_demo" / "defs"


def declared(project: Path, name: str) -> dict[str, Any]:
    """The attributes of one declaration."""
    text = (defs_of(project) / name / "defs.yaml").read_text(encoding="utf-8")
    return dict(yaml.safe_load(text)["attributes"])


def change(project: Path, name: str, edit: Callable[[dict[str, Any]], object]) -> None:
    """Edit one declaration's attributes."""
    file = defs_of(project) / name / "defs.yaml"
    content = yaml.safe_load(file.read_text(encoding="utf-8"))
    edit(content["attributes"])
    file.write_text(yaml.safe_dump(content, allow_unicode=True, sort_keys=False), encoding="utf-8")


def launch(project: Path, job: str, **extra: str) -> None:
    """Run a job of the project; its last lines where it failed."""
    began = time.monotonic()
    program = str(Path(sys.executable).parent / "dg")
    done = subprocess.run(
        [program, "launch", "--job", job], cwd=project, env={**os.environ, **extra},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode != 0:
        print("\n".join((done.stdout + done.stderr).splitlines()[-40:]))
        sys.exit(f"not as promised: {job} ended with {done.returncode}")
    say(f"dg launch --job {job}: done in {time.monotonic() - began:.0f} s")
    name = job.rpartition("_")[0]
    told = [line.rpartition(f" - {name}: ") for line in (done.stdout + done.stderr).splitlines()]
    for message in dict.fromkeys(after for _, found, after in told if found):
        print(f"    {message}")


def write_prompts(folder: Path) -> None:
    """A few tickets."""
    lines = [json.dumps({"id": f"ticket-{n}", "prompt": p}) for n, p in enumerate(PROMPTS)]
    folder.mkdir(parents=True)
    (folder / "tickets.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")


def write_nodes(folder: Path) -> None:
    """One GPU node a day: an hour of warming up, eight busy ones, the rest idle."""
    folder.mkdir(parents=True)
    for day in _days():
        node = {
            "node": "gpu-0", "instance_type": "g6.xlarge", "seconds": 86400,
            "stretches": [
                {"start": 0, "end": 3600, "use": "warm-up", "model": "medium"},
                {"start": 3600, "end": 32400, "use": "busy", "model": "medium", "tenant": "acme"},
                {"start": 32400, "end": 86400, "use": "idle"},
            ],
        }  # fmt: skip
        (folder / f"{day}.jsonl").write_text(json.dumps(node) + "\n", encoding="utf-8")


def write_observations(folder: Path, attributes: Mapping[str, Any]) -> None:
    """What invented people said of two equal arms; the shares are the gateway's own hash."""
    folder.mkdir(parents=True)
    chance = random.Random(1)  # noqa: S311 - invented people
    shares = {arm: one["share"] for arm, one in attributes["arms"].items()}
    for day in _days():
        lines: list[str] = []
        for number in range(PEOPLE):
            key = f"{day}-{number}"
            metrics = {"satisfaction": float(chance.random() < 0.8),
                       "seconds": chance.uniform(1, 9), "usd": 0.002}  # fmt: skip
            arm = arm_of(attributes["name"], key, shares)
            lines.append(json.dumps({"key": key, "arm": arm, "metrics": metrics}))
        (folder / f"{day}.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")


def _days() -> list[str]:
    today = datetime.now(UTC).date()
    return [str(today - timedelta(days=n)) for n in range(DAYS, 0, -1)]


def _shipped_documents(attributes: dict[str, Any]) -> None:
    attributes["source"]["url"] = (SAMPLES / "handbook").as_uri()
    attributes["gate"]["golden_set"] = (SAMPLES / "golden" / "handbook.jsonl").as_uri()


def _begin_some_days_ago(attributes: dict[str, Any]) -> None:
    attributes.update(observations="observations", start=_days()[0])


if __name__ == "__main__":
    main()
