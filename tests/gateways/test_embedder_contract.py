"""What every embedder promises, held against all three."""

import unicodedata
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from platform_pipelines.errors import IntegrityError
from platform_pipelines.gateways.e5.embedder import E5Embedder
from platform_pipelines.gateways.embedder import Embedder
from platform_pipelines.gateways.hash_embedder import HashEmbedder
from platform_pipelines.gateways.http_embedder import HttpEmbedder
from tests.servers.embedding_server import EmbeddingServer

TEXTS = [
    "서울은 대한민국의 수도이다.",
    "The capital of Korea is Seoul.",
    "노드 장애 시 파드를 다른 노드로 옮긴다.",
    "Restart the pod when its health check fails three times in a row.",
    "가",
    "A longer one: " + "the index is built beside the live one, and the alias moves. " * 12,
]


def _http(server: EmbeddingServer) -> HttpEmbedder:
    return HttpEmbedder(
        url=server.url,
        model=server.model,
        dimension=384,
        window_tokens=512,
        api_key=None,
        batch=2,
        concurrency=2,
        timeout_seconds=10,
        max_attempts=2,
        query_prefix="",
        passage_prefix="",
        tokenizer="server",
    )


@pytest.fixture(
    params=[
        pytest.param("hash"),
        pytest.param("http", marks=pytest.mark.server),
        pytest.param("e5", marks=pytest.mark.model),
    ]
)
def embedder(request: pytest.FixtureRequest) -> Iterator[Embedder]:
    """Each kind in turn."""
    if request.param == "http":
        with EmbeddingServer() as server:
            served = _http(server)
            yield served
            served.close()
        return
    made: Embedder = HashEmbedder()
    if request.param == "e5":
        folder: Path = request.getfixturevalue("e5_model_dir")
        made = E5Embedder(folder, threads=2, batch=2)
    yield made
    made.close()


def test_vectors_are_float32_rows_of_unit_length(embedder: Embedder) -> None:
    """The index's COSINE and IP agree only on unit vectors."""
    for vectors in (embedder.embed_passages(TEXTS), embedder.embed_queries(TEXTS)):
        assert vectors.shape == (len(TEXTS), embedder.dimension)
        assert vectors.dtype == np.float32
        np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-5)


def test_nothing_in_gives_an_empty_matrix_of_the_right_width(embedder: Embedder) -> None:
    """A shard whose documents are all quarantined has no chunks; concatenation must still work."""
    assert embedder.embed_passages([]).shape == (0, embedder.dimension)
    assert embedder.embed_queries([]).shape == (0, embedder.dimension)
    assert embedder.token_counter().count([]) == []


def test_order_and_company_do_not_change_a_vector(embedder: Embedder) -> None:
    """Batches sorted by length, or answered out of order, gave a text its neighbour's vector; and
    int8 with one scale a batch gave the same text another vector in other company."""
    together = embedder.embed_passages(TEXTS)
    reversed_ = embedder.embed_passages(TEXTS[::-1])
    alone = np.concatenate([embedder.embed_passages([text]) for text in TEXTS])
    np.testing.assert_allclose(together, reversed_[::-1], atol=2e-3)
    np.testing.assert_allclose(together, alone, atol=2e-3)


def test_decomposed_hangul_is_the_same_text(embedder: Embedder) -> None:
    """Text from macOS comes in NFD: jamo must neither change a vector nor cost more tokens."""
    texts = [TEXTS[0], unicodedata.normalize("NFD", TEXTS[0])]
    composed, decomposed = embedder.embed_passages(texts)
    np.testing.assert_allclose(composed, decomposed, atol=1e-6)
    counts = embedder.token_counter().count(texts)
    assert counts[0] == counts[1]


def test_a_passage_that_fills_the_window_passes_and_one_over_it_is_refused(
    embedder: Embedder,
) -> None:
    """Cut silently, the end of a chunk could never be found again."""
    count = embedder.token_counter().count
    words = 1
    while count(["word " * (words + 1)])[0] <= embedder.window_tokens:
        words += 1
    assert embedder.embed_passages(["word " * words]).shape == (1, embedder.dimension)
    with pytest.raises(IntegrityError) as caught:
        embedder.embed_passages(["short", "word " * (words + 8)])
    assert "1 of the list" in caught.value.where
    assert caught.value.remedy


def test_counts_are_positive_and_grow_with_the_text(embedder: Embedder) -> None:
    """Chunking adds text until the count passes the size: it must not go down on the way."""
    counter = embedder.token_counter()
    assert counter.window_tokens == embedder.window_tokens
    pieces = TEXTS[0].split()
    counts = counter.count([" ".join(pieces[: n + 1]) for n in range(len(pieces))])
    assert counts[0] > 0
    assert counts == sorted(counts)


def test_half_a_surrogate_pair_is_embedded_and_counted(embedder: Embedder) -> None:
    """A broken emoji in a chat log must not end the run with a UnicodeEncodeError."""
    broken = "배포 완료 \ud83d 확인"
    assert embedder.embed_passages([broken]).shape == (1, embedder.dimension)
    assert embedder.token_counter().count([broken])[0] > 0


def test_close_is_safe_to_call_twice(embedder: Embedder) -> None:
    """Clean-up runs on every path out of a stage."""
    embedder.embed_queries(["x"])
    embedder.close()
    embedder.close()
    assert embedder.digest == embedder.digest.lower()
    assert len(embedder.digest) == 32
