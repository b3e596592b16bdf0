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
known since the workspace was opened, without a call.

One app serves all workspaces, since each costs 5 ms and 30 KiB. A payload brings its workspace in Bolt's context.

Interactive payloads (actions, commands, shortcuts, views) must be acknowledged within three seconds
(https://docs.slack.dev/interactivity/handling-user-interaction#acknowledgment_response). Their listeners call `ack()`
first and work afterwards. Payloads without a listener are acknowledged too (`UNHANDLED`), so that users see no warning.
`AsyncAssistant` stays unused: it swallows edits and deletions in threaded direct messages.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from functools import partial
from types import MappingProxyType
from typing import Any

from slack_bolt.app.async_app import AsyncApp
from slack_bolt.authorization import AuthorizeResult
from slack_bolt.context.ack.async_ack import AsyncAck
from slack_bolt.context.async_context import AsyncBoltContext
from slack_bolt.middleware.async_middleware import AsyncMiddleware
from slack_bolt.request.async_request import AsyncBoltRequest
from slack_bolt.response import BoltResponse
from typing_extensions import override

from adapters.shared.json_fields import Json, object_field, string_field
from adapters.slack.events.actions import ButtonPressed, parse_form, parse_press
from adapters.slack.events.invocations import InvocationKind
from adapters.slack.events.parse import Identity, changes_nothing, parse_event
from adapters.slack.handlers import Handlers
from adapters.slack.messages.buttons import RETRY_ACTION, RETRY_WITH_ACTION, STOP_ACTION, VOTE_ACTION
from adapters.slack.messages.views import ACTION_PREFIX, FORM_CALLBACK
from adapters.slack.presses import PressHandler
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
Listener = Callable[[AsyncAck, dict[str, Any], AsyncBoltContext], Awaitable[None]]
EventListener = Callable[[dict[str, Any], AsyncBoltContext], Awaitable[None]]

# The name of a workspace's handlers in Bolt's context.
_HANDLERS = "tickertape_handlers"

# Shown by Slack below an empty required input.
MISSING_INPUT = "Please fill this in."


class _JournalMiddleware(AsyncMiddleware):
    """Journals an event before any listener. For a plain function, Bolt would collect all its arguments each time."""

    def __init__(self, listened: frozenset[str]) -> None:
        """`listened` are the event types with a listener."""
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
            if not await _of(req.context).events.handle(event):
                return BoltResponse(status=503)
            # Bolt would try all listeners, which takes most of the time of an event.
            if string_field(event, "type") not in self._listened:
                return BoltResponse(status=200)
        await next()
        return None


def make_app(web: WebApi) -> AsyncApp:
    """The app for the payloads of all workspaces."""
    app, listeners = _bare_app(web), _event_listeners()
    app.use(_JournalMiddleware(frozenset(listeners)))
    _add_presses(app)
    _add_commands(app)
    for name, listen in listeners.items():
        app.event(name)(listen)
    return app


async def dispatch(app: AsyncApp, payload: Json, handlers: Handlers) -> BoltResponse:
    """The response to a payload of one workspace; `UNHANDLED` becomes an acknowledgement."""
    request = AsyncBoltRequest(mode="socket_mode", body=dict(payload), context={_HANDLERS: handlers})
    response = await app.async_dispatch(request)
    return BoltResponse(status=200) if response.status == UNHANDLED else response


def asks_nothing(payload: Json, me: Identity) -> bool:
    """Whether an event is over with its acknowledgement, whichever process owns the workspace of `me`."""
    event = object_field(payload, "event")
    is_event = payload.get("type") == "event_callback" and string_field(event, "type") not in LISTENED
    return is_event and changes_nothing(parse_event(event, me))


def response_to_form(payload: Json) -> BoltResponse | None:
    """The response to a form with empty inputs, which asks for no work; None for any other payload."""
    if payload.get("type") != "view_submission" or object_field(payload, "view").get("callback_id") != FORM_CALLBACK:
        return None
    form = parse_form(payload)
    if form is None or not form.missing:
        return None
    errors = {"response_action": "errors", "errors": dict.fromkeys(form.missing, MISSING_INPUT)}
    return BoltResponse(status=200, body=json.dumps(errors), headers={"content-type": ["application/json"]})


def _of(context: AsyncBoltContext) -> Handlers:
    """The handlers of a payload's workspace."""
    handlers: Handlers = context[_HANDLERS]
    return handlers


def _event_listeners() -> Mapping[str, EventListener]:
    """Listeners of events without a message, by event type; Bolt acknowledges them first."""

    async def opened(event: dict[str, Any], context: AsyncBoltContext) -> None:
        """Show a person's page, or greet them."""
        _of(context).pages.opened(event)

    async def removed(event: dict[str, Any], context: AsyncBoltContext) -> None:
        """Notice the end of the installation."""
        _of(context).installation.removed(event)

    return {"app_home_opened": opened, "app_uninstalled": removed, "tokens_revoked": removed}


LISTENED = frozenset(_event_listeners())


def _add_presses(app: AsyncApp) -> None:
    """Buttons of answers, notices and panels, and forms."""

    def listener(handle: Callable[[PressHandler, ButtonPressed], Coroutine[None, None, None]]) -> Listener:
        async def listen(ack: AsyncAck, body: dict[str, Any], context: AsyncBoltContext) -> None:
            """Acknowledge a press and handle it in the background."""
            await ack()
            if (press := parse_press(body)) is not None:
                handlers = _of(context)
                handlers.workspace.spawn(handlers.presses.guarded(partial(handle, handlers.presses), press))

        return listen

    async def submit(ack: AsyncAck, body: dict[str, Any], context: AsyncBoltContext) -> None:
        """Take a form, or name its empty inputs."""
        form = parse_form(body)
        if form is not None and form.missing:
            await ack(response_action="errors", errors=dict.fromkeys(form.missing, MISSING_INPUT))
            return
        await ack()
        if form is not None:
            handlers = _of(context)
            handlers.workspace.spawn(handlers.presses.guarded(handlers.presses.submit, form))

    app.action(STOP_ACTION)(listener(PressHandler.stop))
    for action in (RETRY_ACTION, RETRY_WITH_ACTION):
        app.action(action)(listener(PressHandler.retry))
    app.action(VOTE_ACTION)(listener(PressHandler.vote))
    app.action(re.compile(re.escape(ACTION_PREFIX)))(listener(PressHandler.act))
    app.view(FORM_CALLBACK)(submit)


def _add_commands(app: AsyncApp) -> None:
    """The slash command under any name, and the message shortcuts."""

    async def respond(ack: AsyncAck, *, accepted: bool) -> None:
        if accepted:
            await ack()
        else:  # Slack shows its own error
            ack.response = BoltResponse(status=503)

    async def slash_command(ack: AsyncAck, body: dict[str, Any], context: AsyncBoltContext) -> None:
        """Take in a slash command, then acknowledge it."""
        await respond(ack, accepted=await _of(context).commands.slash_command(body))

    def shortcut(kind: InvocationKind) -> Listener:
        async def listen(ack: AsyncAck, body: dict[str, Any], context: AsyncBoltContext) -> None:
            """Take in a message shortcut, then acknowledge it."""
            await respond(ack, accepted=await _of(context).commands.shortcut(body, kind))

        return listen

    app.command(re.compile(""))(slash_command)
    for callback, kind in SHORTCUTS.items():
        app.message_shortcut(callback)(shortcut(kind))


def _bare_app(web: WebApi) -> AsyncApp:
    async def authorize(context: AsyncBoltContext) -> AuthorizeResult:
        workspace = _of(context).workspace
        return AuthorizeResult(
            enterprise_id=workspace.me.enterprise or None,
            team_id=workspace.me.team,
            bot_user_id=workspace.me.user,
            bot_id=workspace.me.bot,
            bot_token=workspace.web.sdk.token,
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
