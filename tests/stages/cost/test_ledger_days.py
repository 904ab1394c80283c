"""Costs from what was written down to a month that reconciles to the cent."""

import json
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from platform_pipelines.core.cost.days import DaySums, differences, table_of
from platform_pipelines.core.cost.declaration import CostSpec
from platform_pipelines.core.cost.ledger import SHARED, Stretch, Use
from platform_pipelines.core.cost.node_time import GpuSample, stretches_of
from platform_pipelines.core.road.declarations import parse_spec
from platform_pipelines.core.road.usage import Usage
from platform_pipelines.errors import ConfigurationError, IntegrityError
from platform_pipelines.gateways.clock import SystemClock
from platform_pipelines.stages.cost.ledger import refresh_ledger
from platform_pipelines.stages.cost.workspace import Workspace, open_workspace, shipped_prices
from platform_pipelines.stages.road.usage import write_usage
from tests.knowledge import settings_under

MODELS = {
    "small": {"input_per_million": "0.10", "output_per_million": "0.40"},
    "large": {"input_per_million": "2.50", "output_per_million": "10.00"},
}


class Morning(SystemClock):
    """01:15 on the third of a month."""

    def now(self) -> datetime:
        return datetime(2026, 11, 3, 1, 15, tzinfo=UTC)


@dataclass
class Books:
    """What was written down, and the page's store."""

    folder: Path

    def workspace(self, **changes: Any) -> Workspace:
        given = {
            "name": "costs", "models": MODELS, "instances": {"own": "3.60"},
            "nodes": (self.folder / "nodes").as_uri(), **changes,
        }  # fmt: skip
        spec = parse_spec(CostSpec, given, where="test", noun="costs")
        made = open_workspace(spec, settings_under(self.folder / "home", None), run_id="run")
        return replace(made, clock=Morning())

    def use(self, day: str, name: str, *usage: Usage) -> None:
        write_usage(self.workspace().platform, day, name, usage)

    def node(self, day: str, *nodes: dict[str, Any]) -> None:
        folder = self.folder / "nodes"
        folder.mkdir(exist_ok=True)
        (folder / f"{day}.jsonl").write_text("\n".join(map(json.dumps, nodes)))


@pytest.fixture
def books(tmp_path: Path) -> Books:
    (tmp_path / "nodes").mkdir()
    return Books(tmp_path)


def used(name: str, tenant: str, model: str, run: str, read: int, written: int) -> Usage:
    return Usage(name, tenant, model, run, read, written)


def test_a_month_reconciles_to_the_cent_at_every_level(books: Books) -> None:
    """The fixture, by hand: tokens 1.21, machines 86.40 + 14.40."""
    books.use("2026-11-01", "a", used("1", "acme", "large", "", 100_000, 20_000))  # 0.45
    books.use(
        "2026-11-02", "b",
        used("2", "acme", "small", "nightly", 1_000_000, 500_000),  # 0.30
        used("3", "beta", "large", "", 4_000, 45_000),  # 0.46
    )  # fmt: skip
    stretches = [
        {"start": 0, "end": 3600, "use": "warm-up", "model": "small"},  # 3.60
        {"start": 3600, "end": 50_400, "use": "busy", "tenant": "acme", "model": "small"},  # 46.80
        {"start": 50_400, "end": 86_400, "use": "idle"},  # 36.00
    ]
    day = {"node": "n1", "instance_type": "own", "seconds": 86_400, "stretches": stretches}
    short = {"start": 0, "end": 14_400, "use": "busy", "tenant": "beta", "model": "small"}
    part = {"node": "n2", "instance_type": "own", "seconds": 14_400, "stretches": [short]}
    books.node("2026-11-02", day, part)
    outcome = refresh_ledger(books.workspace())
    days: list[DaySums] = outcome.facts["days"]
    assert sum(one.total for one in days) == Decimal("102.01")
    tables = {
        level: {s.name: str(s.cents) for s in table_of(days, level)}
        for level in ("tenant", "model", "run", "source")
    }
    assert tables == {
        "tenant": {"acme": "47.55", SHARED: "39.60", "beta": "14.86"},
        "model": {"small": "65.10", "": "36.00", "large": "0.91"},
        "run": {"": "101.71", "nightly": "0.30"},
        "source": {"busy": "61.20", "idle": "36.00", "warm-up": "3.60", "tokens": "1.21"},
    }
    assert not any(differences(days).values())
    assert days[1].seconds == {"busy": 61_200, "warm-up": 3_600, "idle": 36_000}
    assert not refresh_ledger(books.workspace()).is_changed


def test_what_is_noted_late_is_summed_again_and_nothing_else_is(books: Books) -> None:
    """A batch that ends after midnight writes to the day of its answers."""
    books.use("2026-11-01", "a", used("1", "acme", "large", "", 1_000_000, 0))
    books.use("2026-11-02", "a", used("2", "acme", "large", "", 1_000_000, 0))
    first = refresh_ledger(books.workspace())
    books.use("2026-11-02", "b", used("3", "acme", "large", "", 1_000_000, 0))
    second = refresh_ledger(books.workspace())
    assert second.changes["days_summed"] == 1
    assert [str(d.total.normalize()) for d in first.facts["days"]] == ["2.5", "2.5"]
    assert [str(d.total.normalize()) for d in second.facts["days"]] == ["2.5", "5"]


def test_another_price_sums_the_month_again(books: Books) -> None:
    """A page of two prices has no meaning."""
    books.use("2026-11-01", "a", used("1", "acme", "large", "", 1_000_000, 0))
    refresh_ledger(books.workspace())
    dearer = {**MODELS, "large": {"input_per_million": "5", "output_per_million": "10"}}
    days = refresh_ledger(books.workspace(models=dearer)).facts["days"]
    assert days[0].total == 5


def test_without_a_price_or_with_a_hole_there_is_no_page(books: Books) -> None:
    """Unknown is not free."""
    books.use("2026-11-01", "a", used("1", "acme", "huge", "", 1, 0))
    with pytest.raises(ConfigurationError, match="model has no price"):
        refresh_ledger(books.workspace())
    huge = {**MODELS, "huge": MODELS["large"]}
    hole = {"start": 10, "end": 20, "use": "busy"}
    books.node(
        "2026-11-01", {"node": "n", "instance_type": "own", "seconds": 20, "stretches": [hole]}
    )
    with pytest.raises(IntegrityError, match="accounted for"):
        refresh_ledger(books.workspace(models=huge))
    books.node("2026-11-01", {"node": "n"})
    with pytest.raises(IntegrityError, match=r"2026-11-01\.jsonl, line 1"):
        refresh_ledger(books.workspace(models=huge))


def test_an_answer_that_is_noted_twice_is_refused(books: Books) -> None:
    """Two files of one batch would be two invoices."""
    one = used("1", "acme", "large", "", 1, 1)
    books.use("2026-11-01", "a", one)
    books.use("2026-11-01", "b", one)
    with pytest.raises(IntegrityError, match="billed twice"):
        refresh_ledger(books.workspace())


def test_samples_of_a_gpu_are_all_of_its_time() -> None:
    """Warming up until a model answers, idle where nobody asks, busy for whoever does."""
    samples = [
        GpuSample(30, None, model="small"), GpuSample(60, 80.0, "acme", "small"),
        GpuSample(75, 90.0, "acme", "small"), GpuSample(90, 0.0), GpuSample(120, 50.0, "beta", "m"),
    ]  # fmt: skip
    assert stretches_of(samples, 150) == (
        Stretch(0, 30, Use.WARM_UP), Stretch(30, 60, Use.WARM_UP, SHARED, "small"),
        Stretch(60, 90, Use.BUSY, "acme", "small"), Stretch(90, 120, Use.IDLE),
        Stretch(120, 150, Use.BUSY, "beta", "m"),
    )  # fmt: skip
    assert stretches_of([], 10) == (Stretch(0, 10, Use.WARM_UP),)


def test_the_shipped_prices_say_where_and_when_they_were_read() -> None:
    """Inferentia is there too, and nothing is free."""
    prices = shipped_prices()
    assert date.fromisoformat(prices.date)
    assert prices.source
    assert {"g6.xlarge", "p5.48xlarge", "inf2.xlarge"} <= prices.usd_per_hour.keys()
    assert min(prices.usd_per_hour.values()) > 0
