"""Calls of a judge: cached by digest, bounded, tried again, counted, and stopped by budgets.

What is cached are raw verdicts, named by all that decides them: the metric library's version, the
server, the model, its parameters, the schema, the prompt and the draw. Metrics are derived from
them. A killed evaluation pays again only for the calls that were on their way.
"""

import asyncio
import hashlib
import json
import random
import re
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from importlib import import_module
from pathlib import Path
from typing import Any

from platform_pipelines.core.road.backoff import Backoff, parse_http_date, parse_retry_after
from platform_pipelines.errors import PlatformError
from platform_pipelines.gateways.network import proxy_for, trusted
from platform_pipelines.gateways.verdict_socket import keep_verdict, kept_verdict

_THINKING = re.compile(r"<think(?:ing)?>.*?(?:</think(?:ing)?>|\Z)", re.DOTALL | re.IGNORECASE)
_FENCE = re.compile(r"\A\s*```(?:json)?\s*(.*?)\s*```\s*\Z", re.DOTALL)
_BACKOFF = Backoff()


class Trouble(StrEnum):
    """Why there is no verdict."""

    MALFORMED = "malformed"  # no JSON of the schema, or a verdict that is none
    REFUSED = "refused"  # the judge would not
    LENGTH = "length"  # cut off
    UNAVAILABLE = "unavailable"  # no answer after all attempts: try again later
    RATE_LIMITED = "rate_limited"
    CONFIGURATION = "configuration"  # the server refuses the key, the model or the request
    BUDGET = "budget"  # the evaluation's budget was spent
    NOT_FINITE = "not_finite"  # the metric came out as no number
    RANGE = "range"  # or as one that is no share


class NoVerdictError(PlatformError):
    """A call without a verdict. `detail` holds no more than the start of what was said."""

    def __init__(
        self, trouble: Trouble, detail: str = "", *, retry_after_seconds: float | None = None
    ) -> None:
        self.trouble, self.detail = trouble, detail[:200]
        self.retry_after_seconds = retry_after_seconds
        super().__init__(f"{trouble}: {self.detail}")


@dataclass(frozen=True, slots=True)
class JudgeOptions:
    """Which judge, and what may be spent. Made from a declaration; travels as JSON."""

    url: str
    model: str
    version: str
    cache: str  # the path of a `verdict_socket`
    api_key: str | None = field(default=None, repr=False)
    temperature: float = 0.0
    max_tokens: int = 2048
    json_schema: bool = True
    concurrency: int = 8
    seconds: float = 60.0
    attempts: int = 4
    calls: int | None = None
    tokens: int | None = None
    minutes: float | None = None
    money: float | None = None
    price_in: float = 0.0
    price_out: float = 0.0
    salt: str = ""  # another one draws again


@dataclass
class Spent:
    """What an evaluation took. `calls` were made; `cached` were not."""

    calls: int = 0
    cached: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    seconds: float = 0.0
    call_seconds: float = 0.0
    money: float = 0.0
    budget: str = ""  # the one that was spent


class JudgeCalls:
    """One event loop's calls to one judge. Close it in the loop that used it."""

    def __init__(self, options: JudgeOptions) -> None:
        openai: Any = import_module("openai")
        self._openai = openai
        self._options = options
        self._cache = Path(options.cache)
        self._client = openai.AsyncOpenAI(
            api_key=options.api_key or "none",
            base_url=options.url.rstrip("/").removesuffix("/v1") + "/v1",
            timeout=options.seconds,
            max_retries=0,
            http_client=openai.DefaultAsyncHttpxClient(
                trust_env=False,
                verify=trusted(),
                proxy=proxy_for(options.url),
                follow_redirects=False,  # the key is for this host
            ),
        )
        self._slots = asyncio.Semaphore(options.concurrency)
        self._flights: dict[str, asyncio.Future[str]] = {}
        self._began = time.monotonic()
        self._rng = random.SystemRandom()  # spreads what failed together
        self.spent = Spent()

    async def close(self) -> None:
        """Give back the connections; the time is counted."""
        self.spent.seconds = time.monotonic() - self._began
        await self._client.close()

    async def verdict(
        self, prompt: str, schema: dict[str, Any], draw: int, accept: Callable[[str], object]
    ) -> str:
        """The judge's JSON for a prompt, that `accept` did not refuse (ValueError).

        Raises:
            NoVerdictError: says why there is none.
        """
        key = self._key(prompt, schema, draw)
        flight = self._flights.get(key)
        if flight is None:
            made: asyncio.Future[str] = asyncio.ensure_future(
                self._found(prompt, schema, accept, key)
            )
            flight = self._flights[key] = made
            made.add_done_callback(lambda done: self._land(key, done))
        return await asyncio.shield(flight)

    def _land(self, key: str, done: "asyncio.Future[str]") -> None:
        self._flights.pop(key, None)
        if not done.cancelled():
            done.exception()  # whoever waits for it raises it

    async def _found(
        self, prompt: str, schema: dict[str, Any], accept: Callable[[str], object], key: str
    ) -> str:
        kept = await kept_verdict(self._cache, key)
        if kept is not None:
            self.spent.cached += 1
            return kept
        async with self._slots:
            text = await self._attempts(lambda: self._call(prompt, schema), accept)
        await keep_verdict(self._cache, key, text)
        return text

    async def _attempts(
        self, call: Callable[[], Awaitable[str]], accept: Callable[[str], object]
    ) -> str:
        """The first acceptable reply. What passes is waited for, what is malformed asked again."""
        for attempt in range(1, self._options.attempts + 1):
            try:
                text = await call()
                accept(text)
                return text
            except ValueError as error:
                failed = NoVerdictError(Trouble.MALFORMED, str(error))
                if attempt >= min(2, self._options.attempts):
                    raise failed from error
            except NoVerdictError as error:
                passes = error.trouble in (Trouble.UNAVAILABLE, Trouble.RATE_LIMITED)
                wait = _BACKOFF.delay_seconds(
                    attempt, rng=self._rng, retry_after_seconds=error.retry_after_seconds
                )
                if not passes or wait is None or attempt == self._options.attempts:
                    raise
                await asyncio.sleep(wait)
        raise NoVerdictError(Trouble.UNAVAILABLE)

    async def _call(self, prompt: str, schema: dict[str, Any]) -> str:
        self._check_budget()
        self.spent.calls += 1
        began = time.monotonic()
        try:
            reply = await self._client.chat.completions.create(
                model=self._options.model,
                messages=[{"role": "user", "content": prompt}],
                temperature=self._options.temperature,
                max_tokens=self._options.max_tokens,
                response_format=self._format(schema),
            )
        except self._openai.APIError as error:
            wish = _retry_after_seconds(getattr(error, "response", None))
            raise NoVerdictError(
                self._trouble(error), str(error), retry_after_seconds=wish
            ) from error
        finally:
            self.spent.call_seconds += time.monotonic() - began
        self._count(reply.usage)
        return _said(reply)

    def _trouble(self, error: Any) -> Trouble:
        if isinstance(error, self._openai.RateLimitError):
            return Trouble.RATE_LIMITED
        status = getattr(error, "status_code", None)
        if isinstance(error, self._openai.APIConnectionError) or status is None or status >= 500:
            return Trouble.UNAVAILABLE
        return Trouble.CONFIGURATION

    def _format(self, schema: dict[str, Any]) -> dict[str, Any]:
        if not self._options.json_schema:
            return {"type": "json_object"}
        named = {"name": schema.get("title", "verdict"), "schema": schema}
        return {"type": "json_schema", "json_schema": named}

    def _count(self, usage: Any) -> None:
        read = int(getattr(usage, "prompt_tokens", 0) or 0)
        written = int(getattr(usage, "completion_tokens", 0) or 0)
        self.spent.input_tokens += read
        self.spent.output_tokens += written
        prices = self._options.price_in * read + self._options.price_out * written
        self.spent.money += prices / 1e6

    def _check_budget(self) -> None:
        options, spent = self._options, self.spent
        tokens = spent.input_tokens + spent.output_tokens
        minutes = (time.monotonic() - self._began) / 60.0
        pairs = (
            ("calls", options.calls, spent.calls), ("tokens", options.tokens, tokens),
            ("minutes", options.minutes, minutes), ("money", options.money, spent.money),
        )  # fmt: skip
        for name, allowed, used in pairs:
            if allowed is not None and used >= allowed:
                spent.budget = name
                raise NoVerdictError(Trouble.BUDGET, f"{name}: {allowed:g}")

    def _key(self, prompt: str, schema: dict[str, Any], draw: int) -> str:
        options = self._options
        decides = [
            options.version, options.url, options.model, options.temperature, options.max_tokens,
            options.json_schema, schema, prompt, draw, options.salt,
        ]  # fmt: skip
        return hashlib.sha256(json.dumps(decides, sort_keys=True).encode()).hexdigest()


def _retry_after_seconds(response: Any) -> float | None:
    """How long the judge wishes to be left alone, by its own clock where it tells it."""
    if response is None:
        return None
    now = parse_http_date(response.headers.get("Date")) or datetime.now(UTC)
    return parse_retry_after(response.headers.get("Retry-After"), now=now)


def plain_json(text: str) -> str:
    """A reply without reasoning and fences."""
    bare = _THINKING.sub("", text).strip()
    fenced = _FENCE.match(bare)
    return fenced[1] if fenced else bare


def _said(reply: Any) -> str:
    """The JSON of a reply.

    Raises:
        NoVerdictError: refused, cut off, or nothing.
    """
    choice = reply.choices[0] if reply.choices else None
    if choice is None:
        raise NoVerdictError(Trouble.MALFORMED, "no choice")
    refusal = getattr(choice.message, "refusal", None)
    if refusal or choice.finish_reason == "content_filter":
        raise NoVerdictError(Trouble.REFUSED, str(refusal or "content filter"))
    if choice.finish_reason == "length":
        raise NoVerdictError(Trouble.LENGTH)
    return plain_json(choice.message.content or "")
