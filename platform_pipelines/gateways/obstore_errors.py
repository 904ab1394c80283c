"""Which typed error an obstore error means.

obstore 0.12 tells many failures apart only in their text: a listing of a missing bucket, wrong
credentials and a server that is down are all `GenericError`.
"""

import contextlib
import re
from collections.abc import Generator

from platform_pipelines.errors import (
    ConfigurationError,
    ConflictError,
    CredentialsError,
    PlatformError,
    RateLimitedError,
    SourceForbiddenError,
    SourceNotFoundError,
    StorageFullError,
    UnavailableError,
)

_STATUS = re.compile(r"status code: (\d{3})")
_CODE = re.compile(r"<Code>([A-Za-z.]+)</Code>")
_SAID_CHARACTERS = 300
_REDIRECT = "redirect without LOCATION"  # S3's way to say: another region
# The keys, the clock or the account are wrong, whatever the status: no object can be read.
_CREDENTIAL_CODES = frozenset({
    "AccountProblem", "AllAccessDisabled", "ExpiredToken",
    "InvalidAccessKeyId", "InvalidSecurity", "InvalidToken", "NotSignedUp",
    "RequestTimeTooSkewed", "SignatureDoesNotMatch", "TokenRefreshRequired", "UnauthorizedAccess",
})  # fmt: skip
_KEY_REFUSED = "(code: AccessDenied)"  # of one key, in the 200 that answers a bulk delete
_ARCHIVED = "InvalidObjectState"  # in Glacier or Deep Archive
_CREDENTIAL_SIGNS = ("credential", "InvalidAccessKeyId", "169.254.169.254")


@contextlib.contextmanager
def typed_errors(where: str) -> Generator[None]:
    """Turn every error of obstore in the block into a typed one."""
    from obstore.exceptions import BaseError

    try:
        yield
    except (BaseError, FileNotFoundError, PermissionError, TimeoutError) as error:
        raise mapped(error, where=where) from error
    except ValueError as error:
        if "Could not parse path" not in str(error):
            raise
        raise ConfigurationError(
            "an S3 client cannot name this key",
            where=where,
            remedy="rename the object without control characters and `.` parts",
        ) from error
    except BaseException as error:
        # pyo3 has no common name for a Rust panic, and it is no Exception: known by its class name.
        if type(error).__name__ != "PanicException":
            raise
        raise ConfigurationError(
            "the S3 client broke down on these settings or this name",
            where=where,
            stored=_said(error),
            remedy="check the S3 settings and the object's name",
        ) from None


def mapped(error: Exception, *, where: str) -> PlatformError:
    """The typed error for what obstore raised. The request's own text is kept, shortened."""
    from obstore.exceptions import AlreadyExistsError, InvalidPathError, PreconditionError

    said = _said(error)
    if isinstance(error, AlreadyExistsError):
        return ConflictError("the object exists already", where=where)
    if isinstance(error, PreconditionError):
        return ConflictError(
            "somebody else wrote the object", where=where, remedy="read it again and decide again"
        )
    if isinstance(error, InvalidPathError):
        return ConfigurationError(
            "the bucket holds a key that an S3 client cannot name",
            where=where,
            stored=said,
            remedy="rename or delete that object (control characters, `.` or `..` as a part)",
        )
    return _by_status(str(error), said, where)


def _by_status(text: str, said: str, where: str) -> PlatformError:
    status = _first(_STATUS, text)
    code = _first(_CODE, text)
    if code == "PreconditionFailed" or status in {"409", "412"}:
        return ConflictError("somebody else wrote the object", where=where, stored=said)
    if status == "404" or text.startswith("Object at location"):
        what = "there is no such bucket" if code == "NoSuchBucket" else "there is no such object"
        return SourceNotFoundError(what, where=where, remedy="correct the URL or create it")
    if (
        status == "401"
        or code in _CREDENTIAL_CODES
        or any(sign in text for sign in _CREDENTIAL_SIGNS)
    ):
        return CredentialsError(
            "the store refuses these credentials",
            where=where,
            stored=code or said,
            remedy="set the access key and secret, or the role, and this machine's clock",
        )
    if code == _ARCHIVED:
        return SourceForbiddenError(
            "the object is archived (Glacier): it must be restored before it can be read",
            where=where,
            stored=code,
            remedy="restore it in S3, or leave it out with `source.exclude`",
        )
    if status == "403" or _KEY_REFUSED in text:
        return SourceForbiddenError(
            "the store does not let these credentials do this",
            where=where,
            stored=code or said,
            remedy="allow it in the bucket policy or in the role's policy",
        )
    return _by_server_state(status, code, said, where)


def _by_server_state(status: str, code: str, said: str, where: str) -> PlatformError:
    if status == "429" or code in {"SlowDown", "TooManyRequests"}:
        return RateLimitedError("the store asks for fewer requests", where=where)
    if status == "507" or code in {"QuotaExceeded", "XMinioStorageFull"}:
        return StorageFullError("the bucket's quota is full", where=where, stored=code or status)
    if status.startswith(("3", "4")) or _REDIRECT in said:
        return ConfigurationError(
            "the store does not accept the request",
            where=where,
            stored=code or said,
            expected="an existing bucket, its region and its endpoint",
            remedy="check the URL, `endpoint`, `region` and `path_style`",
        )
    return UnavailableError(
        "the store does not answer",
        where=where,
        stored=said,
        remedy="check the endpoint, try later",
    )


def _first(pattern: re.Pattern[str], text: str) -> str:
    found = pattern.search(text)
    return found.group(1) if found else ""


def _said(error: BaseException) -> str:
    """The message without obstore's debug dump."""
    return str(error).split("\n\nDebug source", 1)[0].replace("\n", " ")[:_SAID_CHARACTERS]
