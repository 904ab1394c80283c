"""The answer chain: retrieve, decide whether the corpus answers, word it, check it.

An answer rests on retrieved text only and cites it, or it is not known. Without a language model
the answer is the sentences themselves. Whether to answer at all is decided by the threshold that
was calibrated on the golden set, never by the model alone. Served answers, `ask` and the evidence
run this very code.
"""

import re
import secrets
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, Protocol

from platform_pipelines.core.knowledge_base.answers import (
    AnswerDecision,
    RankedSentence,
    decide_answer,
)
from platform_pipelines.core.knowledge_base.calibration import Calibration
from platform_pipelines.core.knowledge_base.chain import (
    CheckedReply,
    Passage,
    check_reply,
    mmr,
    system_prompt,
    user_prompt,
)
from platform_pipelines.core.knowledge_base.disagreement import (
    Disagreement,
    claims_of,
    disagreements,
    told,
)
from platform_pipelines.core.knowledge_base.revision import AnswerRecipe, Revision
from platform_pipelines.core.knowledge_base.sentences import split_sentences
from platform_pipelines.gateways.language_model import LanguageModel, Message, ModelReply
from platform_pipelines.stages.knowledge_base.prompts import SHIPPED, shipped_prompt
from platform_pipelines.stages.knowledge_base.quoting import (
    ANSWER_CHUNKS,
    Compared,
    compare,
    sound,
)
from platform_pipelines.stages.knowledge_base.retrieve import Found, Retriever
from platform_pipelines.stages.knowledge_base.shipped_calibration import shipped_calibration

NONCE_BYTES = 8
CITED = re.compile(r"[ \t]*\[[0-9]{1,4}\]")  # how an answer names what it rests on


class Opened(Protocol):
    """A revision opened for answering: what is live, or a candidate that is evaluated."""

    @property
    def revision(self) -> Revision:
        """What it is."""
        ...

    @property
    def retriever(self) -> Retriever:
        """How it is searched."""
        ...

    @property
    def calibration(self) -> Calibration | None:
        """When it answers; None: by the shipped default."""
        ...


class Spans(Protocol):
    """Where the chain says what it does: `traces` makes spans of it."""

    def span(self, name: str, **attributes: Any) -> AbstractContextManager[Any]:
        """A part of the chain; what is yielded takes `set(**attributes)`."""
        ...


class _Silent:
    """Nobody listens."""

    def span(self, name: str, **attributes: Any) -> AbstractContextManager[Any]:
        del name, attributes
        return nullcontext(self)

    def set(self, **attributes: Any) -> None:
        del attributes


SILENT: Spans = _Silent()


@dataclass(frozen=True, slots=True)
class Citation:
    """What a sentence of the answer rests on."""

    number: int
    citation: str
    document_key: str
    chunk_id: str
    quote: str
    also: tuple[str, ...] = ()  # other documents that say the same


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of the language model; both are 0 for a quoted answer."""

    input_tokens: int = 0
    output_tokens: int = 0


@dataclass(frozen=True, slots=True)
class Answer:
    """`text` is empty when the answer is not known. `model` is None for a quoted answer.

    `note` says what was wrong with the model's own reply, if anything was.
    """

    question: str
    known: bool
    text: str
    citations: tuple[Citation, ...]
    decision: AnswerDecision
    revision: str
    model: str | None
    nearest: tuple[str, ...]  # where the question came closest, for a person to look
    note: str = ""
    usage: Usage = Usage()
    passages: tuple[str, ...] = ()  # what the answer was to be made from, for a judge
    disagreements: tuple[Disagreement, ...] = ()  # where what was found says other numbers


@dataclass(frozen=True, slots=True)
class _Worded:
    """What is answered with; `model` is who worded it, None for the documents' own sentences."""

    text: str
    citations: tuple[Citation, ...]
    model: str | None
    note: str = ""
    usage: Usage = Usage()


def answer_question(
    live: Opened,
    question: str,
    *,
    tenant: str,
    k: int,
    model: LanguageModel | None,
    spans: Spans = SILENT,
    key: str = "",
) -> Answer:
    """Retrieve, decide whether the corpus answers, and answer with citations.

    `key` is whose question it is: an experiment sends it to the same arm each time.

    Raises:
        MissingTenantError: an empty tenant.
        UnavailableError: the vector store, the embedder or the language model does not answer.
    """
    hits, compared, vectors = _retrieved(live, question, tenant=tenant, k=k, spans=spans)
    default = shipped_calibration(live.revision.recipe.embed)
    decision = decide_answer(compared.features, live.calibration, default=default)
    sentences = compared.quotes if decision.answer else ()
    usable = sound(hits)
    chosen = _passages(live, usable, vectors)
    if sentences and model is not None:
        recipe = live.revision.recipe.answer
        prompt = recipe.prompt_name if recipe else SHIPPED
        messages = prompt_messages(recipe, question, chosen, key)
        answer = _worded(messages, prompt, chosen, hits, sentences, model, spans)
    else:
        answer = _Worded(*_quoted(sentences, hits), model.name if model else None)
    differing = _differing(question, answer, usable)
    return Answer(
        question=question,
        known=bool(answer.text),
        text=answer.text,
        citations=answer.citations,
        decision=decision,
        revision=live.revision.digest,
        model=answer.model,
        nearest=tuple(dict.fromkeys(h.citation for h in hits[:3])),
        note="; ".join(
            filter(None, (answer.note, _left_out(hits, usable), told(question, differing)))
        ),
        usage=answer.usage,
        passages=tuple(h.text for h in chosen),
        disagreements=differing,
    )


def _retrieved(
    live: Opened, question: str, *, tenant: str, k: int, spans: Spans
) -> tuple[list[Found], Compared, Any]:
    recipe = live.revision.recipe.answer
    depth = max(k, recipe.fetch_k) if recipe and recipe.mmr else k
    retriever = live.retriever
    with spans.span("retrieval", question=question, k=k) as span:
        vectors = retriever.embed([question])
        hits = retriever.search([question], k=depth, tenant=tenant, vectors=vectors)[0]
        span.set(hits=len(hits), documents=[h.document_key for h in hits[:ANSWER_CHUNKS]])
        corpus = retriever.term_weights()
        compared = compare(retriever.embedder, question, hits, vectors, corpus=corpus)
        return hits, compared, vectors


def _passages(live: Opened, hits: Sequence[Found], vectors: Any) -> list[Found]:
    """What a model is given: the first of the ranking, or the first of those that differ."""
    recipe = live.revision.recipe.answer
    if recipe is None:
        return list(hits[:ANSWER_CHUNKS])
    if not (recipe.mmr and hits):
        return list(hits[: recipe.passages])
    pool = list(hits[: recipe.fetch_k])
    embedded = live.retriever.embedder.embed_passages([h.text for h in pool])
    near = (embedded @ vectors[0]).tolist()
    alike = (embedded @ embedded.T).tolist()
    order = mmr(near, alike, k=recipe.passages, diversity=recipe.diversity)
    return [pool[i] for i in order]


def _quoted(
    sentences: Sequence[RankedSentence], hits: Sequence[Found]
) -> tuple[str, tuple[Citation, ...]]:
    """The best sentences to the letter, each with the number of its citation."""
    by_id = {h.chunk_id: h for h in hits}
    citations = tuple(
        _citation(number, by_id[s.candidate.chunk_id], s.quote)
        for number, s in enumerate(sentences, start=1)
    )
    return "\n".join(f"{c.quote} [{c.number}]" for c in citations), citations


def _worded(
    messages: list[Message],
    prompt: str,
    chosen: Sequence[Found],
    hits: Sequence[Found],
    sentences: Sequence[RankedSentence],
    model: LanguageModel,
    spans: Spans,
) -> _Worded:
    """The model's checked words; without any that may be shown, the documents' sentences."""
    with spans.span("chat", model=model.name, messages=messages, prompt=prompt) as span:
        reply = model.complete(messages)
        span.set(
            model=reply.model, input_tokens=reply.input_tokens, output_tokens=reply.output_tokens,
            finish="stop" if reply.finished else "length", reply=reply.text, tier=reply.tier,
        )  # fmt: skip
    usage = Usage(reply.input_tokens, reply.output_tokens)
    checked = check_reply(reply.text, [f"{h.citation}\n{h.text}" for h in chosen])
    if not checked.knows:
        note = f"{reply.model} found no answer in the passages"
        return _Worded("", (), reply.model, note, usage)
    note = _note(reply, checked)
    if not checked.cited:
        note = f"{note or f'{reply.model} said nothing'}: the documents are quoted instead"
        return _Worded(*_quoted(sentences, hits), None, note, usage)
    citations = tuple(_citation(n, chosen[n - 1], chosen[n - 1].text) for n in checked.cited)
    return _Worded(checked.text, citations, reply.model, note, usage)


def prompt_messages(
    recipe: AnswerRecipe | None, question: str, passages: Sequence[Found], key: str = ""
) -> list[Message]:
    """What a model is asked; the nonce is another one each time."""
    template = recipe.prompt if recipe else shipped_prompt(SHIPPED)
    nonce = secrets.token_hex(NONCE_BYTES)
    given = [Passage(h.text, h.citation) for h in passages]
    return [
        Message("system", system_prompt(template, nonce)),
        Message("user", user_prompt(question, given, nonce), asked=question, key=key),
    ]


def _note(reply: ModelReply, checked: CheckedReply) -> str:
    parts = [f"{reason}: {text[:80]!r}" for text, reason in checked.dropped]
    if reply.refusal:
        parts.append(f"refuses: {reply.refusal[:80]!r}")
    if not reply.finished:
        parts.append("was cut off at its length")
    return f"{reply.model} {'; '.join(parts)}" if parts else ""


def _differing(question: str, answer: _Worded, usable: Sequence[Found]) -> tuple[Disagreement, ...]:
    claims = [
        claim
        for hit in usable[:ANSWER_CHUNKS]
        for claim in claims_of(hit.text, document_key=hit.document_key, citation=hit.citation)
    ]
    said = split_sentences(CITED.sub("", answer.text))
    return disagreements(question, said, claims)


def _left_out(hits: Sequence[Found], usable: Sequence[Found]) -> str:
    """What was found, and is not answered from."""
    kept = {h.chunk_id for h in usable}
    left = list(dict.fromkeys(h.citation for h in hits if h.chunk_id not in kept))
    if not left:
        return ""
    return f"{len(left)} passages that speak to a model were left out, the first: {left[0]}"


def _citation(number: int, hit: Found, quote: str) -> Citation:
    also = tuple(one.citation for one in hit.also)
    return Citation(number, hit.citation, hit.document_key, hit.chunk_id, quote, also)
