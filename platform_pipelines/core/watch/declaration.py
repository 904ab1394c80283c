"""What is watched: thresholds, dashboards, and the Prometheus that must know every series."""

from typing import Literal

from pydantic import Field, field_validator, model_validator

from platform_pipelines.core.road.declarations import (
    DNS_LABEL,
    NAME_PATTERN,
    ComponentSpec,
    ManifestSpec,
    Server,
)
from platform_pipelines.core.watch.dashboards import DASHBOARDS
from platform_pipelines.core.watch.rules import RULES


class RollbackSpec(ManifestSpec):
    """An alert that takes a component one release back, once a firing."""

    alert: str = Field(description="its name; one of ours, or any that this Prometheus has")
    component: str = Field(
        pattern=NAME_PATTERN, description="whose job NAME_rollback is launched, e.g. `assistant`"
    )
    labels: dict[str, str] = Field(
        default={}, description="of the alert, e.g. `{agent: assistant}`; none: whatever they are"
    )
    hold_minutes: int = Field(
        default=30, ge=1, le=10_080, description="after a rollback, in which it makes no other"
    )


class WatchSpec(ComponentSpec):
    """Alerts and dashboards of the platform."""

    namespace: str = Field(default="monitoring", pattern=DNS_LABEL, description="where they go")
    thresholds: dict[str, float] = Field(
        default_factory=dict,
        description="alert -> threshold that differs: " + ", ".join(one.name for one in RULES),
    )
    dashboards: tuple[Literal["agents", "models", "resources", "cost"], ...] = Field(
        default=("agents", "models", "resources", "cost"), description=", ".join(DASHBOARDS)
    )
    selector: dict[str, str] = Field(
        default={"release": "kube-prometheus-stack"},
        description="labels by which the Prometheus operator picks rules",
    )
    prometheus: Server | None = Field(
        default=None,
        description="a server that is asked every query before anything is applied, e.g. "
        "`http://prometheus.monitoring.svc:9090`; none: nothing is asked",
    )
    components: tuple[str, ...] = Field(
        default=(),
        description="whose rendered queries are asked too (scalers, canaries): `kind/name`, e.g. "
        "`model_catalogue/models`",
    )
    quiet: tuple[str, ...] = Field(
        default=(),
        description="series that may be absent, e.g. `litellm_` where no LiteLLM runs; a query "
        "that names one may be empty",
    )

    rollbacks: tuple[RollbackSpec, ...] = Field(
        default=(), description="alerts that roll a component back"
    )
    fired_by: Literal["prometheus", "alertmanager"] = Field(
        default="prometheus",
        description="who says that an alert fires: `prometheus` is asked; an `alertmanager` posts "
        "to `/v1/alerts` of `serve`",
    )

    @model_validator(mode="after")
    def _asked(self) -> "WatchSpec":
        if self.rollbacks and self.prometheus is None and self.fired_by == "prometheus":
            raise ValueError("`rollbacks` needs `prometheus`, or `fired_by: alertmanager`")
        return self

    @field_validator("thresholds")
    @classmethod
    def _known(cls, thresholds: dict[str, float]) -> dict[str, float]:
        unknown = sorted(set(thresholds) - {one.name for one in RULES})
        if unknown:
            raise ValueError(f"no alert {', '.join(unknown)}")
        return thresholds

    @field_validator("components")
    @classmethod
    def _two_parts(cls, components: tuple[str, ...]) -> tuple[str, ...]:
        wrong = [one for one in components if one.count("/") != 1 or not all(one.split("/"))]
        if wrong:
            raise ValueError(f"{', '.join(wrong)}: not `kind/name`")
        return components
