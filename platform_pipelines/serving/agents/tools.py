"""The tools of an agent: those of MCP servers (our own `serve` is one), and code in a pod.

A tool that fails tells the model so, which may try another way; it does not end the request.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from platform_pipelines.core.agent.behaviour import AgentBehaviour
from platform_pipelines.core.agent.declaration import RUN_CODE, ToolSpec
from platform_pipelines.errors import PlatformError, UnavailableError
from platform_pipelines.serving.agents.sandbox import PodSandbox

_ANSWER_CHARACTERS = 20_000
_CODE_SCHEMA = {
    "type": "function",
    "function": {
        "name": RUN_CODE,
        "description": "Run a Python program in a closed pod; gives what it prints. No network.",
        "parameters": {
            "type": "object",
            "properties": {"code": {"type": "string"}},
            "required": ["code"],
        },
    },
}


@dataclass(frozen=True, slots=True)
class Called:
    """What a tool gave; `error` is why it gave nothing."""

    text: str
    error: str = ""


@dataclass
class Toolbox:
    """The tools of one agent. What servers offer is asked once, by the first that needs it."""

    behaviour: AgentBehaviour
    sandbox: PodSandbox | None
    _schemas: dict[str, list[dict[str, Any]]] = field(
        default_factory=dict[str, list[dict[str, Any]]]
    )

    async def schemas(self, role: str) -> list[dict[str, Any]]:
        """The functions that a role may call, as the model reads them.

        Raises:
            UnavailableError: a declared server does not answer, or lacks a declared tool.
        """
        found: list[dict[str, Any]] = []
        for spec in self.behaviour.tools_of(role):
            if spec.name not in self._schemas:
                self._schemas[spec.name] = await self._offered(spec)
            found.extend(self._schemas[spec.name])
        return found

    def needs_approval(self, tool: str) -> bool:
        """Whether a person must allow a tool first."""
        return any(tool in spec.approve for spec in self.behaviour.tools)

    async def call(self, role: str, tool: str, arguments: Mapping[str, Any]) -> Called:
        """Call a tool; an error is an answer too."""
        if "__unreadable__" in arguments:
            return Called("", "the arguments are no JSON object")
        spec = await self._spec_of(role, tool)
        if spec is None:
            return Called("", f"there is no tool `{tool}` here")
        try:
            if spec.kind == "code":
                return await self._run(arguments)
            return await _call_server(spec, tool, arguments)
        except PlatformError as error:
            return Called("", error.what)

    async def _spec_of(self, role: str, tool: str) -> ToolSpec | None:
        await self.schemas(role)
        for spec in self.behaviour.tools_of(role):
            if any(one["function"]["name"] == tool for one in self._schemas[spec.name]):
                return spec
        return None

    async def _run(self, arguments: Mapping[str, Any]) -> Called:
        if self.sandbox is None:
            return Called("", "there is no sandbox here")
        return Called(await self.sandbox.run(str(arguments.get("code", ""))))

    async def _offered(self, spec: ToolSpec) -> list[dict[str, Any]]:
        if spec.kind == "code":
            return [_CODE_SCHEMA]
        if spec.url is None:
            raise UnavailableError(
                f"another agent (`{spec.name}`) is called by Kagent, not by this program",
                remedy="declare it as an MCP server",
            )
        found = await _list_server(spec)
        missing = set(spec.tools) - {one["function"]["name"] for one in found}
        if missing:
            raise UnavailableError(
                f"{spec.name} lacks {', '.join(sorted(missing))}",
                where=spec.url,
                stored=", ".join(one["function"]["name"] for one in found),
                remedy="correct `tools` of the declaration",
            )
        return [one for one in found if not spec.tools or one["function"]["name"] in spec.tools]


async def _list_server(spec: ToolSpec) -> list[dict[str, Any]]:
    async with _connected(spec) as client:
        listed = await client.list_tools()
    return [_schema(one) for one in listed.tools]


def _schema(tool: Any) -> dict[str, Any]:
    return {
        "type": "function",
        "function": {
            "name": tool.name,
            "description": tool.description or "",
            "parameters": tool.input_schema,
        },
    }


async def _call_server(spec: ToolSpec, tool: str, arguments: Mapping[str, Any]) -> Called:
    async with _connected(spec) as client:
        result = await client.call_tool(tool, dict(arguments))
    text = _text_of(result.content)[:_ANSWER_CHARACTERS]
    return Called("", text or "it failed") if result.is_error else Called(text)


class _connected:  # noqa: N801 - used as a function
    """A client of an MCP server; what goes wrong with it is told in the platform's words."""

    def __init__(self, spec: ToolSpec) -> None:
        from mcp import Client

        self._spec = spec
        self._client = Client(str(spec.url), read_timeout_seconds=float(spec.seconds))

    async def __aenter__(self) -> Any:
        try:
            return await self._client.__aenter__()
        except Exception as error:
            raise self._unavailable(error) from error

    async def __aexit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        await self._client.__aexit__(kind, error, trace)
        if isinstance(error, Exception) and not isinstance(error, PlatformError):
            raise self._unavailable(error) from error

    def _unavailable(self, error: Exception) -> UnavailableError:
        return UnavailableError(
            f"the tools of {self._spec.name} do not answer: {type(error).__name__}: {error}",
            where=str(self._spec.url),
        )


def _text_of(content: Sequence[Any]) -> str:
    pieces = [one.text if hasattr(one, "text") else json.dumps(str(one)) for one in content]
    return "\n".join(pieces)
