"""Stores that former versions wrote; see tests/fixtures/formats/README.md."""

import json
import shutil
from pathlib import Path
from typing import Any

from tests.knowledge import Knowledge, settings_under

ROOT = Path(__file__).parent / "fixtures" / "formats"
FORMATS = ("1",)
NAME = "guides"
DECLARED: dict[str, Any] = {
    "name": NAME,
    "source": {"url": "documents", "shards": 2},
    "embed": {"provider": "hash", "dimension": 64},
    "gate": {"golden_set": "golden.jsonl", "floors": {"hit_at_k": 0.5}, "minimum_effect": 0.2},
}


def records(folder: str, number: str = FORMATS[0]) -> dict[str, bytes]:
    """The records in one folder of a store, by their keys."""
    store = ROOT / number / "store" / "knowledge" / NAME
    found = sorted((store / folder).rglob("*.json"))
    assert found, f"no record in {folder}"
    return {str(path.relative_to(store)): path.read_bytes() for path in found}


def changed(data: bytes, **fields: Any) -> bytes:
    """A record with other fields."""
    return json.dumps(json.loads(data) | fields).encode()


def restored(folder: Path, number: str = FORMATS[0], *, milvus: bool = True) -> Knowledge:
    """The knowledge base of a former version, copied, on a Milvus Lite of its own."""
    home = folder / "home"
    shutil.copytree(ROOT / number / "kb", folder / "kb")
    shutil.copytree(ROOT / number / "store", home / "store")
    if milvus:
        shutil.copytree(ROOT / number / "milvus", home / "milvus")
    settings = settings_under(home, None, workers=1, lease_wait_seconds=30)
    return Knowledge(folder / "kb", DECLARED, settings)
