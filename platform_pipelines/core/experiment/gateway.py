"""What a gateway runs of an assignment: Envoy's weighted routes by the hash of `x-cohort`.

The order of the arms, their shares and the hash are those of the analysis (`arm_of`), so
that both say of a key alone where it belongs.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from platform_pipelines.core.experiment.declaration import ExperimentSpec
from platform_pipelines.core.road import rendering
from platform_pipelines.core.road.cohort_filter import COHORTS, cohort_pattern, cohort_policy
from platform_pipelines.core.road.manifests import Manifest
from platform_pipelines.core.road.routes import Endpoint
from platform_pipelines.errors import ConfigurationError


@dataclass(frozen=True, slots=True)
class Applied:
    """What is to run: servers, and shares of 100 of those that have one."""

    endpoints: tuple[Endpoint, ...]
    shares: Mapping[str, int]


def gateway_of(shares: Mapping[str, int], addresses: Mapping[str, str]) -> Applied:
    """The servers of the arms with their shares. `addresses`: arm -> host:port.

    Raises:
        ConfigurationError: an arm with a share has no address, or an address is none.
    """
    endpoints: list[Endpoint] = []
    for arm, share in sorted(shares.items()):
        host, _, port = addresses.get(arm, "").rpartition(":")
        if host and port.isdigit():
            endpoints.append(Endpoint(arm, host, int(port)))
        elif share:
            raise ConfigurationError(
                "an arm has no address", where=f"gateway.addresses.{arm}",
                stored=addresses.get(arm), expected="host:port",
            )  # fmt: skip
    return Applied(tuple(endpoints), {arm: share for arm, share in shares.items() if share})


def render_routes(
    spec: ExperimentSpec, shares: Mapping[str, int], live: str
) -> tuple[Manifest, ...]:
    """The Gateway API's route by cohorts, and Envoy Gateway's policy that makes a cohort of a key.

    Once an arm has everybody the route says so, and the filter stays: a rollback needs none.
    """
    routes = spec.routes
    assert routes is not None
    slug = spec.name.replace("_", "-")
    labels = rendering.labels("experiment", "assignment", slug)
    header = f"x-cohort-{slug}"
    rules: list[dict[str, Any]] = []
    percent = shares.get(spec.candidate, 0)
    if 0 < percent < COHORTS:
        match = {"type": "RegularExpression", "name": header, "value": cohort_pattern(percent)}
        taken = [_backend(routes.backends[spec.candidate])]
        rules.append({"matches": [{"headers": [match]}], "backendRefs": taken})
    rest = live if percent in (0, COHORTS) else spec.baseline
    rules.append({"backendRefs": [_backend(routes.backends[rest])]})
    route: dict[str, Any] = {"parentRefs": [{"name": routes.gateway}], "rules": rules}
    if routes.hostname:
        route["hostnames"] = [routes.hostname]
    policy = cohort_policy(
        slug, routes.namespace, gateway=routes.gateway, key_header=routes.key_header,
        header=header, prefix=f"{spec.name}:",
    )  # fmt: skip
    policy["metadata"]["labels"] = labels
    return (
        policy,
        rendering.kube(
            "gateway.networking.k8s.io/v1", "HTTPRoute", slug, namespace=routes.namespace,
            labels=labels, spec=route,
        ),
    )  # fmt: skip


def _backend(address: str) -> dict[str, Any]:
    name, _, port = address.rpartition(":")
    return {"name": name, "port": int(port)}
