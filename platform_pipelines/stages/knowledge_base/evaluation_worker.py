"""Tasks of an evaluation: look through chunks, ask golden questions, search for sampled sentences.

Candidate and live revision are asked by the same code. Each task writes its part
(`evaluation_parts`) under the key that it was given.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from platform_pipelines.compute.protocol import Working
from platform_pipelines.core.knowledge_base.golden import Question
from platform_pipelines.core.road.evidence import Outcome
from platform_pipelines.gateways.object_store import ObjectStore
from platform_pipelines.stages.knowledge_base.copied import copied_documents
from platform_pipelines.stages.knowledge_base.evaluation import (
    Asked,
    ask_questions,
    is_supported,
    join_ragas,
)
from platform_pipelines.stages.knowledge_base.evaluation_parts import (
    AskedPart,
    AskedQuestion,
    CopiesPart,
    Part,
    SampledPart,
    ScannedPart,
    write_part,
)
from platform_pipelines.stages.knowledge_base.evaluation_tools import (
    Tools,
    asked_questions,
    opened_tools,
)
from platform_pipelines.stages.knowledge_base.findings import look_through, read_findings
from platform_pipelines.stages.knowledge_base.layering import take_rows
from platform_pipelines.stages.knowledge_base.quoting import measure
from platform_pipelines.stages.knowledge_base.retrieve import Found, Retriever
from platform_pipelines.stages.knowledge_base.sampling import drawn_of, drawn_per_shard, sample
from platform_pipelines.stages.knowledge_base.suspicious import LOOKED_AT, Scan

if TYPE_CHECKING:
    from platform_pipelines.gateways.embedder import Matrix
    from platform_pipelines.settings import Settings

RAGAS_SECONDS = 300.0

Answers = Iterator[Mapping[str, Any] | Working]


def scan_chunks(
    access: Mapping[str, Any],
    items: Iterator[Mapping[str, Any]],
    *,
    settings: "Settings | None" = None,
) -> Answers:
    """Operation `evaluation.scan`: `arguments` are `{chunks, earlier, shards, draws, path}`.

    `chunks` are files of chunks, of `shards` that the revision has; `earlier`: of those that what
    is live has otherwise, its file; `draws`: whether sentences are drawn for a sample. The record
    is `{chunks}`.
    """
    with opened_tools(access, settings) as tools:
        for spec in items:
            store, arguments = tools.store(spec["store"]), spec["arguments"]
            scan, drawn, rows = Scan(), list[tuple[str, str, str]](), 0
            for path in arguments["chunks"]:
                yield from _looked_through(store, path, arguments)
                found = read_findings(store, path, ["chunk_id", *LOOKED_AT])
                scan.look(found)
                rows += found.num_rows
                if arguments["draws"]:
                    ids = found.column("chunk_id").to_pylist()
                    own = _smallest(store, path, ids, arguments["shards"])
                    drawn += drawn_of(own, shards=arguments["shards"])
            found = scan.found
            part = ScannedPart(
                chunks=found.chunks, documents=found.documents, named=found.named, drawn=drawn
            )
            yield _written(store, arguments, part, {"chunks": rows})


def _looked_through(
    store: ObjectStore, path: str, arguments: Mapping[str, Any]
) -> Iterator[Working]:
    for rows in look_through(store, path, arguments["earlier"].get(path)):
        yield Working({"chunks looked through": rows})


def _smallest(
    store: ObjectStore, path: str, ids: list[str], shards: int
) -> list[tuple[str, str, str]]:
    """(chunk id, document key, text): as many as a sample takes of this shard; no other text is
    held."""
    places = sorted(range(len(ids)), key=lambda place: ids[place])[: drawn_per_shard(shards)]
    columns = ["chunk_id", "document_key", "text"]
    table = take_rows(store, path, places, columns)
    return list(zip(*(table.column(name).to_pylist() for name in columns), strict=True))


def ask_shards(
    access: Mapping[str, Any],
    items: Iterator[Mapping[str, Any]],
    *,
    settings: "Settings | None" = None,
) -> Answers:
    """Operation `evaluation.ask`: `arguments` are `{revision, collection, questions, golden, slice,
    k, measures, path}`.

    `questions` is where the golden set of that digest is; `measures`: whether calibration reads
    these answers. The record is `{questions}`.
    """
    with opened_tools(access, settings) as tools:
        for spec in items:
            store, arguments = tools.store(spec["store"]), spec["arguments"]
            asked = _ask(tools, store, arguments)
            yield Working({"questions asked": len(asked.questions)})
            yield _written(store, arguments, asked, {"questions": len(asked.questions)})


def sample_sentences(
    access: Mapping[str, Any],
    items: Iterator[Mapping[str, Any]],
    *,
    settings: "Settings | None" = None,
) -> Answers:
    """Operation `evaluation.sample`: `arguments` are `{revision, collection, sentences, k, path}`.

    `sentences` are (sentence, document key). The record is `{sentences}`.
    """
    with opened_tools(access, settings) as tools:
        for spec in items:
            store, arguments = tools.store(spec["store"]), spec["arguments"]
            sentences = [(text, key) for text, key in arguments["sentences"]]
            found = sample(tools.retriever(store, arguments), sentences, k=arguments["k"])
            yield _written(store, arguments, SampledPart(found=found), {"sentences": len(found)})


def find_copies(
    access: Mapping[str, Any],
    items: Iterator[Mapping[str, Any]],
    *,
    settings: "Settings | None" = None,
) -> Answers:
    """Operation `evaluation.copies`: `arguments` are `{chunks, earlier, path}`; all files of chunks
    at once, since any document may be a copy of any other. The record is `{copied}`."""
    with opened_tools(access, settings) as tools:
        for spec in items:
            store, arguments = tools.store(spec["store"]), spec["arguments"]
            for path in arguments["chunks"]:
                yield from _looked_through(store, path, arguments)
            copied = copied_documents(store, arguments["chunks"])
            part = CopiesPart(copied=copied)
            yield _written(store, arguments, part, {"copied": copied.documents})


def _written(
    store: ObjectStore, arguments: Mapping[str, Any], part: Part, counts: dict[str, int]
) -> Mapping[str, Any]:
    write_part(store, arguments["path"], part)
    return counts


def _ask(tools: Tools, store: ObjectStore, arguments: Mapping[str, Any]) -> AskedPart:
    questions = asked_questions(store, arguments)
    retriever, k = tools.retriever(store, arguments), arguments["k"]
    answerable = [q for q in questions if q.answerable]
    others = questions[len(answerable) :]
    vectors = retriever.embed([q.question for q in questions])
    asked = ask_questions(store, retriever, answerable, k=k, vectors=vectors[: len(answerable)])
    outcomes = _with_ragas(tools, asked.outcomes)
    if not arguments["measures"]:
        return AskedPart(questions=[_row(q, asked, outcomes) for q in answerable])
    nothing = retriever.search(
        [q.question for q in others],
        k=k,
        tenant=retriever.revision.recipe.tenant,
        vectors=vectors[len(answerable) :],
        strong=True,
    )
    found = [*(asked.found[q.id] for q in answerable), *nothing]
    features = _features(retriever, questions, found, vectors)
    rows = [_row(q, asked, outcomes) for q in questions]
    return AskedPart(
        questions=[
            row.model_copy(update={"features": own})
            for row, own in zip(rows, features, strict=True)
        ]
    )


def _row(question: Question, asked: Asked, outcomes: Mapping[str, Outcome]) -> AskedQuestion:
    outcome = outcomes.get(question.id)
    if outcome is None:
        return AskedQuestion(id=question.id)
    return AskedQuestion(
        id=question.id,
        outcome=outcome,
        document_type=asked.document_types[question.id],
        supported=is_supported(asked.found[question.id], outcome.details["relevant"]),
    )


def _features(
    retriever: Retriever,
    questions: Sequence[Question],
    found: Sequence[Sequence[Found]],
    vectors: "Matrix",
) -> list[tuple[float, ...]]:
    texts, corpus = [q.question for q in questions], retriever.term_weights()
    measured = measure(retriever.embedder, texts, found, vectors=vectors, corpus=corpus)
    return [one.vector() for one in measured]


def _with_ragas(tools: Tools, outcomes: Mapping[str, Outcome]) -> dict[str, Outcome]:
    """The outcomes with Ragas' own ID-based context precision and recall."""
    if not outcomes:
        return {}
    samples = [
        [list(o.details["retrieved"]), list(o.details["relevant"])] for o in outcomes.values()
    ]
    scored = tools.in_evaluation("evidence.ragas", samples, seconds=RAGAS_SECONDS)
    return join_ragas(outcomes, [(p, r) for p, r in scored["scores"]])
