"""The table of what has gone from the APIs that are rendered to, as the rules read it."""

from functools import cache
from importlib.resources import files
from typing import Any

from platform_pipelines.core.road.manifest_policies import Replacement
from platform_pipelines.errors import IntegrityError

TABLE = "api_replacements.yaml"


@cache
def known_replacements() -> tuple[Replacement, ...]:
    """Every row.

    Raises:
        IntegrityError: the table is not one.
    """
    import yaml

    text = files("platform_pipelines.tables").joinpath(TABLE).read_text("utf-8")
    try:
        return tuple(_row(one) for one in yaml.safe_load(text))
    except (yaml.YAMLError, KeyError, TypeError, AttributeError) as error:
        raise IntegrityError(f"not a table of replacements: {error}", where=TABLE) from error


def _row(row: dict[str, Any]) -> Replacement:
    path = row.get("path", "")
    steps = path.split(".") if isinstance(path, str) else path
    return Replacement(
        api_version=row.get("api_version", ""),
        kind=row.get("kind", ""),
        path=tuple(step for step in steps if step),
        value=row.get("value", ""),
        instead=row["instead"],
        since=row["since"],
        metric=row.get("metric", ""),
        text=row.get("text", ""),
        is_ignored=bool(row.get("ignored", False)),
    )
