"""The pod in which code that an agent wrote runs: alone, without rights, network or a token.

Nothing of the agent's process is in it. Its namespace is at the level `restricted`, a NetworkPolicy
lets nothing in or out, the agent's service account may make Jobs there and nowhere else.
"""

from collections.abc import Iterator
from typing import Any

from platform_pipelines.core.agent.declaration import AgentSpec, SandboxSpec
from platform_pipelines.core.road import rendering
from platform_pipelines.core.road.manifests import Manifest
from platform_pipelines.core.road.rendering import kube

LABEL = "platform-pipelines.io/sandbox-of"
CONTAINER = "code"
TOKEN_FOLDER = "/var/run/secrets/kubernetes.io/serviceaccount"  # noqa: S105 - a folder
MAXIMUM_CODE_BYTES = 60_000  # of one argument; Linux allows 128 KiB
_KEPT_SECONDS = 120


def sandbox_job(sandbox: SandboxSpec, agent: str, name: str, code: str) -> Manifest:
    """One call: a Job of one pod, tried once, ended after its seconds and deleted soon after."""
    labels = {LABEL: agent}
    volumes, mounts = rendering.writable("/tmp")  # noqa: S108 - a folder of the pod's own
    volumes[0]["emptyDir"] = {"sizeLimit": "64Mi"}
    limits = {"cpu": sandbox.cpu, "memory": sandbox.memory, "ephemeral-storage": "128Mi"}
    container: dict[str, Any] = {
        "name": CONTAINER,
        "image": sandbox.image,
        "command": ["python", "-I", "-c", code],
        "resources": {"requests": limits, "limits": limits},
        "securityContext": rendering.locked_container(),
        "volumeMounts": mounts,
        "terminationMessagePolicy": "FallbackToLogsOnError",
    }
    pod = {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": 1,
        "dnsPolicy": "Default",
        "securityContext": rendering.locked_pod(),
        "containers": [container],
        "volumes": volumes,
    }
    spec = {
        "backoffLimit": 0,
        "activeDeadlineSeconds": sandbox.seconds,
        "ttlSecondsAfterFinished": _KEPT_SECONDS,
        "template": {"metadata": {"labels": labels}, "spec": pod},
    }
    return kube("batch/v1", "Job", name, namespace=sandbox.namespace, labels=labels, spec=spec)


def sandbox_access(spec: AgentSpec, labels: dict[str, str]) -> Iterator[Manifest]:
    """The agent's identity, what it may do in the sandbox's namespace, and the closed network."""
    assert spec.sandbox is not None
    at = spec.sandbox.namespace
    yield rendering.service_account(spec.slug, spec.namespace, labels)
    rules = [
        {"apiGroups": ["batch"], "resources": ["jobs"], "verbs": ["create", "get", "delete"]},
        {"apiGroups": [""], "resources": ["pods"], "verbs": ["list"]},
        {"apiGroups": [""], "resources": ["pods/log"], "verbs": ["get"]},
    ]
    name = f"{spec.slug}-sandbox"
    yield kube(
        "rbac.authorization.k8s.io/v1", "Role", name, namespace=at, labels=labels, rules=rules
    )
    yield kube(
        "rbac.authorization.k8s.io/v1", "RoleBinding", name, namespace=at, labels=labels,
        roleRef={"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name},
        subjects=[
            {"kind": "ServiceAccount", "name": spec.slug, "namespace": spec.namespace}
        ],
    )  # fmt: skip
    yield kube(
        "networking.k8s.io/v1", "NetworkPolicy", name, namespace=at, labels=labels,
        spec={
            "podSelector": {"matchLabels": {LABEL: spec.slug}},
            "policyTypes": ["Ingress", "Egress"],
        },
    )  # fmt: skip


def token_volume() -> dict[str, Any]:
    """The agent's token, for the API server alone; its other containers have none."""
    sources: list[dict[str, Any]] = [
        {"serviceAccountToken": {"path": "token", "expirationSeconds": 3600}},
        {
            "configMap": {
                "name": "kube-root-ca.crt",
                "items": [{"key": "ca.crt", "path": "ca.crt"}],
            }
        },
    ]
    return {"name": "api-token", "projected": {"sources": sources}}
