"""Parsing beside markitdown on the same ordinary files: documents a minute, and what is found.

markitdown lives in an environment of its own that is made for the measurement from a hash-pinned
lock (markitdown.txt), and is gone afterwards: the runtime never has it.
"""

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.ordinary import WITHOUT_PROSE, Content, write_corpus
from benchmarks.report import Figure, Progress

LOCK = Path(__file__).parent / "markitdown.txt"
READER = Path(__file__).parent / "one_parse.py"
DOCUMENTS = 30  # of each type


def measure_parsing(progress: Progress) -> Iterator[Figure]:
    """Two figures a type: seconds and what is missed, ours to markitdown's; less is better."""
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made) / "corpus"
        contents = write_corpus(folder, DOCUMENTS)
        progress("making markitdown's environment")
        python = _environment(Path(made) / "environment")
        progress(f"parsing {DOCUMENTS} documents of {len(contents)} types, twice")
        ours = _read(sys.executable, folder, "ours")
        theirs = _read(python, folder, "markitdown")
    for kind, expected in contents.items():
        yield _speed(kind, ours[kind], theirs[kind])
        yield _completeness(kind, expected, ours[kind], theirs[kind])


def _environment(folder: Path) -> str:
    python = str(folder / "bin" / "python")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    uv = Path(sys.executable).parent / "uv"
    command = [str(uv), "pip", "install", "-q", "--python", python, "--system-certs"]
    subprocess.run([*command, "--require-hashes", "-r", str(LOCK)], check=True)
    return python


def _read(python: str, folder: Path, who: str) -> Mapping[str, Any]:
    command = [python, str(READER), str(folder), who]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=900)
    return json.loads(done.stdout)


def _speed(kind: str, ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> Figure:
    minutes = {name: 60 * DOCUMENTS / one["seconds"] for name, one in (("o", ours), ("t", theirs))}
    detail = f"{minutes['o']:,.0f} documents a minute; markitdown {minutes['t']:,.0f}"
    value = ours["seconds"] / theirs["seconds"]
    return Figure(f"parse {kind}: seconds, to markitdown's", value, 1.0, detail, minutes)


def _completeness(
    kind: str, expected: Sequence[Content], ours: Mapping[str, Any], theirs: Mapping[str, Any]
) -> Figure:
    wanted = _wanted(kind, expected)
    counts = {name: _found(kind, expected, one["files"]) for name, one in
              (("ours", ours), ("markitdown", theirs))}  # fmt: skip
    told = [
        f"{part} {counts['ours'][part]}/{wanted[part]} (markitdown {counts['markitdown'][part]})"
        for part in wanted
        if wanted[part]
    ]
    missed = {name: sum(wanted.values()) - sum(found.values()) for name, found in counts.items()}
    value = (missed["ours"] + 1) / (missed["markitdown"] + 1)
    name = f"parse {kind}: missed + 1, to markitdown's"
    return Figure(name, value, 1.0, ", ".join(told), {"wanted": wanted, **counts})


def _wanted(kind: str, expected: Sequence[Content]) -> dict[str, int]:
    prose = kind not in WITHOUT_PROSE
    return {
        "sentences": sum(len(c.sentences) for c in expected) if prose else 0,
        "headings": sum(len(c.headings) for c in expected) if prose else 0,
        "rows": sum(len(c.rows) for c in expected),
    }


def _found(
    kind: str, expected: Sequence[Content], files: Sequence[Mapping[str, Any]]
) -> dict[str, int]:
    """How many sentences, headings, and rows with all of their cells on one line."""
    found = dict.fromkeys(("sentences", "headings", "rows"), 0)
    for one, file in zip(expected, files, strict=True):
        if kind not in WITHOUT_PROSE:
            text = " ".join(file["text"].split())
            found["sentences"] += sum(sentence in text for sentence in one.sentences)
            headings = {heading.strip() for heading in file["headings"]}
            found["headings"] += sum(heading in headings for heading in one.headings)
        found["rows"] += sum(any(_holds(line, row) for line in file["rows"]) for row in one.rows)
    return found


def _holds(line: str, row: Sequence[str]) -> bool:
    """Whether a line holds a row's cells, each whole, in order: `a | b`, or `Name: a | Name: b`."""
    cells = [cell.rpartition(": ")[2].strip() for cell in line.strip().strip("|").split("|")]
    return cells == list(row)
