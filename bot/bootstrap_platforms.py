"""The composition root's part for platforms: their options, downloads and words."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from adapters import discord, slack
from adapters.http_bodies import BodyRule
from adapters.http_server import Route
from adapters.shared.attachments import AttachmentLimits, Attachments
from bot.bootstrap_lanes import Ownership
from bot.bootstrap_models import model_label
from bot.ports import Platform
from bot.records import KeyValueStore
from bot.strings import Strings
from config.settings import Settings
from config.types import is_loopback

if TYPE_CHECKING:
    from bot.bootstrap_oauth import OpenedOAuth


def wall_clock(settings: Settings) -> Callable[[], datetime]:
    """The date and the time in the configured time zone."""
    return partial(datetime.now, settings.conversation.zone())


def make_strings(settings: Settings, *, durable: bool) -> Strings:
    """The sentences for users, with the operator's overrides.

    With a `durable` journal the next process continues an interrupted answer, and its sentence says so.
    """
    strings = replace(Strings(), **settings.words.overrides())  # type: ignore[arg-type]  # a test says that the names agree
    return replace(strings, interrupted=strings.paused) if durable else strings


class OpenedPlatforms(NamedTuple):
    """Platforms, and what they contribute to the HTTP server: routes, and the bodies accepted there."""

    platforms: Sequence[Platform]
    routes: Sequence[Route]
    bodies: Sequence[BodyRule]


def open_platforms(
    settings: Settings,
    stack: AsyncExitStack,
    ownership: Ownership,
    values: KeyValueStore | None = None,
    oauth: OpenedOAuth | None = None,
) -> OpenedPlatforms:
    """All configured platforms. `values` are the program's own, `oauth` the installations of many workspaces."""
    lanes = ownership.lanes
    platforms: list[Platform] = []
    routes: list[Route] = []
    bodies: list[BodyRule] = []
    if (discord_options := make_discord_options(settings)) is not None:
        hosts, local = discord.file_hosts(discord_options), discord.serves_locally(discord_options)
        attachments = make_attachments(settings, hosts, local=local)
        stack.push_async_callback(attachments.close)
        limit, accounts = ownership.windows.get("discord"), ownership.accounts
        platforms.append(
            discord.DiscordPlatform(
                discord_options, attachments, values, lanes=lanes, global_limit=limit, accounts=accounts
            )
        )
    if (slack_options := make_slack_options(settings)) is not None:
        attachments = make_attachments(settings, slack.file_hosts(slack_options))
        stack.push_async_callback(attachments.close)
        tokens = None if oauth is None else oauth.tokens
        slack_platform = slack.SlackPlatform(slack_options, attachments, lanes, wall_clock(settings), tokens)
        if oauth is not None:
            oauth.tokens.tell(slack_platform.token_changed)
            routes += oauth.routes
        platforms.append(slack_platform)
        routes += slack_platform.routes()
        bodies += [slack.EVENTS] if slack_options.over_http else []
    if settings.playground_runs:
        from adapters.playground import PlaygroundOptions, PlaygroundPlatform  # noqa: PLC0415 (loaded only if it runs)

        options = PlaygroundOptions(model_label(settings), allowed_hosts=frozenset(settings.site.allowed_hosts))
        platforms.append(playground := PlaygroundPlatform(options))
        routes += playground.routes()
    return OpenedPlatforms(platforms, routes, bodies)


def make_discord_options(settings: Settings) -> discord.DiscordOptions | None:
    """Discord's options, or None without a token."""
    chosen = settings.discord
    if chosen.token is None:
        return None
    return discord.DiscordOptions(
        token=chosen.token.get_secret_value(),
        api_url=chosen.api_url,
        gateway_url=chosen.gateway_url,
        write_seconds=settings.writing.write_timeout,
        zone=settings.conversation.zone(),
        threads=discord.ThreadOptions(chosen.auto_thread, frozenset(chosen.forums)),
        sharing=discord.SharingOptions(chosen.shards, chosen.per_second),
        strings=make_strings(settings, durable=False),
    )


def make_slack_options(settings: Settings) -> slack.SlackOptions | None:
    """Slack's options, or None if Slack does not run."""
    chosen = settings.slack
    if not chosen.runs:
        return None
    signing_secret, app_token = chosen.signing_secret if chosen.over_http else None, chosen.app_token
    return slack.SlackOptions(
        bot_token=chosen.bot_token.get_secret_value() if chosen.bot_token is not None else "",
        app_token=app_token.get_secret_value() if app_token is not None else "",
        signing_secret=signing_secret.get_secret_value() if signing_secret is not None else "",
        api_url=chosen.api_url or None,
        edits=chosen.edits.value,
        streams=chosen.streams.value,
        edits_latch_seconds=chosen.edits_leak_seconds,
        call_seconds=settings.writing.write_timeout,
        zone=settings.conversation.zone(),
        strings=make_strings(settings, durable=False),
        suggested_prompts=tuple(chosen.suggested_prompts.items()),
    )


def slack_address_line(settings: Settings, address: str) -> str:
    """The log's line about the address of Slack's requests; `address` is the HTTP server's on this machine."""
    line = f"Slack's requests arrive at {address}{slack.PATH}; the request URL is its public https address"
    if not is_loopback(settings.site.host):
        return line
    return f"{line} (only a proxy on this machine reaches it; TICKERTAPE_HOST=0.0.0.0 accepts other machines)"


def make_attachments(settings: Settings, hosts: frozenset[str], *, local: bool = False) -> Attachments:
    """A downloader of attachments for one platform: from its own `hosts` only."""
    chosen = settings.attachments
    limits = AttachmentLimits(
        count=chosen.count,
        bytes=chosen.bytes,
        pixels=chosen.pixels,
        text_characters=chosen.text_characters,
        seconds=chosen.seconds,
    )
    return Attachments(limits, hosts=hosts, allow_loopback=local)
