"""What this process has open."""

import contextlib
import gc
import os

Descriptors = dict[int, tuple[int, int]]


def open_descriptors() -> Descriptors:
    """Device and inode of every open file, socket and pipe, by number.

    What earlier tests dropped is closed first, or it would be closed later, by anything.
    """
    gc.collect()
    found: Descriptors = {}
    for number in map(int, os.listdir("/dev/fd")):
        with contextlib.suppress(OSError):  # the listing's own
            status = os.fstat(number)
            found[number] = (status.st_dev, status.st_ino)
    return found


def opened_since(before: Descriptors) -> Descriptors:
    """What was opened and not closed. What was closed since is nobody's leak."""
    return {n: what for n, what in open_descriptors().items() if before.get(n) != what}
