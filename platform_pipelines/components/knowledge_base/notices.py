"""What must be told at a terminal and in CI, where nobody reads the pages."""

from collections.abc import Callable, Mapping

from platform_pipelines.stages.outcome import StageOutcome
from platform_pipelines.stages.workspace import Workspace


def notices(workspace: Workspace, stage: str, outcome: StageOutcome) -> list[str]:
    """One sentence for each thing that is not as one would expect; none on a good day."""
    look = _OF_STAGE.get(stage)
    return [] if look is None else look(workspace, outcome)


def _documents(workspace: Workspace, outcome: StageOutcome) -> list[str]:
    del workspace
    quarantine = outcome.snapshot.details.get("quarantine", [])
    number = outcome.snapshot.counts.get("quarantined", 0)
    if not number:
        return []
    first = f"{quarantine[0]['key']} ({quarantine[0]['reason']})" if quarantine else "see the page"
    return [f"{number:,} not parsed, the first: {first}"]


def _evidence(workspace: Workspace, outcome: StageOutcome) -> list[str]:
    del workspace
    details = outcome.snapshot.details
    if details["verdict"] == "pass":
        return [] if details["proven"] else ["pass, but answers are unproven: no golden set"]
    reasons = [f"the gate answers {details['verdict']}: {reason}" for reason in details["reasons"]]
    return reasons or [f"the gate answers {details['verdict']}"]


def _release(workspace: Workspace, outcome: StageOutcome) -> list[str]:
    details = outcome.snapshot.details
    if not details["status"].startswith("held"):
        return []
    index, _ = workspace.head("index")
    held = index.details["revision"][:12] if index else "the candidate"
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
