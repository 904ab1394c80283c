"""What every protocol of the server calls: a search or an answer, counted, limited and traced.

Works in threads; the protocols wait for it. Knows no HTTP.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any
from uuid import uuid4

from platform_pipelines.core.knowledge_base.chain import unknown_text
from platform_pipelines.core.knowledge_base.feedback import Feedback, FeedbackSpec
from platform_pipelines.core.road.usage import Usage
from platform_pipelines.errors import ConfigurationError, PlatformError, UnknownNameError
from platform_pipelines.gateways.clock import Clock
from platform_pipelines.gateways.traces import Traces
from platform_pipelines.serving.bases import Bases, Opened
from platform_pipelines.serving.ledger import Ledger
from platform_pipelines.serving.limits import QUERY_CHARACTERS, TENANT_CHARACTERS, Limits
from platform_pipelines.serving.metrics import Metrics
from platform_pipelines.stages.knowledge_base.answering import Answer, answer_question
from platform_pipelines.stages.knowledge_base.connect import open_knowledge_store
from platform_pipelines.stages.knowledge_base.feedback import keep_feedback
from platform_pipelines.stages.knowledge_base.retrieve import Found

SEARCH_K, ANSWER_K, MAX_K = 5, 10, 100


class RequestError(ConfigurationError):
    """A field of a request is missing or wrong."""


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked. `k` 0 is the protocol's default; `key` is whose it is, for experiments."""

    knowledge_base: str
    tenant: str
    query: str
    k: int = 0
    key: str = ""


@dataclass(frozen=True, slots=True)
class Answered:
    """An answer with its trace; `text` also where it is not known, in the question's language."""

    answer: Answer
    text: str
    trace_id: str


class Service:
    """One server's work."""

    def __init__(
        self,
        bases: Bases,
        traces: Traces,
        limits: Limits,
        metrics: Metrics,
        clock: Clock,
        ledger: Ledger,
    ) -> None:
        self.ledger = ledger
        self.bases = bases
        self.traces = traces
        self.limits = limits
        self.metrics = metrics
        self._clock = clock

    def search(self, request: Request) -> dict[str, Any]:
        """The best chunks.

        Raises:
            RequestError, MissingTenantError, UnknownNameError, RateLimitedError, UnavailableError.
        """
        with self._counted("search", request) as span:
            k = request.k or SEARCH_K

            def work(opened: Opened) -> tuple[str, list[Found]]:
                retriever = opened.live.retriever
                found = retriever.search([request.query], k=k, tenant=request.tenant)[0]
                return opened.live.revision.digest, found

            revision, hits = self._on_live(request.knowledge_base, work)
            span.set(revision=revision, hits=len(hits))
            return {
                "knowledge_base": request.knowledge_base,
                "revision": revision,
                "trace_id": span.trace_id,
                "hits": [hit_record(hit) for hit in hits],
            }

    def answer(self, request: Request) -> Answered:
        """An answer, or that it is not known.

        Raises:
            As `search`.
        """
        with self._counted("answer", request) as span:

            def work(opened: Opened) -> Answer:
                return answer_question(
                    opened.live,
                    request.query,
                    tenant=request.tenant,
                    k=request.k or ANSWER_K,
                    model=opened.model,
                    spans=self.traces,
                    key=request.key,
                )

            answer = self._on_live(request.knowledge_base, work)
            usage = answer.usage
            self._took(request, answer, span.trace_id)
            span.set(
                revision=answer.revision, known=answer.known, model=answer.model,
                input_tokens=usage.input_tokens, output_tokens=usage.output_tokens,
                citations=[c.chunk_id for c in answer.citations], answer=answer.text,
            )  # fmt: skip
            return Answered(answer, answer.text or unknown_text(request.query), span.trace_id)

    def feedback(self, name: str, tenant: str, said: FeedbackSpec) -> bool:
        """Keep what a person said of an answer; False where it was kept before.

        Raises:
            UnknownNameError, RateLimitedError, UnavailableError.
        """
        self.limits.take_request(tenant)
        with self.bases.use(name) as opened:
            revision = opened.live.revision.digest
        store = open_knowledge_store(self.bases.settings, name)
        day = self._clock.now().date().isoformat()
        kept = Feedback(tenant=tenant, revision=revision, day=day, **said.model_dump())
        return keep_feedback(store, kept)

    def _took(self, request: Request, answer: Answer, trace_id: str) -> None:
        usage = answer.usage
        if answer.model:
            self.ledger.took(
                Usage(
                    answer_id=trace_id or uuid4().hex,
                    tenant=request.tenant,
                    model=answer.model,
                    run="",
                    input_tokens=usage.input_tokens,
                    output_tokens=usage.output_tokens,
                )
            )
        self.limits.took_tokens(request.tenant, usage.input_tokens + usage.output_tokens)
        self.metrics.answered(
            request.knowledge_base,
            known=answer.known,
            input_tokens=usage.input_tokens,
            output_tokens=usage.output_tokens,
        )

    def _on_live(self, name: str, work: Any) -> Any:
        """Once more, when the collection was dropped under a request that held it."""
        with self.bases.use(name) as opened:
            try:
                return work(opened)
            except UnknownNameError:
                target = opened.live.entry.target
        with self.bases.use(name, again=True) as opened:
            if opened.live.entry.target == target:
                raise UnknownNameError(
                    "the released collection is gone", where=target, remedy="run the refresh job"
                )
            return work(opened)

    @contextmanager
    def _counted(self, operation: str, request: Request) -> Iterator[Any]:
        started, outcome = self._clock.monotonic(), "ok"
        name = request.knowledge_base
        self.metrics.began()
        try:
            _check(request)
            self.limits.take_request(request.tenant)
            with self.traces.span(
                operation, knowledge_base=name, tenant=request.tenant, question=request.query
            ) as span:
                yield span
        except PlatformError as error:
            outcome = type(error).__name__
            name = "" if isinstance(error, UnknownNameError) else name  # a stranger's words
            raise
        except BaseException as error:
            outcome = type(error).__name__
            raise
        finally:
            self.metrics.ended(operation, name, outcome, self._clock.monotonic() - started)


def _check(request: Request) -> None:
    if not request.query.strip():
        raise RequestError("`query` is empty", expected="a question")
    if len(request.query) > QUERY_CHARACTERS:
        raise RequestError(
            "`query` is too long", stored=len(request.query), expected=f"<= {QUERY_CHARACTERS}"
        )
    if "\0" in request.tenant or len(request.tenant) > TENANT_CHARACTERS:
        raise RequestError("`tenant` is not allowed", expected=f"<= {TENANT_CHARACTERS}, no NUL")
    if not 0 <= request.k <= MAX_K:
        raise RequestError("`k` is not allowed", stored=request.k, expected=f"1 to {MAX_K}")


def hit_record(hit: Found) -> dict[str, Any]:
    """A chunk as JSON."""
    return {**asdict(hit), "place": hit.place._asdict(), "citation": hit.citation}


def answer_record(name: str, answered: Answered) -> dict[str, Any]:
    """An answer as JSON."""
    answer = answered.answer
    return {
        "knowledge_base": name,
        "revision": answer.revision,
        "trace_id": answered.trace_id,
        "question": answer.question,
        "known": answer.known,
        "text": answered.text,
        "citations": [asdict(c) for c in answer.citations],
        "model": answer.model,
        "usage": asdict(answer.usage),
        "decision": asdict(answer.decision),
        "nearest": list(answer.nearest),
        "note": answer.note,
        "disagreements": [dict(one.values) for one in answer.disagreements],
    }
