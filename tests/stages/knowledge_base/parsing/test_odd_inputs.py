"""Inputs as people really have them, each made here, with what must and must not come out."""

import io
import json
import zipfile
from collections.abc import Callable
from typing import Any

import pytest

from platform_pipelines.core.knowledge_base.documents import (
    DocumentType,
    NoteKind,
    ParsedDocument,
    Reason,
)
from platform_pipelines.errors import DocumentError
from platform_pipelines.stages.knowledge_base.parsing.parse import parse_document

_W = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'
_M = 'xmlns:m="http://schemas.openxmlformats.org/officeDocument/2006/math"'
_TRANSITIONAL = "http://schemas.openxmlformats.org"
_STRICT = "http://purl.oclc.org/ooxml"


def read(data: bytes | str, key: str) -> ParsedDocument:
    return parse_document(data if isinstance(data, bytes) else data.encode(), key=key)


def lines(document: ParsedDocument) -> list[str]:
    return "\n".join(block.text for block in document.blocks).splitlines()


def kinds(document: ParsedDocument) -> set[NoteKind]:
    return {note.kind for note in document.notes}


TEXTS: dict[str, tuple[str, bytes, str, list[str]]] = {
    "UTF-16 CSV": (
        "a.csv", "이름,금액\n김철수,\"₩1,000\"\n".encode("utf-16"), "csv",
        ["이름: 김철수 | 금액: ₩1,000"],
    ),
    "semicolons": (
        "a.csv", "이름;나이\n김;30\n박;41\n".encode(), "csv", ["이름: 김 | 나이: 30"],
    ),
    "TSV with years and empty cells": (
        "a.tsv", b"region\t2023\t2024\nSeoul\t10\t\nBusan\t\t12\n", "csv",
        ["region: Seoul | 2023: 10", "region: Busan | 2024: 12"],
    ),
    "CP949 with a line break in a cell": (
        "faq.csv", '질문,답\n"휴가는\n며칠인가?","15일"\n'.encode("cp949"), "csv",
        ["질문: 휴가는 며칠인가? | 답: 15일"],
    ),
    "CP949 text": (
        "a.txt", "제1조(목적) 이 규정은 이렇다.\n\n제2조(정의)\n1. 갑\n".encode("cp949"),
        "text", ["제1조(목적) 이 규정은 이렇다.", "1. 갑"],
    ),
    "JSON lines of records": (
        "a.jsonl", b'{"id":1,"q":"what"}\n{"id":2,"q":"why"}\n', "code", ['{"id":2,"q":"why"}'],
    ),
    "EUC-KR XHTML with a script": (
        "a.xhtml",
        '<?xml version="1.0" encoding="euc-kr"?><html xmlns="http://www.w3.org/1999/xhtml"><head>'
        '<title/><script src="a.js"/></head><body><p>본문</p><a name="x"/><p>둘</p></body></html>'
        .encode("euc-kr"), "html", ["본문", "둘"],
    ),
    "subtitles": (
        "a.srt", "1\n00:00:01,000 --> 00:00:02,000\n안녕하세요\n".encode(), "text", ["안녕하세요"],
    ),
    "Markdown's notes, tasks and a table in a list": (
        "a.md", "# 제목\n\n[TODO]: rotate\n\nSee[^1].\n\n[^1]: The note.\n\n- [ ] open\n"
        "  1. inner\n\n"
        "     | a | b |\n     |---|---|\n     | 1 | 2 |\n".encode(), "markdown",
        ["[TODO]: rotate", "[^1]: The note.", "- [ ] open", "a | b", "1 | 2"],
    ),
    "HTML with merged headers": (
        "a.html", "<table><tr><th rowspan=2>구분</th><th colspan=2>2026년</th></tr><tr>"
        "<th>목표</th><th>실적</th></tr><tr><td rowspan=2>서울</td><td>1</td><td>2</td></tr>"
        "<tr><td>3</td><td>4</td></tr></table>".encode(), "html",
        ["구분 | 2026년 / 목표 | 2026년 / 실적", "서울 | 3 | 4"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", TEXTS)
def test_texts_are_read_in_their_encoding_and_shape(name: str) -> None:
    """Rows with their headers, Korean in any of its codes."""
    key, data, kind, wanted = TEXTS[name]
    document = read(data, key)
    assert document.type == kind
    assert [line for line in wanted if line not in lines(document)] == []


def test_a_menu_is_no_table_and_raised_digits_are_no_digits() -> None:
    """`x2` for x squared is another number; a menu's rows filled chunks."""
    page = (
        "<table><tr><td><a href=a>Home</a></td><td><a href=b>Docs</a></td>"
        "<td><a href=c>Blog</a></td></tr></table>"
        "<h1>Water <button>Show</button></h1><p>x<sup>2</sup> and 10<sup>-3</sup></p>"
    )
    document = read(page, "a.html")
    assert lines(document) == ["Water Show", "x^2 and 10^-3"]
    assert kinds(document) == {NoteKind.HIDDEN}


SLACK = [
    {"type": "message", "user": "U1", "ts": "1.0", "text": "old"},
    {"type": "message", "user": "U3", "ts": "2.0", "text": "regretted"},
    {
        "type": "message", "subtype": "message_changed", "ts": "3.0",
        "message": {"type": "message", "user": "U1", "ts": "1.0", "text": "new &lt;b&gt;"},
    },
    {"type": "message", "subtype": "message_deleted", "ts": "4.0", "deleted_ts": "2.0"},
    {"type": "message", "user": "U2", "ts": "5.0", "thread_ts": "1.0", "text": "reply"},
    {
        "type": "message", "subtype": "bot_message", "bot_id": "B1", "username": "alerts",
        "ts": "6.0", "text": "",
        "attachments": [{"pretext": "Firing", "title": "Disk", "text": "93%", "fallback": "fb"}],
    },
]  # fmt: skip
TEAMS = {
    "value": [
        {
            "id": "1", "messageType": "message", "createdDateTime": "2026-01-01T01:00:00Z",
            "subject": "Plan", "from": {"application": None, "user": {"displayName": "Hana"}},
            "body": {"contentType": "html", "content": "<p>Move to <b>Thursday</b></p>"},
            "attachments": [{"id": "7", "contentType": "reference", "name": "plan.docx"}],
        },
        {
            "id": "2", "messageType": "systemEventMessage", "from": None,
            "createdDateTime": "2026-01-01T01:00:00Z",
            "body": {"contentType": "html", "content": "<systemEventMessage/>"},
        },
    ]
}  # fmt: skip
DISCORD = {
    "guild": {"name": "Ops"}, "channel": {"name": "general"},
    "messages": [
        {
            "id": "1", "type": "Default", "timestamp": "2026-01-01T10:00:00+09:00", "content": "",
            "author": {"name": "kim", "nickname": "김대리"},
            "embeds": [{"title": "Alert", "description": "DB down"}],
            "attachments": [{"fileName": "a.png"}],
        },
        {
            "id": "2", "type": "ChannelPinnedMessage", "content": "Pinned a message.",
            "timestamp": "2026-01-01T10:00:00+09:00", "author": {"name": "lee"},
        },
    ],
}  # fmt: skip
MATTERMOST = [
    {"type": "version", "version": 1},
    {"type": "team", "team": {"name": "t", "display_name": "T"}},
    *({"type": "user", "user": {"username": f"u{n}", "email": "k@x"}} for n in range(80)),
    {
        "type": "post",
        "post": {
            "channel": "town", "user": "kim", "message": "go live", "create_at": 1767258000000,
            "replies": [{"user": "lee", "message": "ok", "create_at": 1767258001000}],
            "props": {"attachments": [{"text": "alert body"}]},
        },
    },
]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        (json.dumps(SLACK), ["new <b>", "reply", "Firing", "Disk", "93%"]),
        (json.dumps(TEAMS), ["Plan", "Move to Thursday", "[file: plan.docx]"]),
        (json.dumps(DISCORD), ["[file: a.png]", "Alert", "DB down"]),
        ("\n".join(map(json.dumps, MATTERMOST)), ["go live", "alert body", "ok"]),
    ],
    ids=["slack", "teams", "discord", "mattermost"],
)
def test_chats_are_read_as_they_ended(text: str, wanted: list[str]) -> None:
    """An edit stood beside what it changed, a deleted message was quoted, a head hid the posts."""
    document = read(text, "a.json")
    assert document.type is DocumentType.CHAT
    assert lines(document) == wanted


def test_clauses_of_a_contract_have_their_numbers(saved: Callable[[Any], bytes]) -> None:
    """제1조 to 제2조, 가. and ①, and from 1 again in the supplement, as Word shows them."""
    import docx
    from docx.oxml import parse_xml

    document = docx.Document()
    numbering = document.part.numbering_part.element
    depths = (("decimal", "제%1조"), ("ganada", "%2."), ("decimalEnclosedCircle", "%3"))
    levels = "".join(
        f'<w:lvl w:ilvl="{n}"><w:start w:val="1"/><w:numFmt w:val="{kind}"/>'
        f'<w:lvlText w:val="{text}"/></w:lvl>'
        for n, (kind, text) in enumerate(depths)
    )
    again = '<w:lvlOverride w:ilvl="0"><w:startOverride w:val="1"/></w:lvlOverride>'
    numbering.insert(
        0, parse_xml(f'<w:abstractNum {_W} w:abstractNumId="90">{levels}</w:abstractNum>')
    )
    for name, change in (("91", ""), ("92", again)):
        numbering.append(
            parse_xml(f'<w:num {_W} w:numId="{name}"><w:abstractNumId w:val="90"/>{change}</w:num>')
        )

    def add(text: str, name: int, depth: int) -> None:
        properties = document.add_paragraph(text)._p.get_or_add_pPr()
        mark = f'<w:ilvl w:val="{depth}"/><w:numId w:val="{name}"/>'
        properties.append(parse_xml(f"<w:numPr {_W}>{mark}</w:numPr>"))

    for text, name, depth in (
        ("목적", 91, 0), ("정의", 91, 0), ("갑", 91, 1), ("첫째", 91, 2), ("적용", 91, 0),
        ("다시", 91, 1), ("시행일", 92, 0),
    ):  # fmt: skip
        add(text, name, depth)
    assert [line.strip() for line in lines(read(saved(document), "a.docx"))] == [
        "제1조 목적", "제2조 정의", "가. 갑", "① 첫째", "제3조 적용", "가. 다시", "제1조 시행일"
    ]  # fmt: skip


def test_word_shows_formulas_and_insertions_and_hides_what_is_hidden(
    saved: Callable[[Any], bytes],
) -> None:
    """Hidden text was quoted; a raised 2 made `mc2` of E = mc²."""
    import docx
    from docx.oxml import parse_xml

    document = docx.Document()
    paragraph = document.add_paragraph("E = mc")
    paragraph.add_run("2").font.superscript = True
    document.add_paragraph("seen").add_run(" unseen").font.hidden = True
    half = (
        f"<m:oMath {_M}><m:f><m:num><m:r><m:t>a</m:t></m:r></m:num><m:den><m:r><m:t>2</m:t></m:r>"
    )
    document.add_paragraph("is ")._p.append(parse_xml(f"{half}</m:den></m:f></m:oMath>"))
    read_back = read(saved(document), "a.docx")
    assert lines(read_back) == ["E = mc^2", "seen", "is a/2"]
    assert kinds(read_back) == {NoteKind.HIDDEN}


def _workbook() -> Any:
    import openpyxl
    from openpyxl.comments import Comment

    book = openpyxl.Workbook()
    sheet = book.active
    assert sheet is not None
    sheet.append(["사번", "시간", "금액", "음수", "수식"])
    sheet.append([42, 1.5, 1234567, -5, "=SUM(C2:C3)"])
    sheet.append([43, 0.25, 0, -1234, 7])
    for row in (2, 3):
        for column, code in zip(
            "ABCD", ("000000", "[h]:mm", "₩#,##0", "#,##0;(#,##0)"), strict=True
        ):
            sheet[f"{column}{row}"].number_format = code
    sheet.append([44, 9, 9, 9, 9])
    sheet.row_dimensions[4].hidden = True
    sheet["A5"] = "단위: 원"
    sheet.merge_cells("A5:D5")
    sheet["A5"].comment = Comment("메모", "kim")
    book.create_sheet("secret").sheet_state = "veryHidden"
    return book


@pytest.mark.parametrize("is_strict", [False, True])
def test_cells_are_shown_as_excel_shows_them(
    saved: Callable[[Any], bytes], with_part: Callable[..., bytes], is_strict: bool
) -> None:
    """Also of Strict Office XML; a remark below the table is no employee's number."""
    data = saved(_workbook())
    document = read(_strict(data, with_part) if is_strict else data, "a.xlsx")
    assert lines(document) == [
        "사번: 000042 | 시간: 36:00 | 금액: ₩1,234,567 | 음수: (5) | 수식: =SUM(C2:C3)",
        "사번: 000043 | 시간: 6:00 | 금액: ₩0 | 음수: (1,234) | 수식: 7",
        "단위: 원",
    ]
    assert kinds(document) == {NoteKind.HIDDEN, NoteKind.NO_VALUE, NoteKind.PART_LEFT_OUT}


def _strict(data: bytes, with_part: Callable[..., bytes]) -> bytes:
    """The same file in the Strict variant's namespaces."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        names = [n for n in archive.namelist() if n.endswith((".xml", ".rels"))]
    for name in names:
        if "[Content" not in name and "package" not in name:
            data = with_part(data, name, _to_strict)
    return data


def _to_strict(xml: str) -> str:
    for kind in ("spreadsheetml", "presentationml", "drawingml", "officeDocument"):
        xml = xml.replace(f"{_TRANSITIONAL}/{kind}/2006/", f"{_STRICT}/{kind}/")
    return xml


@pytest.mark.parametrize("is_strict", [False, True])
def test_a_slide_with_an_empty_chart_value_and_merged_headers(
    saved: Callable[[Any], bytes], with_part: Callable[..., bytes], is_strict: bool
) -> None:
    """`#N/A` in a chart cost the file; so did the Strict variant."""
    import pptx
    from pptx.chart.data import CategoryChartData
    from pptx.enum.chart import XL_CHART_TYPE

    show = pptx.Presentation()
    slide = show.slides.add_slide(show.slide_layouts[5])
    slide.shapes.title.text = "분기 실적"
    data = CategoryChartData()
    data.categories = ["1분기", "2분기"]
    data.add_series("매출", (10, 20))
    slide.shapes.add_chart(XL_CHART_TYPE.COLUMN_CLUSTERED, 0, 0, 999999, 999999, data)
    table = slide.shapes.add_table(3, 3, 0, 0, 999999, 999999).table
    for at, text in {(0, 0): "구분", (0, 1): "2026", (1, 1): "목표", (1, 2): "실적"}.items():
        table.cell(*at).text = text
    for column, text in enumerate(("서울", "1", "2")):
        table.cell(2, column).text = text
    table.cell(0, 1).merge(table.cell(0, 2))
    table.cell(0, 0).merge(table.cell(1, 0))
    file = saved(show)
    with zipfile.ZipFile(io.BytesIO(file)) as archive:
        chart = next(n for n in archive.namelist() if "charts/chart" in n and n.endswith("xml"))
    file = with_part(file, chart, lambda xml: xml.replace("<c:v>10</c:v>", "<c:v>#N/A</c:v>"))
    found = lines(read(_strict(file, with_part) if is_strict else file, "a.pptx"))
    assert "2분기 | 20" in found
    assert found[-2:] == ["구분 | 2026 / 목표 | 2026 / 실적", "서울 | 1 | 2"]


def _two_rows(top: float, rows: list[tuple[str, ...]], *, header: bool) -> list[Any]:
    """A table whose years stand in the middle over two columns each."""
    lines: list[Any] = []
    if header:
        lines += [(50, top, 10, "Region"), (222, top, 10, "2025"), (372, top, 10, "2026")]
        names = zip((200, 250, 350, 400), ("Plan", "Actual", "Plan", "Actual"), strict=True)
        lines += [(x, top - 15, 10, name) for x, name in names]
        top -= 30
    for number, row in enumerate(rows):
        at = zip((50, 200, 250, 350, 400), row, strict=True)
        lines += [(x, top - 15 * number, 10, cell) for x, cell in at]
    return lines


@pytest.mark.parametrize("again", [True, False])
def test_a_header_of_two_rows_holds_over_two_pages(
    make_pdf: Callable[..., bytes], again: bool
) -> None:
    """The second row of names was taken for values: `Actual 2` in the first row of the table."""
    rows = [(f"City{n}", *(str(n + m) for m in range(4))) for n in range(1, 41)]
    pages = [_two_rows(760, rows[:20], header=True), _two_rows(760, rows[20:], header=again)]
    document = read(make_pdf(pages), "a.pdf")
    names = "Region | 2025 / Plan | 2025 / Actual | 2026 / Plan | 2026 / Actual"
    assert {block.header for block in document.blocks} == {names}
    found = [line for line in lines(document) if line != names]
    assert found == [" | ".join(row) for row in rows]


@pytest.mark.parametrize(
    ("above", "below", "joined"),
    [("on-", "call duty", "on-call duty"), ("docu-", "ments here", "documents here")],
)
def test_a_hyphen_at_a_lines_end_is_kept_where_it_is_one(
    make_pdf: Callable[..., bytes], above: str, below: str, joined: str
) -> None:
    """`oncall` is found by nobody who asks for on-call."""
    page = [(50, 700, 11, f"The team that reads it is {above}"), (50, 686, 11, below)]
    assert joined in " ".join(lines(read(make_pdf([page]), "a.pdf")))


def test_rules_of_an_hwpx_have_their_numbers() -> None:
    """The numbers of clauses are nowhere in the text of the file."""
    forms = (("DIGIT", "제^1조"), ("HANGUL_SYLLABLE", "^2."), ("CIRCLED_DIGIT", "^3"))
    heads = "".join(
        f'<hh:paraHead start="1" level="{n}" numFormat="{form}">{text}</hh:paraHead>'
        for n, (form, text) in enumerate(forms, start=1)
    )
    of_forms = "".join(
        f'<hh:paraPr id="{n}"><hh:heading type="NUMBER" idRef="1" level="{n}"/></hh:paraPr>'
        for n in range(3)
    )
    bullet = '<hh:paraPr id="9"><hh:heading type="BULLET" idRef="2" level="0"/></hh:paraPr>'
    head = (
        '<hh:head xmlns:hh="http://www.hancom.co.kr/hwpml/2011/head">'
        f'<hh:numbering id="1">{heads}</hh:numbering><hh:bullet id="2" char="●"/>'
        f"{of_forms}{bullet}</hh:head>"
    )
    texts = (
        ("목적", 0),
        ("정의", 0),
        ("갑", 1),
        ("을", 1),
        ("첫째", 2),
        ("적용", 0),
        ("다시", 1),
        ("점", 9),
    )
    section = "".join(
        f'<hp:p paraPrIDRef="{form}"><hp:run><hp:t>{text}</hp:t></hp:run></hp:p>'
        for text, form in texts
    )
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("mimetype", "application/hwp+zip")
        archive.writestr("Contents/header.xml", head)
        archive.writestr(
            "Contents/section0.xml",
            f'<s xmlns:hp="http://www.hancom.co.kr/hwpml/2011/paragraph">{section}</s>',
        )
    assert lines(read(out.getvalue(), "a.hwpx")) == [
        "제1조 목적", "제2조 정의", "가. 갑", "나. 을", "① 첫째", "제3조 적용", "가. 다시", "● 점"
    ]  # fmt: skip


def test_a_binary_hwp_says_what_to_convert_it_to() -> None:
    """The commonest file of a Korean office's drive is not just another old format."""
    data = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600)
    with pytest.raises(DocumentError) as caught:
        read(data, "규정.hwp")
    assert caught.value.reason == Reason.UNSUPPORTED
    assert "HWPX" in caught.value.remedy


def test_a_mail_in_korean_codes_has_all_its_text() -> None:
    """Headers, body and attachment in their own codes; the footer of a list is text, too."""
    body, rows = "회의는 3시입니다".encode("cp949"), "품목,가격\n랙,3\n".encode("cp949")
    parts = [
        b"Content-Type: text/plain; charset=ks_c_5601-1987\r\n\r\n" + body,
        b"Content-Type: text/plain; charset=utf-8\r\n\r\nfooter of a list",
        b"Content-Type: application/octet-stream\r\nContent-Disposition: attachment; "
        b"filename*=UTF-8''%EA%B0%80%EA%B2%A9.csv\r\n\r\n" + rows,
    ]
    head = (
        b"From: =?EUC-KR?Q?=C8=B8=C0=C7?= <a@b.c>\r\nSubject: =?EUC-KR?Q?=C8=B8=C0=C7?=\r\n"
        b"Message-ID: <1@x>\r\nMIME-Version: 1.0\r\n"
        b"Content-Type: multipart/mixed; boundary=q\r\n\r\n"
    )
    data = head + b"".join(b"--q\r\n" + part + b"\r\n" for part in parts) + b"--q--\r\n"
    document = read(data, "a.eml")
    assert document.title == "회의"
    assert lines(document)[2:] == [
        "회의는 3시입니다", "footer of a list", "가격.csv", "품목: 랙 | 가격: 3"
    ]  # fmt: skip
