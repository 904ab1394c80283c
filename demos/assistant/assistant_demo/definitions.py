"""The demo's code location: everything that is declared under `defs/`."""

from pathlib import Path

import dagster as dg


@dg.definitions
def defs() -> dg.Definitions:
    """The declared model and its rollout."""
    return dg.load_from_defs_folder(path_within_project=Path(__file__).parent)
