"""Signed bodies of any shape: never an internal error, and never an exception in the log."""

from __future__ import annotations

import asyncio
import json
import logging
from typing import Any
from urllib.parse import urlencode

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.servers.slack import SlackDouble
from tests.support.slack_requests import FORM, endpoint

pytestmark = pytest.mark.sockets

JSON = "application/json"
NAME_LIST = """
    type event event_id subtype channel channel_type channel_id user user_id team team_id text ts thread_ts message
    previous_message item view state values callback_id private_metadata actions action_id block_id value container
    authorizations enterprise enterprise_id is_enterprise_install is_ext_shared_channel response_url response_urls
    command trigger_id challenge ssl_check payload files blocks elements attachments metadata event_payload tab tokens
    bot bot_id user_team context_team_id assistant_thread function_data inputs token bot_access_token edited hidden
    app_installed_team_id function_execution_id api_app_id deleted_ts
"""
WORD_LIST = """
    event_callback message app_mention message_changed message_deleted app_home_opened block_actions view_submission
    view_closed message_action shortcut url_verification tickertape_stop tickertape_retry tickertape_vote
    tickertape_answer im channel D1 C1 U1 T1 1700000000.000100 hello <@U1> home
"""
NAMES, WORDS = st.sampled_from(NAME_LIST.split()), st.sampled_from(WORD_LIST.split())
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9) | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES | st.text(max_size=5), inner, max_size=6),
    max_leaves=12,
)
OBJECTS = st.dictionaries(NAMES, VALUES, max_size=8)
EVENTS = st.builds(lambda outer, event: {**outer, "type": "event_callback", "event": event}, OBJECTS, OBJECTS)
TYPED = st.builds(lambda outer, kind: {**outer, "type": kind}, OBJECTS, WORDS)


def json_bytes(value: object) -> bytes:
    return json.dumps(value).encode()


def form_bytes(fields: dict[str, Any]) -> bytes:
    return urlencode({name: str(value) for name, value in fields.items()}, errors="replace").encode()


def payload_bytes(payload: object) -> bytes:
    return urlencode({"payload": json.dumps(payload)}).encode()


BODIES = (
    st.tuples(st.binary(max_size=60), st.sampled_from([JSON, FORM]))
    | st.tuples(st.builds(json_bytes, VALUES | EVENTS | TYPED), st.just(JSON))
    | st.tuples(st.builds(form_bytes, OBJECTS) | st.builds(payload_bytes, VALUES | EVENTS | TYPED), st.just(FORM))
    | st.tuples(st.integers(1, 100_000).map(lambda depth: b'{"a":' * depth), st.just(JSON))
)


class Failures(logging.Handler):
    """The log lines about failures."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if record.exc_info or record.levelno >= logging.ERROR:
            self.lines.append(f"{record.name}: {record.getMessage()} {record.exc_info}")


async def statuses_of(bodies: list[tuple[bytes, str]]) -> set[int]:
    """The statuses of signed requests, all sent to one process."""
    double = SlackDouble()
    async with double.running(), endpoint(double) as slack:
        return {(await slack.post(body, content_type))[0] for body, content_type in bodies}


# Shrinking would start the servers thousands of times.
@given(st.lists(BODIES, min_size=20, max_size=40))
@settings(
    max_examples=4, suppress_health_check=list(HealthCheck), phases=[Phase.generate], derandomize=True, deadline=None
)
def test_a_signed_body_of_any_shape_has_a_plain_response(bodies: list[tuple[bytes, str]]) -> None:
    """It is taken, refused as unreadable, or asked for again; no listener and no parser fails at it."""
    failures = Failures()
    logging.getLogger().addHandler(failures)
    try:
        with asyncio.Runner() as runner:
            statuses = runner.run(statuses_of(bodies))
    finally:
        logging.getLogger().removeHandler(failures)
    assert statuses <= {200, 400, 401}
    assert failures.lines == []
