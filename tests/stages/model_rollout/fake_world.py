"""A small world for the rollout's controller: servers with faults, a gateway, a registry, a clock.

A side answers golden questions over HTTP as vLLM does; its users are simulated by the clock: each
second that passes, the gateway's shares send requests, and the sides count them. The page of
metrics has the names and labels of a real vLLM (test_contract.py compares them).
"""

import json
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from platform_pipelines.core.model_rollout.routes import Endpoint
from platform_pipelines.core.road.served_model import ModelRef, ServingSpec
from platform_pipelines.errors import IntegrityError
from platform_pipelines.gateways.model_registry import ModelVersion
from platform_pipelines.gateways.model_server import Address
from platform_pipelines.gateways.router import EndpointStats

REQUESTS_A_SECOND = 20


@dataclass
class Side:
    """One model, as it will behave. `faults_from` is the second of its life when they begin."""

    answers: Mapping[str, str]
    wrong_weights: bool = False
    never_ready: bool = False
    dies_after: int | None = None  # seconds of serving users
    errors: float = 0.0  # share of HTTP 500
    stream_errors: float = 0.0  # share of refusals inside HTTP 200
    latency_seconds: float = 0.1
    loses_metrics: bool = False
    requests: float = 0.0
    failed: float = 0.0
    refused: float = 0.0
    served_seconds: int = 0

    @property
    def is_dead(self) -> bool:
        return self.dies_after is not None and self.served_seconds > self.dies_after

    def serve(self, requests: float) -> None:
        """Users of one second."""
        self.requests += requests
        self.failed += requests * self.errors
        self.refused += requests * self.stream_errors
        self.served_seconds += requests > 0

    @property
    def page(self) -> str:
        good = self.requests - self.failed - self.refused
        below = [0.05, 0.1, 0.2, 0.5, 1.0, 2.0]
        lines = [
            "vllm:num_requests_running 0", "vllm:num_requests_waiting 0",
            "vllm:kv_cache_usage_perc 0.1",
            f'vllm:request_success_total{{finished_reason="stop"}} {good}',
            f'vllm:admission_rejections_total{{reason="queue"}} {self.refused}',
            f'http_requests_total{{status="5xx"}} {self.failed}',
        ]  # fmt: skip
        for name in ("time_to_first_token", "inter_token_latency", "e2e_request_latency"):
            for bound in below:
                count = good if bound >= self.latency_seconds else 0.0
                lines.append(f'vllm:{name}_seconds_bucket{{le="{bound}"}} {count}')
            lines.append(f'vllm:{name}_seconds_bucket{{le="+Inf"}} {good}')
        return "\n".join(lines)


def http_server(side: Side) -> ThreadingHTTPServer:
    """Answers one golden question a request, as a stream."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
            question = asked["messages"][0]["content"]
            events = [{"choices": [{"delta": {"content": side.answers.get(question, "?")}}]}]
            body = "".join(f"data: {json.dumps(e)}\n\n" for e in events) + "data: [DONE]\n\n"
            self.send_response(200)
            self.send_header("content-length", str(len(body.encode())))
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, *_: object) -> None:
            pass

    one = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=one.serve_forever, args=(0.02,), daemon=True).start()
    return one


@dataclass
class FakeServers:
    """Servers by the digest of their model. They outlive a controller."""

    sides: Mapping[str, Side]
    running: dict[str, ThreadingHTTPServer] = field(default_factory=dict)
    started: list[str] = field(default_factory=list)

    def start(self, model: ModelRef, spec: ServingSpec) -> Address:
        del spec
        if self.sides[model.digest].wrong_weights:
            raise IntegrityError("a model's files are not those of its digest")
        self.started.append(model.digest)
        self.running[model.digest] = http_server(self.sides[model.digest])
        return Address("127.0.0.1", self.running[model.digest].server_port)

    def address(self, model: ModelRef) -> Address | None:
        if self.sides[model.digest].is_dead:
            self._end(model.digest)
        one = self.running.get(model.digest)
        return Address("127.0.0.1", one.server_port) if one else None

    def is_ready(self, model: ModelRef) -> bool:
        return self.address(model) is not None and not self.sides[model.digest].never_ready

    def metrics(self, model: ModelRef) -> str | None:
        side = self.sides[model.digest]
        is_lost = side.loses_metrics and side.served_seconds > 2
        return None if is_lost or self.address(model) is None else side.page

    def log_tail(self, model: ModelRef) -> str:
        return model.digest

    def stop(self, model: ModelRef, spec: ServingSpec) -> str:
        del spec
        return "ended" if self._end(model.digest) else "absent"

    def _end(self, digest: str) -> bool:
        one = self.running.pop(digest, None)
        if one is not None:
            one.shutdown()
            one.server_close()
        return one is not None


@dataclass
class FakeRouter:
    """Shares by name, and every change of them."""

    sides: Mapping[str, Side]
    has_users: bool = True
    shares: dict[str, int] = field(default_factory=dict)
    history: list[dict[str, int]] = field(default_factory=list)
    mirror: str | None = None
    mirrored: list[str] = field(default_factory=list)  # whoever got copies
    totals: dict[str, float] = field(default_factory=dict)

    def start(self) -> None:
        """It runs."""

    def route(
        self, endpoints: Sequence[Endpoint], shares: Mapping[str, int], *, mirror: str | None = None
    ) -> None:
        assert sum(shares.values()) == 100
        assert set(shares) <= {one.name for one in endpoints}
        if dict(shares) != self.shares:
            self.history.append(dict(shares))
        self.shares, self.mirror = dict(shares), mirror
        if mirror and mirror not in self.mirrored:
            self.mirrored.append(mirror)

    def stats(self, name: str) -> EndpointStats | None:
        side = self._side(name)
        return EndpointStats(int(self.totals.get(name, 0)), int(side.failed), 0)

    def stop(self) -> None:
        """It does not."""

    def pass_second(self) -> None:
        """Its users of one second."""
        copies = {self.mirror: 100} if self.mirror else {}
        sent = [*self.shares.items(), *copies.items()]
        for name, share in sent if self.has_users else ():
            requests = REQUESTS_A_SECOND * share / 100
            self.totals[name] = self.totals.get(name, 0) + requests
            self._side(name).serve(requests)

    def _side(self, name: str) -> Side:
        return next(s for d, s in self.sides.items() if name == f"model-{d[:12]}")


@dataclass
class FakeClock:
    """Seconds pass only when somebody waits; one that is killed waits no more."""

    router: FakeRouter
    killed_after: int | None = None
    seconds: float = 0.0
    waits: int = 0

    def now(self) -> datetime:
        return datetime(2026, 11, 27, tzinfo=UTC) + timedelta(seconds=self.seconds)

    def monotonic(self) -> float:
        return self.seconds

    def sleep(self, seconds: float) -> None:
        self.waits += 1
        if self.killed_after is not None and self.waits > self.killed_after:
            raise KeyboardInterrupt
        for _ in range(max(1, round(seconds))):
            self.seconds += 1
            self.router.pass_second()


@dataclass
class FakeRegistry:
    """Versions and aliases, kept in memory."""

    found: list[ModelVersion]
    named: dict[str, int]
    runs: dict[str, str] = field(default_factory=dict)  # key -> id

    def open_run(self, experiment: str, key: str, name: str, params: Mapping[str, str]) -> str:
        del experiment, name, params
        return self.runs.setdefault(key, f"run-{len(self.runs)}")

    def log_metrics(self, run_id: str, metrics: Sequence[tuple[str, float, int, int]]) -> None:
        assert run_id in self.runs.values()
        assert metrics

    def close_run(self, run_id: str, status: str) -> None:
        assert run_id in self.runs.values()
        assert status == "FINISHED"

    def ensure_version(
        self, name: str, digest: str, source: str, run_id: str | None, tags: Mapping[str, str]
    ) -> int:
        del name, run_id
        for one in self.found:
            if one.digest == digest:
                return one.version
        self.found.append(ModelVersion(len(self.found) + 1, source, digest, dict(tags)))
        return self.found[-1].version

    def versions(self, name: str) -> list[ModelVersion]:
        del name
        return self.found

    def aliases(self, name: str) -> dict[str, int]:
        del name
        return dict(self.named)

    def set_alias(self, name: str, alias: str, version: int) -> None:
        del name
        self.named[alias] = version

    def delete_alias(self, name: str, alias: str) -> None:
        del name
        self.named.pop(alias, None)
