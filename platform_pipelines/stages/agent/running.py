"""Agents as processes of this machine: started from their behaviour, asked, ended."""

import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from platform_pipelines.compute.environments import interpreter
from platform_pipelines.compute.process import worker_environment
from platform_pipelines.core.agent.behaviour import VARIABLE, AgentBehaviour
from platform_pipelines.core.agent.declaration import TrialSpec
from platform_pipelines.core.agent.tasks import AgentTask, Attempt, ToolCall
from platform_pipelines.gateways.local_program import free_port, running
from platform_pipelines.stages.road.workspace import Workspace

ENVIRONMENT = "agents"
PROGRAM = "platform_pipelines.serving.agents.program"  # above this layer: by its name
START_SECONDS = 60.0
WAITING = "waiting"
_OK, _BAD_GATEWAY = 200, 502


@dataclass(frozen=True, slots=True)
class Asked:
    """A try, and which side of a canary answered it."""

    attempt: Attempt
    side: str = ""


def here(behaviour: AgentBehaviour, trial: TrialSpec) -> AgentBehaviour:
    """The same agent, with the addresses of this machine, and without a memory of others' talks."""
    model = behaviour.language_model
    if trial.gateway_url is not None:
        model = model.model_copy(update={"url": trial.gateway_url})
    tools = tuple(
        tool.model_copy(update={"url": trial.tool_urls[tool.name]})
        if tool.name in trial.tool_urls
        else tool
        for tool in behaviour.tools
    )
    return behaviour.model_copy(update={"language_model": model, "tools": tools, "memory": None})


@contextmanager
def agents_running(
    workspace: Workspace, agents: Mapping[str, AgentBehaviour]
) -> Iterator[dict[str, int]]:
    """Their ports, by the given names; they are ended when the block ends.

    Raises:
        UnavailableError: the environment cannot be made, or a program does not start.
    """
    settings = workspace.settings
    python = interpreter(ENVIRONMENT, settings.environments_home, workspace.progress)
    key = settings.language_model_api_key
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="agents-")))
        ports: dict[str, int] = {}
        for name, behaviour in agents.items():
            port = ports[name] = free_port()
            told = {VARIABLE: behaviour.to_json()}
            if key is not None:
                told["OPENAI_API_KEY"] = key.value
            stack.enter_context(
                running(
                    [python.python, "-m", PROGRAM, str(port)],
                    environment={**worker_environment(settings.parser_environment, python), **told},
                    log=folder / f"{name}.log",
                    ready_url=f"http://127.0.0.1:{port}/health",
                    seconds=START_SECONDS,
                )
            )
        yield ports


def ask(port: int, task: AgentTask, *, seconds: float, cohort: str = "") -> Asked:
    """Do one task. Where it asks a person, the task says what that person answers.

    What the agent does wrong is in the attempt, never raised.
    """
    import httpx

    started = time.monotonic()
    side = ""
    try:
        with httpx.Client(
            base_url=f"http://127.0.0.1:{port}", timeout=seconds, trust_env=False
        ) as client:
            headers = {"x-cohort": cohort} if cohort else {}
            answer = client.post("/run", json={"task": task.task}, headers=headers)
            side = answer.headers.get("x-model-cluster", "")
            while answer.status_code == _OK and answer.json()["status"] == WAITING:
                said = {"request": answer.json()["request"], "allow": task.allow}
                answer = client.post("/answer", json=said, headers=headers)
    except httpx.HTTPError as error:
        why = f"{type(error).__name__}: {error}"
        return Asked(Attempt("", "", seconds=time.monotonic() - started, error=why), side)
    return Asked(_attempt(answer, time.monotonic() - started), side)


def _attempt(answer: Any, seconds: float) -> Attempt:
    if answer.status_code not in (_OK, _BAD_GATEWAY):
        return Attempt("", "", seconds=seconds, error=f"HTTP {answer.status_code}")
    try:
        body: dict[str, Any] = answer.json()
    except ValueError:
        return Attempt("", "", seconds=seconds, error="it answers no JSON")
    calls = tuple(
        ToolCall(one["tool"], one["arguments"], one["error"], one["asked"], one["allowed"])
        for one in body.get("calls", ())
    )
    return Attempt(
        answer=str(body.get("answer", "")),
        status=str(body.get("status", "")),
        calls=calls,
        steps=int(body.get("steps", 0)),
        seconds=seconds,
        error=str(body.get("error", "")),
    )
