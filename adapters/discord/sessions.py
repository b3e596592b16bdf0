"""Gateway sessions that outlive a process: a shard's next owner resumes where this one's journal ends.

https://docs.discord.com/developers/events/gateway#resuming: whoever knows a session's id, its last sequence number and
its address may resume it, also on another connection, for about 90 s after the last one (discord-api-docs#1619).
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial

from bot.callbacks import no_op
from bot.rate_limits import WindowReport

log = logging.getLogger(__name__)

Windows = Mapping[str, Mapping[str, WindowReport]]  # by channel and name of the window


@dataclass(frozen=True, slots=True)
class Session:
    """A session as its shard's next owner gets it.

    `windows` are the open rate-limit windows, if the owner gave the shard up in order: nothing was written after that.
    None: it has died, or never wrote.
    """

    id: str
    sequence: int
    gateway: str
    windows: Windows | None = field(default=None)

    def dump(self) -> str:
        """The session as text."""
        data: dict[str, object] = {"id": self.id, "sequence": self.sequence, "gateway": self.gateway}
        if self.windows is not None:
            data["windows"] = {
                channel: {name: (one.limit, one.remaining, round(one.reset_after, 2)) for name, one in windows.items()}
                for channel, windows in self.windows.items()
            }
        return json.dumps(data, separators=(",", ":"))


def load_session(text: str) -> Session | None:
    """The session of `Session.dump`; None if there is none, or if the text is another version's."""
    if not text:
        return None
    try:
        data = json.loads(text)
        windows = data.get("windows")
        return Session(
            str(data["id"]),
            int(data["sequence"]),
            str(data["gateway"]),
            None
            if windows is None
            else {
                str(channel): {
                    str(name): WindowReport(int(limit), int(remaining), float(reset_after))
                    for name, (limit, remaining, reset_after) in named.items()
                }
                for channel, named in windows.items()
            },
        )
    except (ValueError, KeyError, TypeError, AttributeError):
        log.warning("the saved session of a shard is unreadable: a new one begins")
        return None


# Keeps the saved sequence before one event until it is called.
Release = Callable[[], object]


class SessionProgress:
    """The session of one shard, saved after each event. The saved sequence passes no event on `hold`."""

    def __init__(self, save: Callable[[str], object]) -> None:
        """`save` keeps a text for the next owner."""
        self._save = save
        self._session: Session | None = None  # with the sequence of the last event
        self._saved: Session | None = None
        self._arriving = 0  # the sequence of the event handled just now
        self._held: dict[int, int] = {}  # by sequence: the number of holds

    def continue_from(self, session: Session) -> None:
        """An earlier owner's session is resumed."""
        self._session = Session(session.id, session.sequence, session.gateway)
        self._store()

    def arriving(self, id_: str | None, sequence: int | None, gateway: str) -> None:
        """The event with this number is handled next."""
        if id_ is None or sequence is None:
            return
        if self._session is None or self._session.id != id_:
            self._held.clear()
            self._session = Session(id_, sequence - 1, gateway)
        self._arriving = sequence

    @property
    def current(self) -> int:
        """The number of the event handled just now."""
        return self._arriving

    def again(self, sequence: int) -> None:
        """An earlier event, on `hold` meanwhile, is handled next."""
        self._arriving = sequence

    def received(self, id_: str | None, sequence: int | None, gateway: str) -> None:
        """All events up to this number are handled, or held."""
        if id_ is None or sequence is None:
            return
        self.arriving(id_, sequence, gateway)
        self._session = Session(id_, sequence, gateway)
        self._store()

    def hold(self) -> Release:
        """The event handled just now is not journalled yet: if this process dies, the next owner shall receive it."""
        session, sequence = self._session, self._arriving
        id_ = session.id if session is not None else ""
        self._held[sequence] = self._held.get(sequence, 0) + 1
        return partial(self._release, id_, sequence)

    def end(self, windows: Windows) -> None:
        """Nothing is received or written any more: save for the last time."""
        session = self._safe()
        if session is not None:
            self._save(Session(session.id, session.sequence, session.gateway, windows).dump())
        self._save = no_op

    def _release(self, id_: str, sequence: int) -> None:
        if self._session is None or self._session.id != id_ or sequence not in self._held:
            return
        self._held[sequence] -= 1
        if not self._held[sequence]:
            del self._held[sequence]
        self._store()

    def _safe(self) -> Session | None:
        if self._session is None:
            return None
        first_held = min(self._held, default=self._session.sequence + 1)
        sequence = min(self._session.sequence, first_held - 1)
        return Session(self._session.id, sequence, self._session.gateway)

    def _store(self) -> None:
        safe = self._safe()
        if safe is not None and safe != self._saved:
            self._saved = safe
            self._save(safe.dump())
