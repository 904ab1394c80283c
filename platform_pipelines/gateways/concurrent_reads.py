"""Read many small objects at a time, in order, with bounded memory."""

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from typing import TYPE_CHECKING

from platform_pipelines.errors import ConflictError, SourceForbiddenError, SourceNotFoundError
from platform_pipelines.gateways.object_store import Fetched

if TYPE_CHECKING:
    from concurrent.futures import Future

Get = Callable[[str], tuple[bytes, str]]

QUICK_SECONDS = 0.001  # below this, handing a read to a thread costs more than the read


def read_many(get: Get, keys: Iterable[str], *, concurrency: int) -> Iterator[Fetched]:
    """`get` of every key, in the order of `keys`; at most 2 x `concurrency` results wait.

    An object that is gone, forbidden or just being written is a result; every other error ends the
    reading. Where no further thread can start (a worker's memory budget bounds its stacks, too),
    the rest is read one after the other.
    """
    from concurrent.futures import ThreadPoolExecutor  # most workers read quick files: no threads

    waiting: deque[Future[Fetched]] = deque()
    rest = iter(keys)
    with ThreadPoolExecutor(concurrency, thread_name_prefix="store-read") as pool:
        try:
            for key in rest:
                try:
                    waiting.append(pool.submit(_read, get, key))
                except RuntimeError:  # "can't start new thread"
                    rest = chain([key], rest)
                    break
                if len(waiting) >= 2 * concurrency:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()
    yield from (_read(get, key) for key in rest)


def read_many_files(get: Get, keys: Iterable[str], *, concurrency: int) -> Iterator[Fetched]:
    """As `read_many`, but one after the other as long as that is quick.

    A cached file or a local disk answers at once; the first slow answer (a network file system, a
    disk that seeks) makes the rest concurrent.
    """
    rest = iter(keys)
    for key in rest:
        start = time.perf_counter()
        found = _read(get, key)
        is_quick = time.perf_counter() - start < QUICK_SECONDS
        yield found
        if not is_quick:
            yield from read_many(get, rest, concurrency=concurrency)


def _read(get: Get, key: str) -> Fetched:
    try:
        data, version = get(key)
    except (SourceNotFoundError, SourceForbiddenError, ConflictError) as error:
        return Fetched(key, error=error)
    return Fetched(key, data, version)
