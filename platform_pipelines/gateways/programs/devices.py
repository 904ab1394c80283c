"""What the interpreter that runs this can train on, as one JSON object.

Runs by path in the environment of the training, where this package is not installed. Four bits need
a GPU and bitsandbytes; without PyTorch there is nothing to train on.
"""
# pyright: basic, reportMissingImports=false

import importlib.util
import json
import sys
from typing import Any


def found() -> dict[str, Any]:
    """`gpus`: their names; `four_bits`: whether weights can be quantised to four bits."""
    gpus: list[str] = []
    if importlib.util.find_spec("torch"):
        import torch

        gpus = [torch.cuda.get_device_name(one) for one in range(torch.cuda.device_count())]
    four_bits = bool(gpus) and importlib.util.find_spec("bitsandbytes") is not None
    return {"gpus": gpus, "four_bits": four_bits}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(found()) + "\n")
