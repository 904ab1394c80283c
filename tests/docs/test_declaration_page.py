"""The page of all attributes is made from the schema, and is what was made last."""

import json
import re

import pytest

from docs.make_declaration import (
    COMPONENTS,
    KOREAN,
    OPERATIONS,
    OTHER,
    OTHER_OPERATIONS,
    PAGES,
    main,
    operations,
    page,
    render,
)
from platform_pipelines.core.knowledge_base.declaration import KnowledgeBaseSpec


@pytest.mark.parametrize("language", ["en", "ko"])
def test_the_page_is_what_the_schema_says(language: str) -> None:
    """An attribute or a default that changed: run `python docs/make_declaration.py`."""
    assert PAGES[language].read_text("utf-8") == render(language)
    more = render(language, operations, OTHER_OPERATIONS)
    assert OPERATIONS[language].read_text("utf-8") == more


def test_every_sentence_has_a_translation_and_every_translation_a_sentence() -> None:
    """A sentence that changed in the schema keeps no old translation."""
    told: list[str] = []

    def tell(sentence: str) -> str:
        told.append(sentence)
        return sentence

    page(tell, OTHER["en"])
    operations(tell, OTHER_OPERATIONS["en"])
    translations = json.loads(KOREAN.read_text("utf-8"))
    assert set(told) == set(translations)
    assert all(re.search("[가-힣]", korean) or korean == english
               for english, korean in translations.items())  # fmt: skip


def test_every_attribute_is_on_the_page() -> None:
    """The schema's own names, and each in the section of its parent."""
    text = render("en")
    for name, field in KnowledgeBaseSpec.model_fields.items():
        assert f"| `{name}` |" in text
        for nested in getattr(field.annotation, "model_fields", {}):
            section = text.split(f"\n## `{name}`\n")[1].split("\n## ")[0]
            assert f"| `{nested}` |" in section


def test_checking_tells_and_changes_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    """`--check` is for CI: it must not repair what it should report."""
    before = PAGES["en"].stat().st_mtime_ns
    assert main(["--check"]) == 0
    assert capsys.readouterr().out == ""
    assert PAGES["en"].stat().st_mtime_ns == before


def test_every_attribute_of_a_component_is_in_its_section() -> None:
    """Batches, experiments, costs, what is watched; nested ones under the attribute's name."""
    text = render("en", operations, OTHER_OPERATIONS)
    for name, spec in COMPONENTS.items():
        section = text.split(f"\n## `{name}`\n")[1].split("\n## ")[0]
        assert all(f"| `{field}` |" in section for field in spec.model_fields)
    assert "| `margin` |" in text.split("\n## `Experiment.metrics`\n")[1].split("\n## ")[0]
