"""Whether a file is a mail, by the headers that it begins with."""

import re
from typing import Final

_HEADER: Final = re.compile(rb"([A-Za-z][A-Za-z0-9-]{1,40}):[ \t]*[^\r\n]*(?:\r?\n[ \t]+[^\r\n]*)*")
_LINE_END: Final = re.compile(rb"\r?\n")
_OF_MAIL: Final = frozenset(
    b"mime-version message-id received return-path content-type from to subject date".split()
)
_OF_TRANSPORT: Final = frozenset((b"mime-version", b"message-id", b"received", b"return-path"))
_HEAD_BYTES: Final = 16_384
_NAMES: Final = (".eml", ".mht", ".mhtml")


def is_mail(data: bytes, key: str) -> bool:
    """Whether the file begins with a message's headers: of transport, unless its name says so."""
    names: set[bytes] = set()
    head = data[:_HEAD_BYTES].lstrip(b"\xef\xbb\xbf\r\n")
    if head.startswith(b"From "):  # one message of a mailbox
        head = head.partition(b"\n")[2]
    at = 0
    while found := _HEADER.match(head, at):
        names.add(found.group(1).lower())
        end = _LINE_END.match(head, found.end())
        if end is None:
            break
        at = end.end()
    known = names & _OF_MAIL
    if key.lower().endswith(_NAMES):
        return bool(known)
    return len(known) >= 3 and bool(known & _OF_TRANSPORT)
