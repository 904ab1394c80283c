"""What the probe says a Milvus can do, and that it leaves nothing behind."""

import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import pytest
from pymilvus import MilvusClient

from platform_pipelines.errors import CapabilityError, UnavailableError
from platform_pipelines.gateways.milvus.connection import Connection
from platform_pipelines.gateways.milvus.probe import (
    PREFIX,
    probe,
    product_of,
)
from platform_pipelines.gateways.milvus.store import MilvusStore
from platform_pipelines.gateways.vector_store import CollectionSpec
from tests.servers.milvus_server import free_port, milvus_server


class SlowServer(Connection):
    """A Milvus 2.6 with GPUs that never builds one kind and refuses another."""

    def __init__(self, *, hangs: str, refuses: str) -> None:
        super().__init__(lambda: "http://nowhere", token=None, timeout_seconds=1)
        self.released = threading.Event()
        self.dropped: list[str] = []
        self._hangs, self._refuses = hangs, refuses

    @contextmanager
    def use(self, doing: str) -> Generator[Any]:
        yield self

    def get_server_version(self, timeout: float) -> str:
        return "v2.6.0"

    def list_collections(self, timeout: float) -> list[str]:
        return []

    def create_index(self, name: str, *_: object, **__: object) -> None:
        if name.endswith(self._refuses):
            raise CapabilityError("refused")
        if name.endswith(self._hangs):
            self.released.wait(30)

    def search(self, *_: object, **__: object) -> list[list[int]]:
        return [[1]]

    def drop_collection(self, name: str, timeout: float) -> None:
        self.dropped.append(name)

    create_collection = insert = flush = load_collection = lambda *_, **__: None
    create_schema = staticmethod(MilvusClient.create_schema)
    prepare_index_params = staticmethod(MilvusClient.prepare_index_params)


def test_milvus_lite_is_seen_for_what_it_is(lite: MilvusStore) -> None:
    """Probed once: a second look is the same object."""
    seen = lite.capabilities()
    assert seen.product == "milvus-lite"
    assert seen.index_kinds == ("FLAT", "IVF_FLAT", "HNSW")
    assert seen.keyword_search
    assert lite.capabilities() is seen
    assert lite.collections(PREFIX) == []


@pytest.mark.server
def test_a_server_is_believed_only_what_it_built() -> None:
    """Milvus 2.3.5 has no BM25, and takes DISKANN and GPU_IVF_FLAT without ever building them."""
    store = MilvusStore(uri=milvus_server(), token=None, timeout_seconds=60, gpu=True)
    seen = store.capabilities()
    assert (seen.product, seen.version) == ("milvus", "2.3.5-lite")
    assert seen.index_kinds == ("FLAT", "IVF_FLAT", "IVF_SQ8", "IVF_PQ", "HNSW", "SCANN")
    assert not seen.keyword_search
    assert set(seen.notes) == {"DISKANN", "GPU", "keywords"}
    assert store.collections(PREFIX) == []
    store.close()


def test_a_kind_that_never_ends_is_given_up_and_dropped() -> None:
    """A server may accept GPU_IVF_FLAT and build it for ever; the others are not held up."""
    server = SlowServer(hangs="gpu_cagra", refuses="gpu_ivf_pq")
    seen = probe(server, gpu=True, timeout_seconds=0.3)
    server.released.set()
    assert seen.product == "milvus"
    assert {"GPU_CAGRA", "GPU_IVF_PQ"}.isdisjoint(seen.index_kinds)
    assert {"FLAT", "HNSW", "DISKANN", "GPU_IVF_FLAT", "GPU_BRUTE_FORCE"} <= set(seen.index_kinds)
    assert "no answer" in seen.notes["GPU_CAGRA"]
    assert seen.notes["GPU_IVF_PQ"] == "refused"
    assert any(name.endswith("gpu_cagra") for name in server.dropped)


def test_leftovers_of_killed_probes_are_dropped(lite: MilvusStore) -> None:
    """A probe that runs beside this one is left alone."""
    old, young = f"{PREFIX}1000_x_flat", f"{PREFIX}{int(time.time())}_x_flat"
    for name in (old, young, f"{PREFIX}unreadable"):
        lite.create(CollectionSpec(name, 4, "L2", "FLAT", keyword=False))
    again = MilvusStore(uri=lite._connection._endpoint, token=None, timeout_seconds=30)
    again.capabilities()
    again.close()
    assert lite.collections(PREFIX) == [young]
    lite.drop(young)


def test_only_what_is_asked_for_is_tried(lite: MilvusStore) -> None:
    """An exact index needs no proof that a graph can be built; a later full answer is whole."""
    again = MilvusStore(uri=lite._connection._endpoint, token=None, timeout_seconds=30)
    seen = again.capabilities(("FLAT", "GPU_CAGRA"))
    assert (seen.index_kinds, seen.keyword_search) == (("FLAT",), True)
    assert again.capabilities().index_kinds == ("FLAT", "IVF_FLAT", "HNSW")
    again.close()


def test_a_server_that_is_down_has_no_capabilities() -> None:
    """Not an empty list, which would be taken for an answer."""
    uri = f"http://127.0.0.1:{free_port()}"
    with pytest.raises(UnavailableError):
        MilvusStore(uri=uri, token=None, timeout_seconds=1).capabilities()


def test_the_server_package_is_no_milvus_lite() -> None:
    """Its version ends in `-lite`, and it has no BM25."""
    assert product_of("milvus_lite-3.2.2") == ("milvus-lite", "3.2.2")
    assert product_of("v2.3.5-lite") == ("milvus", "2.3.5-lite")
