"""The processes that share a journal: each has a name, a lock file and a heartbeat in it.

What belongs here: this process's lock file, and the look at another's. What does not: the rule by which a process
counts as dead (`adapters.journal.liveness`).

Two processes share a journal while a new version starts beside the old one: neither may take turns that the other still
answers. The kernel lets go of a lock also after ``kill -9``. A cleaner of temporary files may remove a lock file at any
time, so the name also says which process it is, for the machine where that can be looked up (Linux).
"""

from __future__ import annotations

import hashlib
import os
import re
import secrets
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from adapters.journal.file_locks import is_same_file, try_lock
from adapters.journal.file_state import sibling

_MARK = "-owner-"
_NAME = re.compile(r"[0-9a-z.]{1,100}")

# The first byte is the one that Windows locks; the heartbeat's counter follows. Bytes.
_HEARTBEAT_OFFSET = 1
_HEARTBEAT_LENGTH = 8


@dataclass(frozen=True, slots=True)
class ProcessId:
    """A process, as only its own machine can look it up: `host` is a boot and a PID namespace, `started` in ticks."""

    host: str
    pid: int
    started: int

    @classmethod
    def mine(cls) -> ProcessId | None:
        """This process; None where the system does not tell."""
        stat = _stat_of(os.getpid())
        return cls(_host(), os.getpid(), stat[1]) if stat and _host() else None

    @classmethod
    def read(cls, owner: str) -> ProcessId | None:
        """The process of an owner's name; None if the name does not say."""
        _, *told = owner.split(".")
        with suppress(ValueError):
            host, pid, started = told
            return cls(host, int(pid), int(started))
        return None

    @property
    def is_running(self) -> bool:
        """Whether it runs, or is suspended, on this machine. False also where that cannot be told."""
        if self.host != _host():
            return False
        stat = _stat_of(self.pid)
        return stat is not None and stat[0] not in "ZX" and stat[1] == self.started


class ProcessLock:
    """This process as an owner of turns, under a name that no other process ever has. Raises `OSError`."""

    def __init__(self, journal: Path) -> None:
        self._journal = journal
        told = ProcessId.mine()
        suffix = f".{told.host}.{told.pid}.{told.started}" if told else ""
        while True:
            self.name = f"{secrets.token_hex(8)}{suffix}"
            self._path = lock_file(journal, self.name)
            self._heartbeats = 0
            self._descriptor: int | None = None
            if self._lock():
                return

    def heartbeat(self) -> None:
        """Show that this process lives; creates the lock file again if it is gone. Raises `OSError`."""
        if self._descriptor is None or not is_same_file(self._path, self._descriptor):
            self._lock()
        self._heartbeats += 1
        if self._descriptor is not None:
            os.lseek(self._descriptor, _HEARTBEAT_OFFSET, os.SEEK_SET)
            os.write(self._descriptor, self._heartbeats.to_bytes(_HEARTBEAT_LENGTH, "big"))

    def release(self) -> None:
        """Remove the lock file: this process owns nothing any more."""
        if self._descriptor is None:
            return
        with suppress(OSError):
            if is_same_file(self._path, self._descriptor):
                self._path.unlink()
        os.close(self._descriptor)
        self._descriptor = None

    def _lock(self) -> bool:
        """Create the lock file and lock it; False if another process holds it, or has just removed it."""
        old, self._descriptor = self._descriptor, None
        if old is not None:
            os.close(old)
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
        if try_lock(descriptor) and is_same_file(self._path, descriptor):
            self._descriptor = descriptor
            return True
        os.close(descriptor)
        return False


@dataclass(frozen=True, slots=True)
class LockState:
    """What is seen of an owner now: whether its lock is held, and its heartbeat (None without a lock file)."""

    held: bool
    heartbeat: bytes | None


def inspect_lock(journal: Path, owner: str) -> LockState:
    """Look at an owner's lock file. Where that is not allowed, the lock counts as held."""
    if not _NAME.fullmatch(owner):
        return LockState(held=False, heartbeat=None)  # read from a damaged file
    try:
        descriptor = os.open(lock_file(journal, owner), os.O_RDWR)
    except FileNotFoundError:
        return LockState(held=False, heartbeat=None)
    except OSError:
        return LockState(held=True, heartbeat=None)
    try:
        os.lseek(descriptor, _HEARTBEAT_OFFSET, os.SEEK_SET)
        with suppress(OSError):
            return LockState(held=not try_lock(descriptor), heartbeat=os.read(descriptor, _HEARTBEAT_LENGTH))
        return LockState(held=True, heartbeat=None)
    finally:
        os.close(descriptor)


def remove_lock_file(journal: Path, owner: str) -> None:
    """Remove a dead owner's lock file, unless somebody holds the lock after all."""
    if not _NAME.fullmatch(owner):
        return
    path = lock_file(journal, owner)
    with suppress(OSError):
        descriptor = os.open(path, os.O_RDWR)
        try:
            if try_lock(descriptor) and is_same_file(path, descriptor):
                path.unlink()
        finally:
            os.close(descriptor)


def lock_file_owners(journal: Path) -> list[str]:
    """The names of all owners that have a lock file."""
    return [file.name.rpartition(_MARK)[2] for file in journal.parent.glob(f"{journal.name}{_MARK}*")]


def lock_file(journal: Path, owner: str) -> Path:
    """Where an owner's lock file is."""
    return sibling(journal, f"{_MARK}{owner}")


def _host() -> str:
    """This boot of this machine, and the namespace that process numbers count in; empty where there is no /proc."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        namespace = Path("/proc/self/ns/pid").stat().st_ino
    except OSError:
        return ""
    return hashlib.sha256(f"{boot} {namespace}".encode()).hexdigest()[:12]


def _stat_of(pid: int) -> tuple[str, int] | None:
    """State and start time (in ticks since the boot) of a process: proc(5), fields 3 and 22 of ``stat``."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    fields = text.rpartition(")")[2].split()  # the name before it may hold anything
    return fields[0], int(fields[19])
