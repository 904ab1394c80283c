"""Ordinary documents of each type, made from one known content, so that what is found is countable.

Each has a title, sections with headings and two sentences, and a table of ten rows below a header.
"""

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

SECTIONS = 4
ROWS = 10
HEADER = ("Region", "Owner", "Devices", "Budget")


@dataclass(frozen=True, slots=True)
class Content:
    """What one document says."""

    title: str
    sections: tuple[tuple[str, tuple[str, ...]], ...]
    rows: tuple[tuple[str, ...], ...]

    @property
    def headings(self) -> list[str]:
        return [self.title, *(heading for heading, _ in self.sections)]

    @property
    def sentences(self) -> list[str]:
        return [sentence for _, texts in self.sections for sentence in texts]


def content(number: int) -> Content:
    """The content of document `number`, unlike all others."""
    sections = tuple(
        (
            f"Procedure {number} step {step}",
            (
                f"Team {number} opens gate {step} before nine and writes the number down.",
                f"Whoever finds fault {number}{step} calls the duty officer of hall {step}.",
            ),
        )
        for step in range(1, SECTIONS + 1)
    )
    rows = tuple(
        (f"Hall {number}-{row}", f"Owner {row}", str(number * 7 + row), str(row * 1_000 + number))
        for row in range(1, ROWS + 1)
    )
    return Content(f"Handbook {number}", sections, rows)


def write_corpus(folder: Path, count: int) -> dict[str, list[Content]]:
    """`count` files of each type as `<type>/<number>.<type>`; their contents by type."""
    made: dict[str, list[Content]] = {}
    for kind, make in MAKERS.items():
        (folder / kind).mkdir(parents=True)
        made[kind] = [content(number) for number in range(1, count + 1)]
        for number, one in enumerate(made[kind], start=1):
            (folder / kind / f"{number:03}.{kind}").write_bytes(make(one))
    return made


def _markdown(given: Content) -> bytes:
    parts = [f"# {given.title}"]
    for heading, texts in given.sections:
        parts += [f"## {heading}", *texts]
    rows = [HEADER, ("---",) * len(HEADER), *given.rows]
    parts.append("\n".join(f"| {' | '.join(row)} |" for row in rows))
    return "\n\n".join(parts).encode()


def _html(given: Content) -> bytes:
    parts = [f"<h1>{given.title}</h1>"]
    for heading, texts in given.sections:
        parts += [f"<h2>{heading}</h2>", *(f"<p>{text}</p>" for text in texts)]
    rows = "".join(f"<tr><td>{'</td><td>'.join(row)}</td></tr>" for row in given.rows)
    head = f"<tr><th>{'</th><th>'.join(HEADER)}</th></tr>"
    body = "\n".join([*parts, f"<table>{head}{rows}</table>"])
    return f"<!doctype html><html><body>{body}</body></html>".encode()


def _docx(given: Content) -> bytes:
    import docx

    document = docx.Document()
    document.add_heading(given.title, 1)
    for heading, texts in given.sections:
        document.add_heading(heading, 2)
        for text in texts:
            document.add_paragraph(text)
    table = document.add_table(0, len(HEADER))
    for row in (HEADER, *given.rows):
        for cell, text in zip(table.add_row().cells, row, strict=True):
            cell.text = text
    out = io.BytesIO()
    document.save(out)
    return out.getvalue()


def _pptx(given: Content) -> bytes:
    import pptx

    show = pptx.Presentation()
    slide = show.slides.add_slide(show.slide_layouts[5])
    slide.shapes.title.text = given.title
    table = slide.shapes.add_table(ROWS + 1, len(HEADER), 0, 2_000_000, 8_000_000, 4_000_000).table
    for at, row in enumerate((HEADER, *given.rows)):
        for column, text in enumerate(row):
            table.cell(at, column).text = text
    for heading, texts in given.sections:
        slide = show.slides.add_slide(show.slide_layouts[1])
        slide.shapes.title.text = heading
        slide.placeholders[1].text_frame.text = "\n".join(texts)
    out = io.BytesIO()
    show.save(out)
    return out.getvalue()


def _xlsx(given: Content) -> bytes:
    import openpyxl

    book = openpyxl.Workbook()
    sheet = book.active
    assert sheet is not None
    for row in (HEADER, *given.rows):
        sheet.append([int(cell) if cell.isdecimal() else cell for cell in row])
    out = io.BytesIO()
    book.save(out)
    return out.getvalue()


def _csv(given: Content) -> bytes:
    return "".join(f"{','.join(row)}\n" for row in (HEADER, *given.rows)).encode()


def _pdf(given: Content) -> bytes:
    lines = [(50, 760, 20, given.title)]
    top = 725
    for heading, texts in given.sections:
        lines.append((50, top, 14, heading))
        lines += [(50, top - 22 - 14 * n, 10, text) for n, text in enumerate(texts)]
        top -= 70
    for number, row in enumerate((HEADER, *given.rows)):
        lines += [(50 + 130 * n, top - 15 * number, 10, text) for n, text in enumerate(row)]
    return pdf_of(lines)


def pdf_of(lines: Sequence[tuple[int, int, int, str]]) -> bytes:
    """One page of Helvetica: x, y, size in points, and a text without brackets."""
    stream = "\n".join(f"BT /F1 {s} Tf {x} {y} Td ({text}) Tj ET" for x, y, s, text in lines)
    font = "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>"
    objects = [
        "<< /Type /Catalog /Pages 2 0 R >>",
        "<< /Type /Pages /Kids [4 0 R] /Count 1 >>",
        f"<< /Length {len(stream)} >>\nstream\n{stream}\nendstream",
        "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 600 800] "
        f"/Resources << /Font << /F1 {font} >> >> /Contents 3 0 R >>",
    ]
    out, offsets = io.BytesIO(), list[int]()
    out.write(b"%PDF-1.4\n")
    for number, body in enumerate(objects, start=1):
        offsets.append(out.tell())
        out.write(f"{number} 0 obj\n{body}\nendobj\n".encode("latin-1"))
    start, size = out.tell(), len(objects) + 1
    rows = "".join(f"{offset:010d} 00000 n \n" for offset in offsets)
    out.write(f"xref\n0 {size}\n0000000000 65535 f \n{rows}".encode())
    out.write(f"trailer\n<< /Size {size} /Root 1 0 R >>\nstartxref\n{start}\n%%EOF\n".encode())
    return out.getvalue()


MAKERS: dict[str, Callable[[Content], bytes]] = {
    "md": _markdown, "html": _html, "docx": _docx, "pptx": _pptx, "xlsx": _xlsx, "csv": _csv,
    "pdf": _pdf,
}  # fmt: skip
WITHOUT_PROSE = ("xlsx", "csv")
