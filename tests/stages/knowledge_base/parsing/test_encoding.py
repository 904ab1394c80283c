"""Korean bytes become Korean text, whatever program wrote them."""

import unicodedata

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from platform_pipelines.core.knowledge_base.documents import Reason
from platform_pipelines.core.knowledge_base.text import clean_text
from platform_pipelines.errors import DocumentError
from platform_pipelines.stages.knowledge_base.parsing.encoding import find_encoding, looks_binary

KOREAN = "지식베이스의 리비전은 게이트를 통과해야 릴리스된다. GPU 노드 3대를 비웁니다.\n"
WORD_LIST = """
    게이트는 증거를 읽고 답한다. 리비전의 GPU 노드를 비우기 똠방각하 펲시 장애가 발생하면 kubectl
    get nodes 확인하고, 다시 시작합니다. 2026년
"""
WORDS = st.sampled_from(WORD_LIST.split())
SENTENCES = st.lists(WORDS, min_size=4, max_size=40).map(" ".join)


def decode_text(data: bytes, *, hint: str | None = None, where: str = "") -> str:
    """What a document of these bytes says."""
    return clean_text(data.decode(find_encoding(data, hint=hint, where=where)))


@given(SENTENCES, st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"]))
def test_korean_survives_every_unicode_encoding(text: str, encoding: str) -> None:
    """UTF-16 without a byte order mark comes out of Windows tools all the time."""
    assert decode_text(text.encode(encoding)) == text


@given(SENTENCES)
def test_korean_survives_cp949(text: str) -> None:
    """CP949 holds syllables that EUC-KR lacks, and is legal Latin-1 and mostly legal GBK."""
    assume(sum("가" <= c <= "힣" for c in text) >= 4)
    assert decode_text(text.encode("cp949")) == text


@given(st.text(min_size=1, max_size=300).filter(lambda t: "\0" not in t))
def test_utf8_is_always_read_as_utf8(text: str) -> None:
    """No guess may override bytes that decode strictly."""
    assert find_encoding(text.encode("utf-8")) in ("utf-8", "utf-8-sig")


@given(SENTENCES, st.data(), st.sampled_from([b"", b"\xff", b" "]))
def test_utf8_with_one_broken_byte_is_never_guessed(
    text: str, data: st.DataObject, instead: bytes
) -> None:
    """It was indexed as Kazakh, Czech or UTF-16, and nobody was told that the file is broken."""
    whole = text.encode()
    foreign = [place for place, byte in enumerate(whole) if byte >= 0x80]
    assume(len(foreign) >= 12)
    place = data.draw(st.sampled_from(foreign))
    with pytest.raises(DocumentError) as caught:
        find_encoding(whole[:place] + instead + whole[place + 1 :])
    assert caught.value.reason == Reason.UNDECODABLE


@given(st.binary(max_size=300))
def test_no_bytes_raise_anything_but_a_document_error(data: bytes) -> None:
    """Whatever comes is text or a typed reason."""
    try:
        outcome = decode_text(data)
    except DocumentError as error:
        outcome = error.reason
    assert outcome == Reason.UNDECODABLE or unicodedata.is_normalized("NFC", outcome)


def test_euc_kr_is_not_read_as_latin_1() -> None:
    """Every EUC-KR byte is a legal Latin-1 letter: the result was ÁöÀÌ instead of 지식."""
    assert decode_text(KOREAN.encode("euc-kr")) == KOREAN


def test_a_short_korean_note_is_read_as_korean() -> None:
    """Statistics need length; two words must do."""
    assert decode_text("확인 바랍니다".encode("cp949")) == "확인 바랍니다"


@pytest.mark.parametrize("note", ["가격표", "가격안내"])
def test_a_korean_word_is_not_read_as_utf16(note: str) -> None:
    """Its bytes are Hangul in UTF-16 as well, of other syllables."""
    assert decode_text(note.encode("euc-kr")) == note


@given(st.lists(WORDS.filter(lambda word: not word.isascii()), min_size=1, max_size=3))
def test_korean_words_survive_cp949_at_any_length(words: list[str]) -> None:
    """What else these bytes may be is asked after Korean."""
    assert decode_text(" ".join(words).encode("cp949")) == " ".join(words)


@pytest.mark.parametrize(
    "broken",
    [
        "# 제목\n".encode() + b"\xb0\xa1 broken\n",
        "\ufeffplain text, ".encode() + b"caf\xe9\n",
        "“quoted” text and a cut “".encode()[:-1],
        (KOREAN * 2000).encode()[:-3],  # beyond every sample
    ],
)
def test_mostly_utf8_is_undecodable_and_says_so(broken: bytes) -> None:
    """One line of another encoding, a mark above Latin-1, a cut end: each was read as mojibake."""
    with pytest.raises(DocumentError, match="UTF-8, but some of them are broken") as caught:
        find_encoding(broken, hint="euc-kr")
    assert caught.value.reason == Reason.UNDECODABLE


def test_chinese_bytes_are_not_read_as_korean() -> None:
    """GBK decodes under CP949 without an error, into syllables that no Korean writes."""
    chinese = "这是一份关于知识库的文件。我们在发布之前必须先进行评估，并且保存所有的证据。" * 5
    assert decode_text(chinese.encode("gb18030")) == chinese


def test_western_text_with_smart_quotes_is_not_read_as_korean() -> None:
    """`don\\x92t` is a legal CP949 sequence."""
    text = "We don’t know what the gate’s verdict was, and it’s the team’s job to find out. " * 3
    assert decode_text(text.encode("cp1252")) == text


def test_french_text_is_readable() -> None:
    """The fallback for everything that is neither Unicode nor Korean."""
    text = "Le résumé de l'été dernier a été envoyé à l'équipe française. Voilà la réponse. " * 4
    assert decode_text(text.encode("latin-1")) == text


def test_a_declared_charset_is_believed_after_unicode() -> None:
    """An HTML page's `charset=euc-kr` settles a text too short to judge; a false one does not."""
    assert decode_text("뷁".encode("cp949"), hint="euc-kr") == "뷁"
    assert decode_text("한글".encode(), hint="euc-kr") == "한글"
    assert decode_text("é".encode("latin-1"), hint="iso-8859-1") == "é"


def test_decomposed_hangul_is_composed_after_decoding() -> None:
    """One file from macOS and one from Windows hold the same words."""
    assert decode_text(unicodedata.normalize("NFD", KOREAN).encode()) == KOREAN


def test_utf32_with_a_mark_is_not_taken_for_utf16() -> None:
    """The UTF-32 mark starts with the UTF-16 one."""
    assert decode_text("가나".encode("utf-32")) == "가나"


def test_undecodable_bytes_name_the_document() -> None:
    """The quarantine page must say which one."""
    with pytest.raises(DocumentError) as caught:
        decode_text(b"\x81\x00\xff\x9d\x01" * 50, where="a/b.txt")
    assert caught.value.reason == Reason.UNDECODABLE
    assert caught.value.where == "a/b.txt"


def test_binary_is_told_from_text() -> None:
    """Control characters are rare in every text encoding, but UTF-16 is full of NULs."""
    assert looks_binary(bytes(range(256)) * 10)
    assert not looks_binary(b"plain\ttext\n" * 50)
    assert not looks_binary(KOREAN.encode("utf-16-le"))
    assert not looks_binary(KOREAN.encode("cp949"))
    assert not looks_binary("x".encode("utf-16"))
