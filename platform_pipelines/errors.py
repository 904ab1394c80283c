"""Every error that this package raises on purpose, and whether trying again can help.

    PlatformError
    ├── TerminalError              the same input fails the same way: no retry
    │   ├── ConfigurationError     a declaration or a setting is wrong
    │   │   └── RequestRefusedError    a server refuses this one request; another may pass
    │   ├── SourceError            the source of documents cannot be used as it is
    │   │   ├── SourceNotFoundError
    │   │   ├── SourceForbiddenError
    │   │   ├── CredentialsError       the keys themselves are refused: no object can be read
    │   │   └── EmptyCorpusError
    │   ├── DocumentError          one document cannot be used; carries a `Reason`
    │   ├── IntegrityError         what is stored is not what was expected
    │   │   └── ModelFileError
    │   ├── CapabilityError        a server cannot do what was asked
    │   ├── DimensionError
    │   ├── EvidenceError          evidence is missing, stale, foreign or not finite
    │   ├── GateFailedError        the evidence is sound and the answer is no (or not yet)
    │   ├── MissingTenantError
    │   ├── UnknownNameError       no such knowledge base, release or revision
    │   ├── StorageFullError
    │   ├── ManifestRefusedError   the API server refuses an object as it is
    │   ├── OwnershipError         an object belongs to somebody else
    │   └── MemoryBudgetError      killed for memory: terminal at the same size
    └── TransientError             the same call may succeed later
        ├── UnavailableError       a system does not answer
        ├── RateLimitedError       carries `retry_after_seconds`
        ├── ConflictError          somebody else wrote first
        │   └── LeaseHeldError
        ├── StageTimeoutError
        └── WorkerLostError

A message says what happened, where, what was stored and what expected, and what to do. The same
facts are attributes (`where`, `stored`, `expected`, `remedy`), so that no caller parses text.
Messages are logged: an address goes into one through `hide_user`, and every secret that this
process knows (`keep_secret`) is replaced in every message.
"""

import base64
import re
from urllib.parse import quote

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]*://")
# A host, and a port in digits: an `@` after that belongs to the path.
_HOST = re.compile(r"(?:\[[^\]/@]*\]|[^/@:?#]*)(?::[0-9]+)?[/?#]")


_SHORTEST_SECRET = 8  # shorter ones are words: hiding them would make every message unreadable
_secrets: set[str] = set()


def keep_secret(value: str | None) -> None:
    """Let no message of this process show a value, plain, in a URL or in base64."""
    if value is None or len(value) < _SHORTEST_SECRET:
        return
    encoded = base64.b64encode(value.encode("utf-8", "surrogatepass")).decode("ascii")
    _secrets.update({value, quote(value, safe=""), encoded.rstrip("=")})


def scrubbed(text: str) -> str:
    """A text with `***` for every known secret, the longest first."""
    for secret in sorted(_secrets, key=len, reverse=True):
        text = text.replace(secret, "***")
    return text


def scrub_causes(error: BaseException) -> None:
    """Take the secrets out of what led to an error: a traceback prints the whole chain."""
    seen: set[int] = set()
    below = error.__cause__ or error.__context__
    while below is not None and id(below) not in seen:
        seen.add(id(below))
        if scrubbed(str(below)) != str(below):
            below.args = tuple(scrubbed(str(one)) for one in below.args)
            if scrubbed(str(below)) != str(below):  # it shows what is not among its arguments
                error.__cause__, error.__suppress_context__ = None, True
                return
        below = below.__cause__ or below.__context__


def hide_user(address: str) -> str:
    """An address with `***` for its user and password; one that holds neither is as it was.

    What has no clear host before its last `@` is hidden: a password may hold any character.
    """
    scheme = _SCHEME.match(address)
    start = scheme.end() if scheme else 0
    _, at, host = address[start:].rpartition("@")
    if not at or _HOST.match(address, start):
        return address
    return f"{address[:start]}***@{host}"


class PlatformError(Exception):
    """Base of all errors raised on purpose. `terminal` decides retry in one place (`policy.py`)."""

    terminal: bool = True

    def __init__(
        self,
        what: str,
        *,
        where: str = "",
        stored: object = None,
        expected: object = None,
        remedy: str = "",
    ) -> None:
        self.what = scrubbed(what)
        self.where = scrubbed(where)
        self.stored = stored
        self.expected = expected
        self.remedy = remedy
        super().__init__(self._message())

    def _message(self) -> str:
        parts = [self.what]
        if self.where:
            parts.append(f"where: {self.where}")
        if self.stored is not None:
            parts.append(f"found: {self.stored}")
        if self.expected is not None:
            parts.append(f"expected: {self.expected}")
        if self.remedy:
            parts.append(f"what to do: {self.remedy}")
        return scrubbed("\n  ".join(parts))


class TerminalError(PlatformError):
    """The same input fails the same way; a retry is waste."""


class TransientError(PlatformError):
    """The same call may succeed later; policy retries it with back-off."""

    terminal = False


class ConfigurationError(TerminalError):
    """A declaration or a setting is wrong: names the field, the value and what is allowed."""


class RequestRefusedError(ConfigurationError):
    """A server refuses a request as it is: it is too long, or of another model than it has."""


class SourceError(TerminalError):
    """The source of documents cannot be used as it is."""


class SourceNotFoundError(SourceError):
    """The folder, the bucket or the object does not exist."""


class SourceForbiddenError(SourceError):
    """The credentials in use may not read the source."""


class CredentialsError(SourceError):
    """The store refuses the keys, or the account: nothing there can be read with them."""


class EmptyCorpusError(SourceError):
    """The source holds no document. An empty listing never deletes an index."""


class DocumentError(TerminalError):
    """One document cannot be used. `reason` is a `core.documents.Reason` value."""

    def __init__(self, what: str, *, reason: str, where: str = "", remedy: str = "") -> None:
        self.reason = reason
        super().__init__(what, where=where, remedy=remedy)


class IntegrityError(TerminalError):
    """Stored bytes or counts are not what their record says."""


class ModelFileError(IntegrityError):
    """A model file is missing, or its digest is not the recorded one."""


class CapabilityError(TerminalError):
    """The server cannot do what was asked (index type, keyword search, ...)."""


class DimensionError(TerminalError):
    """Vectors of one length met a collection or an embedder of another."""


class EvidenceError(TerminalError):
    """Evidence is missing, stale, foreign or not finite; it never passes a gate."""


class GateFailedError(TerminalError):
    """The evidence is sound, and the gate answered `fail` or `undecided`."""


class MissingTenantError(TerminalError):
    """A query without a tenant is an error, not a wider search."""


class UnknownNameError(TerminalError):
    """No such knowledge base, release or revision."""


class ManifestRefusedError(TerminalError):
    """The API server refuses an object: its schema, a quota, a security level or a policy does."""


class OwnershipError(TerminalError):
    """What would be changed or deleted belongs to somebody else; nothing of it is touched."""


class StorageFullError(TerminalError):
    """The disk or the bucket quota is full."""


class MemoryBudgetError(TerminalError):
    """Killed for memory: it would be killed again at the same size."""


class UnavailableError(TransientError):
    """A system does not answer, or answers with a server-side failure."""


class RateLimitedError(TransientError):
    """HTTP 429. `retry_after_seconds` is the server's wish, or None."""

    def __init__(
        self, what: str, *, retry_after_seconds: float | None = None, where: str = ""
    ) -> None:
        self.retry_after_seconds = retry_after_seconds
        super().__init__(what, where=where, remedy="lower the concurrency or try again later")


class ConflictError(TransientError):
    """Somebody else wrote first; read again and decide again."""


class LeaseHeldError(ConflictError):
    """Another run holds the lease, and the time to wait for it is over."""


class StageTimeoutError(TransientError):
    """A stage did not end within its time budget."""


class WorkerLostError(TransientError):
    """A worker process died without a verdict on its task."""
