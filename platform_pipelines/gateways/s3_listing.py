"""List a prefix of a bucket: what the clients say, made into names below a root."""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from platform_pipelines.gateways.object_store import Skipped, StoreOptions
from platform_pipelines.gateways.obstore_errors import typed_errors
from platform_pipelines.gateways.s3_client import Found, children_with_boto3, list_with_boto3
from platform_pipelines.gateways.store_keys import BATCH_OBJECTS, is_hidden

if TYPE_CHECKING:
    from obstore.store import S3Store


def pages(
    client: "S3Store", bucket: str, prefix: str, options: StoreOptions, *, where: str
) -> Iterator[list[Found]]:
    """Pages of names below `prefix` (with its trailing `/`, or empty), in byte order.

    One name that obstore cannot say fails its whole listing; boto3 then lists from there on.
    """
    import obstore
    from obstore.exceptions import InvalidPathError

    library: Any = obstore  # its listing functions are only partly typed
    last = ""
    with typed_errors(where):
        try:
            for page in library.list(client, prefix or None, chunk_size=BATCH_OBJECTS):
                found = [Found(m["path"], m["size"], m["e_tag"] or "") for m in page]
                yield found
                last = found[-1].path if found else last
        except InvalidPathError:
            yield from list_with_boto3(bucket, prefix, last, options)


def children(
    client: "S3Store", bucket: str, prefix: str, options: StoreOptions, *, where: str
) -> Iterator[str]:
    """Names directly below `prefix`, of objects and folders alike; by boto3 as `pages`."""
    import obstore
    from obstore.exceptions import InvalidPathError

    library: Any = obstore  # its listing functions are only partly typed
    with typed_errors(where):
        try:
            listed = library.list_with_delimiter(client, prefix or None)
            paths = [*listed["common_prefixes"], *(meta["path"] for meta in listed["objects"])]
        except InvalidPathError:
            paths = children_with_boto3(bucket, prefix, options)
        for path in paths:
            yield path.removeprefix(prefix).removesuffix("/")


def names(
    page: list[Found], skipped: Skipped, *, root: str, markers: Callable[[list[Found]], set[str]]
) -> Iterator[tuple[str, Found]]:
    """Name below `root` of every object of a page that is not left out.

    obstore shows the marker `folder/` as an empty object `folder`: `markers` tells them apart, and
    is asked once for a page that holds an empty object.
    """
    empty = [found for found in page if found.size_bytes == 0]
    marked = markers(empty) if empty else set[str]()
    for found in page:
        raw = found.path.removeprefix(root)
        if raw.endswith("/") or not raw:
            skipped.markers += 1
        elif _is_unreadable(raw):
            skipped.unreadable.append(repr(raw)[1:-1])
        elif is_hidden(raw):
            skipped.hidden += 1
        elif found.size_bytes == 0 and found.path in marked:
            skipped.markers += 1
        else:
            yield raw, found


def marker_paths(bucket: str, prefix: str, empty: list[Found], options: StoreOptions) -> set[str]:
    """Those of some empty objects (in byte order) that are folders' markers; by one raw listing.

    Never a question for each: an upload that broke off leaves thousands of empty objects.
    """
    first, last = empty[0].path, f"{empty[-1].path}/"
    marked: set[str] = set()
    objects: set[str] = set()
    for page in list_with_boto3(bucket, prefix, first[:-1], options):
        marked.update(one.path[:-1] for one in page if one.path.endswith("/"))
        objects.update(one.path for one in page)
        if page and page[-1].path > last:
            break
    return marked - objects


def _is_unreadable(raw: str) -> bool:
    parts = raw.split("/")
    odd_part = any(part in {"", ".", ".."} for part in parts)
    return odd_part or any(letter < " " or letter == "\x7f" for letter in raw)
