"""Tiers in a real LiteLLM proxy: which model it asks, and how often it is the wrong one."""

import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from platform_pipelines.core.model_catalogue.declaration import ModelCatalogueSpec
from platform_pipelines.core.model_catalogue.render import render_catalogue
from platform_pipelines.core.road.declarations import parse_spec
from platform_pipelines.core.road.tiers import errors_of
from platform_pipelines.core.road.verdicts import Status
from platform_pipelines.stages.model_catalogue.tiers import refresh_tiers, rules_of
from platform_pipelines.stages.road.applied import (
    AppliedWorkspace,
    refresh_applied,
    refresh_manifests,
)
from platform_pipelines.stages.road.clusters import Applied, open_applied
from platform_pipelines.stages.road.outcome import StageOutcome
from tests.knowledge import settings_under
from tests.plane.test_rehearsal import home_with_environments
from tests.platform_sample import SAMPLES, attributes
from tests.servers.chat_server import ChatServer, Json

pytestmark = [pytest.mark.plane, pytest.mark.timeout(280)]


def says(body: Json) -> str:
    """A classifier that is right when the request says so itself; others say their name."""
    if "response_format" not in body and body["max_tokens"] != 10:
        return body["model"]
    text = body["messages"][-1]["content"]
    tier = next((one for one in ("complex", "moderate") if f"[{one}]" in text), "simple")
    return json.dumps({"tier": tier}) if "response_format" in body else tier


@pytest.fixture
def server() -> Iterator[ChatServer]:
    with ChatServer(says) as running:
        yield running


def catalogue(url: str, samples: Path, upstream: str = "declared", **tiers: Any) -> Any:
    """Three models of one server, each called like itself."""
    price = attributes("models")["models"]["small"]["price"]
    models = {
        name: {
            "tier": tier, "price": price,
            "deployments": [{"provider": "openai_compatible", "model": name, "url": url}],
        }
        for name, tier in (("small", "simple"), ("medium", "moderate"), ("large", "complex"))
    }  # fmt: skip
    declared = {
        "name": "tiered", "models": models, "rehearsal": {"upstream": upstream},
        "tiers": {**tiers, "samples": samples.as_uri()},
    }  # fmt: skip
    return parse_spec(ModelCatalogueSpec, declared, where="test", noun="models")


def workspace_of(spec: ModelCatalogueSpec, folder: Path) -> AppliedWorkspace:
    settings = settings_under(home_with_environments(folder), None)
    render = partial(render_catalogue, spec)
    return open_applied(
        Applied("model_catalogue", spec, render, rules=partial(rules_of, spec)), settings
    )


def labelled(folder: Path, each: int) -> Path:
    """Requests that say what they are."""
    file = folder / "tiers.jsonl"
    rows = [
        {"id": f"{tier}-{number}", "text": f"request {number} [{tier}]", "tier": tier}
        for tier in ("simple", "moderate", "complex")
        for number in range(each)
    ]
    file.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    return file


def reasons(outcome: StageOutcome) -> str:
    return "; ".join(one.message for one in outcome.facts["verdict"].reasons)


def test_rules_decide_alike_at_the_gateway_and_in_serve(tmp_path: Path, server: ChatServer) -> None:
    """The sample's rules on its labelled requests: the same tier in both places, each sample."""
    rules = {k: v for k, v in attributes("models")["tiers"].items() if k != "samples"}
    spec = catalogue(server.url, SAMPLES / "models" / "tiers.jsonl", **rules)
    workspace = workspace_of(spec, tmp_path)
    refresh_manifests(workspace)
    assert "tiers: there is no evidence" in str(refresh_applied(workspace).snapshot.details)
    outcome = refresh_tiers(workspace, spec)
    rows = outcome.facts["evidence"].rows
    assert [r.candidate.details["gateway"] for r in rows] == [
        r.candidate.details["serve"] for r in rows
    ]
    by_label = {"simple": "small", "moderate": "medium", "complex": "large"}
    asked = [body["model"] for body in server.requests]
    assert asked == [by_label[r.candidate.details["gateway"]] for r in _as_asked(workspace, rows)]
    assert outcome.facts["verdict"].status is Status.PASS, reasons(outcome)
    print({k: (v.estimate, v.low, v.high) for k, v in errors_of(outcome.facts["evidence"]).items()})
    assert refresh_applied(workspace).snapshot.details["verdict"] == "pass"
    assert not refresh_tiers(workspace, spec).is_changed  # judged once


def _as_asked(workspace: AppliedWorkspace, rows: Any) -> list[Any]:
    """In the order of the file: evidence keeps its rows sorted."""
    text = (SAMPLES / "models" / "tiers.jsonl").read_text(encoding="utf-8")
    order = [json.loads(line)["id"] for line in text.splitlines()]
    found = {row.sample_id: row for row in rows}
    return [found[one] for one in order]


def test_a_small_model_decides_with_ten_tokens(tmp_path: Path, server: ChatServer) -> None:
    """LiteLLM's own classifier, its reply bounded; the same classifier as `serve` asks it."""
    spec = catalogue(server.url, labelled(tmp_path, 4), by="model", classifier="small",
                     minimum_samples=12)  # fmt: skip
    workspace = workspace_of(spec, tmp_path)
    outcome = refresh_tiers(workspace, spec)
    assert outcome.facts["verdict"].status is Status.PASS, reasons(outcome)
    classified = [body for body in server.requests if body["max_tokens"] == 10]
    assert len(classified) == 24  # each sample at the gateway and as `serve` does
    assert {body["model"] for body in classified} == {"small"}


@pytest.mark.long
def test_a_model_of_135_million_parameters_is_measured_and_refused(tmp_path: Path) -> None:
    """It writes one word, but not the right one: the gate says so before anybody is routed."""
    spec = catalogue("http://127.0.0.1:9/v1", labelled(tmp_path, 4), upstream="small_model",
                     by="model", classifier="small", minimum_samples=12)  # fmt: skip
    outcome = refresh_tiers(workspace_of(spec, tmp_path), spec)
    rates = errors_of(outcome.facts["evidence"])
    print({name: (one.estimate, one.low, one.high) for name, one in rates.items()})
    assert outcome.facts["verdict"].status is Status.FAIL
    assert rates["gateway"].samples == 12
