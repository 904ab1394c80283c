"""What a process is told by variables, read as it is meant, and what of it is passed on.

Which variables there are and what they mean is in `settings`, the only reader of the environment.
"""

import os
import ssl
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path

from platform_pipelines.errors import ConfigurationError, hide_user

# What a worker's interpreter, its libraries and its connections read of this environment. Nothing
# else is passed on: a worker reads documents that strangers wrote. What it needs of the settings
# comes with its task.
PASSED_ON = (
    "HOME", "LANG", "LANGUAGE", "LC_*", "PATH", "PYTHON*", "TEMP", "TMP", "TMPDIR", "TZ", "USER",
    "DYLD_*", "LD_LIBRARY_PATH", "VIRTUAL_ENV",
    "MALLOC_*", "MKL_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS",
    "ALL_PROXY", "HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY", "SSL_CERT_DIR", "SSL_CERT_FILE",
    "all_proxy", "https_proxy", "http_proxy", "no_proxy",
)  # fmt: skip

# Of these, what a process that parses documents does not see: its user's files, and proxies, whose
# addresses may hold a password.
KEPT_FROM_PARSERS = ("HOME", "USER", "*_PROXY", "*_proxy")

# One file of certificates, by the names that the libraries of worker environments know.
TRUST_VARIABLES = (
    "AWS_CA_BUNDLE", "CURL_CA_BUNDLE", "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH", "REQUESTS_CA_BUNDLE",
)  # fmt: skip
LOOPBACK = ("localhost", "127.0.0.1", "::1")  # no proxy is asked for this machine itself

# A worker reads the source itself; without a key in the settings, by the machine's own credentials.
CREDENTIAL_CHAIN = ("AWS_*",)

# What the libraries of the workers need to see; set for child processes, never for this one.
WORKER_ENVIRONMENT = {
    "ARROW_DEFAULT_MEMORY_POOL": "system",
    "DAGSTER_DISABLE_TELEMETRY": "yes",
    "HF_HUB_OFFLINE": "1",
    # Each thread's own arena takes 64 MiB of addresses or more: 16 reads at once would be a budget.
    "MALLOC_ARENA_MAX": "2",
    "RAGAS_DO_NOT_TRACK": "true",  # else every evaluation waits for a time-out
    "TOKENIZERS_PARALLELISM": "false",
}


class Variables:
    """The variables as they are meant: trimmed, without control characters, empty is not set.

    A key that was pasted with its line's end is a key; a line's end inside of it is a mistake, and
    an HTTP client would print the key in its complaint.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment

    def get(self, name: str, default: str | None = None) -> str | None:
        """The value, or the default.

        Raises:
            ConfigurationError: a control character is in it; the value is not shown.
        """
        value = self._environment.get(name, "").strip()
        wrong = next((c for c in value if not c.isprintable()), None)
        if wrong is not None:
            raise ConfigurationError(
                f"{name} holds the character U+{ord(wrong):04X}, which cannot be meant",
                stored=f"{len(value)} characters, not shown",
                expected="one line of printable characters",
                remedy=f"set {name} again, on one line",
            )
        return value or default


def address(env: Variables, name: str, *, instead: str) -> str | None:
    """An address without user and password; `instead` names what takes those."""
    url = env.get(name) or None
    if url is not None and hide_user(url) != url:
        raise ConfigurationError(
            f"{name} holds a user or a password, and addresses are shown",
            stored=hide_user(url),
            expected="an address without user and password",
            remedy=f"take them out of {name}, and set {instead}",
        )
    return url


def choice(env: Variables, name: str, allowed: Sequence[str]) -> str:
    """One of a few words; the first is the default."""
    value = env.get(name) or allowed[0]
    if value not in allowed:
        raise ConfigurationError(f"{name} is {value!r}", expected=" or ".join(allowed))
    return value


def words(env: Variables, name: str) -> tuple[str, ...]:
    """Names, separated by commas."""
    return tuple(word for part in (env.get(name) or "").split(",") if (word := part.strip()))


def path(env: Variables, name: str) -> Path | None:
    """An absolute path, or None."""
    value = env.get(name)
    # without `..`, which no URL of a folder may have; links stay what they are
    return Path(os.path.abspath(Path(value).expanduser())) if value else None


def flag(env: Variables, name: str, *, default: bool) -> bool:
    """Yes or no."""
    value = (env.get(name) or "").lower()
    if value in ("", "1", "true", "yes", "on", "0", "false", "no", "off"):
        return value in ("1", "true", "yes", "on") if value else default
    raise ConfigurationError(f"{name} is {value!r}", expected="true or false")


def number(env: Variables, name: str, *, default: int, low: int, high: int) -> int:
    """A whole number within bounds."""
    value = env.get(name) or str(default)
    try:
        number = int(value)
    except ValueError:
        number = low - 1
    if not low <= number <= high:
        raise ConfigurationError(
            f"{name} is {value!r}", expected=f"a whole number, {low} to {high}"
        )
    return number


def check_trust(env: Variables) -> None:
    """A file of certificates that is not there would silently be another one."""
    named = env.get("SSL_CERT_FILE") or ""
    try:
        if named:
            ssl.create_default_context(cafile=named)
    except OSError as error:  # ssl.SSLError is one
        raise ConfigurationError(
            f"SSL_CERT_FILE cannot be used: {error}",
            where=named,
            expected="a file of certificates as PEM",
            remedy="name the file of your company's certificates, or unset it",
        ) from error


def shown_to_workers(environment: Mapping[str, str], *, credentials: bool) -> dict[str, str]:
    """What worker processes see of an environment; `credentials`: those of the machine, too."""
    patterns = (*PASSED_ON, *CREDENTIAL_CHAIN) if credentials else PASSED_ON
    passed = _passed_on(environment, patterns)
    return {**passed, **_network(environment), **WORKER_ENVIRONMENT}


def shown_to_parsers(environment: Mapping[str, str]) -> dict[str, str]:
    """What processes see of it that parse what strangers wrote."""
    passed = _passed_on(environment, PASSED_ON)
    hidden = {n for n in passed if any(fnmatchcase(n, p) for p in KEPT_FROM_PARSERS)}
    shown = {name: value for name, value in passed.items() if name not in hidden}
    # Tesseract's threads wait for each other longer than they work.
    return {**shown, **WORKER_ENVIRONMENT, "OMP_THREAD_LIMIT": "1"}


def _passed_on(environment: Mapping[str, str], patterns: Sequence[str]) -> dict[str, str]:
    """The variables that match one of the patterns."""
    return {
        name: value
        for name, value in environment.items()
        if any(fnmatchcase(name, pattern) for pattern in patterns)
    }


def _network(environment: Mapping[str, str]) -> dict[str, str]:
    """What libraries of other environments need to trust and to reach the same as we do."""
    bundle = environment.get("SSL_CERT_FILE")
    trust = dict.fromkeys(TRUST_VARIABLES, bundle) if bundle else {}
    direct = environment.get("no_proxy") or environment.get("NO_PROXY") or ""
    names = ",".join((*(n for n in direct.split(",") if n), *LOOPBACK))
    return {**trust, "NO_PROXY": names, "no_proxy": names}
