"""`search` and `ask` of the command line: by a running server, else by opening the store here."""

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from platform_pipelines.serving.here import asked_here
from platform_pipelines.settings import Settings

Progress = Callable[[str], None]
_ANSWER = (
    "question", "known", "text", "citations", "decision", "revision", "model", "nearest", "note",
    "usage",
)  # fmt: skip


def search(
    settings: Settings, name: str, text: str, *, k: int, tenant: str, progress: Progress
) -> dict[str, Any]:
    """`revision` and `hits`.

    Raises:
        UnknownNameError, MissingTenantError, UnavailableError.
    """
    asked = {"knowledge_base": name, "query": text, "k": k}
    found = asked_here(settings, "/v1/search", tenant, asked)
    if found is not None:
        return {"revision": found["revision"], "hits": found["hits"]}
    from platform_pipelines.serving.service import hit_record
    from platform_pipelines.stages.knowledge_base.live import open_live

    with open_live(settings, name, progress) as live:
        hits = live.retriever.search([text], k=k, tenant=tenant)[0]
        return {"revision": live.revision.digest, "hits": [hit_record(hit) for hit in hits]}


def ask(
    settings: Settings, name: str, question: str, *, k: int, tenant: str, progress: Progress
) -> dict[str, Any]:
    """An answer's fields; `text` is empty where it is not known.

    Raises:
        As `search`.
    """
    asked = {"knowledge_base": name, "query": question, "k": k}
    found = asked_here(settings, "/v1/answer", tenant, asked)
    if found is not None:
        text = found["text"] if found["known"] else ""
        return {**{field: found[field] for field in _ANSWER}, "text": text}
    from platform_pipelines.stages.knowledge_base.answering import answer_question
    from platform_pipelines.stages.knowledge_base.connect import open_language_model
    from platform_pipelines.stages.knowledge_base.live import open_live

    with open_live(settings, name, progress) as live:
        model = open_language_model(settings, live.revision.recipe.answer)
        answer = asdict(answer_question(live, question, tenant=tenant, k=k, model=model))
        return {field: answer[field] for field in _ANSWER}
