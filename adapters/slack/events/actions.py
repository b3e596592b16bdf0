"""Interactive payloads parsed once, into frozen values. Pure; a field of the wrong type reads as empty.

https://docs.slack.dev/reference/interaction-payloads. `messages.views` makes the buttons and forms read here.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from adapters.shared.json_fields import Json, as_object, list_field, object_field, string_at, string_field


@dataclass(frozen=True, slots=True)
class Origin:
    """Who acted, where, and how to respond.

    `channel` is empty on a person's own page and in a form. `thread` and `message` are empty if there is none;
    `message` is the message acted on. `team` is the person's own. `trigger_id` opens one form, within three seconds;
    `response_url` takes five responses within 30 minutes.
    """

    user: str
    channel: str = ""
    thread: str = ""
    message: str = ""
    team: str = ""
    trigger_id: str = field(default="", repr=False)
    response_url: str = field(default="", repr=False)

    @property
    def is_command(self) -> bool:
        """Whether a slash command was typed: in any channel, so that only its address surely takes a notice."""
        return bool(self.response_url and self.channel and not self.message)

    def at(self, place: ButtonValue) -> Origin:
        """The same person, in the place a button or a form was shown for."""
        if not place.channel:
            return self
        return replace(self, channel=place.channel, thread=place.thread, message=place.message)


@dataclass(frozen=True, slots=True)
class ButtonPressed:
    """A pressed button, or a chosen option of a menu: `value` is its value."""

    origin: Origin
    action: str
    value: str


@dataclass(frozen=True, slots=True)
class ButtonValue:
    """The value of one of our buttons or forms: the id in the core, and the place it was shown for."""

    id: str
    channel: str = ""
    thread: str = ""
    message: str = ""

    def dump(self) -> str:
        """As JSON; a button holds 2,000 characters, the private metadata of a form 3,000."""
        fields = {"id": self.id, "channel": self.channel, "thread": self.thread, "message": self.message}
        return json.dumps({name: value for name, value in fields.items() if value}, separators=(",", ":"))


@dataclass(frozen=True, slots=True)
class FormSent:
    """A submitted form; `values` are its inputs by name, `missing` the names of empty required ones."""

    origin: Origin
    form: ButtonValue
    values: Mapping[str, str] = field(repr=False)
    missing: tuple[str, ...] = ()


def parse_origin(payload: Json) -> Origin:
    """The origin of an action, a shortcut, a form or a slash command (whose fields are flat)."""
    user, container = object_field(payload, "user"), object_field(payload, "container")
    message = object_field(payload, "message")
    return Origin(
        user=string_field(user, "id") or string_field(payload, "user_id"),
        channel=(
            string_at(payload, "channel", "id")
            or string_field(container, "channel_id")
            or string_field(payload, "channel_id")
        ),
        thread=string_field(message, "thread_ts") or string_field(container, "thread_ts"),
        message=string_field(message, "ts") or string_field(container, "message_ts"),
        team=string_field(user, "team_id") or string_field(payload, "team_id"),
        trigger_id=string_field(payload, "trigger_id"),
        response_url=string_field(payload, "response_url"),
    )


def parse_press(payload: Json) -> ButtonPressed | None:
    """The first action of a ``block_actions`` payload; None for any other."""
    actions = [as_object(each) for each in list_field(payload, "actions")]
    origin = parse_origin(payload)
    if not actions or not origin.user:
        return None
    value = string_field(actions[0], "value") or string_at(actions[0], "selected_option", "value")
    return ButtonPressed(origin, string_field(actions[0], "action_id"), value)


def parse_form(payload: Json) -> FormSent | None:
    """A ``view_submission`` payload of one of our forms; None for any other."""
    view, origin = object_field(payload, "view"), parse_origin(payload)
    form = parse_value(string_field(view, "private_metadata"))
    if form is None or not origin.user:
        return None
    inputs = object_field(object_field(view, "state"), "values")
    values = {str(name): _input_value(as_object(each)) for name, each in inputs.items()}
    return FormSent(origin.at(form), form, values, _missing_inputs(view, values))


def parse_value(text: str) -> ButtonValue | None:
    """The value of one of our buttons or forms; None for any other text."""
    try:
        value = as_object(json.loads(text))
    except (ValueError, RecursionError):
        return None
    if not (id_ := string_field(value, "id")):
        return None
    return ButtonValue(id_, *(string_field(value, name) for name in ("channel", "thread", "message")))


def _input_value(block: Json) -> str:
    """The value of the single element of an input block."""
    element = as_object(next(iter(block.values()), None))
    return string_field(element, "value") or string_at(element, "selected_option", "value")


def _missing_inputs(view: Json, values: Mapping[str, str]) -> tuple[str, ...]:
    """Required inputs without a word; Slack itself asks for one, and takes white space."""
    inputs = [as_object(each) for each in list_field(view, "blocks")]
    required = [string_field(each, "block_id") for each in inputs if each.get("type") == "input"]
    optional = {string_field(each, "block_id") for each in inputs if each.get("optional") is True}
    return tuple(name for name in required if name and name not in optional and not values.get(name, "").strip())
