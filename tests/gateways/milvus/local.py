"""Milvus Lite behind its local server, as the embedded default opens it."""

from pathlib import Path

from platform_pipelines.gateways.milvus.local_server import LocalMilvus
from platform_pipelines.gateways.milvus.store import MilvusStore


def local_store(directory: Path) -> MilvusStore:
    """A store under `directory`, whose server ends 0.2 s after its last user."""
    local = LocalMilvus(directory, idle_seconds=0.2)
    return MilvusStore(uri=local.uri, token=None, timeout_seconds=30, on_close=local.close)
