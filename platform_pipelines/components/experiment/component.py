"""`Experiment`: two arms, looked at daily, ended by the first rule that holds."""

from functools import partial
from pathlib import Path
from typing import Any

import dagster as dg
from pydantic import Field

from platform_pipelines.components.experiment import pages
from platform_pipelines.components.shared.declaring import (
    Declaring,
    absolute_url,
    declared,
    described,
    nested,
)
from platform_pipelines.components.shared.jobs import (
    asset_job,
    build_rollback_job,
    stopped_schedule,
)
from platform_pipelines.components.shared.policy import AssetPolicy, policy_of, tags_of
from platform_pipelines.components.shared.running import run_stage
from platform_pipelines.core.experiment.declaration import (
    ArmSpec,
    ExperimentSpec,
    GatewaySpec,
    MeasureSpec,
)
from platform_pipelines.core.experiment.verdict import Conclusion, State
from platform_pipelines.stages.experiment.looks import LOOKS, refresh_looks
from platform_pipelines.stages.experiment.verdict import refresh_verdict, roll_back_verdict
from platform_pipelines.stages.experiment.workspace import FOLDER, open_workspace

CODE_VERSION = "1"
VERDICT = "verdict"
ASSIGNED = "assignment_is_right"
UNHARMED = "nobody_is_harmed"


class Experiment(Declaring):
    """An A/B test of two models or revisions, by sticky cohorts, that may be looked at daily.

    Gives the assets looks -> verdict, the checks assignment_is_right and nobody_is_harmed, the jobs
    NAME_analyse and NAME_rollback, and a daily schedule (off until switched on).
    """

    name: str = Field(description="lower-case letters, digits and single underscores")
    arms: dict[str, dict[str, Any]] = Field(
        description="two names -> " + ", ".join(ArmSpec.model_fields)
    )
    baseline: str = Field(description="the arm that serves today")
    observations: str = Field(
        description="a folder of JSON Lines by day (`2026-11-27.jsonl`): URL or relative path; a "
        "line has `key`, `arm` and `metrics`"
    )
    gateway: dict[str, Any] | None = Field(
        default=None, **nested(GatewaySpec, "The Envoy that applies the assignment.")
    )
    metrics: dict[str, dict[str, Any]] = Field(
        description="name -> " + ", ".join(MeasureSpec.model_fields)
    )
    decides: str = Field(description="the metric by which an arm wins; the others guard")
    start: str = Field(description="the first day, e.g. 2026-11-14")
    days: int = Field(default=14, **described("it ends after so many, whatever is"))
    minimum: int = Field(default=100, **described("keys of each arm before anything is said"))
    error: float = Field(
        default=0.05, **described("how often equal arms may ever be called different")
    )
    promote: str = Field(
        default="never", **described("`never`, or `winner`: a candidate that wins gets everybody")
    )
    cron: str = Field(default="30 6 * * *", **described("when it is looked at; off by default"))
    timezone: str = Field(default="UTC", **described("of that cron and of the days, an IANA name"))
    timeout_minutes: int = Field(default=60, **described("a run older than this is ended"))
    description: str = Field(default="", **described("one sentence for the asset pages"))
    owner: str = Field(default="team:platform", **described("`team:name` or an e-mail address"))

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        """Assets, checks, jobs and schedule.

        Raises:
            ConfigurationError: names the field, its value and what is allowed.
        """
        spec = declared_spec(self.model_dump(exclude_unset=True), context.path)
        assets = [_looks(spec), _verdict(spec)]
        job = asset_job(
            f"{spec.name}_analyse",
            dg.AssetSelection.assets(*(asset.key for asset in assets)),
            description=f"Look at {spec.name}, and act on what its rules say.",
            tags=_tags(spec),
        )
        schedule = stopped_schedule(
            f"{spec.name}_daily",
            job,
            cron=spec.cron,
            timezone=spec.timezone,
            description=f"Look at {spec.name} every day.",
        )
        return dg.Definitions(assets=assets, jobs=[job, _rollback_job(spec)], schedules=[schedule])


def declared_spec(attributes: dict[str, Any], path: Path) -> ExperimentSpec:
    """The checked declaration, its relative path made a URL against the declaring folder.

    Raises:
        ConfigurationError: names the field, its value and what is allowed.
    """
    folder = path if path.is_dir() else path.parent
    spec = declared(ExperimentSpec, attributes, path, noun="an experiment")
    observations = absolute_url(spec.observations, folder, field="observations")
    return spec.model_copy(update={"observations": observations})


def _policy(spec: ExperimentSpec) -> AssetPolicy:
    return policy_of(FOLDER, spec, code_version=CODE_VERSION)


def _tags(spec: ExperimentSpec) -> dict[str, str]:
    return tags_of(FOLDER, spec)


def _looks(spec: ExperimentSpec) -> dg.AssetsDefinition:
    key = dg.AssetKey([spec.name, LOOKS])
    check = dg.AssetCheckSpec(
        ASSIGNED, asset=key, description="Did the arms get their declared shares of the keys?"
    )

    def looks(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
        _, outcome = run_stage(
            context, partial(open_workspace, spec), refresh_looks,
            name=spec.name, timeout_seconds=spec.timeout_minutes * 60,
        )  # fmt: skip
        conclusion: Conclusion = outcome.facts["conclusion"]
        is_right = conclusion.state is not State.BROKEN
        return dg.MaterializeResult(
            metadata=pages.looks_page(spec, outcome),
            data_version=dg.DataVersion(outcome.snapshot.digest),
            check_results=[
                dg.AssetCheckResult(
                    check_name=check.name,
                    passed=is_right,
                    description="the arms got their shares" if is_right else conclusion.why,
                )
            ],
        )

    text = (
        f"Each day of `{spec.candidate}` against `{spec.baseline}`: gains with intervals that hold "
        "at every look. Each key counts once, on its first day."
    )
    return dg.asset(
        key=key, check_specs=[check], kinds={"jsonl"},
        description="\n\n".join(filter(None, (spec.description, text))),
        metadata={"component": FOLDER}, **_policy(spec).asset_arguments(),
    )(looks)  # fmt: skip


def _verdict(spec: ExperimentSpec) -> dg.AssetsDefinition:
    key = dg.AssetKey([spec.name, VERDICT])
    check = dg.AssetCheckSpec(
        UNHARMED, asset=key, description="Is the candidate no worse by more than a margin?"
    )

    def verdict(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
        _, judged = run_stage(
            context, partial(open_workspace, spec), refresh_verdict,
            name=spec.name, timeout_seconds=spec.timeout_minutes * 60,
        )  # fmt: skip
        context.log.info("%s: %s: %s", spec.name, judged.conclusion.state, judged.status)
        return dg.MaterializeResult(
            metadata=pages.verdict_page(spec, judged),
            data_version=dg.DataVersion(judged.evidence.digest),
            check_results=[
                dg.AssetCheckResult(
                    check_name=check.name,
                    passed=judged.conclusion.state is not State.HARM,
                    severity=dg.AssetCheckSeverity.WARN,
                    description=judged.conclusion.why,
                )
            ],
        )

    text = (
        "The conclusion as evidence, the gate's verdict, and who is sent where: `assignment.json`. "
        + ("A winner gets everybody." if spec.promote == "winner" else "Nobody is promoted.")
    )
    return dg.asset(
        key=key, deps=[dg.AssetKey([spec.name, LOOKS])], check_specs=[check], kinds={"json"},
        description=text, metadata={"component": FOLDER, "promote": spec.promote},
        **_policy(spec).asset_arguments(),
    )(verdict)  # fmt: skip


def _rollback_job(spec: ExperimentSpec) -> dg.JobDefinition:
    return build_rollback_job(
        spec.name,
        partial(open_workspace, spec),
        lambda w, to, why: roll_back_verdict(w, to_revision=to, reason=why),
        description=f"Let the arm before the live one of {spec.name} serve again.",
        pool=f"{FOLDER}_{spec.name}",
        tags=_tags(spec),
        timeout_seconds=600,
    )
