"""Tasks of an evaluation: answer golden questions by the chain that is served, and judge answers.

Judging is Ragas', in the environment `evaluation`; the embedder and the store of verdicts are this
process', reached from there over sockets.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from platform_pipelines.compute.protocol import Working
from platform_pipelines.core.knowledge_base.answer_declaration import JudgeSpec
from platform_pipelines.core.knowledge_base.calibration import (
    Calibration,
    calibration_from_record,
)
from platform_pipelines.core.knowledge_base.golden import Question
from platform_pipelines.core.knowledge_base.revision import Revision
from platform_pipelines.core.road.identity import digest_parts
from platform_pipelines.gateways.embedding_socket import embedding_socket
from platform_pipelines.gateways.language_model import LanguageModel
from platform_pipelines.gateways.object_store import ObjectStore
from platform_pipelines.gateways.verdict_socket import verdict_socket
from platform_pipelines.stages.knowledge_base import connect
from platform_pipelines.stages.knowledge_base.answering import answer_question
from platform_pipelines.stages.knowledge_base.evaluation_parts import (
    AnsweredPart,
    JudgedPart,
    read_part,
    write_part,
)
from platform_pipelines.stages.knowledge_base.evaluation_tools import (
    Tools,
    asked_questions,
    opened_tools,
)
from platform_pipelines.stages.knowledge_base.judging import (
    RAGAS_VERSION,
    GivenAnswer,
    judged_sample,
    noise_of,
    refuse_absent,
    verdicts_of,
)
from platform_pipelines.stages.knowledge_base.retrieve import Retriever
from platform_pipelines.stages.knowledge_base.revisions import read_revision
from platform_pipelines.stages.road.access import key_for

if TYPE_CHECKING:
    from platform_pipelines.settings import Settings

ANSWERS_VERSION = "2"  # raise it when the same chain would give other answers
ANSWERERS = 4
JUDGE_SECONDS = 6 * 3600.0

Answers = Iterator[Mapping[str, Any] | Working]


@dataclass(frozen=True, slots=True)
class _Asked:
    """A revision that is asked as if it were live."""

    revision: Revision
    retriever: Retriever
    calibration: Calibration | None


def answer_questions(
    access: Mapping[str, Any],
    items: Iterator[Mapping[str, Any]],
    *,
    settings: "Settings | None" = None,
) -> Answers:
    """Operation `evaluation.answer`: `arguments` are `{revision, collection, calibration,
    questions, golden, slice, k, salt, path}`.

    `calibration` is its record, or None; another `salt` asks anew. The record is `{answers}`. What
    was answered before a failure is kept.
    """
    with opened_tools(access, settings) as tools:
        for spec in items:
            store, arguments = tools.store(spec["store"]), spec["arguments"]
            questions = asked_questions(store, arguments)
            given: dict[str, GivenAnswer] = {}
            for answer in _give(tools, store, arguments, questions):
                given[answer.question_id] = answer
                yield Working({"answers": 1})
            answers = [asdict(given[q.id]) for q in questions]
            write_part(store, arguments["path"], AnsweredPart(answers=answers))
            yield {"answers": len(answers)}


def _give(
    tools: Tools,
    store: ObjectStore,
    arguments: Mapping[str, Any],
    questions: Sequence[Question],
) -> Iterator[GivenAnswer]:
    """As they come."""
    retriever, record = tools.retriever(store, arguments), arguments["calibration"]
    calibration = calibration_from_record(record) if record else None
    asked = _Asked(retriever.revision, retriever, calibration)
    recipe = retriever.revision.recipe.answer
    model = connect.open_language_model(tools.settings, recipe)
    by = model.name if model and recipe is None else ""  # of the settings
    threshold = repr(calibration.threshold) if calibration else ""

    def give(question: Question) -> GivenAnswer:
        parts = (ANSWERS_VERSION, asked.revision.digest, by, question.question, threshold)
        key = f"answers/{digest_parts(*parts, arguments['salt'])}.json"
        return _given(store, asked, question, key, model, arguments["k"])

    pool = ThreadPoolExecutor(ANSWERERS if model else 1, thread_name_prefix="answers")
    try:
        for done in as_completed([pool.submit(give, q) for q in questions]):
            yield done.result()
    finally:
        pool.shutdown(cancel_futures=True)
        if model is not None and model is not tools.settings.gateways.language_model:
            model.close()


def _given(
    store: ObjectStore,
    asked: _Asked,
    question: Question,
    key: str,
    model: LanguageModel | None,
    k: int,
) -> GivenAnswer:
    if store.exists(key):
        kept = json.loads(store.get(key)[0])
        return given_answer({**kept, "question_id": question.id})
    tenant = asked.revision.recipe.tenant
    answer = answer_question(asked, question.question, tenant=tenant, k=k, model=model)
    given = GivenAnswer(
        question.id, answer.known, answer.text, answer.passages, answer.model, answer.note,
        answer.usage.input_tokens, answer.usage.output_tokens, len(answer.disagreements),
    )  # fmt: skip
    store.put(key, json.dumps(asdict(given), ensure_ascii=False).encode())
    return given


def given_answer(record: Mapping[str, Any]) -> GivenAnswer:
    """An answer from its record."""
    return GivenAnswer(**{**record, "passages": tuple(record["passages"])})


def judge_shards(
    access: Mapping[str, Any],
    items: Iterator[Mapping[str, Any]],
    *,
    settings: "Settings | None" = None,
) -> Answers:
    """Operation `evaluation.judge`: `arguments` are `{revision, questions, golden, slice, answers,
    judge, concurrency, repeats, salt, path}`.

    `answers` are parts of `evaluation.answer`, `judge` is the declaration's, and `repeats` names
    questions that are judged twice. The record is `{judged}`. What was judged before a failure is
    kept, verdict by verdict.
    """
    with opened_tools(access, settings) as tools:
        for spec in items:
            store, arguments = tools.store(spec["store"]), spec["arguments"]
            part = _judge(tools, store, arguments)
            yield Working({"answers judged": len(part.scores)})
            write_part(store, arguments["path"], part)
            yield {"judged": len(part.scores)}


def _judge(tools: Tools, store: ObjectStore, arguments: Mapping[str, Any]) -> JudgedPart:
    """Verdicts on the answers by the declared judge.

    Raises:
        UnavailableError: the judge does not answer.
        ConfigurationError: it refuses its key, the model or the request.
    """
    judge = JudgeSpec.model_validate(arguments["judge"])
    questions, metrics = asked_questions(store, arguments), list(judge.metrics)
    answers = {
        record["question_id"]: given_answer(record)
        for path in arguments["answers"]
        for record in read_part(store, path, AnsweredPart).answers
    }
    sent = [q for q in questions if answers[q.id].passages]
    again = [q for q in sent if q.id in arguments["repeats"]]
    samples = [judged_sample(q, answers[q.id], 0) for q in sent]
    samples += [judged_sample(q, answers[q.id], 1) for q in again]
    found, spent = _verdicts(tools, store, arguments, judge, samples) if samples else ([], {})
    refuse_absent(found, judge.model)
    rows = dict(zip([q.id for q in sent], found, strict=False))
    repeated = dict(zip([q.id for q in again], found[len(sent) :], strict=True))
    scores, troubles = verdicts_of(questions, answers, rows, metrics)
    return JudgedPart(
        scores=scores,
        troubles=troubles,
        spent=spent,
        noise=noise_of(rows, repeated, metrics),
    )


def _verdicts(
    tools: Tools,
    store: ObjectStore,
    arguments: Mapping[str, Any],
    judge: JudgeSpec,
    samples: Sequence[Mapping[str, Any]],
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    settings = tools.settings
    embedder = tools.embedder(read_revision(store, arguments["revision"]))
    with embedding_socket(embedder) as embed, verdict_socket(store) as cache:
        options = {
            **judge.model_dump(exclude={"metrics", "repeats"}),
            "concurrency": arguments["concurrency"],
            "version": RAGAS_VERSION,
            "cache": str(cache),
            "api_key": key_for(settings, judge.url, settings.judge_api_key),
            "salt": arguments["salt"],
        }
        shared = {"options": options, "metrics": list(judge.metrics), "embed": str(embed)}
        result = tools.in_evaluation(
            "evidence.judge", samples, seconds=JUDGE_SECONDS, shared=shared
        )
    return result["scores"], result["spent"]
