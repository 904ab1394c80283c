"""What a binary file's first bytes say: an office format, or one that nobody reads here."""

import io
from typing import Final

from platform_pipelines.core.knowledge_base.documents import DocumentType, Reason
from platform_pipelines.errors import DocumentError

OLE2: Final = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_MAIN_FOLDERS: Final = (
    ("word/", DocumentType.DOCX),
    ("ppt/", DocumentType.PPTX),
    ("xl/", DocumentType.XLSX),
)
_PICTURES: Final = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"II*\0", b"MM\0*")
_FOREIGN: Final = (
    (b"GIF8", "a GIF image"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"BZh", "a bzip2 archive"),
    (b"\xfd7zXZ\x00", "an xz archive"),
    (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive"),
    (b"Rar!\x1a\x07", "a RAR archive"),
    (b"\x7fELF", "a program"),
    (b"MZ\x90\x00", "a program"),
    (b"SQLite format 3\x00", "an SQLite database"),
    (b"PAR1", "a Parquet file"),
    (b"{\\rtf", "an RTF document"),
    (b"%!PS", "a PostScript document"),
    (b"OggS", "audio"),
    (b"ID3", "audio"),
)


def sniff_binary(data: bytes, key: str) -> DocumentType | None:
    """The office or PDF type of `data`; None when it is none of them (text, perhaps).

    Raises:
        DocumentError: ENCRYPTED, UNSUPPORTED or CORRUPT for a recognised file that cannot be read.
    """
    if _is_pdf(data):
        return DocumentType.PDF
    if data.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return _office_type(data, key)
    if data.startswith(OLE2):
        raise _ole2_error(data, key)
    if data.startswith(_PICTURES):
        return DocumentType.IMAGE
    for magic, name in _FOREIGN:
        if data.startswith(magic):
            raise _unsupported(f"this is {name}", key)
    if data[4:8] == b"ftyp" or (data[:4] == b"RIFF" and data[8:12] in (b"WEBP", b"WAVE", b"AVI ")):
        raise _unsupported("this is a picture, audio or a film", key)
    return None


def _is_pdf(data: bytes) -> bool:
    head = data[:1024]
    if b"%PDF-" not in head:
        return False
    # Junk before the header is legal; a text that merely speaks of `%PDF-` has no trailer.
    return (
        head.lstrip(b"\xef\xbb\xbf \t\r\n\0").startswith(b"%PDF-") or b"startxref" in data[-2048:]
    )


def _office_type(data: bytes, key: str) -> DocumentType:
    import zipfile

    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            names = set(archive.namelist())
            mimetype = archive.read("mimetype")[:80] if "mimetype" in names else b""
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError, RuntimeError) as error:
        raise DocumentError(
            f"the archive is damaged: {error}", reason=Reason.CORRUPT, where=key
        ) from error
    if "[Content_Types].xml" in names:
        for folder, kind in _MAIN_FOLDERS:
            if any(name.startswith(folder) for name in names):
                return kind
    if mimetype.startswith(b"application/hwp+zip") or "Contents/section0.xml" in names:
        return DocumentType.HWPX
    raise _unsupported("this is a ZIP archive of no known document format", key)


def _ole2_error(data: bytes, key: str) -> DocumentError:
    def holds(name: str) -> bool:
        return name.encode("utf-16-le") in data

    if holds("EncryptedPackage") or holds("EncryptionInfo"):
        return DocumentError(
            "the office file is protected by a password",
            reason=Reason.ENCRYPTED,
            where=key,
            remedy="save it without a password",
        )
    if (
        b"HWP Document File" in data
        or holds("HwpSummaryInformation")
        or key.lower().endswith(".hwp")
    ):
        return DocumentError(
            "this is an HWP document of the binary form (HWP 5 or before)",
            reason=Reason.UNSUPPORTED,
            where=key,
            remedy="convert it to HWPX (Hancom Office: save as .hwpx) or PDF",
        )
    return _unsupported("this is an office document of the format before 2007", key)


def _unsupported(what: str, key: str) -> DocumentError:
    return DocumentError(
        what,
        reason=Reason.UNSUPPORTED,
        where=key,
        remedy="save it as PDF, DOCX, PPTX, XLSX, HWPX or text",
    )
