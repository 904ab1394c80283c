"""Where usage is written down: one folder a day, one file a batch of answers.

    usage/2026-11-27/batch_inference-nightly-DIGEST.jsonl

A file is named by what it is of, so that a run that goes on after a kill writes it again under its
name and nobody pays twice.
"""

from collections.abc import Sequence
from datetime import date

from platform_pipelines.core.road.usage import Usage, parse_usage, usage_lines
from platform_pipelines.gateways.object_store import ObjectStore

FOLDER = "usage"


def write_usage(store: ObjectStore, day: str, name: str, usage: Sequence[Usage]) -> None:
    """Write down what answers took, in the platform's store. `day`: ISO, the answers' own."""
    store.put(f"{FOLDER}/{date.fromisoformat(day)}/{name}.jsonl", usage_lines(usage))


def read_usage(store: ObjectStore, day: date) -> list[Usage]:
    """All usage of one day.

    Raises:
        IntegrityError: a line is no usage.
    """
    keys = sorted(one.key for batch in store.list_objects(f"{FOLDER}/{day}") for one in batch)
    found: list[Usage] = []
    for fetched in store.get_many(keys):
        if fetched.error is not None:
            raise fetched.error
        found += parse_usage(fetched.data, where=f"{store.url}/{fetched.key}")
    return found
