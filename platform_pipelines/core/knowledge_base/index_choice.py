"""Which vector index a collection gets, with which parameters, and why, in words for people.

Sources of the rules:

- HNSW: M 16 and efConstruction 200 are inside the ranges of Malkov and Yashunin, "Efficient and
  robust approximate nearest neighbor search using HNSW graphs" (arXiv:1603.09320, §4.1).
- IVF: nlist = 4 x sqrt(n) (Milvus' performance FAQ), and no more than n / 39, below which FAISS
  says that a centroid has too few training points.
- SCANN, DISKANN, GPU_CAGRA: the parameter tables of Milvus' documentation (milvus.io/docs).
- Exact search on Milvus Lite: measured with 384 dimensions on 2 cores. Of 20,000 rows FLAT answers
  in 31 ms, IVF_FLAT in 15, HNSW in 26, because a filter that runs in Python for every row costs
  more than the distances; building takes 0, 1 and 13 s. Of 100,000 rows FLAT takes 530 ms.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import isqrt
from typing import Protocol

from platform_pipelines.errors import CapabilityError

AUTO = "auto"
LITE = "milvus-lite"

EXACT_MAX_ROWS = 20_000
LITE_EXACT_MAX_ROWS = 50_000
MEMORY_GRAPH_MAX_ROWS = 5_000_000
GPU_MIN_ROWS = 100_000

IVF_KINDS = ("IVF_FLAT", "IVF_SQ8", "SCANN", "GPU_IVF_FLAT")
PQ_KINDS = ("IVF_PQ", "GPU_IVF_PQ")
TRAINING_POINTS_PER_LIST = 39
NLIST_MAX = 65_536
PQ_DIMENSIONS_PER_CODE = 4


class Capable(Protocol):
    """The part of a server's capabilities that a choice needs."""

    @property
    def product(self) -> str:
        """`milvus-lite` or `milvus`."""
        ...

    @property
    def index_kinds(self) -> tuple[str, ...]:
        """The kinds that were seen to work."""
        ...


@dataclass(frozen=True, slots=True)
class IndexChoice:
    """What a collection is indexed with. `fallback_from` is the kind asked for and not had."""

    kind: str
    reason: str
    index_parameters: Mapping[str, int] = field(default_factory=dict[str, int])
    search_parameters: Mapping[str, int] = field(default_factory=dict[str, int])
    fallback_from: str | None = None


def preferred_kind(requested: str, *, rows: int, product: str, gpu: bool) -> str:
    """The kind that is taken if the server can do it: what a probe has to try first."""
    return requested if requested != AUTO else _wanted(rows, product=product, gpu=gpu)[0][0]


def choose_index(
    requested: str,
    *,
    rows: int,
    dimension: int,
    capabilities: Capable,
    gpu: bool,
    fallback: bool = False,
) -> IndexChoice:
    """Choose the index of a collection of `rows` vectors.

    `auto` takes the first kind of a list by size that the server was seen to build. `gpu` says that
    the declaration wants the server's GPUs used. With `fallback`, a kind that the server cannot do
    is replaced by what `auto` takes.

    Raises:
        CapabilityError: the server cannot do the kind, and no fallback is declared; or it can do
            nothing that is known here.
    """
    if requested != AUTO:
        if requested in capabilities.index_kinds:
            return _chosen(requested, "it was declared", rows=rows, dimension=dimension)
        if not fallback:
            raise CapabilityError(
                "the vector store cannot build the declared index",
                where=f"index.kind {requested}",
                stored=_listed(capabilities.index_kinds),
                expected=requested,
                remedy="declare one of those, `auto`, or `index.fallback: true`",
            )
    wanted, reason = _wanted(rows, product=capabilities.product, gpu=gpu)
    kind = next((one for one in wanted if one in capabilities.index_kinds), None)
    if kind is None:
        raise CapabilityError(
            "the vector store builds no index that is known here",
            stored=_listed(capabilities.index_kinds),
            expected=_listed(wanted),
            remedy="look at `platform-pipelines doctor`; is the server healthy?",
        )
    if kind != wanted[0]:
        reason += f"; the server cannot do {_listed(wanted[: wanted.index(kind)])}"
    if requested == AUTO:
        return _chosen(kind, reason, rows=rows, dimension=dimension)
    reason = f"the server cannot do {requested}, and a fallback is declared: {reason}"
    return _chosen(kind, reason, rows=rows, dimension=dimension, fallback_from=requested)


def _wanted(rows: int, *, product: str, gpu: bool) -> tuple[tuple[str, ...], str]:
    """Kinds in order of preference, and why the first is preferred."""
    exact = LITE_EXACT_MAX_ROWS if product == LITE else EXACT_MAX_ROWS
    if rows <= exact:
        reason = f"{rows:,} rows are few enough for exact search (up to {exact:,})"
        return ("FLAT", "HNSW", "IVF_FLAT"), reason
    if product == LITE:
        reason = f"{rows:,} rows are too many for exact search, and lists build fastest here"
        return ("IVF_FLAT", "HNSW", "FLAT"), reason
    if gpu and rows >= GPU_MIN_ROWS:
        reason = f"a GPU builds the graph of {rows:,} rows; CPUs can search it too"
        return ("GPU_CAGRA", "GPU_IVF_FLAT", "HNSW", "IVF_FLAT", "FLAT"), reason
    if rows <= MEMORY_GRAPH_MAX_ROWS:
        reason = f"a graph in memory is the fastest for {rows:,} rows"
        return ("HNSW", "SCANN", "IVF_FLAT", "FLAT"), reason
    reason = f"a graph of {rows:,} rows would cost too much memory"
    return ("DISKANN", "IVF_PQ", "IVF_SQ8", "HNSW", "IVF_FLAT", "FLAT"), reason


def _chosen(
    kind: str, reason: str, *, rows: int, dimension: int, fallback_from: str | None = None
) -> IndexChoice:
    build, search = _parameters(kind, rows=rows, dimension=dimension)
    return IndexChoice(
        kind=kind,
        reason=f"{kind}: {reason}",
        index_parameters=build,
        search_parameters=search,
        fallback_from=fallback_from,
    )


def _parameters(kind: str, *, rows: int, dimension: int) -> tuple[dict[str, int], dict[str, int]]:
    """(of building, of searching). Searching reads more where there is more to miss."""
    nlist = lists_for(rows)
    nprobe = max(min(nlist, 8), nlist // 16)
    breadth = 64 if rows <= 100_000 else 128 if rows <= 1_000_000 else 256
    if kind in IVF_KINDS:
        return {"nlist": nlist}, {"nprobe": nprobe}
    if kind in PQ_KINDS:
        return {"nlist": nlist, "m": codes_for(dimension), "nbits": 8}, {"nprobe": nprobe}
    if kind == "HNSW":
        return {"M": 16, "efConstruction": 200}, {"ef": breadth}
    if kind == "DISKANN":
        return {}, {"search_list": breadth}
    if kind == "GPU_CAGRA":
        build = {"intermediate_graph_degree": 64, "graph_degree": 32, "adapt_for_cpu": True}
        return build, {"ef": breadth}
    return {}, {}


def lists_for(rows: int) -> int:
    """`nlist` of an IVF index: 4 x sqrt(rows), within what trains and what Milvus takes."""
    return max(1, min(4 * isqrt(max(rows, 0)), rows // TRAINING_POINTS_PER_LIST, NLIST_MAX))


def codes_for(dimension: int) -> int:
    """`m` of a PQ index: the largest divisor of the dimension that leaves a code 4 of them."""
    most = max(1, dimension // PQ_DIMENSIONS_PER_CODE)
    return next(codes for codes in range(most, 0, -1) if dimension % codes == 0)


def _listed(kinds: Sequence[str]) -> str:
    return ", ".join(kinds) or "nothing"
