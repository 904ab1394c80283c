"""`KnowledgeBase`: a corpus that is searched, from its source to its released index."""

from pathlib import Path
from typing import Any

import dagster as dg
from dagster.components.scaffold.scaffold import ScaffoldRequest, scaffold_with
from pydantic import Field

from platform_pipelines.components.knowledge_base.assets import build_assets
from platform_pipelines.components.knowledge_base.automation import (
    build_refresh_job,
    build_rollback_job,
    build_schedule,
)
from platform_pipelines.components.knowledge_base.live_evaluation import (
    build_evaluation_job,
    build_evaluation_schedule,
    evaluation_asset,
)
from platform_pipelines.components.knowledge_base.source import source_asset
from platform_pipelines.components.knowledge_base.watching import build_sensor
from platform_pipelines.components.shared.declaring import (
    Declaring,
    absolute_url,
    described,
    golden_set_url,
    names_of,
    nested,
)
from platform_pipelines.core.knowledge_base.answer_declaration import (
    AnswerSpec,
    EvaluationSpec,
    JudgeSpec,
)
from platform_pipelines.core.knowledge_base.declaration import (
    EmbedSpec,
    GateSpec,
    IndexSpec,
    KnowledgeBaseSpec,
    RefreshSpec,
    ReleaseSpec,
    SourceSpec,
    parse_declaration,
)
from platform_pipelines.core.knowledge_base.documents import DocumentType
from platform_pipelines.core.knowledge_base.parse_declaration import ParseSpec
from platform_pipelines.errors import ConfigurationError

CHUNK_TEXT = (
    "How documents are cut: document type (markdown, text, html, pdf, docx, pptx, xlsx, csv, code, "
    "chat, mail, hwpx, image) or `default` -> {kind: fixed | tokens | markdown | code | chat | "
    "semantic, ...}. Types that are not named keep the shipped policy, unless `default` is "
    "declared."
)


class KnowledgeBaseScaffolder(dg.Scaffolder):
    """Writes the shortest declaration that works: a name and a folder beside it."""

    def scaffold(self, request: ScaffoldRequest) -> None:
        """Write defs.yaml and a folder `documents` with a first page in it."""
        folder = Path(request.target_path)
        name = folder.name.lower().replace("-", "_")
        dg.scaffold_component(request, {"name": name, "source": {"url": "documents"}})
        documents = folder / "documents"
        documents.mkdir(parents=True, exist_ok=True)
        (documents / "README.md").write_text(
            f"# {name}\n\nPut the documents of this knowledge base here, or point `source.url` in "
            "defs.yaml at a folder (file:///...) or a bucket (s3://...).\n",
            encoding="utf-8",
        )


@scaffold_with(KnowledgeBaseScaffolder)
class KnowledgeBase(Declaring):
    """Documents of a folder or a bucket, kept searchable behind an alias.

    Gives the assets documents -> chunks -> vectors -> index -> evidence -> release, their checks,
    the jobs NAME_refresh and NAME_rollback, a schedule and a sensor (off until switched on). A new
    revision is built beside the live one, evaluated, gated, and only then released.
    """

    name: str = Field(description="lower-case letters, digits and single underscores")
    source: dict[str, Any] = Field(
        **nested(SourceSpec, "Where the documents are."),
        examples=[{"url": "s3://bucket/prefix"}],
    )
    description: str = Field(default="", **described("one sentence for the asset pages"))
    owner: str = Field(default="team:platform", **described("`team:name` or an e-mail address"))
    tenant: str = Field(
        default="default", **described("whose chunks these are; every search names it")
    )
    parse: dict[str, Any] = Field(
        default_factory=dict, **nested(ParseSpec, "What one document may cost.")
    )
    chunk: dict[str, dict[str, Any]] = Field(
        default_factory=dict,
        **described(CHUNK_TEXT, **names_of([*DocumentType, "default"])),
        examples=[{"default": {"kind": "tokens", "size": 512, "overlap": 50}}],
    )
    embed: dict[str, Any] = Field(
        default_factory=dict, **nested(EmbedSpec, "What makes the vectors.")
    )
    index: dict[str, Any] = Field(
        default_factory=dict, **nested(IndexSpec, "How it is stored and searched.")
    )
    answer: dict[str, Any] | None = Field(
        default=None, **nested(AnswerSpec, "How questions are answered; a part of the revision.")
    )
    judge: dict[str, Any] | None = Field(
        default=None, **nested(JudgeSpec, "Who judges whole answers, through Ragas.")
    )
    evaluation: dict[str, Any] | None = Field(
        default=None, **nested(EvaluationSpec, "When what is live is evaluated again.")
    )
    gate: dict[str, Any] = Field(default_factory=dict, **nested(GateSpec, "What a release needs."))
    release: dict[str, Any] = Field(
        default_factory=dict, **nested(ReleaseSpec, "What is kept for rollback.")
    )
    refresh: dict[str, Any] = Field(
        default_factory=dict, **nested(RefreshSpec, "When a refresh starts.")
    )

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        """Assets, checks, jobs, schedule and sensor of this knowledge base.

        Raises:
            ConfigurationError: names the field, its value and what is allowed.
        """
        spec = declared_spec(self.model_dump(exclude_unset=True), context.path)
        try:
            return _definitions(spec)
        except dg.DagsterInvalidDefinitionError as error:  # it knows values, not our fields
            refresh = spec.refresh
            raise ConfigurationError(
                f"Dagster refuses the declaration of {spec.name}: {error}",
                where=str(context.path),
                stored=f"owner = {spec.owner!r}, refresh.cron = {refresh.cron!r}, "
                f"refresh.timezone = {refresh.timezone!r}",
                expected="`team:name` or an e-mail address, a cron of five fields, an IANA name",
                remedy="correct the field that the message is about",
            ) from error


def _definitions(spec: KnowledgeBaseSpec) -> dg.Definitions:
    refresh = build_refresh_job(spec)
    watched = [build_evaluation_job(spec)] if spec.evaluation else []
    return dg.Definitions(
        assets=[
            source_asset(spec),
            *build_assets(spec),
            *([evaluation_asset(spec)] if watched else []),
        ],
        jobs=[refresh, build_rollback_job(spec), *watched],
        schedules=[
            build_schedule(spec, refresh),
            *(build_evaluation_schedule(spec, j) for j in watched),
        ],
        sensors=[build_sensor(spec, refresh)] if spec.refresh.watch else [],
    )


def declared_spec(attributes: dict[str, Any], path: Path) -> KnowledgeBaseSpec:
    """The checked declaration, its relative paths made URLs against the declaring folder.

    Raises:
        ConfigurationError: names the field, its value and what is allowed.
    """
    folder = path if path.is_dir() else path.parent
    spec = parse_declaration(attributes, where=str(folder / "defs.yaml"))
    url = absolute_url(spec.source.url, folder, field="source.url")
    source = spec.source.model_copy(update={"url": url})
    gate = spec.gate
    if gate.golden_set is not None:
        url = golden_set_url(gate.golden_set, folder, field="gate.golden_set")
        gate = gate.model_copy(update={"golden_set": url})
    return spec.model_copy(update={"source": source, "gate": gate})
