"""Where a rollout's servers and its gateway are: processes of this machine, or a cluster."""

from platform_pipelines.core.model_rollout.declaration import ClusterTargetSpec, ModelRolloutSpec
from platform_pipelines.core.model_rollout.manifests import ServingPlan
from platform_pipelines.core.model_rollout.sizing import Sizing
from platform_pipelines.gateways.cluster.connection import ClusterAddress, Connection
from platform_pipelines.gateways.cluster.manifests import KubernetesCluster
from platform_pipelines.gateways.cluster.model_routes import ClusterRouter
from platform_pipelines.gateways.cluster.model_servers import ClusterServers
from platform_pipelines.gateways.cluster.pods import Pods
from platform_pipelines.gateways.litellm_router import LocalLiteLLM
from platform_pipelines.gateways.router import LocalEnvoy, Router
from platform_pipelines.stages.model_rollout.workspace import Workspace
from platform_pipelines.stages.model_rollout.world import World

SERVERS = "model_servers"


def open_world(workspace: Workspace) -> World:
    """The servers and the gateway of the declared target; nothing is asked yet.

    Raises:
        ConfigurationError: there is no such kubeconfig or context, or this is no pod.
    """
    spec = workspace.spec
    if spec.cluster is not None:
        return _cluster_world(workspace, spec.cluster)
    servers = workspace.tools.servers(f"{SERVERS}/{spec.name}")
    return World(servers, _router(workspace), spec.serving, workspace.clock, workspace.progress)


def _router(workspace: Workspace) -> Router:
    """Envoy, or a LiteLLM proxy behind it."""
    spec, tools = workspace.spec, workspace.tools
    folder = workspace.settings.home / "gateways" / spec.name
    envoy = LocalEnvoy(folder, binary=tools.envoy(), port=spec.port, admin_port=spec.admin_port)
    if spec.target != "litellm":
        return envoy
    return LocalLiteLLM(
        folder / "litellm",
        front=envoy,
        python=lambda: tools.python("litellm"),
        environment=tools.environment,
        progress=workspace.progress,
    )


def serving_plan(spec: ModelRolloutSpec, target: ClusterTargetSpec) -> ServingPlan:
    """How one side runs there."""
    sizing = Sizing(
        tensor_parallel=target.tensor_parallel,
        pipeline_parallel=target.pipeline_parallel,
        expert_parallel=False,
        context=spec.serving.max_length,
        kv_cache_tokens=0,
        weight_bytes_a_gpu=0,
    )
    return ServingPlan(
        target.namespace,
        target.image,
        sizing,
        replicas=target.replicas,
        memory_share=target.memory_share,
        cpu=target.cpu,
        memory=target.memory,
        shared_memory=target.shared_memory,
        start_seconds=spec.serving.start_seconds,
        drain_seconds=spec.serving.drain_seconds,
        cache_claim=target.models_claim,
        node_selector=target.node_selector,
    )


def _cluster_world(workspace: Workspace, target: ClusterTargetSpec) -> World:
    spec, settings = workspace.spec, workspace.settings
    connection = Connection(
        ClusterAddress(settings.kubeconfig, target.context or settings.kube_context)
    )
    cluster, pods = KubernetesCluster(connection), Pods(connection)
    return World(
        ClusterServers(cluster, pods, serving_plan(spec, target)),
        ClusterRouter(cluster, pods, spec.name.replace("_", "-"), target, clock=workspace.clock),
        spec.serving,
        workspace.clock,
        workspace.progress,
    )
