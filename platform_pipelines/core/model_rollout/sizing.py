"""How many GPUs a model needs, and how it is cut over them: from numbers alone, without a GPU.

Weights are `parameters x bytes`, cut over tensor x pipeline. What is left of each GPU's share
(`memory_share` of its memory, less an allowance for activations and graphs) is KV cache:
2 x layers x KV heads x head size x bytes a token. A cut must divide the attention heads, and
tensor parallelism stays inside a node.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from platform_pipelines.errors import CapabilityError

GIB = 2**30
OVERHEAD_BYTES = 3 * GIB // 2  # activations, CUDA graphs and NCCL of one GPU, at 8192 tokens


class Precision(StrEnum):
    """Of the weights."""

    BF16 = "bf16"
    FP8 = "fp8"
    INT4 = "int4"


_BYTES = {Precision.BF16: 2.0, Precision.FP8: 1.0, Precision.INT4: 0.5}


@dataclass(frozen=True, slots=True)
class Architecture:
    """What a model's config.json says. `experts` is 0 for a dense model."""

    parameters: float  # all of them, of a mixture too
    layers: int
    attention_heads: int
    kv_heads: int
    head_size: int
    experts: int = 0


@dataclass(frozen=True, slots=True)
class Gpus:
    """What may be used. `memory_bytes` is of one GPU, as its vendor counts (80e9 for 80 GB)."""

    memory_bytes: float
    a_node: int = 8
    nodes: int = 1
    memory_share: float = 0.9


@dataclass(frozen=True, slots=True)
class Sizing:
    """One replica: how it is cut, and what is left for the KV cache."""

    tensor_parallel: int
    pipeline_parallel: int
    expert_parallel: bool
    context: int
    kv_cache_tokens: int
    weight_bytes_a_gpu: float

    @property
    def gpus(self) -> int:
        """Of one replica."""
        return self.tensor_parallel * self.pipeline_parallel

    @property
    def arguments(self) -> list[str]:
        """Of `vllm serve`."""
        cut = ["--tensor-parallel-size", str(max(1, self.tensor_parallel))]
        if self.pipeline_parallel > 1:
            cut += ["--pipeline-parallel-size", str(self.pipeline_parallel)]
        if self.expert_parallel:
            cut.append("--enable-expert-parallel")
        return [*cut, "--max-model-len", str(self.context)]


def size_model(
    model: Architecture,
    gpus: Gpus,
    *,
    precision: Precision,
    context: int,
    kv_bytes: int = 2,
) -> Sizing:
    """The smallest cut whose KV cache holds one request of `context` tokens.

    Raises:
        CapabilityError: no cut of what may be used does; says what is lacking.
    """
    weights = model.parameters * _BYTES[precision]
    kv_a_token = 2 * model.layers * model.kv_heads * model.head_size * kv_bytes
    usable = gpus.memory_bytes * gpus.memory_share - OVERHEAD_BYTES
    for tensor, pipeline in _cuts(model, gpus):
        parts = tensor * pipeline
        # KV heads are not cut finer than they are: more GPUs then hold copies.
        kv_parts = min(tensor, model.kv_heads) * pipeline
        tokens = int((usable - weights / parts) * kv_parts / kv_a_token)
        if tokens >= context:
            return Sizing(
                tensor_parallel=tensor,
                pipeline_parallel=pipeline,
                expert_parallel=model.experts > 0 and model.experts % tensor == 0 and tensor > 1,
                context=context,
                kv_cache_tokens=tokens,
                weight_bytes_a_gpu=weights / parts,
            )
    there = gpus.a_node * gpus.nodes
    raise CapabilityError(
        f"a model of {model.parameters / 1e9:.0f}B in {precision} does not fit",
        stored=f"{there} GPUs of {gpus.memory_bytes / 1e9:.0f} GB",
        expected=f"{weights / 1e9:.0f} GB of weights and {context} tokens of KV cache, "
        f"{kv_a_token * context / 1e9:.1f} GB",
        remedy="quantise it (fp8, int4), shorten the context, or allow more GPUs or nodes",
    )


def _cuts(model: Architecture, gpus: Gpus) -> Iterator[tuple[int, int]]:
    """(tensor, pipeline), fewest GPUs first; a second node only when one is not enough."""
    tensor = 1
    while tensor <= gpus.a_node:
        if model.attention_heads % tensor == 0:
            yield tensor, 1
        tensor *= 2
    widest = max(t for t in (1, 2, 4, 8) if t <= gpus.a_node and not model.attention_heads % t)
    for pipeline in range(2, gpus.nodes + 1):
        yield widest, pipeline
