"""Refuses an office file that would expand beyond its bounds, before any library opens it."""

import io
import zipfile
from typing import Final

from platform_pipelines.core.knowledge_base.documents import Reason
from platform_pipelines.errors import DocumentError

# Below this size any ratio is harmless; honest sheets of repeated rows pack better than 100 : 1.
RATIO_FLOOR_BYTES: Final = 16 << 20
_ENCRYPTED_FLAG: Final = 0x1


def check_archive(
    data: bytes, *, key: str, max_expanded_bytes: int, max_ratio: int, max_members: int
) -> None:
    """Judge the directory's own figures; `zipfile` never expands a member beyond its figure.

    Raises:
        DocumentError: TOO_LARGE, ENCRYPTED, or CORRUPT when the directory cannot be read.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = archive.infolist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        raise DocumentError(
            f"the archive is damaged: {error}", reason=Reason.CORRUPT, where=key
        ) from error
    if any(member.flag_bits & _ENCRYPTED_FLAG for member in members):
        raise DocumentError(
            "parts of the archive need a password", reason=Reason.ENCRYPTED, where=key
        )
    expanded = sum(member.file_size for member in members)
    bomb = expanded > RATIO_FLOOR_BYTES and expanded > max_ratio * len(data)
    if expanded > max_expanded_bytes or bomb or len(members) > max_members:
        raise DocumentError(
            f"{len(data):,} bytes would expand to {expanded:,} in {len(members):,} parts"
            f" (allowed: {max_expanded_bytes:,} bytes, {max_ratio} : 1, {max_members:,} parts)",
            reason=Reason.TOO_LARGE,
            where=key,
            remedy="split the document, or raise the limits if it is trusted",
        )
