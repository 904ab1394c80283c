"""How attributes of a component are described to `dg`, and how a declaration is loaded.

What can be declared stands in one place, the schema in `core`: a component has its attributes from
there. Their types are loose here, because a value may be a template; loading checks what it gave.
"""

from collections.abc import Iterable, Mapping
from datetime import date
from decimal import Decimal
from functools import cache, reduce
from operator import or_
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin

import dagster as dg
from pydantic import BaseModel, ConfigDict, Field, create_model, model_validator
from pydantic.fields import FieldInfo

from platform_pipelines.core.road.declarations import Spec, parse_spec
from platform_pipelines.core.road.declared_values import named_golden_set, shown
from platform_pipelines.errors import ConfigurationError
from platform_pipelines.gateways.obstore_store import open_store

Declared = TypeVar("Declared", bound=Spec)

_PLAIN: dict[Any, Any] = {
    **{kind: kind for kind in (str, int, float, bool, type(None))}, Decimal: Any, date: str,
}  # fmt: skip


def nested(model: type[BaseModel], text: str, *, many: bool = False) -> dict[str, Any]:
    """Arguments of `Field` for a nested attribute: every field, what it means, its default.

    `many`: the attribute holds several of them, by name or in a list.

    The names stand in the schema, so that `dg check yaml` and editors refuse a misspelt one; values
    do not, because a value may be a template, and loading checks what the template gave.
    """
    lines = [text]
    for name, field in model.model_fields.items():
        default = "required" if field.is_required() else f"default {field.default!r}"
        lines.append(f"- `{name}`: {field.description} ({default})")
    if many:
        return described("\n".join(lines))
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

    @property
    def given(self) -> dict[str, Any]:
        """The attributes that were written down."""
        return self.model_dump(exclude_unset=True)


def declaring(
    spec: type[Spec],
    told: Mapping[str, str] | None = None,
    *,
    keys: Mapping[str, Iterable[str]] | None = None,
) -> type[Declaring]:
    """The base of a component whose attributes are the fields of `spec`.

    `told` says of single attributes what their descriptions in the schema do not; `keys` are those
    that a mapping may have.
    """
    fields = {n: _attribute(f, (told or {}).get(n)) for n, f in spec.model_fields.items()}
    for name, allowed in (keys or {}).items():
        fields[name][1].json_schema_extra |= names_of(allowed)
    return create_model(f"{spec.__name__}Attributes", __base__=Declaring, **fields)  # pyright: ignore[reportCallIssue, reportArgumentType]


def _attribute(field: FieldInfo, told: str | None) -> tuple[Any, Any]:
    """The type and the `Field` of an attribute; an empty value of one that has a default is it."""
    loose, inner = _loose(field.annotation), _model_in(field.annotation)
    text = told or field.description or ""
    if inner is not None:
        text = f"{text[:1].upper()}{text[1:].removesuffix('.')}."
        arguments = nested(inner, text, many=_is_collection(field.annotation))
    else:
        arguments = described(text)
    if field.is_required():
        return loose, Field(**arguments)
    if loose in (str, int, float, bool):
        return loose, Field(default=field.default, **arguments)
    return loose | None, Field(default=None, **arguments)


def _loose(annotation: Any) -> Any:
    """What a value of this type looks like in YAML."""
    kind, inner = get_origin(annotation), get_args(annotation)
    if kind is Annotated:
        return _loose(inner[0])
    if kind in (Union, UnionType):
        return reduce(or_, (_loose(one) for one in inner))
    if kind is dict:
        return dict[str, _loose(inner[1])]
    if kind in (tuple, list):
        return list[_loose(inner[0])]
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return dict[str, Any]
    return _PLAIN.get(annotation, str if kind is Literal else Any)


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """The schema of a nested attribute."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next(filter(None, map(_model_in, get_args(annotation))), None)


def _is_collection(annotation: Any) -> bool:
    return any(get_origin(one) in (dict, tuple) for one in (annotation, *get_args(annotation)))


def declared(
    model: type[Declared], attributes: dict[str, Any], path: Path, *, noun: str
) -> Declared:
    """The checked declaration of a component.

    Raises:
        ConfigurationError: names the field, its value and what is allowed.
    """
    where = str(folder_of(path) / "defs.yaml")
    return parse_spec(model, written(model, attributes), where=where, noun=noun)


def folder_of(path: Path) -> Path:
    """The folder of a declaration."""
    return path if path.is_dir() else path.parent


def written(model: type[Spec], attributes: dict[str, Any]) -> dict[str, Any]:
    """Without what was left empty, where empty means nothing but the default."""
    fields = model.model_fields
    return {
        name: value
        for name, value in attributes.items()
        if value is not None or name not in fields or _may_be_none(fields[name])
    }


def _may_be_none(field: FieldInfo) -> bool:
    return field.is_required() or type(None) in get_args(field.annotation)


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
