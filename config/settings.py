"""The settings: one frozen model per concern, and `Settings.load`, which is how every program and test gets them.

What belongs here: which settings there are, their names in the environment and in the TOML file, and the order of the
sources (the environment over the TOML file over ``defaults.toml``). What does not: kinds of value (`config.types`),
rules about several settings (`config.validators`), the words of an error (`config.errors`) or of the help
(`config.docs`).

This is the only module that reads the environment, and `environment` is the only function that does.
"""

from __future__ import annotations

import os  # the environment is read in `environment` below, and nowhere else
import tomllib
from collections.abc import Callable, Mapping
from datetime import UTC, tzinfo
from enum import StrEnum
from importlib import resources
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from dotenv import dotenv_values
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, TomlConfigSettingsSource

from config import validators
from config.errors import SettingsError, SettingSources, from_validation, unknown_variables
from config.strings import WordsSettings
from config.types import (
    FILE_SCHEME,
    Count,
    Host,
    HostNames,
    JournalAddress,
    Names,
    Seconds,
    Secret,
    SettingsGroup,
    SlashedAddress,
    SocketAddress,
    Table,
    TextFile,
    WebAddress,
    Zone,
    is_loopback,
    setting,
)

SHIPPED = Path(str(resources.files("config")))
DEFAULTS = SHIPPED / "defaults.toml"
USUAL_FILE = Path("config") / "tickertape.toml"  # read where it exists and TICKERTAPE_CONFIG names no other

# Where turns are written down unless JOURNAL_URL says otherwise: beside what was started, and easily found there.
USUAL_JOURNAL = f"{FILE_SCHEME}tickertape.db"

# OpenAI's own host, and the last part of its regional ones.
OPENAI_HOST = "api.openai.com"

# Tables of the TOML file that have no variables: they are too many, or have names of the operator's.
ONLY_IN_FILE = frozenset({"channels", "words"})

# Set by people, read by something else than `Settings`: not misspelt.
OTHER_VARIABLES = frozenset({"TICKERTAPE_CONFIG", "TICKERTAPE_REQUIRE_CHROMIUM"})


class Api(StrEnum):
    """Which of OpenAI's interfaces the model's server is asked by."""

    CHAT = "chat"
    RESPONSES = "responses"


class Switch(StrEnum):
    """A part that runs by itself where it makes sense, or always, or never."""

    AUTO = "auto"
    ON = "on"
    OFF = "off"


class SlackEdits(StrEnum):
    """How Slack counts edits: it publishes 50 a minute, and not whether they may come in bursts."""

    WINDOW = "window"
    LEAK = "leak"
    AUTO = "auto"


class ReasoningDisplay(StrEnum):
    """What readers see of a model's thinking aloud while its answer has not begun. It is never part of an answer."""

    HIDDEN = "hidden"
    LINE = "line"


class LogLevel(StrEnum):
    """The least severe line that is logged."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class LogFormat(StrEnum):
    """How a log line is written."""

    TEXT = "text"
    JSON = "json"


class ModelSettings(SettingsGroup):
    """The model: any server that speaks OpenAI's protocol."""

    api_key: Secret | None = setting(
        "OPENAI_API_KEY",
        "The key for the model's server (OpenAI's: https://platform.openai.com/api-keys).",
        default=None,
    )
    base_url: WebAddress = setting("OPENAI_BASE_URL", "Where the model's server is; ends in /v1. Empty: OpenAI's own.")
    name: str = setting("OPENAI_MODEL", "The model's name, as its server calls it. Needed with a key or a base URL.")
    api: Api = setting(
        "TICKERTAPE_API", "chat (Chat Completions, which every server has) or responses (OpenAI's newer)."
    )
    parameters: Table = setting(
        "TICKERTAPE_MODEL_PARAMETERS",
        "Sent with each request as it is: temperature, reasoning_effort, ... (a JSON object in the environment).",
    )
    images: bool = setting(
        "TICKERTAPE_IMAGES", "Whether the model takes images; otherwise a reader is told it does not."
    )
    embedded: Switch = setting(
        "TICKERTAPE_EMBEDDED",
        "The tiny demonstration model: auto (where no server is set and only the playground runs), on, off.",
    )

    @property
    def remote(self) -> bool:
        """Whether a server is named."""
        return self.api_key is not None or bool(self.base_url)

    @property
    def loads(self) -> bool:
        """Whether the server may load its model for a question: any but OpenAI's own may."""
        host = urlsplit(self.base_url).hostname or OPENAI_HOST
        return host != OPENAI_HOST and not host.endswith(f".{OPENAI_HOST}")


class CompletionSettings(SettingsGroup):
    """How long a model is waited for, and how often it is asked again."""

    attempts: int = setting("TICKERTAPE_ATTEMPTS", "Streamed attempts, before one without streaming.", ge=0, le=20)
    first_seconds: Seconds | None = setting(
        "TICKERTAPE_FIRST_SECONDS",
        "The longest wait for the first chunk. Empty: 60; the first attempt at a server that is not OpenAI's may take"
        " 180, since it may be loading its model.",
        default=None,
    )
    absence_seconds: Seconds = setting(
        "TICKERTAPE_ABSENCE_SECONDS", "How long a model's server that is not there, or not ready, is waited for."
    )
    stall_seconds: Seconds = setting(
        "TICKERTAPE_STALL_SECONDS", "The longest silence between two chunks; a comment or an empty chunk breaks it."
    )
    quiet_seconds: Seconds = setting(
        "TICKERTAPE_QUIET_SECONDS",
        "The longest that chunks may come without any text, before the call without streaming.",
    )
    outage_seconds: Seconds = setting(
        "TICKERTAPE_OUTAGE_SECONDS", "The same while the platform cannot be reached either: the network is down."
    )
    answer_seconds: Seconds = setting(
        "TICKERTAPE_ANSWER_SECONDS", "The longest that all streamed attempts may take together, from the first text on."
    )
    whole_seconds: Seconds = setting("TICKERTAPE_WHOLE_SECONDS", "The longest wait for the call without streaming.")
    backoff_seconds: Seconds = setting(
        "TICKERTAPE_BACKOFF_SECONDS", "The longest first pause; doubles at each attempt."
    )
    backoff_limit_seconds: Seconds = setting("TICKERTAPE_BACKOFF_LIMIT_SECONDS", "What the pauses never exceed.")
    retry_after_limit_seconds: Seconds = setting(
        "TICKERTAPE_RETRY_AFTER_LIMIT_SECONDS", "The longest pause that a server may order before we give up instead."
    )


class DiscordSettings(SettingsGroup):
    """Discord: runs when its token is there."""

    token: Secret | None = setting(
        "DISCORD_TOKEN",
        "The bot's token (https://discord.com/developers/applications: your application, Bot, Reset Token).",
        default=None,
    )
    api_url: WebAddress = setting(
        "DISCORD_API_URL", "Where Discord's API is, ends in /api/v10: a proxy, a test server. Empty: Discord's own."
    )
    gateway_url: SocketAddress = setting(
        "DISCORD_GATEWAY_URL", "Where Discord's gateway is. Empty: where the API says."
    )

    @property
    def runs(self) -> bool:
        """Whether the platform is configured."""
        return self.token is not None


class SlackSettings(SettingsGroup):
    """Slack: runs when both of its tokens are there."""

    bot_token: Secret | None = setting(
        "SLACK_BOT_TOKEN",
        "Starts with xoxb- (https://api.slack.com/apps: your app, Install App, Bot User OAuth Token).",
        default=None,
    )
    app_token: Secret | None = setting(
        "SLACK_APP_TOKEN",
        "Starts with xapp- (your app, Basic Information, App-Level Tokens, with the scope connections:write).",
        default=None,
    )
    signing_secret: Secret | None = setting(
        "SLACK_SIGNING_SECRET", "For events over HTTP, which a later version brings; not used yet.", default=None
    )
    api_url: SlashedAddress = setting(
        "SLACK_API_URL", "Where Slack's Web API is, ends in /api/: a proxy, a test server. Empty: Slack's own."
    )
    edits: SlackEdits = setting(
        "TICKERTAPE_SLACK_EDITS",
        "How Slack counts edits: window (50 in any minute, in bursts), leak (one each 1.2 s, 5 at once), or auto "
        "(a window, until Slack says no).",
    )
    edits_latch_seconds: Seconds = setting(
        "TICKERTAPE_SLACK_EDITS_LATCH_SECONDS", "With auto, how long Slack's no is remembered."
    )

    @property
    def runs(self) -> bool:
        """Whether the platform is configured."""
        return self.bot_token is not None and self.app_token is not None


class SiteSettings(SettingsGroup):
    """The bot's own web server: health, metrics and the playground."""

    port: int = setting("PORT", "The port to listen on; 0 takes a free one.", ge=0, le=65_535)
    host: Host = setting(
        "TICKERTAPE_HOST", "The address to listen on: 127.0.0.1 is for this machine only, 0.0.0.0 for all."
    )
    playground: Switch = setting(
        "TICKERTAPE_PLAYGROUND",
        "The page to chat in: auto (where no platform is set and nobody else can reach it), on, off.",
    )
    allowed_hosts: HostNames = setting(
        "TICKERTAPE_ALLOWED_HOSTS", "Names or IP addresses by which browsers may reach the page, besides localhost."
    )


class AccessSettings(SettingsGroup):
    """Who is answered: ids, comma separated in the environment. Deny goes before allow; an empty allow list is all."""

    allow_users: Names = setting(
        "TICKERTAPE_ALLOW_USERS", "Only these users are answered (or members of an allowed role)."
    )
    deny_users: Names = setting("TICKERTAPE_DENY_USERS", "These users are not answered.")
    allow_roles: Names = setting(
        "TICKERTAPE_ALLOW_ROLES", "Only members of these roles or groups are answered (or allowed users)."
    )
    deny_roles: Names = setting("TICKERTAPE_DENY_ROLES", "Members of these roles or groups are not answered.")
    allow_channels: Names = setting(
        "TICKERTAPE_ALLOW_CHANNELS", "Only in these channels or categories are answers given."
    )
    deny_channels: Names = setting("TICKERTAPE_DENY_CHANNELS", "In these channels or categories no answer is given.")
    allow_workspaces: Names = setting(
        "TICKERTAPE_ALLOW_WORKSPACES", "Only in these Slack workspaces or Discord servers."
    )
    deny_workspaces: Names = setting("TICKERTAPE_DENY_WORKSPACES", "Not in these Slack workspaces or Discord servers.")
    direct_messages: bool = setting("TICKERTAPE_DIRECT_MESSAGES", "Whether direct messages are answered.")
    guests: bool = setting("TICKERTAPE_GUESTS", "Whether guests of a Slack workspace are answered.")
    external: bool = setting("TICKERTAPE_EXTERNAL", "Whether people of other organisations are (Slack Connect).")


class ConversationSettings(SettingsGroup):
    """What a model is given with a question."""

    history_messages: int = setting("TICKERTAPE_HISTORY_MESSAGES", "The newest messages it is given.", ge=0, le=199)
    history_characters: int = setting(
        "TICKERTAPE_HISTORY_CHARACTERS", "... and the most characters of them.", ge=0, le=10_000_000
    )
    question_characters: Count = setting(
        "TICKERTAPE_QUESTION_CHARACTERS", "A longer question is cut, and its author told."
    )
    system_prompt: str = setting("TICKERTAPE_SYSTEM_PROMPT", "The system prompt itself; wins over the file.")
    system_prompt_file: TextFile = setting(
        "TICKERTAPE_SYSTEM_PROMPT_FILE",
        "A text file with the system prompt; {date}, {time}, {timezone} and {platform} are filled in.",
        default=SHIPPED / "system_prompt.md",
    )
    timezone: Zone = setting("TICKERTAPE_TIMEZONE", "The time zone of the date and time that the model is told.")

    def zone(self) -> tzinfo:
        """The time zone; UTC even where the machine has no time zone database, as slim containers have none."""
        return UTC if self.timezone == "UTC" else ZoneInfo(self.timezone)

    def prompt(self) -> str:
        """The system prompt, with its placeholders still in it."""
        return self.system_prompt or self.system_prompt_file.read_text(encoding="utf-8")


class AttachmentSettings(SettingsGroup):
    """What people may attach; beyond it, an attachment is left out and the reader is told so."""

    count: int = setting("TICKERTAPE_ATTACHMENTS", "Attachments of one message that are looked at.", ge=0, le=100)
    bytes: Count = setting("TICKERTAPE_ATTACHMENT_BYTES", "The size of one attachment, in bytes.")
    pixels: Count = setting("TICKERTAPE_ATTACHMENT_PIXELS", "The size of one image, in pixels.")
    text_characters: Count = setting("TICKERTAPE_ATTACHMENT_CHARACTERS", "The length of one text file, in characters.")
    seconds: Seconds = setting("TICKERTAPE_ATTACHMENT_SECONDS", "The longest that one may take to download.")


class TurnSettings(SettingsGroup):
    """How many questions are taken in at once."""

    queue: Count = setting("TICKERTAPE_QUEUE", "Questions that may wait in one conversation, while one is answered.")
    live: Count = setting("TICKERTAPE_LIVE", "Questions answered at once, in all conversations together; more wait.")
    live_per_user: int = setting(
        "TICKERTAPE_LIVE_PER_USER",
        "Of these for one person; 0 leaves a twentieth to others. More wait their turn.",
        ge=0,
        le=1_000_000,
    )
    live_per_channel: int = setting("TICKERTAPE_LIVE_PER_CHANNEL", "... and in one channel.", ge=0, le=1_000_000)
    drain_seconds: float = setting(
        "TICKERTAPE_DRAIN_SECONDS",
        "What live answers get to finish in when the bot is told to stop.",
        ge=0,
        le=3_600,
    )


class JournalSettings(SettingsGroup):
    """Where turns are written down, so that another start finds and finishes what was left unfinished."""

    url: JournalAddress = setting(
        "JOURNAL_URL",
        f"A file of SQLite's, or memory: for none. Empty: {USUAL_JOURNAL} in the working folder where Slack or Discord "
        "runs, else memory.",
    )
    days: int = setting(
        "TICKERTAPE_JOURNAL_DAYS",
        "How long ended turns are remembered (never their text).",
        ge=1,
        le=3_650,
    )
    repair_seconds: float = setting(
        "TICKERTAPE_REPAIR_SECONDS",
        "How old a question may be whose unfinished answer is gone on with; a later one is only marked.",
        ge=0,
        le=2_592_000,
    )


class WritingSettings(SettingsGroup):
    """How answers are written to a platform, and failed writes made again."""

    first_seconds: Seconds = setting(
        "TICKERTAPE_FIRST_WRITE_SECONDS", "From the model's first words to the first post, so that it says something."
    )
    go_on_seconds: Seconds = setting(
        "TICKERTAPE_GO_ON_SECONDS", "The longest that text waits for an edit, before it goes on in a new message."
    )
    reasoning: ReasoningDisplay = setting(
        "TICKERTAPE_REASONING",
        "What readers see while a model thinks and its answer has not begun: hidden (nothing), or line (one line of "
        "small print with its present thought).",
    )
    max_messages: int = setting(
        "TICKERTAPE_MAX_MESSAGES",
        "Messages of one answer; the rest goes up as a file where that can be done. 0: any number.",
        ge=0,
        le=1_000,
    )
    max_characters: int = setting(
        "TICKERTAPE_MAX_CHARACTERS",
        "Characters of one answer; a model that sends more is cut off there.",
        ge=1,
        le=10_000_000,
    )
    write_seconds: Seconds = setting("TICKERTAPE_WRITE_SECONDS", "The longest that one post or edit may take.")
    failures: Count = setting("TICKERTAPE_WRITE_FAILURES", "Failed writes in a row after which a reply is given up.")
    backoff_seconds: Seconds = setting(
        "TICKERTAPE_WRITE_BACKOFF_SECONDS", "The pause after the first of them; doubles."
    )
    backoff_limit_seconds: Seconds = setting("TICKERTAPE_WRITE_BACKOFF_LIMIT_SECONDS", "What the pauses never exceed.")


class LogSettings(SettingsGroup):
    """What the program says about itself, on standard error."""

    level: LogLevel = setting("TICKERTAPE_LOG_LEVEL", "debug, info, warning or error.")
    format: LogFormat = setting(
        "TICKERTAPE_LOG_FORMAT", "text (key=value, for people and grep) or json (for collectors)."
    )


class ChannelSettings(SettingsGroup):
    """One channel's own choices, by its id or a thread's or a category's: ``[channels."C0123ABCD"]``."""

    model: str = setting("", "The model that answers here.", default="")
    system_prompt: str = setting("", "The system prompt here.", default="")
    answer: bool = setting("", "Whether there are answers here at all.", default=True)
    allow_users: Names = setting("", "Only these users are answered here.", default=frozenset())


class Settings(BaseSettings):
    """All that an operator decides. Get one with `load`."""

    model_config = SettingsConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    model: ModelSettings
    completion: CompletionSettings
    discord: DiscordSettings
    slack: SlackSettings
    site: SiteSettings
    access: AccessSettings
    conversation: ConversationSettings
    attachments: AttachmentSettings
    turns: TurnSettings
    journal: JournalSettings
    writing: WritingSettings
    logs: LogSettings
    words: WordsSettings = WordsSettings()
    channels: dict[str, ChannelSettings] = {}

    @classmethod
    def load(cls, environ: Mapping[str, str], *, folder: Path = Path()) -> Settings:
        """Read the settings: `environ` over the TOML file over the shipped defaults.

        `environ` is what the operating system's environment says (`environment()`), `folder` where ``config/`` is
        looked for, the working directory. Raises `SettingsError` with one line for each problem.
        """
        variables = {name: text.strip() for name, text in environ.items() if text.strip()}
        file = _settings_file(variables, folder)
        if lines := unknown_variables(variables, known=frozenset(variable_names()) | OTHER_VARIABLES):
            raise SettingsError(lines)
        toml = _read(file) if file else {}
        sources = SettingSources(variables=variable_names(), given=frozenset(variables), file=file, toml=toml)
        try:
            settings = _sourced(cls, variables, file)()
        except ValidationError as error:
            # `from None`: the validation error would bring the values along into a traceback.
            raise SettingsError(from_validation(error, sources, _groups())) from None
        if lines := validators.violations(settings, sources):
            raise SettingsError(lines)
        return settings

    @property
    def platforms(self) -> tuple[str, ...]:
        """The names of the platforms that run, the playground among them."""
        running = {"discord": self.discord.runs, "slack": self.slack.runs, "playground": self.playground_runs}
        return tuple(name for name, runs in running.items() if runs)

    @property
    def playground_runs(self) -> bool:
        """Whether the page is served. By itself only where nobody else can reach it: it would spend the owner's key."""
        if self.site.playground is not Switch.AUTO:
            return self.site.playground is Switch.ON
        return not (self.discord.runs or self.slack.runs) and is_loopback(self.site.host)

    @property
    def embedded_runs(self) -> bool:
        """Whether the demonstration model answers.

        By itself only in the playground: in a company's channel, a missing key is a mistake to be told, not a reason to
        let a toy answer.
        """
        if self.model.embedded is not Switch.AUTO:
            return self.model.embedded is Switch.ON
        return not self.model.remote and not (self.discord.runs or self.slack.runs)

    @property
    def journal_file(self) -> Path | None:
        """The file in which turns are written down; None where memory has to do."""
        asked = self.discord.runs or self.slack.runs
        url = self.journal.url or (USUAL_JOURNAL if asked else "")
        return Path(url.removeprefix(FILE_SCHEME)) if url.startswith(FILE_SCHEME) else None

    def secrets(self) -> frozenset[str]:
        """Every secret's text, for the log to mask."""
        found = (
            self.model.api_key,
            self.discord.token,
            self.slack.bot_token,
            self.slack.app_token,
            self.slack.signing_secret,
        )
        return frozenset(secret.get_secret_value() for secret in found if secret is not None)


def environment(folder: Path = Path()) -> dict[str, str]:
    """What the operating system's environment says, over a ``.env`` file in `folder` where there is one.

    Raises `SettingsError` where that file cannot be read.
    """
    file = folder / ".env"
    try:
        beside = dotenv_values(file, interpolate=False)
    except OSError as error:
        raise SettingsError([f"{file} cannot be read: {error.strerror}"]) from None
    except UnicodeDecodeError:
        raise SettingsError([f"{file} is not a text file in UTF-8"]) from None
    return {name: text for name, text in beside.items() if text is not None} | dict(os.environ)  # noqa: TID251 (this is the one place that reads it)


def fields() -> dict[tuple[str, str], FieldInfo]:
    """Every setting that the environment can set, by its path in the TOML file: (``completion``, ``attempts``)."""
    return {
        (group, name): field
        for group, model in _groups().items()
        if group not in ONLY_IN_FILE
        for name, field in model.model_fields.items()
    }


def variable_of(field: FieldInfo) -> str:
    """The environment variable of a setting; empty where it has none."""
    extra = field.json_schema_extra
    return str(extra["variable"]) if isinstance(extra, dict) else ""


def variable_names() -> dict[str, tuple[str, str]]:
    """Every environment variable that sets something, and the path of what it sets."""
    return {variable_of(field): path for path, field in fields().items()}


def _groups() -> dict[str, type[BaseModel]]:
    """The concerns by name; under ``channels`` that of a single channel."""
    found = {
        name: field.annotation
        for name, field in Settings.model_fields.items()
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)
    }
    return found | {"channels": ChannelSettings}


def _settings_file(variables: Mapping[str, str], folder: Path) -> Path | None:
    """The TOML file to read: the one that is named, which must exist, or the usual one where it does."""
    if named := variables.get("TICKERTAPE_CONFIG"):
        path = (folder / named).expanduser()
        if not path.is_file():
            raise SettingsError([f"TICKERTAPE_CONFIG names {named}, where there is no file"])
        return path
    usual = folder / USUAL_FILE
    return usual if usual.is_file() else None


def _read(file: Path) -> dict[str, Any]:
    """Read a TOML file."""
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError([f"{file} cannot be read: {error.strerror}"]) from None
    except UnicodeDecodeError:
        raise SettingsError([f"{file} is not a text file in UTF-8"]) from None
    except tomllib.TOMLDecodeError as error:
        raise SettingsError([f"{file} is not valid TOML: {error}"]) from None


class _EnvironmentSource(PydanticBaseSettingsSource):
    """The variables of an environment that is handed in, by our flat names (``OPENAI_MODEL`` is ``model.name``)."""

    def __init__(self, settings_cls: type[BaseSettings], variables: Mapping[str, str]) -> None:
        super().__init__(settings_cls)
        self._variables = variables

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        """Unused: a concern's settings come from many variables, so `__call__` gathers them at once."""
        raise NotImplementedError

    def __call__(self) -> dict[str, Any]:
        """Return the nested values."""
        nested: dict[str, dict[str, str]] = {}
        for variable, (group, name) in variable_names().items():
            if variable in self._variables:
                nested.setdefault(group, {})[name] = self._variables[variable]
        return dict(nested)


def _sourced(base: type[Settings], variables: Mapping[str, str], file: Path | None) -> Callable[[], Settings]:
    """A `Settings` that reads from these sources, the strongest first: pydantic-settings takes them from the class."""

    class Sourced(base):  # type: ignore[valid-type,misc]  # the class is an argument, which mypy cannot follow
        @classmethod
        def settings_customise_sources(
            cls: type[Self], settings_cls: type[BaseSettings], **_usual: PydanticBaseSettingsSource
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            return (
                _EnvironmentSource(settings_cls, variables),
                TomlConfigSettingsSource(settings_cls, file),
                TomlConfigSettingsSource(settings_cls, DEFAULTS),
            )

    Sourced.__name__ = base.__name__  # what its repr calls it
    return Sourced
