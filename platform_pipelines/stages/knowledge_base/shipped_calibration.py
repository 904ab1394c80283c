"""When `ask` answers where no golden set says so: a calibration that is shipped, of other corpora.

`benchmarks/answer_calibration.py` made it; its table says of what.
"""

import json
from functools import cache
from importlib.resources import files
from typing import Any

from platform_pipelines.core.knowledge_base.calibration import (
    Calibration,
    calibration_from_record,
)
from platform_pipelines.core.knowledge_base.revision import EmbedRecipe

TABLE = "answer_calibration.json"
ANY = "any"  # whose similarities are not those of a known embedder: words alone decide


def shipped_calibration(embed: EmbedRecipe) -> Calibration:
    """The one for an embedder, or the one that reads no similarity.

    Raises:
        IntegrityError: the table is not this version's.
    """
    known = _table()["calibrations"]
    name = embed.model if embed.provider == "local" and embed.model in known else ANY
    return _read(name)


@cache
def _read(name: str) -> Calibration:
    return calibration_from_record(_table()["calibrations"][name])


@cache
def _table() -> dict[str, Any]:
    text = (files("platform_pipelines") / "tables" / TABLE).read_text(encoding="utf-8")
    table: dict[str, Any] = json.loads(text)
    return table
