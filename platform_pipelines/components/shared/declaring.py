"""What declared components have in common: described attributes, addresses beside the YAML."""

from pathlib import Path
from typing import Any

from pydantic import BaseModel

from platform_pipelines.errors import ConfigurationError
from platform_pipelines.gateways.obstore_store import open_store


def nested(model: type[BaseModel], text: str) -> dict[str, Any]:
    """Description and schema of a nested attribute: every field, what it means, its default."""
    lines = [text]
    for name, field in model.model_fields.items():
        default = "required" if field.is_required() else f"default {field.default!r}"
        lines.append(f"- `{name}`: {field.description} ({default})")
    properties = {n: {"description": f.description} for n, f in model.model_fields.items()}
    return described(
        "\n".join(lines), properties=properties, propertyNames={"enum": list(properties)}
    )


def described(text: str, **schema: Any) -> dict[str, Any]:
    """Arguments of `Field`. Dagster (1.13) drops a plain `description` beside a default."""
    return {"description": text, "json_schema_extra": {"description": text, **schema}}


def absolute_url(value: str, folder: Path, *, field: str) -> str:
    """A URL, or a path relative to the declaring folder as one.

    Raises:
        ConfigurationError: neither; names the field and what is allowed.
    """
    where = f"{field} in {folder / 'defs.yaml'}"
    if "://" in value:
        open_store(value, named=where)  # touches nothing; refuses what is no URL of a store
        return value
    if value.startswith(("~", "$")):
        raise ConfigurationError(
            f"{value!r} is not expanded here",
            where=where,
            expected="a URL, or a path relative to the declaration",
            remedy='use "{{ env.NAME }}" for a value of the environment',
        )
    return (folder / value).resolve().as_uri()
