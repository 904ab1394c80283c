"""LiteLLM's proxy as a router: its model list has both sides, and weights that are 100 together.

Another share is a file that the proxy's hook reads: no restart. Another server is another list, and
LiteLLM reads its list at the start alone (with a database it would take one over HTTP): so a second
proxy is started beside the first, an Envoy in front sends everybody to it once it is ready, and the
first one is ended when its last request is answered.
"""

import json
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from platform_pipelines.core.road.litellm_routes import generation, proxy_config, shares_record
from platform_pipelines.core.road.routes import TOTAL, Endpoint
from platform_pipelines.errors import CapabilityError, UnavailableError
from platform_pipelines.gateways.clock import Clock, SystemClock
from platform_pipelines.gateways.local_http import local_get
from platform_pipelines.gateways.model_server import free_port
from platform_pipelines.gateways.router import HOST, EndpointStats, LocalEnvoy
from platform_pipelines.gateways.server_process import ServerProcess

HOOK = Path(__file__).parent / "programs" / "litellm_cohorts.py"
_POLL_SECONDS = 0.2
_SECONDS_TO_START = 300.0  # its imports alone take six, on a machine with nothing else to do
_QUIET_SECONDS = 1.0
_SECONDS_TO_DRAIN = 120.0
_GRACE_SECONDS = 30.0
_KEEPALIVE_SECONDS = 7200


class LocalLiteLLM:
    """A `Router` on this machine: a proxy a list of servers, and Envoy before them.

    `python` is of the environment `litellm`.
    """

    def __init__(
        self,
        folder: Path,
        *,
        front: LocalEnvoy,
        python: Callable[[], Path],
        environment: Mapping[str, str],
        progress: Callable[[str], None],
        clock: Clock | None = None,
    ) -> None:
        self._folder = folder
        self._front = front
        self._python = python
        self._environment = environment
        self._progress = progress
        self._clock = clock or SystemClock()

    def start(self) -> None:
        """Start the front unless it runs; a proxy comes with the first route."""
        self._folder.mkdir(parents=True, exist_ok=True)
        self._front.start()

    def route(
        self,
        endpoints: Sequence[Endpoint],
        shares: Mapping[str, int],
        *,
        mirror: str | None = None,
        first: str | None = None,
    ) -> None:
        """Shares at once; another list of servers by another proxy, without a failed request.

        Raises:
            CapabilityError: requests are to be copied, which this proxy does not.
        """
        if mirror is not None:
            raise CapabilityError(
                "LiteLLM's proxy copies no requests", where=str(self._folder), stored=mirror,
                remedy="declare target `processes`, or no mirrored step",
            )  # fmt: skip
        record = shares_record(shares, first)
        name = f"proxy-{generation(endpoints)}"
        if set(shares) <= self._known():  # the side that goes loses its users before its place
            self._share(record)
        process = ServerProcess(self._folder / name, self._clock)
        if not process.is_running():
            self._start(process, endpoints, record)
        self._await_ready(process)
        self._lead_to(name, process)
        self._share(record)

    def stats(self, name: str) -> EndpointStats | None:
        """Counted by the hook of each proxy, the ended ones too: counters never go back."""
        found = [
            counts[name]
            for counts in map(_counts, sorted(self._folder.glob("proxy-*")))
            if name in counts
        ]
        if not found:
            return None
        total, answered, errors = (
            sum(one[kind] for one in found) for kind in ("total", "answered", "errors")
        )
        return EndpointStats(total, errors, max(0, total - answered - errors))

    def stop(self) -> None:
        """End all of it."""
        self._front.stop()
        for folder in self._proxies():
            ServerProcess(folder, self._clock).stop(grace_seconds=_GRACE_SECONDS)

    def _proxies(self) -> list[Path]:
        return [p for p in sorted(self._folder.glob("proxy-*")) if p.is_dir()]

    def _known(self) -> set[str]:
        """The servers of the proxy that is led to now."""
        found = [p for p in self._proxies() if ServerProcess(p, self._clock).is_running()]
        lists = [json.loads((p / "config.yaml").read_text())["model_list"] for p in found]
        names = [{str(one["model_info"]["id"]) for one in models} for models in lists]
        return {name for name in names[0] if all(name in one for one in names)} if names else set()

    def _share(self, record: Mapping[str, Any]) -> None:
        _publish(self._folder / "shares.json", record)

    def _start(
        self, process: ServerProcess, endpoints: Sequence[Endpoint], record: Mapping[str, Any]
    ) -> None:
        folder = process.folder
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(HOOK, folder / "cohorts.py")
        _publish(folder / "config.yaml", proxy_config(endpoints, record["shares"]))
        port = free_port()
        command = [
            str(self._python().parent / "litellm"), "--config", str(folder / "config.yaml"),
            "--host", HOST, "--port", str(port),
            # longer than Envoy keeps one: who closes first would break the other's next request
            "--keepalive_timeout", str(_KEEPALIVE_SECONDS),
        ]  # fmt: skip
        environment = {
            **{k: v for k, v in self._environment.items() if not k.startswith("AWS_")},
            "HOME": str(folder),
            "LITELLM_LOCAL_MODEL_COST_MAP": "True",  # else it fetches one at every start
            "PATH": os.defpath,
        }
        self._progress(f"starting LiteLLM with {len(endpoints)} servers")
        process.start(command, environment, {"port": port})

    def _await_ready(self, process: ServerProcess) -> None:
        ends_at = self._clock.monotonic() + _SECONDS_TO_START
        while not _is_ready(_port(process)):
            if not process.is_running() or self._clock.monotonic() > ends_at:
                raise UnavailableError(
                    "LiteLLM's proxy does not start",
                    where=str(process.folder),
                    stored=process.log_tail()[-600:],
                    remedy="look at the end of its log above",
                )
            self._clock.sleep(_POLL_SECONDS)

    def _lead_to(self, name: str, process: ServerProcess) -> None:
        """Everybody to this proxy; the others are ended when nothing runs on them any more."""
        new = Endpoint(name, HOST, _port(process))
        others = [
            (folder.name, one)
            for folder in self._proxies()
            if folder.name != name and (one := ServerProcess(folder, self._clock)).is_running()
        ]
        old = [Endpoint(label, HOST, _port(one)) for label, one in others]
        self._front.route([new, *old], {name: TOTAL})
        for label, one in others:
            self._await_idle(label)
            how = one.stop(grace_seconds=_GRACE_SECONDS)
            self._progress(f"the proxy before is drained; it {how}")
        if old:
            self._front.route([new], {name: TOTAL})

    def _await_idle(self, name: str) -> None:
        """Nothing runs, and for a moment nothing comes: a worker of Envoy may be a route behind."""
        ends_at = self._clock.monotonic() + _SECONDS_TO_DRAIN
        quiet_since, total = self._clock.monotonic(), -1
        while stats := self._front.stats(name):
            now = self._clock.monotonic()
            if stats.active or stats.total != total:
                quiet_since, total = now, stats.total
            if now > ends_at or now - quiet_since >= _QUIET_SECONDS:
                return
            self._clock.sleep(_POLL_SECONDS)


def _port(process: ServerProcess) -> int:
    wanted = process.wanted()
    assert wanted is not None  # written before the start
    return int(wanted["port"])


def _is_ready(port: int) -> bool:
    try:
        return local_get(HOST, port, "/health/readiness")[0] == 200
    except UnavailableError:
        return False


def _counts(folder: Path) -> dict[str, dict[str, int]]:
    try:
        found: dict[str, dict[str, int]] = json.loads((folder / "counts.json").read_text())
    except FileNotFoundError:
        return {}
    return found


def _publish(path: Path, content: Mapping[str, Any]) -> None:
    """Whole, or as it was."""
    unfinished = path.with_name(f"{path.name}.part")
    unfinished.write_text(json.dumps(content), encoding="utf-8")
    unfinished.replace(path)
