"""Requests that wait for a person: held by this process, or in Redis for every replica.

What LangGraph knows of an interrupted request is one checkpoint and the writes that are pending on
it. In Redis it outlives the replica that was asked: whoever gets the answer takes it, once, and
goes on where it stood.
"""

import base64
import json
from dataclasses import dataclass, field
from typing import Any, Protocol

from platform_pipelines.core.agent.declaration import MemorySpec
from platform_pipelines.serving.agents.memory import open_redis

HELD_SECONDS = 24 * 3600  # a person who does not answer for a day does not any more


@dataclass(frozen=True, slots=True)
class Waiting:
    """A request's session and task, and the seconds that it took until now."""

    session: str
    task: str
    seconds: float


class Held(Protocol):
    """Raises OSError: where requests are held nobody answers."""

    async def hold(self, request: str, waiting: Waiting) -> None:
        """It waits; its state is in this process's checkpoints."""
        ...

    async def take(self, request: str) -> Waiting | None:
        """It goes on here, its state in this process's checkpoints; None: it does not wait."""
        ...


@dataclass
class HeldHere:
    """They go with the process."""

    _waiting: dict[str, Waiting] = field(default_factory=dict[str, Waiting])

    async def hold(self, request: str, waiting: Waiting) -> None:
        """Note it."""
        self._waiting[request] = waiting

    async def take(self, request: str) -> Waiting | None:
        """Once."""
        return self._waiting.pop(request, None)


@dataclass(frozen=True)
class HeldInRedis:
    """They go after a day. `saver` is LangGraph's, of this process."""

    agent: str
    client: Any
    saver: Any

    async def hold(self, request: str, waiting: Waiting) -> None:
        """The request and its checkpoint, as one value."""
        found = await self.saver.aget_tuple(_config(request))
        kind, data = self.saver.serde.dumps_typed(
            {
                "checkpoint": found.checkpoint,
                "metadata": dict(found.metadata),
                "writes": [list(one) for one in found.pending_writes or ()],
            }
        )
        record = {
            "session": waiting.session, "task": waiting.task, "seconds": waiting.seconds,
            "kind": kind, "state": base64.b64encode(data).decode("ascii"),
        }  # fmt: skip
        await self.client.set(self._key(request), json.dumps(record), ex=HELD_SECONDS)

    async def take(self, request: str) -> Waiting | None:
        """Taken away as it is read: two replicas that are answered at once do not both go on."""
        text = await self.client.getdel(self._key(request))
        if text is None:
            return None
        record = json.loads(text)
        state = self.saver.serde.loads_typed((record["kind"], base64.b64decode(record["state"])))
        checkpoint = state["checkpoint"]
        await self.saver.adelete_thread(request)
        at = await self.saver.aput(
            _config(request), checkpoint, state["metadata"], checkpoint["channel_versions"]
        )
        for task, channel, value in state["writes"]:
            await self.saver.aput_writes(at, [(channel, value)], task)
        return Waiting(record["session"], record["task"], float(record["seconds"]))

    def _key(self, request: str) -> str:
        return f"agent:{self.agent}:waiting:{request}"


def open_held(agent: str, memory: MemorySpec | None, saver: Any) -> Held:
    """In the declared memory's Redis; without one, in this process."""
    return HeldHere() if memory is None else HeldInRedis(agent, open_redis(memory), saver)


def _config(request: str) -> dict[str, Any]:
    return {"configurable": {"thread_id": request, "checkpoint_ns": ""}}
