"""Whoever is declared is told when what is live fails its evaluation."""

from collections.abc import Mapping
from typing import Any

from platform_pipelines.core.knowledge_base.answer_declaration import WEBHOOK
from platform_pipelines.core.road.evidence import Evidence
from platform_pipelines.core.road.verdicts import Status, Verdict
from platform_pipelines.errors import ConfigurationError, PlatformError
from platform_pipelines.gateways.notifications import publish, send_webhook
from platform_pipelines.gateways.object_store import StoreOptions
from platform_pipelines.stages.knowledge_base.workspace import Workspace
from platform_pipelines.stages.road.access import store_options

SENT = "sent"


def tell_people(
    workspace: Workspace, evidence: Evidence, verdict: Verdict, *, rolled_back_to: str
) -> Mapping[str, str]:
    """Who was told of a failure, and what came of it. What cannot be sent loses no evaluation."""
    declared = workspace.spec.evaluation
    if declared is None or verdict.status is not Status.FAIL:
        return {}
    record = message(workspace, evidence, verdict, rolled_back_to=rolled_back_to)
    return {who: _told(workspace, who, record) for who in declared.notify}


def message(
    workspace: Workspace, evidence: Evidence, verdict: Verdict, *, rolled_back_to: str
) -> dict[str, Any]:
    """What is sent: `text` for people, the rest for programs."""
    reasons = [r.message for r in verdict.reasons if r.status is Status.FAIL]
    done = f" Rolled back to {rolled_back_to[:12]}." if rolled_back_to else ""
    text = f"{workspace.name}: what is live fails its evaluation: {'; '.join(reasons)}.{done}"
    return {
        "text": text,
        "knowledge_base": workspace.name,
        "verdict": str(verdict.status),
        "reasons": reasons,
        "revision": evidence.revision,
        "evidence": evidence.digest,
        "rolled_back_to": rolled_back_to or None,
        "environment": workspace.settings.environment,
        "run": workspace.run_id or None,
    }


def _told(workspace: Workspace, who: str, record: Mapping[str, Any]) -> str:
    settings = workspace.settings
    try:
        if who != WEBHOOK:
            subject = f"{workspace.name}: evaluation failed"
            publish(who, subject, record, StoreOptions(**store_options(settings)))
        elif settings.notify_webhook is None:
            raise ConfigurationError("PLATFORM_NOTIFY_WEBHOOK is not set")
        else:
            send_webhook(settings.notify_webhook.value, record)
    except PlatformError as error:
        workspace.progress(f"{who} could not be told: {error.what}")
        return f"not sent: {error.what}"
    return SENT
