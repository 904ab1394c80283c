"""`BatchInference`: a folder of prompts becomes a folder of answers, every night."""

from functools import partial
from pathlib import Path
from typing import Any

import dagster as dg
from pydantic import Field

from platform_pipelines.components.batch_inference.pages import answers_page
from platform_pipelines.components.shared.declaring import (
    Declaring,
    absolute_url,
    declared,
    described,
    nested,
)
from platform_pipelines.components.shared.jobs import asset_job, stopped_schedule
from platform_pipelines.components.shared.policy import policy_of, tags_of
from platform_pipelines.components.shared.running import run_stage
from platform_pipelines.core.batch_inference.declaration import BatchInferenceSpec, BatchModelSpec
from platform_pipelines.errors import ConfigurationError
from platform_pipelines.stages.batch_inference.answers import refresh_answers
from platform_pipelines.stages.batch_inference.workspace import ANSWERS, FOLDER, open_workspace
from platform_pipelines.stages.road.outcome import StageOutcome

CODE_VERSION = "1"
ANSWERED = "prompts_are_answered"


class BatchInference(Declaring):
    """Each prompt of a folder answered once by a served model; what was killed goes on.

    Gives the asset [name, answers] with the check prompts_are_answered, the job NAME_batch, and the
    schedule NAME_nightly (off until switched on).
    """

    name: str = Field(description="lower-case letters, digits and single underscores")
    prompts: str = Field(
        description="a folder of JSON Lines: `s3://bucket/prefix`, `file:///folder`, or a path "
        "relative to the YAML; a line has `id` and `prompt`, or `messages`, or is a line of "
        "OpenAI's batch API"
    )
    # Not `model`: that name is Dagster's, for the schema of a component.
    language_model: dict[str, Any] = Field(**nested(BatchModelSpec, "Who answers."))
    answers: str | None = Field(
        default=None,
        **described("the folder of the answers; none: in the platform's store"),
    )
    batch: int = Field(default=100, **described("answers in one stored file"))
    concurrency: int = Field(default=8, **described("prompts that are asked at once"))
    attempts: int = Field(default=4, **described("for one prompt, in one run"))
    failed_share: float = Field(
        default=0.02, **described("of the prompts: more than this fails the check")
    )
    tenant: str = Field(default="(platform)", **described("who pays, on the pages of costs"))
    cron: str = Field(default="0 2 * * *", **described("when it runs; off until switched on"))
    timezone: str = Field(default="UTC", **described("of that cron, an IANA name"))
    timeout_minutes: int = Field(default=480, **described("a run older than this is ended"))
    description: str = Field(default="", **described("one sentence for the asset pages"))
    owner: str = Field(default="team:platform", **described("`team:name` or an e-mail address"))

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        """Asset, job and schedule.

        Raises:
            ConfigurationError: names the field, its value and what is allowed.
        """
        spec = declared_spec(self.model_dump(exclude_unset=True), context.path)
        asset = _build_asset(spec)
        job = asset_job(
            f"{spec.name}_batch",
            dg.AssetSelection.assets(asset.key),
            description=f"Answer the prompts of {spec.name} that have no answer yet.",
            tags=tags_of(FOLDER, spec),
        )
        schedule = stopped_schedule(
            f"{spec.name}_nightly",
            job,
            cron=spec.cron,
            timezone=spec.timezone,
            description=f"Answer the new prompts of {spec.name}.",
        )
        return dg.Definitions(assets=[asset], jobs=[job], schedules=[schedule])


def declared_spec(attributes: dict[str, Any], path: Path) -> BatchInferenceSpec:
    """The checked declaration, its relative paths made URLs against the declaring folder.

    Raises:
        ConfigurationError: names the field, its value and what is allowed.
    """
    folder = path if path.is_dir() else path.parent
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
    key, model = dg.AssetKey([spec.name, ANSWERS]), spec.language_model
    policy = policy_of(FOLDER, spec, code_version=CODE_VERSION)
    check = dg.AssetCheckSpec(
        ANSWERED, asset=key, description="Has all but the allowed share of the prompts an answer?"
    )
    text = (
        f"One stored answer of `{model.model}` for each prompt of {spec.prompts}; which prompts "
        "have none, and what it cost. A run that is killed goes on where it was."
    )

    def answers(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
        _, outcome = run_stage(
            context, partial(open_workspace, spec), refresh_answers,
            name=spec.name, timeout_seconds=policy.timeout_seconds,
        )  # fmt: skip
        return dg.MaterializeResult(
            metadata=answers_page(spec, outcome),
            data_version=dg.DataVersion(outcome.snapshot.digest),
            check_results=[_answered(spec, outcome)],
        )

    return dg.asset(
        key=key, check_specs=[check], kinds={"jsonl"},
        description="\n\n".join(filter(None, (spec.description, text))),
        metadata={"component": FOLDER, "model": model.model, "server": model.url},
        **policy.asset_arguments(),
    )(answers)  # fmt: skip


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
