"""What pymilvus and gRPC raise, as this package's errors: one table.

Codes: Milvus' `pkg/util/merr/errors.go` (new codes) and the legacy `common.proto` enum, which
Milvus Lite uses (`milvus_lite/adapter/grpc/errors.py`).
"""

from collections.abc import Generator
from contextlib import contextmanager

from platform_pipelines.errors import (
    CapabilityError,
    ConfigurationError,
    PlatformError,
    RateLimitedError,
    StorageFullError,
    UnavailableError,
    UnknownNameError,
)
from platform_pipelines.gateways.milvus.library import pymilvus

NOT_LOADED = 101
NOT_LOADED_WORDS = "not loaded"  # Milvus Lite, and servers before 2.3

BY_CODE: dict[int, type[PlatformError]] = {
    6: ConfigurationError,  # legacy IllegalArgument (Lite)
    7: StorageFullError,  # disk quota exceeded
    8: RateLimitedError,
    10: CapabilityError,  # unimplemented
    26: CapabilityError,  # legacy IndexBuildFailed (Lite: the index needs a library)
    100: UnknownNameError,  # collection not found
    NOT_LOADED: UnavailableError,  # collection not loaded: not sealed yet, or still loading
    701: CapabilityError,  # index not supported
    1100: ConfigurationError,  # invalid parameter
    1400: ConfigurationError,  # not authenticated
    1401: ConfigurationError,  # not permitted
    1600: UnknownNameError,  # alias not found
}

# gRPC's own verdicts, by name: pymilvus wraps some of them as the code of a MilvusException.
BY_STATUS: dict[str, type[PlatformError]] = {
    "UNAUTHENTICATED": ConfigurationError,
    "PERMISSION_DENIED": ConfigurationError,
    "UNIMPLEMENTED": CapabilityError,
}

# Milvus and Milvus Lite report these as "unexpected error", so that only the words tell.
BY_WORDS: tuple[tuple[str, type[PlatformError]], ...] = (
    ("no space left on device", StorageFullError),
    ("disk quota", StorageFullError),
    ("index type", CapabilityError),
    ("index_type", CapabilityError),
    ("field name(sparse) not found", CapabilityError),
    ("'sparse' not found", CapabilityError),
)

REMEDIES: dict[type[PlatformError], str] = {
    CapabilityError: "ask `platform-pipelines doctor` what this server can do",
    ConfigurationError: "check the declaration's index parameters and the credentials",
    StorageFullError: "free disk space, or collect old releases",
    UnavailableError: "check that Milvus runs at this address; the call may be repeated",
    UnknownNameError: "refresh the knowledge base first, or check the name",
}


def is_released(error: PlatformError) -> bool:
    """Whether the server holds the collection and has not loaded it."""
    cause = error.__cause__
    code = _code(cause) if isinstance(cause, Exception) else None
    return code == NOT_LOADED or NOT_LOADED_WORDS in str(error).lower()


@contextmanager
def translated(doing: str, *, where: str) -> Generator[None]:
    """Turn whatever the client raises inside into an error of this package.

    Anything unknown is an `UnavailableError`: a server-side failure that a bounded retry may cure.
    """
    import grpc

    try:
        yield
    except (pymilvus().MilvusException, grpc.RpcError, grpc.FutureTimeoutError) as error:
        raise as_platform_error(error, doing=doing, where=where) from error


def as_platform_error(error: Exception, *, doing: str, where: str) -> PlatformError:
    """The error of this package for one of pymilvus or gRPC."""
    words = _words(error)
    kind = _kind(_code(error), words)
    what = f"Milvus could not {doing}: {words}"
    if kind is RateLimitedError:
        return RateLimitedError(what, where=where)
    return kind(what, where=where, remedy=REMEDIES[kind])


def _kind(code: object, words: str) -> type[PlatformError]:
    if isinstance(code, int) and code in BY_CODE:
        return BY_CODE[code]
    status = str(getattr(code, "name", ""))
    if status in BY_STATUS:
        return BY_STATUS[status]
    lowered = words.lower()
    return next((kind for part, kind in BY_WORDS if part in lowered), UnavailableError)


def _code(error: Exception) -> object:
    code = getattr(error, "code", None)
    return code() if callable(code) else code


def _words(error: Exception) -> str:
    for name in ("message", "details"):
        value = getattr(error, name, None)
        value = value() if callable(value) else value
        if value:
            return str(value).strip()
    return str(error) or type(error).__name__
