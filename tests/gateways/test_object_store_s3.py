"""What only an S3 server can do wrong, and URLs."""

import http.server
import threading
import unicodedata
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import replace

import pytest

from platform_pipelines.errors import (
    ConfigurationError,
    ConflictError,
    CredentialsError,
    PlatformError,
    RateLimitedError,
    SourceForbiddenError,
    SourceNotFoundError,
    StorageFullError,
    UnavailableError,
)
from platform_pipelines.gateways.object_store import ObjectStore, Skipped, StoreOptions
from platform_pipelines.gateways.obstore_store import open_store
from platform_pipelines.gateways.s3_store import S3ObjectStore
from tests.servers.s3_server import s3_server

QUICK = StoreOptions(
    region="us-east-1", access_key="k", secret_key="s", timeout_seconds=2.0, retries=1
)


def keys_of(store: ObjectStore, skipped: Skipped | None = None, *, prefix: str = "") -> list[str]:
    batches = store.list_objects(prefix, skipped=skipped)
    return [found.key for batch in batches for found in batch]


@contextmanager
def answering(status: int, code: str) -> Generator[str]:
    """A server that answers every request with one error; yields its endpoint."""
    body = f"<Error><Code>{code}</Code></Error>".encode()

    class Handler(http.server.BaseHTTPRequestHandler):
        def _answer(self) -> None:
            self.rfile.read(int(self.headers.get("content-length", 0)))
            self.send_response(status)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        do_GET = do_HEAD = do_PUT = do_POST = _answer

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.parametrize(
    ("status", "code", "expected"),
    [
        (403, "AccessDenied", SourceForbiddenError),
        (401, "Unauthorized", CredentialsError),
        (403, "InvalidAccessKeyId", CredentialsError),
        (403, "SignatureDoesNotMatch", CredentialsError),
        (403, "RequestTimeTooSkewed", CredentialsError),
        (400, "ExpiredToken", CredentialsError),
        (403, "AccountProblem", CredentialsError),
        (403, "InvalidObjectState", SourceForbiddenError),
        (404, "NoSuchBucket", SourceNotFoundError),
        (400, "AuthorizationHeaderMalformed", ConfigurationError),
        (301, "PermanentRedirect", ConfigurationError),
        (409, "ConditionalRequestConflict", ConflictError),
        (412, "PreconditionFailed", ConflictError),
        (429, "TooManyRequests", RateLimitedError),
        (503, "SlowDown", RateLimitedError),
        (503, "ServiceUnavailable", UnavailableError),
        (500, "InternalError", UnavailableError),
        (507, "XMinioStorageFull", StorageFullError),
    ],
)
def test_what_the_server_answers_is_typed(
    status: int, code: str, expected: type[PlatformError]
) -> None:
    """obstore says GenericError to nearly all of it; retry and remedy hang on the difference."""
    with answering(status, code) as endpoint:
        store = open_store("s3://bucket", options=replace(QUICK, endpoint=endpoint))
        for call in (lambda: keys_of(store), lambda: store.put("k", b"x"), lambda: store.get("k")):
            with pytest.raises(expected) as caught:
                call()
            assert type(caught.value) is expected
            assert "s3://bucket" in caught.value.where


def test_a_refused_connection_is_unavailable_after_bounded_retries() -> None:
    """obstore's own defaults try for three minutes."""
    options = replace(QUICK, endpoint="http://127.0.0.1:9")
    store = open_store("s3://bucket", options=options)
    for call in (lambda: keys_of(store), lambda: store.get("k"), lambda: store.head("k")):
        with pytest.raises(UnavailableError):
            call()


def test_http_is_refused_where_the_endpoint_is_not_http() -> None:
    """Plain http only where the declaration says so."""
    options = replace(QUICK, endpoint="ftp://127.0.0.1")
    with pytest.raises(ConfigurationError, match="endpoint"):
        open_store("s3://bucket", options=options)


def test_folder_markers_and_odd_names_do_not_hide_the_rest() -> None:
    """One key with a tab, `//` or `/./` fails obstore's listing: anybody could stop a corpus."""
    server = s3_server()
    bucket = server.make_bucket()
    names = ["a.md", "folder/", "folder/b.md", "tab\there.md", "z/.hidden", "zz.md", "가.md"]
    if server.is_moto:  # versitygw keeps files and cleans these names
        names += ["c//d.md", "e/./f.md", "e/../g.md"]
    client = server.client()
    for name in names:
        client.put_object(Bucket=bucket, Key=f"문서/{name}", Body=b"" if name[-1] == "/" else b"x")
    client.close()
    skipped = Skipped()
    store = open_store(f"s3://{bucket}/문서/", options=server.options)
    assert sorted(keys_of(store, skipped)) == ["a.md", "folder/b.md", "zz.md", "가.md"]
    assert (skipped.markers, skipped.hidden) == (1, 1)
    assert len(skipped.unreadable) == len(names) - 6
    assert store.get("zz.md")[0] == b"x"


def test_empty_objects_are_told_from_markers_without_a_question_each() -> None:
    """An upload that broke off leaves thousands of them: one raw listing says which are folders."""
    server = s3_server()
    bucket = server.make_bucket()
    client = server.client()
    for name in ["a/", "a/x.md", "b.md", *(f"c{n:03}.md" for n in range(120)), "z/"]:
        client.put_object(Bucket=bucket, Key=f"kb/{name}", Body=b"x" if name == "a/x.md" else b"")
    client.close()
    store = CountingStore(bucket, "kb", server.options)
    skipped = Skipped()
    keys = keys_of(store, skipped)
    assert (len(keys), skipped.markers, store.asked) == (122, 2, 0)
    assert {"a/x.md", "b.md", "c119.md"} <= set(keys)


class CountingStore(S3ObjectStore):
    """Counts what it asks of single objects."""

    asked = 0

    def _meta(self, path: str):
        self.asked += 1
        return super()._meta(path)


def test_objects_whose_names_hold_a_slash_too_many_are_read() -> None:
    """`folder/` with content and `/leading.md`: shown without it, and read by what is shown."""
    server = s3_server()
    if not server.is_moto:
        pytest.skip("versitygw keeps files: it cleans one name and refuses the other")
    bucket = server.make_bucket()
    client = server.client()
    for name in ("folder/", "/leading.md", "plain.md"):
        client.put_object(Bucket=bucket, Key=name, Body=name.encode())
    client.close()
    store = open_store(f"s3://{bucket}", options=server.options)
    read = {key: store.get(key)[0].decode() for key in keys_of(store)}
    assert read == {"folder": "folder/", "leading.md": "/leading.md", "plain.md": "plain.md"}
    with pytest.raises(SourceNotFoundError):
        store.get("nothing.md")


@pytest.mark.parametrize("odd", ["tab\there.md", "폴더/tab\there.md"])
def test_an_odd_name_hides_no_name_of_another_normal_form(odd: str) -> None:
    """One key with a tab beside it, and a listed Korean document was said to be gone."""
    server = s3_server()
    bucket = server.make_bucket()
    stored = f"폴더/{unicodedata.normalize('NFD', '파일')}.md"  # neither NFC nor NFD as a whole
    client = server.client()
    for name in (stored, odd):
        client.put_object(Bucket=bucket, Key=f"kb/{name}", Body=b"x")
    client.close()
    store = open_store(f"s3://{bucket}/kb", options=server.options)
    assert keys_of(store) == keys_of(store, prefix="폴더") == ["폴더/파일.md"]
    assert store.get("폴더/파일.md")[0] == b"x"
    assert store.head("폴더/파일.md") is not None
    with pytest.raises(SourceNotFoundError):
        store.get("폴더/없음.md")


def test_versioned_buckets_behave_alike() -> None:
    """Listings say no version id: what is compared is the etag, versioned or not."""
    server = s3_server()
    store = open_store(f"s3://{server.make_bucket(versioned=True)}", options=server.options)
    first = store.put("k", b"1")
    second = store.put("k", b"2", if_version=first)
    assert [found.version for batch in store.list_objects() for found in batch] == [second]
    with pytest.raises(ConflictError):
        store.put("k", b"3", if_version=first)
    store.delete(["k"])
    assert store.head("k") is None
    assert keys_of(store) == []
    if server.keeps_conditions:  # a delete marker is no object
        store.put("k", b"4", if_absent=True)


def test_secrets_are_in_no_text() -> None:
    """Options are logged with a run's configuration."""
    options = StoreOptions(access_key="AKIA-VISIBLE", secret_key="HIDDEN", session_token="TOKEN")
    assert not any(secret in repr(options) for secret in ("AKIA-VISIBLE", "HIDDEN", "TOKEN"))
    for url in ("s3://AKIA:HIDDEN@bucket/x", "s3://AKIA:a/HIDDEN@bucket/x", "AKIA:HIDDEN@bucket"):
        with pytest.raises(ConfigurationError) as caught:
            open_store(url)
        assert "HIDDEN" not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "/data/docs",
        "docs",
        "file://docs/relative",
        "file://./docs",
        "file://server/share",
        "file:///data/../etc",
        "file:/data",
        "s3://",
        "s3:///prefix",
        "s3://UPPER/x",
        "s3://ab",
        "s3://bucket//x",
        "s3://bucket/a/../b",
        "gs://bucket/x",
        "https://bucket.s3.amazonaws.com/x",
    ],
)
def test_a_wrong_url_is_told_what_is_allowed(url: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        open_store(url)
    assert "file:///absolute/folder or s3://bucket/prefix" in str(caught.value)


@pytest.mark.parametrize(
    ("url", "root"),
    [
        ("file:///data/%ED%95%9C%20a%23", "file:///data/%ED%95%9C%20a%23"),
        ("file:///data/한 a#", "file:///data/%ED%95%9C%20a%23"),
        ("file:///data/", "file:///data"),
        ("file://localhost/data", "file:///data"),
        ("FILE:///data", "file:///data"),
        ("s3://bucket", "s3://bucket"),
        ("s3://bucket/", "s3://bucket"),
        ("s3://bucket/한 글/%20/", "s3://bucket/한 글/%20"),
    ],
)
def test_a_url_names_one_root(url: str, root: str) -> None:
    """file:// is percent-decoded, s3:// is literal, as every other tool has it."""
    assert open_store(url).url == root


def test_half_a_key_pair_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="secret_key"):
        open_store("s3://bucket", options=StoreOptions(access_key="k"))
