"""Keep many unfinished requests open: ``python -m tests.stress.siege HOST PORT COUNT SECONDS RATE``.

What belongs here: a process of its own, since what it does takes as many descriptors as it takes away. It opens as many
as it wants at once and prints ``up``. Then it opens another for each that is closed, up to so many a second.
"""

from __future__ import annotations

import errno
import resource
import select
import socket
import sys
import time
from contextlib import suppress

# What it sends first: nothing, a byte, heads without an end, a body that is announced and never comes, and TLS.
BEGINNINGS = (
    b"",
    b"G",
    b"GET /healthz HTTP/1.1\r\nHost: x\r\n",
    b"GET / HTTP/1.1\r\n",
    b"POST /playground/socket HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\nabc",
    b"GET /metrics HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
)

# How often a byte follows on each, in seconds.
TRICKLE_SECONDS = 1.0


class Siege:
    """So many connections at once."""

    def __init__(self, address: tuple[str, int], count: int) -> None:
        self._address = address
        self._count = count
        self._poll = select.epoll()
        self._allowance = float(count)
        self._open: dict[int, socket.socket] = {}
        self._began: set[int] = set()
        self.opened = 0

    def fill(self) -> None:
        """Open what is missing, as long as it may."""
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
        """So many more may be opened."""
        self._allowance = min(self._allowance + more, self._count)

    def turn(self) -> None:
        """Send what is to be sent first, and forget what was closed."""
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
        """Send a byte on each."""
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
    """Lay siege for so long, and say at the end how many connections that took."""
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
            print("up", flush=True)  # noqa: T201 (what starts it waits for this line)
    print(f"opened {siege.opened}", flush=True)  # noqa: T201 (a figure for whoever reads)


if __name__ == "__main__":
    main(*sys.argv[1:])
