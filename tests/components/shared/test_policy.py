"""What every asset is given, in one place."""

from typing import Any

import dagster as dg
import pytest
from dagster._core.errors import DagsterExecutionInterruptedError

from platform_pipelines import errors
from platform_pipelines.components.knowledge_base.policy import (
    CODE_VERSIONS,
    STAGE_SHARE,
    job_tags,
    pool_name,
    stage_policy,
)
from platform_pipelines.components.shared.policy import (
    MAX_RUNTIME_TAG,
    RETRIES,
    TIMEOUT_TAG,
    RunInterruptedError,
    as_failure,
)
from platform_pipelines.components.shared.resource import RESOURCES
from platform_pipelines.core.knowledge_base.chunking.policy import CHUNKER_VERSION
from platform_pipelines.core.knowledge_base.declaration import KnowledgeBaseSpec, parse_declaration
from platform_pipelines.errors import (
    ConfigurationError,
    MemoryBudgetError,
    PlatformError,
    UnavailableError,
)
from platform_pipelines.gateways.e5.model_files import DIGEST as MODEL_DIGEST
from platform_pipelines.gateways.hash_embedder import VERSION as HASH_VERSION
from platform_pipelines.stages.knowledge_base.workspace import STAGES

KINDS = [
    one
    for one in vars(errors).values()
    if isinstance(one, type) and one not in (errors.DocumentError, errors.RateLimitedError)
]


DECLARED = {"name": "handbook", "source": {"url": "docs"}, "owner": "team:search"}


def declared(name: str = "handbook", *, minutes: int = 240) -> KnowledgeBaseSpec:
    given = {**DECLARED, "name": name, "refresh": {"timeout_minutes": minutes}}
    return parse_declaration(given, where="defs.yaml")


@pytest.mark.parametrize("stage", STAGES)
def test_every_stage_gets_owner_group_pool_retries_version_and_time_out(stage: str) -> None:
    """An asset without one of them is found in an outage: nobody owns it, or it never ends."""
    assert stage_policy(declared(), stage).asset_arguments() == {
        "owners": ["team:search"],
        "group_name": "handbook",
        "pool": "knowledge_base_handbook",
        "code_version": CODE_VERSIONS.get(stage, MODEL_DIGEST[:12]),
        "retry_policy": RETRIES,
        "op_tags": {TIMEOUT_TAG: "7200"},
        "required_resource_keys": set(RESOURCES),
    }


def test_dagster_takes_the_arguments() -> None:
    """The names are those of `dg.asset`; they arrive in the asset's spec."""

    @dg.asset(**stage_policy(declared(), "chunks").asset_arguments())
    def chunks() -> None:
        """Nothing."""

    assert isinstance(chunks, dg.AssetsDefinition)
    (spec,) = chunks.specs
    assert (list(spec.owners), spec.group_name, spec.code_version) == (
        ["team:search"],
        "handbook",
        str(CHUNKER_VERSION),
    )
    assert chunks.op.pool == "knowledge_base_handbook"
    assert chunks.op.retry_policy == RETRIES
    assert chunks.op.tags[TIMEOUT_TAG] == "7200"


@pytest.mark.parametrize("minutes", [1, 5, 240, 100_000])
def test_a_stage_ends_before_its_run_is_ended(minutes: int) -> None:
    """A stage that is told to stop says where it was; a run that is killed does not."""
    spec = declared(minutes=minutes)
    seconds = stage_policy(spec, "vectors").timeout_seconds
    assert 0 < seconds == minutes * 60 * STAGE_SHARE
    assert seconds < int(job_tags(spec)[MAX_RUNTIME_TAG]) == minutes * 60


def test_stages_of_one_knowledge_base_share_a_pool_and_of_two_do_not() -> None:
    """A refresh and a rollback must not overlap; two knowledge bases may."""
    pools = {stage_policy(declared(), stage).pool for stage in STAGES}
    assert pools == {pool_name(declared())}
    assert pool_name(declared("other")) not in pools


def test_the_version_of_the_vectors_is_the_declared_embedders() -> None:
    """Dagster marks them stale when the embedder changed, and only then."""

    def version(**embed: Any) -> str:
        spec = parse_declaration({**DECLARED, "embed": embed}, where="defs.yaml")
        return stage_policy(spec, "vectors").code_version

    served = {"provider": "openai", "url": "http://e/v1", "dimension": 8, "window_tokens": 512}
    assert version() == MODEL_DIGEST[:12]
    assert version(provider="hash") == str(HASH_VERSION)
    assert version(**served, model="bge-m3") == "bge-m3"


def test_runs_are_found_by_their_knowledge_base() -> None:
    """The tag is what a person filters by in the web UI."""
    assert job_tags(declared("kb_2"))["platform/knowledge_base"] == "kb_2"


def test_retries_are_few_and_spread() -> None:
    """Without jitter, all knowledge bases come back to a server in the same second."""
    assert RETRIES.max_retries == 3
    assert RETRIES.backoff is dg.Backoff.EXPONENTIAL
    assert RETRIES.jitter is dg.Jitter.PLUS_MINUS


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_retry_is_decided_by_the_error_alone(kind: type[PlatformError]) -> None:
    """A terminal error that is retried wastes an hour; a transient one that is not, a night."""
    error = kind("it broke", remedy="mend it")
    failure = as_failure(error)
    if kind.terminal:
        assert isinstance(failure, dg.Failure)
        assert failure.allow_retries is False
    else:
        assert failure is error


def test_a_failure_says_what_broke_and_what_to_do() -> None:
    """The run's page shows the description; the metadata is what alerts read."""
    error = ConfigurationError("k is 0", where="defs.yaml", expected="1 to 100", remedy="raise it")
    failure = as_failure(error)
    assert isinstance(failure, dg.Failure)
    assert failure.description == f"ConfigurationError: {error}"
    assert {name: value.value for name, value in failure.metadata.items()} == {
        "error": "ConfigurationError",
        "what_to_do": "raise it",
    }


def test_a_failure_without_a_remedy_points_to_its_message() -> None:
    """An empty text as metadata is shown as nothing at all."""
    failure = as_failure(MemoryBudgetError("killed at 1024 MiB"))
    assert isinstance(failure, dg.Failure)
    assert failure.metadata["what_to_do"].value == "see the message"


def attempts_of(error: BaseException) -> int:
    """How often Dagster tries an op that raises this, in a real run under a retry policy."""
    tried: list[int] = []

    @dg.op(retry_policy=dg.RetryPolicy(max_retries=RETRIES.max_retries))
    def broken() -> None:
        tried.append(1)
        raise error

    @dg.job(executor_def=dg.in_process_executor)
    def run() -> None:
        broken()

    try:
        assert not run.execute_in_process(raise_on_error=False).success
    except DagsterExecutionInterruptedError:
        tried.append(0)
    return sum(tried)


def test_dagster_does_as_the_policy_says() -> None:
    """The first attempt and three retries; or one attempt, when it is of no use or not wanted."""
    assert attempts_of(as_failure(UnavailableError("down"))) == 4
    assert attempts_of(as_failure(ConfigurationError("wrong"))) == 1
    assert attempts_of(RunInterruptedError("terminated in the web UI")) == 1


def test_an_interrupt_of_dagster_alone_is_still_tried_again() -> None:
    """Why `RunInterruptedError` exists: when this fails, drop the class."""
    assert attempts_of(DagsterExecutionInterruptedError()) > 1
