"""A Milvus cluster of today: its parts, its storage, and GPUs only where they were declared."""

from typing import Any

import pytest

from platform_pipelines.core.road.compute_profiles import seed_profiles
from platform_pipelines.core.road.manifest_policies import violations
from platform_pipelines.core.road.manifests import revision_of
from platform_pipelines.core.vector_database.render import render_vector_database
from platform_pipelines.errors import ConfigurationError
from tests.platform_sample import vectors


def milvus(**changes: Any) -> Any:
    """The rendered object."""
    rendered = render_vector_database(vectors(**changes))
    (one,) = [m for m in rendered if m["kind"] == "Milvus"]
    return one["spec"]


def test_the_seed_cluster() -> None:
    """No index node: since 2.6 the data nodes build indexes, and the operator starts none."""
    spec = milvus()
    parts = spec["components"]
    replicas = {name: parts[name]["replicas"] for name in parts if name.endswith(("Node", "proxy"))}
    assert replicas == {"proxy": 2, "queryNode": 3, "dataNode": 2, "streamingNode": 2}
    assert parts["mixCoord"]["replicas"] == 1
    assert not {"indexNode", "dataCoord", "rootCoord"} & set(parts)
    assert spec["dependencies"]["msgStreamType"] == "woodpecker"
    etcd = spec["dependencies"]["etcd"]["inCluster"]
    assert etcd["values"]["replicaCount"] == 3
    assert etcd["values"]["persistence"]["size"] == "50Gi"
    assert etcd["deletionPolicy"] == "Retain"


def test_segments_are_on_s3_by_the_pods_own_identity() -> None:
    """No key is in the object: the service account has a Pod Identity association."""
    spec = milvus()
    assert spec["config"]["minio"]["useIAM"]
    assert "secretRef" not in spec["dependencies"]["storage"]
    assert spec["dependencies"]["storage"]["endpoint"] == "s3.ap-northeast-2.amazonaws.com:443"
    assert spec["components"]["serviceAccountName"] == "milvus"


@pytest.mark.parametrize(
    ("gpu", "on_gpu"),
    [
        ({}, {"dataNode"}),
        ({"search": True}, {"dataNode", "queryNode"}),
        ({"build": False, "search": True}, {"queryNode"}),
        (None, set[str]()),
    ],
)
def test_gpus_are_where_they_were_declared(gpu: dict[str, Any] | None, on_gpu: set[str]) -> None:
    """Image, limit, nodes and memory pool go together."""
    spec = milvus(gpu=gpu)
    profile = seed_profiles()["gpu-inference"]
    for name, part in spec["components"].items():
        if not isinstance(part, dict):
            continue
        has = part["resources"]["limits"].get("nvidia.com/gpu")
        assert (has == "1") == (name in on_gpu)
        assert (part.get("image") == "milvusdb/milvus:v2.6.4-gpu") == (name in on_gpu)
        assert part.get("nodeSelector") == (profile.node_labels() if name in on_gpu else None)
    pool = {"initMemSize": 2048, "maxMemSize": 4096}
    assert spec["config"].get("gpu") == (pool if gpu is not None else None)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"version": "latest"}, "version"),
        ({"version": "v2.5.3"}, "version"),
        ({"etcd": {"replicas": 2}}, "even number"),
        ({"gpu": {"pool_mib": [4096, 2048]}}, "initial, largest"),
        ({"gpu": {"profile": "gpu-nowhere"}}, "gpu-nowhere"),
        ({"storage": {"bucket": "b"}}, "bucket"),
    ],
)
def test_what_cannot_be_is_refused_by_name(changes: dict[str, Any], words: str) -> None:
    """Before anything is sent to a cluster."""
    with pytest.raises(ConfigurationError, match=words):
        vectors(**changes)


def test_the_rules_of_the_platform_hold() -> None:
    """Nothing moves, nothing is secret, nothing has gone."""
    assert violations(revision_of("vectors", "i", render_vector_database(vectors()))) == ()
