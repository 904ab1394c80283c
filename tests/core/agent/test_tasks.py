"""Checks of tool calls, pass^k, and what a canary's numbers mean."""

from itertools import combinations
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from platform_pipelines.core.agent.behaviour import behaviour_from_json, behaviour_of
from platform_pipelines.core.agent.canary import Side, problems_of_canary
from platform_pipelines.core.agent.declaration import CanarySpec
from platform_pipelines.core.agent.sandbox import sandbox_job
from platform_pipelines.core.agent.tasks import (
    AgentTask,
    Attempt,
    ToolCall,
    parse_tasks,
    pass_hat_k,
    problems_of,
)
from platform_pipelines.errors import ConfigurationError
from tests.platform_sample import agent

SEARCH = ToolCall("search", {"query": "leave in Seoul"})
TICKET = ToolCall("open_ticket", {"title": "x"}, asked=True, allowed=False)
SANDBOX = {"namespace": "acme-code", "image": "python:3.11.9-slim"}


def task(**checks: Any) -> AgentTask:
    return AgentTask(id="t", task="How much leave?", **checks)


def problems(attempt: Attempt, **checks: Any) -> str:
    return "; ".join(problems_of(task(**checks), attempt))


@given(st.lists(st.booleans(), min_size=1, max_size=7), st.data())
def test_pass_k_is_the_share_of_k_tries_that_are_all_right(
    tries: list[bool], data: st.DataObject
) -> None:
    """A mean of tries hides an agent that is right every other time."""
    k = data.draw(st.integers(1, len(tries)))
    chosen = list(combinations(tries, k))
    expected = sum(map(all, chosen)) / len(chosen)
    assert pass_hat_k(sum(tries), len(tries), k) == pytest.approx(expected)


def test_a_right_answer_without_its_source_is_wrong() -> None:
    """An agent that guesses is right until the page changes."""
    guess = Attempt("25 days", "done")
    checks = {"must_call": [{"tool": "search", "arguments": {"query": "leave"}}], "answer": "25"}
    assert problems(guess, **checks) == "no call of search(query=/leave/), or not in this order"
    assert problems(Attempt("25 days", "done", (SEARCH,)), **checks) == ""


@pytest.mark.parametrize(
    ("attempt", "checks", "told"),
    [
        (Attempt("", "step_limit"), {}, "ended as `step_limit`, not `done`"),
        (Attempt("", "done", error="HTTP 502"), {}, "the agent failed: HTTP 502"),
        (Attempt("30", "done"), {"answer": "25"}, "the answer has no /25/"),
        (Attempt("", "done", (SEARCH,)), {"must_not_call": [{"tool": "search"}]}, "a call of sear"),
        (Attempt("", "done", (SEARCH, SEARCH)), {"maximum_calls": 1}, "2 calls, 1 are allowed"),
        (Attempt("", "done", (SEARCH,)), {"must_ask": ["open_ticket"]}, "nobody was asked"),
        (
            Attempt("", "done", (ToolCall("search", {}, error="refused"),)),
            {"must_call": [{"tool": "search"}]},
            "no call of search",
        ),
        (
            Attempt("", "done", (SEARCH, ToolCall("read", {}))),
            {"must_call": [{"tool": "read"}, {"tool": "search"}]},
            "not in this order",
        ),
    ],
)
def test_what_is_wrong_is_said(attempt: Attempt, checks: dict[str, Any], told: str) -> None:
    """A number without its reason sends a person into the logs."""
    assert told in problems(attempt, **checks)


def test_what_a_person_refused_was_not_called() -> None:
    """An agent that asks first, and is told no, did nothing."""
    refused = Attempt("", "done", (TICKET,))
    checks = {"must_not_call": [{"tool": "open_ticket"}], "must_ask": ["open_ticket"]}
    assert problems(refused, **checks) == ""


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "no task is in it"),
        ("{", "a task is no JSON"),
        ("[]", "a task is no object"),
        ('{"id": "a", "task": "b", "answer": "("}', "no regular expression"),
        ('{"id": "a", "task": "b"}\n{"id": "a", "task": "c"}', "two tasks have one id"),
        ('{"id": "a", "task": "b", "must_cal": []}', "no such field"),
    ],
)
def test_a_wrong_file_of_tasks_is_refused(text: str, told: str) -> None:
    """A check with a misspelt name would hold for ever."""
    with pytest.raises(ConfigurationError, match=told):
        parse_tasks(text, where="tasks.jsonl")


@pytest.mark.parametrize(
    ("candidate", "live", "told"),
    [
        (Side(10, 0, 0, 10.0), Side(30, 0, 0, 30.0), ""),
        (Side(10, 0, 0, 10.0), Side(), ""),
        (Side(10, 2, 2, 10.0), Side(30, 0, 0, 30.0), "40% of its requests failed"),
        (Side(10, 0, 0, 40.0), Side(30, 0, 0, 30.0), "it takes 4.00 s"),
        (Side(2, 0, 0, 2.0), Side(30, 0, 0, 30.0), "it got 2 requests, 5 are needed"),
        (Side(10, 2, 0, 10.0), Side(30, 6, 0, 30.0), ""),  # both fail: something else is broken
    ],
)
def test_a_canary_is_compared_with_what_is_live_meanwhile(
    candidate: Side, live: Side, told: str
) -> None:
    """A model server that is down fails both: that is no reason to roll back."""
    found = "; ".join(problems_of_canary(CanarySpec(), candidate, live))
    assert told in found
    assert bool(told) == bool(found)


def test_the_program_reads_what_was_declared() -> None:
    """What is declared and does not reach the program is a lie on the page."""
    spec = agent(
        runtime="image", image="r/agent:1", memory={"redis": "redis:6379"}, maximum_steps=8,
        tools=[{"kind": "code", "name": "python", "approve": ["run_python"],
                "tools": ["run_python"]}],
        sandbox=SANDBOX, shape="supervisor", roles={"writer": {"prompt": "Be short."}},
    )  # fmt: skip
    behaviour = behaviour_of(spec)
    assert behaviour_from_json(behaviour.to_json(), where="test") == behaviour
    assert behaviour.tools_of("coder") == behaviour.tools
    assert behaviour.tools_of("researcher") == behaviour.tools_of("writer") == ()
    more = behaviour_of(spec.model_copy(update={"cpu": "2"}))
    assert more.digest == behaviour.digest  # more CPU is no other agent
    other = behaviour_of(spec.model_copy(update={"prompt": "Guess."}))
    assert other.digest != behaviour.digest
    with pytest.raises(ConfigurationError, match="no declaration of an agent"):
        behaviour_from_json("{}", where="test")


def test_code_runs_in_a_pod_that_can_reach_nothing() -> None:
    """What a language model wrote is what a stranger wrote."""
    spec = agent(
        runtime="image", image="r/agent:1", sandbox=SANDBOX,
        tools=[{"kind": "code", "name": "python"}],
    )  # fmt: skip
    assert spec.sandbox is not None
    job = sandbox_job(spec.sandbox, "assistant", "assistant-1", "print(1)")["spec"]
    pod = job["template"]["spec"]
    container = pod["containers"][0]
    assert (job["backoffLimit"], job["activeDeadlineSeconds"]) == (0, 30)
    assert pod["automountServiceAccountToken"] is False
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    assert container["resources"]["limits"] == container["resources"]["requests"]
    assert "env" not in container
    assert "envFrom" not in container
