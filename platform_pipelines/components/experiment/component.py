"""`Experiment`: two arms, looked at daily, ended by the first rule that holds."""

from functools import partial
from pathlib import Path
from typing import Any

import dagster as dg

from platform_pipelines.components.experiment import pages
from platform_pipelines.components.shared.assets import stage_asset
from platform_pipelines.components.shared.declaring import (
    absolute_url,
    declared,
    declaring,
    folder_of,
)
from platform_pipelines.components.shared.jobs import build_rollback_job, scheduled
from platform_pipelines.components.shared.policy import tags_of, timed_policy
from platform_pipelines.core.experiment.declaration import ExperimentSpec
from platform_pipelines.core.experiment.verdict import Conclusion, State
from platform_pipelines.stages.experiment.looks import LOOKS, VERSION, refresh_looks
from platform_pipelines.stages.experiment.verdict import (
    Judgement,
    refresh_verdict,
    roll_back_verdict,
)
from platform_pipelines.stages.experiment.workspace import FOLDER, Workspace, open_workspace
from platform_pipelines.stages.road.outcome import StageOutcome

VERDICT = "verdict"
ASSIGNED = "assignment_is_right"
UNHARMED = "nobody_is_harmed"


class Experiment(declaring(ExperimentSpec)):
    """An A/B test of two models or revisions, by sticky cohorts, that may be looked at daily.

    Gives the assets looks -> verdict, the checks assignment_is_right and nobody_is_harmed, the jobs
    NAME_analyse and NAME_rollback, and a daily schedule (off until switched on).
    """

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        """Assets, checks, jobs and schedule.

        Raises:
            ConfigurationError: names the field, its value and what is allowed.
        """
        spec = declared_spec(self.given, context.path)
        return scheduled(
            FOLDER, spec, [_looks(spec), _verdict(spec)],
            job="analyse", schedule="daily",
            does=f"Look at {spec.name}, and act on what its rules say.",
            more_jobs=[_rollback_job(spec)],
        )  # fmt: skip


def declared_spec(attributes: dict[str, Any], path: Path) -> ExperimentSpec:
    """The checked declaration, its relative path made a URL against the declaring folder.

    Raises:
        ConfigurationError: names the field, its value and what is allowed.
    """
    spec = declared(ExperimentSpec, attributes, path, noun="an experiment")
    observations = absolute_url(spec.observations, folder_of(path), field="observations")
    return spec.model_copy(update={"observations": observations})


def _asset(
    spec: ExperimentSpec, noun: str, *arguments: Any, check: str, asks: str, **named: Any
) -> dg.AssetsDefinition:
    key = [spec.name, noun]
    return stage_asset(
        key, *arguments,
        policy=timed_policy(FOLDER, spec, code_version=VERSION),
        opened=partial(open_workspace, spec),
        check_specs=[dg.AssetCheckSpec(check, asset=key, description=asks)],
        metadata={"component": FOLDER, "promote": spec.promote},
        **named,
    )  # fmt: skip


def _looks(spec: ExperimentSpec) -> dg.AssetsDefinition:
    def tell(
        context: dg.AssetExecutionContext, workspace: Workspace, outcome: StageOutcome
    ) -> dg.MaterializeResult:
        del context, workspace
        conclusion: Conclusion = outcome.facts["conclusion"]
        is_right = conclusion.state is not State.BROKEN
        told = "the arms got their shares" if is_right else conclusion.why
        check = dg.AssetCheckResult(check_name=ASSIGNED, passed=is_right, description=told)
        return dg.MaterializeResult(
            metadata=pages.looks_page(spec, outcome),
            data_version=dg.DataVersion(outcome.snapshot.digest),
            check_results=[check],
        )

    return _asset(
        spec, LOOKS, refresh_looks, tell,
        check=ASSIGNED, asks="Did the arms get their declared shares of the keys?",
        text=f"Each day of `{spec.candidate}` against `{spec.baseline}`: gains with intervals that "
        "hold at every look. Each key counts once, on its first day.",
        kinds={"jsonl"},
    )  # fmt: skip


def _verdict(spec: ExperimentSpec) -> dg.AssetsDefinition:
    def tell(
        context: dg.AssetExecutionContext, workspace: Workspace, judged: Judgement
    ) -> dg.MaterializeResult:
        del workspace
        context.log.info("%s: %s: %s", spec.name, judged.conclusion.state, judged.status)
        check = dg.AssetCheckResult(
            check_name=UNHARMED,
            passed=judged.conclusion.state is not State.HARM,
            severity=dg.AssetCheckSeverity.WARN,
            description=judged.conclusion.why,
        )
        return dg.MaterializeResult(
            metadata=pages.verdict_page(spec, judged),
            data_version=dg.DataVersion(judged.evidence.digest),
            check_results=[check],
        )

    promoted = "A winner gets everybody." if spec.promote == "winner" else "Nobody is promoted."
    return _asset(
        spec, VERDICT, refresh_verdict, tell,
        check=UNHARMED, asks="Is the candidate no worse by more than a margin?",
        text="The conclusion as evidence, the gate's verdict, and who is sent where: "
        f"`assignment.json`. {promoted}",
        kinds={"json"}, deps=[dg.AssetKey([spec.name, LOOKS])],
    )  # fmt: skip


def _rollback_job(spec: ExperimentSpec) -> dg.JobDefinition:
    return build_rollback_job(
        spec.name,
        partial(open_workspace, spec),
        lambda w, to, why: roll_back_verdict(w, to_revision=to, reason=why),
        description=f"Let the arm before the live one of {spec.name} serve again.",
        pool=f"{FOLDER}_{spec.name}",
        tags=tags_of(FOLDER, spec),
        timeout_seconds=600,
    )
