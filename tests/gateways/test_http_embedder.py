"""The HTTP embedder against a server that misbehaves."""

import base64
import json
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from platform_pipelines.errors import (
    ConfigurationError,
    DimensionError,
    IntegrityError,
    RateLimitedError,
    UnavailableError,
)
from platform_pipelines.gateways.hash_embedder import HashEmbedder
from platform_pipelines.gateways.http_embedder import HttpEmbedder
from tests.servers.embedding_server import EmbeddingServer, Fault

pytestmark = pytest.mark.server

TEXTS = [f"문서 {number}: the quick brown fox" for number in range(11)]
KEY = "sk-test-0123456789"
NOW = datetime(2026, 11, 21, 9, tzinfo=UTC).timestamp()


@dataclass
class Sleeper:
    """A sleep that only records; its clock stands still."""

    waits: list[float] = field(default_factory=list)

    def __call__(self, seconds: float) -> None:
        self.waits.append(seconds)


class Clients:
    """Makes embedders for a url, whose waits are not real, and closes them at the end."""

    def __init__(self) -> None:
        self.made: list[HttpEmbedder] = []

    def __call__(self, url: str, **changed: Any) -> HttpEmbedder:
        settings: dict[str, Any] = {
            "url": url,
            "model": "hash-384",
            "dimension": 384,
            "window_tokens": 512,
            "api_key": None,
            "batch": 4,
            "concurrency": 3,
            "timeout_seconds": 10.0,
            "max_attempts": 4,
            "query_prefix": "",
            "passage_prefix": "",
            "tokenizer": "server",
            "sleep": Sleeper(),
            "now": lambda: NOW,
        }
        self.made.append(HttpEmbedder(**{**settings, **changed}))
        return self.made[-1]


@pytest.fixture
def client() -> Iterator[Clients]:
    """A factory of embedders."""
    clients = Clients()
    yield clients
    for embedder in clients.made:
        embedder.close()


def expected(texts: list[str] = TEXTS) -> np.ndarray:
    """What the server's own embedder makes."""
    return HashEmbedder().embed_queries(texts)


def test_vectors_come_in_input_order_from_concurrent_batches(client: Clients) -> None:
    """The server answers each batch in reverse, and batches end in any order: `index` rules."""
    with EmbeddingServer() as server:
        embedder = client(server.url)
        np.testing.assert_allclose(embedder.embed_passages(TEXTS), expected(), atol=1e-6)
    assert sorted(map(len, server.inputs())) == [3, 4, 4]
    assert server.most_at_once <= 3


def test_prefixes_are_sent_and_input_type_only_when_asked(client: Clients) -> None:
    """A passage embedded as a query costs several points of recall and raises nothing."""
    with EmbeddingServer() as server:
        plain = client(server.url, query_prefix="query: ", passage_prefix="passage: ")
        plain.embed_passages(["가"])
        plain.embed_queries(["나"])
        nim = client(server.url, input_type=True)
        nim.embed_passages(["다"])
        nim.embed_queries(["라"])
    sent = [(one.body["input"], one.body.get("input_type")) for one in server.requests]
    assert sent == [
        (["passage: 가"], None),
        (["query: 나"], None),
        (["다"], "passage"),
        (["라"], "query"),
    ]


@pytest.mark.parametrize("url_end", ["", "/", "/v1/"])
def test_the_url_may_end_with_v1_or_not(client: Clients, url_end: str) -> None:
    """`/v1/v1/embeddings` was the commonest wrong address in issue trackers."""
    with EmbeddingServer() as server:
        embedder = client(server.url.removesuffix("/v1") + url_end)
        assert embedder.embed_queries(["x"]).shape == (1, 384)
    assert server.requests[0].path == "/v1/embeddings"


@pytest.mark.parametrize(
    "fault",
    [
        Fault(status=429, headers={"Retry-After": "0"}),
        Fault(status=500, body=b"<html>oops</html>"),
        Fault(status=503),
        Fault(status=424, body=b'{"message": "backend"}'),
        Fault(status=408),
        Fault(drop=True),
    ],
    ids=lambda fault: "drop" if fault.drop else str(fault.status),
)
def test_a_passing_failure_is_tried_again(client: Clients, fault: Fault) -> None:
    """One restart of one replica must not fail an hour's run."""
    sleeper = Sleeper()
    with EmbeddingServer(faults=[fault, fault]) as server:
        embedder = client(server.url, batch=100, sleep=sleeper)
        np.testing.assert_allclose(embedder.embed_passages(TEXTS), expected(), atol=1e-6)
    assert len(server.inputs()) == 3
    assert len(sleeper.waits) == 2
    assert all(0.0 <= wait <= 20.0 for wait in sleeper.waits)


@pytest.mark.parametrize(
    ("headers", "wish"),
    [
        ({"Retry-After": "7"}, 7.0),
        ({"Retry-After": "Sat, 21 Nov 2026 09:00:11 GMT"}, 11.0),
        (
            {
                "Retry-After": "Sat, 21 Nov 2026 05:00:30 GMT",
                "Date": "Sat, 21 Nov 2026 05:00:10 GMT",
            },
            20.0,
        ),
    ],
    ids=["seconds", "date", "date-of-a-server-whose-clock-is-wrong"],
)
@pytest.mark.parametrize("status", [429, 503])
def test_retry_after_is_respected(
    client: Clients, headers: dict[str, str], wish: float, status: int
) -> None:
    """Coming back earlier prolongs the throttling; by the server's clock, not by ours."""
    sleeper = Sleeper()
    faults = [Fault(status=status, headers={"Connection": "close", **headers})]
    with EmbeddingServer(faults=faults) as server:
        embedder = client(server.url, batch=100, sleep=sleeper)
        embedder.embed_passages(TEXTS)
    assert len(sleeper.waits) == 1
    assert wish <= sleeper.waits[0] <= wish + 0.5


def test_a_wish_too_long_to_wait_for_is_handed_up_at_once(client: Clients) -> None:
    """Policy can retry the stage in an hour; a thread that sleeps an hour holds a slot."""
    sleeper = Sleeper()
    faults = [Fault(status=429, headers={"Retry-After": "3600"})]
    with EmbeddingServer(faults=faults) as server:
        embedder = client(server.url, batch=100, sleep=sleeper)
        with pytest.raises(RateLimitedError) as caught:
            embedder.embed_passages(TEXTS)
    assert caught.value.retry_after_seconds == 3600.0
    assert sleeper.waits == []


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (Fault(status=429), RateLimitedError),
        (Fault(status=502), UnavailableError),
        (Fault(drop=True), UnavailableError),
    ],
    ids=["429", "502", "drop"],
)
def test_attempts_are_bounded_and_the_error_is_transient(
    client: Clients, fault: Fault, error: type[UnavailableError | RateLimitedError]
) -> None:
    """Retried for ever, a dead server would hang the run without a word."""
    with EmbeddingServer(faults=[fault] * 20) as server:
        embedder = client(server.url, batch=100, max_attempts=3)
        with pytest.raises(error) as caught:
            embedder.embed_passages(TEXTS)
    assert len(server.inputs()) == 3
    assert not caught.value.terminal
    assert server.url.removesuffix("/v1") in caught.value.where


def test_nothing_listens(client: Clients) -> None:
    """Connection refused is transient, and its message names the address."""
    with EmbeddingServer() as server:
        url = server.url
    embedder = client(url, max_attempts=2)
    with pytest.raises(UnavailableError, match=r"127\.0\.0\.1"):
        embedder.embed_queries(["x"])


@pytest.mark.parametrize("sent", [None, KEY])
def test_a_refused_key_is_a_setting_and_never_shown(
    client: Clients, sent: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    """The server of this test quotes the key that it refuses, as real ones do."""
    caplog.set_level("DEBUG")
    with EmbeddingServer(api_key="another") as server:
        embedder = client(server.url, api_key=sent)
        with pytest.raises(ConfigurationError) as caught:
            embedder.embed_queries(["x"])
    assert "api_key" in caught.value.remedy
    assert len(server.requests) == 1
    shown = f"{caught.value} {caught.value!r} {embedder!r} {caplog.text}"
    assert KEY not in shown


def test_an_accepted_key_is_sent(client: Clients) -> None:
    """As a bearer token, the form that vLLM, TEI and NIM read."""
    with EmbeddingServer(api_key=KEY) as server:
        embedder = client(server.url, api_key=KEY)
        assert embedder.embed_queries(["x"]).shape == (1, 384)


def test_an_unknown_model_names_what_the_server_offers(client: Clients) -> None:
    """A typing error in `model` is found without a look at the server."""
    with EmbeddingServer(model="bge-m3") as server:
        embedder = client(server.url, model="bge-m4")
        with pytest.raises(ConfigurationError) as caught:
            embedder.embed_queries(["x"])
    assert caught.value.stored == "bge-m4"
    assert "bge-m3" in str(caught.value.expected)


@pytest.mark.parametrize("speaks", ["vllm", "tei"])
def test_the_one_text_that_is_too_long_is_named(client: Clients, speaks: Any) -> None:
    """A server refuses the whole batch; the error must say which chunk to look at."""
    texts = [*TEXTS, "x" * 4_000, *TEXTS]
    with EmbeddingServer(speaks=speaks) as server:
        embedder = client(server.url, batch=100)
        with pytest.raises(IntegrityError) as caught:
            embedder.embed_passages(texts)
    assert caught.value.where == "text 11 of the list"
    assert "512" in str(caught.value.stored)


def test_a_batch_larger_than_the_server_takes_is_halved(client: Clients) -> None:
    """TEI takes 32 texts by default and answers 413: no reason to fail."""
    with EmbeddingServer(speaks="tei", max_batch=3) as server:
        embedder = client(server.url, batch=100)
        np.testing.assert_allclose(embedder.embed_passages(TEXTS), expected(), atol=1e-6)
    assert max(map(len, server.inputs()[1:])) <= 6


def test_another_refusal_is_a_setting_and_is_not_repeated(client: Clients) -> None:
    """400 for another reason is neither a long text nor worth a second try."""
    fault = Fault(status=400, body=b'{"error": {"message": "encoding_format is not supported"}}')
    with EmbeddingServer(faults=[fault]) as server:
        embedder = client(server.url, batch=100)
        with pytest.raises(ConfigurationError, match="encoding_format is not supported"):
            embedder.embed_passages(TEXTS)
    assert len(server.requests) == 1


def _vector(index: int, vector: Any) -> Callable[[dict[str, Any]], dict[str, Any]]:
    def change(reply: dict[str, Any]) -> dict[str, Any]:
        for entry in reply["data"]:
            if entry["index"] == index:
                entry["embedding"] = vector
        return reply

    return change


def _index(old: int, new: Any) -> Callable[[dict[str, Any]], dict[str, Any]]:
    def change(reply: dict[str, Any]) -> dict[str, Any]:
        for entry in reply["data"]:
            entry["index"] = new if entry["index"] == old else entry["index"]
        return reply

    return change


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        (_vector(1, [0.1] * 383), DimensionError, "383"),
        (_vector(1, []), DimensionError, "0"),
        (_vector(1, [[0.1] * 384] * 2), DimensionError, "768"),
        (_vector(2, [0.0] * 384), IntegrityError, "vector 2"),
        (_vector(2, [None] * 384), IntegrityError, "vector 2"),
        (_vector(2, [float("nan")] * 384), IntegrityError, "vector 2"),
        (_vector(2, [1e308] * 384), IntegrityError, "vector 2"),
        (_vector(3, ["a"] * 384), IntegrityError, "vector 3"),
        (_vector(3, "not base64!"), IntegrityError, "vector 3"),
        (_index(1, 0), IntegrityError, "each of 0 to 10"),
        (_index(1, "1"), IntegrityError, "each of 0 to 10"),
        (_index(1, None), IntegrityError, "each of 0 to 10"),
        (lambda reply: {"data": reply["data"][1:]}, IntegrityError, "each of 0 to 10"),
        (lambda reply: {"data": [*reply["data"], reply["data"][0]]}, IntegrityError, "each of"),
        (lambda _: {"object": "list"}, IntegrityError, "not an OpenAI embeddings reply"),
        (lambda _: {"data": 3}, IntegrityError, "not an OpenAI embeddings reply"),
        (lambda _: {"data": [1]}, IntegrityError, "not an OpenAI embeddings reply"),
    ],
)
def test_a_vector_that_cannot_be_right_is_refused(
    client: Clients,
    change: Callable[[dict[str, Any]], dict[str, Any]],
    error: type[Exception],
    words: str,
) -> None:
    """One NaN in an index poisons every search that meets it; a missing one shifts all others."""
    with EmbeddingServer(faults=[Fault(change=change)]) as server:
        embedder = client(server.url, batch=100)
        with pytest.raises(error, match=words):
            embedder.embed_passages(TEXTS)
    assert len(server.requests) == 1


def test_a_page_instead_of_json_says_to_check_the_url(client: Clients) -> None:
    """A proxy's login page comes with status 200."""
    with EmbeddingServer(faults=[Fault(body=b"<html>log in</html>")] * 2) as server:
        embedder = client(server.url, max_attempts=2)
        with pytest.raises(UnavailableError, match="log in") as caught:
            embedder.embed_queries(["x"])
    assert "url" in caught.value.remedy


@pytest.mark.parametrize(
    "body",
    [
        b"<html>one moment</html>",
        b'{"data": [{"index": 0, "embedding": [0.1, 0.',
        b'{"error": {"message": "CUDA out of memory", "code": 500}}',
        b"",
    ],
    ids=["page", "cut-off", "error-with-200", "empty"],
)
def test_a_200_that_holds_no_result_is_tried_again(client: Clients, body: bytes) -> None:
    """A gateway that restarts, a worker that was out of memory: the next answer is right."""
    with EmbeddingServer(faults=[Fault(body=body)]) as server:
        embedder = client(server.url, batch=100, max_attempts=2)
        np.testing.assert_allclose(embedder.embed_passages(TEXTS), expected(), atol=1e-6)


def test_an_error_shows_what_came_without_the_key(client: Clients) -> None:
    """Some servers quote the request, and with it the key, in the body of a 200."""
    body = b'{"error": "quota of sesame-key is used up"}'
    with EmbeddingServer(faults=[Fault(body=body)] * 2) as server:
        embedder = client(server.url, api_key="sesame-key", max_attempts=2)
        with pytest.raises(UnavailableError, match=r"quota of \*\*\* is used up"):
            embedder.embed_queries(["x"])


def test_vectors_that_stand_in_a_list_of_their_own_are_read(client: Clients) -> None:
    """Servers of pooled models nest each vector once more."""

    def nested(reply: dict[str, Any]) -> dict[str, Any]:
        for entry in reply["data"]:
            entry["embedding"] = [entry["embedding"]]
        return reply

    with EmbeddingServer(faults=[Fault(change=nested)]) as server:
        embedder = client(server.url, batch=100)
        np.testing.assert_allclose(embedder.embed_passages(TEXTS), expected(), atol=1e-6)


def test_base64_vectors_are_read_too(client: Clients) -> None:
    """Some gateways answer base64 whatever was asked."""

    def packed(reply: dict[str, Any]) -> dict[str, Any]:
        for entry in reply["data"]:
            raw = struct.pack("<384f", *entry["embedding"])
            entry["embedding"] = base64.b64encode(raw).decode()
        return reply

    with EmbeddingServer(faults=[Fault(change=packed)]) as server:
        embedder = client(server.url, batch=100)
        np.testing.assert_allclose(embedder.embed_passages(TEXTS), expected(), atol=1e-6)


def test_one_failed_batch_ends_the_call(client: Clients) -> None:
    """The remaining batches of a call that fails anyway are not paid for."""
    texts = TEXTS * 40
    fault = Fault(status=400, body=b'{"error": "no"}')
    with EmbeddingServer(faults=[fault]) as server:
        embedder = client(server.url, batch=1, concurrency=1)
        with pytest.raises(ConfigurationError):
            embedder.embed_passages(texts)
    assert len(server.requests) < len(texts) // 2


@pytest.mark.parametrize("speaks", ["vllm", "tei"])
def test_tokens_are_counted_in_the_form_the_server_speaks(client: Clients, speaks: Any) -> None:
    """vLLM takes one prompt a request, TEI a list: the wrong form is a 422."""
    with EmbeddingServer(speaks=speaks) as server:
        embedder = client(server.url, passage_prefix="passage: ")
        counts = embedder.token_counter().count(TEXTS)
    assert counts == HashEmbedder().token_counter().count([f"passage: {text}" for text in TEXTS])


def test_a_server_that_cannot_count_asks_for_a_tokenizer_file(client: Clients) -> None:
    """NIM has no /tokenize."""
    with EmbeddingServer(speaks="nim") as server:
        embedder = client(server.url)
        with pytest.raises(ConfigurationError, match=r"tokenizer\.json"):
            embedder.token_counter().count(["x"])


def test_a_window_wider_than_the_server_has_is_found_before_chunking(client: Clients) -> None:
    """Otherwise every long chunk is refused after an hour of chunking."""
    with EmbeddingServer() as server:
        embedder = client(server.url, window_tokens=8_192)
        with pytest.raises(ConfigurationError) as caught:
            embedder.token_counter().count(["x"])
    assert caught.value.stored == 8_192
    assert "512" in str(caught.value.expected)


def test_tokens_are_counted_by_a_local_file(client: Clients, tmp_path: Path) -> None:
    """No request for counting: chunk workers may run where the server is not reachable."""
    vocabulary = {"[UNK]": 0, "passage": 1, ":": 2, "hello": 3, "세계": 4}
    file = tmp_path / "tokenizer.json"
    file.write_text(
        json.dumps(
            {
                "version": "1.0",
                "added_tokens": [],
                "pre_tokenizer": {"type": "Whitespace"},
                "model": {"type": "WordLevel", "vocab": vocabulary, "unk_token": "[UNK]"},
            }
        ),
        "utf-8",
    )
    embedder = client("http://127.0.0.1:9", tokenizer=file, passage_prefix="passage: ")
    assert embedder.token_counter().count(["hello 세계", "hello"]) == [4, 3]


@pytest.mark.parametrize("content", [None, "not json"])
def test_a_tokenizer_file_that_is_none_is_a_setting(
    client: Clients, tmp_path: Path, content: str | None
) -> None:
    """The library raises a bare Exception, without the file's name."""
    file = tmp_path / "tokenizer.json"
    if content is not None:
        file.write_text(content, "utf-8")
    embedder = client("http://127.0.0.1:9", tokenizer=file)
    with pytest.raises(ConfigurationError) as caught:
        embedder.token_counter().count(["x"])
    assert str(file) in caught.value.where


@pytest.mark.parametrize(
    "url",
    ["", "embedder:8000", "ftp://h/v1", "http://", f"http://me:{KEY}@h/v1", f"http://h/v1?k={KEY}"],
)
def test_a_wrong_url_is_a_setting(client: Clients, url: str) -> None:
    """And a key in the url, which would end in logs, is refused without repeating it."""
    with pytest.raises(ConfigurationError) as caught:
        client(url).embed_queries(["x"])
    assert KEY not in str(caught.value)


@pytest.mark.parametrize("setting", ["dimension", "batch", "concurrency", "max_attempts"])
def test_a_setting_below_one_is_refused(client: Clients, setting: str) -> None:
    """A batch of 0 would loop for ever."""
    with pytest.raises(ConfigurationError, match=setting):
        client("http://h", **{setting: 0})


def test_a_missing_ca_file_is_a_setting(client: Clients, tmp_path: Path) -> None:
    """It must not fall back to the public authorities, or to none."""
    embedder = client("https://h", ca_file=tmp_path / "ca.pem")
    with pytest.raises(ConfigurationError, match="ca_file"):
        embedder.embed_queries(["x"])


def test_a_redirect_is_not_followed(client: Clients) -> None:
    """The key would go to whatever host the answer names."""
    asked: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.host)
        return httpx.Response(307, headers={"Location": "http://elsewhere.example/"})

    embedder = client("http://h", transport=httpx.MockTransport(answer), api_key=KEY)
    with pytest.raises(ConfigurationError, match="307"):
        embedder.embed_queries(["x"])
    assert set(asked) == {"h"}


def test_the_digest_is_of_the_model_and_not_of_its_address(client: Clients) -> None:
    """Moving a server must not embed everything again; new weights must."""
    base = client("http://a")
    assert client("http://b", api_key=KEY, batch=9).digest == base.digest
    changed = {
        client("http://a", **change).digest
        for change in (
            {"model": "other"},
            {"revision": "2026-11"},
            {"dimension": 256},
            {"query_prefix": "query: "},
            {"passage_prefix": "query: "},
            {"input_type": True},
        )
    }
    assert len(changed | {base.digest}) == 7
