"""Locks of the operating system on whole files; the kernel releases them however their process ends.

Windows has mandatory locks on bytes, so there only the first byte is locked, and no other process can read it.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

if sys.platform == "win32":
    import msvcrt

    def _lock_first_byte(descriptor: int) -> None:
        os.lseek(descriptor, 0, os.SEEK_SET)
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)

else:
    import fcntl

    def _lock_first_byte(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


def try_lock(descriptor: int) -> bool:
    """Lock a file until its descriptor is closed; False if another process holds the lock.

    https://man7.org/linux/man-pages/man2/flock.2.html
    """
    try:
        _lock_first_byte(descriptor)
    except OSError:
        return False
    return True


def is_same_file(path: Path, descriptor: int) -> bool:
    """Whether the path still points to the open file."""
    try:
        found, opened = path.stat(), os.fstat(descriptor)
    except OSError:
        return False
    return (found.st_dev, found.st_ino) == (opened.st_dev, opened.st_ino)
