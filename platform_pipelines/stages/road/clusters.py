"""Opening the cluster of the settings."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from platform_pipelines.core.road.declarations import ComponentSpec
from platform_pipelines.core.road.manifests import Manifest
from platform_pipelines.gateways.clock import SystemClock
from platform_pipelines.gateways.cluster.connection import ClusterAddress, Connection
from platform_pipelines.gateways.cluster.manifests import Cluster, KubernetesCluster
from platform_pipelines.machine import is_pod
from platform_pipelines.settings import Settings
from platform_pipelines.stages.road.applied import AppliedWorkspace
from platform_pipelines.stages.road.connect import open_component_store
from platform_pipelines.stages.road.workspace import deadline_in, silent


@dataclass(frozen=True, slots=True)
class Applied:
    """What the road needs of a component whose revision is a set of manifests."""

    component: str  # its kind, e.g. `tenant`; also the folder of its stores
    spec: ComponentSpec
    render: Callable[[], Sequence[Manifest]]
    context: str | None = None  # of the kubeconfig, where it is not that of the settings


def open_cluster(settings: Settings, context: str | None = None) -> Cluster:
    """The cluster of the settings; no request is made.

    Raises:
        ConfigurationError: there is no such kubeconfig or context, or this is no pod.
    """
    if settings.gateways.cluster is not None:
        return settings.gateways.cluster
    address = ClusterAddress(settings.kubeconfig, context or settings.kube_context)
    return KubernetesCluster(Connection(address))


def open_applied(
    applied: Applied,
    settings: Settings,
    *,
    run_id: str = "",
    progress: Callable[[str], None] = silent,
    timeout_seconds: float | None = None,
) -> AppliedWorkspace:
    """The workspace of such a component.

    Raises:
        ConfigurationError: the store's URL is wrong.
    """
    clock = SystemClock()
    return AppliedWorkspace(
        name=applied.spec.name,
        settings=settings,
        store=open_component_store(settings, applied.component, applied.spec.name),
        run_id=run_id,
        clock=clock,
        progress=progress,
        deadline=deadline_in(timeout_seconds, clock),
        component=applied.component,
        apply=applied.spec.apply,
        render=applied.render,
        open_cluster=lambda: open_cluster(settings, applied.context),
        names_a_cluster=settings.gateways.cluster is not None
        or settings.kubeconfig is not None
        or is_pod(),
    )
