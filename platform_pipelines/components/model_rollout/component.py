"""`ModelRollout`: a registered candidate comes to its users step by step, or leaves them again."""

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import dagster as dg

from platform_pipelines.components.model_rollout import pages
from platform_pipelines.components.shared.assets import stage_asset
from platform_pipelines.components.shared.champion import DESCRIPTION, FOLLOWS, follows_result
from platform_pipelines.components.shared.declaring import (
    declared,
    declaring,
    folder_of,
    golden_set_url,
)
from platform_pipelines.components.shared.jobs import asset_job, job_of
from platform_pipelines.components.shared.policy import tags_of, timed_policy
from platform_pipelines.components.shared.running import run_stage
from platform_pipelines.core.model_rollout.declaration import ModelRolloutSpec
from platform_pipelines.stages.model_rollout.rollout import (
    VERSION,
    Ended,
    run_rollout,
    stop_serving,
)
from platform_pipelines.stages.model_rollout.workspace import Workspace, open_workspace

STOP_SECONDS = 600
KINDS = {"processes": "envoy", "litellm": "litellm", "kubernetes": "kubernetes"}
TOLD = {
    "judge": "what each step must show",
    "serving": "how both sides are served",
    "cluster": "where, for target `kubernetes`",
}


class ModelRollout(declaring(ModelRolloutSpec, TOLD)):
    """One gateway address for a registered model; its candidate takes declared steps to 100 %.

    Gives the asset NAME/rollout, the jobs NAME_rollout and NAME_stop, and a sensor (off until
    switched on). Each step is judged by each side's own operations and by both sides' answers; what
    fails, loses its metrics or stays undecided is rolled back.
    """

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        """Asset and jobs of this rollout.

        Raises:
            ConfigurationError: names the field, its value and what is allowed.
        """
        spec = declared_spec(self.given, context.path)
        asset = _build_asset(spec)
        job = asset_job(
            f"{spec.name}_rollout",
            dg.AssetSelection.assets(asset.key),
            description=f"Serve {spec.registered_model}, and bring its candidate to its users.",
            tags=_tags(spec),
        )
        return dg.Definitions(
            assets=[asset],
            jobs=[job, _build_stop_job(spec)],
            sensors=[_build_sensor(spec, job)],
        )


def declared_spec(attributes: dict[str, Any], path: Path) -> ModelRolloutSpec:
    """The checked declaration, its relative path made a URL against the declaring folder.

    Raises:
        ConfigurationError: names the field, its value and what is allowed.
    """
    spec = declared(ModelRolloutSpec, attributes, path, noun="a model rollout")
    golden = golden_set_url(spec.judge.golden_set, folder_of(path), field="judge.golden_set")
    judge = spec.judge.model_copy(update={"golden_set": golden})
    return spec.model_copy(update={"judge": judge})


def _tags(spec: ModelRolloutSpec) -> dict[str, str]:
    return tags_of("model_rollout", spec)


def _pool(spec: ModelRolloutSpec) -> str:
    return f"model_rollout_{spec.registered_model}"


def _address(spec: ModelRolloutSpec) -> str:
    if spec.cluster is not None:
        return f"HTTPRoute {spec.name.replace('_', '-')} of Gateway {spec.cluster.gateway}"
    return f"http://127.0.0.1:{spec.port}/v1"


def _build_asset(spec: ModelRolloutSpec) -> dg.AssetsDefinition:
    key = dg.AssetKey([spec.name, "rollout"])
    policy = timed_policy("model_rollout", spec, code_version=VERSION)

    def tell(
        context: dg.AssetExecutionContext, workspace: Workspace, ended: Ended
    ) -> dg.MaterializeResult:
        del workspace
        follows = follows_result(key, ended.alias_was)
        found = ended.rollout
        if found is None:
            page = {"outcome": "the champion serves; there is no candidate"}
            return dg.MaterializeResult(metadata=page, check_results=[follows])
        context.log.info("%s: %s", spec.name, found.phase)
        return dg.MaterializeResult(
            metadata=pages.metadata(found, spec),
            data_version=dg.DataVersion(found.id),
            check_results=[follows],
        )

    return stage_asset(
        key.path, run_rollout, tell,
        policy=replace(policy, pool=_pool(spec)),
        opened=partial(open_workspace, spec),
        text=f"Where the last rollout of `{spec.registered_model}` stands: the steps, both sides' "
        "numbers, and why it was promoted or rolled back.",
        check_specs=[dg.AssetCheckSpec(FOLLOWS, asset=key, description=DESCRIPTION)],
        deps=[dg.AssetKey([spec.registered_model, "registration"])],
        kinds={"vllm", KINDS[spec.target]},
        metadata={"address": _address(spec)},
    )  # fmt: skip


def _build_sensor(spec: ModelRolloutSpec, job: Any) -> dg.SensorDefinition:
    """`<name>_follow`: a registration starts the rollout; off until switched on."""

    @dg.asset_sensor(
        asset_key=dg.AssetKey([spec.registered_model, "registration"]),
        name=f"{spec.name}_follow",
        job=job,
        description=f"Start {spec.name}_rollout when {spec.registered_model} was registered.",
        default_status=dg.DefaultSensorStatus.STOPPED,
    )
    def follow(context: dg.SensorEvaluationContext, asset_event: dg.EventLogEntry) -> dg.RunRequest:
        del context
        return dg.RunRequest(run_key=asset_event.run_id)

    return follow


def _build_stop_job(spec: ModelRolloutSpec) -> dg.JobDefinition:
    """`<name>_stop`: nobody is served any more."""

    def stop_op(context: dg.OpExecutionContext) -> None:
        run_stage(context, partial(open_workspace, spec), stop_serving, name=spec.name)

    return job_of(
        stop_op,
        name=f"{spec.name}_stop",
        op_name=f"{spec.name}_stop_serving",
        description=f"End what serves {spec.registered_model} on this machine.",
        pool=_pool(spec),
        tags=_tags(spec),
        timeout_seconds=STOP_SECONDS,
    )
