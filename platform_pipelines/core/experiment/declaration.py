"""What an experiment declares: two arms, what is measured, when it stops, who is promoted."""

from datetime import date, timedelta
from typing import Literal

from pydantic import Field, field_validator, model_validator

from platform_pipelines.core.road.assignments import Hashing
from platform_pipelines.core.road.declarations import (
    DNS_LABEL,
    Cron,
    ScheduledSpec,
    Spec,
    Timezone,
)
from platform_pipelines.core.road.identity import digest_json, digest_parts
from platform_pipelines.core.road.metrics import Direction, Metric, Undefined


class ArmSpec(Spec):
    """One side."""

    share: int = Field(ge=1, le=99, description="of 100 cohorts")
    target: str = Field(
        min_length=1, description="what it is: a model of the gateway, or a revision"
    )


class MeasureSpec(Spec):
    """One metric of the observations."""

    direction: Literal["higher", "lower"] = Field(
        default="higher", description="which way is better"
    )
    margin: float = Field(gt=0, description="the difference that matters, in the metric's unit")
    unit: str = Field(default="", description="for people, e.g. `s`, `$`")
    over: float | None = Field(
        default=None,
        description="counts observations above this: `over: 10` of seconds with `margin: 0.01` "
        "asks whether p99 is under 10 s",
    )


class GatewaySpec(Spec):
    """The Envoy on this machine that sends keys to the arms."""

    port: int = Field(ge=1, le=65535, description="where it answers")
    admin_port: int = Field(ge=1, le=65535, description="where it is looked at")
    addresses: dict[str, str] = Field(description="arm -> host:port of its server")


class RoutesSpec(Spec):
    """A cluster's Gateway (Envoy Gateway) that sends keys to the arms."""

    namespace: str = Field(pattern=DNS_LABEL, description="of the Gateway, the route and the arms")
    gateway: str = Field(pattern=DNS_LABEL, description="the Gateway's name")
    hostname: str | None = Field(default=None, description="of the route; none: any host")
    key_header: str = Field(
        default="x-user-id", pattern=r"^[a-z][a-z0-9-]*$", description="whose value is the key"
    )
    backends: dict[str, str] = Field(description="arm -> `service:port` in the namespace")

    @field_validator("backends")
    @classmethod
    def _addressed(cls, backends: dict[str, str]) -> dict[str, str]:
        for arm, address in backends.items():
            name, _, port = address.rpartition(":")
            if not name or not port.isdigit():
                raise ValueError(f"backends.{arm} is {address!r}; `service:port` is meant")
        return backends


class ExperimentSpec(ScheduledSpec):
    """Two arms, compared on those who were sent to them."""

    arms: dict[str, ArmSpec] = Field(
        min_length=2, max_length=2, description="two names -> share and target; 100 together"
    )
    baseline: str = Field(description="the arm that serves today")
    observations: str = Field(
        description="a folder of JSON Lines by day (`2026-11-27.jsonl`): URL or relative path; a "
        "line has `key`, `arm` and `metrics`"
    )
    gateway: GatewaySpec | None = Field(
        default=None, description="applies the assignment; none: others read `assignment.json`"
    )
    routes: RoutesSpec | None = Field(
        default=None, description="applies the assignment in a cluster, by the Gateway API"
    )
    metrics: dict[str, MeasureSpec] = Field(
        min_length=1, description="name -> direction, margin, unit, over"
    )
    decides: str = Field(description="the metric by which an arm wins; the others guard")
    start: date = Field(description="the first day, e.g. 2026-11-14")
    days: int = Field(default=14, ge=1, le=366, description="it ends after so many, whatever is")
    minimum: int = Field(default=100, ge=2, description="keys of each arm before anything is said")
    error: float = Field(
        default=0.05, gt=0, lt=0.5, description="how often equal arms may ever be called different"
    )
    promote: Literal["never", "winner"] = Field(
        default="never", description="`winner`: a candidate that wins gets everybody"
    )
    cron: Cron = Field(default="30 6 * * *", description="when it is looked at; off by default")
    timezone: Timezone = Field(
        default="UTC", description="of that cron and of the days, an IANA name"
    )

    @field_validator("arms")
    @classmethod
    def _whole(cls, arms: dict[str, ArmSpec]) -> dict[str, ArmSpec]:
        shares = {name: arm.share for name, arm in arms.items()}
        if sum(shares.values()) != 100:
            raise ValueError(f"shares are {shares}; they are 100 together")
        return arms

    @model_validator(mode="after")
    def _sound(self) -> "ExperimentSpec":
        told: list[str] = []
        if self.baseline not in self.arms:
            told.append(f"baseline {self.baseline!r} is not among {', '.join(self.arms)}")
        if self.decides not in self.metrics:
            told.append(f"decides {self.decides!r} is not among {', '.join(self.metrics)}")
        if self.routes and set(self.routes.backends) != set(self.arms):
            told.append(f"routes.backends has one of each of {', '.join(self.arms)}")
        if self.routes and self.gateway:
            told.append("`routes` and `gateway` hash keys differently: declare one of them")
        if told:
            raise ValueError("; ".join(told))
        return self

    @property
    def candidate(self) -> str:
        """The other arm."""
        return next(name for name in self.arms if name != self.baseline)

    @property
    def shares(self) -> dict[str, int]:
        """Of 100, by arm."""
        return {name: arm.share for name, arm in self.arms.items()}

    @property
    def hashing(self) -> Hashing:
        """How a key becomes an arm: routes know numbers, Envoy itself hashes."""
        return "numbers" if self.routes else "xxh64"

    @property
    def last_day(self) -> date:
        """The last one that is looked at."""
        return self.start + timedelta(days=self.days - 1)

    @property
    def digest(self) -> str:
        """Of what decides the analysis: another margin is another experiment."""
        fields = {"name", "arms", "baseline", "metrics", "decides", "start", "days", "minimum",
                  "error"}  # fmt: skip
        decided = self.model_dump(mode="json", include=fields)
        return digest_json({**decided, "hashing": self.hashing} if self.routes else decided)

    def revision(self, arm: str) -> str:
        """Names an arm in the release log."""
        return digest_parts(self.name, arm, self.arms[arm].target)

    def road_metrics(self) -> tuple[Metric, ...]:
        """The metrics as evidence has them: a day without observations is left out."""
        return tuple(
            Metric(name, one.unit, Direction(one.direction), None, None, Undefined.LEFT_OUT)
            for name, one in self.metrics.items()
        )
