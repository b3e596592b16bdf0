"""Settings of Discord, Slack, the HTTP server with its playground, and access."""

from __future__ import annotations

from typing import Annotated, Any, Self

from pydantic import AfterValidator
from typing_extensions import override

from config.declarations import SettingsGroup, setting
from config.types import (
    Choice,
    Count,
    Host,
    HostNames,
    Names,
    PublicAddress,
    Seconds,
    Secret,
    SecretKeys,
    Shards,
    SlashedAddress,
    SocketAddress,
    Switch,
    Table,
    WebAddress,
    must_be,
)


class SlackEdits(Choice):
    """How Slack counts edits. It publishes 50 a minute, but not whether bursts are allowed."""

    WINDOW = "window"
    LEAK = "leak"
    AUTO = "auto"


class SlackStreams(Choice):
    """Where answers are written as Slack's native streams."""

    AUTO = "auto"
    OFF = "off"
    ALWAYS = "always"

    @override
    @classmethod
    def aliases(cls) -> dict[str, Self]:
        off, always = cls("off"), cls("always")
        on = dict.fromkeys(("on", "true", "yes", "1"), always)
        return {**on, **dict.fromkeys(("false", "no", "never", "0"), off)}


class SlackEvents(Choice):
    """How Slack's events arrive."""

    AUTO = "auto"
    SOCKET = "socket"
    HTTP = "http"


class DiscordSettings(SettingsGroup):
    """Discord: runs if its token is set."""

    token: Secret | None = setting(
        "DISCORD_TOKEN",
        "Bot token from https://discord.com/developers/applications.",
        default=None,
        note="Open your application, then Bot, Reset Token.",
    )
    api_url: WebAddress = setting(
        "DISCORD_API_URL", "API address of a proxy; ends in /api/v10. Empty: Discord.", default=""
    )
    gateway_url: SocketAddress = setting("DISCORD_GATEWAY_URL", "Gateway address. Empty: ask the API.", default="")
    auto_thread: bool = setting(
        "TICKERTAPE_DISCORD_AUTO_THREAD",
        "Whether a question by mention opens a thread for its answer.",
        default=False,
        note="The bot needs the permission to create public threads; without it, it answers in the channel.",
        toml_only=True,
    )
    forums: Names = setting(
        "TICKERTAPE_DISCORD_FORUMS",
        "Ids of forums where each new post is a question.",
        default=frozenset(),
        note="In other forums, a post asks if it mentions the bot.",
        toml_only=True,
    )
    shards: Shards = setting(
        "TICKERTAPE_DISCORD_SHARDS",
        "Gateway connections, each for a part of the servers; auto: as many as Discord recommends.",
        default=1,
        note="One connection serves up to 2,500 servers and starts without a question to Discord. With several "
        "processes on PostgreSQL, each takes a part of the connections.",
        toml_only=True,
    )
    per_second: Count = setting(
        "TICKERTAPE_DISCORD_PER_SECOND",
        "Requests of the bot in any second, in all processes.",
        default=45,
        note="Discord permits 50, and more to large bots on request. The rest is for logins and searches.",
        toml_only=True,
        le=10_000,
    )

    @property
    def runs(self) -> bool:
        """Whether the platform is configured."""
        return self.token is not None


# Suggested prompts of a Slack app (https://docs.slack.dev/reference/methods/assistant.threads.setSuggestedPrompts).
MOST_PROMPTS = 4


def _prompts(value: dict[str, Any]) -> dict[str, str]:
    """Check that each title has a message."""
    texts = [*value, *value.values()]
    if len(value) > MOST_PROMPTS or not all(isinstance(text, str) and text.strip() for text in texts):
        raise must_be(f'a table of at most {MOST_PROMPTS} titles with a message each: "Draft a reply" = "Draft ..."')
    return {title.strip(): message.strip() for title, message in value.items()}


class SlackSettings(SettingsGroup):
    """Slack: runs if its bot token is set, with the app token (Socket Mode) or the signing secret (HTTP).

    With a client id, each workspace has a bot token of its own instead.
    """

    bot_token: Secret | None = setting(
        "SLACK_BOT_TOKEN",
        "Bot token (xoxb-...) from https://api.slack.com/apps.",
        default=None,
        note="Open your app, then Install App, Bot User OAuth Token.",
    )
    app_token: Secret | None = setting(
        "SLACK_APP_TOKEN",
        "App-level token (xapp-...) with the scope connections:write.",
        default=None,
        note="Open your app, then Basic Information, App-Level Tokens.",
    )
    signing_secret: Secret | None = setting(
        "SLACK_SIGNING_SECRET",
        "Signing secret of the app, for events over HTTP at /slack/events.",
        default=None,
        note="Open your app, then Basic Information, App Credentials. It replaces the app-level token.",
    )
    client_id: str = setting(
        "SLACK_CLIENT_ID",
        "Client id of the app, for many workspaces by OAuth.",
        default="",
        note="Open your app, then Basic Information, App Credentials. It replaces the bot token, and needs PostgreSQL "
        "and events over HTTP.",
    )
    client_secret: Secret | None = setting(
        "SLACK_CLIENT_SECRET",
        "Client secret of the app, beside the client id.",
        default=None,
        note="Open your app, then Basic Information, App Credentials.",
    )
    secrets: SecretKeys | None = setting(
        "TICKERTAPE_SECRETS",
        "Keys that encrypt tokens in the database, newest first.",
        default=None,
        note="Make one by: openssl rand -base64 32 | tr +/ -_. Keep it apart from backups of the database.",
    )
    events: SlackEvents = setting(
        "TICKERTAPE_SLACK_EVENTS",
        "How Slack's events arrive: auto, socket or http.",
        default=SlackEvents.AUTO,
        note="socket: Socket Mode, without a public address. http: Slack's requests to /slack/events. auto: http if "
        "the signing secret is set and the app-level token is not, else socket.",
    )
    api_url: SlashedAddress = setting(
        "SLACK_API_URL", "Web API address of a proxy; ends in /api/. Empty: Slack.", default=""
    )
    edits: SlackEdits = setting(
        "TICKERTAPE_SLACK_EDITS",
        "How Slack counts edits: window, leak or auto.",
        default=SlackEdits.AUTO,
        note="window: 50 in any minute, in bursts. leak: one each 1.2 s, 5 at once. auto: window until Slack answers "
        "429, then leak. Bursts read better.",
    )
    edits_leak_seconds: Seconds = setting(
        "TICKERTAPE_SLACK_EDITS_LEAK_SECONDS",
        "With auto, how long edits follow leak after a 429.",
        default=3600.0,
        note="One 429 an hour goes unnoticed, and a wrong guess ends within the hour.",
        toml_only=True,
        renamed_from=("TICKERTAPE_SLACK_EDITS_LATCH_SECONDS", "edits_latch_seconds"),
    )
    streams: SlackStreams = setting(
        "TICKERTAPE_SLACK_STREAMS",
        "Where answers are native streams: auto, off or always.",
        default=SlackStreams.AUTO,
        note="auto: threads of direct messages, and the agent view. always: every thread, channels too; there only the "
        "asker sees the text grow.",
    )
    suggested_prompts: Annotated[Table, AfterValidator(_prompts)] = setting(
        "",
        "Prompts offered in direct messages: at most four titles with a message each.",
        default={},
        note="Empty: those of the app's manifest.",
        toml_only=True,
    )

    @property
    def runs(self) -> bool:
        """Whether the platform is configured."""
        has_tokens = self.bot_token is not None or self.uses_oauth
        return has_tokens and (self.signing_secret if self.over_http else self.app_token) is not None

    @property
    def uses_oauth(self) -> bool:
        """Whether workspaces install the app by OAuth."""
        return bool(self.client_id) and self.client_secret is not None

    @property
    def over_http(self) -> bool:
        """Whether events arrive over HTTP, not through a socket."""
        if self.events is SlackEvents.AUTO:
            return self.signing_secret is not None and self.app_token is None
        return self.events is SlackEvents.HTTP


class SiteSettings(SettingsGroup):
    """The bot's HTTP server: health, metrics and the playground."""

    port: int = setting("PORT", "Port to listen on; 0 picks a free one.", default=8080, ge=0, le=65_535)
    host: Host = setting(
        "TICKERTAPE_HOST",
        "Address to listen on; 0.0.0.0 accepts other machines.",
        default="127.0.0.1",
        note="By default this machine only: metrics and the playground are not public.",
    )
    public_url: PublicAddress = setting(
        "TICKERTAPE_PUBLIC_URL",
        "The bot's public https address, for many Slack workspaces.",
        default="",
        note="A proxy leads it to the bot: /slack/install, /slack/oauth_redirect and /slack/events.",
    )
    playground: Switch = setting(
        "TICKERTAPE_PLAYGROUND",
        "The page to chat in: auto, on or off.",
        default=Switch.AUTO,
        note="auto serves it if no platform is set and only this machine can reach it.",
    )
    allowed_hosts: HostNames = setting(
        "TICKERTAPE_ALLOWED_HOSTS",
        "Host names or IP addresses of the page, besides localhost.",
        default=frozenset(),
        note="Requests for other hosts are refused, so that foreign pages cannot use the model.",
    )
    admin_token: Secret | None = setting(
        "TICKERTAPE_ADMIN_TOKEN",
        "Password of the operator's page at /admin. Empty: no such page.",
        default=None,
        note="Choose a long random text, for example by: openssl rand -hex 32.",
    )


class AccessSettings(SettingsGroup):
    """Access lists of ids, separated by commas. Deny goes before allow; an empty allow list allows everyone."""

    allow_users: Names = setting(
        "TICKERTAPE_ALLOW_USERS",
        "Answer only these users, and members of allowed roles.",
        default=frozenset(),
    )
    deny_users: Names = setting("TICKERTAPE_DENY_USERS", "Never answer these users.", default=frozenset())
    allow_roles: Names = setting(
        "TICKERTAPE_ALLOW_ROLES",
        "Answer only members of these roles or user groups, and allowed users.",
        default=frozenset(),
        toml_only=True,
    )
    deny_roles: Names = setting(
        "TICKERTAPE_DENY_ROLES",
        "Never answer members of these roles or user groups.",
        default=frozenset(),
        toml_only=True,
    )
    allow_channels: Names = setting(
        "TICKERTAPE_ALLOW_CHANNELS", "Answer only in these channels or categories.", default=frozenset()
    )
    deny_channels: Names = setting(
        "TICKERTAPE_DENY_CHANNELS",
        "Never answer in these channels or categories.",
        default=frozenset(),
        toml_only=True,
    )
    allow_workspaces: Names = setting(
        "TICKERTAPE_ALLOW_WORKSPACES",
        "Answer only in these Slack workspaces or Discord servers.",
        default=frozenset(),
        toml_only=True,
    )
    deny_workspaces: Names = setting(
        "TICKERTAPE_DENY_WORKSPACES",
        "Never answer in these Slack workspaces or Discord servers.",
        default=frozenset(),
        toml_only=True,
    )
    admins: Names = setting(
        "TICKERTAPE_ADMINS",
        "Users and roles with an admin's permissions in chat, besides the platform's own admins.",
        default=frozenset(),
        note="Admins change settings for others, see everyone's usage, and ask again for others.",
        toml_only=True,
    )
    direct_messages: bool = setting(
        "TICKERTAPE_DIRECT_MESSAGES", "Whether to answer direct messages.", default=True, toml_only=True
    )
    guests: bool = setting(
        "TICKERTAPE_GUESTS",
        "Whether to answer guests of a Slack workspace.",
        default=False,
        note="Guests may see single channels; the model may know more, and costs money.",
        toml_only=True,
    )
    external: bool = setting(
        "TICKERTAPE_EXTERNAL",
        "Whether to answer people of other organisations (Slack Connect).",
        default=False,
        note="They would ask at your cost.",
        toml_only=True,
    )
