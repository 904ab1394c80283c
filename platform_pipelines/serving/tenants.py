"""Who asks: a bearer token names its tenant. Without declared tokens the request names it."""

import hashlib
import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from platform_pipelines.errors import ConfigurationError, MissingTenantError, PlatformError

MINIMUM_TOKEN_CHARACTERS = 16


class NotAllowedError(PlatformError):
    """No token, an unknown one (`status` 401), or one of another tenant (403)."""

    def __init__(self, what: str, *, status: int) -> None:
        self.status = status
        super().__init__(what, remedy="send `Authorization: Bearer TOKEN` of the tenant")


@dataclass(frozen=True, slots=True, repr=False)
class Tenants:
    """Digests of the declared tokens, each with its tenant; empty: no token is asked for."""

    by_digest: Mapping[bytes, str]

    @property
    def declared(self) -> bool:
        """Whether a token is asked for."""
        return bool(self.by_digest)

    def of_token(self, token: str) -> str | None:
        """The tenant of a token; compared without telling how much of it was right."""
        digest = _digest(token)
        found = [t for d, t in self.by_digest.items() if hmac.compare_digest(d, digest)]
        return found[0] if found else None

    def of_request(self, authorization: str, named: str) -> str:
        """The tenant of a request: its token's, which what it names must agree with.

        Raises:
            NotAllowedError: the token is missing, unknown, or another tenant's.
            MissingTenantError: no token is declared, and no tenant is named.
        """
        if not self.declared:
            if not named:
                raise MissingTenantError(
                    "a request without a tenant", remedy="name whose documents may be searched"
                )
            return named
        scheme, _, token = authorization.partition(" ")
        tenant = self.of_token(token.strip()) if scheme.lower() == "bearer" else None
        if tenant is None:
            raise NotAllowedError("a bearer token is needed, and this is none", status=401)
        if named and named != tenant:
            raise NotAllowedError("the token is of another tenant", status=403)
        return tenant


def token_of(path: Path | None, tenant: str) -> str | None:
    """A declared token of a tenant: for whoever may read the file anyway; None: none is needed.

    Raises:
        ConfigurationError: as `load_tenants`, or the tenant has none.
    """
    if path is None:
        return None
    load_tenants(path)
    tokens: Any = json.loads(path.read_text(encoding="utf-8")).get(tenant)
    if not tokens:
        raise _refused(f"tenant {tenant!r} has no token", path)
    return str(tokens if isinstance(tokens, str) else tokens[0])


def load_tenants(path: Path | None) -> Tenants:
    """The tokens of a JSON file, `{"tenant": ["token", ...]}`; no path: none.

    Raises:
        ConfigurationError: it cannot be read, or a token is short, or two tenants'.
    """
    if path is None:
        return Tenants({})
    try:
        declared: Any = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        reason = type(error).__name__  # the text of a JSON error may quote a token
        raise _refused(f"the tokens cannot be read ({reason})", path) from error
    if not isinstance(declared, dict) or not declared:
        raise _refused("the tokens are no object of tenants", path)
    found: dict[bytes, str] = {}
    for tenant, tokens in declared.items():
        for token in [tokens] if isinstance(tokens, str) else tokens:
            if not isinstance(token, str) or len(token) < MINIMUM_TOKEN_CHARACTERS:
                raise _refused(f"a token of tenant {tenant!r} is too short", path)
            if found.setdefault(_digest(token), tenant) != tenant:
                raise _refused(f"a token of tenant {tenant!r} is another tenant's too", path)
    return Tenants(found)


def _refused(what: str, path: Path) -> ConfigurationError:
    return ConfigurationError(
        what,
        where=str(path),
        expected='{"tenant": ["a token of 16 characters or more", ...]}',
        remedy="correct the file that PLATFORM_SERVE_TOKENS_FILE names",
    )


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()
