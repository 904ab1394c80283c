"""Which index a collection gets, and that the choice is explained."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from platform_pipelines.core.knowledge_base.index_choice import (
    choose_index,
    codes_for,
    lists_for,
    preferred_kind,
)
from platform_pipelines.errors import CapabilityError
from platform_pipelines.gateways.vector_store import Capabilities

LITE = Capabilities("milvus-lite", "3.2.2", ("FLAT", "IVF_FLAT", "HNSW"), keyword_search=True)
CPU_KINDS = ("FLAT", "IVF_FLAT", "IVF_SQ8", "IVF_PQ", "HNSW", "SCANN", "DISKANN")
CPU = Capabilities("milvus", "2.6.0", CPU_KINDS, keyword_search=True)
GPU_KINDS = ("GPU_CAGRA", "GPU_IVF_FLAT", "GPU_IVF_PQ", "GPU_BRUTE_FORCE")
GPU = Capabilities("milvus", "2.6.0", CPU_KINDS + GPU_KINDS, keyword_search=True)
POOR = Capabilities("milvus", "2.3.5", ("IVF_FLAT",), keyword_search=False)
NONE = Capabilities("milvus", "2.3.5", (), keyword_search=False)


@pytest.mark.parametrize(
    ("server", "rows", "gpu", "kind"),
    [
        (LITE, 0, False, "FLAT"),
        (LITE, 50_000, False, "FLAT"),
        (LITE, 50_001, False, "IVF_FLAT"),
        (CPU, 20_000, False, "FLAT"),
        (CPU, 20_001, False, "HNSW"),
        (CPU, 5_000_000, False, "HNSW"),
        (CPU, 5_000_001, False, "DISKANN"),
        (GPU, 20_000, True, "FLAT"),
        (GPU, 99_999, True, "HNSW"),
        (GPU, 100_000, True, "GPU_CAGRA"),
        (GPU, 100_000, False, "HNSW"),
        (CPU, 100_000, True, "HNSW"),
        (POOR, 10, False, "IVF_FLAT"),
    ],
)
def test_auto_chooses_by_size_and_capability(
    server: Capabilities, rows: int, gpu: bool, kind: str
) -> None:
    """Small corpora are searched exactly; nothing is chosen that the server was not seen to do."""
    choice = choose_index("auto", rows=rows, dimension=384, capabilities=server, gpu=gpu)
    assert choice.kind == kind
    assert choice.fallback_from is None
    assert f"{rows:,}" in choice.reason


@given(
    requested=st.sampled_from(("auto", "IVF_PQ", "DISKANN")),
    rows=st.integers(0, 10_000_000),
    gpu=st.booleans(),
)
def test_a_probe_of_the_preferred_kind_alone_gives_the_same_choice(
    requested: str, rows: int, gpu: bool
) -> None:
    """A run that probes one kind must build what a run that probes all of them builds."""
    kind = preferred_kind(requested, rows=rows, product=GPU.product, gpu=gpu)
    alone = replace(GPU, index_kinds=(kind,))
    whole = choose_index(requested, rows=rows, dimension=384, capabilities=GPU, gpu=gpu)
    assert choose_index(requested, rows=rows, dimension=384, capabilities=alone, gpu=gpu) == whole


def test_what_was_preferred_and_not_had_is_said() -> None:
    """A GPU declared on a server without one must be visible on the asset's page."""
    choice = choose_index("auto", rows=200_000, dimension=384, capabilities=CPU, gpu=True)
    assert "cannot do GPU_CAGRA, GPU_IVF_FLAT" in choice.reason


def test_a_declared_kind_is_taken_whatever_the_size() -> None:
    """A person may know better."""
    choice = choose_index("IVF_PQ", rows=10, dimension=384, capabilities=CPU, gpu=False)
    assert (choice.kind, choice.reason) == ("IVF_PQ", "IVF_PQ: it was declared")


def test_a_declared_kind_that_the_server_cannot_do_is_an_error_with_what_it_can() -> None:
    """Never a silent fallback."""
    with pytest.raises(CapabilityError) as refused:
        choose_index("GPU_CAGRA", rows=10, dimension=384, capabilities=LITE, gpu=True)
    assert refused.value.stored == "FLAT, IVF_FLAT, HNSW"
    assert refused.value.expected == "GPU_CAGRA"


def test_a_declared_fallback_is_taken_and_said() -> None:
    """The choice names what it replaces."""
    choice = choose_index(
        "DISKANN", rows=10, dimension=384, capabilities=LITE, gpu=False, fallback=True
    )
    assert (choice.kind, choice.fallback_from) == ("FLAT", "DISKANN")
    assert "cannot do DISKANN" in choice.reason


def test_a_server_that_builds_nothing_is_an_error() -> None:
    """For instance one whose index node is down."""
    with pytest.raises(CapabilityError, match="nothing"):
        choose_index("auto", rows=10, dimension=384, capabilities=NONE, gpu=False)


@given(
    kind=st.sampled_from(("auto", *CPU_KINDS, *GPU_KINDS)),
    rows=st.integers(min_value=0, max_value=200_000_000),
    dimension=st.integers(min_value=1, max_value=4096),
    gpu=st.booleans(),
)
def test_parameters_are_within_what_milvus_takes(
    kind: str, rows: int, dimension: int, gpu: bool
) -> None:
    """nprobe above nlist, or a PQ that does not divide the dimension, fails after the build."""
    choice = choose_index(kind, rows=rows, dimension=dimension, capabilities=GPU, gpu=gpu)
    build, search = choice.index_parameters, choice.search_parameters
    assert choice.kind in GPU.index_kinds
    assert 1 <= search.get("nprobe", 1) <= build.get("nlist", 1) <= 65_536
    assert dimension % build.get("m", 1) == 0
    assert all(value >= 1 for value in (*build.values(), *search.values()))


@given(st.integers(min_value=0, max_value=10**9))
def test_lists_have_enough_points_to_train_on(rows: int) -> None:
    """FAISS wants 39 points for a centroid and warns below."""
    lists = lists_for(rows)
    assert lists == 1 or lists * 39 <= rows
    assert lists_for(1_000_000) == 4_000


def test_codes_of_common_dimensions() -> None:
    """A prime dimension still has one code."""
    assert [codes_for(dimension) for dimension in (384, 768, 1024, 7, 1)] == [96, 192, 256, 1, 1]
