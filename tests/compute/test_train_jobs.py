"""A training over several nodes, as it is rendered for Kubeflow Trainer."""

import json
from typing import Any

from platform_pipelines.compute.pod_specs import PodSettings
from platform_pipelines.compute.train_jobs import (
    TrainingRun,
    runtime_name,
    train_job,
    training_runtime,
)
from platform_pipelines.core.road.compute_profiles import seed_profiles

PROFILE = seed_profiles()["gpu-training"]
PODS = PodSettings("training", "registry.example.com/training:1", queue="gpu")
RUN = TrainingRun("f" * 32, "assistant", nodes=2, processes=8)


def pod() -> dict[str, Any]:
    spec = training_runtime(PROFILE, PODS, claim="runs")["spec"]["template"]["spec"]
    (job,) = spec["replicatedJobs"]
    assert job["name"] == "node"
    assert job["template"]["spec"]["backoffLimit"] == 0
    assert spec["failurePolicy"]["maxRestarts"] == PROFILE.retries
    return job["template"]["spec"]["template"]["spec"]


def test_a_run_names_its_nodes_its_folder_and_its_queue() -> None:
    """Kueue admits all nodes together; the folder holds recipe, rows and checkpoints."""
    made = train_job(PROFILE, PODS, RUN)
    trainer = made["spec"]["trainer"]
    assert (trainer["numNodes"], trainer["numProcPerNode"]) == (2, 8)
    assert trainer["args"][1:] == [f"/runs/{'f' * 32}/{n}" for n in ("events.jsonl", "recipe.json")]
    assert made["spec"]["runtimeRef"]["name"] == runtime_name(PROFILE)
    assert made["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] == "gpu"
    assert made["spec"]["suspend"] is True
    assert made["metadata"]["name"] == train_job(PROFILE, PODS, RUN)["metadata"]["name"]


def test_pods_of_a_runtime_have_their_profiles_nodes_memory_and_volume() -> None:
    """And they are restricted, as all pods of the platform."""
    (container,) = pod()["containers"]
    assert container["name"] == "node"
    assert container["resources"]["limits"]["nvidia.com/gpu"] == "8"
    assert {"name": "runs", "mountPath": "/runs"} in container["volumeMounts"]
    assert {"name": "runs", "persistentVolumeClaim": {"claimName": "runs"}} in pod()["volumes"]
    assert {"medium": "Memory", "sizeLimit": "64Gi"} in [
        v.get("emptyDir") for v in pod()["volumes"]
    ]
    assert pod()["securityContext"]["runAsNonRoot"] is True
    assert "PyTorchJob" not in json.dumps(training_runtime(PROFILE, PODS, claim="runs"))
