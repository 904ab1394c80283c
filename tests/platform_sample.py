"""The sample platform's declarations, and a real cluster for tests that are marked `cluster`."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from platform_pipelines.compute.pod_specs import PodSettings
from platform_pipelines.compute.train_jobs import TrainingRun, train_job, training_runtime
from platform_pipelines.core.agent.declaration import AgentSpec
from platform_pipelines.core.agent.render import render_agent
from platform_pipelines.core.compute_fleet.declaration import FleetSpec
from platform_pipelines.core.compute_fleet.render import render_fleet
from platform_pipelines.core.model_catalogue.declaration import ModelCatalogueSpec
from platform_pipelines.core.model_catalogue.render import render_catalogue
from platform_pipelines.core.model_rollout.manifests import (
    ServingPlan,
    deployment,
    disruption_budget,
    http_route,
    service,
    worker_set,
)
from platform_pipelines.core.model_rollout.sizing import Sizing
from platform_pipelines.core.road.cohort_filter import cohort_policy
from platform_pipelines.core.road.compute_profiles import seed_profiles
from platform_pipelines.core.road.declarations import parse_spec
from platform_pipelines.core.road.manifests import Manifest
from platform_pipelines.core.road.served_model import ModelRef
from platform_pipelines.core.tenant.declaration import TenantSpec
from platform_pipelines.core.tenant.render import render_tenant
from platform_pipelines.core.vector_database.declaration import VectorDatabaseSpec
from platform_pipelines.core.vector_database.render import render_vector_database
from platform_pipelines.gateways.cluster.connection import ClusterAddress, Connection
from platform_pipelines.gateways.cluster.manifests import KubernetesCluster

# Whole card, else two parts of one: as a claim, in the order of preference.
CLAIMED: dict[str, Any] = {
    "devices": [
        {"selectors": ["device.attributes['gpu.nvidia.com'].productName == 'NVIDIA L4'"]},
        {"device_class": "mig.nvidia.com", "count": 2},
    ]
}
# An agent that runs code in a namespace beside its own.
CODE: dict[str, Any] = {
    "tools": [{"kind": "code", "name": "python"}],
    "sandbox": {"namespace": "acme-agents", "image": "python:3.11.9-slim"},
}
SAMPLES = Path(__file__).resolve().parents[1] / "platform_pipelines" / "samples" / "platform"


def attributes(name: str) -> dict[str, Any]:
    """What the sample's YAML declares."""
    text = (SAMPLES / name / "defs.yaml").read_text(encoding="utf-8")
    return dict(yaml.safe_load(text)["attributes"])


def catalogue(**changes: Any) -> ModelCatalogueSpec:
    """The sample's catalogue, with other attributes."""
    return parse_spec(
        ModelCatalogueSpec, {**attributes("models"), **changes}, where="models", noun="models"
    )


def tenant(**changes: Any) -> TenantSpec:
    """The sample's tenant, with other attributes."""
    return parse_spec(TenantSpec, {**attributes("acme"), **changes}, where="acme", noun="a tenant")


def agent(**changes: Any) -> AgentSpec:
    """The sample's agent, with other attributes."""
    return parse_spec(
        AgentSpec, {**attributes("assistant"), **changes}, where="assistant", noun="an agent"
    )


def fleet(**changes: Any) -> FleetSpec:
    """The sample's fleet, with other attributes."""
    return parse_spec(FleetSpec, {**attributes("fleet"), **changes}, where="fleet", noun="a fleet")


def vectors(**changes: Any) -> VectorDatabaseSpec:
    """The sample's vector database, with other attributes."""
    return parse_spec(
        VectorDatabaseSpec, {**attributes("vectors"), **changes},
        where="vectors", noun="a vector database",
    )  # fmt: skip


def everything() -> dict[str, tuple[Manifest, ...]]:
    """All objects of the sample platform, and of the other shapes that can be declared."""
    hosted: dict[str, Any] = {"image": "vllm/vllm-openai:v0.33.0", "weights": "/m", "nodes": 2}
    many = {"big": _model({**hosted, "gpus": 8})}
    image = {"runtime": "image", "image": "registry.example.com/agent:1", "maximum_steps": 8}
    memory = {"redis": "redis.data.svc:6379"}
    pool = {"isolation": "node_pool", "node_pool": "acme", "tls": {"services": ["models-small"]}}
    return {
        "catalogue": render_catalogue(catalogue()),
        "catalogue on envoy": render_catalogue(catalogue(gateway={"controller": "envoy"})),
        "catalogue over nodes": render_catalogue(catalogue(models=many)),
        "fleet": render_fleet(fleet()),
        "fleet with claims": render_fleet(fleet(profiles={"gpu-claimed": CLAIMED})),
        "vectors": render_vector_database(vectors()),
        "vectors searched on GPUs": render_vector_database(vectors(gpu={"search": True})),
        "tenant": render_tenant(tenant()),
        "tenant with nodes": render_tenant(tenant(**pool)),
        "agent": render_agent(agent()),
        "agent of an image": render_agent(agent(**image, memory=memory)),
        "agent with code": render_agent(agent(**image, **CODE)),
        "agent by utilisation": render_agent(agent(scaling={"by": "utilisation"})),
        "rollout": _rollout(),
        "training over nodes": _training(),
    }


def _rollout() -> tuple[Manifest, ...]:
    """Both sides of a rollout of a 70B model, and its routes at each kind of step."""
    new, old = ModelRef("a" * 32, "s3://models/a", 2), ModelRef("c" * 32, "s3://models/c", 1)
    plan = ServingPlan("models", "vllm/vllm-openai:v0.33.0", Sizing(4, 1, False, 8192, 90000, 35e9))
    sides = [
        make(model, plan) for make in (deployment, service, disruption_budget)
        for model in (old, new)
    ]  # fmt: skip
    steps = ((0, False), (0, True), (5, False), (100, False))
    routes = [
        http_route(
            f"chat-{number}", "models", gateway="edge", candidate=new, champion=old,
            percent=percent, mirror=mirror,
        )
        for number, (percent, mirror) in enumerate(steps)
    ]  # fmt: skip
    pools = http_route(
        "chat-pools", "models", gateway="edge", candidate=new, champion=old, percent=20,
        backends="inference_pool",
    )  # fmt: skip
    cohorts = cohort_policy("chat-cohorts", "models", gateway="edge", key_header="x-user-id")
    over_nodes = worker_set(new, replace(plan, sizing=Sizing(8, 2, False, 8192, 90000, 50e9)))
    return (*sides, *routes, pools, cohorts, over_nodes)


def _training() -> tuple[Manifest, ...]:
    """A run over two nodes of eight GPUs, queued by Kueue."""
    profile = seed_profiles()["gpu-training"]
    pods = PodSettings("training", "registry.example.com/training:1", queue="gpu")
    run = TrainingRun("f" * 32, "assistant", nodes=2, processes=8)
    return (training_runtime(profile, pods, claim="runs"), train_job(profile, pods, run))


def _model(serving: Mapping[str, Any]) -> dict[str, Any]:
    price = {"input_per_million": 1, "output_per_million": 2}
    place = {"provider": "self_hosted", "model": "m", "serving": dict(serving)}
    return {"price": price, "deployments": [place]}


def kubeconfig() -> Path:
    """Of the cluster under test; its tests are skipped without one."""
    named = os.environ.get("PP_TEST_KUBECONFIG")
    if not named or not Path(named).exists():
        pytest.skip("PP_TEST_KUBECONFIG names no kubeconfig (make cluster-test sets it)")
    return Path(named)


@contextmanager
def connected() -> Iterator[tuple[Connection, KubernetesCluster]]:
    """A connection to the cluster under test."""
    connection = Connection(ClusterAddress(kubeconfig()))
    yield connection, KubernetesCluster(connection)
    connection.close()
