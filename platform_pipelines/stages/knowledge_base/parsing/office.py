"""What Word and PowerPoint open and our libraries refuse: mended in memory, part by part.

Strict namespaces become the usual ones, relations to parts that are not there are taken out, and
what stands in alternate content, diagrams and charts is read from the XML.
"""

import io
import posixpath
import re
import zipfile
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

from platform_pipelines.core.knowledge_base.documents import NoteKind
from platform_pipelines.core.knowledge_base.text import one_line
from platform_pipelines.stages.knowledge_base.parsing.draft import Draft
from platform_pipelines.stages.knowledge_base.parsing.package import STRICT, usual_namespaces

A: Final = "{http://schemas.openxmlformats.org/drawingml/2006/main}"
MC: Final = "{http://schemas.openxmlformats.org/markup-compatibility/2006}"
_RELATION: Final = re.compile(rb"<(?:\w+:)?Relationship\s[^<>]{0,4000}?/?>")
_TARGET: Final = re.compile(rb"\bTarget\s*=\s*[\"']([^\"']*)[\"']")
_TYPES: Final = "[Content_Types].xml"
# With macros, as a show or a template: the slides are the same.
_OTHER_MAIN: Final = re.compile(
    rb"application/vnd\.(?:ms-powerpoint\.(?:presentation|slideshow|template)\.macroEnabled"
    rb"|openxmlformats-officedocument\.presentationml\.(?:slideshow|template))\.main\+xml"
)
_MAIN: Final = b"application/vnd.openxmlformats-officedocument.presentationml.presentation.main+xml"
_DIAGRAM_DATA: Final = "/diagramData"
_MOST_POINTS: Final = 10_000


def mended(data: bytes, draft: Draft) -> bytes:
    """The file as it is, or with what our libraries stumble over put right; what went is noted."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        names = set(archive.namelist())
        rels = {name: archive.read(name) for name in names if name.endswith(".rels")}
        whole = {name: _without_dangling(name, body, names, draft) for name, body in rels.items()}
        kinds = archive.read(_TYPES) if _TYPES in names else b""
        strict = any(STRICT in body for body in rels.values())
        if not strict and whole == rels and not _OTHER_MAIN.search(kinds):
            return data
        whole[_TYPES] = _OTHER_MAIN.sub(_MAIN, kinds)
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as target:
            for name in dict.fromkeys(archive.namelist()):
                body = whole.get(name) or archive.read(name)
                xml = name.endswith((".xml", ".rels"))
                target.writestr(name, usual_namespaces(body) if xml else body)
    return out.getvalue()


def _without_dangling(name: str, body: bytes, names: set[str], draft: Draft) -> bytes:
    folder = posixpath.dirname(posixpath.dirname(name))

    def kept(found: re.Match[bytes]) -> bytes:
        text = found.group()
        target = _TARGET.search(text)
        if target is None or re.search(rb"TargetMode\s*=\s*[\"']External", text):
            return text
        path = target.group(1).decode("utf-8", "replace").partition("#")[0]
        full = path.lstrip("/") if path.startswith("/") else posixpath.join(folder, path)
        if not path or posixpath.normpath(full) in names:
            return text
        draft.note(NoteKind.PART_LEFT_OUT, f"{path} is not in the file")
        return b""

    return _RELATION.sub(kept, body)


def other_texts(element: Any, part: Any) -> Iterator[str]:
    """Texts of a slide (or of any drawing) that are no shapes to the libraries.

    Of alternate content one choice is read, as a viewer would; a diagram's text is in a part of its
    own.
    """
    for alternate in element.iter(f"{MC}AlternateContent"):
        choice = alternate.find(f"{MC}Choice")
        shown = (
            choice
            if choice is not None and drawn_words(choice)
            else alternate.find(f"{MC}Fallback")
        )
        if shown is not None and alternate.getparent().tag != f"{MC}Choice":
            yield drawn_words(shown)
    for relation in part.rels.values():
        if relation.reltype.endswith(_DIAGRAM_DATA) and not relation.is_external:
            yield diagram_text(relation.target_part.blob)


def drawn_words(element: Any) -> str:
    """The paragraphs of a drawing, a line each."""
    paragraphs = ("".join(t.text or "" for t in p.iter(f"{A}t")) for p in element.iter(f"{A}p"))
    return "\n".join(filter(None, map(one_line, paragraphs)))


def diagram_text(blob: bytes) -> str:
    """The texts of a diagram (SmartArt), a line each."""
    from lxml.etree import XMLParser, fromstring

    parser = XMLParser(resolve_entities=False, no_network=True)
    return drawn_words(fromstring(blob, parser))


class ChartTable(NamedTuple):
    """The table behind a chart: categories down, one column a series."""

    title: str
    rows: list[list[str]]


def chart_table(root: Any) -> ChartTable:
    """The values that the chart itself stores, whatever its kind."""
    title = next((drawn_words(e) for e in root.iter("{*}title") if _in_chart(e)), "")
    series = list(root.iter("{*}ser"))
    labels: dict[int, str] = {}
    columns: list[dict[int, str]] = []
    for one in series:
        for tag in ("cat", "xVal"):
            for number, text in _points(one.find(f"{{*}}{tag}")):
                labels.setdefault(number, text)
        values = dict(_points(one.find("{*}val"))) or dict(_points(one.find("{*}yVal")))
        columns.append(
            {n: "" if text.startswith("#") else _number(text) for n, text in values.items()}
        )
    rows = [["", *(_name(one) for one in series)]] if series else []
    places = sorted(set(labels).union(*columns))[:_MOST_POINTS]
    rows += [[labels.get(n, ""), *(column.get(n, "") for column in columns)] for n in places]
    return ChartTable(title.replace("\n", " "), rows)


def _in_chart(title: Any) -> bool:
    return title.getparent() is not None and title.getparent().tag.endswith("}chart")


def _name(series: Any) -> str:
    found = series.find("{*}tx")
    return " ".join(one_line(v.text or "") for v in found.iter("{*}v")) if found is not None else ""


def _points(element: Any) -> Iterator[tuple[int, str]]:
    """Number and text of each stored point; of several levels of labels all are said."""
    texts: dict[int, list[str]] = {}
    if element is not None:
        for point in element.iter("{*}pt"):
            index = point.get("idx", "0")
            value = one_line(point.findtext("{*}v") or "")
            if index.isdecimal() and value:
                texts.setdefault(int(index), []).insert(0, value)
    for number, parts in texts.items():
        yield number, " ".join(parts)


def _number(text: str) -> str:
    try:
        return f"{float(text):.10g}"
    except ValueError:
        return text
