"""Every rendered query runs in a real Prometheus and has series; one that has none fails."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import yaml

from platform_pipelines.core.road.declarations import parse_spec
from platform_pipelines.core.road.manifests import revision_of
from platform_pipelines.core.road.promql import looked_at, queries_of
from platform_pipelines.core.road.snapshot import Snapshot
from platform_pipelines.core.watch.declaration import WatchSpec
from platform_pipelines.core.watch.render import render_watch
from platform_pipelines.errors import ConfigurationError, EvidenceError, UnavailableError
from platform_pipelines.serving.metrics import Metrics
from platform_pipelines.stages.road.applied import MANIFESTS, manifests_key
from platform_pipelines.stages.road.clusters import Applied, open_applied
from platform_pipelines.stages.road.connect import open_component_store
from platform_pipelines.stages.road.workspace import head_key
from platform_pipelines.stages.watch.queries import refresh_queries
from tests.declared import definitions, resources_of
from tests.knowledge import settings_under
from tests.platform_sample import agent, catalogue, render_agent, render_catalogue
from tests.servers.prometheus_server import PROMETHEUS, prometheus_over

HERE = Path(__file__).resolve()
VLLM = HERE.parents[1] / "model_rollout" / "vllm-0.32.0-metrics.txt"  # recorded from a real one
REPLAYED = (HERE.parent / "replayed-series.txt").read_text("utf-8")

pytestmark = pytest.mark.skipif(PROMETHEUS is None, reason="prometheus is not installed")


def served() -> str:
    """The real page of `serve`, after a few requests."""
    metrics = Metrics()
    for _ in range(3):
        metrics.began()
        metrics.ended("ask", "handbook", "ok", 0.2)
        metrics.answered("handbook", known=False, input_tokens=100, output_tokens=20)
    return metrics.page()[0].decode()


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    vllm = 'namespace="inference",service="models-small"'
    pages = ((served(), ""), (VLLM.read_text("utf-8"), vllm), (REPLAYED, ""))
    with prometheus_over(tmp_path_factory.mktemp("prometheus"), pages) as url:
        yield url


def declared(**attributes: Any) -> WatchSpec:
    return parse_spec(WatchSpec, {"name": "watch", **attributes}, where="test", noun="watch")


def asked(folder: Path, spec: WatchSpec) -> dict[str, str]:
    """Where each query stands, and its problem."""
    settings = settings_under(folder, None)
    applied = Applied("watch", spec, lambda: render_watch(spec))
    outcome = refresh_queries(open_applied(applied, settings), spec)
    return {one.query.where: one.problem for one in outcome.facts["asked"]}


def test_every_query_of_alerts_dashboards_and_scalers_has_series(
    tmp_path: Path, prometheus: str
) -> None:
    """vLLM's and `serve`'s own pages, the rest replayed; the catalogue's and the agent's scalers
    are asked too."""
    settings = settings_under(tmp_path, None)
    rendered = {
        "model_catalogue/models": render_catalogue(catalogue()),
        "agent/assistant": render_agent(agent()),
    }
    for named, manifests in rendered.items():
        kind, name = named.split("/")
        revision = revision_of(name, "test", manifests)
        store = open_component_store(settings, kind, name)
        store.put(manifests_key(revision.digest), revision.to_json().encode())
        head = Snapshot(MANIFESTS, revision.digest, (), details={"revision": revision.digest})
        store.put(head_key(MANIFESTS), head.to_json().encode())
    found = asked(tmp_path, declared(prometheus=prometheus, components=list(rendered)))
    assert {where: problem for where, problem in found.items() if problem} == {}
    assert sum("ScaledObject" in where for where in found) >= 3
    assert len(found) > 30


def test_a_misspelt_series_is_found(tmp_path: Path, prometheus: str) -> None:
    """What vLLM once called `gpu_cache_usage_perc` scales nothing today."""
    settings = settings_under(tmp_path, None)
    scaler = {
        "apiVersion": "keda.sh/v1alpha1", "kind": "ScaledObject", "metadata": {"name": "s"},
        "spec": {"triggers": [
            {"type": "prometheus", "name": "cache",
             "metadata": {"query": "max(vllm:gpu_cache_usage_perc)"}},
            {"type": "prometheus", "name": "broken", "metadata": {"query": "max(("}},
        ]},
    }  # fmt: skip
    spec = declared(prometheus=prometheus, dashboards=[])
    applied = Applied("watch", spec, lambda: [*render_watch(spec), scaler])
    outcome = refresh_queries(open_applied(applied, settings), spec)
    wrong = outcome.snapshot.details["wrong"]
    assert [where.rpartition(": ")[2] for where in wrong] == ["cache", "broken"]
    assert "no series" in next(iter(wrong.values()))
    assert "parse error" in list(wrong.values())[1]


def test_an_empty_prometheus_fails_and_declared_quiet_series_do_not(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """A platform without LiteLLM and GPUs says so, by name."""
    with prometheus_over(tmp_path_factory.mktemp("few"), [(served(), "")]) as url:
        all_wrong = asked(tmp_path / "a", declared(prometheus=url, dashboards=["cost"]))
        quiet = ["litellm_", "DCGM_", "vllm:", "agent_", "node_"]
        quieted = asked(tmp_path / "b", declared(prometheus=url, dashboards=["cost"], quiet=quiet))
    assert sum(bool(problem) for problem in all_wrong.values()) == len(all_wrong) - 1
    assert not any(quieted.values())
    with pytest.raises(UnavailableError):
        asked(tmp_path / "c", declared(prometheus=url))


def test_the_check_blocks_what_would_be_applied(tmp_path: Path, prometheus: str) -> None:
    """manifests -> queries -> applied; the page shows every query with its series."""
    attributes = {"name": "watch", "prometheus": prometheus}
    kind = "platform_pipelines.components.Watch"
    settings = settings_under(tmp_path / "home", None)
    with definitions(
        yaml.safe_dump({"type": kind, "attributes": attributes}), settings=settings
    ) as made:
        repository = made.get_repository_def()
        graph = repository.asset_graph
        keys = {key.to_user_string(): key for key in graph.get_all_asset_keys()}
        assert set(keys) == {"watch/manifests", "watch/queries", "watch/applied"}
        parents = graph.get(keys["watch/applied"]).parent_keys
        assert {key.to_user_string() for key in parents} == {"watch/manifests", "watch/queries"}
        result = dg.materialize(
            [one for one in made.assets or () if isinstance(one, dg.AssetsDefinition)],
            selection=[keys["watch/manifests"], keys["watch/queries"]],
            resources=resources_of(settings),
        )
    (found,) = result.asset_materializations_for_node("watch__queries")
    assert found.metadata["queries"].value == found.metadata["right"].value > 30
    assert {c.check_name: c.passed for c in result.get_asset_check_evaluations()} == {
        "rules_hold": True, "every_query_has_series": True,
    }  # fmt: skip


def test_what_an_alert_looks_at_is_its_expression_without_the_comparison() -> None:
    """A quiet alert has no series, as a misspelt one has none."""
    assert looked_at("rate(a[5m]) / b > 0.05") == "rate(a[5m]) / b"
    assert looked_at("sum(a)") == "sum(a)"
    assert looked_at("a + 3") == "a + 3"
    assert queries_of([{"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": "x"}}]) == []


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"thresholds": {"GpuCold": 1}}, "no alert GpuCold"),
        ({"dashboards": ["beauty"]}, "dashboards.0 = 'beauty'"),
        ({"prometheus": "prometheus:9090"}, "prometheus = 'prometheus:9090'"),
        ({"components": ["models"]}, "models: not `kind/name`"),
    ],
)
def test_a_wrong_one_is_told_its_field(change: dict[str, Any], told: str) -> None:
    """At load, with what is allowed."""
    with pytest.raises(ConfigurationError) as refused:
        declared(**change)
    assert told in str(refused.value)


def test_a_component_that_rendered_nothing_is_told(tmp_path: Path, prometheus: str) -> None:
    """A misspelt name would ask nothing."""
    with pytest.raises(EvidenceError, match="rendered nothing"):
        asked(tmp_path, declared(prometheus=prometheus, components=["agent/nobody"]))
