"""`KnowledgeBase`: a corpus that is searched, from its source to its released index."""

from pathlib import Path
from typing import Any

import dagster as dg
from dagster.components.scaffold.scaffold import ScaffoldRequest, scaffold_with

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
    absolute_url,
    declaring,
    folder_of,
    golden_set_url,
)
from platform_pipelines.core.knowledge_base.declaration import KnowledgeBaseSpec, parse_declaration
from platform_pipelines.core.knowledge_base.documents import DocumentType

KEYS = {"chunk": [*DocumentType, "default"]}
TOLD = {
    "source": "where the documents are",
    "tenant": "whose chunks these are; every search names it",
    "parse": "what one document may cost",
    "chunk": "How documents are cut: document type (markdown, text, html, pdf, docx, pptx, xlsx, "
    "csv, code, chat, mail, hwpx, image) or `default` -> {kind: fixed | tokens | markdown | code | "
    "chat | semantic, ...}. Types that are not named keep the shipped policy, unless `default` is "
    "declared.",
    "embed": "what makes the vectors",
    "index": "how it is stored and searched",
    "answer": "how questions are answered; a part of the revision",
    "judge": "who judges whole answers, through Ragas",
    "gate": "what a release needs",
    "release": "what is kept for rollback",
    "refresh": "when a refresh starts",
}


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
class KnowledgeBase(declaring(KnowledgeBaseSpec, TOLD, keys=KEYS)):
    """Documents of a folder or a bucket, kept searchable behind an alias.

    Gives the assets documents -> chunks -> vectors -> index -> evidence -> release, their checks,
    the jobs NAME_refresh and NAME_rollback, a schedule and a sensor (off until switched on). A new
    revision is built beside the live one, evaluated, gated, and only then released.
    """

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        """Assets, checks, jobs, schedule and sensor of this knowledge base.

        Raises:
            ConfigurationError: names the field, its value and what is allowed.
        """
        return _definitions(declared_spec(self.given, context.path))


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
    folder = folder_of(path)
    spec = parse_declaration(attributes, where=str(folder / "defs.yaml"))
    url = absolute_url(spec.source.url, folder, field="source.url")
    source = spec.source.model_copy(update={"url": url})
    gate = spec.gate
    if gate.golden_set is not None:
        url = golden_set_url(gate.golden_set, folder, field="gate.golden_set")
        gate = gate.model_copy(update={"golden_set": url})
    return spec.model_copy(update={"source": source, "gate": gate})
