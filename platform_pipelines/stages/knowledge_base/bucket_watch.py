"""What a bucket's events say of a source: whether it is time to list it again."""

from collections.abc import Sequence
from dataclasses import dataclass

from platform_pipelines.core.knowledge_base.bucket_events import BucketEvent, read_message
from platform_pipelines.core.knowledge_base.declaration import SourceSpec
from platform_pipelines.gateways.event_queue import QueuedMessage, SqsQueue
from platform_pipelines.gateways.object_store import StoreOptions
from platform_pipelines.gateways.store_keys import nfc
from platform_pipelines.stages.knowledge_base.documents import is_taken
from platform_pipelines.stages.knowledge_base.workspace import Workspace
from platform_pipelines.stages.road.access import store_options


@dataclass(frozen=True, slots=True)
class Heard:
    """What was in the queue. Nothing is deleted before `acted`."""

    queue: SqsQueue
    messages: Sequence[QueuedMessage]
    keys: tuple[str, ...]  # of objects that belong to the source, sorted
    problems: tuple[str, ...]  # of messages that are no events of a bucket

    def acted(self) -> None:
        """Delete the messages, those that nobody can read too."""
        if self.messages:
            self.queue.delete(self.messages)


def hear(workspace: Workspace) -> Heard | None:
    """The events since the last look; None where no queue is declared.

    Raises:
        SourceError, UnavailableError: the queue refuses or does not answer.
    """
    source = workspace.spec.source
    if source.events is None:
        return None
    queue = SqsQueue(source.events.queue, StoreOptions(**store_options(workspace.settings)))
    messages = queue.receive()
    read = [read_message(one.body) for one in messages]
    keys = {key for one in read for event in one.events if (key := _key(source, event))}
    return Heard(queue, messages, tuple(sorted(keys)), tuple(one.problem for one in read
                                                             if one.problem))  # fmt: skip


def _key(source: SourceSpec, event: BucketEvent) -> str | None:
    """The document's key, if the object is one of the source."""
    bucket, _, prefix = source.url.removeprefix("s3://").partition("/")
    folder = f"{prefix.strip('/')}/" if prefix.strip("/") else ""
    if event.bucket != bucket or not event.key.startswith(folder):
        return None
    key = nfc(event.key[len(folder) :])
    include, exclude = (tuple(map(nfc, globs)) for globs in (source.include, source.exclude))
    return key if key and is_taken(key, include, exclude) else None
