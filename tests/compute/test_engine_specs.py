"""An engine beside the worker: every declared field reaches the pod, and the GPU is its own."""

import json
from typing import Any

import pytest
from pydantic import ValidationError

from platform_pipelines.compute.pod_specs import PodSettings, pod_spec
from platform_pipelines.core.road.compute_profiles import (
    ComputeProfile,
    DeviceChoice,
    EngineProfile,
    seed_profiles,
)

PODS = PodSettings("platform", "registry/platform:1", ("platform",), ("platform",), "tasks")
SENTINELS: dict[str, Any] = {
    "kind": "vllm",
    "image": "sentinel/vllm:1.2.3",
    "model": "sentinel/model",
    "served_as": "sentinel-name",
    "args": ("--sentinel-argument",),
    "command": ("sentinel-command",),
    "port": 17001,
    "cpu_request": "1711m",
    "memory": "1712Mi",
    "start_seconds": 8565,
    "cache": "1714Mi",
    "cache_claim": "sentinel-claim",
}
FOUND = {"kind": "--runner", "start_seconds": '"failureThreshold": 1714'}
JUDGED = {"restarts", "serves"}  # by who follows the Job: test_pod_starts; and below


def pod(engine: EngineProfile, **profile: Any) -> dict[str, Any]:
    seed = seed_profiles()["gpu-inference"]
    return pod_spec(seed.model_copy(update={"engine": engine, **profile}), PODS, arguments=["-m"])


def test_every_field_of_an_engine_has_a_sentinel() -> None:
    """A field that is added without one would not be looked for."""
    assert set(SENTINELS) | JUDGED == set(EngineProfile.model_fields)


@pytest.mark.parametrize("field", SENTINELS)
def test_every_declared_field_reaches_the_pod(field: str) -> None:
    """A start-up time that was declared and forgotten is an engine killed while it loads."""
    fields = dict(SENTINELS)
    if field == "cache":
        del fields["cache_claim"]
    value = SENTINELS[field]
    wanted = FOUND.get(field, value[0] if isinstance(value, tuple) else str(value))
    assert wanted in json.dumps(pod(EngineProfile.model_validate(fields)))


@pytest.mark.parametrize(
    ("kind", "begins"),
    [
        ("vllm", ["vllm", "serve", "BAAI/bge-m3", "--runner", "pooling"]),
        ("tei", ["text-embeddings-router", "--model-id", "BAAI/bge-m3"]),
        ("nim", []),
    ],
)
def test_each_kind_is_started_as_its_makers_say(kind: str, begins: list[str]) -> None:
    """A NIM's image starts itself, and reads its port from the environment."""
    engine = EngineProfile.model_validate(
        {"kind": kind, "image": "registry/engine:1", "model": "BAAI/bge-m3", "port": 9001}
    )
    (made,) = pod(engine)["initContainers"]
    words = [*made.get("command", []), *made["args"]]
    assert words[: len(begins)] == begins
    assert "9001" in json.dumps([words, made["env"]])


def test_the_engine_has_the_gpus_and_the_worker_finds_it_on_loopback() -> None:
    """A limit on both would take two cards; the worker waits for the start-up probe."""
    engine = EngineProfile(kind="tei", image="registry/tei:1", model="m", port=9001)
    made = pod(engine)
    (sidecar,), (worker,) = made["initContainers"], made["containers"]
    assert sidecar["restartPolicy"] == "Always"
    assert sidecar["startupProbe"]["httpGet"] == {"path": "/health", "port": 9001}
    assert sidecar["resources"]["limits"]["nvidia.com/gpu"] == "1"
    assert "nvidia.com/gpu" not in worker["resources"]["limits"]
    told = {one["name"]: one["value"] for one in worker["env"]}
    assert told["PLATFORM_EMBEDDER_URL"] == "http://127.0.0.1:9001/v1"
    assert {"name": "shm", "mountPath": "/dev/shm"} in sidecar["volumeMounts"]


def test_a_claim_of_devices_is_the_engine_s() -> None:
    """Dynamic resource allocation instead of a limit."""
    engine = EngineProfile(kind="tei", image="registry/tei:1", model="m")
    made = pod(engine, devices=(DeviceChoice(),))
    assert made["initContainers"][0]["resources"]["claims"] == [{"name": "devices"}]
    assert "claims" not in made["containers"][0]["resources"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"image": "registry/engine"}, "image"),
        ({"image": f"registry/engine:{'latest'}"}, "moves"),
        ({"kind": "ollama"}, "kind"),
        ({"model": ""}, "model"),
        ({"start_seconds": 1}, "start_seconds"),
    ],
)
def test_what_an_engine_cannot_mean_is_refused(change: dict[str, Any], words: str) -> None:
    """By the field's name, where the profile is read."""
    engine = {"kind": "vllm", "image": "registry/engine:1", "model": "m", **change}
    with pytest.raises(ValidationError, match=words):
        ComputeProfile.model_validate({"name": "mine", "engine": engine})


def test_an_engine_of_answers_is_no_pooling_server() -> None:
    """`--runner pooling` has no chat completions: each prompt of a batch would fail."""
    fields = {"kind": "vllm", "image": "vllm/vllm-openai:v0.33.0", "model": "m"}
    engine = EngineProfile.model_validate({**fields, "serves": "answers"})
    (made,) = pod(engine)["initContainers"]
    assert "--runner" not in made["args"]
    with pytest.raises(ValueError, match="answers are served by vllm or nim"):
        EngineProfile.model_validate({**fields, "kind": "tei", "serves": "answers"})
