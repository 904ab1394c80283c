"""What people said in Langfuse, kept as feedback like what `POST /v1/feedback` took.

A yes or no (BOOLEAN, or 1, 0, -1) is a score; a correction is what should have been said. Which
question it is about stands in the trace where content is captured, or in the score's metadata.
"""

from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from enum import StrEnum
from typing import Literal

from pydantic import ValidationError

from platform_pipelines.core.knowledge_base.feedback import Feedback, FeedbackSpec
from platform_pipelines.errors import ConfigurationError
from platform_pipelines.gateways.clock import Clock, SystemClock
from platform_pipelines.gateways.langfuse import Asked, Langfuse, Scored, is_langfuse
from platform_pipelines.gateways.traces import parse_headers
from platform_pipelines.settings import Settings
from platform_pipelines.stages.knowledge_base.connect import open_knowledge_store
from platform_pipelines.stages.knowledge_base.feedback import keep_feedback

DAYS = 30


class Left(StrEnum):
    """Why a score is no feedback."""

    NO_WORD = "neither a yes or no (1, 0, -1, true, false) nor a correction"
    NOT_OURS = "about no answer of this knowledge base"
    NO_QUESTION = "about an answer whose question is not in the trace (PLATFORM_TRACE_CONTENT)"
    UNFIT = "too long to be kept"


def read_back(
    settings: Settings, name: str, *, progress: Callable[[str], None], clock: Clock | None = None
) -> tuple[int, Counter[Left]]:
    """How many were new, and how many were left out, by why. Read again, nothing is kept twice.

    Raises:
        ConfigurationError: traces do not go to Langfuse.
        CredentialsError, RateLimitedError, UnavailableError: Langfuse does not give them.
    """
    serving = settings.serving
    endpoint = serving.otlp_endpoint or ""
    if not is_langfuse(endpoint):
        raise ConfigurationError(
            "traces do not go to Langfuse", where="PLATFORM_OTLP_ENDPOINT", stored=endpoint or None,
            expected="https://HOST/api/public/otel", remedy="declare it, with its headers",
        )  # fmt: skip
    headers = parse_headers(serving.otlp_headers.value) if serving.otlp_headers else {}
    store = open_knowledge_store(settings, name)
    since = (clock or SystemClock()).now() - timedelta(days=DAYS)
    new, left, traces = 0, Counter[Left](), dict[str, Asked | None]()
    with Langfuse(endpoint, headers) as langfuse:
        for scored in langfuse.scores(since.isoformat()):
            if scored.trace_id not in traces:
                traces[scored.trace_id] = langfuse.asked(scored.trace_id)
            found = feedback_of(scored, traces[scored.trace_id], name)
            if isinstance(found, Left):
                left[found] += 1
            else:
                new += keep_feedback(store, found)
    progress(f"{name}: {new} words of people from Langfuse were new")
    return new, left


def feedback_of(scored: Scored, asked: Asked | None, name: str) -> Feedback | Left:
    """One score as feedback, or why it is none."""
    if asked is None or asked.knowledge_base != name:
        return Left.NOT_OURS
    word = _word(scored)
    if word is None:
        return Left.NO_WORD
    question = asked.question or str(scored.metadata.get("question") or "")
    if not question.strip():
        return Left.NO_QUESTION
    score, answer = word
    try:
        said = FeedbackSpec(
            trace_id=scored.trace_id,
            question=question,
            comment=scored.comment,
            score=score,
            answer=answer,
        )
    except ValidationError:
        return Left.UNFIT
    return Feedback(
        tenant=asked.tenant, revision=asked.revision, day=scored.day, **said.model_dump()
    )


def _word(scored: Scored) -> tuple[Literal[-1, 1], str] | None:
    """Whether it helped, and what should have been said."""
    value = scored.value
    if scored.kind == "CORRECTION":
        text = str(value).strip()
        return (-1, text) if text else None
    if scored.kind in ("BOOLEAN", "NUMERIC") and value in (1, 0, -1):
        return (1 if value == 1 else -1), ""
    return None
