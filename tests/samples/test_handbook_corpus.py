"""The shipped sample corpus and its golden set hold what they claim, in every format."""

import json
import re
import unicodedata
from collections import Counter
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from platform_pipelines import samples
from platform_pipelines.core.knowledge_base.golden import parse_golden_set

FOLDER = Path(samples.__file__).parent
CORPUS = FOLDER / "handbook"
GOLDEN_SET = FOLDER / "golden" / "handbook.jsonl"
BOTH_LANGUAGES = {"md", "txt", "html", "pdf", "docx", "pptx", "xlsx", "jsonl"}
SUFFIXES = BOTH_LANGUAGES | {"csv", "py", "yaml", "sh"}
MAX_BYTES = 150_000


def folded(text: str) -> str:
    return " ".join(unicodedata.normalize("NFC", text).split())


def text_of_plain(path: Path) -> str:
    data = path.read_bytes()
    if data.startswith(b"\xff\xfe"):
        return data.decode("utf-16")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return data.decode("euc_kr")


def text_of_html(path: Path) -> str:
    from selectolax.lexbor import LexborHTMLParser

    tree = LexborHTMLParser(text_of_plain(path))
    tree.strip_tags(["script", "style"])
    assert tree.body is not None
    return tree.body.text()


def text_of_chat(path: Path) -> str:
    messages = map(json.loads, text_of_plain(path).splitlines())
    return "\n".join(message["text"] for message in messages)


def text_of_pdf(path: Path) -> str:
    import pypdfium2

    with pypdfium2.PdfDocument(path) as document:
        pages = [page.get_textpage().get_text_range() for page in document]
    return "\n".join(pages)


def text_of_docx(path: Path) -> str:
    import docx

    document = docx.Document(str(path))
    cells = [c.text for table in document.tables for row in table.rows for c in row.cells]
    return "\n".join([p.text for p in document.paragraphs] + cells)


def text_of_pptx(path: Path) -> str:
    """Slides only: a quote in the speaker notes would depend on whether a parser reads them."""
    import pptx

    texts: list[str] = []
    for shape in (s for slide in pptx.Presentation(str(path)).slides for s in slide.shapes):
        if shape.has_text_frame:
            texts.append(shape.text_frame.text)
        if shape.has_table:
            texts += [cell.text for row in shape.table.rows for cell in row.cells]
    return "\n".join(texts)


def text_of_xlsx(path: Path) -> str:
    import openpyxl

    book = openpyxl.load_workbook(path)
    return "\n".join(str(cell) for sheet in book for row in sheet.values for cell in row)


READERS: dict[str, Callable[[Path], str]] = {
    "html": text_of_html,
    "jsonl": text_of_chat,
    "pdf": text_of_pdf,
    "docx": text_of_docx,
    "pptx": text_of_pptx,
    "xlsx": text_of_xlsx,
}


def suffix_of(key: str) -> str:
    return key.rpartition(".")[2]


@cache
def texts() -> dict[str, str]:
    """Key -> text of every document, white space collapsed."""
    paths = [p for p in sorted(CORPUS.rglob("*")) if p.is_file() and "__pycache__" not in p.parts]
    keys = [path.relative_to(CORPUS).as_posix() for path in paths]
    return {
        unicodedata.normalize("NFC", key): folded(READERS.get(suffix_of(key), text_of_plain)(path))
        for key, path in zip(keys, paths, strict=True)
    }


@cache
def questions() -> list[dict]:
    return [json.loads(line) for line in GOLDEN_SET.read_text(encoding="utf-8").splitlines()]


def references() -> list[tuple[str, str, str]]:
    return [(q["id"], r["document"], r["quote"]) for q in questions() for r in q["references"]]


def korean_share(text: str) -> float:
    letters = [c for c in text if c.isalpha()]
    return sum("가" <= c <= "힣" for c in letters) / len(letters)


def test_every_quote_stands_verbatim_in_its_document():
    """A stale quote makes its question unfindable, and the gate then blames the revision."""
    absent = [(i, d, q) for i, d, q in references() if folded(q) not in texts().get(d, "")]
    assert absent == []


def test_every_document_that_holds_a_quote_is_referenced():
    """An answer found in a second document would otherwise count as a wrong result."""
    listed = {(i, d) for i, d, _ in references()}
    unlisted = [
        (i, key, quote)
        for i, _, quote in references()
        for key, text in texts().items()
        if folded(quote) in text and (i, key) not in listed
    ]
    assert unlisted == []


def test_quotes_are_long_enough_to_be_found_and_short_enough_not_to_be_cut():
    """A short quote matches by chance, a long one is split by every chunk policy."""
    wrong = [(i, len(q)) for i, _, q in references() if not 15 <= len(q) <= 200]
    assert wrong == []


def test_a_quote_stands_once_in_its_document():
    """A quote that stands twice names two chunks, one of which does not answer."""
    repeated = [(i, q) for i, d, q in references() if texts()[d].count(folded(q)) != 1]
    assert repeated == []


def test_ids_and_questions_are_unique():
    """A repeated question counts twice in every average."""
    for field in ("id", "question"):
        counts = Counter(question[field] for question in questions())
        assert [value for value, n in counts.items() if n > 1] == []


@pytest.mark.parametrize("language", ["ko", "en"])
def test_each_language_has_enough_questions_with_and_without_an_answer(language: str):
    """Fewer leave the gate undecided and the threshold of "I do not know" uncalibrated."""
    counts = Counter(q["answerable"] for q in questions() if q["language"] == language)
    assert counts[True] >= 45
    assert counts[False] >= 12


def test_the_golden_set_is_one_that_the_product_accepts():
    """What we ship follows the rules that we set for others."""
    golden_set = parse_golden_set(GOLDEN_SET.read_text(encoding="utf-8"), where=GOLDEN_SET.name)
    assert len(golden_set.questions) == len(questions())


def test_only_answerable_questions_have_references_and_an_answer():
    """The two halves of the golden set are told apart by this field alone."""
    wrong = [
        q["id"]
        for q in questions()
        if not (q["answerable"] == bool(q["references"]) == bool(q["answer"]))
    ]
    assert wrong == []


def test_every_document_has_a_question():
    """A document nobody asks about may vanish unnoticed."""
    assert {d for _, d, _ in references()} == set(texts())


def test_some_questions_are_answered_only_in_the_other_language():
    """Cross-language retrieval is promised, so it is measured."""
    korean = {key for key, text in texts().items() if korean_share(text) > 0.5}
    crossing = Counter(
        q["language"]
        for q in questions()
        if q["references"]
        and all((r["document"] in korean) != (q["language"] == "ko") for r in q["references"])
    )
    assert min(crossing["ko"], crossing["en"]) >= 5


def test_the_corpus_holds_every_format():
    """Each parser is shown at work by the demo."""
    assert {suffix_of(key) for key in texts()} == SUFFIXES
    assert len(texts()) >= 30


@pytest.mark.parametrize("suffix", sorted(BOTH_LANGUAGES))
def test_formats_of_prose_stand_in_both_languages(suffix: str):
    """Encodings and fonts break one language at a time."""
    shares = [korean_share(text) for key, text in texts().items() if suffix_of(key) == suffix]
    assert max(shares) > 0.5
    assert min(shares) < 0.1


def test_plain_text_comes_in_the_three_encodings_that_are_promised():
    """A tool that saves these files again as UTF-8 would take away what they show."""
    starts = (CORPUS / "runbooks" / "handover-2026-w43.txt").read_bytes()[:2]
    assert starts == b"\xff\xfe"
    with pytest.raises(UnicodeDecodeError):
        (CORPUS / "product" / "cli-guide.txt").read_text(encoding="utf-8")


def test_file_names_are_nfc_and_two_are_korean():
    """A name in NFD, as a Mac writes it, is another key on S3."""
    names = [path.name for path in CORPUS.rglob("*") if path.is_file()]
    assert [name for name in names if not unicodedata.is_normalized("NFC", name)] == []
    assert sum(not name.isascii() for name in names) == 2


def test_documents_are_small():
    """They travel with the package."""
    sizes = {path.name: path.stat().st_size for path in CORPUS.rglob("*") if path.is_file()}
    assert {name: size for name, size in sizes.items() if size > MAX_BYTES} == {}


def test_chat_messages_are_in_order_and_have_a_time_with_an_offset():
    """A citation shows who said it and when."""
    for path in sorted((CORPUS / "chat").glob("*.jsonl")):
        messages = [json.loads(line) for line in text_of_plain(path).splitlines()]
        times = [message["ts"] for message in messages]
        assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+09:00", t) for t in times)
        assert times == sorted(times)
        assert all(message["user"] and message["text"] for message in messages)
