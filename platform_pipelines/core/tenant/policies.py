"""Admission policies of a tenant: what the API server refuses, in CEL; Kyverno's form beside it."""

from collections.abc import Iterator
from typing import Any

from platform_pipelines.core.road.manifests import Manifest
from platform_pipelines.core.road.rendering import kube
from platform_pipelines.core.tenant.declaration import TenantSpec

TENANT = "platform-pipelines.io/tenant"
ADMISSION = "admissionregistration.k8s.io/v1"
_CONTAINERS = "object.spec.containers + object.spec.?initContainers.orValue([])"


def render_policies(spec: TenantSpec, labels: dict[str, str]) -> Iterator[Manifest]:
    """ValidatingAdmissionPolicies, bound to the tenant's namespaces alone."""
    for name, body in policies(spec).items():
        full = f"{spec.slug}-{name}"
        policy = {"failurePolicy": "Fail", **body}
        yield kube(ADMISSION, "ValidatingAdmissionPolicy", full, labels=labels, spec=policy)
        yield kube(
            ADMISSION, "ValidatingAdmissionPolicyBinding", full, labels=labels,
            spec={
                "policyName": full,
                "validationActions": ["Deny", "Audit"],
                "matchResources": {
                    "namespaceSelector": {"matchLabels": {TENANT: spec.slug}}
                },
            },
        )  # fmt: skip


def render_kyverno(spec: TenantSpec, labels: dict[str, str]) -> Iterator[Manifest]:
    """The same rules for clusters that run Kyverno (1.15 or later). Not run by our tests."""
    for name, body in policies(spec).items():
        matched = {**body["matchConstraints"]}
        matched["namespaceSelector"] = {"matchLabels": {TENANT: spec.slug}}
        yield kube(
            "policies.kyverno.io/v1", "ValidatingPolicy", f"{spec.slug}-{name}", labels=labels,
            spec={**body, "matchConstraints": matched, "validationActions": ["Deny", "Audit"]},
        )  # fmt: skip


def policies(spec: TenantSpec) -> dict[str, dict[str, Any]]:
    """Name -> matched objects and rules."""
    found = {"images": _images(spec), "exposure": _exposure()}
    if spec.node_pool is not None:
        found["node-pool"] = _node_pool(spec.node_pool)
    return found


def _images(spec: TenantSpec) -> dict[str, Any]:
    tagged = (
        "variables.containers.all(c, c.image.contains('@sha256:') || "
        "(c.image.matches(':[A-Za-z0-9_][A-Za-z0-9_.-]*$') && !c.image.endsWith(':latest')))"
    )
    rules = [{"expression": tagged, "message": "an image names a version or a digest"}]
    if spec.admission.registries:
        listed = ", ".join(f"'{prefix}'" for prefix in spec.admission.registries)
        rules.append(
            {
                "expression": "variables.containers.all(c, "
                f"[{listed}].exists(p, c.image.startsWith(p)))",
                "message": f"an image comes from {', '.join(spec.admission.registries)}",
            }
        )
    return {
        "matchConstraints": _matched("", "pods"),
        "variables": [{"name": "containers", "expression": _CONTAINERS}],
        "validations": rules,
    }


def _exposure() -> dict[str, Any]:
    closed = (
        "(!has(object.spec.type) || object.spec.type in ['ClusterIP', 'ExternalName'])"
        " && object.spec.?externalIPs.orValue([]).size() == 0"
    )
    return {
        "matchConstraints": _matched("", "services"),
        "validations": [
            {"expression": closed, "message": "a tenant is reached through the gateway alone"}
        ],
    }


def _node_pool(pool: str) -> dict[str, Any]:
    stays = f"object.spec.?nodeSelector['karpenter.sh/nodepool'].orValue('') == '{pool}'"
    return {
        "matchConstraints": _matched("", "pods"),
        "validations": [
            {"expression": stays, "message": f"nodeSelector karpenter.sh/nodepool is {pool}"}
        ],
    }


def _matched(group: str, resource: str) -> dict[str, Any]:
    rule = {
        "apiGroups": [group],
        "apiVersions": ["v1"],
        "operations": ["CREATE", "UPDATE"],
        "resources": [resource],
    }
    return {"resourceRules": [rule]}
