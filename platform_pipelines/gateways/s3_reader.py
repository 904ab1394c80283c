"""A seekable file over one version of an S3 object."""

import io
from typing import TYPE_CHECKING

from platform_pipelines.gateways.obstore_errors import typed_errors

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer
    from obstore.store import S3Store


class S3File(io.RawIOBase):
    """Ranges read on demand, each only if the object is still the version that was opened.

    Put an `io.BufferedReader` before it: every read here is a request.
    """

    def __init__(self, client: "S3Store", path: str, *, size: int, etag: str, where: str) -> None:
        super().__init__()
        self._client = client
        self._path = path
        self._size = size
        self._etag = etag
        self._where = where
        self._position = 0

    def readable(self) -> bool:
        """True."""
        return True

    def seekable(self) -> bool:
        """True."""
        return True

    def tell(self) -> int:
        """Bytes from the start."""
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move; as io.IOBase.seek."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        self._position = max(0, base + offset)
        return self._position

    def readinto(self, buffer: "WriteableBuffer", /) -> int:
        """Fill the buffer from the position; raises ConflictError when the object was replaced."""
        import obstore

        view = memoryview(buffer).cast("B")
        end = min(self._position + len(view), self._size)
        if end <= self._position:
            return 0
        with typed_errors(self._where):
            data = obstore.get(
                self._client,
                self._path,
                options={"range": (self._position, end), "if_match": self._etag},
            ).bytes()
        count = len(data)
        view[:count] = memoryview(data)
        self._position += count
        return count
