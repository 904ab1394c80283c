"""Whole answers judged by a language model through Ragas' own metrics (0.4.3).

The one seam is Ragas' `InstructorBaseRagasLLM`: our subclass owns cache, retries, time-outs, usage
and refusals. Ragas itself gives wrong scores silently where a judge answers oddly; those are found
here, and are failures:

- a verdict other than 0 or 1 (context precision computes with any number);
- statements without a verdict, or none at all (answer correctness would be 1 for them);
- a score that is not finite, or no share. A cosine below 0 is a relevancy of 0.

The process needs `RAGAS_DO_NOT_TRACK=true`; another value does nothing.
"""

import asyncio
import math
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, cast

from platform_pipelines.gateways.embedding_socket import embed_over
from platform_pipelines.gateways.judge_calls import (
    JudgeCalls,
    JudgeOptions,
    NoVerdictError,
    Trouble,
)

STRICTNESS = 3  # questions that answer relevancy draws
SLACK = 1e-6
_VERDICTS = frozenset(("verdict", "attributed", "noncommittal"))


@dataclass(frozen=True, slots=True)
class JudgedSample:
    """One answer; an empty one is asked for no metric that reads it.

    `repeat` over 0 judges it again, for the judge's own noise.
    """

    id: str
    question: str
    answer: str
    contexts: tuple[str, ...]
    reference: str
    repeat: int = 0


READS_ANSWER = frozenset(("faithfulness", "answer_relevancy", "answer_correctness"))
Score = dict[str, Any]  # {"score": a share or None, "trouble": why there is none, "detail": …}


def judge_samples(
    options: JudgeOptions, samples: Sequence[JudgedSample], metrics: Sequence[str], embed: Path
) -> tuple[list[dict[str, Score]], dict[str, Any]]:
    """Scores of each sample by metric, and what was spent. Not to be called in an event loop."""
    return asyncio.run(_judge(options, samples, metrics, embed))


async def _judge(
    options: JudgeOptions, samples: Sequence[JudgedSample], metrics: Sequence[str], embed: Path
) -> tuple[list[dict[str, Score]], dict[str, Any]]:
    calls = JudgeCalls(options)
    collection = import_module("ragas.metrics.collections")
    embeddings = _embeddings(embed)
    # Not all samples at once: each holds its prompts, and calls are bounded anyway.
    slots = asyncio.Semaphore(2 * options.concurrency)

    async def one(at: int) -> None:
        found[at] = await score(samples[at // len(metrics)], metrics[at % len(metrics)])

    async def score(sample: JudgedSample, metric: str) -> Score:
        if not sample.answer and metric in READS_ANSWER:
            return {"score": None, "trouble": "", "detail": "there is no answer"}
        async with slots:
            judge = _judge_of(calls, sample.repeat)
            return await _scored(_metric(collection, metric, judge, embeddings, sample))

    found: list[Score] = [{} for _ in range(len(samples) * len(metrics))]
    # What asks several times in turn goes first: at the end single calls fill all places.
    order = sorted(
        range(len(found)),
        key=lambda at: -_turns(samples[at // len(metrics)], metrics[at % len(metrics)]),
    )
    try:
        await asyncio.gather(*(one(at) for at in order))
    finally:
        await calls.close()
    rows = [found[i : i + len(metrics)] for i in range(0, len(found), len(metrics))]
    return [dict(zip(metrics, row, strict=True)) for row in rows], asdict(calls.spent)


def _turns(sample: JudgedSample, metric: str) -> int:
    """How many calls of a metric wait for each other."""
    turns = {
        "faithfulness": 2, "answer_relevancy": STRICTNESS, "answer_correctness": 3,
        "judged_context_precision": len(sample.contexts), "judged_context_recall": 1,
    }  # fmt: skip
    return turns[metric]


def _metric(
    collection: Any, name: str, judge: Any, embeddings: Any, sample: JudgedSample
) -> Awaitable[Any]:
    """A metric on its way, with the fields that it reads."""
    question = {"user_input": sample.question}
    answer = {**question, "response": sample.answer}
    contexts = {"retrieved_contexts": list(sample.contexts)}
    reference = {"reference": sample.reference}
    made: dict[str, Callable[[], Awaitable[Any]]] = {
        "faithfulness": lambda: collection.Faithfulness(llm=judge).ascore(**answer, **contexts),
        "answer_relevancy": lambda: collection.AnswerRelevancy(
            llm=judge, embeddings=embeddings, strictness=STRICTNESS
        ).ascore(**answer),
        "judged_context_precision": lambda: collection.ContextPrecision(llm=judge).ascore(
            **question, **reference, **contexts
        ),
        "judged_context_recall": lambda: collection.ContextRecall(llm=judge).ascore(
            **question, **contexts, **reference
        ),
        "answer_correctness": lambda: collection.AnswerCorrectness(
            llm=judge, embeddings=embeddings
        ).ascore(**answer, **reference),
    }
    return made[name]()


async def _scored(metric: Awaitable[Any]) -> Score:
    try:
        value = float((await metric).value)
    except NoVerdictError as error:
        return {"score": None, "trouble": str(error.trouble), "detail": error.detail}
    if not math.isfinite(value):
        return {"score": None, "trouble": str(Trouble.NOT_FINITE), "detail": str(value)}
    if value > 1.0 + SLACK:
        return {"score": None, "trouble": str(Trouble.RANGE), "detail": str(value)}
    return {"score": min(1.0, max(0.0, value)), "trouble": "", "detail": ""}


def _judge_of(calls: JudgeCalls, repeat: int) -> Any:
    """A judge of one metric of one sample: it counts equal prompts, which are draws."""
    base: Any = import_module("ragas.llms.base").InstructorBaseRagasLLM

    class Judge(base):
        def __init__(self) -> None:
            self._drawn: Counter[str] = Counter()
            self._statements = 0

        def generate(self, prompt: str, response_model: Any) -> Any:
            raise NotImplementedError("the metrics call agenerate")

        async def agenerate(self, prompt: str, response_model: Any) -> Any:
            draw = self._drawn[prompt]
            self._drawn[prompt] += 1

            def accept(text: str) -> Any:
                said = response_model.model_validate_json(text)
                check_verdict(type(said).__name__, said.model_dump(), self._statements)
                return said

            schema = response_model.model_json_schema()
            text = await calls.verdict(prompt, schema, draw + 1000 * repeat, accept)
            said = accept(text)
            self._statements = len(getattr(said, "statements", ())) or self._statements
            return said

    return Judge()


def check_verdict(kind: str, said: Mapping[str, Any], statements: int) -> None:
    """What Ragas would compute a wrong score from.

    Raises:
        ValueError: says what is wrong.
    """
    for name, value in _verdicts(said):
        if value not in (0, 1):
            raise ValueError(f"`{name}` is {value!r}, not 0 or 1")
    lengths = [len(cast("list[Any]", v)) for v in said.values() if isinstance(v, list)]
    if lengths and not any(lengths):
        raise ValueError(f"{kind} is empty")
    judged = said.get("statements")
    if kind == "NLIStatementOutput" and len(judged or ()) != statements:
        raise ValueError(f"{len(judged or ())} verdicts for {statements} statements")


def _verdicts(value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        for name, inner in cast("Mapping[str, Any]", value).items():
            if name in _VERDICTS:
                yield name, inner
            else:
                yield from _verdicts(inner)
    elif isinstance(value, list):
        for inner in cast("list[Any]", value):
            yield from _verdicts(inner)


def _embeddings(path: Path) -> Any:
    """The knowledge base's embedder, as Ragas asks for one."""
    base: Any = import_module("ragas.embeddings.base").BaseRagasEmbedding

    class Embeddings(base):
        def embed_text(self, text: str, **_: Any) -> list[float]:
            raise NotImplementedError("the metrics call aembed_text")

        async def aembed_text(self, text: str, **_: Any) -> list[float]:
            return (await embed_over(path, [text]))[0]

        async def aembed_texts(self, texts: list[str], **_: Any) -> list[list[float]]:
            return await embed_over(path, texts)

    return Embeddings()
