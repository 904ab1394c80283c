"""The two shapes of an agent as LangGraph graphs: a loop of plan, execute, evaluate; a supervisor.

Each step is one call of the model, and there are no more than the declared ones. A tool that needs
a person's word interrupts the graph before it is called; nothing is done twice when it goes on.
"""

import importlib
import json
import operator
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, TypedDict

from platform_pipelines.core.agent.behaviour import ROLES, AgentBehaviour
from platform_pipelines.serving.agents.model import ChatModel, Message
from platform_pipelines.serving.agents.tools import Toolbox

DONE, STEP_LIMIT = "done", "step_limit"
_PLAN = {
    "type": "object",
    "properties": {"steps": {"type": "array", "items": {"type": "string"}, "maxItems": 8}},
    "required": ["steps"],
}
_EVALUATION = {
    "type": "object",
    "properties": {
        "done": {"type": "boolean"}, "answer": {"type": "string"}, "missing": {"type": "string"},
    },
    "required": ["done", "answer", "missing"],
}  # fmt: skip
_DISPATCH = {
    "type": "object",
    "properties": {
        "next": {"type": "string", "enum": [*ROLES, "finish"]},
        "instruction": {"type": "string"},
        "answer": {"type": "string"},
    },
    "required": ["next", "instruction", "answer"],
}


class Turn(TypedDict):
    """The state of one request."""

    task: str
    history: list[Message]  # of the session
    plan: list[str]
    at: int  # which step of the plan
    role: str  # whose tools; empty: all
    messages: list[Message]  # of the step that is being executed
    pending: list[dict[str, Any]]  # calls that the model asked for
    notes: list[str]  # what steps gave
    missing: str
    calls: Annotated[list[dict[str, Any]], operator.add]
    steps: int
    answer: str
    status: str


@dataclass(frozen=True)
class Graphs:
    """The nodes of both shapes, over one model and one toolbox."""

    behaviour: AgentBehaviour
    model: ChatModel
    toolbox: Toolbox

    def build(self, saver: Any) -> Any:
        """The compiled graph of the declared shape."""
        langgraph: Any = importlib.import_module("langgraph.graph")
        begin, end = langgraph.START, langgraph.END
        graph = langgraph.StateGraph(Turn)
        is_plan = self.behaviour.shape == "plan"
        first = "plan" if is_plan else "supervise"
        last = "evaluate" if is_plan else "supervise"
        graph.add_node(first, self._plan if is_plan else self._supervise)
        if is_plan:
            graph.add_node("evaluate", self._evaluate)
            graph.add_conditional_edges("evaluate", _ended, {True: end, False: first})
        graph.add_node("execute", self._execute)
        graph.add_node("act", self._act)
        graph.add_edge(begin, first)
        graph.add_conditional_edges(first, _ended, {True: end, False: "execute"})
        graph.add_conditional_edges("execute", _after_execute, {
            "act": "act", "execute": "execute", "over": last, "end": end,
        })  # fmt: skip
        graph.add_conditional_edges("act", _has_pending, {True: "act", False: "execute"})
        return graph.compile(checkpointer=saver)

    async def _plan(self, turn: Turn) -> dict[str, Any]:
        if limit := self._limit(turn):
            return limit
        asked = f"Task: {turn['task']}"
        if turn.get("missing"):
            asked += f"\nDone so far:\n{_notes(turn)}\nStill missing: {turn['missing']}"
        said = await self._json(turn, f"Plan the steps that do this task.\n{asked}", _PLAN)
        steps = [str(one) for one in said.get("steps", ()) if str(one).strip()]
        return {
            "plan": steps or [turn["task"]], "at": 0, "messages": [], "steps": turn["steps"] + 1
        }  # fmt: skip

    async def _supervise(self, turn: Turn) -> dict[str, Any]:
        if limit := self._limit(turn):
            return limit
        asked = (
            "You lead a researcher, a coder and a writer. Say who does what next, or finish with "
            f"the answer.\nTask: {turn['task']}\nDone so far:\n{_notes(turn)}"
        )
        said = await self._json(turn, asked, _DISPATCH)
        steps = turn["steps"] + 1
        if said.get("next") not in ROLES:
            answer = str(said.get("answer") or _last_note(turn))
            return {"answer": answer, "status": DONE, "steps": steps}
        plan = [str(said.get("instruction") or turn["task"])]
        return {"role": said["next"], "plan": plan, "at": 0, "messages": [], "steps": steps}

    async def _execute(self, turn: Turn) -> dict[str, Any]:
        if limit := self._limit(turn):
            return limit
        role = turn.get("role", "")
        messages = turn["messages"] or self._opening(turn, role)
        tools = await self.toolbox.schemas(role)
        reply = await self.model.ask(messages, tools=tools)
        steps = turn["steps"] + 1
        messages = [*messages, reply.message]
        if reply.calls:
            pending = [
                {"id": one.id, "tool": one.tool, "arguments": dict(one.arguments)}
                for one in reply.calls
            ]
            return {"messages": messages, "pending": pending, "steps": steps}
        note = f"{role or turn['plan'][turn['at']]}: {reply.text}"
        return {
            "messages": [], "pending": [], "steps": steps, "at": turn["at"] + 1,
            "notes": [*turn["notes"], note],
        }  # fmt: skip

    async def _act(self, turn: Turn) -> dict[str, Any]:
        """The first of the calls that are asked for; the graph comes back here for the next.

        LangGraph begins the node again when it goes on after an interruption: so nothing stands
        before that.
        """
        types: Any = importlib.import_module("langgraph.types")
        call, rest = turn["pending"][0], turn["pending"][1:]
        asked = self.toolbox.needs_approval(call["tool"])
        allowed = True
        if asked:
            allowed = bool(types.interrupt({"tool": call["tool"], "arguments": call["arguments"]}))
        record = {**call, "asked": asked, "allowed": allowed, "error": ""}
        if allowed:
            called = await self.toolbox.call(turn.get("role", ""), call["tool"], call["arguments"])
            record["error"] = called.error
            text = f"error: {called.error}" if called.error else called.text
        else:
            text = "a person did not allow this call"
        message = {"role": "tool", "tool_call_id": call["id"], "content": text}
        return {"messages": [*turn["messages"], message], "pending": rest, "calls": [record]}

    async def _evaluate(self, turn: Turn) -> dict[str, Any]:
        if limit := self._limit(turn):
            return limit
        asked = (
            "Is the task done? Answer it from what the steps gave.\n"
            f"Task: {turn['task']}\nSteps gave:\n{_notes(turn)}"
        )
        said = await self._json(turn, asked, _EVALUATION)
        steps = turn["steps"] + 1
        if said.get("done", True):
            answer = str(said.get("answer") or _last_note(turn))
            return {"answer": answer, "status": DONE, "steps": steps}
        return {"missing": str(said.get("missing") or "the answer"), "steps": steps}

    def _limit(self, turn: Turn) -> dict[str, Any] | None:
        if turn["steps"] < self.behaviour.maximum_steps:
            return None
        return {"status": STEP_LIMIT, "answer": _last_note(turn), "pending": []}

    def _opening(self, turn: Turn, role: str) -> list[Message]:
        told = self.behaviour.prompt
        if role:
            spec = self.behaviour.roles.get(role)
            told = f"{told}\n\nYou are the {role}. {spec.prompt if spec else ''}".rstrip()
        step = turn["plan"][turn["at"]]
        asked = f"Task: {turn['task']}\nThis step: {step}"
        if turn["notes"]:
            asked += f"\nDone so far:\n{_notes(turn)}"
        return [
            {"role": "system", "content": told}, *turn["history"],
            {"role": "user", "content": asked},
        ]  # fmt: skip

    async def _json(self, turn: Turn, asked: str, schema: Mapping[str, Any]) -> dict[str, Any]:
        """What the model says by a schema. A small model may break it: that is no plan at all."""
        messages = [
            {"role": "system", "content": self.behaviour.prompt}, *turn["history"],
            {"role": "user", "content": asked},
        ]  # fmt: skip
        reply = await self.model.ask(messages, schema=schema)
        try:
            found = json.loads(reply.text)
        except ValueError:
            return {}
        return found if isinstance(found, dict) else {}


def opening(task: str, history: list[Message]) -> Turn:
    """The state that a request begins with."""
    return Turn(
        task=task, history=history, plan=[], at=0, role="", messages=[], pending=[], notes=[],
        missing="", calls=[], steps=0, answer="", status="",
    )  # fmt: skip


def _ended(turn: Turn) -> bool:
    return bool(turn["status"])


def _has_pending(turn: Turn) -> bool:
    return bool(turn["pending"])


def _after_execute(turn: Turn) -> str:
    if turn["status"]:
        return "end"
    if turn["pending"]:
        return "act"
    return "execute" if turn["at"] < len(turn["plan"]) else "over"


def _notes(turn: Turn) -> str:
    return "\n".join(f"- {one}" for one in turn["notes"]) or "- nothing"


def _last_note(turn: Turn) -> str:
    return turn["notes"][-1].partition(": ")[2] if turn["notes"] else ""
