"""Adapter -> merged encoder: python merge_encoder.py BASE ADAPTER OUT QUESTION PASSAGE OTHER

As merge_adapter.py, in the environment `training`, for a model that makes vectors: merged and kept
in float32. As a smoke test a question is compared with a passage that answers it and with another.
"""
# pyright: basic, reportMissingImports=false

import json
import sys
from pathlib import Path

from sealing import file_digest


def merge(base: Path, adapter: Path, out: Path) -> dict[str, str]:
    """The files that were made: name -> SHA-256."""
    import torch
    from peft import PeftModel
    from transformers import AutoModel, AutoTokenizer

    if (adapter / "adapter_config.json").exists():
        model = AutoModel.from_pretrained(base, dtype=torch.float32)
        merged = PeftModel.from_pretrained(model, adapter).merge_and_unload(safe_merge=True)
    else:
        merged = AutoModel.from_pretrained(adapter, dtype=torch.float32)
    merged.save_pretrained(out)
    # the base's own: no training changes how texts are cut into tokens
    AutoTokenizer.from_pretrained(base).save_pretrained(out)
    for path in out.iterdir():
        path.chmod(0o644)  # save_pretrained leaves the weights to their owner alone
    return {p.name: file_digest(p) for p in sorted(out.iterdir()) if p.is_file()}


def similarities(folder: Path, texts: list[str]) -> list[float]:
    """Of the first text with each other one."""
    import torch
    from transformers import AutoModel, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModel.from_pretrained(folder, dtype=torch.float32).eval()
    given = tokenizer(texts, padding=True, truncation=True, return_tensors="pt")
    with torch.no_grad():
        hidden = model(**given).last_hidden_state
    mask = given["attention_mask"][..., None]
    vectors = torch.nn.functional.normalize((hidden * mask).sum(1) / mask.sum(1), dim=-1)
    return [round(float(one), 4) for one in vectors[1:] @ vectors[0]]


if __name__ == "__main__":
    made = merge(*map(Path, sys.argv[1:4]))
    found = similarities(Path(sys.argv[3]), sys.argv[4:7])
    print(json.dumps({"files": made, "similarities": found}))
