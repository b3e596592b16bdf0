"""The rules about several settings at once: what is missing beside what is there.

What belongs here: pure checks of settings that are each well formed. What does not: one value's own form
(`config.types`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from config.errors import SettingSources
from config.types import is_loopback

if TYPE_CHECKING:  # it reads the rules itself
    from pydantic import SecretStr

    from config.settings import Settings

Rule = Callable[["Settings", SettingSources], Iterator[str]]

BOT_HINT = "it starts with xoxb- and is at https://api.slack.com/apps: your app, Install App"
APP_HINT = (
    "it starts with xapp- and is at https://api.slack.com/apps: your app, Basic Information, App-Level Tokens, "
    "with the scope connections:write"
)


def violations(settings: Settings, sources: SettingSources) -> list[str]:
    """One line for each rule that the settings break."""
    return [line for rule in RULES for line in rule(settings, sources)]


def slack_pair(settings: Settings, sources: SettingSources) -> Iterator[str]:
    """Slack over Socket Mode takes two tokens: one to write with and one to listen with."""
    slack = settings.slack
    if slack.bot_token and not slack.app_token:
        yield f"SLACK_APP_TOKEN is missing ({sources.name(('slack', 'bot_token'))} is set): {APP_HINT}"
    if slack.app_token and not slack.bot_token:
        yield f"SLACK_BOT_TOKEN is missing ({sources.name(('slack', 'app_token'))} is set): {BOT_HINT}"


def slack_prefixes(settings: Settings, sources: SettingSources) -> Iterator[str]:
    """Slack's own tokens say by their first letters what they are for; a test server's may be any word."""
    slack = settings.slack
    if slack.api_url:
        return
    if slack.bot_token and not _starts(slack.bot_token, "xoxb-"):
        yield f"{sources.name(('slack', 'bot_token'))} is not a bot token: {BOT_HINT}"
    if slack.app_token and not _starts(slack.app_token, "xapp-"):
        yield f"{sources.name(('slack', 'app_token'))} is not an app-level token: {APP_HINT}"


def model_named(settings: Settings, sources: SettingSources) -> Iterator[str]:
    """A server is asked for a model by name, and none is so usual that we could choose it for somebody else's money."""
    model = settings.model
    if model.remote and not model.name:
        given = sources.name(("model", "api_key") if model.api_key else ("model", "base_url"))
        yield f"OPENAI_MODEL is missing ({given} is set): the name of the model to ask, as its server calls it"
    if model.name and not model.remote:
        yield (
            f"OPENAI_API_KEY is missing ({sources.name(('model', 'name'))} is set): make one at "
            "https://platform.openai.com/api-keys, or set OPENAI_BASE_URL to a server of your own"
        )


def model_there(settings: Settings, _origins: SettingSources) -> Iterator[str]:
    """Somebody has to answer."""
    if settings.model.remote or settings.model.name or settings.embedded_runs:
        return
    names = " and ".join(settings.platforms) or "nothing"
    yield (
        f"OPENAI_API_KEY is missing ({names} would run without a model): make one at "
        "https://platform.openai.com/api-keys, or set OPENAI_BASE_URL to a server of your own, "
        "or TICKERTAPE_EMBEDDED=on for the tiny demonstration model"
    )


def something_runs(settings: Settings, sources: SettingSources) -> Iterator[str]:
    """A bot that is nowhere would wait for nothing."""
    one_token = settings.slack.bot_token or settings.slack.app_token  # `slack_pair` says what is missing
    if settings.platforms or one_token:
        return
    how = "set DISCORD_TOKEN, or SLACK_BOT_TOKEN and SLACK_APP_TOKEN"
    if is_loopback(settings.site.host):
        yield f"{sources.name(('site', 'playground'))} is off and no platform is set, so nothing would run: {how}"
        return
    yield (
        f"{sources.name(('site', 'host'))} is {settings.site.host}, where others could chat at your cost, so the "
        f"playground stays off and nothing would run: {how}, or TICKERTAPE_PLAYGROUND=on and TICKERTAPE_ALLOWED_HOSTS "
        "if that is what you want"
    )


def page_named(settings: Settings, sources: SettingSources) -> Iterator[str]:
    """Where other machines reach the page, only names that the operator gave keep foreign pages out of it."""
    site = settings.site
    if settings.playground_runs and not is_loopback(site.host) and not site.allowed_hosts:
        yield (
            f"TICKERTAPE_ALLOWED_HOSTS is missing ({sources.name(('site', 'host'))} is {site.host} and the playground "
            "is on): the names or IP addresses by which browsers reach the page, such as bot.example.org or "
            "192.168.1.5 (localhost where only a port of a container is published)"
        )


def _starts(secret: SecretStr, prefix: str) -> bool:
    """Whether a secret has a prefix."""
    return secret.get_secret_value().startswith(prefix)


RULES: Sequence[Rule] = (slack_pair, slack_prefixes, model_named, something_runs, page_named, model_there)
