"""The command line of a model server in a cluster, by engine: safetensors, no strangers' code.

vLLM's is run and judged. SGLang's and TGI's are rendered from their documented options and marked
so: neither was run here, and a rollout reads vLLM's counters, so its target has no such field.
"""

from typing import Literal

from platform_pipelines.core.model_rollout.sizing import Sizing
from platform_pipelines.core.road.served_model import SERVED_NAME

Engine = Literal["vllm", "sglang", "tgi"]
NOT_RUN = "rendered, not run"


def engine_command(
    engine: Engine, folder: str, sizing: Sizing, *, port: int, memory_share: float,
    drain_seconds: int,
) -> list[str]:  # fmt: skip
    """Program and arguments. `sizing.tensor_parallel` is 0 on a CPU."""
    if engine == "sglang":
        return [
            "python3", "-m", "sglang.launch_server", "--model-path", folder,
            "--served-model-name", SERVED_NAME, "--host", "0.0.0.0", "--port", str(port),  # noqa: S104
            "--load-format", "safetensors", "--tp-size", str(max(1, sizing.tensor_parallel)),
            "--pp-size", str(sizing.pipeline_parallel), "--context-length", str(sizing.context),
            "--mem-fraction-static", str(memory_share), "--enable-metrics",
        ]  # fmt: skip
    if engine == "tgi":
        return [
            "text-generation-launcher", "--model-id", folder, "--port", str(port),
            "--num-shard", str(max(1, sizing.tensor_parallel)),
            "--max-total-tokens", str(sizing.context),
            "--max-input-tokens", str(sizing.context - 1),
            "--cuda-memory-fraction", str(memory_share),
        ]  # fmt: skip
    share = ["--gpu-memory-utilization", str(memory_share)] if sizing.gpus else []
    return [
        "vllm", "serve", folder, "--served-model-name", SERVED_NAME, "--port", str(port),
        "--load-format", "safetensors", *sizing.arguments, *share, "--enable-prefix-caching",
        "--shutdown-timeout", str(drain_seconds),
    ]  # fmt: skip
