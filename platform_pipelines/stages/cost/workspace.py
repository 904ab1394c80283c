"""What the costs' page works with: usage in the platform's store, node time, prices."""

from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from importlib.resources import files
from typing import Any

from platform_pipelines.core.cost.declaration import CostSpec
from platform_pipelines.errors import IntegrityError
from platform_pipelines.gateways.object_store import ObjectStore
from platform_pipelines.stages.road import workspace as road
from platform_pipelines.stages.road.connect import (
    component_url,
    open_own_store,
    open_platform_store,
    open_source,
)

FOLDER = "cost"
TABLE = "instance_prices.yaml"


@dataclass(frozen=True, slots=True)
class InstancePrices:
    """US dollars an hour by instance type, and where and when they were read."""

    usd_per_hour: dict[str, Decimal]
    date: str
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Workspace(road.Workspace):
    """One page of costs, as one run sees it."""

    spec: CostSpec

    @property
    def platform(self) -> ObjectStore:
        """Where usage is written down."""
        return open_platform_store(self.settings)

    @property
    def nodes(self) -> ObjectStore | None:
        """Where node time is; None: no machine is owned."""
        if self.spec.prometheus is not None:
            url = f"{component_url(self.settings, FOLDER, self.name)}/machines"
            return open_own_store(self.settings, url)
        if self.spec.nodes is None:
            return None
        return open_source(self.settings, self.spec.nodes, named="nodes")

    @property
    def hourly(self) -> dict[str, Decimal]:
        """The shipped table with the declared prices over it."""
        return {**shipped_prices().usd_per_hour, **self.spec.instances}


open_workspace = road.opener(Workspace, FOLDER)


@cache
def shipped_prices() -> InstancePrices:
    """The table of the package.

    Raises:
        IntegrityError: it is none.
    """
    import yaml

    text = files("platform_pipelines.tables").joinpath(TABLE).read_text("utf-8")
    try:
        raw: dict[str, Any] = yaml.safe_load(text)
        prices = {str(name): Decimal(usd) for name, usd in raw["usd_per_hour"].items()}
        return InstancePrices(prices, str(raw["date"]), str(raw["source"]))
    except (yaml.YAMLError, ArithmeticError, KeyError, TypeError, AttributeError) as error:
        raise IntegrityError(f"not a table of prices: {error!r}", where=TABLE) from error
