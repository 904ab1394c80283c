"""Scripted tasks of an agent: what it is asked, which tools it must and must not call, and pass^k.

pass^k is the chance that k independent tries are all right, estimated from n tries of which c were:
C(c, k) / C(n, k) (Yao, Shinn, Razavi and Narasimhan, "tau-bench", 2024, section 3).
"""

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from pydantic import Field, field_validator

from platform_pipelines.core.road.declarations import Spec, parse_spec
from platform_pipelines.core.road.identity import digest_json
from platform_pipelines.core.road.metrics import Metric
from platform_pipelines.errors import ConfigurationError

PASSED, PASSED_K = "passed", "passed_k"
METRICS = (Metric(PASSED), Metric(PASSED_K))
DONE = "done"


class CallCheck(Spec):
    """A call that must be there, or must not."""

    tool: str = Field(min_length=1, description="its name, as the server of tools has it")
    arguments: dict[str, str] = Field(
        default={}, description="argument -> a regular expression that is found in it"
    )

    @field_validator("arguments")
    @classmethod
    def _readable(cls, value: dict[str, str]) -> dict[str, str]:
        return {name: _pattern(text) for name, text in value.items()}


class AgentTask(Spec):
    """One task."""

    id: str = Field(min_length=1, max_length=80, description="unique in its file")
    task: str = Field(min_length=1, description="what the agent is asked")
    must_call: tuple[CallCheck, ...] = Field(default=(), description="in this order")
    must_not_call: tuple[CallCheck, ...] = Field(default=(), description="none of these")
    must_ask: tuple[str, ...] = Field(default=(), description="tools a person was asked about")
    allow: bool = Field(default=True, description="what the person answers")
    answer: str | None = Field(default=None, description="a regular expression found in the answer")
    maximum_calls: int | None = Field(default=None, ge=0, description="of tools, together")
    ends: str = Field(default=DONE, description="`done`, or `step_limit`")
    slices: dict[str, str] = Field(default={}, description='e.g. {"language": "ko"}')

    @field_validator("answer")
    @classmethod
    def _readable(cls, value: str | None) -> str | None:
        return None if value is None else _pattern(value)


@dataclass(frozen=True, slots=True)
class TaskSet:
    """The tasks of a file, in its order."""

    tasks: tuple[AgentTask, ...]

    @property
    def digest(self) -> str:
        """Of what is asked and what is checked."""
        return digest_json([one.model_dump(mode="json") for one in self.tasks])


@dataclass(frozen=True, slots=True)
class ToolCall:
    """One call as the agent's program made it. `asked`: a person was; `allowed` is the answer."""

    tool: str
    arguments: Mapping[str, Any]
    error: str = ""
    asked: bool = False
    allowed: bool = True


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try of one task. `error` is of the program itself, which then has no answer."""

    answer: str
    status: str
    calls: tuple[ToolCall, ...] = ()
    steps: int = 0
    seconds: float = 0.0
    error: str = ""
    problems: tuple[str, ...] = field(default=())


def parse_tasks(text: str, *, where: str) -> TaskSet:
    """The tasks of a file of JSON Lines.

    Raises:
        ConfigurationError: names the line and what is wrong with it.
    """
    found: dict[str, AgentTask] = {}
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        at = f"{where}, line {number}"
        try:
            raw = json.loads(line)
        except ValueError as error:
            raise ConfigurationError("a task is no JSON", where=at, stored=line[:80]) from error
        if not isinstance(raw, dict):
            raise ConfigurationError("a task is no object", where=at, stored=line[:80])
        task = parse_spec(AgentTask, cast("dict[str, Any]", raw), where=at, noun="a task")
        if task.id in found:
            raise ConfigurationError("two tasks have one id", where=at, stored=task.id)
        found[task.id] = task
    if not found:
        raise ConfigurationError("no task is in it", where=where, expected="one JSON object a line")
    return TaskSet(tuple(found.values()))


def problems_of(task: AgentTask, attempt: Attempt) -> tuple[str, ...]:
    """What is wrong with a try; nothing: it is right."""
    if attempt.error:
        return (f"the agent failed: {attempt.error}",)
    return tuple(_problems(task, attempt))


def pass_hat_k(right: int, tries: int, k: int) -> float:
    """The unbiased estimate of the chance that k tries are all right.

    Raises:
        ConfigurationError: k is over the number of tries.
    """
    if not 0 <= right <= tries or not 1 <= k <= tries:
        raise ConfigurationError("pass^k needs k tries", stored=(right, tries), expected=k)
    return math.comb(right, k) / math.comb(tries, k)


def _problems(task: AgentTask, attempt: Attempt) -> Iterator[str]:
    yield from _call_problems(task, attempt)
    if attempt.status != task.ends:
        yield f"it ended as `{attempt.status}`, not `{task.ends}`"
    if task.answer is not None and not re.search(task.answer, attempt.answer):
        yield f"the answer has no /{task.answer}/"


def _call_problems(task: AgentTask, attempt: Attempt) -> Iterator[str]:
    done = [one for one in attempt.calls if one.allowed]
    rest = iter(done)
    for check in task.must_call:
        if not any(_matches(check, one) and not one.error for one in rest):
            yield f"no call of {_shown(check)}, or not in this order"
    for check in task.must_not_call:
        if any(_matches(check, one) for one in done):
            yield f"a call of {_shown(check)}"
    asked = {one.tool for one in attempt.calls if one.asked}
    for tool in task.must_ask:
        if tool not in asked:
            yield f"nobody was asked about {tool}"
    if task.maximum_calls is not None and len(attempt.calls) > task.maximum_calls:
        yield f"{len(attempt.calls)} calls, {task.maximum_calls} are allowed"


def _matches(check: CallCheck, call: ToolCall) -> bool:
    return check.tool == call.tool and all(
        re.search(pattern, _text(call.arguments.get(name)))
        for name, pattern in check.arguments.items()
    )


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _shown(check: CallCheck) -> str:
    arguments = ", ".join(f"{name}=/{text}/" for name, text in check.arguments.items())
    return f"{check.tool}({arguments})"


def _pattern(text: str) -> str:
    try:
        re.compile(text)
    except re.error as error:
        raise ValueError(f"no regular expression: {error}") from error
    return text


def right_of(attempts: Sequence[Attempt]) -> int:
    """How many tries are right."""
    return sum(not one.problems for one in attempts)
