"""Where tasks run, by the settings: processes of this machine, or Jobs of a cluster."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from platform_pipelines.compute.tasks import Backend
from platform_pipelines.errors import ConfigurationError
from platform_pipelines.gateways.clock import SystemClock
from platform_pipelines.stages.road import connect

if TYPE_CHECKING:
    from platform_pipelines.core.road.compute_profiles import ComputeProfile
    from platform_pipelines.gateways.cluster.jobs import Jobs
    from platform_pipelines.settings import Settings

KUBERNETES, RAY = "kubernetes", "ray"


def cluster_backend(settings: "Settings", *, owner: str) -> Backend | None:
    """The cluster's backend where the settings ask for it, else None: this machine.

    Raises:
        ConfigurationError: the image is not named, or no cluster can be reached with this.
    """
    if not runs_in_cluster(settings) and settings.compute != RAY:
        return None
    from platform_pipelines.compute.indexed_jobs import IndexedJobs
    from platform_pipelines.compute.pod_specs import PodSettings

    if settings.image is None:
        raise ConfigurationError(
            "tasks in a cluster need an image",
            where="PLATFORM_IMAGE",
            expected="an image with this package, by tag or digest",
        )
    pods = PodSettings(
        namespace=settings.namespace,
        image=settings.image,
        config_maps=settings.task_config_maps,
        secrets=settings.task_secrets,
        service_account=settings.task_service_account,
        queue=settings.queue,
    )
    shared: dict[str, Any] = {
        "pods": pods,
        "profiles": profiles(settings.profiles_file),
        "root": settings.store_url.rstrip("/"),
        "open_store": lambda url: connect.open_own_store(settings, url),
        "clock": SystemClock(),
    }
    if settings.compute == RAY:
        from platform_pipelines.compute.ray_jobs import RayJobs
        from platform_pipelines.gateways.cluster.connection import ClusterAddress, Connection
        from platform_pipelines.gateways.cluster.manifests import KubernetesCluster

        connection = Connection(ClusterAddress(settings.kubeconfig, settings.kube_context))
        cluster = settings.gateways.cluster or KubernetesCluster(connection)
        return RayJobs(cluster=cluster, **shared)
    return IndexedJobs(jobs=open_jobs(settings), owner=owner, **shared)


def runs_in_cluster(settings: "Settings") -> bool:
    """Whether tasks are Jobs."""
    return settings.compute == KUBERNETES or settings.gateways.jobs is not None


def open_jobs(settings: "Settings") -> "Jobs":
    """The Jobs of the platform's namespace; no request is made.

    Raises:
        ConfigurationError: no cluster can be reached with this.
    """
    if settings.gateways.jobs is not None:
        return settings.gateways.jobs
    from platform_pipelines.compute.pod_specs import SPEC_DIGEST
    from platform_pipelines.gateways.cluster.connection import ClusterAddress, Connection
    from platform_pipelines.gateways.cluster.jobs import Jobs

    connection = Connection(ClusterAddress(settings.kubeconfig, settings.kube_context))
    return Jobs(connection, settings.namespace, digest_annotation=SPEC_DIGEST)


def profiles(file: Path | None) -> "dict[str, ComputeProfile]":
    """The shipped compute profiles, with the changes of a file.

    Raises:
        ConfigurationError: the file is not there, or a field of it is wrong.
    """
    from platform_pipelines.core.road.compute_profiles import read_profiles, seed_profiles

    if file is None:
        return seed_profiles()
    try:
        text = file.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigurationError(
            f"the compute profiles cannot be read: {error.strerror}",
            where="PLATFORM_PROFILES",
            stored=str(file),
            remedy="correct the path, or unset it to use the shipped profiles",
        ) from error
    return read_profiles(text, where=str(file))
