"""The interactive side of the loopback Slack: presses, forms, private messages and response addresses.

What belongs here: what people press and fill in, trigger ids, and what one person sees alone. What does not: the rules
of blocks (`tests.servers.slack_blocks`) and of the other methods (`tests.servers.slack`).

A trigger opens one view within three seconds; a response address takes five messages within 30 minutes
(https://docs.slack.dev/interactivity/handling-user-interaction).
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from aiohttp import web

from tests.servers.slack_blocks import MESSAGE_BLOCKS, Refused, check_blocks, check_view
from tests.servers.slack_deliveries import Deliveries, Envelope
from tests.support.clock import platform_time

Json = dict[str, Any]

TRIGGER_SECONDS: Final = 3.0
ADDRESS_SECONDS: Final = 1_800.0
ADDRESS_USES: Final = 5


@dataclass(slots=True)
class Private:
    """A message for one person."""

    channel: str
    user: str
    thread: str
    ts: str
    text: str
    blocks: list[Json] = field(default_factory=list)

    @property
    def seen(self) -> str:
        """What the person reads."""
        said = [block["text"]["text"] for block in self.blocks if block["type"] == "section"]
        return "\n".join(said) or self.text


@dataclass(slots=True)
class View:
    """A view somebody sees."""

    id: str
    user: str
    view: Json
    errors: Json = field(default_factory=dict)  # by block, as the app answered the last submission


@dataclass(slots=True)
class _Trigger:
    user: str
    at: float
    used: bool = False


@dataclass(slots=True)
class _Address:
    channel: str
    user: str
    thread: str
    at: float
    uses: int = 0
    original: str = ""  # ts of the private message whose button was pressed


class Interactive:
    """People who press and fill in, and what they alone see."""

    def __init__(self, team: str, deliveries: Deliveries, now: Callable[[], str], changed: Callable[[], None]) -> None:
        self.privates: list[Private] = []
        self.views: list[View] = []  # open forms
        self.homes: dict[str, Json] = {}  # by user
        self.unsupported: set[str] = set()  # types of blocks this server refuses
        self.explains = True  # refusals of blocks say why
        self.host = ""  # where response addresses lead
        self._team, self._deliveries, self._now, self._changed = team, deliveries, now, changed
        self._triggers: dict[str, _Trigger] = {}
        self._addresses: dict[str, _Address] = {}
        self._ids = itertools.count(1)

    # -------------------------------------------------------------------------------------------------------- commands

    def trigger(self, user: str) -> str:
        """A new trigger id."""
        name = f"{next(self._ids)}.{self._team}.trigger"
        self._triggers[name] = _Trigger(user, platform_time())
        return name

    def address(self, channel: str, user: str, thread: str = "", original: str = "") -> str:
        """A new response address."""
        token = f"{self._team}-{next(self._ids)}-address"
        now = platform_time()
        self._addresses[token] = _Address(channel, user, thread, now, original=original)
        return f"http://{self.host}/actions/{token}"

    def pass_time(self, seconds: float) -> None:
        """Let triggers and addresses grow older."""
        for trigger in self._triggers.values():
            trigger.at -= seconds
        for address in self._addresses.values():
            address.at -= seconds

    async def press(self, channel: str, message: Json, label: str, *, author: str) -> Envelope:
        """Somebody presses a button, chooses an option or votes: whatever bears `label` (a text or an action id)."""
        block, action = found_button(message.get("blocks") or [], label)
        payload = self._payload(author, block, action) | {
            "container": {"type": "message", "message_ts": message["ts"], "channel_id": channel, "is_ephemeral": False},
            "channel": {"id": channel, "name": channel.lower()},
            "message": message,
            "state": {"values": _state(message.get("blocks") or [])},
            "response_url": self.address(channel, author, message.get("thread_ts", "")),
        }
        if "thread_ts" in message:
            payload["container"]["thread_ts"] = message["thread_ts"]
        return await self._deliveries.deliver_payload("interactive", payload)

    async def press_private(self, private: Private, label: str) -> Envelope:
        """The reader of a private message presses one of its buttons; the payload lacks the message itself."""
        block, action = found_button(private.blocks, label)
        container = {"type": "message", "message_ts": private.ts, "channel_id": private.channel, "is_ephemeral": True}
        payload = self._payload(private.user, block, action) | {
            "container": container | ({"thread_ts": private.thread} if private.thread else {}),
            "channel": {"id": private.channel, "name": private.channel.lower()},
            "state": {"values": {}},
            "response_url": self.address(private.channel, private.user, private.thread, private.ts),
        }
        return await self._deliveries.deliver_payload("interactive", payload)

    async def press_in_view(self, view: View, label: str) -> Envelope:
        """Somebody presses a button in a view, which has neither a channel nor a response address."""
        block, action = found_button(view.view["blocks"], label)
        payload = self._payload(view.user, block, action)
        payload |= {"container": {"type": "view", "view_id": view.id}, "view": {"id": view.id, **view.view}}
        return await self._deliveries.deliver_payload("interactive", payload)

    async def submit(self, view: View, **values: str) -> Envelope:
        """Somebody fills in and submits a form; inputs that are not named keep their value."""
        blocks = [block for block in view.view["blocks"] if block["type"] == "input"]
        state = {block["block_id"]: _filled(block, values.get(block["block_id"])) for block in blocks}
        payload = {
            "type": "view_submission",
            "team": {"id": self._team, "domain": "team"},
            "user": {"id": view.user, "name": view.user.lower(), "team_id": self._team},
            "api_app_id": "A1",
            "trigger_id": self.trigger(view.user),
            "view": {"id": view.id, **view.view, "state": {"values": state}},
            "response_urls": [],
        }

        def answered(answer: Json) -> None:
            view.errors = answer.get("errors", {})
            if answer.get("response_action") != "errors" and view in self.views:
                self.views.remove(view)

        return await self._deliveries.deliver_payload("interactive", payload, on_answer=answered)

    def _payload(self, user: str, block: Json, action: Json) -> Json:
        return {
            "type": "block_actions",
            "user": {"id": user, "username": user.lower(), "name": user.lower(), "team_id": self._team},
            "api_app_id": "A1",
            "team": {"id": self._team, "domain": "team"},
            "enterprise": None,
            "is_enterprise_install": False,
            "trigger_id": self.trigger(user),
            "actions": [{"block_id": block.get("block_id", "b0"), "action_ts": self._now(), **action}],
        }

    def seen_by(self, user: str) -> list[str]:
        """The private messages of one person, from top to bottom."""
        return [each.seen for each in self.privates if each.user == user]

    # --------------------------------------------------------------------------------------------------------- methods

    async def chat_postEphemeral(self, arguments: Json, channel: str) -> Json:  # noqa: N802 (named as the method is)
        """Show a message to one member of a channel."""
        user, blocks = str(arguments.get("user", "")), arguments.get("blocks") or []
        if not arguments.get("text") and not blocks:
            raise Refused("no_text")
        self.check(blocks)
        ts = self._now()
        thread = str(arguments.get("thread_ts") or "")
        self.privates.append(Private(channel, user, thread, ts, str(arguments.get("text") or ""), blocks))
        return {"message_ts": ts}

    async def views_open(self, arguments: Json) -> Json:
        """Open a form with a fresh trigger."""
        trigger = self._triggers.get(str(arguments.get("trigger_id", "")))
        if trigger is None:
            raise Refused("invalid_trigger_id")
        if trigger.used:
            raise Refused("exchanged_trigger_id")
        if platform_time() > trigger.at + TRIGGER_SECONDS:
            raise Refused("expired_trigger_id")
        check_view(arguments["view"])
        trigger.used = True
        view = View(f"V{next(self._ids)}", trigger.user, arguments["view"])
        self.views.append(view)
        return {"view": {"id": view.id, **view.view}}

    def check(self, blocks: list[Json]) -> None:
        """Refuse blocks of a message."""
        check_blocks(blocks, MESSAGE_BLOCKS - self.unsupported, explains=self.explains)

    async def respond(self, request: web.Request) -> web.StreamResponse:
        """A message at a response address."""
        address, payload = self._addresses.get(request.match_info["token"]), await request.json()
        if address is None or platform_time() > address.at + ADDRESS_SECONDS:
            return web.json_response({"ok": False, "error": "expired_url"}, status=404)
        address.uses += 1
        if address.uses > ADDRESS_USES:
            return web.json_response({"ok": False, "error": "used_url"}, status=404)
        original = next((each for each in self.privates if address.original and each.ts == address.original), None)
        try:
            self.check(payload.get("blocks") or [])
        except Refused as refused:
            return web.json_response({"ok": False, "error": refused.error}, status=400)
        if payload.get("delete_original") and original is not None:
            self.privates.remove(original)
        elif payload.get("replace_original") and original is not None:
            original.text, original.blocks = payload.get("text", ""), payload.get("blocks") or []
        elif not payload.get("delete_original"):
            shown = Private(address.channel, address.user, address.thread, self._now(), payload.get("text", ""))
            shown.blocks = payload.get("blocks") or []
            self.privates.append(shown)
        self._changed()
        return web.json_response({"ok": True})


def found_button(blocks: list[Json], label: str) -> tuple[Json, Json]:
    """The block and the action of the button, option or vote with this text or action id."""
    for block in blocks:
        for element in block.get("elements", []):
            for text, action in _actions_of(element):
                if label in (text, element.get("action_id")):
                    return block, action
    raise LookupError(f"no button {label!r}")


def labels_of(blocks: list[Json]) -> list[str]:
    """The texts of all buttons, options and votes, in order."""
    elements = [element for block in blocks for element in block.get("elements", [])]
    return [text for element in elements for text, _ in _actions_of(element)]


def _actions_of(element: Json) -> Iterator[tuple[str, Json]]:
    common = {"type": element.get("type"), "action_id": element.get("action_id")}
    match element.get("type"):
        case "button":
            yield element["text"]["text"], {**common, "text": element["text"], "value": element.get("value", "")}
        case "feedback_buttons":
            for name in ("positive_button", "negative_button"):
                yield element[name]["text"]["text"], {**common, "value": element[name]["value"]}
        case "static_select":
            for option in element["options"]:
                yield option["text"]["text"], {**common, "selected_option": option}


def _state(blocks: list[Json]) -> Json:
    """The state of a message's menus, as payloads have it."""
    return {
        block["block_id"]: {element["action_id"]: {"type": "static_select", "selected_option": None}}
        for block in blocks
        for element in block.get("elements", [])
        if element.get("type") == "static_select"
    }


def _filled(block: Json, value: str | None) -> Json:
    element = block["element"]
    if element["type"] == "static_select":
        chosen = next((each for each in element["options"] if each["value"] == value), element.get("initial_option"))
        return {element["action_id"]: {"type": "static_select", "selected_option": chosen}}
    said = element.get("initial_value") if value is None else value
    return {element["action_id"]: {"type": "plain_text_input", "value": said or None}}
