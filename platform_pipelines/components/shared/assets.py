"""The one shape of an asset that a stage makes, and the one place where it gets its policy."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import dagster as dg

from platform_pipelines.components.shared.policy import AssetPolicy
from platform_pipelines.components.shared.running import Opener, run_stage

Tell = Callable[[dg.AssetExecutionContext, Any, Any], dg.MaterializeResult]


def no_options(context: dg.AssetExecutionContext) -> Mapping[str, Any]:
    """Most stages have none."""
    del context
    return {}


def stage_asset(
    key: Sequence[str],
    work: Callable[..., Any],
    tell: Tell,
    *,
    policy: AssetPolicy,
    opened: Opener[Any],
    text: str,
    options: Callable[[dg.AssetExecutionContext], Mapping[str, Any]] = no_options,
    config: type[dg.Config] | None = None,
    **arguments: Any,
) -> dg.AssetsDefinition:
    """An asset: `work` is done on the workspace that `opened` gives, and `tell` makes its page.

    `options` are given to `work`, and so is every field of `config`, which a person may set at a
    launch. `text` says what the asset is; further arguments are those of `dg.asset`.
    """

    def step(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
        chosen = {**options(context), **(context.op_execution_context.op_config or {})}
        workspace, outcome = run_stage(context, opened, partial(work, **chosen), name=policy.group)
        return tell(context, workspace, outcome)

    make: Any = dg.asset(
        key=list(key),
        description=policy.described(text),
        config_schema=config.to_config_schema() if config else None,
        **policy.asset_arguments(),
        **arguments,
    )
    return make(step)
