"""What a tenant renders: the seed values, its walls, its rights, and what it may not declare."""

from collections.abc import Mapping
from typing import Any

import pytest

from platform_pipelines.core.road.manifests import Manifest
from platform_pipelines.core.tenant.declaration import PRIVATE_RANGES
from platform_pipelines.core.tenant.policies import render_kyverno
from platform_pipelines.core.tenant.render import render_tenant
from platform_pipelines.errors import ConfigurationError
from tests.platform_sample import tenant


def found(manifests: tuple[Manifest, ...], kind: str, space: str, name: str) -> Mapping[str, Any]:
    (one,) = [
        m for m in manifests
        if (m["kind"], m["metadata"].get("namespace"), m["metadata"]["name"])
        == (kind, f"acme-{space}", name)
    ]  # fmt: skip
    return one


def test_the_seed_quotas() -> None:
    """A team's share, and what serving models takes."""
    rendered = render_tenant(tenant())
    quotas = {
        space: found(rendered, "ResourceQuota", space, "tenant")["spec"]["hard"]
        for space in ("agents", "inference")
    }
    seed = ("requests.nvidia.com/gpu", "requests.cpu", "limits.cpu", "requests.memory",
            "limits.memory", "pods", "services", "persistentvolumeclaims")  # fmt: skip
    assert [quotas["agents"][n] for n in seed[:-1]] == [
        "4", "20", "40", "40Gi", "80Gi", "200", "10",
    ]  # fmt: skip
    assert [quotas["inference"][n] for n in seed] == [
        "32", "100", "200", "500Gi", "1Ti", "50", "10", "50",
    ]  # fmt: skip


def test_the_levels_of_pod_security() -> None:
    """Agents and data baseline; the gateway and inference restricted."""
    spaces = {"agents": {}, "data": {}, "inference": {}, "gateway": {}}
    levels = {
        m["metadata"]["name"]: m["metadata"]["labels"]["pod-security.kubernetes.io/enforce"]
        for m in render_tenant(tenant(spaces=spaces)) if m["kind"] == "Namespace"
    }  # fmt: skip
    assert levels == {
        "acme-agents": "baseline", "acme-data": "baseline",
        "acme-inference": "restricted", "acme-gateway": "restricted",
    }  # fmt: skip


def test_nothing_is_reached_but_what_is_named() -> None:
    """Default deny both ways; port 443 of public addresses, never the node's metadata."""
    rendered = render_tenant(tenant())
    deny = found(rendered, "NetworkPolicy", "data", "default-deny")["spec"]
    assert deny == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    (rule,) = found(rendered, "NetworkPolicy", "data", "internet")["spec"]["egress"]
    assert rule["ports"] == [{"protocol": "TCP", "port": 443}]
    assert rule["to"][0]["ipBlock"]["except"] == list(PRIVATE_RANGES)
    assert "169.254.0.0/16" in PRIVATE_RANGES
    own = found(rendered, "NetworkPolicy", "data", "own")["spec"]
    reached = [p["namespaceSelector"]["matchLabels"] for p in own["egress"][0]["to"]]
    assert reached == [
        {"kubernetes.io/metadata.name": f"acme-{s}"} for s in ("agents", "data", "inference")
    ]


def test_an_operator_changes_workloads_and_neither_walls_nor_secrets() -> None:
    """Who may change a quota has none."""
    rules = found(render_tenant(tenant()), "Role", "agents", "tenant-operator")["rules"]
    kinds = {kind for rule in rules for kind in rule["resources"]}
    assert {"deployments", "agents", "jobs"} <= kinds
    assert not kinds & {
        "secrets", "roles", "rolebindings", "resourcequotas", "limitranges", "networkpolicies",
        "namespaces", "externalsecrets", "serviceaccounts",
    }  # fmt: skip
    viewer = found(render_tenant(tenant()), "Role", "agents", "tenant-viewer")["rules"]
    assert {verb for rule in viewer for verb in rule["verbs"]} == {"get", "list", "watch"}


def test_nodes_of_its_own_are_demanded_by_admission() -> None:
    """A label on a namespace alone keeps no pod from another's nodes."""
    rendered = render_tenant(tenant(isolation="node_pool", node_pool="acme"))
    names = {m["metadata"]["name"] for m in rendered if m["kind"] == "ValidatingAdmissionPolicy"}
    assert names == {"acme-images", "acme-exposure", "acme-node-pool"}


def test_kyverno_has_the_same_rules() -> None:
    """Two forms of one rule must not part."""
    spec = tenant()
    native = {
        m["metadata"]["name"]: m["spec"]["validations"]
        for m in render_tenant(spec) if m["kind"] == "ValidatingAdmissionPolicy"
    }  # fmt: skip
    kyverno = {m["metadata"]["name"]: m["spec"]["validations"] for m in render_kyverno(spec, {})}
    assert kyverno == native


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"isolation": "node_pool"}, "`node_pool` goes with isolation"),
        ({"context": "other"}, "`context` goes with isolation"),
        ({"spaces": {"agents": {"level": "privileged"}}}, "never own their node"),
        ({"spaces": {"web": {}}}, "spaces.web"),
        ({"spaces": {"agents": {"quota": {"cpu": "many"}}}}, "quota.cpu = 'many'"),
    ],
)
def test_what_would_open_a_wall_is_refused(change: dict[str, Any], told: str) -> None:
    """By the field's name."""
    with pytest.raises(ConfigurationError, match=told):
        tenant(**change)
