"""The loopback Slack's commands, message menus, personal pages, suggested prompts and sessions.

What belongs here: their payloads, and the methods that answer them. What does not: presses, forms and private messages
(`tests.servers.slack_interactive`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from tests.servers.slack_blocks import Refused, check_view

if TYPE_CHECKING:
    from tests.servers.slack_deliveries import Deliveries, Envelope
    from tests.servers.slack_interactive import Interactive
    from tests.servers.slack_world import World

Json = dict[str, Any]

PROMPTS: Final = 4


class SlackSurface:
    """The part of the loopback Slack for one person at a time."""

    world: World
    deliveries: Deliveries
    interactive: Interactive
    revoked: str

    def __init__(self) -> None:
        self.published = 0  # how often pages were
        self.home_enabled = True
        self.prompts: list[tuple[str, str, list[Json]]] = []  # channel, title, prompts
        self.sessions: list[tuple[str, str, str]] = []  # channel, thread, status
        self.session_error = ""  # what agents.sessions.setStatus is answered
        self.session_warning = ""  # ... beside its success
        self.direct: dict[str, str] = {}  # direct messages with the bot, by user

    # ---------------------------------------------------------------------------------------------------- what is given

    def event(self, event: Json, **outer: Any) -> None:
        """Send an event."""
        raise NotImplementedError

    def say(self, channel: str, text: str, *, author: str, thread: str = "", **fields: Any) -> str:
        """Somebody says something; returns the message's ts."""
        raise NotImplementedError

    def direct_with(self, user: str) -> str:
        """The person's direct messages with the bot."""
        if user not in self.direct:
            self.direct[user] = self.world.channel("im")
        return self.direct[user]

    async def command(self, channel: str, text: str, *, author: str, command: str = "/tickertape") -> Envelope:
        """Somebody types a slash command; `channel` may be one without the bot."""
        kind = self.world.channels.get(channel, "channel")
        payload = {
            "token": "verification",
            "team_id": self.world.team,
            "team_domain": "team",
            "channel_id": channel,
            "channel_name": {"im": "directmessage", "group": "privategroup"}.get(kind, "general"),
            "user_id": author,
            "user_name": self.world.users[author]["name"],
            "command": command,
            "text": text,
            "api_app_id": "A1",
            "is_enterprise_install": "false",
            "response_url": self.interactive.address(channel, author),
            "trigger_id": self.interactive.trigger(author),
        }
        return await self.deliveries.deliver_payload("slash_commands", payload)

    async def menu(self, channel: str, ts: str, callback: str, *, author: str) -> Envelope:
        """Somebody chooses a message shortcut."""
        message = self.world.messages[channel][ts]
        payload = {
            "type": "message_action",
            "callback_id": callback,
            "token": "verification",
            "trigger_id": self.interactive.trigger(author),
            "response_url": self.interactive.address(channel, author, str(message.get("thread_ts", ""))),
            "user": {"id": author, "name": self.world.users[author]["name"], "team_id": self.world.team},
            "channel": {"id": channel, "name": self.world.names[channel]},
            "team": {"id": self.world.team, "domain": "team"},
            "message": message,
            "message_ts": ts,
            "action_ts": self.world.now(),
            "is_enterprise_install": False,
        }
        return await self.deliveries.deliver_payload("interactive", payload)

    def open_home(self, user: str, tab: str = "home", **more: Any) -> None:
        """Somebody opens the app: its page, or its direct messages; `more` are fields of the event."""
        opened = {"type": "app_home_opened", "user": user, "channel": self.direct_with(user), "tab": tab}
        view = {"view": self.interactive.homes[user]} if tab == "home" and user in self.interactive.homes else {}
        self.event({**opened, **view, **more, "event_ts": self.world.now()})

    def ask_agent(self, user: str, text: str, *, thread: str = "", seen: str = "") -> str:
        """Somebody writes in the agent view, beside a channel or nothing that is named; returns the message's ts.

        Each message outside a thread is the first of its own: https://docs.slack.dev/ai/migrating-to-agent-messaging.
        """
        context = {"app_context": self._context(seen)}
        return self.say(self.direct_with(user), text, author=user, thread=thread, **context)

    def _context(self, seen: str) -> Json:
        entity = {"type": "slack#/types/channel_id", "value": seen, "team_id": self.world.team}
        return {"entities": [entity]} if seen else {}

    def view_channel(self, user: str, seen: str = "") -> None:
        """Somebody looks at a channel next to the agent view, or at nothing it can tell.

        https://docs.slack.dev/reference/events/app_context_changed
        """
        told = {"type": "app_context_changed", "user": user, "channel": self.direct_with(user)}
        self.event({**told, "context": self._context(seen), "event_ts": self.world.now()})

    def uninstall(self) -> None:
        """Somebody removes the app from the workspace."""
        self.revoked = "account_inactive"
        self.event({"type": "app_uninstalled"})

    def revoke(self) -> None:
        """Somebody revokes the bot's token."""
        self.revoked = "token_revoked"
        self.event({"type": "tokens_revoked", "tokens": {"oauth": [], "bot": [self.world.bot_user]}})

    # ------------------------------------------------------------------------------------------------- personal pages

    async def _views_publish(self, arguments: Json) -> Json:
        user, homes = str(arguments.get("user_id", "")), self.interactive.homes
        if not self.home_enabled:
            raise Refused("not_enabled")
        if user not in self.world.users:
            raise Refused("user_not_found")
        view = arguments.get("view")
        if not isinstance(view, dict) or view.get("type") != "home":
            raise Refused("invalid_arguments")
        check_view(view)
        if arguments.get("hash") and arguments["hash"] != homes.get(user, {}).get("hash"):
            raise Refused("hash_conflict")
        self.published += 1
        homes[user] = view | {"id": f"V{user}", "hash": f"{self.published}.hash"}
        return {"view": homes[user]}

    # ------------------------------------------------------------------------------------------------------ agent view

    async def _assistant_threads_setSuggestedPrompts(self, arguments: Json) -> Json:  # noqa: N802 (the method's name)
        prompts = arguments.get("prompts") or []
        if not 1 <= len(prompts) <= PROMPTS or any(not (p.get("title") and p.get("message")) for p in prompts):
            raise Refused("invalid_arguments")
        channel = str(arguments.get("channel_id", ""))
        if self.world.channels.get(channel) != "im":
            raise Refused("channel_not_found")
        self.prompts.append((channel, str(arguments.get("title", "")), prompts))
        return {}

    async def _agents_sessions_setStatus(self, arguments: Json) -> Json:  # noqa: N802 (named as the method is)
        channel, thread = str(arguments["channel_id"]), str(arguments["thread_ts"])
        if self.session_error:
            raise Refused(self.session_error)
        if arguments["status"] not in ("active", "processing", "suspended", "closed"):
            raise Refused("invalid_arguments")
        self.sessions.append((channel, thread, str(arguments["status"])))
        warning = {"warning": self.session_warning} if self.session_warning else {}
        return {"status": arguments["status"], **warning}
