"""How attributes of a component are described to `dg`, and how a declaration is loaded."""

from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import dagster as dg
from pydantic import BaseModel, ConfigDict, model_validator

from platform_pipelines.core.road.declarations import Spec, parse_spec
from platform_pipelines.core.road.declared_values import named_golden_set, shown
from platform_pipelines.errors import ConfigurationError
from platform_pipelines.gateways.obstore_store import open_store

Declared = TypeVar("Declared", bound=Spec)


def nested(model: type[BaseModel], text: str) -> dict[str, Any]:
    """Arguments of `Field` for a nested attribute: every field, what it means, its default.

    The names stand in the schema, so that `dg check yaml` and editors refuse a misspelt one; values
    do not, because a value may be a template, and loading checks what the template gave.
    """
    lines = [text]
    for name, field in model.model_fields.items():
        default = "required" if field.is_required() else f"default {field.default!r}"
        lines.append(f"- `{name}`: {field.description} ({default})")
    properties = {n: {"description": f.description} for n, f in model.model_fields.items()}
    return described("\n".join(lines), properties=properties, **names_of(properties))


def described(text: str, **schema: Any) -> dict[str, Any]:
    """Arguments of `Field`. The schema of an attribute with a default has its text only this way:

    Dagster (1.13, `derive_model_type`) drops a `description` beside a default.
    """
    return {"description": text, "json_schema_extra": {"description": text, **schema}}


class Declaring(dg.Component, dg.Model, dg.Resolvable):
    """Base of components: `dg check yaml` says which attributes there are, not only which not."""

    @classmethod
    def model(cls) -> type[BaseModel]:
        """Dagster's schema, whose refusal of another attribute does not say what is allowed."""
        return _with_known_attributes(super().model())


def declared(
    model: type[Declared], attributes: dict[str, Any], path: Path, *, noun: str
) -> Declared:
    """The checked declaration of a component.

    Raises:
        ConfigurationError: names the field, its value and what is allowed.
    """
    folder = path if path.is_dir() else path.parent
    return parse_spec(model, attributes, where=str(folder / "defs.yaml"), noun=noun)


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


def golden_set_url(value: str, folder: Path, *, field: str) -> str:
    """As `absolute_url`; `golden_set:NAME`, a declared one, stays as it is.

    Raises:
        ConfigurationError: neither; names the field and what is allowed.
    """
    return value if named_golden_set(value) else absolute_url(value, folder, field=field)


def names_of(allowed: Iterable[str]) -> dict[str, Any]:
    """Of an object's keys. `additionalProperties` would refuse too, but not say what is allowed."""
    return {"propertyNames": {"enum": list(allowed)}}


class _KnownAttributes(BaseModel):
    """Refuses what is not in the schema, as Dagster does, and says what is."""

    @model_validator(mode="before")
    @classmethod
    def _refuse_others(cls, values: Any) -> Any:
        given: dict[str, Any] = values if isinstance(values, dict) else {}
        unknown = [name for name in given if name not in cls.model_fields]
        if unknown:
            told = ", ".join(f"{name} = {shown(given[name], name=name)}" for name in unknown)
            raise ValueError(f"{told}: no such attribute; allowed: {', '.join(cls.model_fields)}")
        return values


@cache
def _with_known_attributes(derived: type[BaseModel]) -> type[BaseModel]:
    extra = names_of(derived.model_fields)
    config = ConfigDict(json_schema_extra=extra, hide_input_in_errors=True)
    members = {"__module__": __name__, "model_config": config}
    return type(derived.__name__, (_KnownAttributes, derived), members)
