"""The gateway's configuration: Envoy's clusters and weighted routes, from two sides and a share.

A cohort (`x-cohort`, any key) is hashed onto the weights. Growing the candidate's share moves
nobody back as long as the weights always are 100 together, which `weights` sees to.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from platform_pipelines.core.road.identity import digest_json
from platform_pipelines.errors import ConfigurationError

TOTAL = 100
COHORT_HEADER = "x-cohort"
SIDE_HEADER = "x-model-cluster"  # who answered
_API = "type.googleapis.com/envoy"
_FILTERS = f"{_API}.extensions.filters.network"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A server behind the gateway."""

    name: str
    host: str
    port: int


def weights(candidate: str, champion: str, percent: int) -> dict[str, int]:
    """Shares by cluster, 100 together.

    Raises:
        ConfigurationError: not 0 to 100.
    """
    if not 0 <= percent <= TOTAL:
        raise ConfigurationError("no share of 100", stored=percent, expected="0 to 100")
    shares = {candidate: percent, champion: TOTAL - percent}
    return {name: share for name, share in sorted(shares.items()) if share} or {champion: TOTAL}


def bootstrap(*, port: int, admin_port: int, folder: str) -> dict[str, Any]:
    """What Envoy starts with: one listener, its routes and clusters from files of `folder`."""
    manager = {
        "@type": f"{_FILTERS}.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "models",
        "stream_idle_timeout": "300s",
        "rds": {
            "route_config_name": "models",
            "config_source": {"path_config_source": {"path": f"{folder}/routes.json"}},
        },
        "http_filters": [
            {
                "name": "envoy.filters.http.router",
                "typed_config": {"@type": f"{_API}.extensions.filters.http.router.v3.Router"},
            }
        ],
    }
    listener = {
        "name": "models",
        "address": _address("127.0.0.1", port),
        "filter_chains": [
            {
                "filters": [
                    {
                        "name": "envoy.filters.network.http_connection_manager",
                        "typed_config": manager,
                    }
                ]
            }
        ],
    }
    return {
        "node": {"id": "models", "cluster": "models"},
        "admin": {"address": _address("127.0.0.1", admin_port)},
        "dynamic_resources": {
            "cds_config": {"path_config_source": {"path": f"{folder}/clusters.json"}}
        },
        "static_resources": {"listeners": [listener]},
    }


def clusters(endpoints: Sequence[Endpoint]) -> dict[str, Any]:
    """The file of clusters, its version the digest of its content."""
    return _versioned([_cluster(one) for one in sorted(endpoints, key=lambda one: one.name)])


def routes(shares: Mapping[str, int], *, mirror: str | None = None) -> dict[str, Any]:
    """The file of routes, its version the digest of its content.

    Raises:
        ConfigurationError: the shares are not 100 together.
    """
    if sum(shares.values()) != TOTAL:
        raise ConfigurationError(
            "weights are not 100 together: cohorts would move",
            stored=dict(shares),
            expected=TOTAL,
        )
    action: dict[str, Any] = {
        "weighted_clusters": {
            "clusters": [{"name": name, "weight": share} for name, share in sorted(shares.items())],
            "use_hash_policy": True,
        },
        "hash_policy": [{"header": {"header_name": COHORT_HEADER}}],
        "timeout": "600s",
        "retry_policy": {
            "retry_on": "connect-failure,refused-stream",
            "num_retries": 2,
            "retry_back_off": {"base_interval": "0.02s", "max_interval": "0.2s"},
        },
    }
    if mirror is not None:
        everything = {"default_value": {"numerator": 100, "denominator": "HUNDRED"}}
        action["request_mirror_policies"] = [{"cluster": mirror, "runtime_fraction": everything}]
    host = {
        "name": "models",
        "domains": ["*"],
        "routes": [{"match": {"prefix": "/"}, "route": action}],
    }
    answered_by = {"key": SIDE_HEADER, "value": "%UPSTREAM_CLUSTER_RAW%"}
    return _versioned(
        [
            {
                "@type": f"{_API}.config.route.v3.RouteConfiguration",
                "name": "models",
                "validate_clusters": True,
                "response_headers_to_add": [{"header": answered_by}],
                "virtual_hosts": [host],
            }
        ]
    )


def no_routes() -> dict[str, Any]:
    """What is served before the first route: 404 for everything."""
    return _versioned([{"@type": f"{_API}.config.route.v3.RouteConfiguration", "name": "models"}])


def _cluster(one: Endpoint) -> dict[str, Any]:
    """One server. It is never ejected here: the controller routes away, and sees every error."""
    endpoint = {"endpoint": {"address": _address(one.host, one.port)}}
    return {
        "@type": f"{_API}.config.cluster.v3.Cluster",
        "name": one.name,
        "type": "STATIC",
        "connect_timeout": "1s",
        "load_assignment": {
            "cluster_name": one.name,
            "endpoints": [{"lb_endpoints": [endpoint]}],
        },
        "track_cluster_stats": {"per_endpoint_stats": True},
        "circuit_breakers": {"thresholds": [{"max_requests": 512, "max_pending_requests": 512}]},
    }


def _address(host: str, port: int) -> dict[str, Any]:
    return {"socket_address": {"address": host, "port_value": port}}


def _versioned(resources: list[dict[str, Any]]) -> dict[str, Any]:
    """Envoy drops an update of equal content and goes on naming the old version."""
    return {"version_info": digest_json(resources)[:12], "resources": resources}
