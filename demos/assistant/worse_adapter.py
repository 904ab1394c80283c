"""A worse adapter: python worse_adapter.py ADAPTER OUT FACTOR   (environment `training`)

The same files with its second matrices multiplied: the model speaks, and says nonsense.
"""
# pyright: basic, reportMissingImports=false

import shutil
import sys
from pathlib import Path


def worsen(adapter: Path, out: Path, factor: float) -> None:
    """Write the worse adapter."""
    from safetensors.torch import load_file, save_file

    shutil.copytree(adapter, out, dirs_exist_ok=True)
    tensors = load_file(adapter / "adapter_model.safetensors")
    worse = {name: t * factor if "lora_B" in name else t for name, t in tensors.items()}
    save_file(worse, out / "adapter_model.safetensors", metadata={"format": "pt"})


if __name__ == "__main__":
    worsen(Path(sys.argv[1]), Path(sys.argv[2]), float(sys.argv[3]))
