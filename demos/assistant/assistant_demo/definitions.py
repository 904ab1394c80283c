"""The demo's code location: what is declared under `defs/`, on the platform's resource."""

from pathlib import Path

import dagster as dg

from platform_pipelines.definitions import build_defs


@dg.definitions
def defs() -> dg.Definitions:
    """The declared model and its rollout."""
    return build_defs(Path(__file__).parent)
