"""GGUF -> bf16 safetensors: python make_weights.py MODEL.gguf OUT   (environment `training`)

What is quantised is dequantised in float32 and rounded once. Prints the digests as JSON.
"""
# pyright: basic, reportMissingImports=false

import json
import sys
from pathlib import Path

from sealing import file_digest


def make_weights(gguf: Path, out: Path) -> dict[str, str]:
    """The files that were made: name -> SHA-256."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
    model = AutoModelForCausalLM.from_pretrained(
        gguf.parent, gguf_file=gguf.name, dtype=torch.float32
    ).to(torch.bfloat16)
    model.hf_quantizer, model.is_quantized = None, False  # else save_pretrained refuses it
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config
    model.save_pretrained(out)
    tokenizer.save_pretrained(out)
    return {p.name: file_digest(p) for p in sorted(out.iterdir()) if p.is_file()}


if __name__ == "__main__":
    print(json.dumps(make_weights(Path(sys.argv[1]), Path(sys.argv[2]))))
