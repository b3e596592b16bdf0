"""The lock file of each process on a shared journal: proof of life, with a heartbeat inside.

The rule for a dead process does not belong here (`adapters.journal.liveness`).

Two processes share a journal while a new version starts beside the old one: neither may take over turns still being
answered by the other. The kernel releases a lock after ``kill -9`` too. A cleaner of temporary files may remove a lock
file at any time, so the name also identifies the process where the machine can look it up (Linux).
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

_SUFFIX = "-owner-"
_NAME = re.compile(r"[0-9a-z.]{1,100}")

# Windows locks the first byte; the heartbeat's counter follows. Bytes.
_HEARTBEAT_OFFSET = 1
_HEARTBEAT_LENGTH = 8


@dataclass(frozen=True, slots=True)
class ProcessId:
    """A process on its own machine: `host` is a boot and a PID namespace, `started` is in clock ticks."""

    host: str
    pid: int
    started: int

    @classmethod
    def current(cls) -> ProcessId | None:
        """This process; None if the system has no /proc."""
        stat = _stat_of(os.getpid())
        return cls(_host(), os.getpid(), stat[1]) if stat and _host() else None

    @classmethod
    def parse(cls, owner: str) -> ProcessId | None:
        """The process in an owner's name; None if the name has none."""
        _, *parts = owner.split(".")
        with suppress(ValueError):
            host, pid, started = parts
            return cls(host, int(pid), int(started))
        return None

    @property
    def is_running(self) -> bool:
        """Whether it runs, or is suspended, on this machine. False also for a process of another machine."""
        if self.host != _host():
            return False
        stat = _stat_of(self.pid)
        return stat is not None and stat[0] not in "ZX" and stat[1] == self.started


class ProcessLock:
    """This process's lock file, under a name unique among all processes. Raises `OSError`."""

    def __init__(self, journal: Path) -> None:
        process = ProcessId.current()
        suffix = f".{process.host}.{process.pid}.{process.started}" if process else ""
        while True:
            self.name = f"{secrets.token_hex(8)}{suffix}"
            self._path = lock_file(journal, self.name)
            self._heartbeats = 0
            self._descriptor: int | None = None
            if self._create():
                return

    def heartbeat(self) -> None:
        """Increase the counter in the lock file; creates the file again if it is gone. Raises `OSError`."""
        if self._descriptor is None or not is_same_file(self._path, self._descriptor):
            self._create()
        self._heartbeats += 1
        if self._descriptor is not None:
            os.lseek(self._descriptor, _HEARTBEAT_OFFSET, os.SEEK_SET)
            os.write(self._descriptor, self._heartbeats.to_bytes(_HEARTBEAT_LENGTH, "big"))

    def release(self) -> None:
        """Remove the lock file: this process owns no turn any more."""
        if self._descriptor is None:
            return
        with suppress(OSError):
            if is_same_file(self._path, self._descriptor):
                self._path.unlink()
        os.close(self._descriptor)
        self._descriptor = None

    def _create(self) -> bool:
        """Create the lock file and lock it; False if another process holds the lock, or has just removed the file."""
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
    """An owner's lock file as seen now: whether its lock is held, and its heartbeat (None without a lock file)."""

    held: bool
    heartbeat: bytes | None


def inspect_lock(journal: Path, owner: str) -> LockState:
    """Read an owner's lock file. Without permission to open it, the lock counts as held."""
    if not _NAME.fullmatch(owner):
        return LockState(held=False, heartbeat=None)  # from a damaged file
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
    """Remove a dead owner's lock file, unless its lock turns out to be held."""
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
    """The names of all owners with a lock file."""
    return [file.name.rpartition(_SUFFIX)[2] for file in journal.parent.glob(f"{journal.name}{_SUFFIX}*")]


def lock_file(journal: Path, owner: str) -> Path:
    """The path of an owner's lock file."""
    return sibling(journal, f"{_SUFFIX}{owner}")


def _host() -> str:
    """A hash of this boot of this machine and of the PID namespace; empty without /proc."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        namespace = Path("/proc/self/ns/pid").stat().st_ino
    except OSError:
        return ""
    return hashlib.sha256(f"{boot} {namespace}".encode()).hexdigest()[:12]


def _stat_of(pid: int) -> tuple[str, int] | None:
    """State and start time (in clock ticks since boot) of a process: proc(5), fields 3 and 22 of ``stat``."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    fields = text.rpartition(")")[2].split()  # the process's name before it may contain anything
    return fields[0], int(fields[19])
