"""What a Milvus can do, found out by doing it on tiny collections.

A server may accept an index kind and never build it (Milvus 2.3 on CPU with GPU_IVF_FLAT), or
build nothing for few rows: a kind counts when it was filled, indexed, loaded and searched in time.
"""

import threading
import time
import uuid
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from platform_pipelines.errors import CapabilityError, PlatformError
from platform_pipelines.gateways.milvus.connection import Connection
from platform_pipelines.gateways.milvus.library import pymilvus
from platform_pipelines.gateways.milvus.schema import (
    LITE,
    SERVER,
    SPARSE_FIELD,
    batches,
    build_schema,
)
from platform_pipelines.gateways.vector_store import Capabilities, CollectionSpec, Row

PREFIX = "pp_probe_"
LEFTOVER_AFTER_SECONDS = 600
DIMENSION = 32
LITE_ROWS = 64
# A server builds no index for a segment of fewer than 1024 rows (`minSegmentNumRowsToEnableIndex`).
SERVER_ROWS = 1_200
TIMEOUT_SECONDS = 120
# The first wave tells how fast the server is just now; a later one gets twice that, and a little.
PATIENCE = 2
PATIENCE_SECONDS = 10

KEYWORDS = "keywords"
# Each wave begins when the one before has ended: a server builds one index after the other, and one
# that never ends holds up all that come after it, for minutes after it was dropped.
LITE_WAVES = (("FLAT", "IVF_FLAT", "HNSW", KEYWORDS),)
PACKAGE_WAVES = (("FLAT", "IVF_FLAT", "IVF_SQ8", "IVF_PQ", "HNSW", "SCANN", KEYWORDS),)
SERVER_WAVES = (*PACKAGE_WAVES, ("DISKANN",))
GPU_WAVES = (("GPU_BRUTE_FORCE", "GPU_CAGRA", "GPU_IVF_PQ"), ("GPU_IVF_FLAT",))
# The server of the `milvus` package: a CPU build whose configuration has disk indexes off. It takes
# DISKANN and GPU_IVF_FLAT and starts their build again every 3 s, for ever.
PACKAGE_SUFFIX = "-lite"
NOT_TRIED = {
    "DISKANN": "not tried: the server of the `milvus` package has disk indexes switched off",
    "GPU": "not tried: the server of the `milvus` package has no GPU",
}

BUILD_PARAMETERS: dict[str, dict[str, Any]] = {
    "IVF_FLAT": {"nlist": 4},
    "IVF_SQ8": {"nlist": 4},
    "IVF_PQ": {"nlist": 4, "m": 4, "nbits": 4},
    "HNSW": {"M": 8, "efConstruction": 32},
    "SCANN": {"nlist": 4},
    "GPU_IVF_FLAT": {"nlist": 4},
    "GPU_IVF_PQ": {"nlist": 4, "m": 4, "nbits": 8},
    "GPU_CAGRA": {"intermediate_graph_degree": 16, "graph_degree": 8},
}


@dataclass(frozen=True, slots=True)
class _Trial:
    connection: Connection
    name: str
    kind: str  # an index kind, or KEYWORDS
    rows: int
    lite: bool


def probe(
    connection: Connection,
    *,
    gpu: bool,
    kinds: Collection[str] | None = None,
    timeout_seconds: float = TIMEOUT_SECONDS,
) -> Capabilities:
    """Try every kind that the product may have, or those of `kinds`, and keywords; each in time.

    Raises:
        UnavailableError: the server does not answer at all.
    """
    with connection.use("ask for its version") as client:
        product, version = product_of(client.get_server_version(timeout=connection.timeout_seconds))
        _drop_leftovers(client, timeout=connection.timeout_seconds)
    planned, failures = _plan(product, version, gpu=gpu)
    waves = [w for wave in planned if (w := [k for k in wave if _is_asked(k, kinds)])]
    allowed_seconds = timeout_seconds
    start = time.monotonic()
    for number, wave in enumerate(waves):
        failures |= _try(connection, wave, lite=product == LITE, seconds=allowed_seconds)
        if number == 0:
            patience = PATIENCE_SECONDS + PATIENCE * (time.monotonic() - start)
            allowed_seconds = min(timeout_seconds, patience)
    tried = [kind for wave in waves for kind in wave if kind != KEYWORDS]
    return Capabilities(
        product=product,
        version=version,
        index_kinds=tuple(kind for kind in tried if kind not in failures),
        keyword_search=KEYWORDS not in failures,
        notes=failures,
    )


def _is_asked(kind: str, kinds: Collection[str] | None) -> bool:
    return kinds is None or kind == KEYWORDS or kind in kinds


def _plan(
    product: str, version: str, *, gpu: bool
) -> tuple[tuple[tuple[str, ...], ...], dict[str, str]]:
    """(what to try, what is known without trying)."""
    if product == LITE:
        return LITE_WAVES, {}
    if version.endswith(PACKAGE_SUFFIX):
        return PACKAGE_WAVES, {kind: why for kind, why in NOT_TRIED.items() if gpu or kind != "GPU"}
    return SERVER_WAVES + (GPU_WAVES if gpu else ()), {}


def product_of(server_version: str) -> tuple[str, str]:
    """(product, version) of what a server says: `milvus_lite-3.2.2`; `v2.3.5-lite` is a server."""
    if server_version.startswith("milvus_lite"):
        return LITE, server_version.partition("-")[2]
    return SERVER, server_version.removeprefix("v")


def _drop_leftovers(client: Any, *, timeout: int) -> None:
    """Drop what killed probes left behind; a probe that runs beside this one is left alone."""
    oldest = time.time() - LEFTOVER_AFTER_SECONDS
    for name in client.list_collections(timeout=timeout):
        if str(name).startswith(PREFIX) and _started(str(name)) < oldest:
            client.drop_collection(str(name), timeout=timeout)


def _started(name: str) -> float:
    seconds = name.removeprefix(PREFIX).partition("_")[0]
    return float(seconds) if seconds.isdigit() else 0.0


def _try(
    connection: Connection, kinds: Sequence[str], *, lite: bool, seconds: float
) -> dict[str, str]:
    """Words of failure by kind. Daemon threads: one that hangs must not hold the process."""
    stamp = f"{PREFIX}{int(time.time())}_{uuid.uuid4().hex[:8]}"
    rows = LITE_ROWS if lite else SERVER_ROWS
    outcomes: dict[str, str] = {}
    threads: list[threading.Thread] = []
    for kind in kinds:
        trial = _Trial(connection, f"{stamp}_{kind.lower()}", kind, rows, lite)
        threads.append(threading.Thread(target=_attempt, args=(trial, outcomes), daemon=True))
        threads[-1].start()
    deadline = time.monotonic() + seconds
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
    done = dict(outcomes)
    late = [kind for kind in kinds if kind not in done]
    for kind in late:
        _drop_late(connection, f"{stamp}_{kind.lower()}")
    words = done | dict.fromkeys(late, f"no answer within {seconds:.0f} s")
    return {kind: words[kind] for kind in kinds if words[kind]}


def _drop_late(connection: Connection, name: str) -> None:
    """Its own thread would drop it, but may not live to: the next probe drops what stays."""
    with suppress(PlatformError), connection.use(f"drop {name}") as client:
        client.drop_collection(name, timeout=connection.timeout_seconds)


def _attempt(trial: _Trial, outcomes: dict[str, str]) -> None:
    run: Callable[[Any, _Trial], None] = _try_keywords
    if trial.kind != KEYWORDS:
        run = _try_index
    try:
        with trial.connection.use(f"probe {trial.kind}") as client:
            try:
                run(client, trial)
            finally:
                client.drop_collection(trial.name, timeout=TIMEOUT_SECONDS)
        outcomes[trial.kind] = ""
    except PlatformError as error:
        outcomes[trial.kind] = error.what


def _try_index(client: Any, trial: _Trial) -> None:
    import numpy as np

    kinds = pymilvus().DataType
    schema = client.create_schema(auto_id=False, enable_dynamic_field=False)
    schema.add_field("id", kinds.INT64, is_primary=True)
    schema.add_field("vector", kinds.FLOAT_VECTOR, dim=DIMENSION)
    client.create_collection(trial.name, schema=schema, timeout=TIMEOUT_SECONDS)
    vectors = np.random.default_rng(0).normal(size=(trial.rows, DIMENSION)).astype(np.float32)
    rows = [{"id": number, "vector": vector} for number, vector in enumerate(vectors)]
    client.insert(trial.name, rows, timeout=TIMEOUT_SECONDS)
    _build(client, trial, "vector", metric="L2")
    found = client.search(
        trial.name, [vectors[0]], limit=1, anns_field="vector", timeout=TIMEOUT_SECONDS
    )
    _expect_a_hit(found, trial)


def _try_keywords(client: Any, trial: _Trial) -> None:
    spec = CollectionSpec(
        name=trial.name, dimension=DIMENSION, metric="L2", index_kind="FLAT", keyword=True
    )
    schema = build_schema(spec, product=LITE if trial.lite else SERVER)
    client.create_collection(trial.name, schema=schema, timeout=TIMEOUT_SECONDS)
    client.insert(trial.name, _keyword_rows(), timeout=TIMEOUT_SECONDS)
    _build(client, trial, "vector", metric="L2")
    _build(client, trial, SPARSE_FIELD, metric="BM25")
    found = client.search(
        trial.name, ["지표"], limit=1, anns_field=SPARSE_FIELD, timeout=TIMEOUT_SECONDS
    )
    _expect_a_hit(found, trial)


def _keyword_rows() -> list[dict[str, Any]]:
    import numpy as np

    vector = np.ones(DIMENSION, dtype=np.float32)
    row = Row("probe", "probe", "probe", "", "", "{}", "ko", "md", "서비 비스 지표", vector)
    (rows,) = batches([row], dimension=DIMENSION, keyword=True, max_bytes=1_000_000)
    return rows


def _build(client: Any, trial: _Trial, field: str, *, metric: str) -> None:
    client.flush(trial.name, timeout=TIMEOUT_SECONDS)
    parameters = client.prepare_index_params()
    dense = "FLAT" if trial.kind == KEYWORDS else trial.kind
    parameters.add_index(
        field,
        index_name=field,
        index_type="SPARSE_INVERTED_INDEX" if metric == "BM25" else dense,
        metric_type=metric,
        params=BUILD_PARAMETERS.get(trial.kind, {}),
    )
    client.create_index(trial.name, parameters, timeout=TIMEOUT_SECONDS, sync=not trial.lite)
    if metric != "BM25" and trial.kind == KEYWORDS:
        return  # a collection is loaded only when all its vector fields have an index
    client.load_collection(trial.name, timeout=TIMEOUT_SECONDS)


def _expect_a_hit(found: Any, trial: _Trial) -> None:
    if not found or not found[0]:
        raise CapabilityError(f"{trial.kind} was built and finds nothing")
