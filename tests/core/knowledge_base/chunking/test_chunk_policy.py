"""Chunk policies: what a declaration may say, and that a policy's digest covers all of it."""

from dataclasses import fields, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from platform_pipelines.core.knowledge_base.chunking.policy import (
    CODE_LANGUAGES,
    KINDS,
    ChatPolicy,
    ChunkPolicies,
    CodePolicy,
    FixedPolicy,
    MarkdownPolicy,
    SemanticPolicy,
    TokensPolicy,
    policies_from_mapping,
    policy_digest,
    policy_from_mapping,
)
from platform_pipelines.core.knowledge_base.documents import DocumentType
from platform_pipelines.errors import ConfigurationError

POLICIES = (
    FixedPolicy(), TokensPolicy(), MarkdownPolicy(), CodePolicy(), ChatPolicy(), SemanticPolicy(),
)  # fmt: skip


def test_the_declaration_shown_in_the_design_is_valid():
    """The documented example must load."""
    policies = policies_from_mapping(
        {
            "default": {"kind": "tokens", "size": 512, "overlap": 50},
            "code": {"kind": "code", "size": 2000, "overlap": 400},
        }
    )
    policies.check_window(512)
    assert policies.for_type(DocumentType.PDF) == TokensPolicy(512, 50)
    assert policies.for_type(DocumentType.CODE) == CodePolicy(2000, 400)


def test_nothing_declared_gives_every_type_a_policy_that_fits_a_512_token_window():
    """The shortest declaration is a name and a URL."""
    policies = policies_from_mapping({})
    policies.check_window(512)
    assert policies == ChunkPolicies()
    assert isinstance(policies.for_type(DocumentType.CHAT), ChatPolicy)
    assert isinstance(policies.for_type(DocumentType.CODE), CodePolicy)
    assert isinstance(policies.for_type(DocumentType.MARKDOWN), MarkdownPolicy)
    assert isinstance(policies.for_type(DocumentType.TEXT), TokensPolicy)


def test_naming_one_type_keeps_the_shipped_policies_of_the_others():
    """Only a declared `default` replaces what is not named."""
    policies = policies_from_mapping({"markdown": {"kind": "semantic"}})
    assert policies.for_type(DocumentType.MARKDOWN) == SemanticPolicy()
    assert policies.for_type(DocumentType.CHAT) == ChatPolicy()


@pytest.mark.parametrize(
    ("mapping", "named", "allowed"),
    [
        ("tokens", "chunk.pdf", "a mapping"),
        ({}, "chunk.pdf.kind", "one of fixed"),
        ({"kind": "word"}, "chunk.pdf.kind", "semantic"),
        ({"kind": ["tokens"]}, "chunk.pdf.kind", "tokens"),
        ({"kind": "tokens", "sizes": 3}, "chunk.pdf.sizes", "kind, size, overlap"),
        ({"kind": "tokens", 3: 3}, "chunk.pdf.3", "kind, size, overlap"),
        ({"kind": "tokens", "size": 0}, "chunk.pdf.size", "from 8 to 8192"),
        ({"kind": "tokens", "size": "512"}, "chunk.pdf.size", "a whole number"),
        ({"kind": "tokens", "size": 512.0}, "chunk.pdf.size", "a whole number"),
        ({"kind": "tokens", "size": True}, "chunk.pdf.size", "a whole number"),
        ({"kind": "tokens", "overlap": -1}, "chunk.pdf.overlap", "from 0"),
        ({"kind": "tokens", "size": 50, "overlap": 50}, "chunk.pdf.overlap", "less than size (50)"),
        ({"kind": "fixed", "size": 50}, "chunk.pdf.overlap", "less than size (50)"),
        ({"kind": "code", "language": "klingon"}, "chunk.pdf.language", "python"),
        ({"kind": "code", "language": 3}, "chunk.pdf.language", "python"),
        ({"kind": "semantic", "percentile": 101}, "chunk.pdf.percentile", "from 1 to 100"),
        ({"kind": "semantic", "minimum": 500}, "chunk.pdf.minimum", "at most size (320)"),
    ],
)
def test_a_wrong_policy_names_field_value_and_what_is_allowed(mapping, named, allowed):
    """A person corrects the YAML from the message alone."""
    with pytest.raises(ConfigurationError) as caught:
        policy_from_mapping(mapping, where="chunk.pdf")
    assert caught.value.where == named
    assert allowed in str(caught.value.expected)
    assert named in str(caught.value)


def test_an_unknown_document_type_names_the_known_ones():
    """`pdfs` must not silently configure nothing."""
    with pytest.raises(ConfigurationError, match="markdown") as caught:
        policies_from_mapping({"pdfs": {"kind": "tokens"}})
    assert caught.value.where == "chunk.pdfs"


def test_a_size_over_the_window_is_refused_where_it_is_declared():
    """A declared size that no chunk can reach would be a silent lie."""
    policies = policies_from_mapping({"pdf": {"kind": "markdown", "size": 1024}})
    with pytest.raises(ConfigurationError) as caught:
        policies.check_window(512)
    assert caught.value.where == "chunk.pdf.size"
    policies_from_mapping({"pdf": {"kind": "fixed", "size": 5000}}).check_window(512)


def test_a_policy_made_in_code_is_checked_as_a_declared_one():
    """There is no way around the ranges."""
    with pytest.raises(ConfigurationError):
        TokensPolicy(size=10, overlap=10)


@pytest.mark.parametrize("policy", POLICIES, ids=lambda p: p.kind)
def test_every_parameter_changes_the_digest(policy):
    """A parameter outside the digest would leave old chunks standing after it changed."""
    for field in fields(policy):
        value = getattr(policy, field.name)
        other = value + 1 if isinstance(value, int) else "python"
        assert replace(policy, **{field.name: other}).digest != policy.digest, field.name


def test_kinds_and_splitter_versions_have_different_digests():
    """Two kinds with equal parameters cut differently; so do two versions of the library."""
    assert len({p.digest for p in POLICIES}) == len(KINDS)
    assert TokensPolicy(100, 10).digest != MarkdownPolicy(100, 10).digest
    assert policy_digest(TokensPolicy(), "1.1.3") != policy_digest(TokensPolicy(), "1.2.0")


def test_equal_policies_declared_in_two_ways_have_one_digest():
    """Spelling out the defaults must not chunk the corpus again."""
    spelled = {str(t): _declared(ChunkPolicies().for_type(t)) for t in DocumentType}
    assert policies_from_mapping(spelled).digest == ChunkPolicies().digest
    assert policies_from_mapping({"pdf": {"kind": "fixed"}}).digest != ChunkPolicies().digest


@settings(deadline=None)
@given(st.sampled_from(POLICIES), st.data())
def test_any_policy_survives_its_own_mapping(policy, data):
    """What is stored in a record reads back as the same policy."""
    size = data.draw(st.integers(401, 8192))
    made = replace(policy, size=size)
    assert policy_from_mapping(_declared(made), where="x") == made


def test_every_allowed_code_language_has_borders_of_its_own():
    """A language that is allowed but unknown to the splitter would silently cut at lines."""
    from langchain_text_splitters import Language, RecursiveCharacterTextSplitter

    def known(language):
        try:
            return bool(RecursiveCharacterTextSplitter.get_separators_for_language(language))
        except ValueError:
            return False

    assert {str(x.value) for x in Language if known(x)} | {"sh", "yaml"} == set(CODE_LANGUAGES)


def _declared(policy):
    return {"kind": policy.kind, **policy.parameters()}
