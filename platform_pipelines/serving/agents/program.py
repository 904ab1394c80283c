"""The program of an agent: HTTP in front of its graph. Run by the class `agents`' Python.

    python -m platform_pipelines.serving.agents.program PORT [HOST]

`AGENT_DECLARATION` says what it is, `OPENAI_API_KEY` is its key for the gateway. POST /run
{"task", "session"}; POST /answer {"request", "allow"} where a person is asked; GET /metrics.
"""

import importlib
import sys
import time
from typing import Any

from platform_pipelines.core.agent.behaviour import VARIABLE, AgentBehaviour, behaviour_from_json
from platform_pipelines.errors import ConfigurationError, UnknownNameError
from platform_pipelines.serving.agents.approvals import open_held
from platform_pipelines.serving.agents.graphs import Graphs
from platform_pipelines.serving.agents.memory import open_memory
from platform_pipelines.serving.agents.model import ChatModel
from platform_pipelines.serving.agents.sandbox import PodSandbox
from platform_pipelines.serving.agents.sessions import FAILED, Meters, Sessions
from platform_pipelines.serving.agents.tools import Toolbox
from platform_pipelines.settings import agent_process

TASK_CHARACTERS = 20_000
DIGEST_HEADER = "x-agent-revision"


def sessions_of(behaviour: AgentBehaviour, key: str) -> Sessions:
    """An agent that is ready to be asked."""
    savers: Any = importlib.import_module("langgraph.checkpoint.memory")
    sandbox = behaviour.sandbox and PodSandbox(behaviour.name.replace("_", "-"), behaviour.sandbox)
    graphs = Graphs(
        behaviour, ChatModel(behaviour.language_model, key), Toolbox(behaviour, sandbox)
    )
    memory = open_memory(behaviour.name, behaviour.memory)
    saver = savers.InMemorySaver()
    held = open_held(behaviour.name, behaviour.memory, saver)
    return Sessions(
        behaviour, graphs.build(saver), memory, Meters(behaviour.name), time.monotonic, held
    )


def build_app(sessions: Sessions) -> Any:
    """The HTTP application."""
    from starlette.applications import Starlette
    from starlette.responses import JSONResponse, Response
    from starlette.routing import Route

    told = {DIGEST_HEADER: sessions.behaviour.digest}

    async def run(request: Any) -> Any:
        body = await _body(request)
        task = body.get("task")
        if not isinstance(task, str) or not 0 < len(task) <= TASK_CHARACTERS:
            return JSONResponse({"error": f"`task` has 1 to {TASK_CHARACTERS} characters"}, 400)
        record = await sessions.run(task, str(body.get("session") or ""))
        return JSONResponse(record, 502 if record["status"] == FAILED else 200, told)

    async def answer(request: Any) -> Any:
        body = await _body(request)
        if not isinstance(body.get("allow"), bool):
            return JSONResponse({"error": "`allow` is true or false"}, 400)
        try:
            record = await sessions.answer(str(body.get("request")), allow=body["allow"])
        except UnknownNameError as error:
            return JSONResponse({"error": error.what}, 404)
        return JSONResponse(record, 502 if record["status"] == FAILED else 200, told)

    async def metrics(request: Any) -> Any:
        del request
        return Response(sessions.page(), media_type="text/plain; version=0.0.4")

    async def health(request: Any) -> Any:
        del request
        return JSONResponse({"agent": sessions.behaviour.name}, headers=told)

    return Starlette(
        routes=[
            Route("/run", run, methods=["POST"]),
            Route("/answer", answer, methods=["POST"]),
            Route("/metrics", metrics),
            Route("/health", health),
        ]
    )


async def _body(request: Any) -> dict[str, Any]:
    try:
        found = await request.json()
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def main() -> None:
    """Serve until it is ended."""
    import uvicorn

    text, key = agent_process()
    if not text:
        raise ConfigurationError(f"{VARIABLE} is not set", remedy="let `Agent` render it")
    behaviour = behaviour_from_json(text, where=VARIABLE)
    host = sys.argv[2] if len(sys.argv) > 2 else "127.0.0.1"
    uvicorn.run(
        build_app(sessions_of(behaviour, key.value if key else "")),
        host=host, port=int(sys.argv[1]), log_level="warning",
    )  # fmt: skip


if __name__ == "__main__":
    main()
