"""Adapter -> merged bf16 safetensors: python merge_adapter.py BASE ADAPTER OUT   (`training`)

Merged in float32 and rounded once: two merges give the same bytes. Merged, because a dynamic
adapter costs 2.6 times as much at serving. Where all weights were trained, ADAPTER is a whole model
and only brought into the same form. Then one short answer, greedily, as a smoke test. Prints
digests and answer as JSON.
"""
# pyright: basic, reportMissingImports=false

import json
import sys
from pathlib import Path

from sealing import file_digest

SMOKE_TOKENS = 24


def merge(base: Path, adapter: Path, out: Path) -> dict[str, str]:
    """The files that were made: name -> SHA-256."""
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    if (adapter / "adapter_config.json").exists():
        model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
        merged = PeftModel.from_pretrained(model, adapter).merge_and_unload(safe_merge=True)
    else:
        merged = AutoModelForCausalLM.from_pretrained(adapter, dtype=torch.bfloat16)
    merged.to(torch.bfloat16).save_pretrained(out)
    AutoTokenizer.from_pretrained(adapter).save_pretrained(out)
    for path in out.iterdir():
        path.chmod(0o644)  # save_pretrained leaves the weights to their owner alone
    return {p.name: file_digest(p) for p in sorted(out.iterdir()) if p.is_file()}


def answer(folder: Path, question: str) -> str:
    """What the merged model says, greedily: that it loads, and speaks."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.bfloat16)
    asked = tokenizer.apply_chat_template(
        [{"role": "user", "content": question}],
        add_generation_prompt=True,
        return_tensors="pt",
        return_dict=True,
    )
    said = model.generate(**asked, max_new_tokens=SMOKE_TOKENS, do_sample=False)
    return tokenizer.decode(said[0][asked["input_ids"].shape[1] :], skip_special_tokens=True)


if __name__ == "__main__":
    made = merge(*map(Path, sys.argv[1:4]))
    print(json.dumps({"files": made, "answer": answer(Path(sys.argv[3]), sys.argv[4])}))
