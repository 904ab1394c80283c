"""Bad input at each boundary: a typed error that says what to do, and nothing half-applied."""

import json
import math
import os
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from platform_pipelines.errors import (
    CapabilityError,
    ConfigurationError,
    DimensionError,
    EmptyCorpusError,
    EvidenceError,
    IntegrityError,
    PlatformError,
    RateLimitedError,
    SourceForbiddenError,
    SourceNotFoundError,
    StorageFullError,
    UnavailableError,
)
from platform_pipelines.settings import S3Settings, Secret
from platform_pipelines.stages.knowledge_base import connect
from platform_pipelines.stages.knowledge_base.workspace import STAGES
from platform_pipelines.stages.road.workspace import head_key
from tests.disks import remount, small_disk
from tests.knowledge import Knowledge, changed_stages
from tests.servers.embedding_server import EmbeddingServer, Fault
from tests.servers.s3_server import REGION, s3_server

pytestmark = pytest.mark.end_to_end


def refused(knowledge: Knowledge, stage: str, error: type[PlatformError]) -> PlatformError:
    """The stage fails with this very error, which names a place or a remedy; its head stays."""
    before, entries = knowledge.workspace().head(stage), knowledge.log()
    with pytest.raises(error) as caught:
        knowledge.run(stage)
    assert caught.value.where or caught.value.remedy
    assert knowledge.workspace().head(stage) == before
    assert knowledge.log() == entries
    return caught.value


@pytest.fixture
def released(knowledge: Knowledge) -> Knowledge:
    """Six guides, released."""
    knowledge.refresh()
    return knowledge


def still_serves(knowledge: Knowledge) -> None:
    assert knowledge.found("quota of pool number 3")[0] == "guide3.md"


class TestSource:
    """Documents that cannot be listed or read."""

    def test_a_folder_that_is_gone(self, released: Knowledge) -> None:
        """An unmounted disk is not an empty corpus: nothing is deleted."""
        shutil.rmtree(released.documents)
        error = refused(released, "documents", SourceNotFoundError)
        assert "documents" in error.where
        still_serves(released)

    def test_an_empty_folder(self, released: Knowledge) -> None:
        """Somebody emptied it by mistake: what is released is not touched."""
        for path in released.documents.iterdir():
            path.unlink()
        error = refused(released, "documents", EmptyCorpusError)
        assert "stays" in error.what
        still_serves(released)

    def test_globs_that_leave_nothing(self, released: Knowledge) -> None:
        """A misspelt `include` is as dangerous as an emptied folder."""
        source = {"url": "documents", "shards": 2, "include": ["*.markdown"]}
        refused(released.declared(source=source), "documents", EmptyCorpusError)
        still_serves(released)

    def test_a_file_where_a_folder_should_be(self, knowledge: Knowledge) -> None:
        """The URL of one document is no source."""
        source = {"url": "documents/guide1.md", "shards": 2}
        refused(knowledge.declared(source=source), "documents", SourceNotFoundError)

    def test_a_bucket_that_is_not_there(self, knowledge: Knowledge) -> None:
        """Named, with its URL."""
        server = s3_server()
        keys = S3Settings(
            endpoint=server.endpoint, region=REGION, access_key=Secret(server.key),
            secret_key=Secret(server.secret),
        )  # fmt: skip
        source = {"url": "s3://no-such-bucket-here/corpus", "shards": 2}
        error = refused(
            knowledge.on(s3=keys).declared(source=source), "documents", SourceNotFoundError
        )
        assert "no-such-bucket-here" in error.where

    def test_a_bucket_that_may_not_be_read(self, knowledge: Knowledge) -> None:
        """403 is not `empty` and not `try again`; the secret is not in the message."""
        with forbidding_server() as endpoint:
            keys = S3Settings(
                endpoint=endpoint, region=REGION, access_key=Secret("somebody"),
                secret_key=Secret("sesame-open-please"),
            )  # fmt: skip
            asked = knowledge.on(s3=keys).declared(source={"url": "s3://secret-bucket/x"})
            error = refused(asked, "documents", SourceForbiddenError)
        assert "sesame" not in str(error)

    def test_a_server_that_does_not_answer(self, knowledge: Knowledge) -> None:
        """Transient: Dagster tries it again."""
        keys = S3Settings(
            endpoint="http://127.0.0.1:1", region=REGION, access_key=Secret("a"),
            secret_key=Secret("b"),
        )  # fmt: skip
        asked = knowledge.on(s3=keys).declared(source={"url": "s3://some-bucket/x"})
        error = refused(asked, "documents", UnavailableError)
        assert not error.terminal


@contextmanager
def forbidding_server() -> Iterator[str]:
    """An S3 server that refuses everything."""

    class Forbid(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = b"<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>"
            self.send_response(403)
            self.send_header("Content-Type", "application/xml")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_HEAD = do_GET

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Forbid)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class TestEmbedder:
    """A server that is down, slow, wrong or lies."""

    @pytest.fixture
    def served(
        self, knowledge: Knowledge, monkeypatch: pytest.MonkeyPatch
    ) -> Callable[..., Knowledge]:
        """The guides, to be embedded by a server; two attempts, so that no test waits."""
        monkeypatch.setattr(connect, "EMBEDDER_ATTEMPTS", 2)

        def on(server: EmbeddingServer, **embed: Any) -> Knowledge:
            declared = {
                "provider": "openai", "url": server.url, "model": "hash-384", "dimension": 384,
                "window_tokens": 512, "concurrency": 1, "batch": 4,
            }  # fmt: skip
            return knowledge.declared(embed={**declared, **embed})

        return on

    def test_it_is_used_as_declared(self, served: Callable[..., Knowledge]) -> None:
        """The whole job on an OpenAI-compatible server; the second run asks it nothing."""
        with EmbeddingServer() as server:
            knowledge = served(server)
            assert changed_stages(knowledge.refresh()) == list(STAGES)
            still_serves(knowledge)
            asked = len(server.inputs())
            assert changed_stages(knowledge.refresh()) == []
            assert len(server.inputs()) == asked

    def test_too_many_requests_once(self, served: Callable[..., Knowledge]) -> None:
        """It waits as long as it is told, and goes on."""
        with EmbeddingServer(faults=[Fault(429, headers={"Retry-After": "0"})]) as server:
            assert changed_stages(served(server).refresh()) == list(STAGES)

    @pytest.mark.parametrize(
        ("fault", "error"),
        [
            (Fault(429, headers={"Retry-After": "0"}), RateLimitedError),
            (Fault(500), UnavailableError),
            (Fault(drop=True), UnavailableError),
        ],
    )
    def test_a_server_that_stays_away(
        self, served: Callable[..., Knowledge], fault: Fault, error: type[PlatformError]
    ) -> None:
        """Transient; when it is back the next run goes on where this one stopped."""
        with EmbeddingServer() as server:
            knowledge = served(server)
            knowledge.refresh(end="chunks")
            server.faults.extend([fault] * 4)
            assert not refused(knowledge, "vectors", error).terminal
            server.faults.clear()
            assert changed_stages(knowledge.refresh()) == list(STAGES[2:])
            still_serves(knowledge)

    def test_vectors_of_another_length(self, served: Callable[..., Knowledge]) -> None:
        """The model behind the URL was exchanged: no vector of it is stored."""

        def shorten(reply: dict[str, Any]) -> dict[str, Any]:
            for one in reply["data"]:
                one["embedding"] = one["embedding"][:100]
            return reply

        with EmbeddingServer() as server:
            knowledge = served(server)
            knowledge.refresh(end="chunks")
            server.faults.extend([Fault(change=shorten)] * 4)
            error = refused(knowledge, "vectors", DimensionError)
            assert "100" in str(error)
            assert "384" in str(error)
            assert knowledge.stored("vectors") == {}

    @pytest.mark.parametrize("value", [math.nan, math.inf])
    def test_a_number_that_is_not_finite(
        self, served: Callable[..., Knowledge], value: float
    ) -> None:
        """One NaN in an index makes every search of it nonsense."""

        def spoil(reply: dict[str, Any]) -> dict[str, Any]:
            reply["data"][0]["embedding"][7] = value
            return reply

        with EmbeddingServer() as server:
            knowledge = served(server)
            knowledge.refresh(end="chunks")
            server.faults.extend([Fault(change=spoil)] * 4)
            refused(knowledge, "vectors", IntegrityError)
            assert knowledge.stored("vectors") == {}

    def test_an_answer_that_is_no_answer(self, served: Callable[..., Knowledge]) -> None:
        """A proxy's login page with status 200."""
        with EmbeddingServer() as server:
            knowledge = served(server)
            knowledge.refresh(end="chunks")
            server.faults.extend([Fault(200, body=b"<html>log in</html>")] * 40)
            with pytest.raises(PlatformError):
                knowledge.run("vectors")
            assert knowledge.stored("vectors") == {}

    def test_a_wrong_key(self, served: Callable[..., Knowledge]) -> None:
        """A person has to correct it; the key is in no message."""
        with EmbeddingServer(api_key="right") as server:
            knowledge = served(server).on(embedder_api_key=Secret("sesame-open-please"))
            with pytest.raises(ConfigurationError) as caught:
                knowledge.refresh(end="vectors")
            assert "sesame" not in str(caught.value)


class TestVectorStore:
    """Milvus that is away, or cannot do what was declared."""

    def test_milvus_is_down(self, knowledge: Knowledge) -> None:
        """What was made so far is kept; the next run goes on at the index."""
        away = knowledge.on(milvus_uri="http://127.0.0.1:1")
        away.refresh(end="vectors")
        assert not refused(away, "index", UnavailableError).terminal
        assert changed_stages(knowledge.refresh()) == ["index", "evidence", "release"]
        still_serves(knowledge)

    def test_milvus_goes_away_between_evidence_and_release(self, released: Knowledge) -> None:
        """Whatever the log says already: readers get a whole revision; the next run ends it."""
        (released.documents / "guide5.md").unlink()
        released.refresh(end="evidence")
        with pytest.raises(UnavailableError):
            released.on(milvus_uri="http://127.0.0.1:1").run("release")
        assert "guide5.md" in released.found("quota of pool number 5")
        assert set(changed_stages(released.refresh())) <= {"release"}
        assert "guide5.md" not in released.found("quota of pool number 5", k=100)
        assert len(released.log()) == 2
        assert changed_stages(released.refresh()) == []

    def test_an_index_that_the_server_cannot_build(self, knowledge: Knowledge) -> None:
        """Terminal, with what it can; or what `auto` takes, when a fallback is declared."""
        knowledge.refresh(end="vectors")
        asked = knowledge.declared(index={"kind": "GPU_CAGRA"})
        assert "HNSW" in str(refused(asked, "index", CapabilityError))
        fallback = knowledge.declared(index={"kind": "GPU_CAGRA", "fallback": True})
        notes = fallback.run("index").snapshot.details["notes"]
        assert "GPU_CAGRA" in notes["fallback"]


class TestStore:
    """What the product itself keeps: gone, damaged, or without room."""

    def test_stages_in_the_wrong_order(self, knowledge: Knowledge) -> None:
        """Somebody materialises the last asset first: the message names the job."""
        for stage in STAGES[1:]:
            error = refused(knowledge, stage, EvidenceError)
            assert f"{knowledge.name}_refresh" in error.remedy or "refresh" in error.remedy

    @pytest.mark.parametrize("stage", STAGES[:4])
    def test_a_damaged_head(self, released: Knowledge, stage: str) -> None:
        """Never read as `nothing there yet`; deleting it remakes it without a new release."""
        data, _ = released.store.get(head_key(stage))
        released.store.put(head_key(stage), data[: len(data) // 2])
        with pytest.raises(IntegrityError, match="delete this file"):
            released.run(stage)
        still_serves(released)
        released.store.delete([head_key(stage)])
        released.refresh()
        assert len(released.log()) == 1
        assert changed_stages(released.refresh()) == []

    def test_an_edited_head(self, released: Knowledge) -> None:
        """A shard exchanged by hand is not what the snapshot's digest says."""
        data, _ = released.store.get(head_key("chunks"))
        record = json.loads(data)
        record["shards"][0]["digest"] = "0" * 32
        released.store.put(head_key("chunks"), json.dumps(record).encode())
        with pytest.raises(IntegrityError):
            released.run("chunks")

    def test_a_damaged_table(self, released: Knowledge) -> None:
        """Cut off by a full disk of long ago: noticed where it is read."""
        head, _ = released.workspace().head("chunks")
        assert head is not None
        for shard in head.shards:
            data, _ = released.store.get(shard.path)
            released.store.put(shard.path, data[: len(data) // 2])
        recut = released.declared(tenant="other")
        with pytest.raises(IntegrityError, match=r"\.parquet"):
            recut.run("index")
        still_serves(released)

    def test_a_full_disk(self, knowledge: Knowledge, tmp_path: Path) -> None:
        """A stage ends with StorageFullError; with room again the next run goes on."""
        with small_disk(tmp_path / "tiny", kilobytes=64) as folder:
            for number in range(40):
                text = f"# Big {number}\n\n" + "\n\n".join(
                    f"paragraph {n} {os.urandom(40).hex()}" for n in range(60)
                )
                (knowledge.documents / f"big{number}.md").write_text(text, encoding="utf-8")
            full = knowledge.on(store_url=(folder / "store").as_uri())
            with pytest.raises(StorageFullError):
                full.refresh(end="vectors")
            remount(folder, "size=64m")
            outcomes = full.refresh(end="vectors")
            assert outcomes["documents"].snapshot.counts["parsed"] == 46
            assert outcomes["vectors"].snapshot.rows == outcomes["chunks"].snapshot.rows


@pytest.mark.model
def test_a_damaged_model_is_never_used(
    knowledge: Knowledge, e5_model_dir: Path, tmp_path: Path
) -> None:
    """One flipped bit gives vectors that look fine and find nothing: found by digest, made anew."""
    models = tmp_path / "models"
    shutil.copytree(e5_model_dir, models)
    largest = max((p for p in models.rglob("*") if p.is_file()), key=lambda p: p.stat().st_size)
    with largest.open("r+b") as file:
        file.seek(largest.stat().st_size // 2)
        byte = file.read(1)
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte[0] ^ 1]))
    asked = knowledge.declared(embed={"provider": "local"}).on(model_dir=models)
    outcomes = asked.refresh()
    assert outcomes["release"].snapshot.details["status"] == "released"
    assert asked.found("구역4의 담당자는 언제까지 보고서를 내야 하나요?")[0] == "guide4.md"
