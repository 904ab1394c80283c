"""The model server's role in a cluster: a Deployment, a Service and a disruption budget a model.

A model that is cut over several nodes is a LeaderWorkerSet instead: its leaders answer, and a lost
worker ends its whole group.

Ending one is Kubernetes' matter: SIGTERM, then SIGKILL after the grace period, which is longer than
the server's own drain. Whoever ends it has routed away and waited before.
"""

from collections.abc import Callable, Mapping
from typing import Any

from platform_pipelines.core.model_rollout.manifests import (
    PORT,
    ServingPlan,
    deployment,
    disruption_budget,
    name_of,
    service,
    worker_labels,
    worker_set,
)
from platform_pipelines.core.road.manifests import key_of
from platform_pipelines.core.road.served_model import ModelRef, ServingSpec
from platform_pipelines.errors import ConflictError
from platform_pipelines.gateways.cluster.manifests import Cluster
from platform_pipelines.gateways.cluster.pods import Pod, Pods
from platform_pipelines.gateways.model_server import Address

SERVING_ANNOTATION = "platform/serving"


class ClusterServers:
    """`locate` says where a Service of a name is reached; by default by its name in the cluster."""

    def __init__(
        self,
        cluster: Cluster,
        pods: Pods,
        plan: ServingPlan,
        *,
        locate: Callable[[str], Address] | None = None,
    ) -> None:
        self._cluster = cluster
        self._pods = pods
        self._plan = plan
        self._locate = locate or self._in_cluster

    def start(self, model: ModelRef, spec: ServingSpec) -> Address:
        """Apply its objects: equal ones change nothing. An init container verifies the weights."""
        made = self._made(model, spec)
        live = self._cluster.get(key_of(made[-1]))
        if live is not None:
            _same(live, spec, model)
        for manifest in made:
            self._cluster.apply(manifest, force=True)
        return self._locate(name_of(model))

    def address(self, model: ModelRef) -> Address | None:
        """Where it listens; None when there is nothing of it."""
        live = self._live(model)
        return None if live is None else self._locate(name_of(model))

    def is_ready(self, model: ModelRef) -> bool:
        """Whether all replicas of what was applied last are ready."""
        live = self._live(model)
        if live is None:
            return False
        status: Mapping[str, Any] = live.get("status") or {}
        seen = int(status.get("observedGeneration", 0)) >= int(live["metadata"]["generation"])
        return seen and int(status.get("readyReplicas", 0)) >= self._plan.replicas

    def has_failed(self, model: ModelRef) -> bool:
        """Whether a pod of it cannot start, or ends again and again."""
        return any(pod.failing for pod in (*self._its_pods(model), *self._its_workers(model)))

    def metrics(self, model: ModelRef) -> str | None:
        """The pages of all its ready pods, one after the other; None when one of them is lost."""
        ready = [pod for pod in self._its_pods(model) if pod.is_ready]
        pages = [self._pods.page(self._plan.namespace, p.name, PORT, "/metrics") for p in ready]
        found = [page for page in pages if page is not None]
        return "\n".join(found) if found and len(found) == len(pages) else None

    def log_tail(self, model: ModelRef) -> str:
        """The end of the log of its first pod."""
        found = self._its_pods(model)
        return self._pods.log_tail(self._plan.namespace, found[0].name) if found else ""

    def stop(self, model: ModelRef, spec: ServingSpec) -> str:
        """Delete its objects, its pods first."""
        ended = "absent"
        for manifest in reversed(self._made(model, spec)):
            live = self._cluster.get(key_of(manifest))
            if live is not None:
                self._cluster.delete(live)
                ended = "ended"
        return ended

    def _in_cluster(self, name: str) -> Address:
        return Address(f"{name}.{self._plan.namespace}.svc", PORT)

    @property
    def _is_over_nodes(self) -> bool:
        return self._plan.sizing.pipeline_parallel > 1

    def _made(self, model: ModelRef, spec: ServingSpec) -> list[dict[str, Any]]:
        """Its objects, the one that makes pods last."""
        pods = self._pods_of(model)
        pods["metadata"] = {**pods["metadata"], "annotations": {SERVING_ANNOTATION: spec.digest}}
        return [service(model, self._plan), disruption_budget(model, self._plan), pods]

    def _pods_of(self, model: ModelRef) -> dict[str, Any]:
        return (worker_set if self._is_over_nodes else deployment)(model, self._plan)

    def _live(self, model: ModelRef) -> Mapping[str, Any] | None:
        return self._cluster.get(key_of(self._pods_of(model)))

    def _its_pods(self, model: ModelRef) -> list[Pod]:
        """Those that answer: of a group, its leader."""
        labels = service(model, self._plan)["spec"]["selector"]
        return self._pods.named(self._plan.namespace, labels)

    def _its_workers(self, model: ModelRef) -> list[Pod]:
        """Those that answer nobody, and without which a leader does not."""
        if not self._is_over_nodes:
            return []
        return self._pods.named(self._plan.namespace, worker_labels(model))


def _same(live: Mapping[str, Any], spec: ServingSpec, model: ModelRef) -> None:
    annotations: Mapping[str, str] = live["metadata"].get("annotations") or {}
    found = annotations.get(SERVING_ANNOTATION)
    if found != spec.digest:
        raise ConflictError(
            "this model is served otherwise already",
            where=f"{live.get('kind', 'object')} {live['metadata']['name']}",
            stored=found,
            expected=spec.digest,
            remedy=f"stop the server of {model.short}, or declare `serving` as before",
        )
