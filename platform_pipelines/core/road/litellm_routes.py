"""A rollout's sides as the model list of a LiteLLM proxy, with weights that are 100 together.

The list's own weights choose at random, request by request. Cohorts that stay need more: a hook of
ours (`gateways/programs/litellm_cohorts.py`) chooses by `x-cohort`, and reads the shares from a
file, so that a step needs no other configuration. A request without the header is by chance.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from platform_pipelines.core.road.identity import digest_json
from platform_pipelines.core.road.routes import TOTAL, Endpoint
from platform_pipelines.core.road.served_model import SERVED_NAME
from platform_pipelines.errors import ConfigurationError

HOOK = "cohorts.hook"  # module and instance, beside the configuration
_NO_KEY = "none"  # OpenAI's client insists on one


def proxy_config(endpoints: Sequence[Endpoint], shares: Mapping[str, int]) -> dict[str, Any]:
    """The proxy's configuration: each side a deployment of one model.

    Nothing is tried again and nobody is set aside: the controller sees every failure.
    """
    return {
        "model_list": [
            {
                "model_name": SERVED_NAME,
                "litellm_params": {
                    "model": f"hosted_vllm/{SERVED_NAME}",
                    "api_base": f"http://{one.host}:{one.port}/v1",
                    "api_key": _NO_KEY,
                    "weight": shares.get(one.name, 0),
                },
                "model_info": {"id": one.name},
            }
            for one in sorted(endpoints, key=lambda one: one.name)
        ],
        "router_settings": {
            "routing_strategy": "simple-shuffle",
            "num_retries": 0,
            "disable_cooldowns": True,
        },
        # 127.0.0.1 only, as the Envoy before it, which asks for no key either
        "general_settings": {"dangerously_permit_weak_or_unset_master_key": True},
        "litellm_settings": {"callbacks": [HOOK], "telemetry": False, "num_retries": 0},
    }


def generation(endpoints: Sequence[Endpoint]) -> str:
    """Names a proxy by the servers that it knows: other shares need no other one."""
    return digest_json(sorted([one.name, one.host, one.port] for one in endpoints))[:12]


def shares_record(shares: Mapping[str, int], first: str | None) -> dict[str, Any]:
    """What the hook reads: `order` has the side that grows first, so that no cohort moves back.

    Raises:
        ConfigurationError: the shares are not 100 together.
    """
    if sum(shares.values()) != TOTAL:
        raise ConfigurationError(
            "weights are not 100 together: cohorts would move", stored=dict(shares), expected=TOTAL
        )
    order = sorted(shares, key=lambda name: (name != first, name))
    return {"order": order, "shares": dict(shares)}
