"""Declarations of components: a frozen schema, and messages that name field, value and allowed.

For every component whose declaration is one pydantic model.
"""

from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal, TypeVar, get_args, get_origin

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from platform_pipelines.core.road.declared_values import server_problem, shown, text_problem
from platform_pipelines.core.road.identity import digest_json
from platform_pipelines.core.road.refreshing import cron_problem, owner_problem, timezone_problem
from platform_pipelines.errors import ConfigurationError

NAME_PATTERN = r"^[a-z](?:_?[a-z0-9])*$"
NAME_MAX_CHARACTERS = 40
DNS_LABEL = r"^[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?$"

Model = TypeVar("Model", bound=BaseModel)
Value = TypeVar("Value")


def refusing(problem_of: Callable[[Value], str]) -> AfterValidator:
    """A validator of a field: refuses a value by what is wrong with it."""

    def check(value: Value) -> Value:
        if problem := problem_of(value):
            raise ValueError(problem)
        return value

    return AfterValidator(check)


Cron = Annotated[str, refusing(cron_problem)]
Timezone = Annotated[str, refusing(timezone_problem)]
Owner = Annotated[str, refusing(owner_problem)]
Server = Annotated[str, refusing(server_problem)]
Text = Annotated[str, refusing(text_problem)]


class Spec(BaseModel):
    """Base of everything declared: frozen, and no field that is not known."""

    # The schema's own error stands under ours in a traceback: it must not show a password either.
    model_config = ConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=False, hide_input_in_errors=True
    )


class ManifestSpec(Spec):
    """Of what becomes Kubernetes objects, where a quantity is a text.

    Dagster's templates make the text "16" a number.
    """

    model_config = ConfigDict(coerce_numbers_to_str=True)


class ApplySpec(ManifestSpec):
    """How rendered objects reach the cluster."""

    mode: Literal["auto", "render", "dry_run", "apply", "folder"] = Field(
        default="auto",
        description="`apply`: server-side apply; `dry_run`: the server checks and writes nothing; "
        "`render`: no server is asked; `folder`: YAML files for Argo CD, which applies them; "
        "`auto`: `apply` in production (PLATFORM_ENVIRONMENT), else `dry_run`, or `render` where "
        "no cluster is named",
    )
    folder: str | None = Field(default=None, description="`folder` only: where the files go")
    drift_cron: Cron = Field(default="*/15 * * * *", description="when drift is looked for")
    timezone: Timezone = Field(default="UTC", description="of that cron, an IANA name")


class NamedSpec(Spec):
    """What every component has."""

    name: str = Field(
        pattern=NAME_PATTERN,
        max_length=NAME_MAX_CHARACTERS,
        description="lower-case letters, digits and single underscores",
    )
    description: str = Field(default="", description="one sentence for the asset pages")
    owner: Owner = Field(default="team:platform", description="`team:name` or an e-mail address")

    @property
    def digest(self) -> str:
        """Of the whole declaration: two equal declarations have one."""
        return digest_json(self.model_dump(mode="json"))


class TimedSpec(NamedSpec):
    """What every component has whose runs are ended when they take too long."""

    timeout_minutes: int = Field(default=60, ge=1, description="a run older than this is ended")


class ScheduledSpec(TimedSpec):
    """What every component has that runs by the clock."""

    cron: Cron = Field(default="0 0 * * *", description="when it runs; off until switched on")
    timezone: Timezone = Field(default="UTC", description="of that cron, an IANA name")


class ComponentSpec(NamedSpec, ManifestSpec):
    """What every component that is applied to a cluster has."""

    apply: ApplySpec = Field(default=ApplySpec(), description="how it reaches the cluster")

    @property
    def slug(self) -> str:
        """The name as a cluster may have it."""
        return self.name.replace("_", "-")


def parse_spec(model: type[Model], values: Mapping[str, Any], *, where: str, noun: str) -> Model:
    """A checked declaration.

    Raises:
        ConfigurationError: lists every wrong field with its value and what is allowed.
    """
    try:
        return model.model_validate(values)
    except ValidationError as error:
        problems = [_problem(model, dict(one)) for one in error.errors(include_url=False)]
        raise ConfigurationError(
            f"the declaration of {noun} is wrong:\n" + "\n".join(f"    {p}" for p in problems),
            where=where,
            remedy="correct the fields above; `dg list components` shows all of them",
        ) from error


def _problem(model: type[BaseModel], details: dict[str, Any]) -> str:
    location: tuple[int | str, ...] = details["loc"]
    path = ".".join(str(part) for part in location) or "(whole declaration)"
    message = str(details["msg"]).removeprefix("Value error, ")
    if details["type"] == "missing":
        return f"{path}: is missing; allowed: {_allowed(model, location)}"
    if details["type"] == "extra_forbidden":
        message = "no such field"
    given = shown(details["input"], name=(location or ("",))[-1])
    return f"{path} = {given}: {message}; allowed: {_allowed(model, location)}"


def _allowed(model: type[BaseModel], location: tuple[int | str, ...]) -> str:
    """What the schema says of a field; of an unknown one, its siblings' names."""
    told, is_key = "", False
    for part in location:
        if isinstance(part, int) or is_key:  # an item of a list, or a key of a mapping
            is_key = False
            continue
        field = model.model_fields.get(part)
        if field is None:
            return _fields(model)
        inner = _model_in(field.annotation)
        if inner is None:
            return field.description or "see README.md"
        told = field.description or f"a mapping of {_fields(inner)}"
        model, is_key = inner, get_origin(field.annotation) is dict
    return told or _fields(model)


def _fields(model: type[BaseModel]) -> str:
    return ", ".join(sorted(model.model_fields))


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """The model of a field: itself, an item of its list, or a value of its mapping."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for inner in reversed(get_args(annotation)):
        if found := _model_in(inner):
            return found
    return None
