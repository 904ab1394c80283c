"""Declarations as pydantic models: one base class, and one way to say what is wrong with one."""

from collections.abc import Mapping
from typing import Any, TypeVar, cast

from pydantic import BaseModel, ConfigDict, ValidationError

from platform_pipelines.core.road.declared_values import shown
from platform_pipelines.errors import ConfigurationError

NAME_PATTERN = r"^[a-z](?:_?[a-z0-9])*$"
NAME_MAX_CHARACTERS = 40

Declared = TypeVar("Declared", bound=BaseModel)


class Spec(BaseModel):
    """A part of a declaration. Unknown fields are refused; an error never shows the input."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=False, hide_input_in_errors=True
    )


def parse_spec(model: type[Declared], values: Mapping[str, Any], *, where: str) -> Declared:
    """A checked declaration.

    Raises:
        ConfigurationError: lists every wrong field with its value and what is allowed.
    """
    try:
        return model.model_validate(values)
    except ValidationError as error:
        problems = [_problem(dict(one), model) for one in error.errors(include_url=False)]
        told = "\n".join(f"    {problem}" for problem in problems)
        raise ConfigurationError(
            f"the declaration is wrong:\n{told}",
            where=where,
            remedy="correct the fields above; `dg list components` shows all of them",
        ) from error


def _problem(details: dict[str, Any], model: type[BaseModel]) -> str:
    location: tuple[int | str, ...] = details["loc"]
    path = ".".join(str(part) for part in location) or "(whole declaration)"
    message = str(details["msg"]).removeprefix("Value error, ")
    if details["type"] == "missing":
        return f"{path}: is missing; allowed: {_allowed(location, model)}"
    if details["type"] == "extra_forbidden":
        message = "no such field"
    given = shown(details["input"], name=(location or ("",))[-1])
    return f"{path} = {given}: {message}; allowed: {_allowed(location, model)}"


def _allowed(location: tuple[int | str, ...], model: type[BaseModel]) -> str:
    """What the schema says of a field; of an unknown one, its siblings' names."""
    for index, part in enumerate(location):
        field = model.model_fields.get(str(part))
        if field is None:
            break
        annotation: Any = field.annotation
        nested = isinstance(annotation, type) and issubclass(annotation, BaseModel)
        if not nested or index == len(location) - 1:
            return field.description or ", ".join(sorted(model.model_fields))
        model = cast("type[BaseModel]", annotation)
    return ", ".join(sorted(model.model_fields))
