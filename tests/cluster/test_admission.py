"""Everything that is rendered, before the real API server: strict, with every definition."""

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest

from platform_pipelines.core.compute_fleet.gpu_sharing import operator_values
from platform_pipelines.core.road.manifests import Manifest, key_of, revision_of
from platform_pipelines.core.road.rendering import kube
from platform_pipelines.errors import CapabilityError, ManifestRefusedError
from platform_pipelines.gateways.cluster.manifests import KubernetesCluster
from tests.platform_sample import connected, everything, fleet

pytestmark = pytest.mark.cluster
RENDERED = everything()
LOOKED_UP = ("ClusterTrainingRuntime",)  # by Kueue, when a TrainJob names one


@pytest.fixture(scope="module")
def cluster() -> Iterator[KubernetesCluster]:
    with connected() as (_, cluster):
        yield cluster


def in_default(manifest: Manifest) -> dict[str, Any]:
    """The same in a namespace that exists: a dry run makes none."""
    metadata = dict(manifest["metadata"])
    if "namespace" in metadata:
        metadata["namespace"] = "default"
    return {**manifest, "metadata": metadata}


@contextmanager
def looked_up(cluster: KubernetesCluster, objects: Sequence[Manifest]) -> Iterator[None]:
    """What the admission of another object looks for is there; gone afterwards."""
    for one in objects:
        cluster.apply(one)
    try:
        yield
    finally:
        for one in objects:
            if (live := cluster.get(key_of(one))) is not None:
                cluster.delete(live)


@pytest.mark.parametrize("name", RENDERED)
def test_the_server_admits_every_object_strictly(cluster: KubernetesCluster, name: str) -> None:
    """A field that a definition does not have is dropped without a word by a lenient server."""
    refused: dict[str, str] = {}
    objects = revision_of("sample", "test", RENDERED[name]).stamped
    with looked_up(cluster, [one for one in objects if one["kind"] in LOOKED_UP]):
        for manifest in objects:
            try:
                cluster.apply(in_default(manifest), dry_run=True)
            except (ManifestRefusedError, CapabilityError) as error:
                refused[str(key_of(manifest))] = error.what
    assert refused == {}


def test_the_gpu_operator_knows_every_value(cluster: KubernetesCluster) -> None:
    """Its chart makes a ClusterPolicy of the values, under the same names."""
    spec = fleet()
    values = operator_values(spec, list(spec.compute_profiles().values()))
    needed = ("operator", "dcgm", "gfd", "nodeStatusExporter")
    policy = kube(
        "nvidia.com/v1", "ClusterPolicy", "values", spec={**{n: {} for n in needed}, **values}
    )
    cluster.apply(policy, dry_run=True)
    values["mig"] = {"strategie": "mixed"}
    with pytest.raises(ManifestRefusedError, match="strategie"):
        cluster.apply({**policy, "spec": {**policy["spec"], **values}}, dry_run=True)


def test_an_unknown_field_is_refused_by_name(cluster: KubernetesCluster) -> None:
    """The test above must be able to fail."""
    kept = copy.deepcopy(in_default(RENDERED["agent"][0]))
    kept["spec"]["apiKeySecretRef"] = "old"
    with pytest.raises(ManifestRefusedError, match="apiKeySecretRef"):
        cluster.apply(kept, dry_run=True)


def test_a_kind_that_the_cluster_does_not_know_is_told(cluster: KubernetesCluster) -> None:
    """A missing definition is not a missing object."""
    gone = {"apiVersion": "kagent.dev/v9", "kind": "Agent", "metadata": {"name": "a"}}
    with pytest.raises(CapabilityError, match=r"Agent of kagent\.dev/v9"):
        cluster.apply(gone, dry_run=True)
