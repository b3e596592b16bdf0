"""A receiver of Slack's requests without a bot: ``python -m benchmarks.load.bare_receiver PORT SECRET``.

It checks each signature as the SDK does, parses the body, and responds.
"""

from __future__ import annotations

import json
import sys

from aiohttp import web
from slack_sdk.signature import SignatureVerifier


def make_app(secret: str) -> web.Application:
    """The receiver, as an application."""
    verifier = SignatureVerifier(secret)

    async def receive(request: web.Request) -> web.Response:
        body = await request.read()
        is_valid = verifier.is_valid_request(body, dict(request.headers))
        return web.Response(status=200 if is_valid and json.loads(body) else 401)

    async def ready(_: web.Request) -> web.Response:
        return web.Response()

    application = web.Application()
    application.add_routes([web.post("/slack/events", receive), web.get("/readyz", ready)])
    return application


if __name__ == "__main__":
    web.run_app(make_app(sys.argv[2]), host="127.0.0.1", port=int(sys.argv[1]), print=None, access_log=None)
