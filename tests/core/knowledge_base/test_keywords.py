"""Keyword tokens: Korean without a dictionary, identifiers in every spelling that people type."""

import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from platform_pipelines.core.knowledge_base.keywords import (
    TEXT_MAX_BYTES,
    TOKEN_MAX_CHARACTERS,
    keyword_text,
    keyword_tokens,
)

WORDS = st.text(alphabet="가나다힣ㄱ한漢字カabzABZ019_-./, \n\té①ß", max_size=200)


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("데이터베이스", ["데이", "이터", "터베", "베이", "이스"]),
        ("값", ["값"]),
        ("GPU를 3개", ["gpu", "를", "3", "개"]),
        ("漢字と仮名", ["漢字", "字と", "と仮", "仮名"]),
        ("Node Pools", ["node", "pools"]),
        (
            "backoffLimitPerIndex",
            ["backofflimitperindex", "backoff", "limit", "per", "index"],
        ),
        ("gpu-inference", ["gpu-inference", "gpu", "inference"]),
        ("MAX_RETRY_SECONDS", ["max_retry_seconds", "max", "retry", "seconds"]),
        ("v1.35.2.", ["v1.35.2", "v1", "35", "2"]),
        (
            "/etc/kube/kube-api.yaml",
            ["etc/kube/kube-api.yaml", "etc", "kube", "kube-api.yaml", "api", "yaml"],
        ),
        ("EC2NodeClass", ["ec2nodeclass", "ec2", "node", "class"]),
        ("HTTPServer", ["httpserver", "http", "server"]),
        ("GPUs", ["gpus", "gpu"]),
        ("1,200,000원", ["1200000", "원"]),
        ("1,200.50", ["1200.50", "1200", "50"]),
        ("1,2,3", ["1", "2", "3"]),
        ("--enforce-eager __init__", ["enforce-eager", "enforce", "eager", "init"]),
        ("a/-b", ["a/-b", "a", "b"]),
        ("ＧＰＵ ﬁle ①", ["gpu", "file", "1"]),
        ("Straße Éclair", ["strasse", "éclair"]),
        ("...!? | — \n", []),
        ("", []),
    ],
)
def test_tokens_of(text, tokens):
    """The table is the definition: what is not in it, nobody promised."""
    assert keyword_tokens(text) == tokens


@pytest.mark.parametrize(
    ("query", "document", "shared"),
    [
        ("노드풀을 어떻게 늘리나요", "노드풀의 크기는 관리자가 늘린다", "노드 드풀"),
        ("장애보고서 작성법", "장애 보고서를 작성하는 방법", "장애 보고 고서 작성"),
        ("GPU가격은 얼마인가요?", "GPU 가격표(시간당)", "gpu 가격"),
        (
            "gpu inference 프로파일",
            "프로파일 gpu-inference 를 쓴다",
            "gpu inference 프로 로파 파일",
        ),
        ("backoff limit", "spec.backoffLimitPerIndex: 1", "backoff limit"),
        ("kubernetes 1.35", "Kubernetes v1.35.2", "kubernetes 35"),
        ("1200000", "합계 1,200,000원", "1200000"),
        ("kube-apiserver.yaml", "/etc/manifests/kube-apiserver.yaml", "kube-apiserver.yaml yaml"),
        ("GPU 수량", "GPUs 수량", "gpu 수량"),
    ],
)
def test_a_real_query_meets_its_document(query, document, shared):
    """Particles and compounds without spaces are why words alone fail in Korean."""
    assert set(shared.split()) <= set(keyword_tokens(query)) & set(keyword_tokens(document))


@settings(deadline=None)
@given(st.one_of(WORDS, st.text(max_size=200)))
def test_any_token_is_a_clean_field_value(text):
    """White space inside a token would make the server's analyzer see two."""
    for token in keyword_tokens(text):
        assert 0 < len(token) <= TOKEN_MAX_CHARACTERS
        assert token.split() == [token]
    assert keyword_text(text).split() == keyword_tokens(text)


@settings(deadline=None)
@given(st.text(alphabet="가각힣한글éü ABcd漢", max_size=100))
def test_decomposed_and_composed_text_give_the_same_tokens(text):
    """File names from macOS are decomposed; a query typed on Windows is not."""
    decomposed = unicodedata.normalize("NFD", text)
    assert keyword_tokens(decomposed) == keyword_tokens(unicodedata.normalize("NFC", text))


@settings(deadline=None)
@given(st.text(alphabet="abc가나 ", max_size=100))
def test_capitals_of_whole_words_do_not_matter(text):
    """Shouting is not another question."""
    assert keyword_tokens(text.upper()) == keyword_tokens(text)


@settings(deadline=None)
@given(WORDS, st.integers(0, 300))
def test_the_field_limit_keeps_whole_tokens(text, max_bytes):
    """A token cut in half is a word that nobody wrote; a value over the limit fails the insert."""
    limited = keyword_text(text, max_bytes=max_bytes)
    assert len(limited.encode()) <= max_bytes
    tokens = limited.split()
    assert tokens == keyword_tokens(text)[: len(tokens)]


def test_a_huge_text_fits_the_field():
    """The server refuses the whole batch for one value that is too long."""
    text = keyword_text("데이터베이스 node-pool " * 20_000)
    assert TEXT_MAX_BYTES - 100 < len(text.encode()) <= TEXT_MAX_BYTES


def test_data_without_joiners_is_one_short_token():
    """A base64 block must not fill the index with two-letter parts."""
    assert keyword_tokens("aB3" * 10_000) == [("ab3" * 10_000)[:TOKEN_MAX_CHARACTERS]]


def test_parts_of_a_long_path_are_kept():
    """A path over the token limit is still found by its file name."""
    path = "/".join(f"folder-{n}" for n in range(30)) + "/notes.md"
    tokens = keyword_tokens(path)
    assert "notes.md" in tokens
    assert "folder-29" in tokens
