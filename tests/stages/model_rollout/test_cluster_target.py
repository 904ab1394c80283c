"""A rollout in a cluster, against a small API server: what is applied, and in which order.

Everything of the product is real, from the controller to the requests that the API server gets; the
users and the model servers are the small world's. tests/cluster shows the objects to a real one.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from platform_pipelines.core.model_rollout.declaration import ModelRolloutSpec
from platform_pipelines.core.model_rollout.machine import Phase
from platform_pipelines.core.road.cohort_filter import cohort_pattern
from platform_pipelines.errors import IntegrityError, UnavailableError
from platform_pipelines.gateways.cluster.connection import ClusterAddress, Connection
from platform_pipelines.gateways.cluster.manifests import KubernetesCluster
from platform_pipelines.gateways.cluster.model_routes import ClusterRouter
from platform_pipelines.gateways.cluster.model_servers import ClusterServers
from platform_pipelines.gateways.cluster.pods import Pods
from platform_pipelines.gateways.model_server import Address
from platform_pipelines.stages.model_rollout.rollout import Controller
from platform_pipelines.stages.model_rollout.targets import serving_plan
from platform_pipelines.stages.model_rollout.world import World
from tests.servers.kubernetes_api import KubernetesApi
from tests.stages.model_rollout.fake_world import REQUESTS_A_SECOND, Side, http_server
from tests.stages.model_rollout.town import GOLDEN, NEW, OLD, RIGHT, SPEC, Town

CLUSTER = {
    "namespace": "models", "gateway": "edge", "image": "vllm/vllm-openai:v0.33.0",
    "models_claim": "models", "replicas": 2,
}  # fmt: skip
IN_CLUSTER = ModelRolloutSpec.model_validate(
    {**SPEC.model_dump(), "target": "kubernetes", "cluster": CLUSTER}
)
OVER_NODES = ModelRolloutSpec.model_validate(
    {
        **SPEC.model_dump(), "target": "kubernetes",
        "cluster": {**CLUSTER, "tensor_parallel": 8, "pipeline_parallel": 2},
    }
)  # fmt: skip
NAMES = {f"model-{digest[:12]}": digest for digest in (OLD, NEW)}
ROUTE = "/apis/gateway.networking.k8s.io/v1/namespaces/models/httproutes/live"
GATEWAY = "/apis/gateway.networking.k8s.io/v1/namespaces/models/gateways/edge"


@dataclass
class Place:
    """The cluster, its users, and a controller of it. It is the town's router for its clock."""

    town: Town
    api: KubernetesApi
    controller: Controller
    servers: dict[str, Any]
    totals: dict[str, float] = field(default_factory=dict[str, float])
    shares: list[int] = field(default_factory=list[int])

    def rules(self) -> list[dict[str, Any]]:
        route = self.api.get(ROUTE)
        return route["spec"]["rules"] if route else []

    def pass_second(self) -> None:
        """A hundred cohorts ask; each rule's cluster counts, and so does who answers."""
        rules = self.rules()
        taken = self.share() / 100
        for number, rule in enumerate(rules):
            share = (taken if number == 0 else 1 - taken) if len(rules) > 1 else 1.0
            cluster = f"httproute/models/live/rule/{number}"
            name = rule["backendRefs"][0]["name"]
            asked = REQUESTS_A_SECOND * share
            self.totals[cluster] = self.totals.get(cluster, 0) + asked
            self.town.servers.sides[NAMES[name]].serve(asked)

    def share(self) -> int:
        """Of the candidate, as the cohorts of the live route say."""
        rules, new = self.rules(), f"model-{NEW[:12]}"
        if len(rules) == 1:
            return 100 if rules[0]["backendRefs"][0]["name"] == new else 0
        value = rules[0]["matches"][0]["headers"][0]["value"]
        return next(p for p in range(1, 100) if cohort_pattern(p) == value)

    def page(self, pod: str, path: str) -> str | None:
        """Of a pod: half of a side's counters each, or the gateway's."""
        if path == "/metrics" and pod in self.api.gateway_pods:
            lines = [
                f'agentgateway_requests_total{{backend="service/models/{side}.models.svc:8000",'
                f'route="models/live",status="{status}"}} {count}'
                for side, digest in NAMES.items()
                for served in [self.town.servers.sides[digest]]
                for status, count in (
                    ("200", served.requests - served.failed), ("500", served.failed)
                )
            ]  # fmt: skip
            return "\n".join(lines)
        if path.startswith("/stats"):
            lines = [
                f'envoy_cluster_upstream_rq_total{{envoy_cluster_name="{name}"}} {total}'
                for name, total in self.totals.items()
            ]
            return "\n".join(lines)
        side = self.town.servers.sides[NAMES[pod.rpartition("-")[0]]]
        half = replace(side, requests=side.requests / 2, failed=side.failed / 2)
        return None if side.loses_metrics and side.served_seconds > 2 else half.page


@pytest.fixture
def make_place(make_town: Callable[..., Town], tmp_path: Path) -> Iterator[Callable[..., Place]]:
    places: list[Place] = []

    def make(
        candidate: Side | None = None, *, spec: ModelRolloutSpec = IN_CLUSTER, **api_faults: Any
    ) -> Place:
        def page(pod: str, path: str) -> str | None:
            return places[-1].page(pod, path)

        town = make_town(candidate, spec=spec)
        api = KubernetesApi(page, **api_faults).__enter__()
        api.put(GATEWAY, {"kind": "Gateway", "metadata": {"name": "edge"}, "spec": {}})
        connection = Connection(ClusterAddress(api.kubeconfig(tmp_path)))
        cluster, pods, target = KubernetesCluster(connection), Pods(connection), spec.cluster
        assert target is not None
        servers = {n: http_server(town.servers.sides[d]) for n, d in NAMES.items()}
        world = World(
            ClusterServers(
                cluster, pods, serving_plan(spec, target),
                locate=lambda name: Address("127.0.0.1", servers[name].server_port),
            ),
            ClusterRouter(cluster, pods, "live", target, clock=town.clock),
            spec.serving, town.clock, lambda _: None,
        )  # fmt: skip
        controller = Controller(town.workspace, town.registry, world, GOLDEN)
        places.append(Place(town, api, controller, servers))
        town.clock.router = places[-1]  # pyright: ignore[reportAttributeAccessIssue]
        return places[-1]

    yield make
    for place in places:
        place.api.__exit__()
        for server in place.servers.values():
            server.shutdown()
            server.server_close()


def kinds_of(place: Place, name: str) -> list[tuple[str, str]]:
    return [(did, what.split()[0]) for did, what in place.api.history if what.endswith(name)]


def test_a_healthy_candidate_takes_the_route_step_by_step(make_place: Callable[..., Place]) -> None:
    """Its objects, then 5, 20, 50, 100 % of the cohorts, and only then the old one goes."""
    place = make_place()
    ended = place.controller.run()
    assert ended is not None
    assert ended.phase is Phase.PROMOTED, [e.reasons for e in ended.history]
    assert place.share() == 100
    old, new = f"model-{OLD[:12]}", f"model-{NEW[:12]}"
    assert kinds_of(place, new) == [
        ("apply", "Service"), ("apply", "PodDisruptionBudget"), ("apply", "Deployment")
    ]  # fmt: skip
    assert kinds_of(place, old)[3:] == [
        ("delete", "Deployment"), ("delete", "PodDisruptionBudget"), ("delete", "Service")
    ]  # fmt: skip
    did = [what for _, what in place.api.history]
    last_route = len(did) - 1 - did[::-1].index("HTTPRoute live")
    assert last_route < place.api.history.index(("delete", f"Deployment {old}"))
    assert did.count("HTTPRoute live") == 5  # all to the champion, and four steps
    assert "EnvoyExtensionPolicy live-cohorts" in did
    assert place.town.live() == NEW


@pytest.mark.parametrize(
    ("side", "why"),
    [
        (Side(RIGHT, errors=0.5), "errors"),
        (Side(RIGHT, latency_seconds=0.5), "latency"),
        (Side(RIGHT, loses_metrics=True), "metrics_lost"),
        (Side({}), "answer_f1"),
    ],
)
def test_a_bad_candidate_loses_the_route_before_its_pods(
    make_place: Callable[..., Place], side: Side, why: str
) -> None:
    """Each side's own counters, of all its pods; nobody is sent to it afterwards."""
    place = make_place(side)
    ended = place.controller.run()
    assert ended is not None
    assert ended.phase is Phase.ROLLED_BACK
    assert any(why in r for e in ended.history for r in e.reasons), ended.history
    assert place.share() == 0
    new = f"model-{NEW[:12]}"
    assert kinds_of(place, new)[-3:] == [
        ("delete", "Deployment"), ("delete", "PodDisruptionBudget"), ("delete", "Service")
    ]  # fmt: skip
    assert place.town.live() is None


def test_pods_that_end_again_and_again_are_not_waited_for(
    make_place: Callable[..., Place],
) -> None:
    """The weights are not those of the digest, or memory is out: Kubernetes says so soon."""
    new = f"model-{NEW[:12]}"
    place = make_place(
        pod_reason=lambda name: "CrashLoopBackOff" if name == new else "",
        is_ready=lambda name: name != new,
    )
    ended = place.controller.run()
    assert ended is not None
    assert ended.phase is Phase.ROLLED_BACK
    assert "ended while it started" in str([e.reasons for e in ended.history])
    assert place.town.clock.seconds < IN_CLUSTER.serving.start_seconds
    assert f"Deployment {new}" in [what for did, what in place.api.history if did == "delete"]


def test_a_model_over_several_nodes_is_rolled_out_as_a_leader_worker_set(
    make_place: Callable[..., Place],
) -> None:
    """Its leaders are asked and counted; the old set goes when nobody is sent to it."""
    place = make_place(spec=OVER_NODES)
    ended = place.controller.run()
    assert ended is not None
    assert ended.phase is Phase.PROMOTED, [e.reasons for e in ended.history]
    old, new = f"model-{OLD[:12]}", f"model-{NEW[:12]}"
    assert kinds_of(place, new)[-1] == ("apply", "LeaderWorkerSet")
    assert kinds_of(place, old)[3] == ("delete", "LeaderWorkerSet")
    made = place.api.get(
        f"/apis/leaderworkerset.x-k8s.io/v1/namespaces/models/leaderworkersets/{new}"
    )
    assert made is not None
    assert made["spec"]["leaderWorkerTemplate"]["size"] == 2


@pytest.mark.parametrize(
    ("side", "phase"),
    [(Side(RIGHT), Phase.PROMOTED), (Side(RIGHT, errors=0.5), Phase.ROLLED_BACK)],
)
def test_agentgateways_own_counts_of_each_backend_are_read(
    make_place: Callable[..., Place], side: Side, phase: Phase
) -> None:
    """By the name of the side in its label; another route's requests are nobody's here."""
    place = make_place(
        replace(side),
        spec=ModelRolloutSpec.model_validate(
            {
                **SPEC.model_dump(), "target": "kubernetes",
                "cluster": {**CLUSTER, "controller": "agentgateway"},
            }
        ),
    )  # fmt: skip
    ended = place.controller.run()
    assert ended is not None
    assert ended.phase is phase, [e.reasons for e in ended.history]
    judged = [e.facts["candidate"] for e in ended.history if e.facts.get("candidate")]
    assert all(window["requests"] > 0 for window in judged)
    applied = {what.split()[0] for _, what in place.api.history}
    assert "EnvoyExtensionPolicy" not in applied


def test_a_worker_that_cannot_start_is_its_groups_failure(make_place: Callable[..., Place]) -> None:
    """The leader waits for it as long as it may: Kubernetes says earlier that it is in vain."""
    new = f"model-{NEW[:12]}"
    place = make_place(
        spec=OVER_NODES,
        worker_reason=lambda name: "CrashLoopBackOff" if name == new else "",
        is_ready=lambda name: name != new,
    )
    ended = place.controller.run()
    assert ended is not None
    assert ended.phase is Phase.ROLLED_BACK
    assert place.town.clock.seconds < OVER_NODES.serving.start_seconds
    assert f"LeaderWorkerSet {new}" in [what for did, what in place.api.history if did == "delete"]


def test_a_route_that_the_gateway_refuses_is_told(make_place: Callable[..., Place]) -> None:
    """Nothing is believed that its Gateway did not take."""
    place = make_place(route_problem="Service models/model-x not found")
    with pytest.raises(IntegrityError, match="refuses the route") as told:
        place.controller.run()
    assert "model-x not found" in str(told.value)


def test_a_missing_gateway_is_named(make_place: Callable[..., Place]) -> None:
    """Before anything is applied."""
    place = make_place()
    place.api.objects.clear()
    place.api.history.clear()
    with pytest.raises(UnavailableError, match="no such Gateway"):
        place.controller.run()
    assert place.api.history == []
