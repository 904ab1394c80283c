"""`GoldenSet`: questions that people keep, checked and versioned, for the gates that ask them."""

from pathlib import Path
from typing import Any

import dagster as dg

from platform_pipelines.components.knowledge_base.golden_set_assets import (
    golden_set_asset,
    golden_set_job,
)
from platform_pipelines.components.shared.declaring import (
    absolute_url,
    declared,
    declaring,
    folder_of,
)
from platform_pipelines.core.knowledge_base.golden_declaration import GoldenSetSpec


class GoldenSet(declaring(GoldenSetSpec)):
    """Golden questions from a file, a folder or a bucket: JSON Lines, a JSON array, CSV.

    Their rows are `id, language, question, answerable, references, answer`, or
    `question, answer, contexts, ground_truth`, or Ragas' own; a column `state` (candidate,
    accepted, rejected) keeps out what nobody accepted. Gives the asset NAME/questions, a check of
    its references and the job NAME_golden_set; `gate.golden_set: golden_set:NAME` asks it.
    """

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        """Asset, check and job of this golden set.

        Raises:
            ConfigurationError: names the field, its value and what is allowed.
        """
        spec = declared_golden_set(self.given, context.path)
        return dg.Definitions(assets=[golden_set_asset(spec)], jobs=[golden_set_job(spec)])


def declared_golden_set(attributes: dict[str, Any], path: Path) -> GoldenSetSpec:
    """The checked declaration, its relative path made a URL against the declaring folder.

    Raises:
        ConfigurationError: names the field, its value and what is allowed.
    """
    spec = declared(GoldenSetSpec, attributes, path, noun="a golden set")
    return spec.model_copy(update={"url": absolute_url(spec.url, folder_of(path), field="url")})
