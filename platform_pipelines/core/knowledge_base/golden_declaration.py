"""What a person declares of a golden set that has a name of its own."""

from pydantic import Field

from platform_pipelines.core.road.declarations import NAME_PATTERN, Text, TimedSpec


class GoldenSetSpec(TimedSpec):
    """A golden set: questions that people keep in a file, a folder or a bucket."""

    url: Text = Field(
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
    timeout_minutes: int = Field(default=30, ge=1, description="a run older than this is ended")
