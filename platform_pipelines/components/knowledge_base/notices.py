"""What must be told at a terminal and in CI, where nobody reads the pages."""

from collections.abc import Callable, Mapping

from platform_pipelines.stages.knowledge_base.revisions import candidate
from platform_pipelines.stages.knowledge_base.workspace import Workspace
from platform_pipelines.stages.road.outcome import StageOutcome


def notices(workspace: Workspace, stage: str, outcome: StageOutcome) -> list[str]:
    """One sentence for each thing that is not as one would expect; none on a good day."""
    look = _OF_STAGE.get(stage)
    return [] if look is None else look(workspace, outcome)


def _documents(workspace: Workspace, outcome: StageOutcome) -> list[str]:
    del workspace
    snapshot = outcome.snapshot
    return [
        f"{snapshot.counts['quarantined']:,} not parsed, the first: {one['key']} ({one['reason']})"
        for one in snapshot.details["quarantine"][:1]
    ]


def _evidence(workspace: Workspace, outcome: StageOutcome) -> list[str]:
    del workspace
    details = outcome.snapshot.details
    found = outcome.snapshot.counts.get("suspicious", 0)
    flagged = (
        [f"{found:,} passages speak to a language model: the page names them"] if found else []
    )
    if details["verdict"] == "pass":
        unproven = [] if details["proven"] else ["pass, but answers are unproven: no golden set"]
        return [*unproven, *flagged]
    told = [f"the gate answers {details['verdict']}: {reason}" for reason in details["reasons"]]
    return [*told, *flagged]


def _release(workspace: Workspace, outcome: StageOutcome) -> list[str]:
    details = outcome.snapshot.details
    if not details["status"].startswith("held"):
        return []
    held = candidate(workspace).digest[:12]
    return [
        f"{held} is held: it was rolled back from. Readers stay on {details['revision'][:12]}. "
        f"To release it all the same, run {workspace.name}_refresh with `allow_rolled_back: true` "
        f"in the configuration of {workspace.name}__release"
    ]


_OF_STAGE: Mapping[str, Callable[[Workspace, StageOutcome], list[str]]] = {
    "documents": _documents,
    "evidence": _evidence,
    "release": _release,
}
