"""The one wiring point: everything that is declared under `defs/`."""

from pathlib import Path

import dagster as dg

from platform_pipelines.compute.confinement import hide_from_peers

# Whatever loads the code location holds the platform's secrets in its environment.
hide_from_peers()


@dg.definitions
def defs() -> dg.Definitions:
    """All declared knowledge bases."""
    return dg.load_from_defs_folder(path_within_project=Path(__file__).parent)
