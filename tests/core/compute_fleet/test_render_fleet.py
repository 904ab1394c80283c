"""A fleet renders what its profiles say: seed values, every field, queues that add up."""

import json
from typing import Any

import pytest

from platform_pipelines.core.compute_fleet.render import render_fleet
from platform_pipelines.core.road.compute_profiles import (
    DeviceChoice,
    NodePoolProfile,
    seed_profiles,
)
from platform_pipelines.core.road.manifest_policies import violations
from platform_pipelines.core.road.manifests import Manifest, revision_of
from platform_pipelines.errors import ConfigurationError
from tests.platform_sample import CLAIMED, fleet


def found(manifests: tuple[Manifest, ...], kind: str, name: str) -> Any:
    """One object, as a mapping."""
    (one,) = [m for m in manifests if (m["kind"], m["metadata"]["name"]) == (kind, name)]
    return one


def test_the_seed_pools() -> None:
    """Which instances, how many GPUs, when nodes go: the values that the platform starts with."""
    rendered = render_fleet(fleet())
    pools = {m["metadata"]["name"]: m["spec"] for m in rendered if m["kind"] == "NodePool"}
    assert set(pools) == {name for name, profile in seed_profiles().items() if profile.nodes}
    told = {
        name: (
            pool["limits"]["nvidia.com/gpu"],
            pool["disruption"]["consolidationPolicy"],
            pool["disruption"]["consolidateAfter"],
        )
        for name, pool in pools.items()
    }
    assert told["gpu-inference"] == ("100", "WhenEmptyOrUnderutilized", "5m")
    assert told["gpu-inference-large"][0] == "64"
    assert told["gpu-spot"] == ("50", "WhenEmpty", "1m")
    assert pools["gpu-inference"]["disruption"]["budgets"] == [{"nodes": "20%"}]
    spot = pools["gpu-spot"]["template"]["spec"]
    assert {(t["key"], t["value"]) for t in spot["taints"]} == {
        ("nvidia.com/gpu", "true"), ("spot-instance", "true"),
    }  # fmt: skip
    allowed = {one["key"]: one["values"] for one in spot["requirements"]}
    assert allowed["karpenter.sh/capacity-type"] == ["spot"]
    assert allowed["node.kubernetes.io/instance-type"] == ["g5.xlarge", "g5.2xlarge", "g6.xlarge"]


@pytest.mark.parametrize("name", [n for n, p in seed_profiles().items() if p.nodes])
def test_the_pods_of_a_profile_fit_the_nodes_of_its_pool(name: str) -> None:
    """What a pod selects, its pool's nodes are; what taints them, the pod bears."""
    profile = seed_profiles()[name]
    template = found(render_fleet(fleet()), "NodePool", name)["spec"]["template"]
    allowed = {one["key"]: one["values"] for one in template["spec"]["requirements"]}
    for key, value in profile.node_labels().items():
        assert template["metadata"]["labels"].get(key) == value or value in allowed[key]
    borne = {(one.key, one.effect) for one in profile.tolerations}
    assert {(t["key"], t["effect"]) for t in template["spec"]["taints"]} == borne


def test_the_seed_disk() -> None:
    """gp3 with 10,000 operations and 500 MB a second; nothing of the node by its metadata."""
    spec = found(render_fleet(fleet()), "EC2NodeClass", "fleet-200gib")["spec"]
    (disk,) = spec["blockDeviceMappings"]
    assert disk["ebs"] == {
        "volumeType": "gp3", "volumeSize": "200Gi", "iops": 10_000, "throughput": 500,
        "encrypted": True, "deleteOnTermination": True,
    }  # fmt: skip
    assert spec["amiSelectorTerms"] == [{"alias": "al2023@v20260828"}]
    assert spec["metadataOptions"]["httpTokens"] == "required"


def test_every_field_of_a_pool_reaches_a_manifest() -> None:
    """A limit that was declared and forgotten is a bill."""
    nodes: dict[str, Any] = {
        "families": ["sentinel-family"], "types": ["sentinel.type"], "gpu_limit": 1701,
        "consolidate": "WhenEmpty", "consolidate_after": "1702m", "disruption_budget": "17%",
        "disk_gib": 1703, "mig": "sentinel-layout", "time_sliced": False,
    }  # fmt: skip
    assert set(nodes) == set(NodePoolProfile.model_fields)
    device = {"device_class": "sentinel.class", "count": 1704, "selectors": ["sentinel-cel"]}
    assert set(device) == set(DeviceChoice.model_fields)
    sharing = {"mig": {"sentinel-layout": {"1g.10gb": 7}}}
    plain = {"gpu-mig": None, "sentinel": {"nodes": nodes}, "claimed": {"devices": [device]}}
    changes = {**plain, "gpu-mig": {"nodes": {**nodes, "mig": "sentinel-layout"}}}
    text = json.dumps(render_fleet(fleet(profiles=changes, sharing=sharing)))
    for value in (*nodes.values(), *device.values()):
        told = value[0] if isinstance(value, list) else value
        assert isinstance(told, bool) or str(told) in text, told
    shared = render_fleet(fleet())
    labels = found(shared, "NodePool", "gpu-shared")["spec"]["template"]["metadata"]["labels"]
    assert labels["nvidia.com/device-plugin.config"] == "time-sliced"


def test_auto_mode_has_its_own_names() -> None:
    """EKS Auto Mode knows no EC2NodeClass, no image alias, and labels by a prefix of its own."""
    rendered = render_fleet(fleet(provisioner="auto_mode", ami=None))
    assert "EC2NodeClass" not in {m["kind"] for m in rendered}
    pool = found(rendered, "NodePool", "gpu-inference")["spec"]["template"]["spec"]
    assert pool["nodeClassRef"] == {
        "group": "eks.amazonaws.com", "kind": "NodeClass", "name": "fleet-200gib",
    }  # fmt: skip
    assert "eks.amazonaws.com/instance-family" in {one["key"] for one in pool["requirements"]}
    storage = found(rendered, "NodeClass", "fleet-200gib")["spec"]["ephemeralStorage"]
    assert storage == {"size": "200Gi", "iops": 10_000, "throughput": 500}


def test_the_queues_share_what_the_pools_have() -> None:
    """The parts of a card count as many as the cards give; a queue that lends not borrows not."""
    queues = {"a": {"share_percent": 75}, "b": {"share_percent": 25, "borrow": False}}
    rendered = render_fleet(fleet(queues=queues))

    def quota(queue: str, flavor: str, resource: str) -> Any:
        (group,) = found(rendered, "ClusterQueue", queue)["spec"]["resourceGroups"]
        (one,) = [f for f in group["flavors"] if f["name"] == flavor]
        (told,) = [r for r in one["resources"] if r["name"] == resource]
        return told

    assert quota("a", "gpu-inference", "nvidia.com/gpu")["nominalQuota"] == "75"
    assert quota("b", "gpu-inference", "nvidia.com/gpu")["nominalQuota"] == "25"
    assert quota("a", "gpu-mig", "nvidia.com/mig-1g.10gb")["nominalQuota"] == "84"
    assert quota("a", "gpu-shared", "nvidia.com/gpu.shared")["nominalQuota"] == "24"
    assert quota("a", "gpu-shared", "nvidia.com/gpu")["nominalQuota"] == "0"
    assert quota("b", "cpu", "cpu") == {
        "name": "cpu", "nominalQuota": "64000m", "borrowingLimit": "0",
    }  # fmt: skip
    assert "borrowingLimit" not in quota("a", "cpu", "cpu")
    flavor = found(rendered, "ResourceFlavor", "gpu-spot")["spec"]
    assert flavor["nodeLabels"] == seed_profiles()["gpu-spot"].node_labels()
    assert flavor["nodeTaints"] == seed_profiles()["gpu-spot"].taints()
    assert "tolerations" not in flavor, "CPU work would be let onto GPU nodes"


def test_the_quota_lets_every_profile_run_at_its_width() -> None:
    """Less would stop a stage that its own profile allows."""
    hard = found(render_fleet(fleet()), "ResourceQuota", "stages")["spec"]["hard"]
    profiles = seed_profiles().values()
    assert int(hard["pods"]) == sum(p.parallelism for p in profiles)
    whole = [p for p in profiles if p.gpu_resource == "nvidia.com/gpu"]
    assert int(hard["requests.nvidia.com/gpu"]) == sum(p.gpu * p.parallelism for p in whole)
    assert hard["requests.nvidia.com/mig-1g.10gb"] == "8"


def test_how_gpus_are_shared() -> None:
    """Three layouts, four slices, parts that are never taken for whole cards."""
    rendered = render_fleet(fleet())
    layouts = json.loads(found(rendered, "ConfigMap", "mig-layouts")["data"]["config.yaml"])
    cut = {
        name: one["mig-devices"]
        for name, (one,) in layouts["mig-configs"].items()
        if one["mig-enabled"]
    }
    assert cut == {
        "dev": {"1g.10gb": 7}, "prod": {"2g.20gb": 3, "1g.10gb": 1}, "large": {"7g.80gb": 1},
    }  # fmt: skip
    plugin = json.loads(
        found(rendered, "ConfigMap", "device-plugin-configs")["data"]["time-sliced"]
    )
    slicing = plugin["sharing"]["timeSlicing"]
    assert slicing["renameByDefault"]
    assert slicing["resources"] == [{"name": "nvidia.com/gpu", "replicas": 4}]
    values = json.loads(found(rendered, "ConfigMap", "gpu-operator-values")["data"]["values.yaml"])
    assert values["mig"] == {"strategy": "mixed"}
    assert values["dcgmExporter"]["serviceMonitor"]["enabled"]


def test_karpenter_is_told_what_a_card_is_cut_into() -> None:
    """It makes no node for a device that no instance type is said to have."""
    rendered = render_fleet(fleet())
    overlays = {
        m["metadata"]["name"]: m["spec"]["capacity"] for m in rendered if m["kind"] == "NodeOverlay"
    }
    assert overlays["gpu-mig-8"] == {"nvidia.com/mig-1g.10gb": "56"}
    assert overlays["gpu-shared-1"] == {"nvidia.com/gpu.shared": "4"}
    assert not [name for name in overlays if name.startswith("gpu-inference")]


def test_claims_are_tried_in_the_order_of_preference() -> None:
    """A whole card of a kind, else two parts of one."""
    rendered = render_fleet(fleet(profiles={"gpu-claimed": CLAIMED}))
    spec = found(rendered, "ResourceClaimTemplate", "gpu-claimed")["spec"]["spec"]
    (request,) = spec["devices"]["requests"]
    first, second = request["firstAvailable"]
    assert "NVIDIA L4" in first["selectors"][0]["cel"]["expression"]
    assert (second["deviceClassName"], second["count"]) == ("mig.nvidia.com", 2)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"ami": None}, "ami"),
        ({"ami": "al2023@latest"}, "ami"),
        ({"provisioner": "auto_mode"}, "`ami` goes with"),
        ({"queues": {"a": {"share_percent": 60}, "b": {"share_percent": 50}}}, "110 %"),
        ({"sharing": {"mig": {"x": {"2g.20gb": 4}}}}, "8 of a card's 7"),
        ({"sharing": {"mig": {"x": {"1g.10gb": 1}}}}, "'dev'; sharing.mig has x"),
        ({"profiles": {"gpu-spot": {"nodes": {}}}}, "`families` or `types`"),
        ({"profiles": {"gpu-spot": {"gpus": 1}}}, "gpus"),
    ],
)
def test_what_cannot_be_is_refused_by_name(changes: dict[str, Any], words: str) -> None:
    """Before anything is sent to a cluster."""
    with pytest.raises(ConfigurationError, match=words):
        fleet(**changes)


def test_the_rules_of_the_platform_hold() -> None:
    """Nothing moves, nothing is secret, nothing has gone."""
    assert violations(revision_of("fleet", "i", render_fleet(fleet()))) == ()
