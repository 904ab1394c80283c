"""Promises of every object store, held on a folder and on an S3 server alike."""

import io
import threading
import unicodedata
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import quote

import pytest

from platform_pipelines.errors import (
    ConfigurationError,
    ConflictError,
    CredentialsError,
    SourceNotFoundError,
)
from platform_pipelines.gateways.object_store import ObjectStore, Skipped
from platform_pipelines.gateways.obstore_store import open_store
from tests.fakes import FaultyObjectStore
from tests.servers.s3_server import s3_server

Place = Callable[[str, bytes], None]  # puts a raw name there without the product

ODD_NAMES = [
    "plain.md",
    "with space.md",
    "한글 문서/가격표.md",
    "hash#1",
    "a#b.md",
    "percent%20literal.md",
    "percent%zz.md",
    "plus+plus.md",
    "question?.md",
    "amp&eq=.md",
    "brackets[1]{2}.md",
    "tilde~back\\slash.md",
    "quote\"s'.md",
    "emoji😀.md",
    "trailing space ",
    "dots..inside.md",
    "각하.md",
]


@pytest.fixture(params=["file", "s3", "faulty"])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[ObjectStore, Place]:
    """A store below a Korean prefix, and a way to put raw names into it."""
    if request.param == "s3":
        return _s3_world()
    root = tmp_path / "자료 폴더 #1"
    root.mkdir()
    store = open_store(f"file://{quote(str(root))}")
    if request.param == "faulty":
        store = FaultyObjectStore(store)

    def place(name: str, data: bytes) -> None:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)

    return store, place


def _s3_world() -> tuple[ObjectStore, Place]:
    server = s3_server()
    bucket = server.make_bucket()

    def place(name: str, data: bytes) -> None:
        client = server.client()
        client.put_object(Bucket=bucket, Key=f"자료 폴더 #1/{name}", Body=data)
        client.close()

    return open_store(f"s3://{bucket}/자료 폴더 #1", options=server.options), place


@pytest.fixture
def store(world: tuple[ObjectStore, Place]) -> ObjectStore:
    return world[0]


@pytest.fixture
def place(world: tuple[ObjectStore, Place]) -> Place:
    return world[1]


def keys_of(store: ObjectStore, prefix: str = "", skipped: Skipped | None = None) -> list[str]:
    return [found.key for batch in store.list_objects(prefix, skipped=skipped) for found in batch]


def needs_atomic_swaps(store: ObjectStore) -> None:
    if store.url.startswith("s3:") and not s3_server().keeps_conditions:
        pytest.skip("this server checks, then writes: two of eight writers may both win")


def test_every_odd_name_is_listed_read_and_written_back(store: ObjectStore, place: Place) -> None:
    """obstore's folder store loses `hash#1`; URL-quoting twice loses `%20`."""
    for name in ODD_NAMES:
        place(name, name.encode())
    assert sorted(keys_of(store)) == sorted(ODD_NAMES)
    for fetched in store.get_many(ODD_NAMES):
        assert fetched.data == fetched.key.encode()
    for name in ODD_NAMES:
        store.put(name, b"new " + name.encode())
        assert store.get(name)[0] == b"new " + name.encode()
    assert sorted(keys_of(store)) == sorted(ODD_NAMES)


@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_a_korean_name_is_one_key_in_either_normal_form(
    store: ObjectStore, place: Place, form: str
) -> None:
    """A folder copied from a Mac has decomposed names; the key must not depend on the copier."""
    raw = unicodedata.normalize(form, "운영/장애 대응.md")
    place(raw, b"text")
    assert keys_of(store) == ["운영/장애 대응.md"]
    assert keys_of(store, "운영") == ["운영/장애 대응.md"]
    assert store.get("운영/장애 대응.md")[0] == b"text"
    assert store.exists("운영/장애 대응.md")
    with store.open_reader("운영/장애 대응.md") as file:
        assert file.read() == b"text"


def test_folder_and_file_of_different_normal_forms_are_still_found(
    store: ObjectStore, place: Place
) -> None:
    """Only trying NFC and NFD of the whole key misses a Linux file in a Mac folder."""
    place(unicodedata.normalize("NFD", "운영") + "/장애.md", b"mixed")
    assert store.get("운영/장애.md")[0] == b"mixed"


def test_two_names_of_one_key_are_listed_once_and_reported(
    store: ObjectStore, place: Place
) -> None:
    """Two objects with one key would be indexed over each other; the NFC name is the one read."""
    place(unicodedata.normalize("NFD", "가격.md"), b"old copy")
    place("가격.md", b"kept")
    skipped = Skipped()
    listed = [found for batch in store.list_objects(skipped=skipped) for found in batch]
    assert [found.key for found in listed] == ["가격.md"]
    assert skipped.duplicates == ["가격.md"]
    assert store.get("가격.md") == (b"kept", listed[0].version)


def test_hidden_names_are_left_out_and_counted(store: ObjectStore, place: Place) -> None:
    """.DS_Store is not a document, but what is left out must be visible."""
    place("a.md", b"x")
    place(".DS_Store", b"x")
    place("sub/.hidden", b"x")
    skipped = Skipped()
    assert keys_of(store, skipped=skipped) == ["a.md"]
    assert (skipped.hidden, skipped.total) == (2, 2)


def test_an_empty_object_is_listed(store: ObjectStore, place: Place) -> None:
    """An empty file is a document for the quarantine, not a folder marker."""
    place("empty.md", b"")
    assert keys_of(store) == ["empty.md"]
    assert store.get("empty.md")[0] == b""


def test_a_prefix_is_whole_parts(store: ObjectStore) -> None:
    """`a/b` must not list `a/bc`, or one knowledge base reads its neighbour's log."""
    for key in ("a/b/1", "a/bc/1", "a/b2"):
        store.put(key, b"x")
    assert keys_of(store, "a/b") == keys_of(store, "a/b/") == ["a/b/1"]
    assert keys_of(store, "nothing") == []


def test_more_than_one_page_is_listed_completely_in_bounded_batches(store: ObjectStore) -> None:
    """The first page of S3 ends at 1,000 names."""
    names = [f"p/{number:05d}" for number in range(1203)]
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda name: store.put(name, b"x"), names))
    batches = [list(batch) for batch in store.list_objects("p")]
    assert sorted(found.key for batch in batches for found in batch) == names
    assert max(len(batch) for batch in batches) <= 1000


def test_version_is_one_thing_in_list_head_get_and_put(store: ObjectStore) -> None:
    """A version that differs by the way it was asked would read every document on every run."""
    written = store.put("k", b"one")
    listed = next(iter(store.list_objects()))[0]
    head = store.head("k")
    assert head == listed
    assert {written, listed.version, store.get("k")[1]} == {written}
    assert listed.size_bytes == 3


def test_version_changes_with_the_content(store: ObjectStore) -> None:
    """Same size, same moment: a version made of seconds and size would miss the edit."""
    versions = [store.put("k", f"{number:04d}".encode()) for number in range(200)]
    assert len(set(versions)) == 200


def test_put_if_absent_writes_once(store: ObjectStore) -> None:
    """Two releases of one sequence number: exactly one is recorded."""
    needs_atomic_swaps(store)
    barrier = threading.Barrier(8)

    def attempt(number: int) -> bool:
        barrier.wait()
        try:
            store.put("seq/1", str(number).encode(), if_absent=True)
        except ConflictError:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        won = list(pool.map(attempt, range(8)))
    assert won.count(True) == 1
    assert store.get("seq/1")[0] == str(won.index(True)).encode()


def test_compare_and_swap_loses_no_increment(store: ObjectStore) -> None:
    """A counter raised by eight threads with read, compare and swap counts every raise."""
    needs_atomic_swaps(store)
    store.put("n", b"0")

    def raise_by_five(_: int) -> None:
        for _ in range(5):
            while True:
                data, version = store.get("n")
                try:
                    store.put("n", str(int(data) + 1).encode(), if_version=version)
                    break
                except ConflictError:
                    continue

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(raise_by_five, range(8)))
    assert store.get("n")[0] == b"40"


def test_compare_and_swap_on_what_is_gone_conflicts(store: ObjectStore) -> None:
    """Deleted meanwhile is a conflict, not a fresh object."""
    version = store.put("k", b"x")
    store.delete(["k"])
    with pytest.raises(ConflictError):
        store.put("k", b"y", if_version=version)
    assert not store.exists("k")


def test_delete_is_exact_and_absent_is_fine(store: ObjectStore) -> None:
    """Deleting a prefix's name must not delete below it."""
    store.put("a/1", b"x")
    store.put("한 #%20", b"x")
    store.delete(["a", "absent", "한 #%20"])
    assert keys_of(store) == ["a/1"]


def test_writer_publishes_at_the_end_and_nothing_when_it_fails(store: ObjectStore) -> None:
    """A half-written shard that can be read is a lost document."""
    with store.open_writer("w/ok") as file:
        file.write(b"a" * 1000)
        assert not store.exists("w/ok")
        file.write(b"b" * 1000)
    assert store.get("w/ok")[0] == b"a" * 1000 + b"b" * 1000
    with pytest.raises(ZeroDivisionError):
        _write_and_fail(store, "w/bad")
    assert keys_of(store) == ["w/ok"]


def _write_and_fail(store: ObjectStore, key: str) -> None:
    with store.open_writer(key) as file:
        file.write(b"x" * (6 * 1024 * 1024))
        raise ZeroDivisionError


def test_a_large_object_survives_being_sent_in_parts(store: ObjectStore) -> None:
    """Over 5 MiB goes in parts, over 8 MiB through a spool on disk."""
    data = bytes(range(256)) * 50_000
    with store.open_writer("big") as file:
        file.write(data)
    assert store.get("big")[0] == data


def test_reader_serves_parquet(store: ObjectStore) -> None:
    """Shards are read by column and row group, not whole."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pa.table({"key": [f"문서-{n}" for n in range(5000)], "n": list(range(5000))})
    with store.open_writer("t.parquet") as sink:
        pq.write_table(table, sink, row_group_size=1000)
    with store.open_reader("t.parquet") as source:
        file = pq.ParquetFile(source)
        assert file.read_row_group(3, columns=["n"])["n"].to_pylist() == list(range(3000, 4000))
        assert file.read().equals(table)


def test_reader_seeks_and_ends(store: ObjectStore) -> None:
    """The rest of the library expects a plain binary file."""
    store.put("r", b"0123456789")
    with store.open_reader("r") as file:
        assert file.seek(-3, io.SEEK_END) == 7
        assert file.read() == b"789"
        assert file.read(1) == b""
        assert file.seek(2) == 2
        assert file.read(2) == b"23"


def test_a_reader_never_mixes_two_versions(store: ObjectStore) -> None:
    """A shard replaced while it is read gives the old bytes or a conflict, never both."""
    store.put("r", b"a" * 3_000_000)
    with store.open_reader("r") as file:
        seen = file.read(10)
        store.put("r", b"b" * 3_000_000)
        try:
            seen += file.read()
        except ConflictError:
            return
    assert set(seen) == {ord("a")}


def test_get_many_keeps_order_and_reports_what_is_gone(store: ObjectStore) -> None:
    """A document deleted between listing and reading is that document's result, not the end."""
    names = [f"m/{number:03d}" for number in range(80)]
    for name in names:
        store.put(name, name.encode())
    store.delete([names[40]])
    fetched = list(store.get_many(names))
    assert [one.key for one in fetched] == names
    assert isinstance(fetched[40].error, SourceNotFoundError)
    assert all(one.data == one.key.encode() and one.version for one in fetched if not one.error)


def test_get_many_stops_reading_when_its_reader_stops(store: ObjectStore) -> None:
    """Memory is bounded by the window: no key far beyond what was taken is even asked for."""
    asked: list[int] = []

    def endless() -> object:
        number = 0
        while True:
            asked.append(number)
            yield "one"
            number += 1

    store.put("one", b"1")
    results = store.get_many(endless())  # type: ignore[arg-type]
    assert [next(results).data for _ in range(5)] == [b"1"] * 5
    results.close()  # type: ignore[attr-defined]
    assert len(asked) <= 5 + 2 * 16


@pytest.mark.parametrize("key", ["", "/abs", "a//b", "../up", "a/../b", "a/.", "nul\0"])
def test_a_key_cannot_leave_the_root(store: ObjectStore, key: str) -> None:
    """A document's name decides a path: `..` must not reach a neighbour."""
    for call in (
        lambda: store.get(key),
        lambda: store.put(key, b"x"),
        lambda: store.head(key),
        lambda: store.delete([key]),
        lambda: store.open_reader(key),
    ):
        with pytest.raises(ConfigurationError):
            call()


def test_what_is_not_there_is_not_found(store: ObjectStore) -> None:
    """Absent is an answer for head and exists, an error for get."""
    assert store.head("none") is None
    assert not store.exists("없음.md")
    with pytest.raises(SourceNotFoundError):
        store.get("없음.md")
    with pytest.raises(SourceNotFoundError):
        store.open_reader("none")


@pytest.mark.parametrize("kind", ["file", "s3"])
def test_a_missing_root_never_looks_like_an_empty_corpus(kind: str, tmp_path: Path) -> None:
    """An unmounted folder that lists as empty would delete the whole index."""
    server = s3_server()
    url = (tmp_path / "gone").as_uri() if kind == "file" else "s3://no-such-bucket-here"
    store = open_store(url, options=server.options)
    with pytest.raises(SourceNotFoundError) as caught:
        list(store.list_objects())
    assert url in str(caught.value)
    with pytest.raises(SourceNotFoundError):
        list(store.list_objects("below"))
    with pytest.raises(SourceNotFoundError):
        store.put("k", b"x")
    assert not (tmp_path / "gone").exists()


def test_wrong_credentials_are_forbidden() -> None:
    """403 is not empty, not missing and not worth a retry."""
    from dataclasses import replace

    server = s3_server()
    bucket = server.make_bucket()
    store = open_store(f"s3://{bucket}", options=replace(server.options, secret_key="wrong"))
    if server.is_moto:
        pytest.skip("moto accepts every key")
    for call in (lambda: list(store.list_objects()), lambda: store.get("k")):
        with pytest.raises(CredentialsError):
            call()
