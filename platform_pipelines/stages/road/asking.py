"""Asking a served model every golden question, and what its answers are worth."""

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor

from platform_pipelines.core.road.declared_values import named_golden_set
from platform_pipelines.core.road.evidence import Outcome, SampleRow
from platform_pipelines.core.road.model_questions import (
    ModelGoldenSet,
    ModelQuestion,
    answered,
    guarded_lines,
    parse_questions,
    question_slices,
    unanswered,
)
from platform_pipelines.core.road.served_model import SERVED_NAME
from platform_pipelines.gateways.chat import chat
from platform_pipelines.gateways.model_server import Address
from platform_pipelines.gateways.object_store import StoreOptions
from platform_pipelines.gateways.obstore_store import open_store
from platform_pipelines.settings import Settings
from platform_pipelines.stages.road.access import store_options
from platform_pipelines.stages.road.named_golden import answerable_lines, read_version

STREAMS = 4
_SECONDS_A_QUESTION = 180.0


def ask_all(
    address: Address,
    golden: ModelGoldenSet,
    *,
    max_tokens: int,
    check: Callable[[], None] = lambda: None,
) -> dict[str, Outcome]:
    """What each question got. One that got no answer scores the worst.

    `check` is called before each question: it raises when the time is over.
    """

    def ask(question: ModelQuestion) -> tuple[str, Outcome]:
        check()
        reply = chat(
            address.host,
            address.port,
            question.question,
            model=SERVED_NAME,
            max_tokens=max_tokens,
            timeout_seconds=_SECONDS_A_QUESTION,
        )
        if reply.error:
            return question.id, unanswered(reply.error)
        outcome = answered(question, reply.text, seconds=reply.seconds, count=reply.tokens)
        return question.id, outcome

    with ThreadPoolExecutor(STREAMS) as pool:
        return dict(pool.map(ask, golden.questions))


def sample_rows(
    golden: ModelGoldenSet, candidate: Mapping[str, Outcome], baseline: Mapping[str, Outcome] | None
) -> tuple[SampleRow, ...]:
    """The rows of evidence."""
    return tuple(
        SampleRow(q.id, question_slices(q), candidate[q.id], baseline[q.id] if baseline else None)
        for q in golden.questions
    )


def load_questions(settings: Settings, url: str) -> ModelGoldenSet:
    """The golden questions of a URL, or of a golden set that has a name: those with an answer.

    Raises:
        ConfigurationError: a line is wrong.
        SourceNotFoundError: there is no such file. UnknownNameError: no such golden set.
    """
    if name := named_golden_set(url):
        _, text, where = read_version(settings, name)
        return parse_questions(answerable_lines(text), where=where)
    return parse_questions(read_text(settings, url), where=url)


def load_guarded(settings: Settings, url: str) -> list[tuple[str, str]]:
    """(id, question) of any golden set: what the leakage guard keeps out, answers or not.

    Raises:
        ConfigurationError, SourceNotFoundError, UnknownNameError: as `load_questions`.
    """
    if name := named_golden_set(url):
        _, text, where = read_version(settings, name)
        return guarded_lines(text, where=where)
    return guarded_lines(read_text(settings, url), where=url)


def read_text(settings: Settings, url: str) -> str:
    """A file of a URL as text."""
    folder, _, name = url.rpartition("/")
    store = open_store(folder, options=StoreOptions(**store_options(settings)), named="url")
    return store.get(name)[0].decode("utf-8", "replace")
