"""A wrong declaration is answered with the field, its value and what is allowed."""

import json
import traceback
from collections import UserDict
from collections.abc import Iterator, Mapping
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from platform_pipelines.core.knowledge_base.declaration import KnowledgeBaseSpec, parse_declaration
from platform_pipelines.core.knowledge_base.metrics import METRICS
from platform_pipelines.core.road.declarations import NAME_MAX_CHARACTERS
from platform_pipelines.errors import ConfigurationError
from platform_pipelines.gateways.e5.embedder import E5Embedder
from platform_pipelines.gateways.hash_embedder import HashEmbedder

SHORTEST: dict[str, Any] = {"name": "handbook", "source": {"url": "docs"}}
OPENAI = {"provider": "openai", "url": "http://e:8000/v1", "dimension": 384, "window_tokens": 512}
# What each embedder that is shipped has, whatever is declared.
SIZES = [
    ("local", "dimension", E5Embedder.dimension),
    ("local", "window_tokens", E5Embedder.window_tokens),
    ("hash", "window_tokens", HashEmbedder().window_tokens),
]
NAN = float("nan")
INFINITY = float("inf")

# field, a wrong value, what of "allowed" the message must say
WRONG: list[tuple[str, Any, str]] = [
    ("name", "Handbook", "lower-case letters, digits and single underscores"),
    ("source.url", "", "at least 1 character"),
    ("source.include", "docs/*", "globs of keys"),
    ("source.exclude", 3, "glob patterns"),
    ("source.shards", 0, "greater than or equal to 1"),
    ("source.events", "queue", "`s3://` only"),
    ("description", 7, "one sentence"),
    ("owner", None, "team:name"),
    ("tenant", "", "at least 1 character"),
    ("parse.seconds", 0, "greater than 0"),
    ("parse.memory_mb", 63, "greater than or equal to 64"),
    ("parse.max_document_mb", 0, "greater than or equal to 1"),
    ("parse.ocr", "kor", "a valid dictionary"),
    ("parse.profile", None, "compute profile"),
    ("chunk", ["markdown"], "document type -> chunk policy"),
    ("embed.provider", "cohere", "'local', 'openai' or 'hash'"),
    ("embed.model", 5, "the model's name"),
    ("embed.url", 8000, "up to `/v1`"),
    ("embed.dimension", 0, "greater than or equal to 1"),
    ("embed.window_tokens", 15, "greater than or equal to 16"),
    ("embed.revision", 2, "of the model's weights"),
    ("embed.query_prefix", 1, "before every query"),
    ("embed.passage_prefix", 1, "before every chunk"),
    ("embed.tokenizer", None, "`server` (its /tokenize)"),
    ("embed.batch", 2049, "less than or equal to 2048"),
    ("embed.concurrency", 0, "greater than or equal to 1"),
    ("embed.profile", None, "compute profile"),
    ("index.kind", "hnsw", "'HNSW'"),
    ("index.fallback", "perhaps", "valid boolean"),
    ("index.metric", "cosine", "'COSINE', 'IP' or 'L2'"),
    ("index.keyword", 2, "valid boolean"),
    ("index.dense_weight", -0.1, "greater than or equal to 0"),
    ("index.keyword_weight", "much", "valid number"),
    ("index.rank_constant", 0, "greater than or equal to 1"),
    ("index.prefix", "two_parts", "should match pattern"),
    ("index.collapse_copies", "sometimes", "valid boolean"),
    ("index.max_dead_share", 1, "less than or equal to 0.9"),
    ("answer", "short", "how questions are answered"),
    ("judge", 3, "who judges whole answers"),
    ("evaluation", "daily", "when what is live is evaluated again"),
    ("gate.golden_set", 1, "JSON Lines"),
    ("gate.k", 101, "less than or equal to 100"),
    ("gate.floors", {"recall": 0.5}, ", ".join(METRICS)),
    ("gate.minimum_effect", 1.1, "less than or equal to 1"),
    ("gate.minimum_questions", 0, "greater than or equal to 1"),
    ("gate.max_removed", 1.1, "less than or equal to 1"),
    ("gate.max_unread", -0.1, "greater than or equal to 0"),
    ("gate.own_document_floor", -1, "greater than or equal to 0"),
    ("release.keep", 1, "greater than or equal to 2"),
    ("refresh.cron", 5, "five fields"),
    ("refresh.timezone", 9, "`Asia/Seoul`"),
    ("refresh.watch", "often", "valid boolean"),
    ("refresh.timeout_minutes", 0.5, "valid integer"),
]
# more than one thing can be wrong with these
ALSO_WRONG: list[tuple[str, Any, str]] = [
    ("owner", "platform", "neither a team (`team:name`) nor an e-mail address; allowed: `team:na"),
    ("owner", "team:", "neither a team"),
    ("owner", "ann@host", "`team:name` or an e-mail address"),
    ("source.url", "  ", "is blank"),
    ("source.url", "a\0b", "NUL"),
    ("tenant", "  ", "is blank"),
    ("tenant", "a\0b", "NUL"),
    ("gate.golden_set", "", "is blank; allowed: URL of a golden set"),
    ("gate.golden_set", "\t", "is blank"),
    ("gate.golden_set", "g\0", "NUL"),
    ("refresh.cron", "hourly", "has 1 fields, not five; allowed: five fields"),
    ("refresh.cron", "0 0 30 2 *", "no such month has a day 30"),
    ("refresh.timezone", "Mars/Base", "no time zone has this name; allowed: IANA name"),
]
# field, lowest and highest allowed, and the nearest that are not (None: no bound)
BOUNDS: list[tuple[str, Any, Any, Any, Any]] = [
    ("source.shards", 1, 4096, 0, 4097),
    ("parse.seconds", 0.001, 3600, 0, 3600.1),
    ("parse.memory_mb", 64, None, 63, None),
    ("parse.max_document_mb", 1, None, 0, None),
    ("embed.dimension", 1, 32768, 0, 32769),
    ("embed.window_tokens", 256, None, 15, None),
    ("embed.batch", 1, 2048, 0, 2049),
    ("embed.concurrency", 1, 256, 0, 257),
    ("index.dense_weight", 0, None, -0.001, None),
    ("index.keyword_weight", 0, None, -0.001, None),
    ("index.rank_constant", 1, 1000, 0, 1001),
    ("index.max_dead_share", 0, 0.9, -0.001, 0.901),
    ("gate.k", 1, 100, 0, 101),
    ("gate.floors.mrr", 0, 1, -0.001, 1.001),
    ("gate.minimum_effect", 0, 1, -0.001, 1.001),
    ("gate.minimum_questions", 1, None, 0, None),
    ("gate.own_document_floor", 0, 1, -0.001, 1.001),
    ("release.keep", 2, 20, 1, 21),
    ("refresh.timeout_minutes", 1, None, 0, None),
]


def declared(path: str = "", value: Any = None) -> dict[str, Any]:
    """The shortest declaration, with the field at a dotted path set."""
    values: dict[str, Any] = json.loads(json.dumps(SHORTEST))
    if not path:
        return values
    *above, last = path.split(".")
    inner = values
    for name in above:
        inner = inner.setdefault(name, {})
    inner[last] = value
    return values


def served(path: str, value: Any) -> dict[str, Any]:
    """A declaration with a served model, which takes every attribute of `embed`."""
    values = declared(path, value)
    return {**values, "embed": {**OPENAI, **values.get("embed", {})}}


def parsed(values: Mapping[str, Any]) -> KnowledgeBaseSpec:
    return parse_declaration(values, where="defs/handbook/defs.yaml")


def refusal(values: object) -> str:
    with pytest.raises(ConfigurationError) as caught:
        parsed(cast("Mapping[str, Any]", values))
    assert caught.value.where == "defs/handbook/defs.yaml"
    assert caught.value.where in str(caught.value)
    return caught.value.what


def outcome(values: dict[str, Any]) -> str:
    """The digest of what was declared, or the words of the refusal; any other error is raised."""
    try:
        return parsed(values).digest
    except ConfigurationError as error:
        return error.what


def leaves(model: type[BaseModel], above: str = "") -> Iterator[str]:
    """Dotted paths of all fields that hold no model."""
    for name, field in model.model_fields.items():
        inner = field.annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            yield from leaves(inner, f"{above}{name}.")
        else:
            yield above + name


def test_a_name_and_a_source_are_enough() -> None:
    """The shortest declaration works; every default is a choice somebody can read."""
    spec = parsed(SHORTEST)
    assert (spec.name, spec.source.url) == ("handbook", "docs")
    assert spec.embed.provider == "local"
    assert spec.index.kind == "auto"
    assert spec.gate.floors == {}


def test_defaults_satisfy_their_own_bounds() -> None:
    """Defaults are not checked by the schema library: written out, they must be accepted."""
    spec = parsed(SHORTEST)
    again = parsed(spec.model_dump())
    assert again == spec
    assert again.digest == spec.digest


def test_the_table_below_holds_every_field() -> None:
    """A new field gets a test of its refusal, or this fails."""
    assert sorted(path for path, _, _ in WRONG) == sorted(leaves(KnowledgeBaseSpec))


@pytest.mark.parametrize(("path", "value", "allowed"), [*WRONG, *ALSO_WRONG])
def test_each_wrong_field_is_named_with_its_value_and_what_is_allowed(
    path: str, value: Any, allowed: str
) -> None:
    """A person corrects it without reading the source."""
    what = refusal(declared(path, value))
    assert f"    {path} = {value!r}: " in what
    assert "; allowed: " in what
    assert allowed in what


@pytest.mark.parametrize(("path", "low", "high", "below", "above"), BOUNDS, ids=str)
def test_bounds_are_where_they_say(path: str, low: Any, high: Any, below: Any, above: Any) -> None:
    """Both ends are allowed, and nothing outside."""
    for value in (low, high):
        assert value is None or parsed(served(path, value))
    for value in (below, above):
        assert value is None or path.removesuffix(".mrr") in refusal(served(path, value))


@pytest.mark.parametrize("number", [NAN, INFINITY, -INFINITY])
@pytest.mark.parametrize("path", [bound[0] for bound in BOUNDS])
def test_a_number_that_is_not_finite_is_refused(path: str, number: float) -> None:
    """YAML has `.nan` and `.inf`; every comparison with NaN is false, so a bound lets it pass."""
    what = refusal(declared(path, number))
    assert f"    {path} = {number!r}: " in what
    assert "finite number" in what


@pytest.mark.parametrize(
    ("path", "siblings"),
    [
        ("sources", "name, owner, parse"),
        ("source.uri", "exclude, include, shards, url"),
        ("gate.floor", "floors, golden_set, k"),
        ("refresh.schedule", "cron, timeout_minutes, timezone, watch"),
    ],
)
def test_an_unknown_field_is_answered_with_those_there_are(path: str, siblings: str) -> None:
    """A misspelt field that is dropped silently leaves its default in force."""
    what = refusal(declared(path, "x"))
    assert f"    {path} = 'x': no such field; allowed: " in what
    assert siblings in what


@pytest.mark.parametrize(
    ("values", "path", "allowed"),
    [
        ({"source": {"url": "docs"}}, "name", "lower-case letters"),
        ({"name": "handbook"}, "source", "a mapping of events, exclude, include, shards, url"),
        ({"name": "handbook", "source": {"shards": 4}}, "source.url", "`s3://bucket/prefix`"),
    ],
)
def test_a_missing_field_is_named_with_what_it_holds(
    values: dict[str, Any], path: str, allowed: str
) -> None:
    """Only three fields cannot have a default."""
    assert f"    {path}: is missing; allowed: {allowed}" in refusal(values)


@pytest.mark.parametrize("path", ["source", "parse", "embed", "index", "gate", "release"])
def test_a_group_that_is_no_mapping_is_told_its_fields(path: str) -> None:
    """`source: docs` is the commonest slip of a short declaration."""
    what = refusal(declared(path, "docs"))
    assert f"    {path} = 'docs': " in what
    assert "; allowed: a mapping of " in what


@pytest.mark.parametrize("whole", [[], ["name"], "handbook", None, 3])
def test_a_declaration_that_is_no_mapping_is_told_its_fields(whole: object) -> None:
    """An empty YAML file is None, and one that starts with `-` is a list."""
    what = refusal(whole)
    assert f"    (whole declaration) = {whole!r}: " in what
    assert "allowed: answer, chunk, description, embed, evaluation, gate" in what


def test_a_key_that_is_no_text_is_refused() -> None:
    """YAML reads `on:` as true and `1:` as a number."""
    for key in (True, 1):
        assert f" = {key!r}: Keys should be strings; allowed: " in refusal({**SHORTEST, key: "x"})


def test_an_item_of_a_list_is_named_by_its_number() -> None:
    """The third pattern of ten is found without counting values."""
    what = refusal(declared("source.include", ["a/*", 7]))
    assert "    source.include.1 = 7: " in what
    assert "globs of keys" in what


def test_a_chunk_policy_that_is_no_mapping_is_named_by_its_document_type() -> None:
    """The policy's own fields are checked where policies are made."""
    assert "    chunk.markdown = 512: " in refusal(declared("chunk", {"markdown": 512}))


@pytest.mark.parametrize(
    ("chunk", "told"),
    [
        ({"word": {"kind": "fixed"}}, "chunk.word = "),
        ({"markdown": {"kind": "paragraphs"}}, "chunk.markdown.kind = 'paragraphs'"),
        ({"markdown": {"kind": "tokens", "length": 3}}, "chunk.markdown.length = 3"),
        ({"default": {"kind": "tokens", "size": 0}}, "chunk.default.size = 0"),
        ({"default": {"kind": "tokens", "size": NAN}}, "chunk.default.size = nan"),
        ({"default": {"kind": "tokens", "size": 513}}, "chunk.default.size = 513"),
    ],
)
def test_a_wrong_chunk_policy_is_told_at_load(chunk: dict[str, Any], told: str) -> None:
    """Otherwise it is told after all documents were parsed."""
    with pytest.raises(ConfigurationError) as caught:
        parsed(declared("chunk", chunk))
    assert told in caught.value.what
    assert "allowed" in caught.value.what


def test_a_small_window_wants_small_chunks() -> None:
    """The bound is the embedder's own window, as declared or as shipped."""
    small = {**declared("embed", OPENAI | {"window_tokens": 16})}
    assert "chunk.default.size = 256" in outcome(small)
    sizes = {"default": {"kind": "tokens", "size": 16, "overlap": 0}}
    assert parsed({**small, "chunk": sizes}).embed.window == 16
    assert parsed(SHORTEST).embed.window == 512


def test_all_wrong_fields_are_told_at_once() -> None:
    """One correction a run is a long morning."""
    what = refusal(
        {"name": "x__y", "source": {"url": "", "shard": 2}, "gate": {"k": 0}, "release": []}
    )
    for path in ("name = 'x__y'", "source.url = ''", "source.shard = 2", "gate.k = 0", "release ="):
        assert f"\n    {path}" in what


def test_the_cause_is_kept() -> None:
    """The schema's own error says more to whoever debugs the schema."""
    with pytest.raises(ConfigurationError) as caught:
        parsed({})
    assert isinstance(caught.value.__cause__, ValidationError)
    assert "dg list components" in caught.value.remedy


@pytest.mark.parametrize("name", ["a", "kb_2", "a1_b2_c3", "x" * NAME_MAX_CHARACTERS])
def test_names_that_every_system_takes_are_allowed(name: str) -> None:
    """A name is part of collections, assets, jobs, pools and keys of the store."""
    assert parsed(declared("name", name)).name == name


@pytest.mark.parametrize(
    "name",
    [
        "", "A", "1a", "_a", "a_", "a__b", "a-b", "a.b", "a b", "가나", "é", "a\n",
        "x" * (NAME_MAX_CHARACTERS + 1),
    ],
)  # fmt: skip
def test_names_that_some_system_refuses_are_refused(name: str) -> None:
    """Two underscores in a row end a name in a collection's name; a newline ends a `$`."""
    assert "    name = " in refusal(declared("name", name))


@pytest.mark.parametrize("absent", ["url", "dimension", "window_tokens"])
def test_a_served_model_needs_its_server_and_its_sizes(absent: str) -> None:
    """They cannot be guessed without asking the server, and a load asks nobody."""
    embed = {name: value for name, value in OPENAI.items() if name != absent}
    what = refusal(declared("embed", embed))
    assert f"provider `openai` needs {absent};" in what
    assert parsed(declared("embed", OPENAI)).embed.url == OPENAI["url"]


@pytest.mark.parametrize("provider", ["local", "hash"])
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("url", "http://e:8000"), ("revision", "r"), ("query_prefix", "query: "),
        ("passage_prefix", "passage: "), ("tokenizer", "tokenizer.json"), ("batch", 8),
        ("concurrency", 2),
    ],
)  # fmt: skip
def test_what_only_a_served_model_uses_goes_with_no_other(
    provider: str, name: str, value: Any
) -> None:
    """A forgotten `provider: openai` embedded on this machine's CPU for a day, without prefixes."""
    what = refusal(declared("embed", {"provider": provider, name: value}))
    assert f"    embed.{name} = {value!r}: `{name}` goes with provider `openai`, not" in what
    assert f"not `{provider}`; allowed: `openai` only" in what
    assert parsed(served(f"embed.{name}", value)).embed.model_dump()[name] == value


def test_without_a_provider_it_is_the_local_one() -> None:
    """The default of `provider` decides as a declared one does."""
    assert "goes with provider `openai`, not `local`" in refusal(declared("embed.revision", "r"))
    assert "provider `local` has 512" in refusal(declared("embed.window_tokens", 8192))


@pytest.mark.parametrize(("provider", "name", "size"), SIZES)
def test_a_shipped_embedder_has_its_own_sizes(provider: str, name: str, size: int) -> None:
    """Another was accepted and ignored; chunks longer than the window failed in the run."""
    for other in (size - 1, size + 1):
        what = refusal(declared("embed", {"provider": provider, name: other}))
        assert f"    embed.{name} = {other}: provider `{provider}` has {size}" in what
    for allowed in (size, None):
        assert parsed(declared("embed", {"provider": provider, name: allowed}))


def test_the_hash_embedder_has_any_dimension() -> None:
    """Load tests choose it."""
    embed = {"provider": "hash", "dimension": 32}
    assert parsed(declared("embed", embed)).embed.dimension == 32


@pytest.mark.parametrize(
    "url",
    ["http://e", "https://e.example:8000/v1", "http://127.0.0.1:1/v1/", "HTTP://[::1]:8000/a@b"],
)
def test_a_server_is_a_web_address(url: str) -> None:
    """All that the client of model servers takes."""
    assert parsed(served("embed.url", url)).embed.url == url


@pytest.mark.parametrize(
    "url",
    [
        "", "not a url", "embedder:8000", "http://", "http:///v1", "http:/e/v1", "grpc://e:8000",
        "http://e:port/v1", "http://e:65536/v1", "http://e/v1?key=1", "http://e/v1#a", " http://e",
        "http://e\n",
    ],
)  # fmt: skip
def test_what_is_no_web_address_is_refused(url: str) -> None:
    """It was told by the first batch of chunks, after all documents were parsed."""
    what = refusal(served("embed.url", url))
    assert f"    embed.url = {url!r}: is no address of a server, such as http://" in what


@pytest.mark.parametrize(
    "values",
    [
        served("embed.url", "http://user:sesame@e/v1"),
        served("embed.url", "user:sesame@e"),
        served("embed.uri", "http://user:sesame@e/v1"),
        served("embed.batch", {"url": ["user:sesame@e"]}),
        declared("embed", {"url": "http://user:sesame@e/v1"}),
        declared("embed", {"provider": "openai", "urls": ["http://user:sesame@e/v1"]}),
        {"source": {"url": "s3://AKIA:sesame/x@bucket", "shards": 0}, "embed": "http://sesame@e"},
    ],
)
def test_a_password_in_an_address_is_never_shown(values: dict[str, Any]) -> None:
    """The message showed it, and so did the schema's own error below it in the log."""
    with pytest.raises(ConfigurationError) as caught:
        parsed(values)
    said = "".join(traceback.format_exception(caught.value))
    assert "sesame" not in said
    assert "embed" in said


def test_a_key_is_sent_to_its_own_place() -> None:
    """Who puts it into the address is told where it goes."""
    what = refusal(served("embed.url", "http://user:sesame@e/v1"))
    assert "    embed.url = 'http://***@e/v1': holds a user or a password" in what
    assert "PLATFORM_EMBEDDER_API_KEY" in what


@pytest.mark.parametrize(
    ("index", "why"),
    [
        ({"dense_weight": 0, "keyword_weight": 0}, "dense_weight is 0 and keyword_weight is 0"),
        ({"dense_weight": 0.0, "keyword": False}, "dense_weight is 0 and keyword is false"),
    ],
)
def test_an_index_that_searches_nothing_is_refused(index: dict[str, Any], why: str) -> None:
    """It was accepted, and there was nothing left to rank by."""
    what = refusal(declared("index", index))
    assert f"    index = {index!r}: nothing would be searched: {why}" in what


@pytest.mark.parametrize(
    "index",
    [
        {"dense_weight": 0},
        {"keyword_weight": 0},
        {"keyword": False},
        {"keyword": False, "keyword_weight": 0},
    ],
)
def test_either_search_may_stand_alone(index: dict[str, Any]) -> None:
    """Vectors alone and keywords alone are both indexes."""
    assert parsed(declared("index", index))


def test_a_model_that_is_not_shipped_is_refused() -> None:
    """The error says which model is, and how another one is served."""
    what = refusal(declared("embed.model", "bge-m3"))
    assert "'bge-m3' is not shipped" in what
    assert "provider `openai`" in what
    assert parsed(declared("embed", {"provider": "hash", "model": "any"})).embed.model == "any"


def test_a_floor_names_its_metric() -> None:
    """Two floors, one of them wrong: which?"""
    what = refusal(declared("gate.floors", {"mrr": 0.5, "ndcg": 1.5}))
    assert "the floor of ndcg is 1.5; allowed: 0 to 1" in what
    floors = dict.fromkeys(METRICS, 0.5)
    assert parsed(declared("gate.floors", floors)).gate.floors == floors


def test_a_declaration_cannot_be_changed() -> None:
    """Assets share it; a stage that edits it would change the next one's work."""
    spec = parsed(SHORTEST)
    with pytest.raises(ValidationError, match="frozen"):
        spec.gate.k = 3  # pyright: ignore[reportAttributeAccessIssue]


def test_any_mapping_is_read() -> None:
    """A declaration may come from YAML, JSON or Dagster, each with a mapping of its own."""
    assert parsed(UserDict(SHORTEST)) == parsed(SHORTEST)


@given(
    shards=st.integers(1, 4096),
    k=st.integers(1, 100),
    weight=st.floats(0, 10),
    patterns=st.lists(st.text(max_size=5), max_size=3),
)
def test_a_declaration_comes_back_from_its_record(
    shards: int, k: int, weight: float, patterns: list[str]
) -> None:
    """A revision stores it as JSON; what comes back searches as what was built."""
    spec = parsed(
        {
            "name": "handbook",
            "source": {"url": "docs", "shards": shards, "include": patterns},
            "gate": {"k": k},
            "index": {"dense_weight": weight},
        }
    )
    again = parsed(json.loads(json.dumps(spec.model_dump(mode="json"))))
    assert again == spec
    assert again.digest == spec.digest


@given(path=st.sampled_from([wrong[0] for wrong in WRONG]), value=st.none() | st.text(max_size=3))
def test_no_value_escapes_as_another_error(path: str, value: Any) -> None:
    """Whatever is written: a declaration, or a ConfigurationError that names the field."""
    told = outcome(declared(path, value))
    group = path.partition(".")[0]
    assert len(told) == 32 or f"    {path} = " in told or f"    {group} = " in told


def test_digests_tell_declarations_apart() -> None:
    """A changed field is another declaration; a default written out is the same one."""
    digests = {
        parsed(declared(path, value)).digest
        for path, value in [
            ("source.shards", 17), ("gate.k", 9), ("description", "설명"), ("tenant", "b"),
            ("chunk", {"default": {"kind": "fixed"}}), ("index.keyword", False),
        ]
    }  # fmt: skip
    assert len(digests) == 6
    assert parsed(SHORTEST).digest not in digests
    assert parsed(declared("parse.seconds", 60)).digest == parsed(SHORTEST).digest
    assert parsed(declared("parse.seconds", 60.0)).digest == parsed(SHORTEST).digest
