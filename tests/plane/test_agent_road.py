"""An agent's road: tasks as evidence, the gate, a canary behind a real Envoy, rollback."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from platform_pipelines.components.agent.trial import canary_page, trial_page
from platform_pipelines.core.agent.render import render_agent
from platform_pipelines.core.road.verdicts import Status
from platform_pipelines.errors import GateFailedError
from platform_pipelines.settings import Settings
from platform_pipelines.stages.agent.canary import refresh_canary
from platform_pipelines.stages.agent.trial import behaviour_in, refresh_trial, rules_of
from platform_pipelines.stages.road.applied import (
    AppliedWorkspace,
    live_revision,
    refresh_applied,
    refresh_manifests,
    roll_back_applied,
)
from platform_pipelines.stages.road.clusters import Applied, open_applied
from tests.agents import careful_or_not, language_model, tool_server
from tests.fakes import Admitting
from tests.knowledge import settings_under
from tests.platform_sample import agent

pytestmark = [pytest.mark.plane, pytest.mark.timeout(200)]
TASKS = [
    {"id": word, "task": f"What about {word}?", "answer": found, "slices": {"language": language},
     "must_call": [{"tool": "search", "arguments": {"query": word}}]}
    for word, found, language in (
        ("leave", "25 days", "en"), ("travel", "second class", "en"), ("laptop", "3 years", "en"),
        ("security", "112", "en"), ("휴가", "25일", "ko"),
    )
]  # fmt: skip
CAREFUL, GUESSING = "Search before you answer.", "Answer at once."


class Road:
    """One declared agent after another, on one store."""

    def __init__(self, folder: Path, model: str, tools: str) -> None:
        self.settings: Settings = settings_under(folder, None)
        tasks = folder / "tasks.jsonl"
        tasks.write_text("\n".join(json.dumps(one) for one in TASKS), encoding="utf-8")
        self.declared: dict[str, Any] = {
            "runtime": "image", "image": "registry.example.com/agent:1",
            "apply": {"mode": "folder", "folder": str(folder / "gitops")},
            "tools": [{"kind": "mcp", "name": "pages", "url": "http://pages.acme.svc/mcp"}],
            "trial": {"tasks": tasks.as_uri(), "trials": 2, "k": 2, "gateway_url": model,
                      "tool_urls": {"pages": tools}, "seconds": 30,
                      "canary": {"percent": 50, "requests": 12, "minimum": 3, "slower": 20}},
        }  # fmt: skip

    def workspace(self, **changes: Any) -> tuple[AppliedWorkspace, Any]:
        spec = agent(**{**self.declared, **changes})
        applied = Applied(
            "agent", spec, lambda: render_agent(spec), rules=lambda w, r: rules_of(spec, w, r)
        )
        import dataclasses

        opened = open_applied(applied, self.settings)
        refresh_manifests(opened)
        return dataclasses.replace(opened, open_cluster=Admitting), spec

    def live_prompt(self) -> str:
        revision = live_revision(self.workspace(prompt="?")[0])
        found = behaviour_in(revision) if revision else None
        return found.prompt if found else ""


@pytest.fixture
def road(tmp_path: Path) -> Iterator[Road]:
    with language_model(careful_or_not) as (model, _), tool_server() as (tools, _):
        yield Road(tmp_path, model, tools)


def test_a_better_agent_is_released_a_worse_prompt_is_refused_and_a_release_is_rolled_back(
    road: Road,
) -> None:
    """pass^k on the page; what is live stays live; nobody gets around it by applying alone."""
    first, spec = road.workspace(prompt=CAREFUL)
    with pytest.raises(GateFailedError, match="there is no evidence about revision"):
        refresh_applied(first)
    tried = refresh_trial(first, spec)
    assert trial_page(tried)["pass_k"] == 1.0
    refresh_applied(first)
    assert road.live_prompt() == CAREFUL
    assert not refresh_trial(first, spec).is_changed

    worse, spec = road.workspace(prompt=GUESSING)
    tried = refresh_trial(worse, spec)
    page = trial_page(tried)
    assert (page["pass_k"], page["live_pass_k"]) == (0.0, 1.0)
    assert "no call of search" in page["tasks"].value
    assert tried.facts["verdict"].status is Status.FAIL
    with pytest.raises(GateFailedError, match="tasks: passed_k"):
        refresh_applied(worse)
    assert road.live_prompt() == CAREFUL

    better, spec = road.workspace(prompt=f"{CAREFUL} Name the page.")
    refresh_trial(better, spec)
    with pytest.raises(GateFailedError, match="not tried on a share of the requests"):
        refresh_applied(better)
    seen = refresh_canary(better, spec)
    assert canary_page(seen)["state"] == "held", seen.snapshot.details
    assert seen.snapshot.counts["requests"] == 12
    refresh_applied(better)
    assert road.live_prompt() == f"{CAREFUL} Name the page."
    roll_back_applied(better, reason="the second was too long")
    assert road.live_prompt() == CAREFUL


def test_a_canary_that_fails_its_share_is_rolled_back(road: Road) -> None:
    """Nobody more is sent to it as soon as that is clear, and it is not applied afterwards."""
    first, spec = road.workspace(prompt=CAREFUL)
    refresh_trial(first, spec)
    refresh_applied(first)
    bad, spec = road.workspace(prompt=GUESSING)
    seen = refresh_canary(bad, spec)
    details = seen.snapshot.details
    assert details["state"] == "rolled_back"
    assert "of its requests failed" in details["problems"][0]
    assert seen.snapshot.counts["requests"] < 12
    assert (
        seen.snapshot.counts["returned"] == 3
    )  # all that were sent afterwards reached the live one
    with pytest.raises(GateFailedError, match="rolled back: 100% of its requests failed"):
        refresh_applied(bad)
    assert road.live_prompt() == CAREFUL


def test_more_replicas_are_no_other_agent(road: Road) -> None:
    """What only changes how many of it run needs no tasks again."""
    first, spec = road.workspace(prompt=CAREFUL)
    refresh_trial(first, spec)
    refresh_applied(first)
    more, spec = road.workspace(prompt=CAREFUL, scaling={"minimum": 4})
    assert refresh_applied(more).snapshot.details["status"] == "released"
