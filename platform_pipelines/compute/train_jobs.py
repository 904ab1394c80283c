"""Training over several nodes: a compute profile -> Kubeflow Trainer's runtime and TrainJob.

The runtime is the profile's: nodes, volumes, security, how often a lost node starts all of them
again. The TrainJob is one run: its folder on the shared volume, its nodes and processes. Trainer
gives torchrun its variables (PET_*), JobSet starts and ends the pods together, and Kueue admits all
of them or none. A run goes on at its last sealed checkpoint, so starting again costs an interval.
Source: Kubeflow Trainer 2.3, `trainer.kubeflow.org/v1alpha1`; JobSet 0.12.
"""

from dataclasses import dataclass
from typing import Any

from platform_pipelines.compute.pod_specs import PREFIX, QUEUE_LABEL, PodSettings, pod_spec
from platform_pipelines.core.road.compute_profiles import ComputeProfile

API = "trainer.kubeflow.org/v1alpha1"
RUNS = "/runs"  # where the shared volume is mounted
PROGRAM = "/platform/programs/train.py"  # in the image of the class `training`
NODE = "node"  # Trainer looks for a job and a container of this name
_ANCESTOR = "trainer.kubeflow.org/trainjob-ancestor-step"

Manifest = dict[str, Any]


@dataclass(frozen=True, slots=True)
class TrainingRun:
    """One run: `digest` names its folder on the volume, with recipe and rows in it."""

    digest: str
    owner: str
    nodes: int
    processes: int  # of a node


def training_runtime(profile: ComputeProfile, pods: PodSettings, *, claim: str) -> Manifest:
    """How runs of a profile run; `claim` is the volume that all nodes share (Lustre, or S3)."""
    pod = pod_spec(profile, pods, arguments=[PROGRAM])
    (container,) = pod["containers"]
    pod["containers"] = [
        {
            **container,
            "name": NODE,
            "volumeMounts": [*container["volumeMounts"], {"name": "runs", "mountPath": RUNS}],
        }
    ]
    volume = {"name": "runs", "persistentVolumeClaim": {"claimName": claim}}
    job = {
        "metadata": {"labels": {_ANCESTOR: "trainer"}},
        "spec": {
            "backoffLimit": 0,  # one pod that fails starts all of them again
            "template": {"spec": {**pod, "volumes": [*pod["volumes"], volume]}},
        },
    }
    return {
        "apiVersion": API,
        "kind": "ClusterTrainingRuntime",
        "metadata": {
            "name": runtime_name(profile),
            "labels": {
                "app.kubernetes.io/managed-by": PREFIX,
                "trainer.kubeflow.org/framework": "torch",
            },
        },
        "spec": {
            "mlPolicy": {"numNodes": 1, "torch": {}},
            "template": {
                "spec": {
                    "replicatedJobs": [{"name": NODE, "template": job}],
                    "failurePolicy": {"maxRestarts": profile.retries},
                }
            },
        },
    }


def train_job(profile: ComputeProfile, pods: PodSettings, run: TrainingRun) -> Manifest:
    """One run over its nodes. A run that is started again finds the TrainJob of the one before."""
    labels = {
        "app.kubernetes.io/managed-by": PREFIX,
        f"{PREFIX}/owner": run.owner,
        f"{PREFIX}/profile": profile.name,
        **pods.labels,
    }
    folder = f"{RUNS}/{run.digest}"
    spec: Manifest = {
        "runtimeRef": {"name": runtime_name(profile)},
        "activeDeadlineSeconds": profile.deadline_seconds,
        "trainer": {
            "image": profile.image or pods.image,
            "command": ["torchrun"],
            "args": [PROGRAM, f"{folder}/events.jsonl", f"{folder}/recipe.json"],
            "numNodes": run.nodes,
            "numProcPerNode": run.processes,
        },
    }
    if pods.queue:
        labels = {**labels, QUEUE_LABEL: pods.queue}
        spec["suspend"] = True  # Kueue admits all nodes together
    return {
        "apiVersion": API,
        "kind": "TrainJob",
        "metadata": {
            "name": f"train-{run.digest[:20]}",
            "namespace": pods.namespace,
            "labels": labels,
        },
        "spec": spec,
    }


def runtime_name(profile: ComputeProfile) -> str:
    """Of the cluster-wide runtime of a profile."""
    return f"{PREFIX}-{profile.name}"
