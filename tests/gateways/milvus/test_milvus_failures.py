"""How pymilvus' and gRPC's failures become ours."""

import grpc
import pytest
from pymilvus.exceptions import MilvusException

from platform_pipelines.errors import (
    CapabilityError,
    ConfigurationError,
    PlatformError,
    RateLimitedError,
    StorageFullError,
    UnavailableError,
    UnknownNameError,
)
from platform_pipelines.gateways.milvus.connection import Deadline
from platform_pipelines.gateways.milvus.failures import BY_CODE, as_platform_error, translated
from platform_pipelines.gateways.milvus.schema import tenant_filter
from platform_pipelines.gateways.milvus.store import MilvusStore
from tests.servers.milvus_server import free_port


class Refusal(grpc.RpcError):
    """An error of gRPC with a status, as its channels raise it."""

    def __init__(self, status: grpc.StatusCode) -> None:
        self._status = status

    def code(self) -> grpc.StatusCode:
        return self._status

    def details(self) -> str:
        return "no"


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (MilvusException(code=100, message="gone"), UnknownNameError),
        (MilvusException(code=8, message="slow down"), RateLimitedError),
        (MilvusException(code=1100, message="nlist"), ConfigurationError),
        (MilvusException(code=1, message="[Errno 28] No space left on device"), StorageFullError),
        (MilvusException(code=65535, message="unknown index type GPU_X"), CapabilityError),
        (MilvusException(code=65535, message="anything"), UnavailableError),
        (MilvusException(code=grpc.StatusCode.UNAVAILABLE, message="x"), UnavailableError),
        (Refusal(grpc.StatusCode.UNAUTHENTICATED), ConfigurationError),
        (Refusal(grpc.StatusCode.UNIMPLEMENTED), CapabilityError),
        (Refusal(grpc.StatusCode.DEADLINE_EXCEEDED), UnavailableError),
        (MilvusException(code=1), UnavailableError),
    ],
)
def test_each_failure_has_its_type(error: Exception, expected: type[PlatformError]) -> None:
    """Terminal or transient decides about retries: the type must be right."""
    assert type(as_platform_error(error, doing="search", where="here")) is expected


@pytest.mark.parametrize("code", sorted(BY_CODE))
def test_every_code_of_the_table_makes_an_error_with_its_words(code: int) -> None:
    """A type without a remedy would fail while an error is being reported."""
    error = as_platform_error(MilvusException(code=code, message="words"), doing="x", where="here")
    assert "words" in error.what
    assert error.where == "here"


def test_errors_of_our_own_pass_unchanged() -> None:
    """They are raised inside the same block."""
    with pytest.raises(UnknownNameError, match="mine"), translated("x", where="y"):
        raise UnknownNameError("mine")


def test_a_server_that_is_down_is_unavailable() -> None:
    """Making a store touches nothing; pymilvus would try for minutes."""
    store = MilvusStore(uri=f"http://127.0.0.1:{free_port()}", token=None, timeout_seconds=1)
    with pytest.raises(UnavailableError) as down:
        store.collections("")
    assert down.value.where.startswith("http://127.0.0.1:")
    store.close()


def test_a_spent_budget_is_unavailable() -> None:
    """pymilvus' waiting loops would take 0 for `for ever`."""
    with pytest.raises(UnavailableError):
        Deadline(0).left_seconds("load")
    assert Deadline(0.5).left_seconds("load") == 1


def test_a_tenant_that_no_filter_can_name_is_refused() -> None:
    """NUL ends a string in the server's C++."""
    with pytest.raises(ConfigurationError):
        tenant_filter("a\0b")
