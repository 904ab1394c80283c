"""What an agent remembers of a conversation: the last messages, for a while."""

import importlib
import json
from dataclasses import dataclass
from typing import Any, Protocol

from platform_pipelines.core.agent.declaration import MemorySpec


class Memory(Protocol):
    """Messages of a session, oldest first."""

    async def recall(self, session: str) -> list[dict[str, Any]]:
        """What was said."""
        ...

    async def remember(self, session: str, messages: list[dict[str, Any]]) -> None:
        """Add to it."""
        ...


class NoMemory:
    """Each request stands alone."""

    async def recall(self, session: str) -> list[dict[str, Any]]:
        """Nothing."""
        del session
        return []

    async def remember(self, session: str, messages: list[dict[str, Any]]) -> None:
        """Nothing is kept."""
        del session, messages


@dataclass(frozen=True)
class RedisMemory:
    """One list a session; each message moves its end, so that a quiet session goes."""

    agent: str
    spec: MemorySpec
    client: Any

    async def recall(self, session: str) -> list[dict[str, Any]]:
        """The last messages."""
        found = await self.client.lrange(self._key(session), -self.spec.messages, -1)
        return [json.loads(one) for one in found]

    async def remember(self, session: str, messages: list[dict[str, Any]]) -> None:
        """Add, cut to the declared number and set its end, all or nothing."""
        key = self._key(session)
        async with self.client.pipeline(transaction=True) as pipe:
            for message in messages:
                pipe.rpush(key, json.dumps(message, ensure_ascii=False))
            pipe.ltrim(key, -self.spec.messages, -1)
            pipe.expire(key, self.spec.ttl_seconds)
            await pipe.execute()

    def _key(self, session: str) -> str:
        return f"agent:{self.agent}:{session}"


def open_memory(agent: str, spec: MemorySpec | None) -> Memory:
    """The declared memory; no connection is made yet."""
    if spec is None:
        return NoMemory()
    return RedisMemory(agent, spec, open_redis(spec))


def open_redis(spec: MemorySpec) -> Any:
    """The client of the declared Redis; no connection is made yet."""
    redis: Any = importlib.import_module("redis.asyncio")
    host, _, port = spec.redis.partition(":")
    return redis.Redis(host=host, port=int(port or 6379))
