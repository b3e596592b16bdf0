"""The settings as one frozen value: `Settings`, with the rules that combine several groups."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import ClassVar, Self

from pydantic import ValidationError
from pydantic_settings import BaseSettings, InitSettingsSource, PydanticBaseSettingsSource, SettingsConfigDict

from config.administration_settings import FeedbackSettings, QuotaSettings, RetentionSettings
from config.control_settings import ControlSettings, PersonaSettings
from config.declarations import declared_in, groups_of
from config.errors import SettingsError, from_validation
from config.journal_address import DATABASE_SCHEME, FILE_SCHEME, passwords_in
from config.listed_models import ListedModelSettings
from config.model_settings import CompletionSettings, ModelSettings
from config.platform_settings import AccessSettings, DiscordSettings, SiteSettings, SlackSettings
from config.sources import SettingSources, read_sources
from config.strings import WordsSettings
from config.tracing import TracingVariables, read_tracing
from config.turn_settings import (
    USUAL_JOURNAL,
    AttachmentSettings,
    ChannelSettings,
    ConversationSettings,
    JournalSettings,
    LogSettings,
    TurnSettings,
    WritingSettings,
)
from config.types import Switch, is_loopback
from config.validators import violations


class FileSettings(BaseSettings):
    """Tables of the TOML file without environment variables."""

    words: WordsSettings = WordsSettings()
    models: tuple[ListedModelSettings, ...] = ()
    personas: tuple[PersonaSettings, ...] = ()
    channels: dict[str, ChannelSettings] = {}


class Settings(FileSettings):
    """Every choice of the operator. Use `load` to get one."""

    model_config = SettingsConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    model: ModelSettings = ModelSettings()
    completion: CompletionSettings = CompletionSettings()
    discord: DiscordSettings = DiscordSettings()
    slack: SlackSettings = SlackSettings()
    site: SiteSettings = SiteSettings()
    access: AccessSettings = AccessSettings()
    conversation: ConversationSettings = ConversationSettings()
    attachments: AttachmentSettings = AttachmentSettings()
    controls: ControlSettings = ControlSettings()
    turns: TurnSettings = TurnSettings()
    journal: JournalSettings = JournalSettings()
    writing: WritingSettings = WritingSettings()
    quotas: QuotaSettings = QuotaSettings()
    feedback: FeedbackSettings = FeedbackSettings()
    retention: RetentionSettings = RetentionSettings()
    logs: LogSettings = LogSettings()

    # One warning for each setting given under its old name; `load` sets them.
    deprecations: ClassVar[tuple[str, ...]] = ()

    # The variables of OpenTelemetry; `load` reads them.
    tracing: ClassVar[TracingVariables] = TracingVariables()

    @classmethod
    def load(cls, environ: Mapping[str, str], *, folder: Path = Path()) -> Settings:
        """Read the settings: `environ` over the TOML file over the defaults.

        `environ` is usually `config.sources.environment()`; `folder` holds ``config/``, by default the working
        directory. Raises `SettingsError` with one line for each problem.
        """
        sources = read_sources(environ, folder, declared_in(cls))
        try:
            settings = _with_sources(cls, sources)()
        except ValidationError as error:
            # `from None`: the validation error would carry the values into a traceback.
            raise SettingsError(from_validation(error, sources.name, groups_of(cls))) from None
        if lines := violations(settings, sources.name):
            raise SettingsError(lines)
        return settings

    @property
    def platforms(self) -> tuple[str, ...]:
        """The names of the running platforms, including the playground."""
        running = {"discord": self.discord.runs, "slack": self.slack.runs, "playground": self.playground_runs}
        return tuple(name for name, runs in running.items() if runs)

    @property
    def playground_runs(self) -> bool:
        """Whether the page is served. auto requires a loopback address: every visitor spends the operator's key."""
        if self.site.playground is not Switch.AUTO:
            return self.site.playground is Switch.ON
        return not (self.discord.runs or self.slack.runs) and is_loopback(self.site.host)

    @property
    def http_server_required(self) -> bool:
        """Whether a part of the bot works through the HTTP server alone."""
        return self.playground_runs or (self.slack.runs and self.slack.over_http)

    @property
    def embedded_runs(self) -> bool:
        """Whether the demonstration model answers.

        auto starts it only for the playground. In a company's channel a missing key is an error, not a reason to let a
        toy answer.
        """
        if self.model.embedded is not Switch.AUTO:
            return self.model.embedded is Switch.ON
        return not self.model.remote and not (self.discord.runs or self.slack.runs)

    @property
    def journal_file(self) -> Path | None:
        """The journal's file; None for a journal in memory or in a database."""
        platform = self.discord.runs or self.slack.runs
        url = self.journal.url or (USUAL_JOURNAL if platform else "")
        return Path(url.removeprefix(FILE_SCHEME)) if url.startswith(FILE_SCHEME) else None

    @property
    def journal_database(self) -> str | None:
        """The address of the journal's database, perhaps with a password; None without one."""
        return self.journal.url if self.journal.url.startswith(DATABASE_SCHEME) else None

    @property
    def records_file(self) -> Path | None:
        """The file of the records beside the journal's (``tickertape-records.db``); None for records in memory."""
        file = self.journal_file
        return file.with_name(f"{file.stem}-records{file.suffix}") if file is not None else None

    def secrets(self) -> frozenset[str]:
        """Return the text of every secret, for the log to mask."""
        found = (
            self.model.api_key,
            self.discord.token,
            self.slack.bot_token,
            self.slack.app_token,
            self.slack.signing_secret,
            self.slack.client_secret,
            *(self.slack.secrets or ()),
            self.site.admin_token,
            *(model.api_key for model in self.models),
        )
        in_addresses = self.tracing.secrets | passwords_in(self.journal.url)
        return in_addresses | {secret.get_secret_value() for secret in found if secret is not None}


def _with_sources(base: type[Settings], sources: SettingSources) -> Callable[[], Settings]:
    """Return `base` reading from `sources`, the environment first; pydantic-settings asks the class for them."""

    class FromSources(base):  # type: ignore[valid-type,misc]  # the class is an argument, which mypy cannot follow
        deprecations: ClassVar[tuple[str, ...]] = sources.deprecations()
        tracing: ClassVar[TracingVariables] = read_tracing(sources.variables)

        @classmethod
        def settings_customise_sources(
            cls: type[Self], settings_cls: type[BaseSettings], **_usual: PydanticBaseSettingsSource
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            return (
                InitSettingsSource(settings_cls, dict(sources.from_environment())),
                InitSettingsSource(settings_cls, sources.from_file()),
            )

    FromSources.__name__ = base.__name__  # for its repr
    return FromSources
