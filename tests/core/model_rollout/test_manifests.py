"""A rollout in a cluster, as it is rendered: cohorts, probes, and what is never there."""

import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from platform_pipelines.core.model_rollout.manifests import (
    ServingPlan,
    cohort_pattern,
    deployment,
    disruption_budget,
    http_route,
    service,
)
from platform_pipelines.core.model_rollout.sizing import Sizing
from platform_pipelines.core.road.served_model import ModelRef
from platform_pipelines.errors import ConfigurationError

NEW, OLD = ModelRef("a" * 32, "s3://b/a", 2), ModelRef("c" * 32, "s3://b/c", 1)
PLAN = ServingPlan("models", "registry.example/vllm:0.33.0", Sizing(4, 1, False, 8192, 90000, 35e9))


def route(percent: int, **given: Any) -> list[dict[str, Any]]:
    rendered = http_route(
        "chat", "models", gateway="edge", candidate=NEW, champion=OLD, percent=percent, **given
    )
    return rendered["spec"]["rules"]


@given(st.integers(0, 100))
def test_exactly_the_cohorts_below_the_share_match(percent: int) -> None:
    """And so a growing share holds every cohort that it held."""
    pattern = re.compile(cohort_pattern(percent))
    matching = [n for n in range(100) if pattern.fullmatch(f"{n:02}")]
    assert matching == list(range(percent))


def test_a_share_is_a_match_and_the_rest_is_the_champions() -> None:
    """First the cohorts, then everybody, also who has no cohort."""
    new, old = route(20)
    assert new["backendRefs"][0]["name"] == "model-aaaaaaaaaaaa"
    assert old["backendRefs"][0]["name"] == "model-cccccccccccc"
    assert "matches" not in old
    assert [rule["backendRefs"][0]["name"][6] for rule in route(0) + route(100)] == ["c", "a"]
    with pytest.raises(ConfigurationError):
        route(101)


def test_a_mirrored_step_answers_by_the_champion() -> None:
    """Copies only."""
    (rule,) = route(0, mirror=True)
    assert rule["backendRefs"][0]["name"] == "model-cccccccccccc"
    assert rule["filters"][0]["requestMirror"]["backendRef"]["name"] == "model-aaaaaaaaaaaa"


def test_a_side_starts_for_minutes_and_drains_before_it_ends() -> None:
    """A 70B model loads 300-600 s; an evicted pod answers what it has begun."""
    pod = deployment(NEW, PLAN)["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    probe = container["startupProbe"]
    assert probe["periodSeconds"] * probe["failureThreshold"] == 600
    assert container["resources"]["limits"]["nvidia.com/gpu"] == "4"
    drain = int(container["args"][container["args"].index("--shutdown-timeout") + 1])
    assert pod["terminationGracePeriodSeconds"] > drain
    assert {"medium": "Memory", "sizeLimit": "64Gi"} in [v.get("emptyDir") for v in pod["volumes"]]


def test_objects_of_a_side_select_the_same_pods() -> None:
    """A service, a budget and a deployment of one model."""
    labels = deployment(NEW, PLAN)["spec"]["template"]["metadata"]["labels"]
    assert service(NEW, PLAN)["spec"]["selector"] == labels
    assert disruption_budget(NEW, PLAN)["spec"]["selector"]["matchLabels"] == labels
    assert service(NEW, PLAN)["spec"]["trafficDistribution"] == "PreferSameZone"


def test_no_code_of_strangers_is_run() -> None:
    """Safetensors only; never `--trust-remote-code`."""
    rendered = json.dumps(deployment(NEW, PLAN))
    assert "trust-remote-code" not in rendered
    assert '"--load-format", "safetensors"' in rendered
