"""The servers and the gateway of a rollout, made to look as its state wants them."""

from collections.abc import Callable
from dataclasses import dataclass, field

from platform_pipelines.core.model_rollout.machine import Health, Wanted
from platform_pipelines.core.model_rollout.metrics_page import parse_metrics
from platform_pipelines.core.model_rollout.operations import Sample, read_sample
from platform_pipelines.core.road.routes import Endpoint, weights
from platform_pipelines.core.road.served_model import ModelRef, ServingSpec
from platform_pipelines.errors import TerminalError, UnavailableError
from platform_pipelines.gateways.clock import Clock
from platform_pipelines.gateways.model_server import ModelServer
from platform_pipelines.gateways.router import Router

DRAIN_PATIENCE_SECONDS = 120.0
MISSES = 3  # answers in a row that a ready server may not give before it counts as gone


@dataclass
class World:
    """Every method may be repeated; a look at it costs a few local requests."""

    servers: ModelServer
    router: Router
    serving: ServingSpec
    clock: Clock
    progress: Callable[[str], None]
    _started: set[str] = field(default_factory=set[str])
    _misses: dict[str, int] = field(default_factory=dict[str, int])  # of servers that were ready
    _draining_since: dict[str, float] = field(default_factory=dict[str, float])

    def settle(self, wanted: Wanted, candidate: ModelRef, champion: ModelRef) -> bool:
        """One step nearer; whether the world now looks as it is wanted.

        A server gets requests only once it is ready, and loses them before it is ended.
        """
        self.router.start()
        for model in wanted.runs:
            self._start(model, again=model != candidate)
        ready = [m for m in wanted.runs if self.health(m) is Health.READY]
        shares = weights(name_of(candidate), name_of(champion), wanted.weight)
        if not set(shares) <= {name_of(m) for m in ready}:
            return False
        mirror = name_of(candidate) if wanted.mirror else None
        draining = [m for m in wanted.drains if self.servers.address(m) is not None]
        endpoints = self._endpoints([*ready, *draining])
        first = name_of(candidate)
        self.router.route(endpoints, shares, mirror=mirror, first=first)
        drained = [self._drain(model) for model in draining]  # each of them, not until the first
        is_drained = all(drained)
        if draining and is_drained:
            self.router.route(self._endpoints(ready), shares, mirror=mirror, first=first)
        return is_drained and len(ready) == len(wanted.runs)

    def health(self, model: ModelRef) -> Health:
        """Of one server. One that was ready may miss an answer or two: the machine is shared."""
        if self.servers.is_ready(model):
            self._misses[model.digest] = 0
            return Health.READY
        if self.servers.address(model) is None or self.servers.has_failed(model):
            return Health.GONE
        if model.digest not in self._misses:
            return Health.STARTING
        self._misses[model.digest] += 1
        return Health.READY if self._misses[model.digest] < MISSES else Health.GONE

    def sample(self, model: ModelRef) -> Sample | None:
        """One side's own counters, None when they are lost."""
        page = self.servers.metrics(model)
        try:
            stats = self.router.stats(name_of(model))
        except UnavailableError:
            return None
        if page is None:
            return None
        return read_sample(
            parse_metrics(page),
            at=self.clock.now().timestamp(),
            routed=stats.total if stats else 0,
            route_errors=stats.errors if stats else 0,
        )

    def stop(self, models: list[ModelRef]) -> None:
        """End the gateway and these servers."""
        self.router.stop()
        for model in models:
            self.servers.stop(model, self.serving)

    def _start(self, model: ModelRef, *, again: bool) -> None:
        """A candidate is started once by a controller: one that ended is judged, not revived."""
        if self.servers.address(model) is not None:
            return
        if model.digest in self._started and not again:
            return
        self._started.add(model.digest)
        self._misses.pop(model.digest, None)
        self.progress(f"starting vLLM with model {model.short}")
        try:
            self.servers.start(model, self.serving)
        except TerminalError as error:
            if again:
                raise
            self.progress(f"the candidate does not start: {error.what}")  # then it counts as gone

    def _endpoints(self, models: list[ModelRef]) -> list[Endpoint]:
        found = [(model, self.servers.address(model)) for model in models]
        return [Endpoint(name_of(m), a.host, a.port) for m, a in found if a is not None]

    def _drain(self, model: ModelRef) -> bool:
        """No request is sent to it any more: end it when the last one is answered."""
        since = self._draining_since.setdefault(model.digest, self.clock.monotonic())
        waited = self.clock.monotonic() - since
        sample = self.sample(model)
        stats = self.router.stats(name_of(model))
        is_idle = (sample is None or sample.running == 0) and (stats is None or not stats.active)
        if not is_idle and waited < DRAIN_PATIENCE_SECONDS:
            return False
        how = self.servers.stop(model, self.serving)
        self.progress(f"model {model.short} is drained after {waited:.0f} s; its server {how}")
        return True


def name_of(model: ModelRef) -> str:
    """A model's name at the gateway: of its content, so it stays through a promotion."""
    return f"model-{model.short}"
