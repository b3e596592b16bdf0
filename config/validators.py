"""Rules over several settings: missing counterparts and unsafe combinations. `config.types` checks single values."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

from pydantic import SecretStr

from config.control_settings import PERSONA_RULES, PersonaSettings
from config.errors import NameOf
from config.listed_models import MODEL_RULES, ListedModelSettings
from config.model_settings import CompletionSettings, ModelSettings
from config.platform_settings import SiteSettings, SlackEvents, SlackSettings
from config.types import is_loopback

BOT_HINT = "it starts with xoxb- and is at https://api.slack.com/apps: your app, Install App"
APP_HINT = (
    "it starts with xapp- and is at https://api.slack.com/apps: your app, Basic Information, App-Level Tokens, "
    "with the scope connections:write"
)
SIGNING_HINT = "it is at https://api.slack.com/apps: your app, Basic Information, App Credentials"


KEY_COMMAND = "openssl rand -base64 32 | tr +/ -_"


class SettingsView(Protocol):
    """The part of `config.settings.Settings` that the rules read."""

    model: ModelSettings
    models: tuple[ListedModelSettings, ...]
    personas: tuple[PersonaSettings, ...]
    completion: CompletionSettings
    slack: SlackSettings
    site: SiteSettings

    @property
    def platforms(self) -> tuple[str, ...]:
        """The names of the running platforms."""
        ...

    @property
    def journal_database(self) -> str | None:
        """The address of the database, if there is one."""
        ...

    @property
    def playground_runs(self) -> bool:
        """Whether the page is served."""
        ...

    @property
    def embedded_runs(self) -> bool:
        """Whether the demonstration model answers."""
        ...


Rule = Callable[[SettingsView, NameOf], Iterator[str]]


def violations(settings: SettingsView, name: NameOf) -> list[str]:
    """Return one line for each violated rule."""
    return [line for rule in RULES for line in rule(settings, name)]


def slack_pair(settings: SettingsView, name: NameOf) -> Iterator[str]:
    """The bot token writes; the app token (Socket Mode) or the signing secret (HTTP) lets Slack's events arrive."""
    slack = settings.slack
    if slack.client_id or slack.client_secret:  # `slack_oauth` tells
        return
    if (given := _slack_given(slack)) and not slack.bot_token:
        yield f"SLACK_BOT_TOKEN is missing ({_stated(slack, given, name)}): {BOT_HINT}"
    if not slack.bot_token and slack.events is SlackEvents.AUTO:
        return
    reason = _stated(slack, "bot_token" if slack.events is SlackEvents.AUTO else "events", name)
    if slack.over_http and not slack.signing_secret:
        yield f"SLACK_SIGNING_SECRET is missing ({reason}): {SIGNING_HINT}"
    if not slack.over_http and not slack.app_token:
        or_http = f"; or set SLACK_SIGNING_SECRET, for events over HTTP: {SIGNING_HINT}"
        yield f"SLACK_APP_TOKEN is missing ({reason}): {APP_HINT}{or_http if slack.events is SlackEvents.AUTO else ''}"


def slack_oauth(settings: SettingsView, name: NameOf) -> Iterator[str]:
    """Installations need the app's credentials, Slack's requests, a public address, a database and keys for it."""
    slack, site = settings.slack, settings.site
    if not slack.client_id and not slack.client_secret:
        return
    given = "client_id" if slack.client_id else "client_secret"
    reason = f"{name(('slack', given))} is set"
    if slack.bot_token:
        yield f"{name(('slack', 'bot_token'))} and {reason}: with OAuth each workspace has its own token; remove one"
    if not slack.client_id:
        yield f"SLACK_CLIENT_ID is missing ({reason}): {SIGNING_HINT}"
    if not slack.client_secret:
        yield f"SLACK_CLIENT_SECRET is missing ({reason}): {SIGNING_HINT}"
    if not slack.signing_secret:
        yield f"SLACK_SIGNING_SECRET is missing ({reason}): {SIGNING_HINT}"
    elif not slack.over_http:
        yield f"TICKERTAPE_SLACK_EVENTS must be http ({reason}): installations need Slack's requests, not a socket"
    if settings.journal_database is None:
        yield f"JOURNAL_URL must name a PostgreSQL database ({reason}): the installations are kept there"
    if not site.public_url:
        yield f"TICKERTAPE_PUBLIC_URL is missing ({reason}): the bot's public address, such as https://bot.example.com"
    if not slack.secrets:
        yield f"TICKERTAPE_SECRETS is missing ({reason}): a key to encrypt tokens, by: {KEY_COMMAND}"


def _slack_given(slack: SlackSettings) -> str:
    """The key of the setting that asks for Slack, apart from the bot token; empty if none does."""
    given = {
        "app_token": slack.app_token,
        "signing_secret": slack.signing_secret,
        "client_id": slack.client_id,
        "client_secret": slack.client_secret,
    }
    found = next((key for key, value in given.items() if value), "")
    return found or ("" if slack.events is SlackEvents.AUTO else "events")


def _stated(slack: SlackSettings, key: str, name: NameOf) -> str:
    return f"{name(('slack', key))} is {slack.events.value if key == 'events' else 'set'}"


def slack_prefixes(settings: SettingsView, name: NameOf) -> Iterator[str]:
    """Slack's tokens show their kind by prefix; a test server may use any word."""
    slack = settings.slack
    if slack.api_url:
        return
    if slack.bot_token and not _starts(slack.bot_token, "xoxb-"):
        yield f"{name(('slack', 'bot_token'))} is not a bot token: {BOT_HINT}"
    if slack.app_token and not _starts(slack.app_token, "xapp-"):
        yield f"{name(('slack', 'app_token'))} is not an app-level token: {APP_HINT}"
    if slack.signing_secret and any(_starts(slack.signing_secret, prefix) for prefix in ("xoxb-", "xapp-")):
        yield f"{name(('slack', 'signing_secret'))} is a token, not the signing secret: {SIGNING_HINT}"


def model_named(settings: SettingsView, name: NameOf) -> Iterator[str]:
    """A server and a model name need each other. There is no safe default model, because the operator pays for it."""
    model = settings.model
    if model.remote and not model.name:
        given = name(("model", "api_key") if model.api_key else ("model", "base_url"))
        yield f"OPENAI_MODEL is missing ({given} is set): the name of the model to ask, as its server calls it"
    if model.name and not model.remote:
        yield (
            f"OPENAI_API_KEY is missing ({name(('model', 'name'))} is set): make one at "
            "https://platform.openai.com/api-keys, or set OPENAI_BASE_URL to a server of your own"
        )


def model_there(settings: SettingsView, _name: NameOf) -> Iterator[str]:
    """Every platform needs a model."""
    if settings.model.remote or settings.model.name or settings.embedded_runs:
        return
    names = " and ".join(settings.platforms) or "nothing"
    yield (
        f"OPENAI_API_KEY is missing ({names} would run without a model): make one at "
        "https://platform.openai.com/api-keys, or set OPENAI_BASE_URL to a server of your own, "
        "or TICKERTAPE_EMBEDDED=on for the tiny demonstration model"
    )


def something_runs(settings: SettingsView, name: NameOf) -> Iterator[str]:
    """At least one platform or the playground must run."""
    if settings.platforms or settings.slack.bot_token or _slack_given(settings.slack):  # `slack_pair` reports the rest
        return
    how = "set DISCORD_TOKEN, or SLACK_BOT_TOKEN and SLACK_APP_TOKEN (or SLACK_SIGNING_SECRET)"
    if is_loopback(settings.site.host):
        yield f"{name(('site', 'playground'))} is off and no platform is set, so nothing would run: {how}"
        return
    yield (
        f"{name(('site', 'host'))} is {settings.site.host}, where others could chat at your cost, so the "
        f"playground stays off and nothing would run: {how}, or TICKERTAPE_PLAYGROUND=on and TICKERTAPE_ALLOWED_HOSTS "
        "if that is what you want"
    )


def page_named(settings: SettingsView, name: NameOf) -> Iterator[str]:
    """If other machines reach the page, only the operator's host names keep foreign pages out (DNS rebinding)."""
    site = settings.site
    if settings.playground_runs and not is_loopback(site.host) and not site.allowed_hosts:
        yield (
            f"TICKERTAPE_ALLOWED_HOSTS is missing ({name(('site', 'host'))} is {site.host} and the playground "
            "is on): the names or IP addresses by which browsers reach the page, such as bot.example.org or "
            "192.168.1.5 (localhost where only a port of a container is published)"
        )


def _starts(secret: SecretStr, prefix: str) -> bool:
    return secret.get_secret_value().startswith(prefix)


RULES: Sequence[Rule] = (
    slack_pair,
    slack_oauth,
    slack_prefixes,
    model_named,
    something_runs,
    page_named,
    model_there,
    *MODEL_RULES,
    *PERSONA_RULES,
)
