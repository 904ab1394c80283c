"""The rendered fleet before the real Karpenter and the real Kueue of the cluster under test.

Karpenter runs with its kwok provider, which starts pretended nodes. It has no labels of AWS: in the
pools under test `nodeClassRef` is kwok's, and an instance family stands for its types.
"""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from platform_pipelines.compute.pod_specs import PodSettings, indexed_job
from platform_pipelines.core.compute_fleet.render import render_fleet
from platform_pipelines.core.road.compute_profiles import seed_profiles
from platform_pipelines.core.road.manifests import Manifest, key_of
from platform_pipelines.core.road.rendering import kube
from platform_pipelines.errors import PlatformError, SourceNotFoundError
from platform_pipelines.gateways.cluster.connection import Connection
from platform_pipelines.gateways.cluster.manifests import KubernetesCluster
from tests.platform_sample import connected, fleet
from tests.servers.for_pods import IMAGE, Space, restricted_namespace
from tests.servers.milvus_server import wait_until

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(400)]
FAMILY, TYPE = "karpenter.k8s.aws/instance-family", "node.kubernetes.io/instance-type"
WHOLE_GPUS = [
    name
    for name, profile in seed_profiles().items()
    if profile.nodes and profile.gpu_resource == "nvidia.com/gpu"
]


def controller(connection: Connection, namespace: str, name: str) -> None:
    """Skips where an add-on is not there."""
    try:
        connection.request("GET", f"/apis/apps/v1/namespaces/{namespace}/deployments/{name}")
    except SourceNotFoundError:
        pytest.skip(f"the cluster has no {name}")


@pytest.fixture(scope="module")
def cluster() -> Iterator[tuple[Connection, KubernetesCluster]]:
    with connected() as (connection, cluster):
        yield connection, cluster


@pytest.fixture
def space(cluster: tuple[Connection, KubernetesCluster]) -> Iterator[Space]:
    with restricted_namespace(cluster[0], "pp-cluster-fleet") as made:
        yield made


def told(job: Manifest, space: Space) -> str:
    """Send a Job; its name."""
    job["metadata"]["namespace"] = space.name
    path = f"/apis/batch/v1/namespaces/{space.name}/jobs"
    space.connection.request("POST", path, query={"fieldValidation": "Strict"}, body=job)
    return str(job["metadata"]["name"])


class Pools:
    """The rendered pools, for kwok's provider; empty nodes go after a second."""

    def __init__(self, connection: Connection, cluster: KubernetesCluster) -> None:
        self.connection, self.cluster = connection, cluster
        path = "/api/v1/namespaces/karpenter/configmaps/instance-types"
        text = connection.request("GET", path)["data"]["instance-types.json"]
        self.types = [one["name"] for one in json.loads(text)]
        changes = {name: self._hasty(name) for name in WHOLE_GPUS}
        self.fleet = fleet(profiles=changes)
        self.made: list[Manifest] = []

    def make(self) -> None:
        self._apply(kube("karpenter.kwok.sh/v1alpha1", "KWOKNodeClass", "default", spec={}))
        for manifest in render_fleet(self.fleet):
            if manifest["kind"] == "NodePool" and manifest["metadata"]["name"] in WHOLE_GPUS:
                self._apply(self._for_kwok(manifest))

    def nodes(self, pool: str) -> list[dict[str, str]]:
        """Labels of the nodes that were made for the pool; real ones of its name have no such."""
        selector = {"labelSelector": f"karpenter.sh/nodepool={pool},workload-type={pool}"}
        found = self.connection.request("GET", "/api/v1/nodes", query=selector)["items"]
        return [one["metadata"]["labels"] for one in found]

    def remove(self) -> None:
        for manifest in reversed(self.made):
            live = self.cluster.get(key_of(manifest))
            if live is not None:
                self.cluster.delete(live)

    def _hasty(self, name: str) -> dict[str, Any]:
        nodes = seed_profiles()[name].nodes
        assert nodes is not None
        changes = {"consolidate_after": "1s", "disruption_budget": "100%"}
        limit = {"gpu_limit": 1} if name == "gpu-spot" else {}
        return {"nodes": {**nodes.model_dump(), **changes, **limit}}

    def _apply(self, manifest: Manifest) -> None:
        self.cluster.apply(manifest)
        self.made.append(manifest)

    def _for_kwok(self, pool: Manifest) -> Manifest:
        spec = pool["spec"]["template"]["spec"]
        spec["nodeClassRef"] = {
            "group": "karpenter.kwok.sh", "kind": "KWOKNodeClass", "name": "default",
        }  # fmt: skip
        for one in spec["requirements"]:
            if one["key"] == FAMILY:
                one["key"] = TYPE
                one["values"] = [t for t in self.types if t.split(".")[0] in one["values"]]
        return pool


def test_each_gpu_profile_gets_a_node_that_it_may_have(
    cluster: tuple[Connection, KubernetesCluster], space: Space
) -> None:
    """Of an allowed type and capacity type, never over the limit; empty nodes go."""
    connection, _ = cluster
    controller(connection, "karpenter", "karpenter")
    pools = Pools(*cluster)
    profiles = pools.fleet.compute_profiles()
    pools.make()
    try:
        for name in WHOLE_GPUS:
            tasks = 6 if name == "gpu-spot" else 1  # more than one card's nodes can hold
            pods = PodSettings(space.name, IMAGE)
            told(
                indexed_job(
                    profiles[name], pods, name=name, plan_key="k", tasks=tasks, owner="o",
                    stage="s",
                ),
                space,
            )  # fmt: skip
        wait_until(lambda: all(pools.nodes(pool) for pool in WHOLE_GPUS), seconds=30)
        for name in WHOLE_GPUS:
            nodes, capacity = profiles[name].nodes, profiles[name].capacity_type
            assert nodes is not None
            for labels in pools.nodes(name):
                family = labels[TYPE].split(".")[0]
                assert labels[TYPE] in nodes.types or family in nodes.families
                assert labels["karpenter.sh/capacity-type"] == capacity
        assert len(pools.nodes("gpu-spot")) == 1, "its limit is one GPU"
    finally:
        path = f"/apis/batch/v1/namespaces/{space.name}/jobs"
        connection.request("DELETE", path, query={"propagationPolicy": "Background"})
        wait_until(lambda: not any(pools.nodes(pool) for pool in WHOLE_GPUS), seconds=120)
        pools.remove()


class Queues:
    """Two teams on the cohort of a small fleet."""

    def __init__(self, cluster: KubernetesCluster, space: Space) -> None:
        self.cluster, self.space = cluster, space
        queues = {
            "team-a": {"share_percent": 50, "namespaces": [space.name]},
            "team-b": {"share_percent": 50, "namespaces": [space.name], "borrow": False},
        }
        self.made = [
            manifest
            for manifest in render_fleet(fleet(queues=queues, cpus=2, memory_gib=8))
            if manifest["apiVersion"].startswith("kueue.")
        ]

    def make(self) -> None:
        for manifest in self.made:
            self.cluster.apply(manifest)

    def workloads(self, queue: str) -> dict[str, str]:
        """Job -> its workload's state."""
        path = f"/apis/kueue.x-k8s.io/v1beta2/namespaces/{self.space.name}/workloads"
        found = self.space.connection.request("GET", path)["items"]
        return {
            one["metadata"]["ownerReferences"][0]["name"]: self._state(one)
            for one in found
            if one["spec"]["queueName"] == queue
        }

    def _state(self, workload: dict[str, Any]) -> str:
        held = {
            one["type"] for one in workload.get("status", {}).get("conditions", [])
            if one["status"] == "True"
        }  # fmt: skip
        return "admitted" if "Admitted" in held else "waits"

    def remove(self) -> None:
        for manifest in reversed(self.made):
            live = self.cluster.get(key_of(manifest))
            if live is not None:
                self.cluster.delete(live)


def test_two_teams_share_a_small_quota_as_declared(
    cluster: tuple[Connection, KubernetesCluster], space: Space
) -> None:
    """One core each: a team that may borrow takes what the other leaves, and gives it back."""
    connection, _ = cluster
    controller(connection, "kueue-system", "kueue-controller-manager")
    changes = {"cpu_request": "900m", "memory": "64Mi", "scratch": "16Mi"}
    profile = seed_profiles()["cpu"].model_copy(update=changes)
    queues = Queues(cluster[1], space)

    def job(name: str, queue: str) -> Manifest:
        pods = PodSettings(space.name, IMAGE, queue=queue)
        made = indexed_job(profile, pods, name=name, plan_key="k", tasks=1, owner="o", stage="s")
        pod = made["spec"]["template"]["spec"]
        pod["terminationGracePeriodSeconds"] = 1
        pod["containers"][0]["command"] = ["python", "-c", "import signal; signal.pause()"]
        return made

    def states(wanted_a: dict[str, str], wanted_b: dict[str, str]) -> bool:
        return queues.workloads("team-a") == wanted_a and queues.workloads("team-b") == wanted_b

    try:
        queues.make()
        wait_until(lambda: _made(job, space, "a1", "team-a"), seconds=30)
        told(job("a2", "team-a"), space)
        wait_until(lambda: states({"a1": "admitted", "a2": "admitted"}, {}), seconds=60)
        # The second team wants its own back, and never more than that.
        told(job("b1", "team-b"), space)
        told(job("b2", "team-b"), space)
        wait_until(lambda: sorted(queues.workloads("team-b").values()) == ["admitted", "waits"],
                   seconds=60)  # fmt: skip
        wait_until(lambda: sorted(queues.workloads("team-a").values()) == ["admitted", "waits"],
                   seconds=60)  # fmt: skip
    finally:
        path = f"/apis/batch/v1/namespaces/{space.name}/jobs"
        connection.request("DELETE", path, query={"propagationPolicy": "Background"})
        queues.remove()


def _made(job: Any, space: Space, name: str, queue: str) -> bool:
    """Kueue's webhook takes a moment to be reached after the add-on has started."""
    try:
        told(job(name, queue), space)
    except SourceNotFoundError:
        raise
    except PlatformError:
        return False
    return True
