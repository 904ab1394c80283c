"""What a check says of the alias `champion`, wherever it is looked at."""

import dagster as dg

FOLLOWS = "champion_follows_the_log"
DESCRIPTION = "Did the alias `champion` name what the release log says?"


def follows_result(key: dg.AssetKey, was: str | None) -> dg.AssetCheckResult:
    """Found and put right: the check tells that somebody moved the alias past every gate.

    `was` is what the alias named when that was not what the log says.
    """
    told = "it named what the log says" if was is None else f"it named {was}; it was put right"
    return dg.AssetCheckResult(
        check_name=FOLLOWS,
        asset_key=key,
        passed=was is None,
        severity=dg.AssetCheckSeverity.WARN,
        description=told,
        metadata={"alias_was": was or "as the log says"},
    )
