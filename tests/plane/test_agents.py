"""The agents' program, really run: LangGraph, a real MCP server, a real Redis, a scripted model."""

import json
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from platform_pipelines.compute.environments import interpreter
from platform_pipelines.compute.process import worker_environment
from platform_pipelines.core.agent.behaviour import VARIABLE, AgentBehaviour
from platform_pipelines.gateways.local_program import free_port, running
from tests.agents import (
    calls,
    careful_or_not,
    language_model,
    last_user,
    says,
    tool_server,
    wanted_fields,
)
from tests.knowledge import settings_under

pytestmark = [pytest.mark.plane, pytest.mark.timeout(120)]
PROMPT = "Search before you answer."
REDIS = shutil.which("redis-server")


@contextmanager
def agent_running(
    folder: Path, url: str, tools: str = "", **changes: Any
) -> Iterator[httpx.Client]:
    """One agent as a process."""
    listed = [{"kind": "mcp", "name": "pages", "url": tools, "tools": ["search", "open_ticket"],
               "approve": ["open_ticket"]}]  # fmt: skip
    behaviour = AgentBehaviour.model_validate(
        {"name": "assistant", "namespace": "acme", "prompt": PROMPT,
         "language_model": {"name": "small", "url": url}, "tools": listed if tools else [],
         **changes}
    )  # fmt: skip
    settings = settings_under(folder, None)
    python = interpreter("agents", settings.environments_home, print)
    told = {VARIABLE: behaviour.to_json(), "OPENAI_API_KEY": "sk-of-acme"}
    port = free_port()
    with (
        running(
            [python.python, "-m", "platform_pipelines.serving.agents.program", str(port)],
            environment={**worker_environment(settings.parser_environment, python), **told},
            log=folder / "agent.log", ready_url=f"http://127.0.0.1:{port}/health", seconds=60,
        ),
        httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60, trust_env=False) as client,
    ):  # fmt: skip
        yield client


def ask(client: httpx.Client, task: str, session: str = "") -> dict[str, Any]:
    return client.post("/run", json={"task": task, "session": session}).json()


def opens_a_ticket(body: dict[str, Any]) -> Any:
    fields = wanted_fields(body)
    if fields:
        return careful_or_not(body)
    done = [m for m in body["messages"] if m["role"] == "tool"]
    return says(done[-1]["content"]) if done else calls("open_ticket", title="broken laptop")


def test_it_plans_calls_its_tool_evaluates_and_is_counted(tmp_path: Path) -> None:
    """The whole loop, its key at the gateway, and the series that rules and scalers read."""
    with (
        language_model(careful_or_not) as (url, seen),
        tool_server() as (tools, made),
        agent_running(tmp_path, url, tools) as client,
    ):
        done = ask(client, "How much leave do I have?", "s1")
        failed = client.post("/run", json={"task": 7})
        page = client.get("/metrics").text
    assert (done["status"], done["steps"]) == ("done", 4)
    assert "25 days" in done["answer"]
    assert [one["tool"] for one in done["calls"]] == ["search"]
    assert made == [("search", "How much leave do I have?")]
    assert {one["authorization"] for one in seen} == {"Bearer sk-of-acme"}
    assert failed.status_code == 400
    assert 'agent_request_duration_seconds_count{agent="assistant"} 1.0' in page
    assert 'agent_request_errors_total{agent="assistant"} 0.0' in page
    assert 'agent_active_sessions{agent="assistant"} 1.0' in page


def test_a_person_is_asked_before_the_tool_is_called(tmp_path: Path) -> None:
    """Nothing happens until there is a word; a no is told to the model; nothing happens twice."""
    with (
        language_model(opens_a_ticket) as (url, _),
        tool_server() as (tools, made),
        agent_running(tmp_path, url, tools) as client,
    ):
        held = ask(client, "My laptop is broken.")
        before = list(made)
        answered = {"request": held["request"], "allow": True}
        allowed = client.post("/answer", json=answered).json()
        again = client.post("/answer", json=answered)
        other = ask(client, "My laptop is broken.")
        refused = client.post("/answer", json={"request": other["request"], "allow": False}).json()
    assert held["status"] == "waiting"
    assert held["approval"] == {"tool": "open_ticket", "arguments": {"title": "broken laptop"}}
    assert before == []
    assert "ticket 7" in allowed["answer"]
    assert made == [("open_ticket", "broken laptop")]
    assert again.status_code == 404
    assert "did not allow" in refused["answer"]
    assert refused["calls"][0]["allowed"] is False


def test_it_ends_at_its_steps(tmp_path: Path) -> None:
    """A model that is never done would be paid for ever."""

    def never_done(body: dict[str, Any]) -> Any:
        if "done" in wanted_fields(body):
            return says(json.dumps({"done": False, "answer": "", "missing": "everything"}))
        return careful_or_not(body)

    with (
        language_model(never_done) as (url, seen),
        tool_server() as (tools, _),
        agent_running(tmp_path, url, tools, maximum_steps=7) as client,
    ):
        done = ask(client, "How much leave?")
    assert (done["status"], done["steps"]) == ("step_limit", 7)
    assert len(seen) == 7


def test_a_supervisor_sends_work_to_the_role_that_has_the_tool(tmp_path: Path) -> None:
    """The researcher searches, the writer has no tools, the supervisor ends it."""

    def team(body: dict[str, Any]) -> Any:
        if "next" in wanted_fields(body):
            asked = last_user(body)
            step = ("writer" if "researcher:" in asked else "researcher", "do it", "")
            if "writer:" in asked:
                step = ("finish", "", asked.rpartition("writer: ")[2])
            return says(json.dumps(dict(zip(("next", "instruction", "answer"), step, strict=True))))
        if "You are the writer. Be short." in body["messages"][0]["content"]:
            assert "tools" not in body
            return says("25 days, says the page.")
        return careful_or_not(body)

    roles = {"writer": {"prompt": "Be short."}}
    with (
        language_model(team) as (url, _),
        tool_server() as (tools, made),
        agent_running(tmp_path, url, tools, shape="supervisor", roles=roles) as client,
    ):
        done = ask(client, "How much leave?")
    assert (done["status"], done["answer"]) == ("done", "25 days, says the page.")
    assert made == [("search", "How much leave?")]
    assert done["steps"] == 6


def test_a_server_of_tools_or_a_model_that_is_down_is_an_error_that_is_counted(
    tmp_path: Path,
) -> None:
    """HTTP 502 and `agent_request_errors_total`, not an empty answer."""

    def down(body: dict[str, Any]) -> Any:
        raise RuntimeError("no GPU")

    with language_model(down) as (url, _), agent_running(tmp_path, url) as client:
        answer = client.post("/run", json={"task": "Anything?"})
        page = client.get("/metrics").text
    assert answer.status_code == 502
    assert "HTTP 500" in answer.json()["error"]
    assert 'agent_request_errors_total{agent="assistant"} 1.0' in page


@contextmanager
def redis_running(folder: Path) -> Iterator[int]:
    """A real one, its port."""
    assert REDIS is not None
    port = free_port()
    command = [REDIS, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir",
               str(folder)]  # fmt: skip
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as server:
        try:
            yield port
        finally:
            server.terminate()


@pytest.mark.skipif(REDIS is None, reason="redis-server is not installed")
def test_it_remembers_the_last_messages_of_a_session_for_a_while(tmp_path: Path) -> None:
    """A real Redis: its own session alone, at most the declared messages, with an end."""
    with redis_running(tmp_path) as port:
        memory = {"redis": f"127.0.0.1:{port}", "messages": 6}
        with (
            language_model(careful_or_not) as (url, seen),
            tool_server() as (tools, _),
            agent_running(tmp_path, url, tools, memory=memory) as client,
        ):
            for number in range(5):
                assert ask(client, f"leave {number}", "s1")["status"] == "done"
            seen.clear()
            ask(client, "and travel", "s1")
            mine = [m["content"] for m in seen[0]["messages"]]
            seen.clear()
            ask(client, "leave", "s2")
            others = [m["content"] for m in seen[0]["messages"]]
        kept = (
            _redis(port, "LLEN", "agent:assistant:s1"),
            _redis(port, "TTL", "agent:assistant:s1"),
        )
    assert len(mine) == 1 + 6 + 1  # system, the last 6 of 10, and the question
    assert "leave 2" in mine
    assert "leave 1" not in mine
    assert len(others) == 2
    assert kept[0] == 6
    assert 3500 < kept[1] <= 3600


@pytest.mark.skipif(REDIS is None, reason="redis-server is not installed")
def test_an_approval_outlives_its_replica_and_is_given_once(tmp_path: Path) -> None:
    """The replica that was asked has ended; another one goes on where it stood, a third does not.

    Before, a rollout or a scale-down lost every request that waited for a person.
    """
    with redis_running(tmp_path) as port, tool_server() as (tools, made):
        memory = {"redis": f"127.0.0.1:{port}"}
        with language_model(opens_a_ticket) as (url, _):
            with agent_running(tmp_path, url, tools, memory=memory) as first:
                held = ask(first, "My laptop is broken.", "s1")
                other = ask(first, "My laptop is broken.", "s1")
            ends = _redis(port, "TTL", f"agent:assistant:waiting:{held['request']}")
            with (
                agent_running(tmp_path, url, tools, memory=memory) as second,
                agent_running(tmp_path, url, tools, memory=memory) as third,
            ):
                word = {"request": held["request"], "allow": True}
                allowed = second.post("/answer", json=word).json()
                again = third.post("/answer", json=word)
                no = {"request": other["request"], "allow": False}
                refused = third.post("/answer", json=no).json()
    assert held["status"] == other["status"] == "waiting"
    assert 86_000 < ends <= 86_400
    assert "ticket 7" in allowed["answer"]
    assert again.status_code == 404
    assert "did not allow" in refused["answer"]
    assert made == [("open_ticket", "broken laptop")]


def _redis(port: int, *words: str) -> int:
    import socket

    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall((" ".join(words) + "\r\n").encode())
        return int(connection.recv(64).decode().strip().removeprefix(":"))
