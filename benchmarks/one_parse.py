"""Parses a folder's files and prints what was found: with our parsers, or with markitdown.

    python one_parse.py FOLDER ours|markitdown

Run in the contestant's own interpreter; imports nothing of this repository but our parser. The
first file of each type is read once before, so that what is timed is parsing, not importing.
"""

import json
import sys
import time
from pathlib import Path
from typing import Any

Found = dict[str, Any]


def main() -> None:
    """One JSON object to standard output: by type, seconds and what was found in each file."""
    folder, who = Path(sys.argv[1]), sys.argv[2]
    read = {"ours": _ours, "markitdown": _markitdown}[who]()
    result: dict[str, Found] = {}
    for kind in sorted(p.name for p in folder.iterdir()):
        files = sorted((folder / kind).iterdir())
        read(files[0])
        start = time.perf_counter()
        found = [read(file) for file in files]
        result[kind] = {"seconds": time.perf_counter() - start, "files": found}
    print(json.dumps(result))


def _ours() -> Any:
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    from platform_pipelines.core.knowledge_base.documents import BlockKind
    from platform_pipelines.stages.knowledge_base.parsing.parse import parse_document

    def read(path: Path) -> Found:
        document = parse_document(path.read_bytes(), key=path.name)
        blocks = document.blocks
        rows = [row for b in blocks if b.kind is BlockKind.TABLE for row in b.text.split("\n")]
        headings = [b.text for b in blocks if b.kind is BlockKind.HEADING]
        text = "\n".join(b.text for b in blocks)
        return {"text": text, "headings": headings, "rows": rows}

    return read


def _markitdown() -> Any:
    from markitdown import MarkItDown  # pyright: ignore[reportMissingImports]

    convert = MarkItDown(enable_plugins=False).convert

    def read(path: Path) -> Found:
        text = convert(str(path)).text_content
        lines = text.split("\n")
        headings = [line.lstrip("# ").strip() for line in lines if line.startswith("#")]
        return {"text": text, "headings": headings, "rows": [x for x in lines if x[:1] == "|"]}

    return read


if __name__ == "__main__":
    main()
