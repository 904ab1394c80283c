"""`ask`: quotes to the letter with their citations, or that it does not know."""

from collections.abc import Sequence
from typing import Any

import pytest

from platform_pipelines.core.knowledge_base.answers import FEATURE_NAMES
from platform_pipelines.core.knowledge_base.calibration import Calibration
from platform_pipelines.core.knowledge_base.chain import MODEL_DOES_NOT_KNOW
from platform_pipelines.gateways.language_model import Message, ModelReply
from platform_pipelines.stages.knowledge_base.answering import Answer, answer_question
from platform_pipelines.stages.knowledge_base.live import Live
from tests.stages.knowledge_base.searching import ListedStore, hit, retriever

POOLS = hit("pools", 0.9, "The batch pool has 100 GPUs. It queues its work. Lunch is at noon.")
SERVE = hit("serve", 0.8, "The serving pool has 50 GPUs for online models.")
ASKED = "How many GPUs has the batch pool?"


def calibration(threshold: float) -> Calibration:
    """A probability of one half for everything."""
    size = len(FEATURE_NAMES)
    return Calibration(
        FEATURE_NAMES, (0.0,) * size, (1.0,) * size, (0.0,) * size, 0.0, threshold, 2.0,
        40, 8, 40, 0, 0, 0, 8,
    )  # fmt: skip


class Model:
    """A language model that says what it was told to."""

    name = "said"

    def __init__(self, reply: str) -> None:
        self.reply = reply
        self.heard: list[Sequence[Message]] = []

    def complete(self, messages: Sequence[Message]) -> ModelReply:
        self.heard.append(messages)
        return ModelReply(self.reply, self.name, 11, 7)


def ask(
    question: str = ASKED, *, found=(POOLS, SERVE), threshold: float = 0.4, model: Any = None
) -> Answer:
    opened = retriever(ListedStore(found, found))
    entry: Any = None  # of no interest here
    live = Live(entry, opened.revision, opened, calibration(threshold))
    return answer_question(live, question, tenant="t", k=5, model=model)


def test_the_sentence_that_answers_is_quoted_first_with_its_citation() -> None:
    """To the letter, numbered, with the sentence that hangs on it."""
    answer = ask()
    assert answer.known
    first = answer.citations[0]
    assert first.quote == "The batch pool has 100 GPUs. It queues its work."
    assert (first.number, first.document_key, first.chunk_id) == (1, "pools.md", "pools")
    assert answer.text.startswith(f"{first.quote} [1]")
    assert answer.model is None


def test_below_the_threshold_it_does_not_know_and_says_where_it_looked() -> None:
    """The calibrated threshold decides, whatever there is to quote."""
    answer = ask(threshold=0.6)
    assert (answer.known, answer.text, answer.citations) == (False, "", ())
    assert answer.nearest == ("pools.md", "serve.md")
    assert answer.decision.calibrated


def test_nothing_found_is_not_known() -> None:
    """An empty index, even where the threshold would answer."""
    answer = ask(found=())
    assert (answer.known, answer.nearest) == (False, ())


def test_a_model_is_given_delimited_passages_and_its_citations_are_kept() -> None:
    """Only those that exist and agree."""
    model = Model("The batch pool has 100 GPUs [1]. Serving has more [9].")
    answer = ask(model=model)
    assert answer.known
    assert [c.chunk_id for c in answer.citations] == ["pools"]
    assert answer.citations[0].quote == POOLS.text
    assert answer.model == "said"
    system, user = (m.content for m in model.heard[0])
    nonce = user.splitlines()[0].rpartition(" ")[2]
    assert f"<<<passage 2 {nonce}\n(serve.md)\n{SERVE.text}\npassage 2 {nonce}>>>" in user
    assert nonce in system
    assert nonce not in ask(model=model).text


@pytest.mark.parametrize("reply", ["A hundred, believe me.", "See [7].", "", "`a[1]`"])
def test_a_model_that_cites_nothing_is_replaced_by_the_documents(reply: str) -> None:
    """A statement without a source is no answer; the sentences themselves are, and it says so."""
    answer, quoted = ask(model=Model(reply)), ask()
    assert answer.known
    assert (answer.text, answer.citations) == (quoted.text, quoted.citations)
    assert answer.model is None
    assert "quoted instead" in answer.note


def test_what_passages_and_tokens_an_answer_took_is_told() -> None:
    """A judge reads the very passages; a trace counts the tokens."""
    answer = ask(model=Model("The batch pool has 100 GPUs [1]."))
    assert answer.passages == (POOLS.text, SERVE.text)
    assert (answer.usage.input_tokens, answer.usage.output_tokens) == (11, 7)


@pytest.mark.parametrize(
    "reply",
    [
        MODEL_DOES_NOT_KNOW,
        f"{MODEL_DOES_NOT_KNOW}.",
        f"  {MODEL_DOES_NOT_KNOW}\n",
        f"`{MODEL_DOES_NOT_KNOW}`",
        f"**{MODEL_DOES_NOT_KNOW}**",
        f"The passages [1] [2] do not say. {MODEL_DOES_NOT_KNOW}",
        f"{MODEL_DOES_NOT_KNOW}: 구절에 답이 없습니다 [1].",
    ],
)
def test_a_model_that_finds_no_answer_is_believed(reply: str) -> None:
    """It read the passages; the threshold only measured them. Models dress the word up."""
    answer = ask(model=Model(reply))
    assert (answer.known, answer.text, answer.citations) == (False, "", ())
    assert "found no answer" in answer.note


def test_a_model_is_not_asked_what_the_corpus_lacks() -> None:
    """It would make something up."""
    model = Model("A hundred [1].")
    assert not ask(threshold=0.6, model=model).known
    assert model.heard == []


def test_without_a_calibration_the_conservative_default_decides() -> None:
    """A knowledge base without a golden set."""
    opened = retriever(ListedStore((POOLS,), (POOLS,)))
    entry: Any = None
    live = Live(entry, opened.revision, opened, None)
    known = answer_question(live, ASKED, tenant="t", k=5, model=None)
    unknown = answer_question(live, "Capital of Mongolia in 1999?", tenant="t", k=5, model=None)
    assert (known.known, unknown.known) == (True, False)
    assert not known.decision.calibrated
