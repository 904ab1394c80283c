"""The demo's declarations as definitions: keys, policy, and what a wrong one is told."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import yaml

from platform_pipelines.components.fine_tune.assets import build_assets, build_job, build_jobs
from platform_pipelines.components.fine_tune.component import declared_spec
from platform_pipelines.components.model_rollout import component as rollout
from platform_pipelines.errors import ConfigurationError
from platform_pipelines.stages.fine_tune.workspace import STAGES

DEFS = Path(__file__).resolve().parents[3] / "demos" / "assistant" / "assistant_demo" / "defs"


def attributes(name: str) -> dict[str, Any]:
    return yaml.safe_load((DEFS / name / "defs.yaml").read_text(encoding="utf-8"))["attributes"]


def test_each_asset_follows_the_one_before_and_has_what_people_need() -> None:
    """Owner, group, pool, retries, time-out, code version, kinds, description."""
    spec = declared_spec(attributes("assistant"), DEFS / "assistant")
    assets = build_assets(spec)
    assert [a.key.path for a in assets] == [["assistant", stage] for stage in STAGES]
    for number, asset in enumerate(assets):
        (only,) = asset.specs
        assert [dep.asset_key for dep in only.deps] == [
            a.key for a in assets[max(0, number - 1) : number]
        ]
        assert only.owners == ["team:platform"]
        assert only.group_name == "assistant"
        assert only.description
        assert only.code_version
        assert asset.op.retry_policy is not None
        assert asset.op.pool == "fine_tune_assistant"
        assert int(asset.op.tags["platform/timeout_seconds"]) > 0
    assert build_job(spec).name == "assistant_fine_tune"


def test_a_grid_is_an_asset_of_partitions_between_data_and_adapter() -> None:
    """One partition a combination; the jobs stay apart."""
    declared = {**attributes("assistant"), "grid": {"learning_rate": [1e-4, 5e-4], "rank": [8, 16]}}
    spec = declared_spec(declared, DEFS / "assistant")
    by_name = {asset.key.path[1]: asset for asset in build_assets(spec)}
    assert list(by_name) == ["training_set", "trials", "adapter", *STAGES[2:]]
    partitions = by_name["trials"].partitions_def
    assert partitions is not None
    assert list(partitions.get_partition_keys())[::3] == [
        "learning_rate=0.0001 rank=8", "learning_rate=0.0005 rank=16"
    ]  # fmt: skip
    assert [d.asset_key.path for d in next(iter(by_name["adapter"].specs)).deps] == [
        ["assistant", "trials"]
    ]
    assert [job.name for job in build_jobs(spec)] == ["assistant_fine_tune", "assistant_trials"]
    assert spec.trials["learning_rate=0.0005 rank=8"].rank == 8


def embedder(**change: Any) -> dict[str, Any]:
    return {
        "name": "finder",
        "data": {"knowledge_bases": ["handbook"]},
        "recipe": {"task": "embedding"},
        "gate": {"golden_set": "golden.jsonl"},
        **change,
    }


def test_an_embedder_is_the_same_component_with_another_recipe() -> None:
    """Its base and its precision are its own; its data are above it; it can be served."""
    spec = declared_spec(embedder(endpoint_port=8500), DEFS / "assistant")
    assert (spec.base, spec.serving.dtype) == ("multilingual-e5-small", "float32")
    assets = build_assets(spec)
    assert [a.key.path[1] for a in assets] == [*STAGES, "endpoint"]
    above = [d.asset_key.path for d in next(iter(assets[0].specs)).deps]
    assert above == [["handbook", "chunks"]]
    assert [job.name for job in build_jobs(spec)] == ["finder_fine_tune", "finder_stop"]
    assert len(build_assets(declared_spec(embedder(), DEFS / "assistant"))) == len(STAGES)


def test_an_embedder_is_not_trained_over_four_bits() -> None:
    """The recipe of bi-encoders has no such thing."""
    four = embedder(recipe={"task": "embedding", "method": "qlora"}, profile="gpu-training")
    with pytest.raises(ConfigurationError) as refused:
        declared_spec(four, DEFS / "assistant")
    assert "an embedder takes lora or full" in str(refused.value)


def test_paths_of_a_declaration_become_addresses() -> None:
    """Relative to the YAML, whoever runs it from where."""
    spec = declared_spec(attributes("assistant"), DEFS / "assistant")
    assert all(url.startswith("file://") for url in (*spec.data.sources, spec.gate.golden_set))
    live = rollout.declared_spec(attributes("assistant_live"), DEFS / "assistant_live")
    assert live.judge.golden_set == spec.gate.golden_set


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"recipe": {"max_steps": 2, "warmup_steps": 2}}, "warmup_steps 2 is not below max_steps"),
        ({"recipe": {"batch": 6, "micro_batch": 4}}, "no multiple of micro_batch x processes"),
        ({"recipe": {"method": "qlora"}}, "`qlora` quantises on a GPU, and the profile is `cpu`"),
        ({"grid": {"learning_rate": [1e-4]}}, "a grid has 2 to 24 trials, not 1"),
        ({"grid": {"seed": list(range(9)), "rank": [8, 16, 32]}}, "2 to 24 trials, not 27"),
        ({"grid": {"seed": [1, 1]}}, "seed names a value twice"),
        ({"grid": {"max_steps": [4, 10]}}, "the trial max_steps=4 ends before its first valid"),
        ({"recipe": {"learning_rat": 1}}, "recipe.learning_rat = 1: no such field"),
        ({"data": {"sources": []}}, "data.sources, data.reviewed or data.knowledge_bases"),
        (
            {"gate": {"golden_set": "x", "floors": {"hit_at_1": 1}}},
            "nobody measures of a model for",
        ),
        ({"recipe": {"task": "embedding"}}, "gate.floors names answer_f1, which nobody measures"),
        ({"data": {"knowledge_bases": ["handbook"]}}, "data.knowledge_bases is an embedder's"),
        ({"endpoint_port": 8500}, "endpoint_port is an embedder's"),
        ({"gate": {"golden_set": "x", "floors": {"truth": 1}}}, "unknown metrics"),
        ({"name": "Not Good"}, "name = 'Not Good'"),
    ],
)
def test_a_wrong_model_is_told_its_field(change: dict[str, Any], told: str) -> None:
    """At load, with what is allowed."""
    with pytest.raises(ConfigurationError) as refused:
        declared_spec({**attributes("assistant"), **change}, DEFS / "assistant")
    assert told in str(refused.value)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"steps": [{"percent": 50}, {"percent": 20}, {"percent": 100}]}, "they grow"),
        ({"steps": [{"percent": 50}]}, "the last is 100"),
        ({"steps": [{"percent": 5, "mirror": True}, {"percent": 100}]}, "percent is 0"),
        ({"port": 9, "admin_port": 9}, "are the same"),
    ],
)
def test_a_wrong_rollout_is_told_its_field(change: dict[str, Any], told: str) -> None:
    """At load, with what is allowed."""
    with pytest.raises(ConfigurationError) as refused:
        rollout.declared_spec({**attributes("assistant_live"), **change}, DEFS / "assistant_live")
    assert told in str(refused.value)


def test_a_rollout_follows_its_models_registration() -> None:
    """Nothing is rolled out that was not registered."""
    spec = rollout.declared_spec(attributes("assistant_live"), DEFS / "assistant_live")
    (only,) = rollout._build_asset(spec).specs
    assert only.key == dg.AssetKey(["assistant_live", "rollout"])
    assert [d.asset_key.path for d in only.deps] == [["assistant", "registration"]]


def test_the_demo_is_a_project_that_loads() -> None:
    """Its definitions bring the resource that every op of the platform needs."""
    program = str(Path(sys.executable).parent / "dg")
    checked = subprocess.run(
        [program, "check", "defs"], cwd=DEFS.parents[1], capture_output=True, text=True, check=False
    )
    assert checked.returncode == 0, checked.stdout[-2000:] + checked.stderr[-2000:]
