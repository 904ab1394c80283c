"""The six assets of a knowledge base: thin Dagster over `stages`, one page for people each."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import dagster as dg

from platform_pipelines.components.knowledge_base import checks, pages
from platform_pipelines.components.knowledge_base.golden_set_assets import questions_key
from platform_pipelines.components.knowledge_base.notices import notices
from platform_pipelines.components.knowledge_base.policy import stage_policy
from platform_pipelines.components.knowledge_base.source import SOURCE
from platform_pipelines.components.shared.assets import stage_asset
from platform_pipelines.components.shared.pages import what_happened
from platform_pipelines.core.knowledge_base.declaration import KnowledgeBaseSpec
from platform_pipelines.core.road.declared_values import named_golden_set
from platform_pipelines.stages.knowledge_base.chunks import refresh_chunks
from platform_pipelines.stages.knowledge_base.documents import refresh_documents
from platform_pipelines.stages.knowledge_base.evidence import refresh_evidence
from platform_pipelines.stages.knowledge_base.index import refresh_index
from platform_pipelines.stages.knowledge_base.release import refresh_release
from platform_pipelines.stages.knowledge_base.vectors import refresh_vectors
from platform_pipelines.stages.knowledge_base.workspace import STAGES, Workspace, open_workspace
from platform_pipelines.stages.road.outcome import StageOutcome


class ReleaseConfig(dg.Config):
    """What a person may decide about one release."""

    allow_rolled_back: bool = False  # release again what was rolled back from


@dataclass(frozen=True, slots=True)
class StageDescription:
    """What people read of a stage, and the function that does it."""

    name: str
    description: str
    kinds: frozenset[str]
    run: Callable[..., StageOutcome]


EMBEDDER_KINDS = {"local": "openvino", "openai": "openai", "hash": "python"}

DESCRIPTIONS = (
    StageDescription(
        "documents",
        "Every source document's parsed text, with its structure, and the quarantine: what could "
        "not be parsed and why. Only new or changed documents are read.",
        frozenset({"python", "parquet"}),
        refresh_documents,
    ),
    StageDescription(
        "chunks",
        "What the declared chunk policies made of the documents. A chunk never exceeds the "
        "embedder's window. Only changed documents, or changed policies, are cut again.",
        frozenset({"langchain", "parquet"}),
        refresh_chunks,
    ),
    StageDescription(
        "vectors",
        "One vector a chunk. A text that was ever embedded here is not embedded again.",
        frozenset({"openvino", "parquet"}),
        refresh_vectors,
    ),
    StageDescription(
        "index",
        "The candidate revision: a new collection in the vector store beside the live one.",
        frozenset({"milvus"}),
        refresh_index,
    ),
    StageDescription(
        "evidence",
        "The candidate's evaluation against the live revision on the golden set, and the gate's "
        "verdict: pass, fail or undecided.",
        frozenset({"ragas"}),
        refresh_evidence,
    ),
    StageDescription(
        "release",
        "The pointer that readers follow. It moves only when the evidence, read again here, "
        "passes; NAME_rollback moves it back.",
        frozenset({"milvus"}),
        refresh_release,
    ),
)


def build_assets(spec: KnowledgeBaseSpec) -> Sequence[dg.AssetsDefinition]:
    """The assets `[name, stage]`, each depending on the one before."""
    return [
        _asset(spec, description, STAGES[number - 1] if number else SOURCE)
        for number, description in enumerate(DESCRIPTIONS)
    ]


def _asset(spec: KnowledgeBaseSpec, stage: StageDescription, above: str) -> dg.AssetsDefinition:
    key = dg.AssetKey([spec.name, stage.name])

    def tell(
        context: dg.AssetExecutionContext, workspace: Workspace, outcome: StageOutcome
    ) -> dg.MaterializeResult:
        context.log.info("%s: %s", stage.name, what_happened(outcome).replace("*", ""))
        for notice in notices(workspace, stage.name, outcome):
            context.log.warning("%s: %s", stage.name, notice)
        return dg.MaterializeResult(
            metadata=pages.metadata(workspace, stage.name, outcome),
            data_version=dg.DataVersion(outcome.snapshot.digest),
            check_results=checks.results(workspace, stage.name, outcome),
        )

    return stage_asset(
        key.path, stage.run, tell,
        policy=stage_policy(spec, stage.name),
        opened=partial(open_workspace, spec),
        config=ReleaseConfig if stage.name == "release" else None,
        text=stage.description.replace("NAME", spec.name),
        deps=[dg.AssetKey([spec.name, above]), *_questions(spec, stage)],
        kinds=set(_kinds(spec, stage)),
        metadata={"knowledge_base": spec.name, "source": spec.source.url},
        check_specs=checks.specs(key, stage.name),
    )  # fmt: skip


def _questions(spec: KnowledgeBaseSpec, stage: StageDescription) -> list[dg.AssetKey]:
    """The golden set that the evidence asks, where it has a name."""
    name = named_golden_set(spec.gate.golden_set) if stage.name == "evidence" else None
    return [questions_key(name)] if name else []


def _kinds(spec: KnowledgeBaseSpec, stage: StageDescription) -> frozenset[str]:
    """What the web UI shows as a badge: the embedder that is declared, not the default one."""
    return frozenset(
        EMBEDDER_KINDS[spec.embed.provider] if k == "openvino" else k for k in stage.kinds
    )
