"""Requests to systems that we start work on and do not run here: their shapes alone.

Ray Data on KubeRay for the tasks of bulk stages, KServe as a rollout's target, SageMaker for a
training, Bedrock AgentCore for an agent, Bedrock's batch API for prompts. Tests hold each against
the definition or the service model; none was run.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from platform_pipelines.core.road import rendering
from platform_pipelines.core.road.manifests import Manifest
from platform_pipelines.core.road.rendering import kube
from platform_pipelines.errors import ConfigurationError

RAY_PROGRAM = "platform_pipelines.compute.ray_tasks"
_HOUR = 3600


@dataclass(frozen=True, slots=True)
class RayTasks:
    """A stage's plan of tasks on a Ray cluster that lives as long as the job."""

    name: str
    namespace: str
    image: str  # with this package and Ray
    ray_version: str
    plan_key: str
    tasks: int
    workers: int
    cpu: str = "2"
    memory: str = "8Gi"
    gpus: int = 0
    queue: str | None = None  # a Kueue LocalQueue
    seconds: int = _HOUR
    config_maps: tuple[str, ...] = ()  # whose keys are the environment of its pods
    secrets: tuple[str, ...] = ()
    service_account: str | None = None


def ray_job(plan: RayTasks) -> Manifest:
    """KubeRay's RayJob. A task that is done is done: the job may be tried again.

    Raises:
        ConfigurationError: there is no task, or no worker.
    """
    if plan.tasks < 1 or plan.workers < 1:
        raise ConfigurationError(
            "a Ray job has tasks and workers", where=plan.name, stored=(plan.tasks, plan.workers)
        )
    labels = rendering.labels("ray", "bulk", plan.name)
    spec: dict[str, Any] = {
        "entrypoint": f"python -m {RAY_PROGRAM} {plan.plan_key} {plan.tasks}",
        "shutdownAfterJobFinishes": True,
        "ttlSecondsAfterFinished": 120,
        "activeDeadlineSeconds": plan.seconds,
        "backoffLimit": 1,
        "rayClusterSpec": {
            "rayVersion": plan.ray_version,
            "headGroupSpec": {"rayStartParams": {"num-cpus": "0"}, "template": _pod(plan, 0)},
            "workerGroupSpecs": [
                {
                    "groupName": "tasks",
                    "replicas": plan.workers,
                    "minReplicas": plan.workers,
                    "maxReplicas": plan.workers,
                    "rayStartParams": {},
                    "template": _pod(plan, plan.gpus),
                }
            ],
        },
    }
    if plan.queue:
        labels = {**labels, "kueue.x-k8s.io/queue-name": plan.queue}
        spec["suspend"] = True
    return kube(
        "ray.io/v1", "RayJob", plan.name, namespace=plan.namespace, labels=labels, spec=spec
    )


def inference_service(
    name: str,
    namespace: str,
    *,
    storage: str,
    served_name: str,
    gpus: int,
    canary_percent: int | None = None,
) -> Manifest:
    """KServe's InferenceService of one model; `canary_percent` is the newest revision's share.

    Raises:
        ConfigurationError: the share is none of 100.
    """
    if canary_percent is not None and not 0 <= canary_percent <= 100:
        raise ConfigurationError("no share of 100", where=name, stored=canary_percent)
    predictor: dict[str, Any] = {
        "minReplicas": 1,
        "model": {
            "modelFormat": {"name": "huggingface"},
            "storageUri": storage,
            "args": [f"--model_name={served_name}"],
            "resources": rendering.resources("4", "32Gi", gpus=gpus),
        },
    }
    if canary_percent is not None:
        predictor["canaryTrafficPercent"] = canary_percent
    return kube(
        "serving.kserve.io/v1beta1", "InferenceService", name, namespace=namespace,
        labels=rendering.labels("kserve", "model", name), spec={"predictor": predictor},
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class SageMakerTraining:
    """A training on SageMaker. `seconds` is its time at most; `spot` waits for cheap instances."""

    name: str
    image: str
    role: str
    instance: str
    instances: int
    data: str
    output: str
    arguments: Mapping[str, str]
    seconds: int
    spot: bool = False


def sagemaker_training(training: SageMakerTraining) -> dict[str, Any]:
    """The request `CreateTrainingJob`; a spot job keeps checkpoints beside its output."""
    request: dict[str, Any] = {
        "TrainingJobName": training.name,
        "AlgorithmSpecification": {
            "TrainingImage": training.image, "TrainingInputMode": "FastFile",
        },
        "RoleArn": training.role,
        "InputDataConfig": [
            {
                "ChannelName": "training",
                "DataSource": {
                    "S3DataSource": {
                        "S3DataType": "S3Prefix",
                        "S3Uri": training.data,
                        "S3DataDistributionType": "FullyReplicated",
                    }
                },
            }
        ],
        "OutputDataConfig": {"S3OutputPath": training.output},
        "ResourceConfig": {
            "InstanceType": training.instance,
            "InstanceCount": training.instances,
            "VolumeSizeInGB": 200,
        },
        "StoppingCondition": {"MaxRuntimeInSeconds": training.seconds},
        "HyperParameters": dict(training.arguments),
        "EnableNetworkIsolation": True,
    }  # fmt: skip
    if training.spot:
        request["EnableManagedSpotTraining"] = True
        request["StoppingCondition"]["MaxWaitTimeInSeconds"] = 2 * training.seconds
        request["CheckpointConfig"] = {"S3Uri": f"{training.output.rstrip('/')}/checkpoints"}
    return request


def agentcore_runtime(
    name: str, *, image: str, role: str, environment: Mapping[str, str]
) -> dict[str, Any]:
    """The request `CreateAgentRuntime` of Bedrock AgentCore, of our program's image."""
    return {
        "agentRuntimeName": name,
        "agentRuntimeArtifact": {"containerConfiguration": {"containerUri": image}},
        "roleArn": role,
        "networkConfiguration": {"networkMode": "PUBLIC"},
        "protocolConfiguration": {"serverProtocol": "HTTP"},
        "environmentVariables": dict(environment),
    }


def bedrock_batch(
    name: str, *, model: str, role: str, prompts: str, answers: str, hours: int = 24
) -> dict[str, Any]:
    """The request `CreateModelInvocationJob`: prompts as JSON Lines in S3, answers beside."""
    return {
        "jobName": name,
        "roleArn": role,
        "modelId": model,
        "inputDataConfig": {"s3InputDataConfig": {"s3Uri": prompts, "s3InputFormat": "JSONL"}},
        "outputDataConfig": {"s3OutputDataConfig": {"s3Uri": answers}},
        "timeoutDurationInHours": hours,
    }


def _pod(plan: RayTasks, gpus: int) -> dict[str, Any]:
    container: dict[str, Any] = {
        "name": "ray",
        "image": plan.image,
        "resources": rendering.resources(plan.cpu, plan.memory, gpus=gpus),
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
    }
    given = [{"configMapRef": {"name": name}} for name in plan.config_maps]
    given += [{"secretRef": {"name": name}} for name in plan.secrets]
    if given:
        container["envFrom"] = given
    pod: dict[str, Any] = {"automountServiceAccountToken": False, "containers": [container]}
    if plan.service_account:
        pod["serviceAccountName"] = plan.service_account
    return {"spec": pod}
