"""The one serializer of pods: a compute profile and a plan of tasks -> an Indexed Job, as JSON.

Pure, and complete: a test changes every field of a profile in turn and finds it in the manifest.
Pods meet Pod Security `restricted`: no root, a read-only root, no capabilities, seccomp's default.
Source: Kubernetes, "Handling retriable and non-retriable pod failures", and Job: backoff per index.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from platform_pipelines.compute.engine_specs import (
    EMBEDDER_URL,
    cache_volume,
    engine_container,
    loopback_url,
)
from platform_pipelines.core.road.compute_profiles import ComputeProfile
from platform_pipelines.core.road.identity import digest_json

Manifest = dict[str, Any]

CONTAINER = "worker"
DEVICES = "devices"
QUEUE_LABEL = "kueue.x-k8s.io/queue-name"
PREFIX = "platform-pipelines"
SPEC_DIGEST = f"{PREFIX}/spec-digest"
MANAGED = {"app.kubernetes.io/managed-by": PREFIX}
OWNER = f"{PREFIX}/owner"
# The same again ends the same way: two codes of `worker`, and the kernel's kill for memory. When a
# pod is deleted, its worker is asked to end, and ends with 75.
EXIT_UNUSABLE, EXIT_TERMINAL, EXIT_KILLED = 2, 65, 137
USER = 65532
HOUR = 3600


# What reads what others wrote, or holds an engine, has an image with only what it needs.
IMAGE_CLASS = "{class}"
_CLASSES = {"documents": "parse", "chunks": "parse", "vectors": "embed", "evidence": "evaluation"}


@dataclass(frozen=True, slots=True)
class PodSettings:
    """What all task pods of a deployment share. `{class}` in `image` is the class of a task."""

    namespace: str
    image: str
    config_maps: Sequence[str] = ()  # whose keys are environment variables
    secrets: Sequence[str] = ()
    service_account: str | None = None
    queue: str | None = None  # a Kueue LocalQueue; None: no Kueue
    labels: Mapping[str, str] = field(default_factory=dict[str, str])

    def for_operation(self, operation: str) -> "PodSettings":
        """These, with the image of an operation's class: `parse`, `embed`, `evaluation`, `code`."""
        found = _CLASSES.get(operation.partition(".")[0], "code")
        return replace(self, image=self.image.replace(IMAGE_CLASS, found))


def job_name(stage: str, plan: str) -> str:
    """Deterministic: a run that is started again finds the Job of the one before."""
    return f"{stage.replace('_', '-')}-{plan[:20]}"


def indexed_job(
    profile: ComputeProfile,
    pods: PodSettings,
    *,
    name: str,
    plan_key: str,
    tasks: int,
    owner: str,
    stage: str,
) -> Manifest:
    """One Job whose index N runs task N of the plan. Its annotation names its own content."""
    labels = _labels(pods, owner, stage)
    spec: Manifest = {
        "completionMode": "Indexed",
        "completions": tasks,
        "parallelism": min(tasks, profile.parallelism),
        "backoffLimitPerIndex": profile.retries,
        "maxFailedIndexes": tasks,
        "activeDeadlineSeconds": profile.deadline_seconds,
        "ttlSecondsAfterFinished": HOUR,
        "podReplacementPolicy": "Failed",
        "podFailurePolicy": {"rules": _failure_rules()},
        "template": {
            "metadata": {"labels": {**labels, f"{PREFIX}/profile": profile.name}},
            "spec": pod_spec(
                profile, pods, arguments=["-m", "platform_pipelines.worker", "--plan", plan_key]
            ),
        },
    }
    if pods.queue:
        labels = {**labels, QUEUE_LABEL: pods.queue}
        spec["suspend"] = True  # Kueue admits it
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": name,
            "namespace": pods.namespace,
            "labels": labels,
            "annotations": {SPEC_DIGEST: digest_json(spec)},
        },
        "spec": spec,
    }


def pod_spec(profile: ComputeProfile, pods: PodSettings, *, arguments: Sequence[str]) -> Manifest:
    """The pod of one task."""
    spec: Manifest = {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": 30,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": USER,
            "runAsGroup": USER,
            "fsGroup": USER,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "nodeSelector": profile.node_labels(),
        "tolerations": [one.manifest() for one in profile.tolerations],
        "containers": [_container(profile, pods, arguments)],
        "volumes": _volumes(profile),
    }
    if profile.engine:
        claims: list[Manifest] = [{"name": DEVICES}] if profile.devices else []
        spec["initContainers"] = [
            engine_container(
                profile.engine, limits=_devices(profile), claims=claims, mounts=_mounts(profile)
            )
        ]
    if pods.service_account:
        spec["serviceAccountName"] = pods.service_account
    if profile.devices:
        spec["resourceClaims"] = [{"name": DEVICES, "resourceClaimTemplateName": profile.name}]
    if profile.priority_class:
        spec["priorityClassName"] = profile.priority_class
    if profile.spread:
        spec["topologySpreadConstraints"] = [
            {
                "maxSkew": 1,
                "topologyKey": "kubernetes.io/hostname",
                "whenUnsatisfiable": "ScheduleAnyway",
                "labelSelector": {"matchLabels": {f"{PREFIX}/profile": profile.name}},
            }
        ]
    return spec


def _failure_rules() -> list[Manifest]:
    """A lost node costs no try; an error that would come again costs all of its index's."""
    terminal = {
        "containerName": CONTAINER,
        "operator": "In",
        "values": [EXIT_UNUSABLE, EXIT_TERMINAL, EXIT_KILLED],
    }
    return [
        {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
        {"action": "FailIndex", "onExitCodes": terminal},
    ]


def _labels(pods: PodSettings, owner: str, stage: str) -> dict[str, str]:
    return {
        **MANAGED,
        OWNER: owner,
        f"{PREFIX}/stage": stage,
        **pods.labels,
    }


def _container(profile: ComputeProfile, pods: PodSettings, arguments: Sequence[str]) -> Manifest:
    sources: list[Manifest] = [{"configMapRef": {"name": name}} for name in pods.config_maps]
    sources += [{"secretRef": {"name": name}} for name in pods.secrets]
    told = [{"name": EMBEDDER_URL, "value": loopback_url(profile.engine)}] if profile.engine else []
    return {
        "name": CONTAINER,
        "image": profile.image or pods.image,
        "imagePullPolicy": "IfNotPresent",
        "command": ["python", *arguments],
        "env": [
            {"name": "HOME", "value": "/tmp"},  # noqa: S108
            {"name": "PLATFORM_HOME", "value": "/tmp/platform"},  # noqa: S108
            *told,
        ],
        "envFrom": sources,
        "resources": _resources(profile),
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": _mounts(profile),
        "terminationMessagePolicy": "FallbackToLogsOnError",
    }


def _mounts(profile: ComputeProfile) -> list[Manifest]:
    mounts: list[Manifest] = [{"name": "tmp", "mountPath": "/tmp"}]  # noqa: S108 - the pod's own
    if profile.shared_memory:
        mounts.append({"name": "shm", "mountPath": "/dev/shm"})  # noqa: S108
    return mounts


def _devices(profile: ComputeProfile) -> dict[str, str]:
    """The whole or part GPUs that a container's limits name; a claim names its own."""
    if profile.devices or not profile.gpu:
        return {}
    return {profile.gpu_resource: str(profile.gpu)}


def _resources(profile: ComputeProfile) -> Manifest:
    """Of the worker: with an engine beside it, that one has the devices."""
    requests = {"cpu": profile.cpu_request, "memory": profile.memory}
    limits: dict[str, str] = {"memory": profile.memory}
    if profile.cpu_limit:
        limits["cpu"] = profile.cpu_limit
    if profile.engine:
        return {"requests": requests, "limits": limits}
    if profile.devices:
        return {"requests": requests, "limits": limits, "claims": [{"name": DEVICES}]}
    return {"requests": requests, "limits": {**limits, **_devices(profile)}}


def _volumes(profile: ComputeProfile) -> list[Manifest]:
    volumes: list[Manifest] = [{"name": "tmp", "emptyDir": {"sizeLimit": profile.scratch}}]
    if profile.shared_memory:
        memory = {"medium": "Memory", "sizeLimit": profile.shared_memory}
        volumes.append({"name": "shm", "emptyDir": memory})
    if profile.engine:
        volumes.append(cache_volume(profile.engine))
    return volumes
