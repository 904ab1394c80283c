"""`KnowledgeBase`: a corpus that is searched, from its source to its released index."""

from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

import dagster as dg
from dagster.components.scaffold.scaffold import ScaffoldRequest, scaffold_with
from pydantic import BaseModel, ConfigDict, Field, model_validator

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
    ParseSpec,
    RefreshSpec,
    ReleaseSpec,
    SourceSpec,
    parse_declaration,
)
from platform_pipelines.core.knowledge_base.documents import DocumentType
from platform_pipelines.core.road.declared_values import shown
from platform_pipelines.errors import ConfigurationError
from platform_pipelines.gateways.obstore_store import open_store


def _nested(model: type[BaseModel], text: str) -> dict[str, Any]:
    """Description and schema of a nested attribute: every field, what it means, its default.

    The names stand in the schema, so that `dg check yaml` and editors refuse a misspelt one; values
    do not, because a value may be a template, and loading checks what the template gave.
    """
    lines = [text]
    for name, field in model.model_fields.items():
        default = "required" if field.is_required() else f"default {field.default!r}"
        lines.append(f"- `{name}`: {field.description} ({default})")
    properties = {n: {"description": f.description} for n, f in model.model_fields.items()}
    return _described("\n".join(lines), properties=properties, **_names(properties))


def _names(allowed: Iterable[str]) -> dict[str, Any]:
    """Of an object's keys. `additionalProperties` would refuse too, but not say what is allowed."""
    return {"propertyNames": {"enum": list(allowed)}}


def _described(text: str, **schema: Any) -> dict[str, Any]:
    """Arguments of `Field`. The schema of an attribute with a default has its text only this way:

    Dagster (1.13, `derive_model_type`) drops a `description` beside a default.
    """
    return {"description": text, "json_schema_extra": {"description": text, **schema}}


CHUNK_TEXT = (
    "How documents are cut: document type (markdown, text, html, pdf, docx, pptx, xlsx, csv, code, "
    "chat) or `default` -> {kind: fixed | tokens | markdown | code | chat | semantic, ...}. "
    "Types that are not named keep the shipped policy, unless `default` is declared."
)


class _KnownAttributes(BaseModel):
    """Refuses what is not in the schema, as Dagster does, and says what is."""

    @model_validator(mode="before")
    @classmethod
    def _refuse_others(cls, values: Any) -> Any:
        given: dict[str, Any] = values if isinstance(values, dict) else {}
        unknown = [name for name in given if name not in cls.model_fields]
        if unknown:
            told = ", ".join(f"{name} = {shown(given[name], name=name)}" for name in unknown)
            raise ValueError(f"{told}: no such attribute; allowed: {', '.join(cls.model_fields)}")
        return values


@cache
def _with_known_attributes(derived: type[BaseModel]) -> type[BaseModel]:
    extra = _names(derived.model_fields)
    config = ConfigDict(json_schema_extra=extra, hide_input_in_errors=True)
    members = {"__module__": __name__, "model_config": config}
    return type(derived.__name__, (_KnownAttributes, derived), members)


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
class KnowledgeBase(dg.Component, dg.Model, dg.Resolvable):
    """Documents of a folder or a bucket, kept searchable behind an alias.

    Gives the assets documents -> chunks -> vectors -> index -> evidence -> release, their checks,
    the jobs NAME_refresh and NAME_rollback, a schedule and a sensor (off until switched on). A new
    revision is built beside the live one, evaluated, gated, and only then released.
    """

    name: str = Field(description="lower-case letters, digits and single underscores")
    source: dict[str, Any] = Field(
        **_nested(SourceSpec, "Where the documents are."),
        examples=[{"url": "s3://bucket/prefix"}],
    )
    description: str = Field(default="", **_described("one sentence for the asset pages"))
    owner: str = Field(default="team:platform", **_described("`team:name` or an e-mail address"))
    tenant: str = Field(
        default="default", **_described("whose chunks these are; every search names it")
    )
    parse: dict[str, Any] = Field(
        default_factory=dict, **_nested(ParseSpec, "What one document may cost.")
    )
    chunk: dict[str, dict[str, Any]] = Field(
        default_factory=dict,
        **_described(CHUNK_TEXT, **_names([*DocumentType, "default"])),
        examples=[{"default": {"kind": "tokens", "size": 512, "overlap": 50}}],
    )
    embed: dict[str, Any] = Field(
        default_factory=dict, **_nested(EmbedSpec, "What makes the vectors.")
    )
    index: dict[str, Any] = Field(
        default_factory=dict, **_nested(IndexSpec, "How it is stored and searched.")
    )
    answer: dict[str, Any] | None = Field(
        default=None, **_nested(AnswerSpec, "How questions are answered; a part of the revision.")
    )
    judge: dict[str, Any] | None = Field(
        default=None, **_nested(JudgeSpec, "Who judges whole answers, through Ragas.")
    )
    evaluation: dict[str, Any] | None = Field(
        default=None, **_nested(EvaluationSpec, "When what is live is evaluated again.")
    )
    gate: dict[str, Any] = Field(default_factory=dict, **_nested(GateSpec, "What a release needs."))
    release: dict[str, Any] = Field(
        default_factory=dict, **_nested(ReleaseSpec, "What is kept for rollback.")
    )
    refresh: dict[str, Any] = Field(
        default_factory=dict, **_nested(RefreshSpec, "When a refresh starts.")
    )

    @classmethod
    def model(cls) -> type[BaseModel]:
        """Dagster's schema, whose refusal of another attribute does not say what is allowed."""
        return _with_known_attributes(super().model())

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
    url = _absolute_url(spec.source.url, folder, field="source.url")
    source = spec.source.model_copy(update={"url": url})
    gate = spec.gate
    if gate.golden_set is not None:
        url = _absolute_url(gate.golden_set, folder, field="gate.golden_set")
        gate = gate.model_copy(update={"golden_set": url})
    return spec.model_copy(update={"source": source, "gate": gate})


def _absolute_url(value: str, folder: Path, *, field: str) -> str:
    where = f"{field} in {folder / 'defs.yaml'}"
    if "://" in value:
        open_store(value, named=where)  # touches nothing; refuses what is no URL of a store
        return value
    if value.startswith(("~", "$")):
        raise ConfigurationError(
            f"{value!r} is not expanded here",
            where=where,
            expected="a URL, or a path relative to the declaration",
            remedy='use "{{ env.NAME }}" for a value of the environment',
        )
    return (folder / value).resolve().as_uri()
