"""A judge whose verdicts are computed from the prompts that it gets, by the overlap of words.

No language model, and no script: a statement is supported when the context that stands in the very
prompt holds most of its words. It can also misbehave, for a share of its calls or from a call on.
"""

import json
import re
from collections.abc import Callable
from typing import Any

from platform_pipelines.core.knowledge_base.sentences import split_sentences
from tests.servers.chat_server import ChatServer, Json, reply

SUPPORTED = 0.7
_WORD = re.compile(r"[A-Za-z0-9]+|[\uac00-\ud7a3]+")

Fault = Callable[[int, Json], "tuple[int, Json] | str | None"]  # by the call's number, from 1


def words(text: str) -> set[str]:
    """Words, Hangul without its last syllable: particles differ."""
    found = (w.lower() for w in _WORD.findall(text))
    return {w[:-1] if len(w) > 1 and w >= "\uac00" else w for w in found}


def overlap(statement: str, context: str) -> float:
    """Share of a statement's words that the context holds."""
    asked = words(statement)
    return len(asked & words(context)) / len(asked) if asked else 0.0


def supported(statement: str, context: str) -> int:
    """1 or 0."""
    return int(overlap(statement, context) >= SUPPORTED)


def given(prompt: str) -> Json:
    """The input of the prompt: the JSON after its last `input:`."""
    text = prompt[prompt.rindex("input:") + len("input:") :].strip()
    return json.JSONDecoder().raw_decode(text)[0]


def statements(text: str) -> list[str]:
    """Its sentences."""
    return [s for s in split_sentences(text) if words(s)] or [text]


def verdict(kind: str, data: Json) -> Json:
    """The verdict that a schema asks for."""
    if kind == "StatementGeneratorOutput":
        return {"statements": statements(data["answer"])}
    if kind == "NLIStatementOutput":
        judged = [
            {"statement": s, "reason": "overlap", "verdict": supported(s, data["context"])}
            for s in data["statements"]
        ]
        return {"statements": judged}
    if kind == "AnswerRelevanceOutput":
        return {"question": data["response"], "noncommittal": int(data["response"] == "-")}
    if kind == "ContextPrecisionOutput":
        return {"reason": "overlap", "verdict": supported(data["answer"], data["context"])}
    if kind == "ContextRecallOutput":
        found = [
            {"statement": s, "reason": "overlap", "attributed": supported(s, data["context"])}
            for s in statements(data["answer"])
        ]
        return {"classifications": found}
    assert kind == "ClassificationWithReason", kind
    truth, answer = " ".join(data["ground_truth"]), " ".join(data["answer"])
    rows = {
        "TP": [s for s in data["answer"] if supported(s, truth)],
        "FP": [s for s in data["answer"] if not supported(s, truth)],
        "FN": [s for s in data["ground_truth"] if not supported(s, answer)],
    }
    return {n: [{"statement": s, "reason": "overlap"} for s in found] for n, found in rows.items()}


class JudgeServer(ChatServer):
    """Started by `with`. `fault` may answer a call otherwise."""

    def __init__(self, fault: Fault | None = None) -> None:
        super().__init__(self._judge)
        self.fault = fault

    def _judge(self, body: Json) -> Any:
        number = len(self.requests)
        wrong = self.fault(number, body) if self.fault else None
        if wrong is not None:
            return wrong
        kind = body["response_format"]["json_schema"]["name"]
        prompt = body["messages"][-1]["content"]
        return json.dumps(verdict(kind, given(prompt)), ensure_ascii=False)

    def kinds(self) -> list[str]:
        """What each call asked for."""
        return [r["response_format"]["json_schema"]["name"] for r in self.requests]


__all__ = ["JudgeServer", "reply"]
