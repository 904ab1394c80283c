"""Requests of an agent: begun, held until a person answers, gone on with; and their meters."""

import importlib
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from platform_pipelines.core.agent.behaviour import AgentBehaviour
from platform_pipelines.errors import PlatformError, UnknownNameError
from platform_pipelines.serving.agents.approvals import Held, Waiting
from platform_pipelines.serving.agents.graphs import opening
from platform_pipelines.serving.agents.memory import Memory

WAITING, FAILED = "waiting", "failed"
IDLE_SECONDS = 300.0  # after which a session is not active any more
_BUCKETS = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 30, 60, 120, 300)
_RECURSION = 10  # of the graph, a step of ours; LangGraph's own limit must not come first


class Meters:
    """What Prometheus reads; the names are those of rules, scalers and dashboards."""

    def __init__(self, agent: str) -> None:
        from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

        self.registry = CollectorRegistry()
        given: dict[str, Any] = {"labelnames": ("agent",), "registry": self.registry}
        text = "From the request to its answer, without a person's time"
        self.seconds = Histogram(
            "agent_request_duration_seconds", text, buckets=_BUCKETS, **given
        ).labels(agent)
        self.errors = Counter("agent_request_errors", "Requests that failed", **given).labels(agent)
        self.sessions = Gauge(
            "agent_active_sessions", f"Sessions of the last {IDLE_SECONDS:g} s", **given
        ).labels(agent)


@dataclass
class Sessions:
    """The requests of one process."""

    behaviour: AgentBehaviour
    graph: Any
    memory: Memory
    meters: Meters
    clock: Callable[[], float]  # monotonic seconds
    held: Held  # where requests are that wait for a person
    _seen: dict[str, float] = field(default_factory=dict[str, float])
    _waiting: dict[str, str] = field(default_factory=dict[str, str])  # request -> its session, here

    async def run(self, task: str, session: str) -> dict[str, Any]:
        """Do a task; the record says whether it is done, waits for a person, or failed."""
        request = secrets.token_hex(8)
        self._touch(session)
        try:
            history = await self.memory.recall(session) if session else []
        except OSError as error:
            return self._failed(request, 0.0, f"the memory does not answer: {error}")
        return await self._go_on(request, session, task, opening(task, history), 0.0)

    async def answer(self, request: str, *, allow: bool) -> dict[str, Any]:
        """A person's word about the call that a request waits for, whichever replica held it.

        Raises:
            UnknownNameError: no request of this name waits, or it was answered meanwhile.
        """
        types: Any = importlib.import_module("langgraph.types")
        self._waiting.pop(request, None)
        try:
            found = await self.held.take(request)
        except OSError as error:
            return self._failed(request, 0.0, f"the memory does not answer: {error}")
        if found is None:
            raise UnknownNameError(
                "no such request waits", stored=request, expected=", ".join(self._waiting)
            )
        self._touch(found.session)
        resume = types.Command(resume=allow)
        return await self._go_on(request, found.session, found.task, resume, found.seconds)

    def active(self) -> int:
        """Sessions that somebody used a moment ago, and those that wait for a person."""
        now = self.clock()
        self._seen = {s: at for s, at in self._seen.items() if now - at < IDLE_SECONDS}
        return len({*self._seen, *self._waiting.values()})

    def page(self) -> bytes:
        """The page that Prometheus scrapes."""
        from prometheus_client import generate_latest

        self.meters.sessions.set(self.active())
        return generate_latest(self.meters.registry)

    async def _go_on(
        self, request: str, session: str, task: str, given: Any, before: float
    ) -> dict[str, Any]:
        config = {
            "configurable": {"thread_id": request},
            "recursion_limit": _RECURSION * (self.behaviour.maximum_steps + 2),
        }
        started = self.clock()
        try:
            turn = await self.graph.ainvoke(given, config)
        except PlatformError as error:
            return self._failed(request, before + self.clock() - started, error.what)
        seconds = before + self.clock() - started
        if held := turn.get("__interrupt__"):
            return await self._hold(request, Waiting(session, task, seconds), turn, held[0].value)
        self.meters.seconds.observe(seconds)
        if session:
            said = [
                {"role": "user", "content": task},
                {"role": "assistant", "content": turn["answer"]},
            ]
            try:
                await self.memory.remember(session, said)
            except OSError as error:
                return self._failed(request, seconds, f"the memory does not answer: {error}")
        return _record(request, turn, turn["status"])

    async def _hold(
        self, request: str, waiting: Waiting, turn: dict[str, Any], approval: Any
    ) -> dict[str, Any]:
        try:
            await self.held.hold(request, waiting)
        except OSError as error:
            return self._failed(request, waiting.seconds, f"the memory does not answer: {error}")
        self._waiting[request] = waiting.session
        return _record(request, turn, WAITING, approval=approval)

    def _failed(self, request: str, seconds: float, why: str) -> dict[str, Any]:
        self.meters.errors.inc()
        self.meters.seconds.observe(seconds)
        return {"request": request, "status": FAILED, "answer": "", "error": why, "calls": []}

    def _touch(self, session: str) -> None:
        if session:
            self._seen[session] = self.clock()


def _record(request: str, turn: dict[str, Any], status: str, **more: Any) -> dict[str, Any]:
    return {
        "request": request,
        "status": status,
        "answer": turn["answer"],
        "steps": turn["steps"],
        "calls": turn["calls"],
        **more,
    }
