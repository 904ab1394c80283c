"""What people said of a knowledge base's answers, kept in its store."""

import json
from collections.abc import Iterator
from dataclasses import asdict

from platform_pipelines.core.knowledge_base.feedback import Feedback
from platform_pipelines.errors import ConflictError, IntegrityError
from platform_pipelines.gateways.object_store import ObjectStore

FOLDER = "feedback"


def keep_feedback(store: ObjectStore, feedback: Feedback) -> bool:
    """Keep it under its own name; False where it was kept before."""
    try:
        store.put(feedback.key, json.dumps(asdict(feedback), ensure_ascii=False).encode(),
                  if_absent=True)  # fmt: skip
    except ConflictError:
        return False
    return True


def read_feedback(store: ObjectStore) -> Iterator[Feedback]:
    """All that is kept, by day.

    Raises:
        IntegrityError: a file is no feedback.
    """
    keys = sorted(one.key for batch in store.list_objects(FOLDER) for one in batch)
    for fetched in store.get_many(keys):
        if fetched.error is not None:
            raise fetched.error
        try:
            yield Feedback(**json.loads(fetched.data))
        except (ValueError, TypeError) as error:
            raise IntegrityError(
                "a file is no feedback", where=f"{store.url}/{fetched.key}", stored=str(error),
                remedy="delete the file, or write it again",
            ) from error  # fmt: skip
