"""The sample platform on a real cluster, through Dagster: applied, drifted, rolled back, pruned."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from platform_pipelines.core.road.drift import DriftKind
from platform_pipelines.core.road.manifests import ObjectKey, key_of, revision_of
from platform_pipelines.core.tenant.render import render_tenant
from platform_pipelines.errors import GateFailedError, ManifestRefusedError, OwnershipError
from platform_pipelines.gateways.cluster.connection import Connection
from platform_pipelines.gateways.cluster.manifests import KubernetesCluster
from platform_pipelines.settings import Settings
from platform_pipelines.stages.road.applied import (
    AppliedWorkspace,
    find_drift,
    refresh_applied,
    refresh_manifests,
    roll_back_applied,
)
from platform_pipelines.stages.road.clusters import Applied, open_applied
from tests.declared import definitions, use_settings
from tests.knowledge import settings_under
from tests.platform_sample import connected, kubeconfig, tenant
from tests.servers.milvus_server import wait_until

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(240)]
NAME = "pp_plane_road"
SPACE = "pp-plane-road-agents"
QUOTA = ObjectKey("v1", "ResourceQuota", SPACE, "tenant")
APPLY = {"mode": "apply"}


@pytest.fixture(scope="module")
def both() -> Iterator[tuple[Connection, KubernetesCluster]]:
    with connected() as pair:
        yield pair


@pytest.fixture
def cluster(both: tuple[Connection, KubernetesCluster]) -> KubernetesCluster:
    return both[1]


@pytest.fixture
def cluster_settings(tmp_path: Path) -> Iterator[Settings]:
    """A platform of its own; what it put on the cluster goes afterwards."""
    settings = replace(settings_under(tmp_path / "home", None), kubeconfig=kubeconfig())
    yield settings
    with connected() as (connection, cluster):
        for manifest in render_tenant(tenant(name=NAME)):
            key = key_of(manifest)
            if key.namespace == "" and (live := cluster.get(key)) is not None:
                cluster.delete(live)
        _wait_gone(connection)


def _wait_gone(connection: Connection) -> None:
    """Until the namespaces are gone: the next test makes them again."""

    def gone() -> bool:
        listed = connection.request("GET", "/api/v1/namespaces")["items"]
        return not any(one["metadata"]["name"].startswith("pp-plane-road") for one in listed)

    wait_until(gone, seconds=90)


def workspace(settings: Settings, **changes: Any) -> AppliedWorkspace:
    spec = tenant(name=NAME, spaces={"agents": changes.pop("space", {})}, apply=APPLY, **changes)
    applied = Applied("tenant", spec, lambda: render_tenant(spec))
    return open_applied(applied, settings, run_id="run", timeout_seconds=120)


def apply(settings: Settings, **changes: Any) -> AppliedWorkspace:
    opened = workspace(settings, **changes)
    refresh_manifests(opened)
    refresh_applied(opened)
    return opened


def hard(cluster: KubernetesCluster) -> dict[str, str]:
    live = cluster.get(QUOTA)
    assert live is not None
    return dict(live["spec"]["hard"])


def test_applied_is_live_a_drift_by_hand_is_found_and_applying_again_mends_it(
    cluster_settings: Settings, both: tuple[Connection, KubernetesCluster]
) -> None:
    """Defaulted fields are no drift; a changed, an added and a deleted thing are."""
    connection, cluster = both
    opened = apply(cluster_settings)
    assert find_drift(opened) == ()
    by_hand = {"content_type": "application/merge-patch+json", "query": {"fieldManager": "person"}}
    path = f"/api/v1/namespaces/{SPACE}/resourcequotas/tenant"
    connection.request("PATCH", path, body={"spec": {"hard": {"pods": "999"}}}, **by_hand)  # pyright: ignore[reportArgumentType]
    path = f"/api/v1/namespaces/{SPACE}/serviceaccounts/workload"
    connection.request("PATCH", path, body={"metadata": {"labels": {"by": "hand"}}}, **by_hand)  # pyright: ignore[reportArgumentType]
    policy = cluster.get(ObjectKey("networking.k8s.io/v1", "NetworkPolicy", SPACE, "default-deny"))
    assert policy is not None
    cluster.delete(policy)
    found = {one.key.kind: one for one in find_drift(opened)}
    assert {kind: one.kind for kind, one in found.items()} == {
        "ResourceQuota": DriftKind.CHANGED,
        "ServiceAccount": DriftKind.ADDED,
        "NetworkPolicy": DriftKind.MISSING,
    }
    quota = found["ResourceQuota"]
    assert [(f.path, f.before, f.after) for f in quota.fields] == [("spec.hard.pods", "200", "999")]
    assert quota.who == ("person",)
    refresh_applied(opened)
    assert {one.key.kind for one in find_drift(opened)} == {"ServiceAccount"}  # theirs stays theirs
    assert hard(cluster)["pods"] == "200"


def test_rollback_brings_the_earlier_revision_back_and_prunes_what_it_lacks(
    cluster_settings: Settings, cluster: KubernetesCluster
) -> None:
    """What the later revision added goes; what it changed is as it was."""
    apply(cluster_settings)
    first = refresh_manifests(workspace(cluster_settings)).snapshot.details["revision"]
    quota = {"pods": 7}
    opened = apply(cluster_settings, space={"quota": quota}, people={"operators": "new"})
    assert hard(cluster)["pods"] == "7"
    binding = ObjectKey("rbac.authorization.k8s.io/v1", "RoleBinding", SPACE, "tenant-viewer")
    assert cluster.get(binding) is None  # the second has no viewers: pruned
    entry = roll_back_applied(opened, reason="test")
    assert entry.revision == first
    assert hard(cluster)["pods"] == "200"
    assert cluster.get(binding) is not None
    assert find_drift(opened) == ()


def test_pruning_touches_nothing_that_it_does_not_own(
    cluster_settings: Settings, both: tuple[Connection, KubernetesCluster]
) -> None:
    """Neither another's object, nor one with our labels that somebody else applied."""
    connection, cluster = both
    opened = apply(cluster_settings)
    ours = revision_of(NAME, opened.installation, ())
    copied = {"apiVersion": "v1", "kind": "ServiceAccount"}
    labels = {
        "app.kubernetes.io/managed-by": "platform-pipelines",
        "platform-pipelines.io/owner": ours.owner,
        "platform-pipelines.io/installation": ours.installation,
    }
    path = f"/api/v1/namespaces/{SPACE}/serviceaccounts"
    for name, marks in (("foreign", {}), ("copied", labels)):
        body = {**copied, "metadata": {"name": name, "labels": marks}}
        connection.request("POST", path, body=body)
    opened = apply(cluster_settings, space={"quota": {"pods": 8}})
    for name in ("foreign", "copied"):
        assert cluster.get(ObjectKey("v1", "ServiceAccount", SPACE, name)) is not None
    assert [(one.key.name, one.kind) for one in find_drift(opened)] == [("copied", DriftKind.EXTRA)]


def test_nothing_is_written_when_one_object_is_refused(
    cluster_settings: Settings, cluster: KubernetesCluster
) -> None:
    """Half a configuration is worse than none: all is asked before anything is applied."""
    with pytest.raises(GateFailedError, match="admitted"):
        apply(cluster_settings, admission={"registries": ["it's'/"]})  # CEL that does not compile
    assert cluster.get(ObjectKey("v1", "Namespace", "", SPACE)) is None


def test_what_belongs_to_another_platform_is_not_taken(
    cluster_settings: Settings, cluster: KubernetesCluster, tmp_path: Path
) -> None:
    """Two platforms on one cluster may declare one name; the first has it."""
    apply(cluster_settings)
    other = replace(cluster_settings, store_url=(tmp_path / "other").as_uri())
    with pytest.raises(OwnershipError, match="is not ours"):
        apply(other, space={"quota": {"pods": 3}})
    assert hard(cluster)["pods"] == "200"


def test_a_run_killed_while_it_applies_is_finished_by_the_next(
    cluster_settings: Settings, cluster: KubernetesCluster
) -> None:
    """The log says what is live; the cluster follows it, whatever was half done."""

    class Dying:
        """Applies so many objects, then the process is gone."""

        def __init__(self, left: int) -> None:
            self.left = left

        def apply(self, manifest: Any, *, dry_run: bool = False, force: bool = False) -> Any:
            if not dry_run:
                if self.left == 0:
                    raise KeyboardInterrupt
                self.left -= 1
            return cluster.apply(manifest, dry_run=dry_run, force=force)

        def __getattr__(self, name: str) -> Any:
            return getattr(cluster, name)

    for left in (0, 5, 12):
        opened = replace(workspace(cluster_settings), open_cluster=lambda left=left: Dying(left))
        refresh_manifests(opened)
        with pytest.raises(KeyboardInterrupt):
            refresh_applied(opened)
    assert find_drift(workspace(cluster_settings)) != ()
    opened = apply(cluster_settings)
    assert find_drift(opened) == ()


def test_the_whole_through_dagster(
    cluster_settings: Settings, monkeypatch: pytest.MonkeyPatch, cluster: KubernetesCluster
) -> None:
    """Jobs, checks and pages as a person starts and reads them; dry run is the default."""
    use_settings(monkeypatch, cluster_settings)
    monkeypatch.setenv("PLATFORM_KUBECONFIG", str(cluster_settings.kubeconfig))
    declared = {"name": NAME, "spaces": {"agents": {}}, "people": {"operators": "ops"}}
    with definitions(_text(declared)) as defs:
        assert _run(defs, f"{NAME}_apply")["applied"]["mode"] == "dry_run"
    assert cluster.get(ObjectKey("v1", "Namespace", "", SPACE)) is None
    with definitions(_text({**declared, "apply": APPLY})) as defs:
        pages = _run(defs, f"{NAME}_apply")
        assert pages["applied"]["status"] == "released"
        assert pages["applied"]["verdict"] == "pass"
        assert pages["manifests"]["objects"] == pages["applied"]["objects"]
        live = cluster.get(ObjectKey("v1", "ServiceAccount", SPACE, "workload"))
        assert live is not None
        cluster.delete(live)
        checked = defs.resolve_job_def(f"{NAME}_drift").execute_in_process()
        (seen,) = checked.get_asset_check_evaluations()
        assert not seen.passed
        assert f"ServiceAccount {SPACE}/workload: missing" in str(seen.description)
        _run(defs, f"{NAME}_apply")
        checked = defs.resolve_job_def(f"{NAME}_drift").execute_in_process()
        assert [one.passed for one in checked.get_asset_check_evaluations()] == [True]


def test_the_admission_policies_refuse_pods_of_the_tenant(
    cluster_settings: Settings, both: tuple[Connection, KubernetesCluster]
) -> None:
    """An image that moves, a foreign registry, a privileged pod, and more than the quota."""
    apply(cluster_settings, space={"quota": {"pods": 1}}, admission={"registries": ["ghcr.io/"]})
    connection, _ = both
    path = f"/api/v1/namespaces/{SPACE}/pods"
    moving = "ghcr.io/a:" + "latest"
    for image, privileged, why in (
        (moving, False, "names a version"),
        ("docker.io/a:1", False, "comes from ghcr.io/"),
        ("ghcr.io/a:1", True, "violates PodSecurity"),
    ):
        pod = _pod(image, privileged=privileged)
        # A policy holds once the server's own watch has seen it, a second or two later.
        wait_until(lambda pod=pod, why=why: _is_refused(connection, path, pod, why), seconds=20)
    connection.request("POST", path, body=_pod("ghcr.io/a:1"))
    with pytest.raises(ManifestRefusedError, match="exceeded quota"):
        connection.request("POST", path, body=_pod("ghcr.io/a:1", name="second"))


def _is_refused(connection: Connection, path: str, pod: dict[str, Any], why: str) -> bool:
    try:
        connection.request("POST", path, body=pod, query={"dryRun": "All"})
    except ManifestRefusedError as error:
        return why in str(error)
    return False


def _pod(image: str, *, privileged: bool = False, name: str = "first") -> dict[str, Any]:
    container = {
        "name": "c",
        "image": image,
        "resources": {"limits": {"memory": "64Mi", "cpu": "10m"}},
        "securityContext": {"privileged": privileged},
    }
    spec = {"containers": [container], "nodeSelector": {"no": "node"}}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}


def _text(attributes: dict[str, Any]) -> str:
    import yaml

    return yaml.safe_dump(
        {"type": "platform_pipelines.components.Tenant", "attributes": attributes}
    )


def _run(defs: dg.Definitions, job: str) -> dict[str, dict[str, Any]]:
    """Run a job; the pages of its assets."""
    with dg.DagsterInstance.ephemeral() as instance:
        done = defs.resolve_job_def(job).execute_in_process(instance=instance)
        assert done.success
        events = done.get_asset_materialization_events()
    return {
        one.materialization.asset_key.path[-1]: {
            name: value.value for name, value in one.materialization.metadata.items()
        }
        for one in events
    }
