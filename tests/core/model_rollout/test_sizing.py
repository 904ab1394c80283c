"""Sizing as a table: precision, GPU memory and context stand in each row."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from platform_pipelines.core.model_rollout.sizing import (
    GIB,
    OVERHEAD_BYTES,
    Architecture,
    Gpus,
    Precision,
    size_model,
)
from platform_pipelines.errors import CapabilityError

MODELS = {
    "7B": Architecture(6.7e9, 32, 32, 32, 128),
    "13B": Architecture(13.0e9, 40, 40, 40, 128),
    "70B": Architecture(70.6e9, 80, 64, 8, 128),
    "405B": Architecture(405.9e9, 126, 128, 8, 128),
    "8x7B": Architecture(46.7e9, 32, 32, 8, 128, experts=8),
}
A10G, A100_40, A100_80, H100 = 24e9, 40e9, 80e9, 80e9
BF16, FP8, INT4 = Precision.BF16, Precision.FP8, Precision.INT4


@pytest.mark.parametrize(
    ("model", "precision", "memory", "context", "tensor", "pipeline", "nodes"),
    [
        ("7B", BF16, A10G, 4096, 1, 1, 1),
        ("7B", BF16, A100_80, 4096, 1, 1, 1),
        ("13B", BF16, A10G, 4096, 2, 1, 1),
        ("13B", BF16, A100_40, 4096, 1, 1, 1),
        ("70B", BF16, A100_80, 8192, 4, 1, 1),
        ("70B", BF16, A10G, 8192, 8, 1, 1),
        ("70B", FP8, H100, 8192, 2, 1, 1),
        ("70B", INT4, A100_80, 8192, 1, 1, 1),
        ("405B", FP8, H100, 8192, 8, 1, 1),
        ("405B", BF16, H100, 8192, 8, 2, 2),
        ("8x7B", BF16, A100_80, 32768, 2, 1, 1),
    ],
)
def test_a_model_takes_as_many_gpus_as_it_needs(
    model: str, precision: Precision, memory: float, context: int, tensor: int, pipeline: int,
    nodes: int,
) -> None:  # fmt: skip
    """Fewest GPUs first, a second node last."""
    gpus = Gpus(memory, nodes=nodes)
    sized = size_model(MODELS[model], gpus, precision=precision, context=context)
    assert (sized.tensor_parallel, sized.pipeline_parallel) == (tensor, pipeline)
    assert sized.expert_parallel is (MODELS[model].experts > 0 and tensor > 1)


@pytest.mark.parametrize(
    ("model", "precision", "memory", "context"),
    [
        ("405B", BF16, H100, 8192),
        ("70B", BF16, A10G, 131072),
    ],
)
def test_what_does_not_fit_is_refused_with_what_it_lacks(
    model: str, precision: Precision, memory: float, context: int
) -> None:
    """Not found out after ten minutes of loading."""
    with pytest.raises(CapabilityError, match="GB of weights"):
        size_model(MODELS[model], Gpus(memory), precision=precision, context=context)


@given(
    st.sampled_from(sorted(MODELS)),
    st.sampled_from(Precision),
    st.floats(16, 192),
    st.integers(16, 131072),
)
def test_what_is_sized_always_fits(
    model: str, precision: Precision, gigabytes: float, context: int
) -> None:
    """Weights and the cache of one whole request are within each GPU's share."""
    gpus = Gpus(gigabytes * 1e9, nodes=4)
    architecture = MODELS[model]
    try:
        sized = size_model(architecture, gpus, precision=precision, context=context)
    except CapabilityError:
        return
    assert sized.kv_cache_tokens >= context
    assert architecture.attention_heads % sized.tensor_parallel == 0
    assert sized.weight_bytes_a_gpu + OVERHEAD_BYTES <= gigabytes * 1e9 * gpus.memory_share
    assert OVERHEAD_BYTES >= GIB


def test_the_arguments_say_the_cut() -> None:
    """As vLLM spells it."""
    gpus = Gpus(H100, nodes=2)
    sized = size_model(MODELS["405B"], gpus, precision=BF16, context=8192)
    assert sized.arguments == [
        "--tensor-parallel-size", "8", "--pipeline-parallel-size", "2", "--max-model-len", "8192",
    ]  # fmt: skip
