"""`GoldenSet`: questions that people keep, checked and versioned, for the gates that ask them."""

from pathlib import Path
from typing import Any

import dagster as dg
from pydantic import Field

from platform_pipelines.components.knowledge_base.golden_set_assets import (
    golden_set_asset,
    golden_set_job,
)
from platform_pipelines.components.shared.declaring import (
    Declaring,
    absolute_url,
    declared,
    described,
)
from platform_pipelines.core.knowledge_base.golden_declaration import GoldenSetSpec


class GoldenSet(Declaring):
    """Golden questions from a file, a folder or a bucket: JSON Lines, a JSON array, CSV.

    Their rows are `id, language, question, answerable, references, answer`, or
    `question, answer, contexts, ground_truth`, or Ragas' own; a column `state` (candidate,
    accepted, rejected) keeps out what nobody accepted. Gives the asset NAME/questions, a check of
    its references and the job NAME_golden_set; `gate.golden_set: golden_set:NAME` asks it.
    """

    name: str = Field(description="lower-case letters, digits and single underscores")
    url: str = Field(
        description="a file (.jsonl, .json, .csv), or a folder or `s3://bucket/prefix` of them"
    )
    knowledge_base: str | None = Field(
        default=None, **described("whose documents the references are looked up in")
    )
    language: str | None = Field(
        default=None, **described("of questions that name none; `none`: by their letters")
    )
    description: str = Field(default="", **described("one sentence for the asset pages"))
    owner: str = Field(default="team:platform", **described("`team:name` or an e-mail address"))
    timeout_minutes: int = Field(default=30, **described("a run older than this is ended"))

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        """Asset, check and job of this golden set.

        Raises:
            ConfigurationError: names the field, its value and what is allowed.
        """
        spec = declared_golden_set(self.model_dump(exclude_unset=True), context.path)
        return dg.Definitions(assets=[golden_set_asset(spec)], jobs=[golden_set_job(spec)])


def declared_golden_set(attributes: dict[str, Any], path: Path) -> GoldenSetSpec:
    """The checked declaration, its relative path made a URL against the declaring folder.

    Raises:
        ConfigurationError: names the field, its value and what is allowed.
    """
    folder = path if path.is_dir() else path.parent
    spec = declared(GoldenSetSpec, attributes, path, noun="a golden set")
    return spec.model_copy(update={"url": absolute_url(spec.url, folder, field="url")})
