"""What the gate asks of a knowledge base's evidence beside its metrics."""

from platform_pipelines.core.knowledge_base.evidence import (
    LEAST_LOST,
    MASS_LOSS,
    counts_of,
    judge_of,
    lost_of,
    references_of,
    sample_of,
    unread_of,
)
from platform_pipelines.core.road.evidence import Evidence
from platform_pipelines.core.road.verdicts import Reason, Rule, Status


def rules(
    *,
    own_document_floor: float,
    coverage_floor: float,
    max_removed: float = 1.0,
    max_unread: float = 1.0,
    approved: str = "",
) -> list[Rule]:
    """What the gate asks of a knowledge base beside its metrics.

    `approved` says who approved this very evidence, and why; empty when nobody did.
    """
    return [
        counts_reconcile,
        lambda evidence: nothing_lost(evidence, max_removed, approved=approved),
        lambda evidence: enough_read(evidence, max_unread),
        lambda evidence: own_documents(evidence, own_document_floor),
        lambda evidence: references_resolve(evidence, coverage_floor),
        judge_finished,
    ]


def counts_reconcile(evidence: Evidence) -> list[Reason]:
    """The index holds as many rows as there are chunks."""
    counts = counts_of(evidence)
    if counts.reconcile:
        return []
    message = f"the index holds {counts.stored} rows and the manifest names {counts.expected}"
    return [Reason(Status.FAIL, "counts", message)]


def nothing_lost(evidence: Evidence, max_removed: float, *, approved: str = "") -> list[Reason]:
    """A bucket that was emptied, or a key that lost its rights, is no ordinary change.

    It is held, not failed: a person may have meant it, and says so for exactly this evidence.
    """
    found = lost_of(evidence)
    if found is None or found.lost < LEAST_LOST or found.share <= max_removed:
        return []
    message = (
        f"{found.lost} of {found.live} live documents are gone or unreadable, the first: "
        f"{', '.join(found.named[:LEAST_LOST])}; more than {max_removed:.0%} is held"
    )
    if approved:
        return [Reason(Status.PASS, MASS_LOSS, f"{message}; approved by {approved}")]
    remedy = f"if it is meant, run `platform-pipelines approve NAME {evidence.revision[:12]}`"
    return [Reason(Status.UNDECIDED, MASS_LOSS, f"{message}. {remedy} --reason TEXT")]


def enough_read(evidence: Evidence, max_unread: float) -> list[Reason]:
    """A format that is only half read answers from what is left of it."""
    found = unread_of(evidence)
    if found is None or found.share <= max_unread:
        return []
    kinds = ", ".join(f"{kind} {count}" for kind, count in sorted(found.kinds.items()))
    message = (
        f"of {found.noted} of {found.documents} documents a part was not read ({kinds}); "
        f"more than {max_unread:.0%} is refused. The page of `documents` names them"
    )
    return [Reason(Status.FAIL, "unread", message)]


def own_documents(evidence: Evidence, floor: float) -> list[Reason]:
    """Without labels: sampled sentences find their own document."""
    if evidence.golden_digest is not None:
        return []
    sample = sample_of(evidence)
    share = sample.share_at_k if sample else None
    if share is None:
        message = "no sentence was sampled; evaluate again"
        return [Reason(Status.UNDECIDED, "missing", message)]
    if share >= floor:
        return []
    message = f"{share:.3f} of the sampled sentences find their own document; the floor is {floor}"
    return [Reason(Status.FAIL, "own_document", message)]


def judge_finished(evidence: Evidence) -> list[Reason]:
    """A budget that was spent leaves answers without a verdict: that is no pass, and no fail."""
    judge = judge_of(evidence)
    stopped = judge["stopped_by"] if judge else ""
    if not stopped:
        return []
    message = f"the judge's budget of {stopped} was spent before every answer was judged"
    return [Reason(Status.UNDECIDED, "judge_budget", message)]


def references_resolve(evidence: Evidence, floor: float) -> list[Reason]:
    """The documents still hold what the golden set quotes from them."""
    if evidence.golden_digest is None:
        return []
    found = references_of(evidence)
    resolved = 1.0 - found.unresolved / found.references if found.references else 0.0
    if resolved >= floor:
        return []
    message = (
        f"{found.unresolved} of {found.references} references found nowhere, or with other "
        f"numbers; the floor is {floor:.0%}: correct the golden set's quotes"
    )
    return [Reason(Status.FAIL, "coverage", message)]
