"""The router's role: which share of the requests goes to which server."""

import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from platform_pipelines.core.road.routes import (
    Endpoint,
    bootstrap,
    clusters,
    no_routes,
    routes,
)
from platform_pipelines.errors import IntegrityError, UnavailableError
from platform_pipelines.gateways.clock import Clock, SystemClock
from platform_pipelines.gateways.local_http import local_get
from platform_pipelines.gateways.server_process import ServerProcess

HOST = "127.0.0.1"
_POLL_SECONDS = 0.02
_SECONDS_TO_START = 60.0
_SECONDS_TO_APPLY = 30.0
_REJECTED = {
    "clusters": "cluster_manager.cds.update_rejected",
    "routes": "rds.models.update_rejected",
}
_DUMPS = {"clusters": "dynamic_active_clusters", "routes": "dynamic_route_configs"}


@dataclass(frozen=True, slots=True)
class EndpointStats:
    """What the gateway counted of one server: never of an aggregate."""

    total: int
    errors: int
    active: int


class Router(Protocol):
    """Raises (from every method): UnavailableError, and IntegrityError for refused routes."""

    def start(self) -> None:
        """Start it unless it runs."""
        ...

    def route(
        self,
        endpoints: Sequence[Endpoint],
        shares: Mapping[str, int],
        *,
        mirror: str | None = None,
        first: str | None = None,
    ) -> None:
        """Send shares of the requests to servers; returns when that is so.

        `first` is the side that grows: where cohorts are numbers, it has the lowest.
        """
        ...

    def stats(self, name: str) -> EndpointStats | None:
        """Of one server, None where it is unknown."""
        ...

    def stop(self) -> None:
        """End it."""
        ...


class LocalEnvoy:
    """Envoy on this machine. Files are renamed into place, and it is asked what it runs."""

    def __init__(
        self,
        folder: Path,
        *,
        binary: Path,
        port: int,
        admin_port: int,
        clock: Clock | None = None,
    ) -> None:
        self._folder = folder
        self._binary = binary
        self._ports = (port, admin_port)
        self._clock = clock or SystemClock()
        self._process = ServerProcess(folder, self._clock)

    def start(self) -> None:
        """Start it unless it runs; with no routes before the first `route`."""
        self._folder.mkdir(parents=True, exist_ok=True)
        for name, nothing in (("clusters", clusters([])), ("routes", no_routes())):
            if not (self._folder / f"{name}.json").exists():
                _publish(self._folder / f"{name}.json", nothing)
        if self._process.is_running():
            return
        port, admin_port = self._ports
        config = self._folder / "envoy.json"
        content = bootstrap(port=port, admin_port=admin_port, folder=str(self._folder))
        _publish(config, content)
        command = [
            str(self._binary), "-c", str(config), "--concurrency", "1",
            "--base-id", str(port), "-l", "warn", "--reject-unknown-dynamic-fields",
        ]  # fmt: skip
        self._process.start(command, {}, {"port": port, "admin_port": admin_port})
        self._await_live()

    def route(
        self,
        endpoints: Sequence[Endpoint],
        shares: Mapping[str, int],
        *,
        mirror: str | None = None,
        first: str | None = None,
    ) -> None:
        """Clusters before routes where servers come, routes before clusters where they go."""
        del first  # hashed cohorts follow the order of the names
        known = self._known()
        added = {one.name: one for one in (*known, *endpoints)}
        self._apply("clusters", clusters([added[name] for name in sorted(added)]))
        self._apply("routes", routes(shares, mirror=mirror))
        if set(added) != {one.name for one in endpoints}:
            self._apply("clusters", clusters(endpoints))

    def stats(self, name: str) -> EndpointStats | None:
        """By endpoint: under an aggregate's name a candidate's errors stay 0."""
        pattern = rf"^cluster\.{re.escape(name)}\.endpoint\."
        text = self._admin(f"/stats?filter={pattern}".replace("\\", "%5C").replace("^", "%5E"))
        found: dict[str, int] = {}
        for line in text.splitlines():
            key, _, value = line.partition(": ")
            if value.strip().isdigit():
                found[key.rsplit(".", 1)[-1]] = int(value)
        if "rq_total" not in found:
            return None
        return EndpointStats(found["rq_total"], found.get("rq_error", 0), found.get("rq_active", 0))

    def stop(self) -> None:
        """End it; nobody is routed anywhere any more."""
        self._process.stop(grace_seconds=30)

    def _known(self) -> list[Endpoint]:
        """The servers of the file, also those that a killed controller added."""
        text = (self._folder / "clusters.json").read_text(encoding="utf-8")
        return [_endpoint(one) for one in json.loads(text)["resources"]]

    def _apply(self, kind: str, content: Mapping[str, Any]) -> None:
        """Rename the file into place and wait until it is what runs."""
        path = self._folder / f"{kind}.json"
        before = path.read_text(encoding="utf-8")
        rejected = self._rejected(kind)
        if json.loads(before)["version_info"] != content["version_info"]:
            _publish(path, content)
        ends_at = self._clock.monotonic() + _SECONDS_TO_APPLY
        while not self._runs(kind, content):
            if self._rejected(kind) > rejected:
                _publish(path, json.loads(before))  # a restart must not read what was refused
                raise IntegrityError(
                    f"the gateway refuses the {kind}; the ones before stay",
                    where=str(self._folder),
                    stored=self._process.log_tail()[-400:],
                    remedy="correct what is routed to: every server is a cluster first",
                )
            if self._clock.monotonic() > ends_at:
                raise UnavailableError(
                    f"the gateway does not take the {kind}",
                    where=str(self._folder),
                    expected=content["version_info"],
                    remedy=f"look at its log: {self._process.log_tail()[-400:]}",
                )
            self._clock.sleep(_POLL_SECONDS)

    def _runs(self, kind: str, content: Mapping[str, Any]) -> bool:
        """Whether it runs this. A cluster that stayed the same keeps the version that it came with:

        so clusters are compared by their addresses, and routes by their version.
        """
        dump = json.loads(self._admin(f"/config_dump?resource={_DUMPS[kind]}"))
        configs: list[dict[str, Any]] = dump.get("configs", [])
        if kind == "routes":
            return [c.get("version_info") for c in configs] == [content["version_info"]]
        running = {_endpoint(config["cluster"]) for config in configs}
        return running == {_endpoint(one) for one in content["resources"]}

    def _rejected(self, kind: str) -> int:
        """How many updates of a kind were refused since it started."""
        text = self._admin(f"/stats?filter={_REJECTED[kind]}")
        return sum(int(line.rpartition(" ")[2]) for line in text.splitlines() if line)

    def _await_live(self) -> None:
        ends_at = self._clock.monotonic() + _SECONDS_TO_START
        while True:
            try:
                if self._admin("/ready").strip() == "LIVE":
                    return
            except UnavailableError:
                if not self._process.is_running() or self._clock.monotonic() > ends_at:
                    raise UnavailableError(
                        "the gateway does not start",
                        where=str(self._folder),
                        stored=self._process.log_tail()[-600:],
                        remedy="free its ports, or declare others",
                    ) from None
            self._clock.sleep(_POLL_SECONDS)

    def _admin(self, path: str) -> str:
        return local_get(HOST, self._ports[1], path)[1]


def _endpoint(cluster: Mapping[str, Any]) -> Endpoint:
    one = cluster["load_assignment"]["endpoints"][0]["lb_endpoints"][0]["endpoint"]
    address = one["address"]["socket_address"]
    return Endpoint(cluster["name"], address["address"], int(address["port_value"]))


def _publish(path: Path, content: Mapping[str, Any]) -> None:
    """Envoy watches for the rename; a file that is written in place is never read."""
    unfinished = path.with_suffix(".part")
    with unfinished.open("w", encoding="utf-8") as file:
        json.dump(content, file)
        file.flush()
        os.fsync(file.fileno())
    unfinished.replace(path)
