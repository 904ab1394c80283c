"""The sensor that rolls a component back when an alert fires."""

import dagster as dg

from platform_pipelines.components.shared.resource import RESOURCES, settings_of
from platform_pipelines.core.watch.declaration import RollbackSpec, WatchSpec
from platform_pipelines.errors import PlatformError
from platform_pipelines.gateways.clock import SystemClock
from platform_pipelines.gateways.prometheus import Prometheus
from platform_pipelines.stages.watch.alerts import Firing, firing
from platform_pipelines.stages.watch.received import received_firing

INTERVAL_SECONDS = 30


def build_rollback_sensor(spec: WatchSpec, rule: RollbackSpec) -> dg.SensorDefinition:
    """Off until switched on. One firing makes one rollback; after it there is a time of quiet."""
    source = _asked if spec.fired_by == "prometheus" else _received
    needed = set(RESOURCES) if source is _received else set[str]()

    @dg.sensor(
        name=f"{spec.name}_rolls_back_{rule.component}_on_{rule.alert}",
        job_name=f"{rule.component}_rollback",
        minimum_interval_seconds=INTERVAL_SECONDS,
        required_resource_keys=needed,
        default_status=dg.DefaultSensorStatus.STOPPED,
        description=f"Launches {rule.component}_rollback when the alert {rule.alert} fires.",
    )
    def alerts(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        now = SystemClock().now().timestamp()
        last = float(context.cursor or 0)
        if now - last < 60 * rule.hold_minutes:
            return dg.SensorResult(skip_reason=f"held for {rule.hold_minutes} minutes")
        try:
            found = source(context, spec, rule, now)
        except PlatformError as error:
            return dg.SensorResult(skip_reason=f"{rule.alert}: {error.what}")
        if found is None:
            return dg.SensorResult(skip_reason=f"{rule.alert} does not fire")
        reason = f"alert {rule.alert} fires: {found.labels}"
        request = dg.RunRequest(
            run_key=f"{rule.alert}:{rule.component}:{found.since:.0f}",
            run_config={"ops": {f"{rule.component}_roll_back": {"config": {"reason": reason}}}},
            tags={"platform/alert": rule.alert},
        )
        return dg.SensorResult(run_requests=[request], cursor=str(now))

    return alerts


def _asked(
    context: dg.SensorEvaluationContext, spec: WatchSpec, rule: RollbackSpec, now: float
) -> Firing | None:
    del context, now
    assert spec.prometheus is not None
    return firing(Prometheus(spec.prometheus), rule)


def _received(
    context: dg.SensorEvaluationContext, spec: WatchSpec, rule: RollbackSpec, now: float
) -> Firing | None:
    del spec
    return received_firing(settings_of(context), rule, now=now)
