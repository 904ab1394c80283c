"""A rollout in a cluster, as it is rendered: cohorts, probes, and what is never there."""

import hashlib
import json
import re
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from platform_pipelines.core.model_rollout.engines import Engine
from platform_pipelines.core.model_rollout.manifests import (
    ServingPlan,
    deployment,
    disruption_budget,
    http_route,
    service,
    worker_set,
)
from platform_pipelines.core.model_rollout.sizing import Sizing
from platform_pipelines.core.road.cohort_filter import cohort_of, cohort_pattern, cohort_policy
from platform_pipelines.core.road.served_model import ModelRef, files_digest
from platform_pipelines.errors import ConfigurationError

NEW, OLD = ModelRef("a" * 32, "s3://b/a", 2), ModelRef("c" * 32, "s3://b/c", 1)
PLAN = ServingPlan("models", "registry.example/vllm:0.33.0", Sizing(4, 1, False, 8192, 90000, 35e9))

KINDS = ("leaderTemplate", "workerTemplate")


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


@pytest.mark.parametrize("engine", ["sglang", "tgi"])
def test_an_engine_that_was_never_run_says_so(engine: Engine) -> None:
    """Rendered like vLLM's, with its own words, and marked."""
    pods = deployment(NEW, replace(PLAN, engine=engine))["spec"]["template"]
    assert pods["metadata"]["annotations"]["platform/engine"] == "rendered, not run"
    (container,) = pods["spec"]["containers"]
    said = [*container["command"], *container["args"]]
    assert f"/models/{NEW.digest}" in said
    assert said[said.index("--tp-size" if engine == "sglang" else "--num-shard") + 1] == "4"
    assert not any("trust" in word for word in said)
    marked = deployment(NEW, PLAN)["spec"]["template"]["metadata"]["annotations"]
    assert "platform/engine" not in marked


def test_a_model_over_several_nodes_is_one_group_of_pods() -> None:
    """405B in bf16: 2 nodes of 8. The leader answers, its Service reaches only it."""
    plan = replace(PLAN, sizing=Sizing(8, 2, False, 8192, 90000, 50e9))
    made = worker_set(NEW, plan)["spec"]["leaderWorkerTemplate"]
    assert made["size"] == 2
    leader, worker = (made[kind]["spec"]["containers"][0] for kind in KINDS)
    assert leader["args"][-2:] == ["--node-rank", "0"]
    assert worker["args"][-3:] == ["--node-rank", "$(LWS_WORKER_INDEX)", "--headless"]
    assert "readinessProbe" in leader
    assert "readinessProbe" not in worker
    assert [one["resources"]["limits"]["nvidia.com/gpu"] for one in (leader, worker)] == ["8", "8"]
    reached = service(NEW, plan)["spec"]["selector"]
    assert made["leaderTemplate"]["metadata"]["labels"] == reached
    assert made["workerTemplate"]["metadata"]["labels"] != reached


def test_a_route_may_name_pools() -> None:
    """The gateway's inference extension picks a replica then."""
    new, old = route(20, backends="inference_pool")
    assert new["backendRefs"] == [
        {"group": "inference.networking.k8s.io", "kind": "InferencePool",
         "name": "model-aaaaaaaaaaaa"}
    ]  # fmt: skip
    assert old["backendRefs"][0]["kind"] == "InferencePool"


def test_a_side_without_gpus_asks_for_none() -> None:
    """A small model on the CPU nodes of a test cluster."""
    pod = deployment(NEW, replace(PLAN, sizing=Sizing(0, 1, False, 512, 0, 0)))
    rendered = json.dumps(pod)
    assert "nvidia.com/gpu" not in rendered
    assert "--gpu-memory-utilization" not in rendered


FILES = {"model.safetensors": b"weights", "config.json": b"{}"}


def _harm(folder: Path, kind: str) -> None:
    """What may have happened to a model on a volume."""
    if kind == "a bit is another":
        (folder / "model.safetensors").write_bytes(b"weightr")
    elif kind == "a file is gone":
        (folder / "config.json").unlink()
    elif kind == "code was added":
        (folder / "modeling.py").write_text("import os")
    elif kind == "the list is another":
        (folder / "FILES.json").write_text("{}")


@pytest.mark.parametrize(
    ("kind", "told"),
    [
        ("nothing", ""),
        ("a bit is another", "model.safetensors is not what"),
        ("a file is gone", "config.json"),
        ("code was added", "files that nobody listed"),
        ("the list is another", "not of"),
    ],
)
def test_no_server_starts_over_other_weights(tmp_path: Path, kind: str, told: str) -> None:
    """The init container's own program, run: it ends with 0 only for the files of the digest."""
    listed = {name: hashlib.sha256(data).hexdigest() for name, data in FILES.items()}
    model = ModelRef(files_digest(listed), "s3://b/x", 1)
    for name, data in FILES.items():
        (tmp_path / name).write_bytes(data)
    (tmp_path / "FILES.json").write_text(json.dumps(listed, indent=1))
    _harm(tmp_path, kind)
    (check,) = deployment(model, PLAN)["spec"]["template"]["spec"]["initContainers"]
    _, *options, _, digest = check["command"]
    done = subprocess.run(
        [sys.executable, *options, str(tmp_path), digest],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode == 0) is (kind == "nothing"), done.stderr
    assert told in done.stderr


def test_the_gateway_gives_every_key_one_of_a_hundred_cohorts() -> None:
    """Two digits, each of them met, none favoured; the same key the same cohort."""
    found = Counter(cohort_of(f"사용자-{n}") for n in range(20_000))
    assert set(found) == {f"{n:02}" for n in range(100)}
    assert max(found.values()) < 2 * min(found.values())
    policy = cohort_policy("c", "models", gateway="edge", key_header="x-user-id")
    program = policy["spec"]["lua"][0]["inline"]
    assert program.index('remove("x-cohort")') < program.index('get("x-user-id")')
