"""The composition root's part for the records: the store and the parts of the core around it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import AsyncExitStack
from datetime import datetime
from decimal import Decimal
from typing import Any

from adapters.http_server import ComponentStatus
from adapters.records import RecordsOptions, export
from adapters.records.export import ExportFailed
from adapters.records.sqlite import SqliteRecords
from adapters.records.sqlite.export import read_rows
from bot.bootstrap_models import make_catalog, make_pricing
from bot.feedback import KeptAnswers
from bot.ledger import Unit
from bot.metering import LedgerMeter, MeteringOptions
from bot.privacy import Answers, JournalRows, StoredPersonalData
from bot.quota_book import QuotaBook
from bot.quotas import ROLE_PREFIX, LimitName, PeriodKind, QuotaRules
from bot.record_store import RecordStore
from bot.records import Retention
from bot.records_backlog import RecordsBacklog
from bot.stored_choices import PreferenceRules, StoredChoices
from bot.strings import Strings
from bot.telemetry import UsageRecorder
from bot.turns.hooks import TurnHooks
from config.administration_settings import Amounts
from config.settings import Settings

__all__ = ["ExportFailed"]

# The least age of a reservation without an end: longer than a turn may wait and run. Seconds.
LEAST_EXPIRY_SECONDS = 3_600.0

# The request parameters with the most tokens of an answer: of chat completions, old and new, and of responses.
ANSWER_LIMITS = ("max_completion_tokens", "max_output_tokens", "max_tokens")


async def export_lines(settings: Settings, kind: str, since: float, until: float, *, jsonl: bool) -> AsyncIterator[str]:
    """The lines of the export of ``usage`` or ``feedback``. Raises `ExportFailed`."""
    answers = ("answer",) if settings.feedback.answer_text else ()
    fields = export.USAGE_FIELDS if kind == "usage" else (*export.FEEDBACK_FIELDS, *answers)
    is_first = True
    async for rows in _export_pages(settings, kind, since, until):
        lines = export.to_jsonl(fields, rows) if jsonl else export.to_csv(fields, rows, header=is_first)
        for line in lines:
            yield line
        is_first = False


async def _export_pages(
    settings: Settings, kind: str, since: float, until: float
) -> AsyncIterator[Iterable[export.Row]]:
    if settings.journal_database is None:
        yield read_rows(settings.records_file, kind, since, until)
        return
    from adapters.records.postgres.export import read_pages  # noqa: PLC0415 (loaded only with a database)
    from bot.bootstrap_postgres import make_postgres_options  # noqa: PLC0415 (as above)

    if (options := make_postgres_options(settings)) is not None:
        async for rows in read_pages(options, kind, since, until):
            yield rows


def make_records_options(settings: Settings) -> RecordsOptions:
    """How long rows are kept."""
    chosen = settings.retention
    return RecordsOptions(chosen.usage_days, chosen.feedback_days, chosen.settings_days, chosen.audit_days)


async def open_records(settings: Settings, stack: AsyncExitStack, wall_clock: Callable[[], datetime]) -> RecordStore:
    """Open the store beside the journal's file, or in memory. An unusable file is logged and does not raise."""
    store = SqliteRecords(settings.records_file, wall_clock, make_records_options(settings))
    return await stack.enter_async_context(store)


def records_status(records: RecordStore) -> ComponentStatus:
    """The status of the store, for ``/readyz``."""
    if records.degraded:
        return ComponentStatus("degraded")
    return ComponentStatus("ok" if records.durable else "memory")


def make_quotas(settings: Settings, records: RecordStore, wall_clock: Callable[[], datetime]) -> QuotaBook:
    """The limits in force."""
    return QuotaBook(make_quota_rules(settings), records, wall_clock)


def make_personal_data(
    settings: Settings,
    records: RecordStore,
    journal: JournalRows,
    answers: Answers,
    wall_clock: Callable[[], datetime],
) -> StoredPersonalData:
    """Export and erasure of one person's data."""
    kept = settings.retention
    # An answer's text is deleted with its question, if not before.
    answer_days = min(filter(None, (kept.usage_days, kept.feedback_days)), default=0)
    retentions = (
        Retention("journal", settings.journal.days),
        Retention("ledger", kept.usage_days),
        Retention("feedback", kept.feedback_days),
        *([Retention("answers", answer_days)] if settings.feedback.answer_text else []),
        Retention("settings", kept.settings_days),
        Retention("audit", kept.audit_days),
    )
    return StoredPersonalData(records, journal, answers, retentions=retentions, wall_clock=wall_clock)


async def open_hooks(
    settings: Settings,
    stack: AsyncExitStack,
    records: RecordStore,
    quotas: QuotaBook,
    *,
    rules: PreferenceRules,
    recorder: UsageRecorder,
    strings: Strings,
    wall_clock: Callable[[], datetime],
) -> TurnHooks:
    """The settings made in chat, the quotas and the kept answers; `stack` closes them before the store."""
    options = MeteringOptions(
        system_characters=len(settings.conversation.prompt()),
        answer_tokens=lambda model: answer_tokens(settings, model),
        expiry_seconds=max(settings.journal.recovery_max_age_seconds, LEAST_EXPIRY_SECONDS),
        server_name=make_catalog(settings).server_name,
    )
    choices = StoredChoices(records, rules)
    backlog = await stack.enter_async_context(RecordsBacklog())
    meter = LedgerMeter(
        records,
        backlog=backlog,
        quotas=quotas,
        pricing=make_pricing(settings, wall_clock),
        choices=choices,
        recorder=recorder,
        strings=strings,
        options=options,
        wall_clock=wall_clock,
    )
    answers = KeptAnswers(records, backlog, wall_clock) if settings.feedback.answer_text else None
    return TurnHooks(choices, meter, answers)


def answer_tokens(settings: Settings, model: str) -> int | None:
    """The most tokens of an answer by the parameters of a model in the operator's list; None without a limit."""
    listed = next((each.parameters for each in settings.models if each.name == model), settings.model.parameters)
    values = (listed.get(name) for name in ANSWER_LIMITS)
    return next((value for value in values if _is_count(value)), None)


def _is_count(value: Any) -> bool:  # noqa: ANN401 (a value of the operator's, of any type)
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def make_quota_rules(settings: Settings) -> QuotaRules:
    """The configured limits. The variables for a user and day replace those of the table."""
    chosen = settings.quotas
    tables: Mapping[str, Amounts] = {
        "user": chosen.user,
        "channel": chosen.channel,
        "workspace": chosen.workspace,
        **{f"{ROLE_PREFIX}{role}": table for role, table in chosen.roles.items()},
    }
    rules = {
        LimitName(scope, PeriodKind(period), Unit(unit)): Decimal(str(amount))
        for scope, table in tables.items()
        for period, units in table.items()
        for unit, amount in units.items()
    }
    for unit, amount in ((Unit.QUESTIONS, chosen.questions), (Unit.TOKENS, chosen.tokens)):
        if amount:
            rules[LimitName("user", PeriodKind.DAY, unit)] = Decimal(amount)
    return rules
