"""Mail, saved pages and HWPX: parts in their own charsets, attachments, merged tables, notes."""

import io
import zipfile
from email.message import EmailMessage

import pytest

from platform_pipelines.core.knowledge_base.documents import (
    BlockKind,
    DocumentType,
    NoteKind,
    Reason,
)
from platform_pipelines.errors import DocumentError
from platform_pipelines.stages.knowledge_base.parsing.parse import parse_document

_PARAGRAPH = "http://www.hancom.co.kr/hwpml/2011/paragraph"
_HEAD = "http://www.hancom.co.kr/hwpml/2011/head"


def _mail() -> EmailMessage:
    message = EmailMessage()
    message["From"] = "Hana <hana@example.com>"
    message["To"] = "ops@example.com"
    message["Subject"] = "이전 일정"
    message["Message-ID"] = "<1@example.com>"
    message.set_content("본문입니다", charset="euc-kr")
    return message


def test_a_mail_has_its_attachments_as_documents_with_their_own_places() -> None:
    """A base64 body was prose; a price list in a mail was nowhere."""
    message = _mail()
    message.add_attachment("품목,2023,2024\n랙,1,2\n", subtype="csv", filename="가격.csv")
    message.add_attachment(b"\x89PNG\r\n\x1a\n", maintype="image", subtype="png", filename="a.png")
    message.add_attachment(b"MZ\x90\0", maintype="application", subtype="x", filename="a.exe")
    document = parse_document(bytes(message), key="mail")
    assert document.type is DocumentType.MAIL
    assert document.title == "이전 일정"
    assert [b.text for b in document.blocks][1:] == [
        "본문입니다", "가격.csv", "품목: 랙 | 2023: 1 | 2024: 2"
    ]  # fmt: skip
    assert document.blocks[-1].place.heading == ("가격.csv",)
    assert [note.kind for note in document.notes] == [NoteKind.PICTURE, NoteKind.ATTACHMENT]
    assert "unsupported" in document.notes[1].what


def test_the_page_of_a_mail_is_read_where_it_has_a_table() -> None:
    """A plain form of a table is a heap of cells."""
    message = _mail()
    table = "<table><tr><th>Host</th><th>Owner</th></tr><tr><td>a</td><td>kim</td></tr></table>"
    message.add_alternative(f"<p>see</p>{table}", subtype="html")
    texts = [b.text for b in parse_document(bytes(message), key="m.eml").blocks]
    assert texts[1:] == ["see", "Host | Owner\na | kim"]


def test_a_saved_page_is_a_page() -> None:
    """MHTML: the parts beside the page are its pictures and styles."""
    page = (
        b"From: <Saved by Blink>\r\nSnapshot-Content-Location: https://a.b/\r\nSubject: T\r\n"
        b'MIME-Version: 1.0\r\nContent-Type: multipart/related; type="text/html"; boundary="b"\r\n'
        b"\r\n--b\r\nContent-Type: text/html\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n"
        b"<h1>Rules=20now</h1><p>=EB=8B=B9=EC=A7=81</p>\r\n--b\r\nContent-Type: text/css\r\n\r\n"
        b"p{}\r\n--b\r\nContent-Type: text/html\r\n\r\n<p>an advertisement</p>\r\n--b--\r\n"
    )
    document = parse_document(page, key="a.mhtml")
    assert document.type is DocumentType.HTML
    assert [b.text for b in document.blocks] == ["Rules now", "당직"]
    assert [note.what for note in document.notes] == ["frames of the page"]


@pytest.mark.parametrize(
    "text", ["From: Kim\nTo: Lee\nSubject: tea\n\nhello", "Note: this\n\nis prose", "Date: today"]
)
def test_a_note_that_looks_like_a_mail_is_text(text: str) -> None:
    """Memos begin with From, To and Subject; mail has been on its way."""
    assert parse_document(text.encode(), key="memo.txt").type is DocumentType.TEXT


def _p(text: str, *, style: str = "0", inner: str = "") -> str:
    return (
        f'<hp:p styleIDRef="{style}" paraPrIDRef="0"><hp:run><hp:t>{text}</hp:t>{inner}</hp:run>'
        "</hp:p>"
    )


def _cell(text: str, row: int, column: int, rows: int = 1, columns: int = 1) -> str:
    return (
        f"<hp:tc><hp:subList>{_p(text)}</hp:subList>"
        f'<hp:cellAddr colAddr="{column}" rowAddr="{row}"/>'
        f'<hp:cellSpan colSpan="{columns}" rowSpan="{rows}"/></hp:tc>'
    )


def _hwpx(section: str, manifest: str = "<m/>") -> bytes:
    out = io.BytesIO()
    head = f'<hh:head xmlns:hh="{_HEAD}"><hh:style id="3" name="개요 1"/></hh:head>'
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("mimetype", "application/hwp+zip")
        archive.writestr("META-INF/manifest.xml", manifest)
        archive.writestr("Contents/header.xml", head)
        archive.writestr(
            "Contents/section0.xml",
            f'<hs:sec xmlns:hs="s" xmlns:hp="{_PARAGRAPH}">{section}</hs:sec>',
        )
    return out.getvalue()


def test_headings_tables_and_notes_of_hwpx_are_read() -> None:
    """The form in which Korean offices publish was refused."""
    rows = (
        f"<hp:tr>{_cell('구분', 0, 0, rows=2)}{_cell('2026년', 0, 1, columns=2)}</hp:tr>"
        f"<hp:tr>{_cell('목표', 1, 1)}{_cell('실적', 1, 2)}</hp:tr>"
        f"<hp:tr>{_cell('서울', 2, 0)}{_cell('10', 2, 1)}{_cell('12', 2, 2)}</hp:tr>"
    )
    caption = f"<hp:caption><hp:subList>{_p('표 1')}</hp:subList></hp:caption>"
    note = f"<hp:footNote><hp:subList>{_p('연봉 기준')}</hp:subList></hp:footNote>"
    section = (
        _p("휴가 규정", style="3")
        + _p("연차는 15일이다", inner=note)
        + _p("", inner=f"<hp:tbl>{rows}{caption}</hp:tbl>")
    )
    document = parse_document(_hwpx(section), key="a.hwpx")
    assert document.type is DocumentType.HWPX
    assert [(b.kind, b.text) for b in document.blocks] == [
        (BlockKind.HEADING, "휴가 규정"),
        (BlockKind.PARAGRAPH, "연차는 15일이다[1]"),
        (BlockKind.PARAGRAPH, "[1] 연봉 기준"),
        (BlockKind.TABLE, "표 1\n구분 | 2026년 / 목표 | 2026년 / 실적\n서울 | 10 | 12"),
    ]
    assert document.blocks[-1].header == "표 1\n구분 | 2026년 / 목표 | 2026년 / 실적"


def test_a_protected_hwpx_says_so() -> None:
    """Not broken: it needs a password."""
    with pytest.raises(DocumentError) as caught:
        parse_document(_hwpx("", "<m><encryption-data/></m>"), key="a.hwpx")
    assert caught.value.reason == Reason.ENCRYPTED
