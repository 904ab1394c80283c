"""What a stage tells its caller: the snapshot that now stands, and what changed."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from platform_pipelines.core.road.snapshot import Snapshot


@dataclass(frozen=True, slots=True)
class StageOutcome:
    """`is_changed` is False when the stage read no content and wrote nothing."""

    snapshot: Snapshot
    is_changed: bool
    changes: Mapping[str, int] = field(default_factory=dict[str, int])
    facts: Mapping[str, Any] = field(default_factory=dict[str, Any])  # for the asset's page

    @staticmethod
    def unchanged(snapshot: Snapshot) -> "StageOutcome":
        """The last snapshot stands."""
        return StageOutcome(snapshot, is_changed=False)

    @staticmethod
    def changed(
        snapshot: Snapshot,
        previous: Snapshot | None,
        changes: Mapping[str, int],
        facts: Mapping[str, Any] | None = None,
    ) -> "StageOutcome":
        """A new snapshot; unchanged content with new versions still counts as written."""
        same = previous is not None and previous.digest == snapshot.digest
        return StageOutcome(
            snapshot,
            is_changed=True,
            changes={**changes, "content_changed": int(not same)},
            facts=facts or {},
        )
