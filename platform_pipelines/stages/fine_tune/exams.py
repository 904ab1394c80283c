"""What a model is asked: golden questions of a language model, held-out ones of an embedder.

Both sides of a comparison are served by vLLM in the same way, one after the other: each has the
machine to itself, and half the memory is enough.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from platform_pipelines.core.fine_tune import retrieval
from platform_pipelines.core.fine_tune.pairs import PairRow
from platform_pipelines.core.road.evidence import Outcome, SampleRow
from platform_pipelines.core.road.identity import canonical_json, digest_json
from platform_pipelines.core.road.metrics import Metric
from platform_pipelines.core.road.model_questions import METRICS
from platform_pipelines.core.road.served_model import EMBEDDER_NAME, ModelRef, embedding_arguments
from platform_pipelines.errors import UnknownNameError
from platform_pipelines.gateways.http_embedder import HttpEmbedder
from platform_pipelines.gateways.model_server import Address, LocalVllm, wait_until_ready
from platform_pipelines.stages.fine_tune.training_set import held_out, passages
from platform_pipelines.stages.fine_tune.workspace import FOLDER, Workspace
from platform_pipelines.stages.road.asking import ask_all, load_questions, sample_rows

EVALUATION_VERSION = "1"
_SHOWN_CHARACTERS = 80
_EMBEDDER_SECONDS = 120.0

Answers = dict[str, Outcome]


@dataclass(frozen=True, slots=True)
class Exam:
    """Questions, how they are asked, and what the answers are measured by."""

    digest: str
    samples: int
    noun: str
    metrics: tuple[Metric, ...]
    take: Callable[[Workspace, ModelRef, Address], Answers]
    rows: Callable[[Answers, Answers], tuple[SampleRow, ...]]
    conditions: Mapping[str, Any] = field(default_factory=dict[str, Any])


def exam_of(workspace: Workspace) -> Exam:
    """What a model of this declaration is asked now."""
    return _retrieval(workspace) if workspace.spec.is_embedder else _chat(workspace)


def _chat(workspace: Workspace) -> Exam:
    golden = load_questions(workspace.settings, workspace.spec.gate.golden_set)
    tokens = workspace.spec.gate.answer_tokens

    def take(workspace: Workspace, model: ModelRef, address: Address) -> Answers:
        del model

        def check() -> None:
            workspace.deadline.check("asking questions")

        return ask_all(address, golden, max_tokens=tokens, check=check)

    return Exam(
        golden.digest, len(golden.questions), "questions", METRICS, take,
        lambda candidate, baseline: sample_rows(golden, candidate, baseline),
        {"answer_tokens": tokens},
    )  # fmt: skip


def _retrieval(workspace: Workspace) -> Exam:
    """Each held-out question, searched in every passage of the training set."""
    questions, searched = held_out(workspace), passages(workspace)
    contrast = workspace.spec.recipe.contrast
    place = {text: number for number, text in enumerate(searched)}
    wanted = [place[row.positive] for row in questions]

    def take(workspace: Workspace, model: ModelRef, address: Address) -> Answers:
        with embedder_at(workspace, model, address) as embedder:
            vectors = embedder.embed_passages(searched)
            workspace.deadline.check("embedding")
            queries = embedder.embed_queries([row.question for row in questions])
        first = (queries @ vectors.T).argmax(axis=1)
        ranks = retrieval.ranks(queries, vectors, wanted)
        return {
            row.digest: retrieval.found(rank, searched[int(near)][:_SHOWN_CHARACTERS])
            for row, rank, near in zip(questions, ranks, first, strict=True)
        }

    return Exam(
        digest_json([[row.question, row.positive] for row in questions] + [searched]),
        len(questions), "held-out questions", retrieval.METRICS, take,
        lambda candidate, baseline: _held_out_rows(questions, candidate, baseline),
        {"prefixes": [contrast.query_prefix, contrast.passage_prefix]},
    )  # fmt: skip


def _held_out_rows(
    questions: list[PairRow], candidate: Answers, baseline: Answers
) -> tuple[SampleRow, ...]:
    return tuple(
        SampleRow(
            f"{number:03d} {row.question[:_SHOWN_CHARACTERS]}", {"language": row.language},
            candidate[row.digest], baseline[row.digest],
        )
        for number, row in enumerate(questions, start=1)
    )  # fmt: skip


def answers_of(workspace: Workspace, model: ModelRef, exam: Exam) -> Answers:
    """What a model answers, served alone; asked once for a model, an exam and a way of serving."""
    named = digest_json(
        [model.digest, exam.digest, workspace.spec.serving.digest, *exam.conditions.values(),
         EVALUATION_VERSION]
    )  # fmt: skip
    key = f"answers/{named}.json"
    if workspace.store.exists(key):
        return _read_answers(workspace, key)
    with served(workspace, model) as address:
        workspace.progress(f"asking {exam.samples} {exam.noun}")
        asked = exam.take(workspace, model, address)
    if all(outcome.failure is None for outcome in asked.values()):
        record = {name: [dict(o.scores), dict(o.details)] for name, o in asked.items()}
        workspace.store.put(key, canonical_json(record).encode())
    return asked


def servers_of(workspace: Workspace, folder: str) -> LocalVllm:
    """Servers of this declaration's models, as its task wants them."""
    below = f"{FOLDER}/{workspace.name}/{folder}"
    if workspace.spec.is_embedder:
        return workspace.tools.servers(below, embedding_arguments)
    return workspace.tools.servers(below)


@contextmanager
def served(workspace: Workspace, model: ModelRef) -> Iterator[Address]:
    """A model's server while it is asked."""
    servers, spec = servers_of(workspace, "servers"), workspace.spec.serving
    workspace.progress(f"starting vLLM with model {model.short}")
    try:
        servers.start(model, spec)
        seconds = wait_until_ready(servers, model, spec)
        workspace.progress(f"ready after {seconds:.0f} s")
        address = servers.address(model)
        if address is None:
            raise UnknownNameError("the server ended", where=f"model {model.short}")
        yield address
    finally:
        servers.stop(model, spec)


@contextmanager
def embedder_at(workspace: Workspace, model: ModelRef, address: Address) -> Iterator[HttpEmbedder]:
    """A served model as a knowledge base asks it."""
    dimension, window = encoder_facts(workspace, model)
    contrast = workspace.spec.recipe.contrast
    embedder = HttpEmbedder(
        url=f"http://{address.host}:{address.port}/v1", model=EMBEDDER_NAME,
        dimension=dimension, window_tokens=window, api_key=None, batch=16,
        concurrency=2, timeout_seconds=_EMBEDDER_SECONDS, max_attempts=3,
        query_prefix=f"{contrast.query_prefix} ", passage_prefix=f"{contrast.passage_prefix} ",
        tokenizer="server", revision=model.digest,
    )  # fmt: skip
    try:
        yield embedder
    finally:
        embedder.close()


def encoder_facts(workspace: Workspace, model: ModelRef) -> tuple[int, int]:
    """The dimension of an encoder's vectors, and the longest text that it reads, in tokens."""
    path = workspace.tools.files_of(model) / "config.json"
    config: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return int(config["hidden_size"]), int(config["max_position_embeddings"])


def _read_answers(workspace: Workspace, key: str) -> Answers:
    record = json.loads(workspace.store.get(key)[0])
    return {name: Outcome(scores, None, details) for name, (scores, details) in record.items()}
