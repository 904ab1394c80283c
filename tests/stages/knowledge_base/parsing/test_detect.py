"""The type comes from the content; a name that lies does not matter."""

import base64
import io
import json
import zipfile
from collections.abc import Callable

import pytest
from docx import Document
from openpyxl import Workbook
from pptx import Presentation

from platform_pipelines.core.knowledge_base.documents import DocumentType, Reason
from platform_pipelines.errors import DocumentError
from platform_pipelines.stages.knowledge_base.parsing.detect import Detection, detect

MARKDOWN = b"# Title\n\nText with a [link](https://a.example).\n\n- one\n- two\n"
CHAT = b'{"ts": "1", "user": "a", "text": "x"}\n{"ts": "2", "user": "b", "text": "y"}\n'
HTML = b"<!DOCTYPE html><html><body><p>x</p></body></html>"


@pytest.mark.parametrize("key", ["a.txt", "a.md", "a", "a.html", "a.docx", "b.csv"])
def test_a_pdf_is_a_pdf_whatever_its_name(make_pdf: Callable[..., bytes], key: str) -> None:
    """`notes.txt` was parsed as text and filled the index with binary noise."""
    assert detect(make_pdf([[(50, 700, 12, "x")]]), key).type is DocumentType.PDF


def test_office_files_are_told_apart_by_their_parts(saved: Callable[..., bytes]) -> None:
    """All three are ZIP archives."""
    assert detect(saved(Document()), "a.zip").type is DocumentType.DOCX
    assert detect(saved(Presentation()), "a.docx").type is DocumentType.PPTX
    assert detect(saved(Workbook()), "a.txt").type is DocumentType.XLSX


@pytest.mark.parametrize(
    ("data", "key", "kind"),
    [
        (HTML, "report.pdf", DocumentType.HTML),
        (HTML, "page.md", DocumentType.HTML),
        (b"<p>one</p>", "a.html", DocumentType.HTML),
        (b"words <b>bold", "a.html", DocumentType.HTML),
        (b"words, 1 < 2", "a.html", DocumentType.TEXT),
        (b"<p>one</p>\n<p>two</p><div>x</div>", "a.txt", DocumentType.HTML),
        (b"<p>one</p> and text", "a.md", DocumentType.MARKDOWN),
        (CHAT, "export.txt", DocumentType.CHAT),
        (b"[" + CHAT.strip().replace(b"\n", b",") + b"]", "slack.json", DocumentType.CHAT),
        (CHAT + b'{"ts": "3", "us', "cut.jsonl", DocumentType.CHAT),
        (MARKDOWN, "readme", DocumentType.MARKDOWN),
        (MARKDOWN, "readme.txt", DocumentType.MARKDOWN),
        (b"just words", "a.md", DocumentType.MARKDOWN),
        (b"just words, and more of them.", "a.txt", DocumentType.TEXT),
        (b"one, two\nthree, four\nfive, and that is a sentence\n", "a.txt", DocumentType.TEXT),
        (b"name,size\na,1\nb,2\n", "a.txt", DocumentType.CSV),
        (b"name\tsize\na\t1\nb\t2\n", "export", DocumentType.CSV),
        (b"word\nword\n", "a.csv", DocumentType.CSV),
        ("이름;값\n가;1\n나;2\n".encode("cp949"), "a.csv", DocumentType.CSV),
        (b"the %PDF-1.4 header is described here", "a.txt", DocumentType.TEXT),
    ],
)
def test_text_formats_are_recognised(data: bytes, key: str, kind: DocumentType) -> None:
    """The name only breaks ties."""
    assert detect(data, key).type is kind


@pytest.mark.parametrize(
    ("data", "key", "language"),
    [
        (b"#!/usr/bin/env python3\nprint(1)\n", "run", "python"),
        (b"#!/bin/bash -e\nls\n", "run.txt", "shell"),
        (b"#!/usr/bin/env -S node\nx()\n", "x", "javascript"),
        (b"import os\n\n\ndef main():\n    os.listdir()\n", "notes.txt", "python"),
        (b"x = 1\n", "a.py", "python"),
        (b"a: 1\n", "values.yaml", "yaml"),
        (b"apiVersion: v1\nkind: Pod\nmetadata:\n  name: x\n", "pod.txt", "yaml"),
        (b"---\na: 1\nb:\n  - c\n", "noname", "yaml"),
        (b"ls -l\n", "run.sh", "shell"),
        (b"FROM x\nRUN y\n", "Dockerfile", "dockerfile"),
        (b"FROM x\n", "Dockerfile.gpu", "dockerfile"),
        (b'{"a": [1, 2]}', "data.txt", "json"),
        (b'{"a": 1}\n{"a": 2}\n', "rows.jsonl", "json"),
        (b"SELECT 1;", "q.sql", "sql"),
        (b"package main\n", "main.go", "go"),
        (b"<svg></svg>", "x.svg", "xml"),
    ],
)
def test_code_is_recognised_with_its_language(data: bytes, key: str, language: str) -> None:
    """The splitter of the chunk policy is chosen by it."""
    found = detect(data, key)
    assert (found.type, found.code_language) == (DocumentType.CODE, language)


def test_the_encoding_of_a_text_is_reported() -> None:
    """The asset page shows where mojibake would have come from."""
    assert detect("한국어 문서입니다.".encode("cp949"), "a.txt") == Detection(
        DocumentType.TEXT, "cp949"
    )


def _zip(**members: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, body in members.items():
            archive.writestr(name, body)
    return out.getvalue()


OLE2 = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(500)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", Reason.EMPTY),
        (b" \n\t ", Reason.EMPTY),
        (OLE2 + "EncryptedPackage".encode("utf-16-le"), Reason.ENCRYPTED),
        (OLE2 + "WordDocument".encode("utf-16-le"), Reason.UNSUPPORTED),
        (OLE2 + b"HWP Document File", Reason.UNSUPPORTED),
        (_zip(readme=b"x"), Reason.UNSUPPORTED),
        (b"PK\x03\x04 and nothing more", Reason.CORRUPT),
        (b"GIF89a....", Reason.UNSUPPORTED),
        (base64.encodebytes(bytes(range(256)) * 4), Reason.UNSUPPORTED),
        (b"\x00\x00\x00\x18ftypmp42", Reason.UNSUPPORTED),
        (b"{\\rtf1 text}", Reason.UNSUPPORTED),
        (bytes(range(256)) * 8, Reason.UNSUPPORTED),
    ],
)
def test_what_nobody_reads_has_a_reason(data: bytes, reason: Reason) -> None:
    """The quarantine page tells a person what to do about each."""
    with pytest.raises(DocumentError) as caught:
        detect(data, "folder/file.txt")
    assert caught.value.reason == reason
    assert caught.value.where == "folder/file.txt"


def test_one_json_object_with_a_name_is_not_a_chat() -> None:
    """`package.json` has a name and a description, but nobody speaks."""
    data = json.dumps({"name": "x", "text": "y"}).encode()
    assert detect(data, "package.json").type is DocumentType.CODE
