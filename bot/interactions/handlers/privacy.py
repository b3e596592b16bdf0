"""The command `privacy`: a list of stored data, with an export and a deletion."""

from __future__ import annotations

from bot.interactions.handlers.context import Caller, HandlerPorts, bullets
from bot.interactions.values import Action, Notice, PrivateFile, Response
from bot.records import Retention
from bot.strings import Strings

EXPORT = "privacy:export"
FORGET = "privacy:forget"

EXPORT_FILE = "tickertape-data.json"


class PrivacyHandler:
    """Shows, exports and deletes a person's stored data."""

    def __init__(self, ports: HandlerPorts, strings: Strings) -> None:
        self._personal = ports.personal
        self._strings = strings

    async def privacy(self, _caller: Caller, _words: str) -> Response:
        """The kinds of stored data with their periods, and the buttons."""
        strings = self._strings
        lines = [line for each in self._personal.retentions if (line := _line(each, strings))]
        text = f"{strings.privacy_intro}\n{bullets(lines)}\n\n{strings.privacy_platform}"
        return Notice(text, self.actions())

    def actions(self) -> tuple[Action, ...]:
        """Buttons for an export and a deletion."""
        strings = self._strings
        return (
            Action(EXPORT, strings.export_data),
            Action(FORGET, strings.forget_me, confirm=strings.confirm_forget, danger=True),
        )

    async def submit(self, id_: str, caller: Caller) -> Response | None:
        """Export or delete; None for another part's id."""
        if id_ == EXPORT:
            data = await self._personal.export(caller.user)
            return Notice(self._strings.exported, file=PrivateFile(EXPORT_FILE, data))
        if id_ == FORGET:
            await self._personal.forget(caller.user)
            return Notice(self._strings.forgotten)
        return None


def _line(retention: Retention, strings: Strings) -> str:
    """A kind of stored data with its period; empty for an unknown kind."""
    days = strings.period_days.format(days=retention.days) if retention.days else strings.period_unlimited
    sentence = {
        "journal": strings.privacy_journal,
        "ledger": strings.privacy_ledger,
        "feedback": strings.privacy_feedback,
        "answers": strings.privacy_answers,
        "settings": strings.privacy_settings,
        "audit": strings.privacy_audit,
    }.get(retention.kind, "")
    return sentence.format(period=days)
