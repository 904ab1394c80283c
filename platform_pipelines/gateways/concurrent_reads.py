"""Read many small objects at a time, in order, with bounded memory."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

from platform_pipelines.errors import SourceForbiddenError, SourceNotFoundError
from platform_pipelines.gateways.object_store import Fetched

Get = Callable[[str], tuple[bytes, str]]


def read_many(get: Get, keys: Iterable[str], *, concurrency: int) -> Iterator[Fetched]:
    """`get` of every key, in the order of `keys`; at most 2 x `concurrency` results wait.

    An object that is gone or forbidden is a result; every other error ends the reading.
    """
    waiting: deque[Future[Fetched]] = deque()
    with ThreadPoolExecutor(concurrency, thread_name_prefix="store-read") as pool:
        try:
            for key in keys:
                waiting.append(pool.submit(_read, get, key))
                if len(waiting) >= 2 * concurrency:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


def _read(get: Get, key: str) -> Fetched:
    try:
        data, version = get(key)
    except (SourceNotFoundError, SourceForbiddenError) as error:
        return Fetched(key, error=error)
    return Fetched(key, data, version)
