"""`BatchInference`: a folder of prompts becomes a folder of answers, every night."""

from functools import partial
from pathlib import Path
from typing import Any

import dagster as dg

from platform_pipelines.components.batch_inference.pages import answers_page
from platform_pipelines.components.shared.assets import stage_asset
from platform_pipelines.components.shared.declaring import (
    absolute_url,
    declared,
    declaring,
    folder_of,
)
from platform_pipelines.components.shared.jobs import scheduled
from platform_pipelines.components.shared.policy import timed_policy
from platform_pipelines.core.batch_inference.declaration import BatchInferenceSpec
from platform_pipelines.errors import ConfigurationError
from platform_pipelines.stages.batch_inference.answers import VERSION, refresh_answers
from platform_pipelines.stages.batch_inference.workspace import (
    ANSWERS,
    FOLDER,
    Workspace,
    open_workspace,
)
from platform_pipelines.stages.road.outcome import StageOutcome

ANSWERED = "prompts_are_answered"


class BatchInference(declaring(BatchInferenceSpec)):
    """Each prompt of a folder answered once by a served model; what was killed goes on.

    Gives the asset [name, answers] with the check prompts_are_answered, the job NAME_batch, and the
    schedule NAME_nightly (off until switched on).
    """

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        """Asset, job and schedule.

        Raises:
            ConfigurationError: names the field, its value and what is allowed.
        """
        spec = declared_spec(self.given, context.path)
        does = f"Answer the prompts of {spec.name} that have no answer yet."
        return scheduled(
            FOLDER, spec, [_build_asset(spec)], job="batch", schedule="nightly", does=does
        )


def declared_spec(attributes: dict[str, Any], path: Path) -> BatchInferenceSpec:
    """The checked declaration, its relative paths made URLs against the declaring folder.

    Raises:
        ConfigurationError: names the field, its value and what is allowed.
    """
    folder = folder_of(path)
    spec = declared(BatchInferenceSpec, attributes, path, noun="a batch inference")
    prompts = absolute_url(spec.prompts, folder, field="prompts")
    answers = absolute_url(spec.answers, folder, field="answers") if spec.answers else None
    if answers is not None and f"{answers.rstrip('/')}/".startswith(f"{prompts.rstrip('/')}/"):
        raise ConfigurationError(
            "answers are written among the prompts, and would be asked the next night",
            where=f"answers in {folder / 'defs.yaml'}",
            stored=answers,
            expected=f"a folder that is not below {prompts}",
        )
    return spec.model_copy(update={"prompts": prompts, "answers": answers})


def _build_asset(spec: BatchInferenceSpec) -> dg.AssetsDefinition:
    key, model = [spec.name, ANSWERS], spec.language_model
    check = dg.AssetCheckSpec(
        ANSWERED, asset=key, description="Has all but the allowed share of the prompts an answer?"
    )

    def tell(
        context: dg.AssetExecutionContext, workspace: Workspace, outcome: StageOutcome
    ) -> dg.MaterializeResult:
        del context, workspace
        return dg.MaterializeResult(
            metadata=answers_page(spec, outcome),
            data_version=dg.DataVersion(outcome.snapshot.digest),
            check_results=[_answered(spec, outcome)],
        )

    return stage_asset(
        key, refresh_answers, tell,
        policy=timed_policy(FOLDER, spec, code_version=VERSION),
        opened=partial(open_workspace, spec),
        text=f"One stored answer of `{model.model}` for each prompt of {spec.prompts}; which "
        "prompts have none, and what it cost. A run that is killed goes on where it was.",
        kinds={"jsonl"}, check_specs=[check],
        metadata={"component": FOLDER, "model": model.model, "server": model.url},
    )  # fmt: skip


def _answered(spec: BatchInferenceSpec, outcome: StageOutcome) -> dg.AssetCheckResult:
    counts = outcome.snapshot.counts
    asked = counts["prompts"] + counts["wrong_lines"]
    answered = counts["answered"] + counts["cut"]
    share = 1 - answered / asked if asked else 1.0
    return dg.AssetCheckResult(
        check_name=ANSWERED,
        passed=share <= spec.failed_share,
        severity=dg.AssetCheckSeverity.WARN,
        description=f"{asked - answered:,} of {asked:,} have no answer ({share:.2%}); "
        f"{spec.failed_share:.2%} is allowed",
    )
