"""The libraries behind this gateway, imported at first use. They ship no types, hence `Any`."""

import importlib
from typing import Any


def pymilvus() -> Any:
    """The client library: 1.5 s, most of it pandas. It reads a `.env` file on its way."""
    library = importlib.import_module("pymilvus")
    helper: Any = importlib.import_module("pymilvus.client.entity_helper")
    helper.CHECK_STR_ARRAY = False  # `schema.batches` has checked every text
    return library


def milvus_lite(module: str = "") -> Any:
    """Milvus Lite's engine, or one of its modules; only its server process loads it."""
    return importlib.import_module(f"milvus_lite.{module}" if module else "milvus_lite")
