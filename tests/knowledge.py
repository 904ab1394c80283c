"""Small knowledge bases for tests: their documents, their declaration, and all stages in order."""

import itertools
import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from platform_pipelines.components.knowledge_base.component import declared_spec
from platform_pipelines.core.knowledge_base.declaration import KnowledgeBaseSpec
from platform_pipelines.core.knowledge_base.revision import collection_prefix
from platform_pipelines.core.road.releases import ReleaseEntry
from platform_pipelines.gateways.clock import SystemClock
from platform_pipelines.gateways.object_store import ObjectStore
from platform_pipelines.gateways.vector_store import VectorStore
from platform_pipelines.settings import Settings
from platform_pipelines.stages.knowledge_base import connect
from platform_pipelines.stages.knowledge_base.chunks import refresh_chunks
from platform_pipelines.stages.knowledge_base.documents import refresh_documents
from platform_pipelines.stages.knowledge_base.evidence import refresh_evidence
from platform_pipelines.stages.knowledge_base.index import refresh_index
from platform_pipelines.stages.knowledge_base.live import open_live
from platform_pipelines.stages.knowledge_base.release import refresh_release, roll_back
from platform_pipelines.stages.knowledge_base.retrieve import Found
from platform_pipelines.stages.knowledge_base.vectors import refresh_vectors
from platform_pipelines.stages.knowledge_base.workspace import STAGES, Workspace, open_workspace
from platform_pipelines.stages.road import connect as road_connect
from platform_pipelines.stages.road.outcome import StageOutcome
from platform_pipelines.stages.road.ownership import take_identity

if TYPE_CHECKING:
    from pymilvus import MilvusClient

RUN: Mapping[str, Callable[[Workspace], StageOutcome]] = dict(
    zip(
        STAGES,
        (
            refresh_documents, refresh_chunks, refresh_vectors, refresh_index, refresh_evidence,
            refresh_release,
        ),
        strict=True,
    )
)  # fmt: skip

_numbers = itertools.count(1)

# Environments of worker classes are made once for all tests, and kept beside this Python.
ENVIRONMENTS = Path(os.environ.get("PLATFORM_ENVIRONMENTS_DIR") or sys.prefix)


def guide(number: int, *, note: str = "") -> str:
    """One document of two sections, Korean and English, unlike all others."""
    return (
        f"# Guide {number}\n\n## Limits\n\n"
        f"The quota of pool number {number} is {number * 7 + 3} devices, approved by committee "
        f"{chr(65 + number % 26)}{number}. {note}\n\n"
        f"## 장애 절차\n\n구역{number} 담당자는 장애 보고서를 "
        f"{number + 2}시간 안에 작성해야 합니다.\n"
    )


def write_guides(folder: Path, numbers: Sequence[int]) -> None:
    """`guide{n}.md` for each number."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in numbers:
        (folder / f"guide{number}.md").write_text(guide(number), encoding="utf-8")


def vague_lines(numbers: Sequence[int]) -> str:
    """The golden set about guides with English questions that no guide stands out for."""
    asked = re.compile(r"What is the quota of pool number (\d+)\?")
    return asked.sub(lambda m: f"What is this{' so' * int(m[1])}?", golden_lines(numbers))


def golden_lines(numbers: Sequence[int], *, unanswerable: int = 8) -> str:
    """A golden set about guides: a question in each language for each number."""
    import json

    lines = [
        {
            "id": f"{language}-{number}", "language": language, "question": question,
            "answerable": True, "answer": quote,
            "references": [{"document": f"guide{number}.md", "quote": quote}],
        }
        for number in numbers
        for language, question, quote in (
            ("en", f"What is the quota of pool number {number}?",
             f"The quota of pool number {number} is {number * 7 + 3} devices"),
            ("ko", f"구역{number} 담당자는 언제까지 장애 보고서를 작성합니까?",
             f"구역{number} 담당자는 장애 보고서를 {number + 2}시간 안에 작성해야 합니다."),
        )
    ]  # fmt: skip
    lines += [
        {
            "id": f"none-{n}", "language": "en", "answerable": False, "references": [],
            "question": f"Who painted fresco {n} in the cathedral of Siena?",
        }
        for n in range(unanswerable)
    ]  # fmt: skip
    return "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)


@dataclass(frozen=True)
class Knowledge:
    """A declared knowledge base on some settings, to be run stage by stage."""

    folder: Path
    attributes: Mapping[str, Any]
    settings: Settings
    progress: list[str] = field(default_factory=list)

    @property
    def name(self) -> str:
        return str(self.attributes["name"])

    @property
    def documents(self) -> Path:
        return self.folder / "documents"

    @property
    def spec(self) -> KnowledgeBaseSpec:
        return declared_spec(dict(self.attributes), self.folder)

    @property
    def store(self) -> ObjectStore:
        return connect.open_knowledge_store(self.settings, self.name)

    def declared(self, **attributes: Any) -> "Knowledge":
        """The same knowledge base, declared otherwise."""
        return replace(self, attributes={**self.attributes, **attributes})

    def on(self, **settings: Any) -> "Knowledge":
        """The same knowledge base on other settings."""
        return replace(self, settings=replace(self.settings, **settings))

    def workspace(self, **fields: Any) -> Workspace:
        opened = open_workspace(
            self.spec, self.settings, run_id="test-run", progress=self.progress.append
        )
        return replace(opened, **fields)

    def run(self, stage: str, **options: Any) -> StageOutcome:
        return RUN[stage](self.workspace(), **options)

    def refresh(self, *, start: str = STAGES[0], end: str = STAGES[-1]) -> dict[str, StageOutcome]:
        """All stages in order, as the job runs them."""
        stages = STAGES[STAGES.index(start) : STAGES.index(end) + 1]
        return {stage: self.run(stage) for stage in stages}

    def roll_back(self, *, run_id: str | None = None, **options: Any) -> ReleaseEntry:
        """One run of the rollback job; the same `run_id` again is a retry of that run."""
        run = run_id or f"rollback-after-{len(self.log())}"
        return roll_back(self.workspace(run_id=run), **options)

    def log(self) -> tuple[ReleaseEntry, ...]:
        return road_connect.release_log(self.store, self.name).entries()

    def stored(self, prefix: str = "") -> dict[str, str]:
        """Everything that the store holds below a prefix, with its version."""
        listed = itertools.chain.from_iterable(self.store.list_objects(prefix))
        return {item.key: item.version for item in listed}

    @contextmanager
    def vectors(self) -> Iterator[VectorStore]:
        with connect.vectors_of(self.settings) as store:
            yield store

    @contextmanager
    def behind(self) -> Iterator["MilvusClient"]:
        """A client of the vector store, for what a test does behind the product's back."""
        from pymilvus import MilvusClient

        assert self.settings.milvus_uri is not None
        client = MilvusClient(uri=self.settings.milvus_uri, dedicated=True)
        try:
            yield client
        finally:
            client.close()

    def collections(self) -> list[str]:
        with self.vectors() as store:
            return store.collections(collection_prefix(self.name))

    def chunk_ids(self) -> list[str]:
        """What the live collection holds."""
        with self.vectors() as store:
            return sorted(store.chunk_ids(self.log()[-1].target))

    def search(self, *texts: str, k: int = 5, tenant: str = "default") -> list[list[Found]]:
        with open_live(self.settings, self.name, self.progress.append) as live:
            return live.retriever.search(list(texts), k=k, tenant=tenant, strong=True)

    def found(self, text: str, *, k: int = 5) -> list[str]:
        """The documents that a search finds, best first, each once."""
        return list(dict.fromkeys(hit.document_key for hit in self.search(text, k=k)[0]))


def new_knowledge(
    folder: Path, settings: Settings, *, guides: Sequence[int] = range(6), **attributes: Any
) -> Knowledge:
    """A knowledge base of guides, with a name that no other test has; hash vectors."""
    made = Knowledge(
        folder,
        {
            "name": f"t{next(_numbers)}",
            "source": {"url": "documents", "shards": 2},
            "embed": {"provider": "hash"},
            **attributes,
        },
        settings,
    )
    write_guides(made.documents, guides)
    return made


def settings_under(home: Path, milvus_uri: str | None, **other: Any) -> Settings:
    """Everything under one folder; a Milvus Lite of its own without a URI."""
    return Settings(
        home=home,
        store_url=(home / "store").as_uri(),
        model_dir=home / "models",
        environments_dir=ENVIRONMENTS,
        milvus_uri=milvus_uri,
        actor="tester",
        **other,
    )


def changed_stages(outcomes: Mapping[str, StageOutcome]) -> list[str]:
    """The stages that did something."""
    return [stage for stage, outcome in outcomes.items() if outcome.is_changed]


def copied(knowledge: Knowledge, folder: Path) -> Knowledge:
    """The same knowledge base with documents and store of its own, on the same vector store."""
    import shutil

    shutil.copytree(knowledge.folder, folder / "kb")
    shutil.copytree(knowledge.settings.home, folder / "home")
    store = (folder / "home" / "store").as_uri()
    there = replace(knowledge.settings, home=folder / "home", store_url=store)
    take_identity(there, SystemClock(), moved=True)
    return replace(knowledge, folder=folder / "kb", settings=there)
