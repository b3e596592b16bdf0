"""Keep many unfinished requests open: ``python -m tests.stress.siege HOST PORT COUNT SECONDS RATE``.

A process of its own, because it needs as many descriptors as it occupies in the bot. It opens COUNT connections at once
and prints ``up``. Then it replaces closed connections, at most RATE a second.
"""

from __future__ import annotations

import errno
import resource
import select
import socket
import sys
import time
from contextlib import suppress

# First bytes: none, one, unfinished headers, a missing body, an unfinished chunk, and TLS.
BEGINNINGS = (
    b"",
    b"G",
    b"GET /healthz HTTP/1.1\r\nHost: x\r\n",
    b"GET / HTTP/1.1\r\n",
    b"POST /playground/socket HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\nabc",
    b"GET /metrics HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
)

# Seconds between further bytes on each connection.
TRICKLE_SECONDS = 1.0


class Siege:
    """`count` connections at once."""

    def __init__(self, address: tuple[str, int], count: int) -> None:
        self._address = address
        self._count = count
        self._poll = select.epoll()
        self._allowance = float(count)
        self._open: dict[int, socket.socket] = {}
        self._began: set[int] = set()
        self.opened = 0

    def fill(self) -> None:
        """Open the missing connections, within the allowance."""
        while len(self._open) < self._count and self._allowance >= 1:
            self._allowance -= 1
            each = socket.socket()
            each.setblocking(False)
            if each.connect_ex(self._address) not in {0, errno.EINPROGRESS}:
                each.close()
                return
            self._open[each.fileno()] = each
            self._poll.register(each, select.EPOLLIN | select.EPOLLOUT | select.EPOLLHUP | select.EPOLLERR)

    def allow(self, more: float) -> None:
        """Increase the allowance of new connections."""
        self._allowance = min(self._allowance + more, self._count)

    def turn(self) -> None:
        """Send first bytes on new connections, and drop closed ones."""
        for number, events in self._poll.poll(0.02, 256):
            if events & (select.EPOLLIN | select.EPOLLHUP | select.EPOLLERR) and not self._lives(number):
                self._began.discard(number)
                self._open.pop(number).close()
            elif events & select.EPOLLOUT and number not in self._began:
                self._began.add(number)
                with suppress(OSError):
                    self._open[number].send(BEGINNINGS[self.opened % len(BEGINNINGS)])
                self.opened += 1
                self._poll.modify(number, select.EPOLLIN | select.EPOLLHUP | select.EPOLLERR)

    def trickle(self) -> None:
        """Send one byte on each connection."""
        for number in self._began:
            with suppress(OSError):
                self._open[number].send(b"a")

    def _lives(self, number: int) -> bool:
        try:
            return bool(self._open[number].recv(65_536))
        except BlockingIOError:
            return True
        except OSError:
            return False


def main(host: str, port: str, count: str, seconds: str, rate: str) -> None:
    """Lay siege for `seconds`, and print the number of connections opened."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    siege = Siege((host, int(port)), int(count))
    now = time.perf_counter()
    ends, trickles, up = now + float(seconds), now + TRICKLE_SECONDS, False
    while now < ends:
        before, now = now, time.perf_counter()
        siege.allow((now - before) * float(rate))
        siege.fill()
        siege.turn()
        if now >= trickles:
            siege.trickle()
            trickles += TRICKLE_SECONDS
        if not up and siege.opened >= int(count):
            up = True
            print("up", flush=True)  # noqa: T201 (the parent process waits for this line)
    print(f"opened {siege.opened}", flush=True)  # noqa: T201 (a figure for the operator)


if __name__ == "__main__":
    main(*sys.argv[1:])
