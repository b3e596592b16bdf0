"""Interactions of the Discord double: presses, forms and commands, first responses, and webhooks of their tokens.

What belongs here: Discord's rules for responses (https://docs.discord.com/developers/interactions/receiving-and-responding),
and what only one person sees. What does not: messages of channels and counting (`tests.servers.discord`).

Each token takes one first response within 3 s, and then lives for 15 minutes. Its webhook has windows of its own; all
follow-ups in one channel share another limit, which no header tells (discord/discord-api-docs#3763).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from tests.servers.limits import FixedWindowCounter
from tests.support.clock import platform_time

Json = dict[str, Any]

# Types of interactions and of first responses; same source.
COMMAND, COMPONENT, COMPLETION, MODAL_SUBMIT = 2, 3, 4, 5
MESSAGE, MESSAGE_LATER, NOTHING_VISIBLE, UPDATE, COMPLETIONS, MODAL = 4, 5, 6, 7, 8, 9
TAKEN: Final = {
    COMMAND: {MESSAGE, MESSAGE_LATER, MODAL},
    COMPONENT: {MESSAGE, MESSAGE_LATER, NOTHING_VISIBLE, UPDATE, MODAL},
    COMPLETION: {COMPLETIONS},
    MODAL_SUBMIT: {MESSAGE, MESSAGE_LATER},  # and of a form opened by a component: those below
}
AFTER_COMPONENT: Final = {NOTHING_VISIBLE, UPDATE}

EPHEMERAL: Final = 64
CALLBACK_SECONDS: Final = 3.0
TOKEN_SECONDS: Final = 900.0
FOLLOW_UPS: Final = 5  # where the app is not in the server

# Errors: status, code and message (https://docs.discord.com/developers/topics/opcodes-and-status-codes).
INVALID_FORM = (400, 50035, "Invalid Form Body")
EMPTY = (400, 50006, "Cannot send an empty message")
ALREADY_ACKNOWLEDGED = (400, 40060, "Interaction has already been acknowledged.")
TOO_MANY_FOLLOW_UPS = (400, 40094, "This interaction has reached its maximum number of follow-up messages")
UNKNOWN_INTERACTION = (404, 10062, "Unknown interaction")
UNKNOWN_WEBHOOK = (404, 10015, "Unknown Webhook")
UNKNOWN_MESSAGE = (404, 10008, "Unknown Message")
INVALID_TOKEN = (401, 50027, "Invalid Webhook Token")

# Component types (https://docs.discord.com/developers/components/reference).
ROW, BUTTON, SELECT, INPUT, TEXT, LABEL = 1, 2, 3, 4, 10, 18


class Refused(Exception):
    """A request is answered with an error."""

    def __init__(self, error: tuple[int, int, str], fields: Mapping[str, str] | None = None) -> None:
        super().__init__(error[2])
        self.status, self.code, self.message = error
        self.fields = dict(fields or {})  # the complaints, by field of the body


@dataclass(slots=True)
class Interaction:
    """One interaction and all that came of it."""

    id: str
    token: str
    type: int
    channel: str
    user: str
    at: float  # the loop's seconds
    source: Json | None = None  # the message with the component
    is_guest_app: bool = False  # the app is not in the server
    response: int = 0  # the type of the first response; 0: none yet
    original: Json | None = None  # the message of the first response
    is_pending: bool = False  # "is thinking"
    modal: Json | None = None
    follow_ups: list[Json] = field(default_factory=list)
    expired_with: tuple[int, int, str] | None = None
    windows: dict[str, FixedWindowCounter] = field(default_factory=dict)

    @property
    def messages(self) -> list[Json]:
        """The messages made with its token."""
        return [*([self.original] if self.original is not None else []), *self.follow_ups]


class InteractionDesk:
    """All interactions. `make` makes a message of the bot; `show` and `hide` put it into a channel for all."""

    def __init__(
        self,
        new_id: Callable[[], str],
        application: str,
        *,
        make: Callable[[str, Json], Json],
        show: Callable[[Json, Json], None],
        hide: Callable[[Json], None],
        changed: Callable[[Json], None],
        person: Callable[[str], Json],
    ) -> None:
        self._new_id = new_id
        self._application = application
        self._make, self._show, self._hide, self._changed = make, show, hide, changed
        self._person = person
        self.all: dict[str, Interaction] = {}
        self.acknowledged: list[tuple[str, int]] = []  # first responses: the interaction's id, and their type
        self.follow_ups_of_channel: dict[str, FixedWindowCounter] = {}
        self.follow_up_limit = (30, 60.0)  # of a channel: so many in so many seconds
        self.edit_limit = (5, 2.0)  # of a token, for edits and follow-ups each
        self.refuses: Callable[[Json], bool] = lambda data: False  # what a message or form of a response must not be

    # ------------------------------------------------------------------------------------------------------- commands

    def begin(
        self, kind: int, *, channel: str, user: str, source: Json | None = None, is_guest_app: bool = False
    ) -> Interaction:
        """Somebody interacts."""
        id_, now = self._new_id(), platform_time()
        made = Interaction(id_, f"token-of-{id_}", kind, channel, user, now, source, is_guest_app)
        self.all[id_] = made
        return made

    def expire(self, interaction: str, error: tuple[int, int, str] = INVALID_TOKEN) -> None:
        """A token's time is over."""
        self.all[interaction].expired_with = error

    def private(self, user: str) -> list[Json]:
        """The messages that one person alone sees, in order."""
        made = [message for one in self.all.values() if one.user == user for message in one.messages]
        return [message for message in made if message["flags"] & EPHEMERAL and not message.get("deleted")]

    def find_private(self, message: str) -> Json | None:
        """An ephemeral message by its id."""
        made = [each for one in self.all.values() for each in one.messages if each["flags"] & EPHEMERAL]
        return next((each for each in made if each["id"] == message), None)

    def modal_of(self, interaction: str) -> Json | None:
        """The form shown for an interaction."""
        return self.all[interaction].modal

    # -------------------------------------------------------------------------------------------------- first response

    def respond(self, interaction: str, token: str, body: Json, files: Sequence[tuple[str, bytes]]) -> None:
        """The callback of an interaction."""
        one = self.all.get(interaction)
        if one is None or one.token != token or one.expired_with is not None:
            raise Refused(UNKNOWN_INTERACTION)
        if one.response:
            raise Refused(ALREADY_ACKNOWLEDGED)
        if platform_time() - one.at > CALLBACK_SECONDS:
            raise Refused(UNKNOWN_INTERACTION)
        kind, data = body.get("type"), body.get("data") or {}
        taken = TAKEN[one.type] | (AFTER_COMPONENT if one.type == MODAL_SUBMIT and one.source is not None else set())
        if kind not in taken:
            raise Refused(INVALID_FORM, {"type": "Not taken by this interaction."})
        self._apply(one, int(kind), data, files)
        one.response = int(kind)
        self.acknowledged.append((interaction, one.response))

    def _apply(self, one: Interaction, kind: int, data: Json, files: Sequence[tuple[str, bytes]]) -> None:
        if kind in (MESSAGE, UPDATE, MODAL) and self.refuses(data):
            raise Refused(INVALID_FORM, {"components": "Refused."})
        match kind:
            case 4:
                one.original = self._message(one, data, files)
            case 5:
                if set(data) - {"flags"}:
                    raise Refused(INVALID_FORM, {"data": "Only flags may be set."})
                one.original, one.is_pending = self._made(one, {"content": "", **data}), True
            case 6:
                one.original = None
            case 7:
                check_message(data, files, is_edit=True)
            case 8:
                check_completions(data)
            case 9:
                check_modal(data)
                one.modal = data

    # -------------------------------------------------------------------------------------------------------- webhook

    def window(self, token: str, method: str) -> FixedWindowCounter | None:
        """The window of a request with a token; None if the token is unknown."""
        one = self._find(token)
        return one.windows.setdefault(method, FixedWindowCounter(*self.edit_limit)) if one is not None else None

    def shared_window(self, token: str) -> FixedWindowCounter | None:
        """The window of all follow-ups in a token's channel."""
        one = self._find(token)
        if one is None:
            return None
        return self.follow_ups_of_channel.setdefault(one.channel, FixedWindowCounter(*self.follow_up_limit))

    def follow_up(self, token: str, body: Json, files: Sequence[tuple[str, bytes]]) -> Json:
        """Add a message."""
        one = self._with_token(token)
        if self.refuses(body):
            raise Refused(INVALID_FORM, {"components": "Refused."})
        if one.is_pending:  # the deprecated alias: it replaces "is thinking"
            return self._edited(one, self._find_message(one, "@original"), body, files)
        if one.is_guest_app and len(one.follow_ups) >= FOLLOW_UPS:
            raise Refused(TOO_MANY_FOLLOW_UPS)
        made = self._message(one, body, files)
        one.follow_ups.append(made)
        return made

    def get(self, token: str, message: str) -> Json:
        """Read a message."""
        return self._find_message(self._with_token(token), message)

    def edit(self, token: str, message: str, body: Json, files: Sequence[tuple[str, bytes]]) -> Json:
        """Edit a message."""
        one = self._with_token(token)
        if self.refuses(body):
            raise Refused(INVALID_FORM, {"components": "Refused."})
        return self._edited(one, self._find_message(one, message), body, files)

    def delete(self, token: str, message: str) -> None:
        """Delete a message."""
        one = self._with_token(token)
        found = self._find_message(one, message)
        if not found["flags"] & EPHEMERAL:
            self._hide(found)
        found["deleted"] = True
        one.is_pending = one.is_pending and found is not one.original

    # -------------------------------------------------------------------------------------------------------- details

    def _find(self, token: str) -> Interaction | None:
        return next((one for one in self.all.values() if one.token == token), None)

    def _with_token(self, token: str) -> Interaction:
        one = self._find(token)
        if one is None or not one.response:
            raise Refused(UNKNOWN_WEBHOOK)
        if one.expired_with is not None:
            raise Refused(one.expired_with)
        if platform_time() - one.at > TOKEN_SECONDS:
            raise Refused(INVALID_TOKEN)
        return one

    def _find_message(self, one: Interaction, message: str) -> Json:
        if message == "@original":
            found = one.original if one.response in (MESSAGE, MESSAGE_LATER) else one.source
        else:
            found = next((each for each in one.messages if each["id"] == message), None)
        if found is None or found.get("deleted"):
            raise Refused(UNKNOWN_MESSAGE)
        return found

    def _message(self, one: Interaction, data: Json, files: Sequence[tuple[str, bytes]]) -> Json:
        check_message(data, files)
        return self._made(one, data, files)

    def _made(self, one: Interaction, data: Json, files: Sequence[tuple[str, bytes]] = ()) -> Json:
        message = self._make(one.channel, data)
        message["flags"] = int(data.get("flags") or 0) & EPHEMERAL
        message |= {"webhook_id": self._application, "components": data.get("components") or []}
        message["attachments"] = [self._attachment(name, content) for name, content in files]
        if one.type == COMMAND:
            message["type"] = 20
        if one.original is not None:  # a follow-up is a reply to it
            message["message_reference"] = {"type": 0, "message_id": one.original["id"], "channel_id": one.channel}
        message["interaction_metadata"] = {"id": one.id, "type": one.type, "user": self._person(one.user)}
        if not message["flags"]:
            self._show(message, data)
        return message

    def _edited(self, one: Interaction, message: Json, body: Json, files: Sequence[tuple[str, bytes]]) -> Json:
        check_message(body, files, is_edit=True)
        one.is_pending = False
        for name in ("content", "components"):
            if name in body:
                message[name] = body[name] if body[name] is not None else message[name]
        if files or "attachments" in body:
            message["attachments"] = [self._attachment(name, content) for name, content in files]
        message["edited_timestamp"] = datetime.now(UTC).isoformat()
        if not message["flags"] & EPHEMERAL:
            self._changed(message)
        return message

    def _attachment(self, name: str, content: bytes) -> Json:
        mid = self._new_id()
        return {"id": mid, "filename": name, "size": len(content), "url": f"https://cdn.discordapp.com/{mid}/{name}"}


# --------------------------------------------------------------------------------------------------------------- rules


def units(text: str) -> int:
    """The length of `text` in UTF-16 units."""
    return len(text.encode("utf-16-le")) // 2


def check_message(data: Json, files: Sequence[object], *, is_edit: bool = False) -> None:
    """A message of a response."""
    content = data.get("content") or ""
    says_nothing = not content.strip() and (not is_edit or "content" in data)
    if says_nothing and not files and not data.get("components"):
        raise Refused(EMPTY)
    if units(content) > 2000:
        raise Refused(INVALID_FORM, {"content": "Must be 2000 or fewer in length."})
    check_components(data.get("components") or [])


def check_components(rows: Sequence[Json]) -> None:
    """Rows of a message (https://docs.discord.com/developers/components/reference#action-row)."""
    wrong = len(rows) > 5
    ids = []
    for row in rows:
        below = row.get("components") or []
        kinds = [each.get("type") for each in below]
        wrong |= row.get("type") != ROW or not below or not set(kinds) <= {BUTTON, SELECT}
        wrong |= len(below) > (1 if SELECT in kinds else 5)
        for each in below:
            ids.append(each.get("custom_id") or "")
            wrong |= _wrong_select(each) if each.get("type") == SELECT else _wrong_button(each)
    if wrong or len(set(ids)) < len(ids) or any(not 1 <= len(one) <= 100 for one in ids):
        raise Refused(INVALID_FORM, {"components": "Invalid."})


def _wrong_button(button: Json) -> bool:
    label = button.get("label") or ""
    return len(label) > 80 or not (label or button.get("emoji")) or button.get("style") not in (1, 2, 3, 4)


def _wrong_select(select: Json) -> bool:
    options = select.get("options") or []
    texts = [text for each in options for text in (each.get("label") or "", each.get("value") or "")]
    values = [each.get("value") for each in options]
    defaults = sum(bool(each.get("default")) for each in options)
    wrong = not 1 <= len(options) <= 25 or any(not 1 <= len(text) <= 100 for text in texts)
    wrong |= len(set(values)) < len(values) or defaults > select.get("max_values", 1)
    return wrong or len(select.get("placeholder") or "") > 150


def check_modal(data: Json) -> None:
    """A form (https://docs.discord.com/developers/interactions/receiving-and-responding, modals)."""
    components = data.get("components") or []
    wrong = not 1 <= len(data.get("custom_id") or "") <= 100 or not 1 <= len(data.get("title") or "") <= 45
    wrong |= not 1 <= len(components) <= 5
    ids = []
    for each in components:
        if each.get("type") == TEXT:
            wrong |= not each.get("content")
            continue
        inner = each.get("component") or {}
        ids.append(inner.get("custom_id") or "")
        wrong |= each.get("type") != LABEL or not 1 <= len(each.get("label") or "") <= 45
        wrong |= len(each.get("description") or "") > 100
        wrong |= _wrong_select(inner) if inner.get("type") == SELECT else _wrong_input(inner)
    if wrong or len(set(ids)) < len(ids) or any(not 1 <= len(one) <= 100 for one in ids):
        raise Refused(INVALID_FORM, {"components": "Invalid."})


def _wrong_input(text: Json) -> bool:
    longest = text.get("max_length", 4000)
    wrong = text.get("type") != INPUT or text.get("style") not in (1, 2) or not 1 <= longest <= 4000
    return wrong or "label" in text or len(text.get("value") or "") > longest


def check_completions(data: Json) -> None:
    """Completions of an argument."""
    choices = data.get("choices")
    if choices is None or len(choices) > 25:
        raise Refused(INVALID_FORM, {"choices": "Must be 25 or fewer in length."})
    texts = [text for each in choices for text in (str(each.get("name") or ""), str(each.get("value") or ""))]
    if any(not 1 <= len(text) <= 100 for text in texts):
        raise Refused(INVALID_FORM, {"choices": "Must be between 1 and 100 in length."})


def filled(modal: Json, values: Mapping[str, str]) -> list[Json]:
    """The components of a submitted form; a field without a given value keeps its own."""
    sent = []
    for each in modal["components"]:
        inner = each.get("component")
        if inner is None:
            sent.append({"type": each["type"], "id": 1})
            continue
        name = inner["custom_id"]
        base = {"type": inner["type"], "custom_id": name, "id": 2}
        if inner["type"] == SELECT:
            chosen = [one["value"] for one in inner["options"] if one.get("default")]
            chosen = [values[name]] if name in values else chosen
            sent.append({"type": LABEL, "component": base | {"values": chosen}})
        else:
            text = values.get(name, inner.get("value", ""))
            sent.append({"type": LABEL, "component": base | {"value": re.sub(r"\r\n?", "\n", text)}})
    return sent
