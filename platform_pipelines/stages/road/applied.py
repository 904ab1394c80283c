"""Applied configuration: render, check, apply, prune, look for drift, roll back.

A revision of manifests is written under its digest; the release log says which one is live, and the
cluster is its projection: append first, then apply. A run killed anywhere is finished by the next
one, which applies the whole revision again (server-side apply changes nothing that is right).
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from platform_pipelines.core.road.declarations import ApplySpec
from platform_pipelines.core.road.drift import DriftKind, ObjectDrift, drift_of, is_managed
from platform_pipelines.core.road.evidence import Evidence
from platform_pipelines.core.road.gate import decide
from platform_pipelines.core.road.identity import digest_text
from platform_pipelines.core.road.manifests import (
    INSTALLATION,
    MANAGED_BY,
    MANAGER,
    OWNER,
    Manifest,
    ManifestRevision,
    changes_between,
    key_of,
    revision_from_json,
    revision_of,
)
from platform_pipelines.core.road.releases import Candidate, ReleaseEntry, current
from platform_pipelines.core.road.snapshot import Snapshot
from platform_pipelines.core.road.verdicts import Expected, GatePolicy, Rule, Verdict
from platform_pipelines.errors import OwnershipError
from platform_pipelines.gateways.cluster.manifests import Cluster
from platform_pipelines.stages.road import release as road
from platform_pipelines.stages.road.admission import admit, conditions_of
from platform_pipelines.stages.road.api_drift import api_drift, in_use_here
from platform_pipelines.stages.road.connect import release_log
from platform_pipelines.stages.road.evidence import read_evidence, write_evidence
from platform_pipelines.stages.road.outcome import StageOutcome
from platform_pipelines.stages.road.workspace import Workspace

VERSION = "1"  # raise it when equal input would give other output
MANIFESTS, APPLIED = "manifests", "applied"
LIVE_KEY = "live.json"
RENDERED = "rendered and held to the rules; no cluster was asked, nothing was written"
POLICY = GatePolicy(
    floors={"admitted": 1.0}, coverage_floor=1.0, minimum_samples=1, sample_noun="objects"
)
# With a namespace goes everything in it, with a claim the data: a person deletes those.
NEVER_PRUNED = frozenset(("Namespace", "PersistentVolumeClaim"))


RulesOf = Callable[["AppliedWorkspace", ManifestRevision], Sequence[Rule]]


def no_rules(workspace: "AppliedWorkspace", revision: ManifestRevision) -> Sequence[Rule]:
    """Admission alone decides."""
    del workspace, revision
    return ()


@dataclass(frozen=True, slots=True, kw_only=True)
class AppliedWorkspace(Workspace):
    """A component whose revision is a set of manifests."""

    component: str  # what it is: "tenant", "agent" …
    apply: ApplySpec
    render: Callable[[], Sequence[Manifest]]
    open_cluster: Callable[[], Cluster]
    rules: RulesOf = no_rules  # what the component asks of a revision beside its admission
    names_a_cluster: bool = True  # a kubeconfig, or the service account of a pod

    @property
    def mode(self) -> str:
        """What applying means here: `apply`, `dry_run`, `render` or `folder`."""
        if self.apply.mode != "auto":
            return self.apply.mode
        if self.settings.environment == "production":
            return "apply"
        return "dry_run" if self.names_a_cluster else "render"

    @property
    def installation(self) -> str:
        """Names this platform on a cluster that two may share."""
        return digest_text(self.settings.store_url)[:12]


@dataclass(frozen=True, slots=True)
class Pruned:
    """What went, and what only a person deletes."""

    deleted: tuple[str, ...]
    kept: tuple[str, ...]


def refresh_manifests(workspace: AppliedWorkspace) -> StageOutcome:
    """Render the declaration; what would change against what is live, and which rules it breaks."""
    revision = revision_of(workspace.name, workspace.installation, workspace.render())
    head, version = workspace.head(MANIFESTS)
    changes = changes_between(live_revision(workspace), revision)
    broken = api_drift(revision, in_use_here(workspace.settings))
    snapshot = Snapshot(
        stage=MANIFESTS,
        settings=revision.digest,
        shards=(),
        counts={"objects": len(revision.manifests), "violations": len(broken)},
        details={"revision": revision.digest},
    )
    facts = {"changes": changes, "violations": broken, "manifests": revision.manifests}
    if head is not None and head.record_digest == snapshot.record_digest:
        return StageOutcome(head, is_changed=False, facts=facts)
    with workspace.writing(MANIFESTS, version) as held:
        held.store.put(manifests_key(revision.digest), revision.to_json().encode())
        held.move_head(snapshot, version)
    counted = {str(one.difference): 0 for one in changes}
    for one in changes:
        counted[str(one.difference)] += 1
    return StageOutcome.changed(snapshot, head, counted, facts)


def refresh_applied(
    workspace: AppliedWorkspace, *, allow_rolled_back: bool = False
) -> StageOutcome:
    """Bring the cluster to the rendered revision, if every object is admitted.

    Raises:
        GateFailedError: a rule or the API server refuses an object; nothing was written.
        OwnershipError: an object of that name belongs to somebody else; nothing was written.
    """
    revision = read_revision(workspace, workspace.require_head(MANIFESTS).details["revision"])
    cluster = None if workspace.mode == "render" else workspace.open_cluster()
    evidence = admit(workspace, workspace.component, cluster, revision)
    digest = write_evidence(workspace.settings, workspace.store, evidence)
    verdict = judge(workspace, revision, evidence, None)
    if cluster is None:
        return _outcome(workspace, revision, RENDERED, digest, verdict)
    if workspace.mode == "dry_run":
        return _outcome(workspace, revision, "dry run: nothing was written", digest, verdict)
    target = ManifestTarget(workspace, cluster)

    def judged(live: ReleaseEntry | None) -> road.Judged:
        del live  # each object is admitted or not, whatever is live
        found = read_evidence(workspace.store, digest)
        return road.Judged(judge(workspace, revision, found, None), digest)

    candidate = Candidate(workspace.name, revision.digest, revision.digest, digest)
    released = road.release(
        workspace, candidate, target, judged, allow_rolled_back=allow_rolled_back
    )
    live = read_revision(workspace, released.live.target)
    return _outcome(workspace, live, released.status, digest, verdict, target.pruned)


def roll_back_applied(
    workspace: AppliedWorkspace, *, to_revision: str | None = None, reason: str = ""
) -> ReleaseEntry:
    """Bring the cluster back to an earlier revision; safe to repeat after a kill.

    Raises:
        UnknownNameError: there is nothing to go back to; lists the choices.
    """
    target = ManifestTarget(workspace, workspace.open_cluster())
    return road.roll_back(workspace, target, to_revision=to_revision, reason=reason)


def find_drift(workspace: AppliedWorkspace) -> tuple[ObjectDrift, ...]:
    """How the cluster differs from the revision that the log says is live; empty: it does not."""
    revision = live_revision(workspace)
    if revision is None:
        return ()
    cluster = workspace.open_cluster()
    found = [_drift(cluster, revision, manifest) for manifest in revision.stamped]
    keys = set(revision.keys)
    for live in owned(workspace, cluster, revision):
        key = key_of(live)
        if key not in keys:
            found.append(ObjectDrift(key, DriftKind.EXTRA))
    return tuple(one for one in found if one is not None)


class ManifestTarget:
    """The release target: what a cluster, or a folder for Argo CD, holds of this component."""

    def __init__(self, workspace: AppliedWorkspace, cluster: Cluster) -> None:
        self._workspace = workspace
        self._cluster = cluster
        self.pruned = Pruned((), ())

    def pointed(self) -> str | None:
        """The revision that was applied whole; None before the first, or while one is applied."""
        store = self._workspace.store
        return store.get(LIVE_KEY)[0].decode() if store.exists(LIVE_KEY) else None

    def point(self, target: str) -> None:
        """Apply a revision and prune what is not of it; idempotent."""
        workspace = self._workspace
        revision = read_revision(workspace, target)
        if self.pointed() != target:
            workspace.store.delete([LIVE_KEY])  # a killed run leaves no claim that it is whole
        if workspace.mode == "folder":
            from platform_pipelines.stages.road.folder import write_folder

            write_folder(workspace.apply.folder or "", workspace.name, revision)
        else:
            check_owners(self._cluster, revision)
            for manifest in revision.stamped:
                workspace.deadline.check(f"applying {key_of(manifest)}")
                self._cluster.apply(manifest, force=True)
            self.pruned = prune(workspace, self._cluster, revision)
        workspace.store.put(LIVE_KEY, target.encode())

    def existing(self) -> Collection[str]:
        """Revisions whose manifests are kept."""
        return stored_revisions(self._workspace)


def check_owners(cluster: Cluster, revision: ManifestRevision) -> None:
    """That nothing of these names belongs to somebody else, before anything is written.

    Raises:
        OwnershipError: names the first object that does, and whose it is.
    """
    for manifest in revision.manifests:
        live = cluster.get(key_of(manifest))
        if live is not None and not is_own(live, revision):
            labels = _labels(live)
            raise OwnershipError(
                f"{key_of(manifest)} exists and is not ours",
                where=revision.owner,
                stored=f"{OWNER}={labels.get(OWNER)}, {INSTALLATION}={labels.get(INSTALLATION)}",
                expected=f"{OWNER}={revision.owner}, {INSTALLATION}={revision.installation}",
                remedy="give it another name, delete it, or label it as ours to hand it over",
            )


def prune(workspace: AppliedWorkspace, cluster: Cluster, revision: ManifestRevision) -> Pruned:
    """Delete what carries our labels, was applied by us, and is not of this revision."""
    keys, deleted, kept = set(revision.keys), list[str](), list[str]()
    gone = [one for one in owned(workspace, cluster, revision) if key_of(one) not in keys]
    for live in gone:
        workspace.deadline.check(f"pruning {key_of(live)}")
        if key_of(live).kind in NEVER_PRUNED or not is_managed(live):
            kept.append(str(key_of(live)))
        else:
            cluster.delete(live)
            deleted.append(str(key_of(live)))
    return Pruned(tuple(deleted), tuple(kept))


def owned(
    workspace: AppliedWorkspace, cluster: Cluster, revision: ManifestRevision
) -> list[Manifest]:
    """Live objects with this component's labels, of every kind that it ever rendered."""
    kinds = {(key.api_version, key.kind) for key in revision.keys}
    for digest in stored_revisions(workspace):
        kinds |= {(k.api_version, k.kind) for k in read_revision(workspace, digest).keys}
    labels = {MANAGED_BY: MANAGER, OWNER: revision.owner, INSTALLATION: revision.installation}
    return list(cluster.owned(kinds, labels))


def is_own(live: Manifest, revision: ManifestRevision) -> bool:
    """Whether an object carries this component's labels."""
    labels = _labels(live)
    return (labels.get(OWNER), labels.get(INSTALLATION)) == (revision.owner, revision.installation)


def judge(
    workspace: AppliedWorkspace,
    revision: ManifestRevision,
    evidence: Evidence | None,
    baseline: str | None,
) -> Verdict:
    """The gate's verdict: every object is admitted, and the component's own rules hold."""
    conditions = conditions_of(asks=workspace.mode != "render")
    expected = Expected(workspace.component, revision.digest, baseline, revision.digest, conditions)
    return decide(evidence, POLICY, expected, rules=workspace.rules(workspace, revision))


def live_revision(workspace: AppliedWorkspace) -> ManifestRevision | None:
    """What the release log says is live; None before the first."""
    live = current(release_log(workspace.store, workspace.name).entries())
    return None if live is None else read_revision(workspace, live.target)


def read_revision(workspace: AppliedWorkspace, digest: str) -> ManifestRevision:
    """The manifests of a revision.

    Raises:
        IntegrityError: they are not what their digest says.
    """
    key = manifests_key(digest)
    data, _ = workspace.store.get(key)
    return revision_from_json(data, where=f"{workspace.store.url}/{key}")


def stored_revisions(workspace: AppliedWorkspace) -> list[str]:
    """Digests of the revisions that are kept, sorted."""
    listed = (one.key for batch in workspace.store.list_objects(MANIFESTS) for one in batch)
    return sorted(key.rpartition("/")[2].removesuffix(".json") for key in listed)


def manifests_key(digest: str) -> str:
    """Where the manifests of a revision are."""
    return f"{MANIFESTS}/{digest}.json"


def _drift(cluster: Cluster, revision: ManifestRevision, manifest: Manifest) -> ObjectDrift | None:
    key = key_of(manifest)
    live = cluster.get(key)
    if live is None:
        return ObjectDrift(key, DriftKind.MISSING)
    if not is_own(live, revision):
        return ObjectDrift(key, DriftKind.FOREIGN)
    return drift_of(key, cluster.apply(manifest, dry_run=True, force=True), live)


def _labels(manifest: Manifest) -> Mapping[str, Any]:
    return (manifest.get("metadata") or {}).get("labels") or {}


def _outcome(
    workspace: AppliedWorkspace,
    revision: ManifestRevision,
    status: str,
    evidence: str,
    verdict: Verdict,
    pruned: Pruned = Pruned((), ()),
) -> StageOutcome:
    log = release_log(workspace.store, workspace.name).entries()
    snapshot = Snapshot(
        stage=APPLIED,
        settings=revision.digest,
        shards=(),
        counts={"objects": len(revision.manifests), "pruned": len(pruned.deleted)},
        details={
            "revision": revision.digest,
            "mode": workspace.mode,
            "status": status,
            "evidence": evidence,
            "verdict": str(verdict.status),
            "reasons": [f"{r.status} {r.code}: {r.message}" for r in verdict.reasons],
            "pruned": list(pruned.deleted),
            "kept": list(pruned.kept),
        },
    )
    return StageOutcome(snapshot, is_changed=status == "released", facts={"log": log})
