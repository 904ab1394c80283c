"""Make the binary documents of the sample corpus from the plain texts beside the tests.

    python tests/tools/make_office_samples.py --font NanumGothic.ttf --out FOLDER

The texts stand in `tests/samples/office_sources` in a small markup: `#` and `##` headings, `-` list
items, `|` table rows (the first one is the header), `>` speaker notes, and for workbooks
tab-separated rows under `[sheet name]`. Everything else is a paragraph. The outputs depend only on
the texts, the font and the libraries' versions: dates are fixed and archives are packed again.
Needs python-docx, python-pptx, openpyxl and reportlab (the last one for this script only).
"""

import argparse
import datetime as dt
import itertools
import re
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from reportlab.lib.styles import ParagraphStyle
    from reportlab.platypus import Flowable

SOURCES = Path(__file__).parent.parent / "samples" / "office_sources"
FIXED_DATE = dt.datetime(2026, 11, 2, 9, 0, 0, tzinfo=dt.UTC)
AUTHOR = "Platform team, Byeolsaem Logistics"
MARKS = {"# ": "title", "## ": "heading", "- ": "item", "> ": "note", "| ": "row"}
KOREAN_FONT = "SampleKorean"


@dataclass(frozen=True, slots=True)
class Part:
    """One line of a source text, or all rows of one table."""

    kind: str
    text: str = ""
    rows: tuple[tuple[str, ...], ...] = ()


def read_parts(path: Path) -> list[Part]:
    """The parts of a source text in order, neighbouring table rows joined into one table."""
    lines = (line for line in path.read_text(encoding="utf-8").splitlines() if line.strip())
    parts: list[Part] = []
    for kind, group in itertools.groupby(map(parse_line, lines), key=lambda part: part.kind):
        if kind == "row":
            parts.append(Part("table", rows=tuple(map(cells_of, group))))
        else:
            parts.extend(group)
    return parts


def parse_line(line: str) -> Part:
    """One line as a part."""
    for mark, kind in MARKS.items():
        if line.startswith(mark):
            return Part(kind, line.removeprefix(mark).strip())
    return Part("paragraph", line.strip())


def cells_of(row: Part) -> tuple[str, ...]:
    """The cells of a table row."""
    return tuple(cell.strip() for cell in row.text.strip("| ").split("|"))


def make_docx(parts: list[Part]) -> bytes:
    """A Word document with real heading styles and tables."""
    import docx

    document = docx.Document()
    set_core_properties(document.core_properties, title=parts[0].text)
    for part in parts:
        if part.kind == "table":
            table = document.add_table(rows=0, cols=len(part.rows[0]), style="Table Grid")
            for row in part.rows:
                for cell, text in zip(table.add_row().cells, row, strict=True):
                    cell.text = text
        elif part.kind in ("title", "heading"):
            document.add_heading(part.text, level=0 if part.kind == "title" else 1)
        else:
            style = "List Bullet" if part.kind == "item" else None
            document.add_paragraph(part.text, style=style)
    return saved(document.save)


def make_pptx(parts: list[Part]) -> bytes:
    """A slide deck: one slide per heading, with bullets, a table and speaker notes."""
    import pptx

    deck = pptx.Presentation()
    set_core_properties(deck.core_properties, title=parts[0].text)
    cover = deck.slides.add_slide(deck.slide_layouts[0])
    cover.shapes.title.text = parts[0].text
    cover.placeholders[1].text = parts[1].text
    for heading, body in slides_of(parts[2:]):
        add_slide(deck, heading, body)
    return saved(deck.save)


def slides_of(parts: list[Part]) -> Iterator[tuple[str, list[Part]]]:
    """Heading and body of each slide."""
    starts = [i for i, part in enumerate(parts) if part.kind == "heading"]
    for start, end in itertools.pairwise([*starts, len(parts)]):
        yield parts[start].text, parts[start + 1 : end]


def add_slide(deck, heading: str, body: list[Part]) -> None:
    """One slide; a slide with a table uses the layout without a text frame."""
    from pptx.util import Emu, Inches

    tables = [part for part in body if part.kind == "table"]
    slide = deck.slides.add_slide(deck.slide_layouts[5 if tables else 1])
    slide.shapes.title.text = heading
    items = [part.text for part in body if part.kind in ("item", "paragraph")]
    if items:
        slide.placeholders[1].text_frame.text = "\n".join(items)
    for part in tables:
        size = (len(part.rows), len(part.rows[0]))
        width = Emu(deck.slide_width - Inches(1))
        frame = slide.shapes.add_table(*size, Inches(0.5), Inches(1.7), width, Inches(3))
        for y, x in itertools.product(*map(range, size)):
            frame.table.cell(y, x).text = part.rows[y][x]
    notes = [part.text for part in body if part.kind == "note"]
    if notes:
        slide.notes_slide.notes_text_frame.text = "\n".join(notes)


def make_xlsx(path: Path) -> bytes:
    """A workbook with one sheet per `[name]`; cells that look like numbers are numbers."""
    import openpyxl
    from openpyxl.styles import Font

    book = openpyxl.Workbook()
    book.remove(book.worksheets[0])
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith("["):
            book.create_sheet(line.strip("[]"))
        else:
            book.worksheets[-1].append([cell_value(text) for text in line.split("\t")])
    for sheet in book.worksheets:
        sheet.freeze_panes = "A2"
        for cell in sheet[1]:
            cell.font = Font(bold=True)
    book.properties.creator = AUTHOR
    book.properties.created = FIXED_DATE.replace(tzinfo=None)
    return saved(book.save)


def cell_value(text: str) -> str | float:
    """Prices become numbers; dates, percentages and amounts with commas stay text."""
    return float(text) if re.fullmatch(r"\d+\.\d+", text) else text


def make_pdf(parts: list[Part], font: Path) -> bytes:
    """A PDF of several pages. Lines break at spaces only, so that Korean words stay whole."""
    from reportlab.lib.pagesizes import A4
    from reportlab.pdfbase import pdfmetrics
    from reportlab.pdfbase.ttfonts import TTFont
    from reportlab.platypus import SimpleDocTemplate

    pdfmetrics.registerFont(TTFont(KOREAN_FONT, str(font)))
    title = parts[0].text
    buffer = BytesIO()
    template = SimpleDocTemplate(
        buffer, pagesize=A4, title=title, author=AUTHOR, invariant=1, topMargin=70, bottomMargin=70
    )

    def footer() -> None:
        template.canv.setFont(KOREAN_FONT, 8)
        template.canv.drawRightString(A4[0] - 72, 40, str(template.canv.getPageNumber()))

    # After the body, so that the page number is also read last.
    template.afterPage = footer
    template.build(list(flowables(parts)))
    return buffer.getvalue()


def flowables(parts: list[Part]) -> "Iterator[Flowable]":
    """Reportlab's paragraphs and tables for the parts."""
    from reportlab.lib.styles import ParagraphStyle
    from reportlab.platypus import Paragraph

    body = ParagraphStyle("body", fontName=KOREAN_FONT, fontSize=11.5, leading=20, spaceAfter=10)
    styles = {
        "title": ParagraphStyle("title", body, fontSize=20, leading=28, spaceAfter=12),
        "heading": ParagraphStyle("heading", body, fontSize=15, leading=22, spaceBefore=12),
        "item": ParagraphStyle("item", body, leftIndent=14, bulletIndent=2),
    }
    for part in parts:
        if part.kind == "table":
            yield pdf_table(part.rows, body)
        else:
            bullet = "•" if part.kind == "item" else None
            yield Paragraph(part.text, styles.get(part.kind, body), bulletText=bullet)


def pdf_table(rows: tuple[tuple[str, ...], ...], body: "ParagraphStyle") -> "Flowable":
    """A grid whose columns share the width by their longest cell."""
    from reportlab.lib import colors
    from reportlab.lib.styles import ParagraphStyle
    from reportlab.platypus import Paragraph, Table

    style = ParagraphStyle("cell", body, fontSize=9, leading=12, spaceAfter=0)
    longest = [max(len(text) for text in column) ** 0.5 for column in zip(*rows, strict=True)]
    widths = [450 * length / sum(longest) for length in longest]
    table = Table([[Paragraph(text, style) for text in row] for row in rows], widths, repeatRows=1)
    table.setStyle([("GRID", (0, 0), (-1, -1), 0.5, colors.grey)])
    table.spaceAfter = 10
    return table


def set_core_properties(properties, *, title: str) -> None:
    """The metadata that would otherwise hold the clock's time."""
    properties.title, properties.author = title, AUTHOR
    properties.created = properties.modified = FIXED_DATE


def saved(save: Callable[[BytesIO], object]) -> bytes:
    """An Office archive packed again: fixed dates, without the template's thumbnail."""
    raw, packed = BytesIO(), BytesIO()
    save(raw)
    stamp = FIXED_DATE.strftime("%Y-%m-%dT%H:%M:%SZ").encode()
    with zipfile.ZipFile(raw) as source, zipfile.ZipFile(packed, "w") as target:
        for name in source.namelist():
            data = source.read(name)
            if name == "docProps/core.xml":
                # openpyxl writes the time of saving whatever the properties say.
                data = re.sub(rb"\d{4}-\d\d-\d\dT[\d:]+Z", stamp, data)
            info = zipfile.ZipInfo(name, date_time=FIXED_DATE.timetuple()[:6])
            target.writestr(info, data, compress_type=zipfile.ZIP_DEFLATED)
    return packed.getvalue()


def outputs(font: Path) -> Iterator[tuple[str, bytes]]:
    """Key in the corpus and bytes of each binary document."""

    def parts(name: str) -> list[Part]:
        return read_parts(SOURCES / f"{name}.md")

    yield "security/security-policy.docx", make_docx(parts("security-policy"))
    yield "ops/slo.docx", make_docx(parts("slo"))
    yield "planning/capacity-plan-2027.pptx", make_pptx(parts("capacity-plan"))
    yield "planning/platform-roadmap.pptx", make_pptx(parts("platform-roadmap"))
    yield "postmortems/2026-09-17-milvus-outage.pdf", make_pdf(parts("milvus-outage"), font)
    yield "onboarding/onboarding-guide.pdf", make_pdf(parts("onboarding-guide"), font)
    yield "finance/gpu-price-sheet.xlsx", make_xlsx(SOURCES / "gpu-price-sheet.tsv")
    yield "finance/cost-report-2026-10.xlsx", make_xlsx(SOURCES / "cost-report-2026-10.tsv")


def main() -> None:
    """Write every binary document under the folder that is named on the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--font", type=Path, required=True, help="a TrueType font with Hangul")
    parser.add_argument("--out", type=Path, required=True, help="the corpus folder")
    arguments = parser.parse_args()
    for key, data in outputs(arguments.font):
        path = arguments.out / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        print(f"{len(data):8,} bytes  {key}")


if __name__ == "__main__":
    main()
