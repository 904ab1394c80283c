"""Two tenants on one cluster: what people of one may do in the other's namespaces is nothing."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from pathlib import Path

import pytest

from platform_pipelines.core.road.manifests import key_of
from platform_pipelines.core.tenant.declaration import TenantSpec
from platform_pipelines.core.tenant.render import render_tenant
from platform_pipelines.gateways.cluster.connection import Connection
from platform_pipelines.stages.road.applied import refresh_applied, refresh_manifests
from platform_pipelines.stages.road.clusters import Applied, open_applied
from tests.knowledge import settings_under
from tests.platform_sample import connected, kubeconfig, tenant

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(240)]
RESOURCES = (
    ("", "pods"), ("", "services"), ("", "secrets"), ("", "configmaps"), ("", "pods/log"),
    ("", "pods/exec"), ("", "serviceaccounts"), ("apps", "deployments"), ("batch", "jobs"),
    ("kagent.dev", "agents"), ("keda.sh", "scaledobjects"), ("", "resourcequotas"),
    ("networking.k8s.io", "networkpolicies"), ("rbac.authorization.k8s.io", "rolebindings"),
)  # fmt: skip
VERBS = ("get", "list", "watch", "create", "update", "patch", "delete")
SPACES = ("agents", "data", "inference")


def declared(name: str) -> TenantSpec:
    people = {"operators": f"{name}-operators", "viewers": f"{name}-viewers"}
    return tenant(name=f"pp_plane_{name}", people=people, apply={"mode": "apply"})


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Connection]:
    """Two tenants, applied; their namespaces go afterwards."""
    home: Path = tmp_path_factory.mktemp("isolation")
    settings = replace(settings_under(home, None), kubeconfig=kubeconfig())
    specs = [declared("one"), declared("two")]
    for spec in specs:
        applied = Applied("tenant", spec, lambda spec=spec: render_tenant(spec))
        opened = open_applied(applied, settings, timeout_seconds=120)
        refresh_manifests(opened)
        refresh_applied(opened)
    with connected() as (connection, cluster):
        yield connection
        for manifest in (one for spec in specs for one in render_tenant(spec)):
            key = key_of(manifest)
            if key.namespace == "" and (live := cluster.get(key)) is not None:
                cluster.delete(live)


def may(connection: Connection, group: str, verb: str, resource: tuple[str, str], at: str) -> bool:
    """What the API server's authoriser says of somebody in this group."""
    api, kind = resource
    name, _, sub = kind.partition("/")
    attributes = {"namespace": at, "verb": verb, "group": api, "resource": name}
    spec = {
        "user": "somebody",
        "groups": [group, "system:authenticated"],
        "resourceAttributes": {**attributes, **({"subresource": sub} if sub else {})},
    }
    path = "/apis/authorization.k8s.io/v1/subjectaccessreviews"
    body = {
        "apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview", "spec": spec
    }  # fmt: skip
    return bool(connection.request("POST", path, body=body)["status"]["allowed"])


def test_nobody_of_one_tenant_may_do_anything_in_the_other(both: Connection) -> None:
    """1,176 attempts: two roles, 14 resources, 7 verbs, 3 namespaces, both ways."""
    tried, allowed = 0, list[str]()
    for mine, other in (("one", "two"), ("two", "one")):
        for role, resource, verb, space in product(
            ("operators", "viewers"), RESOURCES, VERBS, SPACES
        ):
            tried += 1
            if may(both, f"{mine}-{role}", verb, resource, f"pp-plane-{other}-{space}"):
                allowed.append(f"{mine}-{role} {verb} {resource} in {other}-{space}")
    assert (tried, allowed) == (1176, [])


def test_operators_work_in_their_own_and_viewers_only_read(both: Connection) -> None:
    """Walls that let nobody in would pass the test above."""
    at = "pp-plane-one-agents"
    assert may(both, "one-operators", "create", ("apps", "deployments"), at)
    assert may(both, "one-viewers", "list", ("", "pods"), at)
    assert not may(both, "one-viewers", "delete", ("", "pods"), at)
    for resource in (("", "secrets"), ("", "resourcequotas"), ("", "pods/exec")):
        assert not may(both, "one-operators", "create", resource, at)
