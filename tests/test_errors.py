"""Every error says what, where, what was found, what was expected and what to do."""

import ast
import inspect
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from platform_pipelines import errors
from platform_pipelines.errors import (
    DocumentError,
    PlatformError,
    RateLimitedError,
    TerminalError,
    TransientError,
    hide_user,
)

ROOT = Path(__file__).resolve().parents[1]
CLASSES: dict[str, type[PlatformError]] = {
    name: one
    for name, one in vars(errors).items()
    if inspect.isclass(one) and issubclass(one, PlatformError)
}
PLAIN = [c for c in CLASSES.values() if c not in (DocumentError, RateLimitedError)]


def documented_tree() -> dict[str, str]:
    """Class -> base, as drawn in the module's docstring."""
    depths = [
        (line.index(found.group()), found.group())
        for line in (errors.__doc__ or "").splitlines()
        if (found := re.search(r"[A-Z]\w+Error", line)) and not line[0].isalpha()
    ]
    above: dict[int, str] = {}
    bases: dict[str, str] = {}
    for depth, name in depths:
        nearest = [d for d in above if d < depth]
        if nearest:
            bases[name] = above[max(nearest)]
        above = {d: n for d, n in above.items() if d < depth} | {depth: name}
    return bases


def test_the_tree_in_the_docstring_is_the_tree() -> None:
    """Who decides on `except` reads the drawing."""
    real = {name: one.__bases__[0].__name__ for name, one in CLASSES.items()}
    assert real.pop("PlatformError") == "Exception"
    assert documented_tree() == real


@pytest.mark.parametrize("kind", CLASSES.values(), ids=CLASSES)
def test_an_error_is_terminal_or_transient_by_its_branch(kind: type[PlatformError]) -> None:
    """Retry is decided by `terminal` alone: a class between the branches is never sure."""
    assert kind.terminal is not issubclass(kind, TransientError)
    assert kind is PlatformError or issubclass(kind, TerminalError | TransientError)


@pytest.mark.parametrize("kind", PLAIN, ids=lambda kind: kind.__name__)
def test_every_fact_is_in_the_message_and_an_attribute(kind: type[PlatformError]) -> None:
    """A person reads the message; no caller parses it."""
    error = kind("what", where="s3://b/k", stored=3, expected=["a", "b"], remedy="turn it")
    assert str(error) == (
        "what\n  where: s3://b/k\n  found: 3\n  expected: ['a', 'b']\n  what to do: turn it"
    )
    facts = (error.what, error.where, error.stored, error.expected, error.remedy)
    assert facts == ("what", "s3://b/k", 3, ["a", "b"], "turn it")


@given(
    where=st.text(),
    stored=st.none() | st.integers() | st.text(),
    expected=st.none() | st.booleans(),
)
def test_only_what_is_not_known_is_left_out(
    where: str, stored: int | str | None, expected: bool | None
) -> None:
    """0, "" and false were found or expected; None says that nothing was."""
    message = str(PlatformError("what", where=where, stored=stored, expected=expected))
    assert message.startswith("what")
    assert ("\n  where: " in message) is bool(where)
    assert (f"\n  found: {stored}" in message) is (stored is not None)
    assert (f"\n  expected: {expected}" in message) is (expected is not None)
    assert "what to do" not in message


def test_a_document_error_carries_its_reason() -> None:
    """The quarantine table is made from it."""
    error = DocumentError("no text", reason="empty", where="a.pdf", remedy="scan it again")
    assert (error.reason, error.where, error.terminal) == ("empty", "a.pdf", True)
    assert str(error) == "no text\n  where: a.pdf\n  what to do: scan it again"


@pytest.mark.parametrize("seconds", [None, 0.0, 12.5])
def test_a_rate_limit_carries_the_wish_of_the_server(seconds: float | None) -> None:
    """0 is a wish, None is not."""
    error = RateLimitedError("slow down", retry_after_seconds=seconds, where="http://e")
    assert error.retry_after_seconds == seconds
    assert not error.terminal
    assert "lower the concurrency" in error.remedy
    assert "where: http://e" in str(error)


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("http://u:secret@host:8000/v1", "http://***@host:8000/v1"),
        ("https://secret@host", "https://***@host"),
        ("u:secret@host", "***@host"),
        (" http://u:secret@host", "***@host"),
        ("http:/u:secret@host", "***@host"),
        ("s3://AKIA:secret/with+slash@bucket/x", "s3://***@bucket/x"),
        ("http://u:secret@more@host", "http://***@host"),
        ("http://u:se#secret?@host", "http://***@host"),
        ("http://u:secret@[::1]:8000/v1", "http://***@[::1]:8000/v1"),
    ],
)
def test_a_user_in_an_address_is_hidden(address: str, shown: str) -> None:
    """Also one that no parser takes for an address: its password is a password."""
    assert hide_user(address) == shown
    assert hide_user(shown) == shown


@pytest.mark.parametrize(
    "address",
    [
        "", "http://host:8000/v1", "http://host:8000/@me/v1", "http://[::1]:8000/a@b", "s3://b/k@1",
        "file:///data/docs@v2", "documents/a@b", "http://host?to=a@b", "tcp://host:19530",
    ],
)  # fmt: skip
def test_an_address_without_a_user_is_shown_as_it_is(address: str) -> None:
    """An `@` of a path is part of the name that a person must find again."""
    assert hide_user(address) == address


def test_no_other_module_makes_a_public_error() -> None:
    """An error outside the tree is one that policy does not know: it is retried for nothing.

    A private one, raised and caught in one module, is control flow; `policy.py` is where our errors
    become Dagster's own.
    """
    own: list[str] = []
    for path in (ROOT / "platform_pipelines").rglob("*.py"):
        tree = ast.parse(path.read_text("utf-8"))
        classes = [node for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]
        bases = [(c.name, ast.unparse(base)) for c in classes for base in c.bases]
        if path.name not in ("errors.py", "policy.py"):
            own += [
                f"{path.relative_to(ROOT)}: {name}({base})"
                for name, base in bases
                if base.endswith(("Error", "Exception")) and not name.startswith("_")
                if base not in vars(errors)  # of the tree: policy knows it by its base
            ]
    assert own == []


def test_no_message_shows_a_known_secret() -> None:
    """A server that answers with the key in its text put it into Dagster's database."""
    errors.keep_secret("sesame/open+please")
    text = "refused: sesame/open+please, sesame%2Fopen%2Bplease, c2VzYW1lL29wZW4rcGxlYXNl"
    error = errors.UnavailableError(text, where=text, stored=text, expected=text, remedy=text)
    assert "sesame" not in str(error)
    assert "c2VzYW1l" not in str(error)
    assert "sesame" not in error.what + error.where
    errors.keep_secret("letters")
    assert errors.scrubbed("a letters book") == "a letters book"


def test_a_secret_is_taken_out_of_what_led_to_an_error() -> None:
    """A traceback prints the whole chain, and each error in it in its own words."""
    errors.keep_secret("open-sesame")
    error = errors.UnavailableError("no answer")
    error.__cause__ = ValueError("header open-sesame is not allowed")
    error.__cause__.__context__ = KeyError("open-sesame")
    errors.scrub_causes(error)
    assert error.__cause__.args == ("header *** is not allowed",)
    assert error.__cause__.__context__.args == ("***",)


def test_a_cause_that_cannot_be_scrubbed_is_cut_off() -> None:
    """It shows what is not among its arguments."""

    class OddError(Exception):
        def __str__(self) -> str:
            return "open-sesame in any case"

    errors.keep_secret("open-sesame")
    error = errors.UnavailableError("no answer")
    error.__cause__ = OddError()
    errors.scrub_causes(error)
    assert error.__cause__ is None
    assert error.__suppress_context__
