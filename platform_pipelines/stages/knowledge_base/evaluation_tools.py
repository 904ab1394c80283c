"""What tasks of an evaluation work with: opened when first asked for, closed together."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from platform_pipelines.compute.environments import interpreter
from platform_pipelines.compute.pool import WorkerPool
from platform_pipelines.compute.protocol import Budget, ItemDone, ItemFailed, Task
from platform_pipelines.core.knowledge_base.golden import Question, parse_golden_set
from platform_pipelines.core.knowledge_base.revision import Revision
from platform_pipelines.core.road.identity import canonical_json
from platform_pipelines.errors import ConfigurationError, IntegrityError, UnavailableError
from platform_pipelines.gateways.object_store import ObjectStore
from platform_pipelines.stages.knowledge_base import connect
from platform_pipelines.stages.knowledge_base.retrieve import Retriever
from platform_pipelines.stages.knowledge_base.revisions import read_revision
from platform_pipelines.stages.knowledge_base.terms import CorpusTerms
from platform_pipelines.stages.road.access import open_named, settings_of

if TYPE_CHECKING:
    from platform_pipelines.gateways.embedder import Embedder
    from platform_pipelines.gateways.vector_store import VectorStore
    from platform_pipelines.settings import Settings

MEMORY_BYTES = 4 * 1024**3  # of a process of the environment `evaluation`


class Tools:
    """Of one process. `settings` are the step's own where the task runs inside of it, with the
    gateways that it was given; else they are read from the access."""

    def __init__(
        self, access: Mapping[str, Any], settings: "Settings | None", closing: ExitStack
    ) -> None:
        self._access = access
        self._is_in_step = settings is not None
        self.settings = settings or settings_of(access)
        self._closing = closing
        self._embedders: dict[str, Embedder] = {}
        self._pools: dict[float, WorkerPool] = {}

    def store(self, url: str) -> ObjectStore:
        """The store that a task names."""
        return open_named(self._access, url, create=True)

    @cached_property
    def vectors(self) -> "VectorStore":
        """The vector store."""
        return self._closing.enter_context(connect.vectors_of(self.settings))

    def retriever(self, store: ObjectStore, arguments: Mapping[str, Any]) -> Retriever:
        """The revision in the collection that a task names.

        Raises:
            EvidenceError, IntegrityError: there is no sound record of the revision.
            ConfigurationError: this process has another embedder than the revision was made with.
        """
        revision = read_revision(store, arguments["revision"])
        terms = CorpusTerms(store, revision)
        return Retriever(
            self.vectors, self.embedder(revision), revision, arguments["collection"], terms
        )

    def embedder(self, revision: Revision) -> "Embedder":
        """The one that a revision was made with."""
        name = revision.embedder_digest
        if name not in self._embedders:
            made = self._open_embedder(revision)
            self._closing.callback(made.close)
            self._embedders[name] = made
        return self._embedders[name]

    def _open_embedder(self, revision: Revision) -> "Embedder":
        embed = revision.recipe.embed
        if self._is_in_step:
            return connect.open_embedder(self.settings, embed, _silent)
        model = connect.task_model(self._access, embed)
        if embed.provider == "local":
            connect.make_model(Path(model["model_dir"]), _silent)
        made = connect.embedder_from_record(model, embed)
        if made.digest != revision.embedder_digest:
            raise ConfigurationError(
                "this process has another embedder than the revision was made with",
                where=made.name,
                stored=made.digest,
                expected=revision.embedder_digest,
                remedy="run tasks with the image of the step that planned them",
            )
        return made

    def in_evaluation(
        self,
        operation: str,
        samples: Sequence[Any],
        *,
        seconds: float,
        shared: Mapping[str, Any] | None = None,
    ) -> Mapping[str, Any]:
        """The result of one item of an operation of the environment `evaluation`.

        Raises:
            PlatformError: as the operation failed; WorkerLostError, UnavailableError: the worker
                died, or its environment cannot be made.
        """
        pool = self._pool(seconds)
        task = Task(operation, ({"samples": list(samples)},))
        for outcome in pool.run(operation, [task], shared=shared or {}):
            if isinstance(outcome, ItemFailed):
                raise outcome.to_error()
            if isinstance(outcome, ItemDone):
                return outcome.result
        raise UnavailableError("a worker of the environment `evaluation` gave no result")

    def _pool(self, seconds: float) -> WorkerPool:
        if seconds not in self._pools:
            budget = Budget(
                seconds_per_item=seconds, memory_bytes=MEMORY_BYTES, limit_address_space=False
            )
            python = interpreter("evaluation", self.settings.environments_home, _silent)
            pool = WorkerPool(
                workers=1,
                budget=budget,
                environment=self.settings.worker_environment,
                interpreter=python,
            )
            self._pools[seconds] = self._closing.enter_context(pool)
        return self._pools[seconds]


@contextmanager
def opened_tools(access: Mapping[str, Any], settings: "Settings | None") -> Iterator[Tools]:
    """For the tasks of one call of an operation; a worker that has no other work keeps them."""
    if settings is None and access["keeps_open"]:
        yield _kept_tools(canonical_json(dict(access)))
        return
    with ExitStack() as closing:
        yield Tools(access, settings, closing)


@lru_cache(maxsize=1)
def _kept_tools(access: str) -> Tools:
    return Tools(json.loads(access), None, ExitStack())


def asked_questions(store: ObjectStore, arguments: Mapping[str, Any]) -> list[Question]:
    """The slice `[start, end]` of an evaluation's questions: the answerable ones come first.

    Raises:
        IntegrityError: the stored golden set is not the one that the task means.
    """
    key, (start, end) = arguments["questions"], arguments["slice"]
    golden = parse_golden_set(store.get(key)[0].decode(), where=f"{store.url}/{key}")
    if golden.digest != arguments["golden"]:
        raise IntegrityError(
            "these are not the questions that the task was planned for",
            where=f"{store.url}/{key}",
            stored=golden.digest,
            expected=arguments["golden"],
            remedy="delete this file and run again",
        )
    return [*golden.answerable, *golden.unanswerable][start:end]


def _silent(message: str) -> None:
    """A task says how far it is by its counts."""
    del message
