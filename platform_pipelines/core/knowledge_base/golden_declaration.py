"""What a person declares of a golden set that has a name of its own."""

from pydantic import Field, field_validator

from platform_pipelines.core.road.declarations import NAME_MAX_CHARACTERS, NAME_PATTERN, Spec
from platform_pipelines.core.road.declared_values import text_problem
from platform_pipelines.core.road.refreshing import owner_problem


class GoldenSetSpec(Spec):
    """A golden set: questions that people keep in a file, a folder or a bucket."""

    name: str = Field(
        pattern=NAME_PATTERN,
        max_length=NAME_MAX_CHARACTERS,
        description="lower-case letters, digits and single underscores",
    )
    url: str = Field(
        min_length=1,
        description="a file (.jsonl, .json, .csv), or a folder or `s3://bucket/prefix` of such "
        "files; relative to the YAML",
    )
    knowledge_base: str | None = Field(
        default=None,
        pattern=NAME_PATTERN,
        description="whose documents the references are looked up in, to report stale ones",
    )
    language: str | None = Field(
        default=None,
        pattern=r"^[a-z]{2,3}$",
        description="of questions that name none; `none` tells Korean from English by its letters",
    )
    description: str = Field(default="", description="one sentence for the asset pages")
    owner: str = Field(default="team:platform", description="`team:name` or an e-mail address")
    timeout_minutes: int = Field(default=30, ge=1, description="a run older than this is ended")

    @field_validator("url")
    @classmethod
    def _says_where(cls, url: str) -> str:
        if problem := text_problem(url):
            raise ValueError(problem)
        return url

    @field_validator("owner")
    @classmethod
    def _reachable(cls, owner: str) -> str:
        if problem := owner_problem(owner):
            raise ValueError(problem)
        return owner
