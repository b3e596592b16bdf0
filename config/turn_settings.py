"""Settings of one turn: prompt, attachments, concurrency, journal, delivery, logs, and one channel's overrides."""

from __future__ import annotations

from datetime import UTC, tzinfo
from importlib import resources
from pathlib import Path
from typing import Self
from zoneinfo import ZoneInfo

from typing_extensions import override

from config.declarations import SettingsGroup, setting
from config.journal_address import FILE_SCHEME, JournalAddress
from config.types import Choice, Count, Duration, Names, Seconds, TextFile, Zone

SHIPPED = Path(str(resources.files("config")))

# The journal's default address: beside the working folder's other files, easy to find.
USUAL_JOURNAL = f"{FILE_SCHEME}tickertape.db"


class ReasoningDisplay(Choice):
    """What readers see of a model's reasoning before its answer begins. Reasoning is never part of an answer."""

    HIDDEN = "hidden"
    LINE = "line"


class LogLevel(Choice):
    """The least severe level that is logged."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"

    @override
    @classmethod
    def aliases(cls) -> dict[str, Self]:
        return {"warn": cls("warning")}


class LogFormat(Choice):
    """Format of a log line."""

    TEXT = "text"
    JSON = "json"


class ConversationSettings(SettingsGroup):
    """The prompt: system prompt, history and question."""

    history_messages: int = setting(
        "TICKERTAPE_HISTORY_MESSAGES",
        "Most recent messages in the prompt.",
        default=25,
        note="About two screens of text; older messages usually have another subject.",
        toml_only=True,
        ge=0,
        le=199,
    )
    history_characters: int = setting(
        "TICKERTAPE_HISTORY_CHARACTERS",
        "Characters of these messages.",
        default=24_000,
        note="About 6,000 tokens: history and answer fit the 8,192 of a small local model.",
        toml_only=True,
        ge=0,
        le=10_000_000,
    )
    question_characters: Count = setting(
        "TICKERTAPE_QUESTION_CHARACTERS",
        "Characters of a question; a longer one is cut, and its author notified.",
        default=32_000,
        note="About 8,000 tokens: longer than anything typed, shorter than a pasted log.",
        toml_only=True,
    )
    system_prompt: str = setting(
        "TICKERTAPE_SYSTEM_PROMPT",
        "System prompt; overrides conversation.system_prompt_file.",
        default="",
    )
    system_prompt_file: TextFile = setting(
        "TICKERTAPE_SYSTEM_PROMPT_FILE",
        "Text file with the system prompt.",
        default=SHIPPED / "system_prompt.md",
        note="The bot fills in {date}, {time}, {timezone} and {platform}.",
        toml_only=True,
    )
    timezone: Zone = setting(
        "TICKERTAPE_TIMEZONE", "Time zone of the date and time in the system prompt.", default="UTC"
    )

    def zone(self) -> tzinfo:
        """Return the time zone; UTC works without a time zone database, missing from slim containers."""
        return UTC if self.timezone == "UTC" else ZoneInfo(self.timezone)

    def prompt(self) -> str:
        """Return the system prompt with its placeholders unfilled."""
        return self.system_prompt or self.system_prompt_file.read_text(encoding="utf-8")


class AttachmentSettings(SettingsGroup):
    """Limits of attachments. The bot leaves larger ones out and notifies the reader."""

    count: int = setting(
        "TICKERTAPE_ATTACHMENTS",
        "Attachments read from one message.",
        default=10,
        note="Discord and Slack allow as many at once.",
        toml_only=True,
        ge=0,
        le=100,
    )
    bytes: Count = setting(
        "TICKERTAPE_ATTACHMENT_BYTES",
        "Size of one attachment, in bytes.",
        default=10_000_000,
        note="Discord's limit for users without a subscription; hosted models accept up to 20 MB.",
        toml_only=True,
    )
    pixels: Count = setting(
        "TICKERTAPE_ATTACHMENT_PIXELS",
        "Size of one image, in pixels.",
        default=25_000_000,
        note="A phone camera has 12 million pixels; decoding takes 4 bytes per pixel.",
        toml_only=True,
    )
    text_characters: Count = setting(
        "TICKERTAPE_ATTACHMENT_CHARACTERS",
        "Length of one text file, in characters.",
        default=100_000,
        note="About 25,000 tokens; more would displace the conversation.",
        toml_only=True,
    )
    seconds: Seconds = setting(
        "TICKERTAPE_ATTACHMENT_SECONDS",
        "Longest download of one attachment, in seconds.",
        default=20.0,
        note="10 MB at 4 Mbit/s. The reader waits for it before the first word.",
        toml_only=True,
    )


class TurnSettings(SettingsGroup):
    """Concurrency of turns, and their end at shutdown."""

    max_queued_per_conversation: Count = setting(
        "TICKERTAPE_MAX_QUEUED_PER_CONVERSATION",
        "Questions queued in one conversation during an answer.",
        default=5,
        note="Three questions typed in a row all get answers; a script's fifty do not.",
        toml_only=True,
        renamed_from=("TICKERTAPE_QUEUE", "queue"),
    )
    max_concurrent_turns: Count = setting(
        "TICKERTAPE_MAX_CONCURRENT_TURNS",
        "Answers in progress at once, over all conversations; more wait.",
        default=200,
        note="Each takes tens of kilobytes and one connection to the model server.",
        renamed_from=("TICKERTAPE_LIVE", "live"),
    )
    live_per_user: int = setting(
        "TICKERTAPE_LIVE_PER_USER",
        "Of these, for one user. 0: all but a twentieth.",
        default=0,
        note="One user alone may use nearly all, and a second user still finds a free place.",
        ge=0,
        le=1_000_000,
    )
    live_per_channel: int = setting(
        "TICKERTAPE_LIVE_PER_CHANNEL",
        "Of these, in one channel. 0: all but a twentieth.",
        default=0,
        ge=0,
        le=1_000_000,
    )
    edit_seconds: Duration = setting(
        "TICKERTAPE_EDIT_SECONDS",
        "Age in seconds up to which an edited question is answered again. 0: never.",
        default=300.0,
        note="People mend a question at once; an old one is edited for the record. A running answer always follows.",
        ge=0,
        le=2_592_000,
    )
    drain_seconds: Duration = setting(
        "TICKERTAPE_DRAIN_SECONDS",
        "Time to finish answers after SIGTERM, in seconds.",
        default=20.0,
        note="Hosts send SIGKILL 25 to 30 seconds after SIGTERM.",
        ge=0,
        le=3_600,
    )


class JournalSettings(SettingsGroup):
    """The journal of turns, read after a restart to finish interrupted answers."""

    url: JournalAddress = setting(
        "JOURNAL_URL",
        "SQLite file (sqlite:///name.db), postgresql://..., or memory: for none.",
        default="",
        note=f"Empty: {USUAL_JOURNAL} in the working directory if Slack or Discord runs, else memory. "
        "PostgreSQL (postgresql://user:password@host:5432/database) needs `pip install 'tickertape[postgres]'` and "
        "`tickertape migrate`.",
    )
    days: int = setting(
        "TICKERTAPE_JOURNAL_DAYS",
        "Days to remember ended turns, without their text.",
        default=7,
        note="Platforms redeliver events within minutes; a week covers a weekend's incident.",
        toml_only=True,
        ge=1,
        le=3_650,
    )
    recovery_max_age_seconds: Duration = setting(
        "TICKERTAPE_RECOVERY_MAX_AGE_SECONDS",
        "Age up to which an interrupted answer is completed; an older one is only marked.",
        default=86_400.0,
        note="After a day nobody waits for the answer.",
        toml_only=True,
        ge=0,
        le=2_592_000,
        renamed_from=("TICKERTAPE_REPAIR_SECONDS", "repair_seconds"),
    )
    lease_seconds: Duration = setting(
        "TICKERTAPE_LEASE_SECONDS",
        "Silence after which other processes on the same database take over a process's answers.",
        default=5.0,
        note="Writes stop after 0.6 of it without the database. Less takes over sooner, but a busy machine or a slow "
        "database counts as dead. All processes need the same value.",
        toml_only=True,
        ge=2,
        le=60,
    )


class WritingSettings(SettingsGroup):
    """Delivery: posts and edits, their limits and retries."""

    first_post_delay: Seconds = setting(
        "TICKERTAPE_FIRST_POST_DELAY",
        "Delay between the first text and the first post, in seconds.",
        default=0.2,
        note="Collects a few words for the notification; a tiny answer takes one write.",
        toml_only=True,
        renamed_from=("TICKERTAPE_FIRST_WRITE_SECONDS", "first_seconds"),
    )
    rollover_after_seconds: Seconds = setting(
        "TICKERTAPE_ROLLOVER_AFTER_SECONDS",
        "Longest wait of text for an edit before the answer continues in a new message.",
        default=9.0,
        note="Longer than many answers take, so few are split; a longer pause looks broken.",
        toml_only=True,
        renamed_from=("TICKERTAPE_GO_ON_SECONDS", "go_on_seconds"),
    )
    reasoning: ReasoningDisplay = setting(
        "TICKERTAPE_REASONING",
        "The model's reasoning before its answer: hidden or line.",
        default=ReasoningDisplay.HIDDEN,
        note="line shows the current thought in one line of small print.",
    )
    max_messages: int = setting(
        "TICKERTAPE_MAX_MESSAGES",
        "Messages of one answer; the rest becomes a file. 0: no limit.",
        default=20,
        note="About 38,000 characters on Discord; a longer text reads better as a file.",
        ge=0,
        le=1_000,
    )
    max_characters: int = setting(
        "TICKERTAPE_MAX_CHARACTERS",
        "Characters of one answer; a longer one is cut.",
        default=1_000_000,
        note="A novel's length; a model beyond it does not end.",
        toml_only=True,
        ge=1,
        le=10_000_000,
    )
    write_timeout: Seconds = setting(
        "TICKERTAPE_WRITE_TIMEOUT",
        "Longest duration of one post or edit, in seconds.",
        default=10.0,
        note="Platforms answer within two seconds; a later answer is probably lost.",
        toml_only=True,
        renamed_from=("TICKERTAPE_WRITE_SECONDS", "write_seconds"),
    )
    max_failures: Count = setting(
        "TICKERTAPE_MAX_WRITE_FAILURES",
        "Failed writes in a row before the bot gives a reply up.",
        default=40,
        note="With these delays about four minutes, longer than a gateway outage.",
        toml_only=True,
        renamed_from=("TICKERTAPE_WRITE_FAILURES", "failures"),
    )
    backoff_seconds: Seconds = setting(
        "TICKERTAPE_WRITE_BACKOFF_SECONDS",
        "Upper bound of the delay after the first failed write; doubles.",
        default=0.5,
        toml_only=True,
    )
    backoff_limit_seconds: Seconds = setting(
        "TICKERTAPE_WRITE_BACKOFF_LIMIT_SECONDS",
        "Upper bound of every delay after a failed write.",
        default=8.0,
        note="A reader is waiting for the rest.",
        toml_only=True,
    )


class LogSettings(SettingsGroup):
    """Logs on standard error."""

    level: LogLevel = setting("TICKERTAPE_LOG_LEVEL", "debug, info, warning or error.", default=LogLevel.INFO)
    format: LogFormat = setting(
        "TICKERTAPE_LOG_FORMAT", "text (key=value) or json (for log collectors).", default=LogFormat.TEXT
    )


class ChannelSettings(SettingsGroup):
    """Overrides for one channel, thread or category by its id: ``[channels."C0123ABCD"]``."""

    model: str = setting("", "Model for this channel.", default="")
    system_prompt: str = setting("", "System prompt for this channel.", default="")
    answer: bool = setting("", "Whether the bot answers here.", default=True)
    allow_users: Names = setting("", "Answer only these users here.", default=frozenset())
