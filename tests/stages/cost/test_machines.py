"""Node time from OpenCost's and DCGM's series in a real Prometheus: every second, once."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from platform_pipelines.core.cost.declaration import CostSpec
from platform_pipelines.core.cost.ledger import SHARED, NodeTime
from platform_pipelines.core.cost.node_time import parse_nodes, seconds_by_use
from platform_pipelines.core.cost.readings import (
    BUSY,
    GPUS,
    HELD,
    QUERIES,
    Curve,
    nodes_of,
    to_lines,
)
from platform_pipelines.core.road.declarations import parse_spec
from platform_pipelines.errors import ConfigurationError, EvidenceError
from platform_pipelines.gateways.prometheus import FoundRange
from platform_pipelines.stages.cost.ledger import refresh_ledger
from platform_pipelines.stages.cost.machines import refresh_machines
from platform_pipelines.stages.cost.workspace import Workspace, open_workspace
from tests.knowledge import settings_under
from tests.servers.prometheus_server import PROMETHEUS, prometheus_of
from tests.stages.cost.test_ledger_days import MODELS, Morning

MIDNIGHT = datetime(2026, 11, 2, tzinfo=UTC).timestamp()
FIRST, LAST = 6 * 60, 12 * 60  # minutes of the day in which the two nodes are held
ANSWERS = 6 * 60 + 10  # the server loads its model for ten minutes


def _series() -> Iterator[str]:
    """A node of one GPU, one of two, one without; a model server that loads, works and rests."""
    names = {
        "node_total_hourly_cost": lambda m: [
            ('node="n1",instance_type="g6.xlarge"', 0.8), ('node="n2",instance_type="own"', 8.0),
            ('node="cpu",instance_type="m6i.large"', 0.1),
        ],
        "node_gpu_count": lambda m: [('node="n1"', 1), ('node="n2"', 2), ('node="cpu"', 0)],
        "DCGM_FI_DEV_GPU_UTIL": _utilisation,
        "vllm:num_requests_running": lambda m: (
            [('namespace="inference",pod="small-1",model_name="small"', 1)] if m >= ANSWERS else []
        ),
    }  # fmt: skip
    for name, of in names.items():
        rows = [(one, m, value) for m in range(FIRST, LAST) for one, value in of(m)]
        for labels, minute, value in sorted(rows):
            yield f"{name}{{{labels}}} {value} {MIDNIGHT + 60 * minute:.3f}"


def _utilisation(minute: int) -> list[tuple[str, float]]:
    if minute < FIRST + 2:
        return []  # the driver starts
    small = 0.0 if minute >= 9 * 60 else 60.0
    pod = 'exported_namespace="inference",exported_pod="small-1",namespace="gpu-operator"'
    return [
        (f'Hostname="n1",gpu="0",{pod}', small),
        ('Hostname="n2",gpu="0",namespace="acme-agents",pod="train-1"', 95.0),
        ('Hostname="n2",gpu="1"', 0.0),
    ]


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    if PROMETHEUS is None:
        pytest.skip("prometheus is not installed")
    with prometheus_of(tmp_path_factory.mktemp("prometheus"), _series()) as url:
        yield url


def workspace(folder: Path, url: str, **changes: Any) -> Workspace:
    given = {
        "name": "costs", "models": MODELS, "instances": {"own": "8.00", "g6.xlarge": "0.80"},
        "prometheus": url, "namespaces": {"acme-agents": "acme"}, **changes,
    }  # fmt: skip
    spec = parse_spec(CostSpec, given, where="test", noun="costs")
    made = open_workspace(spec, settings_under(folder / "home", None), run_id="run")
    return replace(made, clock=Morning())


def test_every_second_of_every_gpu_is_busy_warming_up_or_idle(
    tmp_path: Path, prometheus: str
) -> None:
    """Six hours of three GPUs; the other day has no series, and stays unknown."""
    costs = workspace(tmp_path, prometheus)
    outcome = refresh_machines(costs)
    nodes: list[NodeTime] = outcome.facts["days"][date(2026, 11, 2)]
    assert outcome.facts["unknown"] == ["2026-11-01"]
    assert [n.node for n in nodes] == ["n1", "n2/gpu0", "n2/gpu1"]
    assert seconds_by_use(nodes) == {
        "warm-up": (10 + 2 + 2) * 60,  # the model's ten minutes; both other GPUs' driver
        "busy": (170 + 358) * 60,
        "idle": (180 + 358) * 60,
    }
    assert sum(seconds_by_use(nodes).values()) == 3 * 6 * 3600
    loads, works, _ = nodes[0].stretches[-3:]
    assert (loads.model, works.model, works.tenant) == ("small", "small", "inference")
    assert {s.tenant for s in nodes[1].stretches} == {SHARED, "acme"}
    assert not refresh_machines(costs).is_changed


def test_the_ledger_pays_for_all_of_it_to_the_cent(tmp_path: Path, prometheus: str) -> None:
    """6 h x 0.80 $ and 6 h x 8 $, whatever the GPUs did."""
    costs = workspace(tmp_path, prometheus)
    refresh_machines(costs)
    day = refresh_ledger(costs).facts["days"][1]
    assert day.total == Decimal("52.80")
    assert day.levels["tenant"]["acme"].quantize(Decimal("1e-6")) == Decimal("23.866667")
    assert sum(day.seconds.values()) == 3 * 6 * 3600


def test_a_day_that_is_known_is_not_asked_again(tmp_path: Path, prometheus: str) -> None:
    """Prometheus forgets; the books do not."""
    refresh_machines(workspace(tmp_path, prometheus))
    asked: list[float] = []

    class Counting:
        """Knows nothing any more."""

        def ask(self, expression: str) -> Any:
            raise AssertionError

        def ask_range(self, expression: str, start: float, end: float, step: int) -> FoundRange:
            asked.append(start)
            return FoundRange()

    outcome = refresh_machines(workspace(tmp_path, prometheus), prometheus=Counting())
    assert date(2026, 11, 2) in outcome.facts["days"]
    assert {datetime.fromtimestamp(at, UTC).day for at in asked} == {1}


def test_a_refused_query_is_no_day_without_machines(tmp_path: Path) -> None:
    """Six hours of GPUs would be free."""

    class Refusing:
        """A Prometheus that cannot."""

        def ask(self, expression: str) -> Any:
            raise AssertionError

        def ask_range(self, expression: str, start: float, end: float, step: int) -> FoundRange:
            return FoundRange(problem="query processing would load too many samples")

    with pytest.raises(EvidenceError, match="too many samples"):
        refresh_machines(workspace(tmp_path, "http://p.example"), prometheus=Refusing())


def test_a_shared_gpu_counts_as_its_busiest_pod_and_files_are_read_back() -> None:
    """Time-sliced: one GPU, two pods."""
    curves: dict[str, list[Curve]] = {query: [] for query in QUERIES}
    curves[HELD] = [Curve({"node": "n", "instance_type": "own"}, ((0, 1.0), (60, 1.0)))]
    curves[GPUS] = [Curve({"node": "n"}, ((0, 1.0),))]
    curves[BUSY] = [
        Curve({"Hostname": "n", "gpu": "0", "namespace": name}, ((0, value), (60, value)))
        for name, value in (("a", 20.0), ("b", 70.0))
    ]
    nodes = nodes_of(curves, tenants={})
    assert [(s.tenant, s.end - s.start) for s in nodes[0].stretches] == [("b", 120)]
    assert parse_nodes(to_lines(nodes), where="here") == nodes


def test_files_and_prometheus_together_are_refused() -> None:
    """The same machines would be paid twice."""
    with pytest.raises(ConfigurationError, match="twice"):
        workspace(Path(), "http://p.example", nodes="file:///nodes")
