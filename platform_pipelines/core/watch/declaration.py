"""What is watched: thresholds, dashboards, and the Prometheus that must know every series."""

from typing import Literal

from pydantic import Field, field_validator

from platform_pipelines.core.road.declarations import DNS_LABEL, ComponentSpec, Server
from platform_pipelines.core.watch.dashboards import DASHBOARDS
from platform_pipelines.core.watch.rules import RULES


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
