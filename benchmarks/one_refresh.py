"""`python -m benchmarks.one_refresh CORPUS HOME`: one refresh in a process of its own."""

import sys
from pathlib import Path

from benchmarks.ours import Ours


def main(arguments: list[str]) -> int:
    """Refresh once."""
    corpus, home = (Path(argument) for argument in arguments)
    Ours(corpus, home, "").refresh()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
