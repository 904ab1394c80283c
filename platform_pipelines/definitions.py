"""The one wiring point: everything that is declared under `defs/`, and the platform's resources."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import dagster as dg

from platform_pipelines.components.shared.resource import platform_resources
from platform_pipelines.components.shared.sweeping import build_sweeping
from platform_pipelines.compute.confinement import hide_from_peers

# Whatever loads the code location holds the platform's secrets in its environment.
hide_from_peers()


def build_defs(
    folder: Path | None = None, *, resource_overrides: Mapping[str, Any] | None = None
) -> dg.Definitions:
    """All that is declared in a project, with the resources that it runs on.

    `folder` is the project's package, which has the folder `defs`; components bring no resources of
    their own, so that each key is given once, here. A test or a deployment overrides it here.

    What is materialised by hand in the web UI runs as the jobs do, in one process: a step costs
    0.05 s there, and 5 s in a process of its own.
    """
    here = Path(__file__).parent if folder is None else folder
    declared = dg.load_from_defs_folder(path_within_project=here)
    resources = {**platform_resources(), **(resource_overrides or {})}
    own = dg.Definitions(resources=resources, executor=dg.in_process_executor)
    return dg.Definitions.merge(declared, build_sweeping(), own)


@dg.definitions
def defs() -> dg.Definitions:
    """What this package itself declares."""
    return build_defs()
