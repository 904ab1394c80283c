"""What a page of costs declares: prices of models and machines, budgets, where time is noted."""

from decimal import Decimal

from pydantic import Field, model_validator

from platform_pipelines.core.road.declarations import (
    Cron,
    ScheduledSpec,
    Server,
    Spec,
    Timezone,
)
from platform_pipelines.core.road.identity import digest_json
from platform_pipelines.core.road.pricing import TokenPrice


class ModelPriceSpec(Spec):
    """US dollars for a million tokens; 0 of a model whose machines are paid by the hour."""

    input_per_million: Decimal = Field(ge=0, description="US dollars for 1,000,000 prompt tokens")
    output_per_million: Decimal = Field(ge=0, description="US dollars for 1,000,000 answer tokens")

    @property
    def price(self) -> TokenPrice:
        """As the ledger takes it."""
        return TokenPrice(self.input_per_million, self.output_per_million)


class CostSpec(ScheduledSpec):
    """Where the money went, day by day."""

    models: dict[str, ModelPriceSpec] = Field(
        min_length=1, description="model, as its answers name it -> US dollars a million tokens"
    )
    instances: dict[str, Decimal] = Field(
        default_factory=dict,
        description="instance type -> US dollars an hour, where it is not the shipped table's",
    )
    nodes: str | None = Field(
        default=None,
        description="a folder of node time by day (`2026-11-27.jsonl`): URL or relative path; "
        "none: no machine is owned",
    )
    prometheus: Server | None = Field(
        default=None,
        description="instead of `nodes`: a Prometheus with the series of OpenCost and DCGM",
    )
    namespaces: dict[str, str] = Field(
        default_factory=dict, description="`prometheus`: namespace -> tenant; else it is its own"
    )
    idle_below: float = Field(
        default=1.0, ge=0, le=100, description="`prometheus`: percent of a GPU below which it idles"
    )
    budgets: dict[str, Decimal] = Field(
        default_factory=dict, description="tenant -> US dollars a calendar month"
    )
    warn_at: Decimal = Field(
        default=Decimal("0.8"), gt=0, le=1, description="share of a budget at which it is told"
    )
    cron: Cron = Field(default="15 1 * * *", description="when; off until switched on")
    timezone: Timezone = Field(default="UTC", description="of that cron and of the months, IANA")

    @model_validator(mode="after")
    def _sound(self) -> "CostSpec":
        told = [f"budgets.{t} is not over 0" for t, usd in self.budgets.items() if usd <= 0]
        told += [f"instances.{i} is below 0" for i, usd in self.instances.items() if usd < 0]
        if self.nodes and self.prometheus:
            told.append("`nodes` and `prometheus` would count the same machines twice")
        if told:
            raise ValueError("; ".join(told))
        return self

    @property
    def digest(self) -> str:
        """Of what decides an amount."""
        return digest_json(self.model_dump(mode="json", include={"models", "instances"}))
