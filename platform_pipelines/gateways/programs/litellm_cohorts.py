"""Loaded by LiteLLM's proxy from beside its configuration: who gets which deployment, and counts.

`shares.json` stands in the folder above and is read again when it changed, so that weights change
without a restart. `x-cohort` is hashed to 0-99; the side that grows has the lowest numbers. What
happened to each deployment is counted in `counts.json` here: the proxy's own numbers, by side.
"""
# pyright: basic, reportMissingImports=false

import hashlib
import json
import random
from contextlib import suppress
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
SHARES, COUNTS = HERE.parent / "shares.json", HERE / "counts.json"


class Shares:
    """Who gets which place of 0-99, read again when the file changed."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._read_at = 0
        self._held: dict[str, Any] = {"order": [], "shares": {}}

    def choose(self, known: set[str], place: int) -> str | None:
        """Shares of servers that this proxy does not know are the last known one's."""
        held = self._current()
        order = [name for name in held["order"] if name in known and held["shares"][name]]
        below = 0
        for name in order:
            below += held["shares"][name]
            if place < below:
                return name
        return order[-1] if order else None

    def _current(self) -> dict[str, Any]:
        with suppress(FileNotFoundError):  # before the first share
            changed = self._path.stat().st_mtime_ns
            if changed != self._read_at:
                self._held, self._read_at = json.loads(self._path.read_text()), changed
        return self._held


class Counts:
    """What happened to each deployment, in a file that is replaced whole."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._held: dict[str, dict[str, int]] = {}
        if path.exists():  # of an earlier life: its requests in flight ended with it
            for name, one in json.loads(path.read_text()).items():
                self._held[name] = {**one, "total": one["answered"] + one["errors"]}

    def add(self, name: str, kind: str) -> None:
        """One more."""
        if not name:
            return
        one = self._held.setdefault(name, {"total": 0, "answered": 0, "errors": 0})
        one[kind] += 1
        unfinished = self._path.with_suffix(".part")
        unfinished.write_text(json.dumps(self._held))
        unfinished.replace(self._path)


def make_hook() -> Any:
    """The instance that the configuration names."""
    from litellm.integrations.custom_logger import CustomLogger

    shares, counts = Shares(SHARES), Counts(COUNTS)

    class Cohorts(CustomLogger):
        """Chooses one deployment of those that the proxy knows."""

        async def async_filter_deployments(
            self, healthy_deployments: list, request_kwargs: dict | None = None, **_: Any
        ) -> list:
            """The one deployment of this request's cohort; all of them without any share."""
            known = {str(one["model_info"]["id"]): one for one in healthy_deployments}
            name = shares.choose(set(known), bucket(cohort_of(request_kwargs or {})))
            if name is None:
                return healthy_deployments
            counts.add(name, "total")
            return [known[name]]

        async def async_log_success_event(self, kwargs: dict, *_: Any, **__: Any) -> None:
            """A whole answer, also of a stream."""
            counts.add(deployment_of(kwargs), "answered")

        async def async_log_failure_event(self, kwargs: dict, *_: Any, **__: Any) -> None:
            """No answer, or half of one."""
            counts.add(deployment_of(kwargs), "errors")

    return Cohorts()


def cohort_of(given: dict) -> str | None:
    """The header `x-cohort` of the user's request."""
    request = given.get("proxy_server_request") or {}
    headers = request.get("headers") or (given.get("metadata") or {}).get("headers") or {}
    found = {str(name).lower(): value for name, value in headers.items()}
    return found.get("x-cohort")


def bucket(cohort: str | None) -> int:
    """0-99 of a cohort; by chance without one."""
    if not cohort:
        return random.randrange(100)  # noqa: S311 - a share, not a secret
    return int(hashlib.sha256(cohort.encode()).hexdigest()[:8], 16) % 100


def deployment_of(kwargs: dict) -> str:
    """The id of the deployment that a finished request was sent to."""
    info = (kwargs.get("litellm_params") or {}).get("model_info") or {}
    return str(info.get("id") or "")


hook = make_hook()
