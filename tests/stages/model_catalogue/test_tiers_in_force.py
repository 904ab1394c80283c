"""Tiers that are wrong too often are not applied; those that are live choose `serve`'s models."""

import dataclasses
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from platform_pipelines.core.knowledge_base.answer_declaration import AnswerSpec
from platform_pipelines.core.knowledge_base.revision import answer_recipe
from platform_pipelines.core.model_catalogue.declaration import ModelCatalogueSpec
from platform_pipelines.core.model_catalogue.litellm import proxy_config
from platform_pipelines.core.model_catalogue.render import render_catalogue
from platform_pipelines.core.model_catalogue.tiering import policy_of
from platform_pipelines.core.road.evidence import Evidence, make_evidence
from platform_pipelines.core.road.snapshot import Snapshot
from platform_pipelines.core.road.tiers import COMPONENT, METRICS, TierSample, sample_row
from platform_pipelines.errors import ConfigurationError, GateFailedError
from platform_pipelines.gateways.language_model import Message
from platform_pipelines.settings import Settings
from platform_pipelines.stages.knowledge_base.connect import open_language_model
from platform_pipelines.stages.model_catalogue.tiers import STAGE, load_samples, rules_of
from platform_pipelines.stages.road.applied import (
    AppliedWorkspace,
    refresh_applied,
    refresh_manifests,
    roll_back_applied,
)
from platform_pipelines.stages.road.clusters import Applied, open_applied
from platform_pipelines.stages.road.evidence import write_evidence
from platform_pipelines.stages.road.tiers import live_tiers
from tests.fakes import Admitting
from tests.knowledge import settings_under
from tests.platform_sample import SAMPLES, attributes, catalogue
from tests.servers.chat_server import ChatServer

TIERS = {
    **attributes("models")["tiers"], "samples": (SAMPLES / "models" / "tiers.jsonl").as_uri()
}  # fmt: skip


def declared(**changes: Any) -> ModelCatalogueSpec:
    return catalogue(tiers={**TIERS, **changes}, apply={"mode": "apply"})


def workspace_of(spec: ModelCatalogueSpec, settings: Settings) -> AppliedWorkspace:
    applied = Applied(
        "model_catalogue", spec, partial(render_catalogue, spec), rules=partial(rules_of, spec)
    )
    return dataclasses.replace(open_applied(applied, settings), open_cluster=Admitting)


def judged(workspace: AppliedWorkspace, spec: ModelCatalogueSpec, *, wrong: int) -> None:
    """Evidence as the stage writes it, of which so many decisions are wrong."""
    policy = policy_of(spec)
    assert spec.tiers is not None
    assert policy is not None
    samples = load_samples(workspace, spec.tiers)
    rows = tuple(_row(one, number < wrong) for number, one in enumerate(samples.samples))
    evidence = make_evidence(
        Evidence(
            COMPONENT, policy.digest, None, samples.digest, {"by": "rules"}, METRICS,
            len(rows), rows,
        )
    )  # fmt: skip
    digest = write_evidence(workspace.settings, workspace.store, evidence)
    _, version = workspace.head(STAGE)
    with workspace.writing(STAGE, version) as held:
        held.move_head(Snapshot(STAGE, policy.digest, (), {}, {"evidence": digest}), version)


def _row(sample: TierSample, is_wrong: bool) -> Any:
    said = "other" if is_wrong else sample.tier
    return sample_row(sample, gateway=said, serve=sample.tier)


def released(settings: Settings, spec: ModelCatalogueSpec) -> AppliedWorkspace:
    workspace = workspace_of(spec, settings)
    refresh_manifests(workspace)
    judged(workspace, spec, wrong=0)
    refresh_applied(workspace)
    return workspace


def test_tiers_without_evidence_or_with_too_many_wrong_are_not_applied(tmp_path: Path) -> None:
    """4 of 45 may be wrong at 10 %, 5 are 11 %."""
    spec = declared()
    workspace = workspace_of(spec, settings_under(tmp_path, None))
    refresh_manifests(workspace)
    with pytest.raises(GateFailedError, match="no evidence"):
        refresh_applied(workspace)
    judged(workspace, spec, wrong=5)
    with pytest.raises(GateFailedError, match=r"gateway_right is 0\.88"):
        refresh_applied(workspace)
    judged(workspace, spec, wrong=4)
    assert refresh_applied(workspace).snapshot.details["status"] == "released"


def test_another_rule_needs_other_evidence(tmp_path: Path) -> None:
    """The rules were judged, not the catalogue's name."""
    settings = settings_under(tmp_path, None)
    released(settings, declared())
    other = workspace_of(declared(otherwise="moderate"), settings)
    refresh_manifests(other)
    with pytest.raises(GateFailedError, match="tiers"):
        refresh_applied(other)


def test_an_answer_is_worded_by_the_model_of_its_question(tmp_path: Path) -> None:
    """`answer.model` is the tiers' name: what is live chooses, and a rollback takes it back."""
    settings = settings_under(tmp_path, None)
    question = Message("user", "passages that compare\nwhere is it?", asked="where is it?")
    hard = Message("user", "hello\ncompare them", asked="compare them")
    with ChatServer(lambda body: str(body["model"])) as server:
        recipe = answer_recipe(AnswerSpec(model="auto", url=server.url), "prompt")

        def words(message: Message) -> str:
            model = open_language_model(settings, recipe)
            assert model is not None
            try:
                return model.complete([message]).text
            finally:
                model.close()

        assert words(question) == "auto"  # nothing is live: the gateway decides
        workspace = released(settings, declared())
        assert [words(question), words(hard)] == ["small", "large"]
        first = live_tiers(settings, "auto")
        released(settings, declared(otherwise="moderate"))
        assert words(question) == "medium"
        roll_back_applied(workspace, reason="dearer")
        assert live_tiers(settings, "auto") == first
        assert words(question) == "small"


def test_two_catalogues_with_tiers_of_one_name_are_refused(tmp_path: Path) -> None:
    """Which of them is meant is nobody's guess."""
    settings = settings_under(tmp_path, None)
    released(settings, declared())
    released(settings, declared().model_copy(update={"name": "others"}))
    with pytest.raises(ConfigurationError, match="models, others"):
        live_tiers(settings, "auto")


def test_what_litellm_is_given() -> None:
    """Its complexity router with our rules as its plugin, each tier with its model."""
    found = {one["model_name"]: one for one in proxy_config(declared())["model_list"]}
    router = found["auto"]["litellm_params"]
    assert router["model"] == "auto_router/complexity_router"
    assert router["complexity_router_config"]["tiers"] == {
        "simple": "small", "moderate": "medium", "complex": "large",
    }  # fmt: skip
    by_model = declared(by="model", classifier="small")
    names = [one["model_name"] for one in proxy_config(by_model)["model_list"]]
    assert names.count("auto-classifier") == 2  # both places of `small`
    limits = {
        one["litellm_params"].get("max_tokens")
        for one in proxy_config(by_model)["model_list"]
        if one["model_name"] == "auto-classifier"
    }
    assert limits == {10}


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"by": "model"}, "needs `classifier`"),
        ({"by": "model", "classifier": "tiny"}, "no model 'tiny'"),
        ({"name": "small"}, "is a model"),
        ({"rules": []}, "needs `rules`"),
        ({"rules": [{"tier": "hard", "any_of": ["x"]}]}, "tier"),
        ({"rules": [{"tier": "simple"}]}, "any_of"),
    ],
)
def test_tiers_that_cannot_decide_are_refused(change: dict[str, Any], told: str) -> None:
    """At the declaration, not at the first request."""
    with pytest.raises(ConfigurationError, match=told):
        declared(**change)
