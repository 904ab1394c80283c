"""The stage `tiers`: labelled requests through the rendered gateway; how often its tier is wrong.

The same samples are decided as `serve` decides them. A policy that was judged on these samples is
not judged again; applying reads the stored evidence itself.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from platform_pipelines.core.model_catalogue.declaration import ModelCatalogueSpec
from platform_pipelines.core.model_catalogue.litellm import proxy_config
from platform_pipelines.core.model_catalogue.tiering import policy_of
from platform_pipelines.core.road.evidence import Evidence, SampleRow, make_evidence
from platform_pipelines.core.road.gate import decide
from platform_pipelines.core.road.manifests import ManifestRevision
from platform_pipelines.core.road.snapshot import Snapshot
from platform_pipelines.core.road.tiers import (
    COMPONENT,
    METRICS,
    TierPolicy,
    TierSamples,
    TiersSpec,
    parse_samples,
    sample_row,
)
from platform_pipelines.core.road.verdicts import (
    Expected,
    GatePolicy,
    Reason,
    Rule,
    Status,
    Verdict,
)
from platform_pipelines.gateways.embedding_http import Endpoint, JsonClient
from platform_pipelines.gateways.tiered_model import choose
from platform_pipelines.stages.model_catalogue.rehearsal import (
    REQUEST_SECONDS,
    Gateway,
    gateway_of,
)
from platform_pipelines.stages.road.applied import AppliedWorkspace
from platform_pipelines.stages.road.asking import read_text
from platform_pipelines.stages.road.evidence import read_evidence, write_evidence
from platform_pipelines.stages.road.outcome import StageOutcome
from platform_pipelines.stages.road.workspace import Workspace, read_head

STAGE = "tiers"
TIER_HEADER = "x-litellm-complexity-router-tier"
ATTEMPTS = 3


def refresh_tiers(workspace: AppliedWorkspace, spec: ModelCatalogueSpec) -> StageOutcome:
    """Decide every sample at the gateway and as `serve` does, and judge.

    Raises:
        UnavailableError: a program does not start. ConfigurationError: a sample is wrong.
    """
    tiers, policy = _declared(spec)
    samples = load_samples(workspace, tiers)
    head, version = workspace.head(STAGE)
    found = _known(workspace, spec, samples)
    if head is not None and found is not None:
        return StageOutcome(head, is_changed=False, facts=_facts(spec, found, samples))
    config = proxy_config(spec)
    with gateway_of(workspace.settings, spec, config, progress=workspace.progress) as gateway:
        rows = _decide_all(workspace, gateway, policy, samples)
    evidence = make_evidence(
        Evidence(
            component=COMPONENT, revision=policy.digest, baseline=None,
            golden_digest=samples.digest, conditions=_conditions(spec), metrics=METRICS,
            samples=len(rows), rows=rows,
        )
    )  # fmt: skip
    digest = write_evidence(workspace.settings, workspace.store, evidence)
    verdict = judge(spec, evidence, samples)
    snapshot = Snapshot(
        stage=STAGE,
        settings=policy.digest,
        shards=(),
        counts={"samples": len(rows)},
        details={"evidence": digest, "verdict": str(verdict.status), "samples": samples.digest},
    )
    with workspace.writing(STAGE, version) as held:
        held.move_head(snapshot, version)
    facts = _facts(spec, evidence, samples)
    return StageOutcome.changed(snapshot, head, {"samples": len(rows)}, facts)


def judge(spec: ModelCatalogueSpec, evidence: Evidence | None, samples: TierSamples) -> Verdict:
    """The gate: at the gateway and in `serve` no more are wrong than declared."""
    tiers, policy = _declared(spec)
    allowed = GatePolicy(
        floors={metric.name: 1.0 - tiers.maximum_error for metric in METRICS},
        coverage_floor=1.0,
        minimum_samples=tiers.minimum_samples,
        sample_noun="labelled requests",
    )
    expected = Expected(COMPONENT, policy.digest, None, samples.digest, _conditions(spec))
    return decide(evidence, allowed, expected)


def rules_of(
    spec: ModelCatalogueSpec, workspace: AppliedWorkspace, revision: ManifestRevision
) -> list[Rule]:
    """What applying asks of a catalogue beside its admission: that its tiers were judged."""
    del revision  # its tiers are those of the declaration that it was rendered of
    return [] if spec.tiers is None else [partial(_tier_rule, workspace, spec)]


def load_samples(workspace: Workspace, tiers: TiersSpec) -> TierSamples:
    """The labelled requests.

    Raises:
        ConfigurationError: one is wrong. SourceNotFoundError: there is no such file.
    """
    return parse_samples(read_text(workspace.settings, tiers.samples), where=tiers.samples)


def _tier_rule(
    workspace: AppliedWorkspace, spec: ModelCatalogueSpec, _: Evidence
) -> Sequence[Reason]:
    tiers, _policy = _declared(spec)
    samples = load_samples(workspace, tiers)
    verdict = judge(spec, _known(workspace, spec, samples), samples)
    return [
        replace(one, message=f"tiers: {one.message}")
        for one in verdict.reasons
        if one.status is not Status.PASS
    ]


def _declared(spec: ModelCatalogueSpec) -> tuple[TiersSpec, TierPolicy]:
    policy = policy_of(spec)
    assert spec.tiers is not None
    assert policy is not None
    return spec.tiers, policy


def _conditions(spec: ModelCatalogueSpec) -> dict[str, Any]:
    """Rules answer alike whoever serves; of a classifier it matters which model it was."""
    tiers = spec.tiers
    if tiers is None or tiers.by == "rules":
        return {"by": "rules"}
    places = spec.models[tiers.classifier or ""].deployments
    asked = [f"{one.provider}/{one.model}" for one in places]
    is_here = spec.rehearsal.upstream == "small_model"
    return {"by": "model", "classifier": ["small_model"] if is_here else asked}


def _known(
    workspace: AppliedWorkspace, spec: ModelCatalogueSpec, samples: TierSamples
) -> Evidence | None:
    """The stored evidence, if it is about this policy and these samples."""
    head = read_head(workspace.store, STAGE)
    found = read_evidence(workspace.store, head.details["evidence"]) if head else None
    if found is None:
        return None
    about = (found.revision, found.golden_digest, dict(found.conditions))
    return (
        found if about == (_declared(spec)[1].digest, samples.digest, _conditions(spec)) else None
    )


def _decide_all(
    workspace: Workspace, gateway: Gateway, policy: TierPolicy, samples: TierSamples
) -> tuple[SampleRow, ...]:
    endpoint = Endpoint(
        url=gateway.url, api_key=gateway.key, timeout_seconds=REQUEST_SECONDS,
        max_attempts=ATTEMPTS, connections=1,
    )  # fmt: skip
    client = JsonClient(endpoint)
    rows: list[SampleRow] = []
    try:
        for number, sample in enumerate(samples.samples, start=1):
            workspace.deadline.check(f"sample {sample.id}")
            workspace.progress(f"tiers: sample {number} of {len(samples.samples)}")
            here = choose(policy, sample.text, client).tier
            there = _tier_there(gateway, policy, sample.text)
            rows.append(sample_row(sample, gateway=there, serve=here))
    finally:
        client.close()
    return tuple(rows)


def _tier_there(gateway: Gateway, policy: TierPolicy, text: str) -> str | None:
    """The tier that the gateway says it chose; None: the request failed, or none was chosen."""
    answer = gateway.ask(policy.name, text, maximum_tokens=1)
    headers: Mapping[str, str] = answer.headers
    tier = headers.get(TIER_HEADER) if answer.status_code == 200 else None
    return tier.lower() if tier else None


def _facts(spec: ModelCatalogueSpec, evidence: Evidence, samples: TierSamples) -> dict[str, Any]:
    return {"evidence": evidence, "verdict": judge(spec, evidence, samples)}
