"""One long text into parts at the best borders: a thin layer over langchain-text-splitters.

All functions here keep every character: the parts joined are the text.
"""

from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from langchain_text_splitters import RecursiveCharacterTextSplitter

# Best border first. Sentence ends are one level, so that a Korean and an English end weigh the
# same; Korean final syllables also end a sentence where no space follows.
PROSE_BORDERS = (
    r"\n\s*\n",
    r"\n",
    r"(?<=[.!?…])[\"'”’)\]」』]*[ \t]+|(?<=[。！？])|(?<=[다요죠까음함임됨]\.)(?=[가-힣])",
    r"[,;:、，][ \t]*",
    r"[ \t\u3000]+",
    "",
)
ROW_BORDERS = (r"\n", r" \| ", *PROSE_BORDERS[2:])
PLAIN_CODE_BORDERS = (r"\n\s*\n", r"\n", r"[ \t]+", "")
_CODE_BORDERS = {
    # A document, a top-level key, an item of a list, a line.
    "yaml": (r"\n---[^\n]*\n", r"\n(?=[^\s#-])", r"\n(?= {0,4}- )", r"\n", r"[ \t]+", ""),
    "sh": (r"\n(?=(?:function )?[\w-]+ *\(\))", r"\n(?=function )", *PLAIN_CODE_BORDERS),
}
_ALIASES = {
    "bash": "sh", "c#": "csharp", "c++": "cpp", "javascript": "js", "jsx": "js", "md": "markdown",
    "protobuf": "proto", "py": "python", "shell": "sh", "tsx": "ts", "typescript": "ts",
    "yml": "yaml", "zsh": "sh",
}  # fmt: skip


def split_prose(text: str, characters: int) -> list[str]:
    """Parts of at most `characters`: at paragraphs, lines, sentences, clauses, words, anywhere."""
    return _splitter(PROSE_BORDERS, characters).split_text(text)


def split_row(text: str, characters: int) -> list[str]:
    """Parts of a table row of at most `characters`, between cells where it can."""
    return _splitter(ROW_BORDERS, characters).split_text(text)


def split_code(text: str, characters: int, language: str | None) -> list[str]:
    """Parts of at most `characters`, before definitions of the language, else at lines."""
    name = _ALIASES.get(language or "", language)
    return _splitter(_code_borders(name), characters, "start").split_text(text)


@lru_cache(maxsize=64)
def _code_borders(language: str | None) -> tuple[str, ...]:
    from langchain_text_splitters import Language, RecursiveCharacterTextSplitter

    if language in _CODE_BORDERS:
        return _CODE_BORDERS[language]
    try:
        known = Language(language)
        return tuple(RecursiveCharacterTextSplitter.get_separators_for_language(known))
    except ValueError:
        return PLAIN_CODE_BORDERS  # a language that the library does not know, or none


@lru_cache(maxsize=256)
def _splitter(
    borders: tuple[str, ...], characters: int, keep: str = "end"
) -> "RecursiveCharacterTextSplitter":
    from langchain_text_splitters import RecursiveCharacterTextSplitter

    return RecursiveCharacterTextSplitter(
        separators=list(borders),
        is_separator_regex=True,
        keep_separator="start" if keep == "start" else "end",
        strip_whitespace=False,  # indentation of code, and every character accounted for
        chunk_size=characters,
        chunk_overlap=0,
        length_function=len,
    )
