"""An office file as its parts and their relations, read straight from the archive.

Strict namespaces (ISO/IEC 29500) are made the usual ones on the way, and a relation to a part that
is not there is as if it were not said: what Office opens is read.
"""

import io
import posixpath
import re
import zipfile
from typing import Any, Final, NamedTuple

STRICT: Final = b"http://purl.oclc.org/ooxml/"
_USUAL: Final = b"http://schemas.openxmlformats.org/"
# The longer ones first; ISO/IEC 29500-1 annex A beside part 4.
_FAMILIES: Final = tuple(
    (STRICT + old.encode(), _USUAL + new.encode())
    for old, new in (
        ("officeDocument/relationships/metadata", "package/2006/relationships/metadata"),
        ("officeDocument/", "officeDocument/2006/"),
        ("wordprocessingml/", "wordprocessingml/2006/"),
        ("presentationml/", "presentationml/2006/"),
        ("spreadsheetml/", "spreadsheetml/2006/"),
        ("drawingml/", "drawingml/2006/"),
        ("", "officeDocument/2006/"),
    )
)
_DOCTYPE: Final = re.compile(rb"<!DOCTYPE|<!ENTITY", re.IGNORECASE)
_ENCODED_DOCTYPE: Final = ("<!DOCTYPE".encode("utf-16-le"), "<!DOCTYPE".encode("utf-16-be"))
_HEAD_BYTES: Final = 4096


def usual_namespaces(body: bytes) -> bytes:
    """A part's XML under the namespaces that all programs write."""
    if STRICT not in body:
        return body
    for strict, usual in _FAMILIES:
        body = body.replace(strict, usual)
    return body


class Relation(NamedTuple):
    """What a part points to: the relation's type, and the path of a part that is there."""

    type: str
    path: str


class Package:
    """The opened archive."""

    def __init__(self, data: bytes) -> None:
        """Open it.

        Raises:
            zipfile.BadZipFile: it is damaged.
        """
        self.archive = zipfile.ZipFile(io.BytesIO(data))
        self.names = frozenset(self.archive.namelist())

    def read(self, path: str) -> bytes:
        """A part's bytes.

        Raises:
            KeyError: there is no such part.
            ValueError: it declares a document type, as bombs of entities do.
        """
        body = self.archive.read(path)
        head = body[:_HEAD_BYTES]
        if _DOCTYPE.search(head) or any(mark in head for mark in _ENCODED_DOCTYPE):
            raise ValueError(f"{path} declares a document type")
        return usual_namespaces(body)

    def tree(self, path: str) -> Any:
        """A part's XML.

        Raises:
            lxml.etree.XMLSyntaxError: it is not well-formed.
        """
        from lxml.etree import XMLParser, fromstring

        parser = XMLParser(resolve_entities=False, no_network=True)
        return fromstring(self.read(path), parser)

    def relations(self, path: str) -> dict[str, Relation]:
        """Of a part (of the package itself: ``): id to what it points to, where that is there."""
        folder, name = posixpath.split(path)
        rels = posixpath.join(folder, "_rels", f"{name}.rels")
        found: dict[str, Relation] = {}
        if rels not in self.names:
            return found
        for element in self.tree(rels).iterchildren("{*}Relationship"):
            target = element.get("Target", "")
            full = target.lstrip("/") if target.startswith("/") else posixpath.join(folder, target)
            full = posixpath.normpath(full)
            if full in self.names and element.get("TargetMode") != "External":
                found[element.get("Id", "")] = Relation(element.get("Type", ""), full)
        return found

    def related(self, path: str, kind: str) -> str | None:
        """The part's first relation of a kind, e.g. `styles`."""
        found = self.relations(path).values()
        return next((to.path for to in found if to.type.endswith(f"/{kind}")), None)

    def main(self, usual: str) -> str:
        """The part that the file is about."""
        return self.related("", "officeDocument") or usual

    def title(self) -> str:
        """What the file's properties say, else nothing."""
        path = self.related("", "core-properties")
        return (self.tree(path).findtext("{*}title") or "") if path else ""
