"""The slack-bolt app: middleware for events, listeners for interactive payloads.

Events are journalled in a global middleware, before `next()`. Bolt acknowledges an event before its `app.event`
listener runs, so a journal in a listener would lose the event with this process. A failed write answers 503: over the
socket Bolt then sends no acknowledgement. Either way Slack delivers the event again.

Some built-in middleware is off:

- `ignoring_self_events`: events about our own messages are needed; they fill the cache, and find posts after a lost
  answer.
- `request_verification`, `ssl_check`, `url_verification`: over HTTP, `http_endpoint` does them before Bolt parses
  anything. Socket Mode authenticates the connection instead.
- `attaching_function_token`, `attaching_conversation_kwargs`: no listener uses what they attach.

Authorization cannot be switched off. With a token, Bolt calls auth.test for it; `authorize=` answers from the identity
known since the start, without a call.

Interactive payloads (actions, commands, shortcuts, views) must be acknowledged within three seconds
(https://docs.slack.dev/interactivity/handling-user-interaction#acknowledgment_response). Their listeners call `ack()`
first and work afterwards. Payloads without a listener are acknowledged too (`UNHANDLED`), so that users see no warning.
`AsyncAssistant` stays unused: it swallows edits and deletions in threaded direct messages.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from types import MappingProxyType
from typing import Any

from slack_bolt.app.async_app import AsyncApp
from slack_bolt.authorization import AuthorizeResult
from slack_bolt.context.ack.async_ack import AsyncAck
from slack_bolt.middleware.async_middleware import AsyncMiddleware
from slack_bolt.request.async_request import AsyncBoltRequest
from slack_bolt.response import BoltResponse
from typing_extensions import override

from adapters.shared.json_fields import object_field, string_field
from adapters.slack.events.actions import ButtonPressed, parse_form, parse_press
from adapters.slack.events.commands import CommandHandler
from adapters.slack.events.handler import EventHandler
from adapters.slack.events.invocations import InvocationKind
from adapters.slack.events.parse import Identity
from adapters.slack.handlers import Handlers
from adapters.slack.messages.buttons import RETRY_ACTION, RETRY_WITH_ACTION, STOP_ACTION, VOTE_ACTION
from adapters.slack.messages.views import ACTION_PREFIX, FORM_CALLBACK
from adapters.slack.presses import PressHandler
from adapters.slack.state import WorkspaceState
from adapters.slack.web_api import WebApi

# Bolt warns about environment variables we do not read, and about payloads without a listener.
BOLT_LOG = logging.getLogger("adapters.slack.bolt")
BOLT_LOG.setLevel(logging.ERROR)

# Bolt's status for a payload without a listener; it is acknowledged.
UNHANDLED = 404

# Callback ids of the message shortcuts, as in the manifest.
SHORTCUTS: Mapping[str, InvocationKind] = MappingProxyType(
    {"tickertape_answer": InvocationKind.ANSWER, "tickertape_summarize": InvocationKind.SUMMARIZE}
)

Next = Callable[[], Awaitable[BoltResponse]]
Listener = Callable[[AsyncAck, dict[str, Any]], Awaitable[None]]
EventListener = Callable[[dict[str, Any]], Awaitable[None]]


# Shown by Slack below an empty required input.
MISSING_INPUT = "Please fill this in."


class _JournalMiddleware(AsyncMiddleware):
    """Journals an event before any listener. For a plain function, Bolt would collect all its arguments each time."""

    def __init__(self, handler: EventHandler, listened: frozenset[str]) -> None:
        """`listened` are the event types with a listener."""
        self._handler = handler
        self._listened = listened

    @override
    async def async_process(
        self,
        *,
        req: AsyncBoltRequest,
        resp: BoltResponse,
        next: Next,
    ) -> BoltResponse | None:
        """Return 503 if the journal fails.

        A response for other payloads would replace their listener's acknowledgement.
        """
        if req.body.get("type") == "event_callback":
            event = object_field(req.body, "event")
            if not await self._handler.handle(event):
                return BoltResponse(status=503)
            # Bolt would try all listeners, which takes most of the time of an event.
            if string_field(event, "type") not in self._listened:
                return BoltResponse(status=200)
        await next()
        return None


def make_app(workspace: WorkspaceState, handlers: Handlers) -> AsyncApp:
    """The app of one workspace."""
    app, listeners = _bare_app(workspace.web, workspace.me), _event_listeners(handlers)
    app.use(_JournalMiddleware(handlers.events, frozenset(listeners)))
    _add_presses(app, workspace, handlers.presses)
    _add_commands(app, handlers.commands)
    for name, listen in listeners.items():
        app.event(name)(listen)
    return app


def _event_listeners(handlers: Handlers) -> Mapping[str, EventListener]:
    """Listeners of events without a message, by event type; Bolt acknowledges them first."""

    async def opened(event: dict[str, Any]) -> None:
        """Show a person's page, or greet them."""
        handlers.pages.opened(event)

    async def removed(event: dict[str, Any]) -> None:
        """Notice the end of the installation."""
        handlers.installation.removed(event)

    return {"app_home_opened": opened, "app_uninstalled": removed, "tokens_revoked": removed}


def _add_presses(app: AsyncApp, workspace: WorkspaceState, presses: PressHandler) -> None:
    """Buttons of answers, notices and panels, and forms."""

    def listener(handle: Callable[[ButtonPressed], Coroutine[None, None, None]]) -> Listener:
        async def listen(ack: AsyncAck, body: dict[str, Any]) -> None:
            """Acknowledge a press and handle it in the background."""
            await ack()
            if (press := parse_press(body)) is not None:
                workspace.spawn(presses.guarded(handle, press))

        return listen

    async def submit(ack: AsyncAck, body: dict[str, Any]) -> None:
        """Take a form, or name its empty inputs."""
        form = parse_form(body)
        if form is not None and form.missing:
            await ack(response_action="errors", errors=dict.fromkeys(form.missing, MISSING_INPUT))
            return
        await ack()
        if form is not None:
            workspace.spawn(presses.guarded(presses.submit, form))

    app.action(STOP_ACTION)(listener(presses.stop))
    for action in (RETRY_ACTION, RETRY_WITH_ACTION):
        app.action(action)(listener(presses.retry))
    app.action(VOTE_ACTION)(listener(presses.vote))
    app.action(re.compile(re.escape(ACTION_PREFIX)))(listener(presses.act))
    app.view(FORM_CALLBACK)(submit)


def _add_commands(app: AsyncApp, commands: CommandHandler) -> None:
    """The slash command under any name, and the message shortcuts."""

    async def respond(ack: AsyncAck, *, accepted: bool) -> None:
        if accepted:
            await ack()
        else:  # Slack shows its own error
            ack.response = BoltResponse(status=503)

    async def slash_command(ack: AsyncAck, body: dict[str, Any]) -> None:
        """Take in a slash command, then acknowledge it."""
        await respond(ack, accepted=await commands.slash_command(body))

    def shortcut(kind: InvocationKind) -> Listener:
        async def listen(ack: AsyncAck, body: dict[str, Any]) -> None:
            """Take in a message shortcut, then acknowledge it."""
            await respond(ack, accepted=await commands.shortcut(body, kind))

        return listen

    app.command(re.compile(""))(slash_command)
    for callback, kind in SHORTCUTS.items():
        app.message_shortcut(callback)(shortcut(kind))


def _bare_app(web: WebApi, me: Identity) -> AsyncApp:
    async def authorize() -> AuthorizeResult:
        return AuthorizeResult(
            enterprise_id=me.enterprise or None,
            team_id=me.team,
            bot_user_id=me.user,
            bot_id=me.bot,
            bot_token=web.sdk.token,
        )

    return AsyncApp(
        name="tickertape",
        client=web.sdk,
        authorize=authorize,
        logger=BOLT_LOG,
        ignoring_self_events_enabled=False,
        request_verification_enabled=False,
        ssl_check_enabled=False,
        url_verification_enabled=False,
        attaching_function_token_enabled=False,
        attaching_conversation_kwargs_enabled=False,
    )
