"""What a gateway runs of an assignment: Envoy's weighted routes by the hash of `x-cohort`.

The order of the arms, their shares and the hash are those of the analysis (`cohorts.arm_of`), so
that both say of a key alone where it belongs.
"""

from collections.abc import Mapping
from dataclasses import dataclass

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
