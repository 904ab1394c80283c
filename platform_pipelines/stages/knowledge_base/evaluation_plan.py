"""An evaluation as tasks: what each is to do, handing them out, and reading what they wrote.

    evaluating/KIND/<digest>/questions.jsonl   the golden set that the tasks ask
    evaluating/KIND/<digest>/<digest>.json     what one task wrote (`evaluation_parts`)

The digest names the evaluation: candidate, live revision, questions, conditions, and the run where
each run asks anew. A killed one goes on after the parts that are there; `clear` deletes them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from typing import Any, TypeVar

from platform_pipelines.compute.execute import Operation
from platform_pipelines.compute.local_backend import HereBackend
from platform_pipelines.compute.tasks import TaskSpec
from platform_pipelines.core.knowledge_base.golden import GoldenSet, to_lines
from platform_pipelines.core.knowledge_base.revision import Revision
from platform_pipelines.core.road.identity import digest_json, digest_text
from platform_pipelines.settings import Settings
from platform_pipelines.stages.knowledge_base.answering_worker import answer_questions, judge_shards
from platform_pipelines.stages.knowledge_base.evaluation_parts import Part, read_part
from platform_pipelines.stages.knowledge_base.evaluation_worker import (
    ask_shards,
    find_copies,
    sample_sentences,
    scan_chunks,
)
from platform_pipelines.stages.knowledge_base.stored_evidence import STAGE
from platform_pipelines.stages.knowledge_base.workspace import Workspace
from platform_pipelines.stages.road.access import access_record
from platform_pipelines.stages.road.backends import runs_in_cluster
from platform_pipelines.stages.road.connect import release_log

FOLDER = "evaluating"
CANDIDATE, LIVE = "candidate", "live"  # kinds of evaluations

SCAN, ASK, SAMPLE = "evaluation.scan", "evaluation.ask", "evaluation.sample"
ANSWER, JUDGE = "evaluation.answer", "evaluation.judge"
COPIES = "evaluation.copies"

SCANNED_ROWS = 20_000  # chunks that one task looks through
ASKED_QUESTIONS = 200  # that one task asks of one revision
ANSWERED_QUESTIONS = 50  # a model takes seconds for each
JUDGED_ANSWERS = 50

Made = TypeVar("Made", bound=Part)


@dataclass(frozen=True, slots=True)
class Side:
    """A revision in the collection that holds it: the candidate, or what is live."""

    revision: Revision
    collection: str

    @property
    def record(self) -> dict[str, str]:
        """As the arguments of a task name it."""
        return {"revision": self.revision.digest, "collection": self.collection}


@dataclass(frozen=True, slots=True)
class Evaluating:
    """One evaluation. `kind` and `digest` name it."""

    workspace: Workspace
    kind: str
    digest: str
    golden: GoldenSet | None

    @property
    def folder(self) -> str:
        """Where its parts are."""
        return f"{FOLDER}/{self.kind}/{self.digest}"

    @property
    def questions_key(self) -> str:
        """Where its questions are."""
        return f"{self.folder}/questions.jsonl"

    def scan(self, revision: Revision, baseline: Revision | None, *, draws: bool) -> list[TaskSpec]:
        """Tasks that look through all chunks of a revision; `draws`: for a sample of sentences.

        What was found in those that it shares with the `baseline` is not looked for again.
        """
        groups: list[list[str]] = []
        rows = SCANNED_ROWS
        for shard in revision.chunks:
            if rows >= SCANNED_ROWS:
                groups.append([])
                rows = 0
            groups[-1].append(shard.path)
            rows += shard.rows
        shards = len(revision.chunks)
        more = {"shards": shards, "draws": draws}
        stood = _earlier(revision, baseline)
        return [self.task(SCAN, {**_chunks(group, stood), **more}) for group in groups]

    def copies(self, revision: Revision, baseline: Revision | None) -> TaskSpec:
        """The task that looks for documents which say what others say."""
        paths = [shard.path for shard in revision.chunks]
        return self.task(COPIES, _chunks(paths, _earlier(revision, baseline)))

    def ask(self, side: Side, *, measures: bool) -> list[TaskSpec]:
        """Tasks that ask a revision the golden questions; of what is live, those with answers."""
        golden = self._golden
        asked = len(golden.questions) if measures else len(golden.answerable)
        more = {"k": self.workspace.spec.gate.k, "measures": measures}
        return self._sliced(ASK, side, asked, ASKED_QUESTIONS, more)

    def sample(self, side: Side, sentences: Sequence[tuple[str, str]]) -> TaskSpec:
        """The task that searches for sampled sentences."""
        k = self.workspace.spec.gate.k
        listed = [list(pair) for pair in sentences]
        return self.task(SAMPLE, {**side.record, "sentences": listed, "k": k})

    def answer(
        self, side: Side, calibration: Mapping[str, Any] | None, *, salt: str
    ) -> list[TaskSpec]:
        """Tasks that answer all golden questions by the chain of a revision."""
        k = self.workspace.spec.gate.k
        more = {"calibration": calibration, "salt": salt, "k": k}
        asked = len(self._golden.questions)
        return self._sliced(ANSWER, side, asked, ANSWERED_QUESTIONS, more)

    def judge(
        self, side: Side, answers: Sequence[TaskSpec], repeats: Sequence[str], *, salt: str
    ) -> list[TaskSpec]:
        """Tasks that judge a revision's answers. A declared budget is one counter: one task.

        `repeats` are judged twice.
        """
        judge = self.workspace.spec.judge
        assert judge is not None
        limits = (judge.calls, judge.tokens, judge.minutes, judge.money)
        asked = len(self._golden.answerable)
        size = JUDGED_ANSWERS if all(limit is None for limit in limits) else asked
        more = {"judge": judge.model_dump(mode="json"), "repeats": list(repeats), "salt": salt}
        return [
            self.task(
                JUDGE,
                {**self._base(side), **more, "slice": [start, end], "answers": paths},
                number=number,
            )
            for number, (start, end) in enumerate(_slices(asked, size))
            for paths in [[t.arguments["path"] for t in answers if _meets(t, start, end)]]
        ]

    def task(self, operation: str, arguments: Mapping[str, Any], *, number: int = 0) -> TaskSpec:
        """A task that writes its part under a name that follows from what it is to do."""
        name = digest_json({"operation": operation, **arguments})
        path = f"{self.folder}/{name}.json"
        store = self.workspace.store.url
        given = {**arguments, "path": path}
        return TaskSpec(operation=operation, shard=number, store=store, arguments=given)

    def run(self, tasks: Sequence[TaskSpec], *, doing: str) -> None:
        """Hand out those whose part is not there yet; afterwards all are.

        Raises:
            PlatformError: what a task raised; what was finished is kept.
        """
        store = self.workspace.store
        if self.golden is not None and not store.exists(self.questions_key):
            store.put(self.questions_key, to_lines(self.golden).encode())
        todo = [task for task in tasks if not store.exists(task.arguments["path"])]
        if not todo:
            return
        here = operations_here(self.workspace.settings)
        for _ in placed_where_reached(self.workspace, here).run_tasks(
            STAGE, todo, doing=doing, here=here, profile=profile_of(self.workspace)
        ):
            pass

    def parts(self, tasks: Sequence[TaskSpec], kind: type[Made]) -> list[Made]:
        """What the tasks wrote, in their order.

        Raises:
            IntegrityError: a part is damaged.
        """
        return [read_part(self.workspace.store, t.arguments["path"], kind) for t in tasks]

    @property
    def _golden(self) -> GoldenSet:
        assert self.golden is not None
        return self.golden

    def _base(self, side: Side) -> dict[str, Any]:
        return {**side.record, "questions": self.questions_key, "golden": self._golden.digest}

    def _sliced(
        self, operation: str, side: Side, asked: int, size: int, more: Mapping[str, Any]
    ) -> list[TaskSpec]:
        return [
            self.task(operation, {**self._base(side), **more, "slice": [start, end]}, number=number)
            for number, (start, end) in enumerate(_slices(asked, size))
        ]


def _earlier(revision: Revision, baseline: Revision | None) -> dict[str, str]:
    """Of each file of chunks that the baseline has otherwise, its file of the same shard."""
    stood = {shard.shard: shard.path for shard in baseline.chunks} if baseline else {}
    pairs = ((shard.path, stood.get(shard.shard)) for shard in revision.chunks)
    return {path: other for path, other in pairs if other is not None and other != path}


def _chunks(paths: Sequence[str], earlier: Mapping[str, str]) -> dict[str, Any]:
    own = {path: earlier[path] for path in paths if path in earlier}
    return {"chunks": list(paths), "earlier": own}


def _slices(asked: int, size: int) -> list[tuple[int, int]]:
    """Of about equal length, none longer than `size`."""
    parts = -(-asked // size) if asked else 0
    return list(pairwise(n * asked // parts for n in range(parts + 1))) if parts else []


def _meets(task: TaskSpec, start: int, end: int) -> bool:
    first, last = task.arguments["slice"]
    return first < end and start < last


def sharing(workspace: Workspace, tasks: Sequence[TaskSpec]) -> list[TaskSpec]:
    """Judging tasks with the calls that each may make at a time: together not more than declared.

    It is no part of their names: what they write does not depend on it.
    """
    judge = workspace.spec.judge
    assert judge is not None
    at_once = len(tasks) if _is_elsewhere(workspace) else 1
    each = max(1, judge.concurrency // max(1, at_once))
    return [
        task.model_copy(update={"arguments": {**task.arguments, "concurrency": each}})
        for task in tasks
    ]


def clear(workspace: Workspace, folder: str = "") -> None:
    """Delete the parts of evaluations that are done or given up."""
    listed = workspace.store.list_objects(f"{FOLDER}/{folder}".rstrip("/"))
    workspace.store.delete([item.key for batch in listed for item in batch])


def live_folder(workspace: Workspace, salt: str) -> str:
    """The kind of an evaluation of what is live: of this release, by this run."""
    entry = release_log(workspace.store, workspace.name).head()
    return f"{LIVE}/{entry.sequence if entry else 0}/{digest_text(salt)}"


def clear_live(workspace: Workspace, salt: str) -> None:
    """Delete the parts of this run's evaluation, and those of what is not live any more."""
    own = f"{FOLDER}/{live_folder(workspace, salt)}"
    now = own.rpartition("/")[0]
    listed = workspace.store.list_objects(f"{FOLDER}/{LIVE}")
    keys = [item.key for batch in listed for item in batch]
    workspace.store.delete([k for k in keys if k.startswith(own) or not k.startswith(f"{now}/")])


def profile_of(workspace: Workspace) -> str:
    """The compute profile of an evaluation's tasks: declared, or that of the embedder."""
    declared = workspace.spec.evaluation
    return (declared and declared.profile) or workspace.spec.embed.profile


def operations_here(settings: Settings) -> dict[str, Operation]:
    """The operations inside of a step, with the gateways that it was given."""
    return {
        COPIES: partial(find_copies, settings=settings),
        SCAN: partial(scan_chunks, settings=settings),
        ASK: partial(ask_shards, settings=settings),
        SAMPLE: partial(sample_sentences, settings=settings),
        ANSWER: partial(answer_questions, settings=settings),
        JUDGE: partial(judge_shards, settings=settings),
    }


def _is_elsewhere(workspace: Workspace) -> bool:
    if workspace.backend is not None:
        return not isinstance(workspace.backend, HereBackend)
    return runs_in_cluster(workspace.settings) and not _is_of_this_machine(workspace.settings)


def _is_of_this_machine(settings: Settings) -> bool:
    return settings.milvus_uri is None or settings.gateways.vector_store is not None


def placed_where_reached(workspace: Workspace, here: Mapping[str, Operation]) -> Workspace:
    """With a backend that reaches the vector store: no pod reaches one of this machine alone."""
    settings = workspace.settings
    if workspace.backend or not (runs_in_cluster(settings) and _is_of_this_machine(settings)):
        return workspace
    workspace.progress(f"{STAGE}: no pod reaches the embedded Milvus: evaluated in this process")
    return replace(workspace, backend=HereBackend(here, access_record(settings)))
