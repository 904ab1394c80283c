"""An embedder tuned for real: NeMo's bi-encoder recipe, vLLM, and a knowledge base that asks it."""

import json
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import yaml

from platform_pipelines.components.fine_tune.component import declared_spec
from platform_pipelines.gateways.model_server import free_port
from platform_pipelines.stages.fine_tune.adapter import refresh_adapter
from platform_pipelines.stages.fine_tune.endpoint import stop_endpoint
from platform_pipelines.stages.fine_tune.model import made_model, refresh_model
from platform_pipelines.stages.fine_tune.training_set import refresh_training_set
from platform_pipelines.stages.fine_tune.workspace import open_workspace
from tests.declared import declaration, definitions
from tests.knowledge import golden_lines, new_knowledge, settings_under

pytestmark = [pytest.mark.models, pytest.mark.timeout(2400)]

FINE_TUNE = "platform_pipelines.components.FineTune"
GUIDES = range(40)


def finder(folder: Path, **data: Any) -> dict[str, Any]:
    """The declaration: small numbers, a real encoder."""
    (folder / "golden.jsonl").write_text(golden_lines([1]), encoding="utf-8")
    return {
        "name": "finder",
        "data": {"validation_share": 0.3, **data},
        "recipe": {
            "task": "embedding", "max_steps": 4, "batch": 8, "micro_batch": 8,
            "checkpoint_every_steps": 2, "validate_every_steps": 2, "learning_rate": 2e-4,
            "contrast": {"query_tokens": 32, "passage_tokens": 64},
        },
        "gate": {"golden_set": "golden.jsonl", "minimum_questions": 5, "minimum_effect": 0.2},
    }  # fmt: skip


def write_pairs(path: Path) -> str:
    """Questions in other words than the guides have."""
    rows = [
        {"question": f"How many machines may pool {n} have?",
         "positive": f"The quota of pool number {n} is {n * 7 + 3} devices, approved by committee."}
        for n in GUIDES
    ]  # fmt: skip
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
    return path.as_uri()


def test_an_embedder_is_trained_and_merged_by_the_same_stages(tmp_path: Path) -> None:
    """The loss is finite, each half is a checkpoint, and what is merged tells a passage apart."""
    attributes = finder(tmp_path, sources=[write_pairs(tmp_path / "pairs.jsonl")])
    attributes["recipe"]["max_steps"] = 2
    attributes["recipe"]["warmup_steps"] = 1
    spec = declared_spec(attributes, tmp_path)
    settings, told = settings_under(tmp_path, None), list[str]()

    def workspace():
        return open_workspace(spec, settings, progress=told.append)

    refresh_training_set(workspace())
    trained = refresh_adapter(workspace()).snapshot
    assert trained.counts["steps"] == 2
    assert 0 < trained.details["validations"][-1]["reciprocal_rank"] <= 1
    assert any("checkpoint" in line for line in told)
    model = refresh_model(workspace()).snapshot
    assert "with its passage" in model.details["smoke_answer"]
    folder = workspace().tools.files_of(made_model(workspace()))
    config = json.loads((folder / "config.json").read_text())
    assert (config["architectures"], config["hidden_size"]) == (["BertModel"], 384)
    assert not refresh_model(workspace()).is_changed


def run(defs: dg.Definitions, job: str) -> dict[str, Any]:
    """A job in this process; the metadata of each asset by its last part."""
    done = defs.resolve_job_def(job).execute_in_process(instance=dg.DagsterInstance.ephemeral())
    assert done.success
    return {
        event.asset_key.path[-1]: event.materialization.metadata
        for event in done.get_asset_materialization_events()
        if event.asset_key
    }


@pytest.mark.long
def test_a_knowledge_base_finds_by_the_embedder_that_was_tuned_on_another_ones_chunks(
    tmp_path: Path,
) -> None:
    """Through Dagster: chunks -> fine-tune -> endpoint -> what its page says -> a released base."""
    settings = settings_under(tmp_path, None)
    guides = new_knowledge(tmp_path / "kb", settings, guides=GUIDES, name="guides")
    source = {"url": guides.spec.source.url, "shards": 2}
    port = free_port()
    attributes = finder(
        tmp_path, knowledge_bases=["guides"], sources=[write_pairs(tmp_path / "pairs.jsonl")]
    )
    attributes["gate"]["golden_set"] = (tmp_path / "golden.jsonl").as_uri()
    attributes["endpoint_port"] = port
    texts = [
        declaration({**guides.attributes, "source": source}),
        yaml.safe_dump({"type": FINE_TUNE, "attributes": attributes}),
    ]
    spec = declared_spec(attributes, tmp_path)
    try:
        with definitions(*texts, settings=settings) as defs:
            run(defs, "guides_refresh")
            pages = run(defs, "finder_fine_tune")
        assert "**pass**" in str(pages["evidence"]["verdict"].value)
        assert "mrr" in str(pages["evidence"]) or "reciprocal_rank" in pages["evidence"]
        shown = str(pages["endpoint"]["embed"].value).strip("`\n").removeprefix("yaml\n")
        tuned = {
            **guides.attributes, "name": "tuned", "source": source, **yaml.safe_load(shown),
        }  # fmt: skip
        with definitions(declaration(tuned), settings=settings) as defs:
            run(defs, "tuned_refresh")
        found = guides.declared(name="tuned", embed=tuned["embed"])
        assert found.log()[-1].revision
        assert found.found("What is the quota of pool number 7?")[0] == "guide7.md"
    finally:
        stop_endpoint(open_workspace(spec, settings))
