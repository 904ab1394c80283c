"""A Milvus cluster as its operator reads it, with the identity and the walls around it.

Sources: milvus-operator 1.3, `milvus.io/v1beta1`; Milvus 2.6 (index nodes are part of data nodes:
`indexNode` is still admitted and never started); Milvus, "Index with GPU" (memory pool).
"""

from typing import Any

from platform_pipelines.core.road import rendering
from platform_pipelines.core.road.manifests import Manifest
from platform_pipelines.core.road.rendering import kube
from platform_pipelines.core.vector_database.declaration import PartSpec, VectorDatabaseSpec

PORT, METRICS = 19530, 9091


def render_vector_database(spec: VectorDatabaseSpec) -> tuple[Manifest, ...]:
    """What a cluster should hold of it."""
    labels = rendering.labels("milvus", "vector-database", spec.slug)
    return (
        rendering.service_account(spec.storage.service_account, spec.namespace, labels),
        _milvus(spec, labels),
        _budget(spec, "querynode", labels),
        _budget(spec, "proxy", labels),
    )


def _milvus(spec: VectorDatabaseSpec, labels: dict[str, str]) -> Manifest:
    storage = spec.storage
    config: dict[str, Any] = {
        "minio": {
            "bucketName": storage.bucket,
            "rootPath": storage.prefix,
            "region": storage.region,
            "useIAM": True,
            "cloudProvider": "aws",
            "useSSL": True,
        },
    }
    if spec.gpu:
        first, most = spec.gpu.pool_mib
        config["gpu"] = {"initMemSize": first, "maxMemSize": most}
    return kube(
        "milvus.io/v1beta1", "Milvus", spec.slug, namespace=spec.namespace, labels=labels,
        spec={
            "mode": "cluster",
            "components": _components(spec),
            "dependencies": {
                "msgStreamType": "woodpecker",
                "etcd": {"inCluster": _etcd(spec)},
                "storage": {
                    "external": True,
                    "type": "S3",
                    "endpoint": f"s3.{storage.region}.amazonaws.com:443",
                },
            },
            "config": config,
        },
    )  # fmt: skip


def _etcd(spec: VectorDatabaseSpec) -> dict[str, Any]:
    """Its volumes outlive it: what is deleted by accident is in them."""
    disk = {"enabled": True, "size": spec.etcd.disk, "storageClass": spec.etcd.storage_class}
    return {
        "deletionPolicy": "Retain",
        "pvcDeletion": False,
        "values": {"replicaCount": spec.etcd.replicas, "persistence": disk},
    }


def _components(spec: VectorDatabaseSpec) -> dict[str, Any]:
    build = spec.gpu is not None and spec.gpu.build
    search = spec.gpu is not None and spec.gpu.search
    return {
        "image": f"{spec.image}:{spec.version}",
        "imagePullPolicy": "IfNotPresent",
        "enableRollingUpdate": True,
        "serviceAccountName": spec.storage.service_account,
        "runAsNonRoot": True,
        "mixCoord": _part(spec, spec.coordinator),
        "proxy": {**_part(spec, spec.proxy), "serviceType": "ClusterIP"},
        "queryNode": _part(spec, spec.query, gpu=search),
        "dataNode": _part(spec, spec.data, gpu=build),
        "streamingNode": _part(spec, spec.streaming),
    }


def _part(spec: VectorDatabaseSpec, part: PartSpec, *, gpu: bool = False) -> dict[str, Any]:
    cards = spec.gpu.count if gpu and spec.gpu else 0
    told: dict[str, Any] = {
        "replicas": part.replicas,
        "resources": rendering.resources(part.cpu, part.memory, gpus=cards),
    }
    placed = spec.placement()
    if gpu and placed is not None:
        told["image"] = f"{spec.image}:{spec.version}-gpu"
        told["nodeSelector"] = placed.node_labels()
        told["tolerations"] = [one.manifest() for one in placed.tolerations]
    return told


def _budget(spec: VectorDatabaseSpec, part: str, labels: dict[str, str]) -> Manifest:
    selector = {rendering.INSTANCE: spec.slug, rendering.COMPONENT: part}
    return rendering.disruption_budget(
        f"{spec.slug}-{part}", spec.namespace, selector, labels=labels
    )
