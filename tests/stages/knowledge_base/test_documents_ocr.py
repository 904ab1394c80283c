"""Scanned documents by way of the whole stage: confined parsers, quarantine, trying again."""

from tests.knowledge import Knowledge
from tests.scanned import RULES, scan, skip_without_ocr


def test_a_scan_waits_in_quarantine_for_the_option_and_is_read_with_it(
    knowledge: Knowledge,
) -> None:
    """The confined parser can reach Tesseract's data, and nothing has to be touched by hand."""
    skip_without_ocr()
    (knowledge.documents / "rules.pdf").write_bytes(scan("PDF", RULES))
    (knowledge.documents / "rules.png").write_bytes(scan("PNG", RULES))
    first = knowledge.run("documents")
    waiting = {q["key"]: q for q in first.snapshot.details["quarantine"]}
    assert {q["reason"] for q in waiting.values()} == {"needs_ocr"}
    assert "declare parse.ocr" in waiting["rules.pdf"]["detail"]
    second = knowledge.declared(parse={"ocr": {}}).run("documents")
    assert second.snapshot.details["quarantine"] == []
    assert second.snapshot.counts["type:pdf"] == second.snapshot.counts["type:image"] == 1
    assert second.snapshot.counts["parsed"] == first.snapshot.counts["parsed"] + 2
