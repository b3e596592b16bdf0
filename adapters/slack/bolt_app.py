"""The slack-bolt app: journals and acknowledges events before authorization, and runs no listeners."""

from __future__ import annotations

import logging
from typing import Any

from slack_bolt.app.async_app import AsyncApp
from slack_bolt.response import BoltResponse

from adapters.shared.json_fields import object_field
from adapters.slack.events.handler import EventHandler
from adapters.slack.web_api import WebApi

# Bolt warns about environment variables we do not read.
BOLT_LOG = logging.getLogger("adapters.slack.bolt")
BOLT_LOG.setLevel(logging.ERROR)


def make_app(web: WebApi, handler: EventHandler) -> AsyncApp:
    """The app of one workspace."""

    async def journal_event(body: dict[str, Any]) -> BoltResponse:
        return BoltResponse(status=200 if await handler.handle(object_field(body, "event")) else 503)

    # Authorization would call auth.test, and listeners run after the acknowledgement.
    return AsyncApp(client=web.sdk, logger=BOLT_LOG, name="tickertape", before_authorize=journal_event)
