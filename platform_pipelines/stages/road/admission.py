"""The evidence of a configuration: whether each object keeps the rules and the server admits it.

One row an object, with the metric `admitted`: 1 when no rule is broken and a strict server-side
dry run takes it, else 0 with the reasons. Schema, defaults, admission policies, quotas and Pod
Security are those of the cluster that it is for.
"""

from collections.abc import Mapping
from typing import Any

from platform_pipelines.core.road.evidence import Evidence, Outcome, SampleRow, make_evidence
from platform_pipelines.core.road.manifest_policies import violations
from platform_pipelines.core.road.manifests import Manifest, ManifestRevision, ObjectKey, key_of
from platform_pipelines.core.road.metrics import Metric
from platform_pipelines.errors import TerminalError
from platform_pipelines.gateways.cluster.manifests import Cluster
from platform_pipelines.stages.road.api_replacements import known_replacements
from platform_pipelines.stages.road.workspace import Workspace

METRICS = (Metric("admitted"),)
STAND_IN = "default"  # where objects of a namespace that is still to be made are checked


def conditions_of(*, asks: bool) -> Mapping[str, Any]:
    """Of the evidence: made with an API server that was asked, or by the rules alone."""
    return {"checked_by": "rules and server dry run" if asks else "rules"}


def admit(
    workspace: Workspace, component: str, cluster: Cluster | None, revision: ManifestRevision
) -> Evidence:
    """Ask the rules and the API server about every object; writes nothing to the cluster.

    Without a cluster the rules alone are asked, and the evidence says so in its conditions.

    Raises:
        TransientError: the server does not answer; no evidence is better than a wrong one.
    """
    broken: dict[ObjectKey, list[str]] = {}
    for one in violations(revision, known_replacements()):
        broken.setdefault(one.key, []).append(f"{one.field}: {one.rule}: {one.message}")
    missing = _namespaces_to_come(cluster, revision) if cluster else set[str]()
    rows: list[SampleRow] = []
    for manifest in revision.stamped:
        key = key_of(manifest)
        workspace.deadline.check(f"admission of {key}")
        workspace.progress(f"admission of {key}")
        refused = _refusal(cluster, manifest, missing) if cluster else []
        problems = [*broken.get(key, []), *refused]
        rows.append(_row(key, problems))
    return make_evidence(
        Evidence(
            component=component,
            revision=revision.digest,
            baseline=None,
            golden_digest=revision.digest,
            conditions=conditions_of(asks=cluster is not None),
            metrics=METRICS,
            samples=len(rows),
            rows=tuple(rows),
            facts={"stand_in_for": sorted(missing)},
        )
    )


def _row(key: ObjectKey, problems: list[str]) -> SampleRow:
    details: dict[str, Any] = {"problems": problems} if problems else {}
    outcome = Outcome({"admitted": 0.0 if problems else 1.0}, None, details)
    return SampleRow(f"{key.api_version} {key}", {"kind": key.kind}, outcome)


def _refusal(cluster: Cluster, manifest: Manifest, missing: set[str]) -> list[str]:
    """What the server says against it, or nothing."""
    try:
        cluster.apply(_placed(manifest, missing), dry_run=True, force=True)
    except TerminalError as error:
        return [error.what]
    return []


def _placed(manifest: Manifest, missing: set[str]) -> Manifest:
    metadata = manifest["metadata"]
    if metadata.get("namespace") not in missing:
        return manifest
    return {**manifest, "metadata": {**metadata, "namespace": STAND_IN}}


def _namespaces_to_come(cluster: Cluster, revision: ManifestRevision) -> set[str]:
    """Namespaces of this revision that do not exist yet."""
    own = [one for one in revision.manifests if one["kind"] == "Namespace"]
    return {key_of(one).name for one in own if cluster.get(key_of(one)) is None}
