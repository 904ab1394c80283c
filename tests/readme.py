"""A README as its tests read it: fenced blocks, commands, headings, links."""

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)\s]+)\)")
COMMENT = re.compile(r"\s+#\s.*|^#\s.*", re.MULTILINE)


@dataclass(frozen=True)
class Readme:
    """One language's page."""

    path: Path

    @property
    def text(self) -> str:
        return self.path.read_text("utf-8")

    @property
    def prose(self) -> str:
        """Everything outside of fenced blocks."""
        return FENCE.sub("", self.text)

    def blocks(self, language: str) -> list[str]:
        """The fenced blocks of a language, without their comments, which are translated."""
        return [
            COMMENT.sub("", body) if language != "text" else body
            for found, body in FENCE.findall(self.text)
            if found == language
        ]

    @property
    def commands(self) -> list[list[str]]:
        """Every line of every bash block as words."""
        lines = "\n".join(self.blocks("bash")).replace("\\\n", " ").splitlines()
        return [shlex.split(line) for line in lines if line.strip()]

    @property
    def headings(self) -> list[int]:
        """The levels of all headings, in order."""
        return [len(marks) for marks in re.findall(r"^(#+) ", self.prose, re.MULTILINE)]

    @property
    def links(self) -> list[str]:
        """Relative targets of links and images."""
        return [t for t in LINK.findall(self.prose) if "://" not in t and not t.startswith("#")]


ENGLISH, KOREAN = Readme(ROOT / "README.md"), Readme(ROOT / "README.ko.md")
