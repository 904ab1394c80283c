"""The gateway sets `x-cohort: 00`-`99` from a hashed key: a Lua filter of Envoy, and its policy.

What a client sends as its cohort is replaced: nobody chooses a side. Without the key a request has
no cohort and gets the champion's answers.
"""

from typing import Any

from platform_pipelines.core.road.routes import COHORT_HEADER
from platform_pipelines.errors import ConfigurationError

COHORTS = 100
_PRIME = 4_294_967_291  # below 2^32: every product below stays exact in Lua's doubles


def cohort_of(key: str) -> str:
    """The cohort of a key, as the filter finds it."""
    value = 0
    for byte in key.encode():
        value = (value * 31 + byte) % _PRIME
    return f"{value % COHORTS:02}"


def lua_filter(key_header: str, *, header: str = COHORT_HEADER, prefix: str = "") -> str:
    """The program: the same arithmetic as `cohort_of`, of the key after `prefix`."""
    return f"""function envoy_on_request(handle)
  local headers = handle:headers()
  headers:remove("{header}")
  local key = headers:get("{key_header}")
  if key == nil then return end
  key = "{prefix}" .. key
  local value = 0
  for i = 1, #key do value = (value * 31 + string.byte(key, i)) % {_PRIME} end
  headers:add("{header}", string.format("%02d", value % {COHORTS}))
end
"""


def cohort_pattern(percent: int) -> str:
    """A regular expression of the cohorts below a share, in RE2's and Python's words.

    Raises:
        ConfigurationError: not 0 to 100.
    """
    if not 0 <= percent <= COHORTS:
        raise ConfigurationError("no share of 100", stored=percent, expected="0 to 100")
    tens, ones = divmod(percent, 10)
    parts = [f"[0-{tens - 1}][0-9]"] if tens else []
    parts += [f"{tens}[0-{ones - 1}]"] if ones else []
    return f"^({'|'.join(parts)})$" if parts else "^$"


def cohort_policy(
    name: str,
    namespace: str,
    *,
    gateway: str,
    key_header: str,
    header: str = COHORT_HEADER,
    prefix: str = "",
) -> dict[str, Any]:
    """Envoy Gateway's policy that runs the filter before routes are matched."""
    target = {"group": "gateway.networking.k8s.io", "kind": "Gateway", "name": gateway}
    program = lua_filter(key_header, header=header, prefix=prefix)
    return {
        "apiVersion": "gateway.envoyproxy.io/v1alpha1",
        "kind": "EnvoyExtensionPolicy",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "targetRefs": [target],
            "lua": [{"type": "Inline", "inline": program}],
        },
    }
