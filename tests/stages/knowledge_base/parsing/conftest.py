"""Makes real files of each format in memory."""

import io
import zipfile
from collections.abc import Callable, Sequence
from typing import Any

import pytest

Line = tuple[float, float, float, str]  # x and y in points, font size, text


def _pdf(pages: Sequence[Sequence[Line]], *, title: str = "") -> bytes:
    """A PDF of Helvetica lines on pages of 600 x 800 points."""
    objects = ["<< /Type /Catalog /Pages 2 0 R >>", ""]
    kids: list[int] = []
    font = "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>"
    for lines in pages:
        stream = "\n".join(
            f"BT /F1 {size} Tf {x} {y} Td ({_escaped(text)}) Tj ET" for x, y, size, text in lines
        )
        objects.append(f"<< /Length {len(stream)} >>\nstream\n{stream}\nendstream")
        resources = f"<< /Font << /F1 {font} >> >>"
        objects.append(
            f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 600 800] /Resources {resources}"
            f" /Contents {len(objects)} 0 R >>"
        )
        kids.append(len(objects))
    references = " ".join(f"{kid} 0 R" for kid in kids)
    objects[1] = f"<< /Type /Pages /Kids [{references}] /Count {len(kids)} >>"
    objects.append(f"<< /Title ({_escaped(title)}) >>")
    return _assembled(objects)


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("(", "\\(").replace(")", "\\)")


def _assembled(objects: Sequence[str]) -> bytes:
    out = io.BytesIO()
    out.write(b"%PDF-1.4\n")
    offsets: list[int] = []
    for number, body in enumerate(objects, start=1):
        offsets.append(out.tell())
        out.write(f"{number} 0 obj\n{body}\nendobj\n".encode("latin-1"))
    start = out.tell()
    rows = "".join(f"{offset:010d} 00000 n \n" for offset in offsets)
    size = len(objects) + 1
    out.write(f"xref\n0 {size}\n0000000000 65535 f \n{rows}".encode())
    trailer = f"trailer\n<< /Size {size} /Root 1 0 R /Info {size - 1} 0 R >>\n"
    out.write(f"{trailer}startxref\n{start}\n%%EOF\n".encode())
    return out.getvalue()


def _saved(document: Any) -> bytes:
    out = io.BytesIO()
    document.save(out)
    return out.getvalue()


def _with_part(data: bytes, name: str, change: Callable[[str], str]) -> bytes:
    """An office file with one part's XML changed."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as source, zipfile.ZipFile(out, "w") as target:
        for member in source.infolist():
            body = source.read(member)
            if member.filename == name:
                body = change(body.decode("utf-8")).encode("utf-8")
            target.writestr(member, body, compress_type=zipfile.ZIP_DEFLATED)
    return out.getvalue()


@pytest.fixture
def make_pdf() -> Callable[..., bytes]:
    """`make_pdf([[(x, y, size, text), ...], ...], title=...)` gives the bytes of a PDF."""
    return _pdf


@pytest.fixture
def saved() -> Callable[[Any], bytes]:
    """The bytes of a python-docx, python-pptx or openpyxl document."""
    return _saved


@pytest.fixture
def with_part() -> Callable[..., bytes]:
    """`with_part(data, name, change)`: an office file with one XML part rewritten."""
    return _with_part
