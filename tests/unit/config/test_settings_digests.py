"""`config.settings_digests`: which settings of two processes must be the same, without a word of any secret."""

from __future__ import annotations

from pathlib import Path

import pytest

from config.settings_digests import settings_digests
from tests.support.settings import CATALOG, EVERY_SECRET, OAUTH, SECRET_TEXTS, load

DATABASE = {"JOURNAL_URL": "postgresql://tickertape:p@db/tickertape"}
HERE = EVERY_SECRET | DATABASE


def different(one: dict[str, str], other: dict[str, str], folder: Path) -> set[str]:
    """The tables that differ."""
    found = [settings_digests(load(variables, folder)) for variables in (one, other)]
    return {table for table in found[0] if found[1].get(table) != found[0][table]}


@pytest.mark.parametrize(
    ("variable", "value", "table"),
    [
        ("TICKERTAPE_DRAIN_SECONDS", "7", "turns"),
        ("TICKERTAPE_LEASE_SECONDS", "7", "journal"),
        ("TICKERTAPE_DISCORD_PER_SECOND", "7", "discord"),
        ("DISCORD_TOKEN", "another-token-0123456789", "discord"),
        ("SLACK_BOT_TOKEN", "xoxb-9876543210", "slack"),
        ("TICKERTAPE_DENY_USERS", "U1,U2", "access"),
        ("TICKERTAPE_PLAYGROUND", "on", "site"),
        ("OPENAI_MODEL", "n", "model"),
    ],
)
def test_a_choice_changes_the_digest_of_its_table(variable: str, value: str, table: str, tmp_path: Path) -> None:
    """And of no other."""
    assert different(HERE, HERE | {variable: value}, tmp_path) == {table}


def test_each_process_has_its_own_port_log_and_address_of_the_database(tmp_path: Path) -> None:
    """Several on one machine differ in these. A person's own password may differ too."""
    own = {
        "PORT": "8081",
        "TICKERTAPE_HOST": "127.0.0.2",
        "TICKERTAPE_ALLOWED_HOSTS": "one.example.com",
        "TICKERTAPE_LOG_LEVEL": "debug",
        "JOURNAL_URL": "postgresql://tickertape:p@pooler/tickertape",
        "TICKERTAPE_ADMIN_TOKEN": "another-0123456789",
        "OPENAI_API_KEY": "sk-another-0123456789",
    }
    assert different(HERE, HERE | own, tmp_path) == set()


def test_the_order_of_a_list_of_names_changes_nothing(tmp_path: Path) -> None:
    """Names are a set."""
    one, other = ({"TICKERTAPE_ALLOW_USERS": names} for names in ("U1,U2,U3", "U3,U2,U1"))
    assert different(HERE | one, HERE | other, tmp_path) == set()


def test_the_text_of_the_system_prompt_counts_and_not_its_place(tmp_path: Path) -> None:
    """Each machine may keep the file elsewhere."""
    texts = {"one.md": "Be kind.", "two.md": "Be kind.", "three.md": "Be brief."}
    for name, text in texts.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    one, two, three = (HERE | {"TICKERTAPE_SYSTEM_PROMPT_FILE": str(tmp_path / name)} for name in texts)
    assert different(one, two, tmp_path) == set()
    assert different(one, three, tmp_path) == {"conversation"}


def test_a_platform_that_does_not_run_is_left_out(tmp_path: Path) -> None:
    """Processes with Slack alone and with Discord alone do not differ by that."""
    assert "discord" not in settings_digests(load(OAUTH, tmp_path))
    assert "slack" in settings_digests(load(OAUTH, tmp_path))


def test_a_digest_is_a_short_number_for_settings_of_any_kind(tmp_path: Path) -> None:
    """Tables of the file included, and without any text of a secret."""
    toml = (
        '[channels.C1]\nmodel = "m"\nallow_users = ["U1"]\n'
        '[[models]]\nname = "other"\napi_key = "sk-other-0123456789"\n'
        '[[personas]]\nname = "pirate"\nprompt = "Arr."\n[slack]\nsuggested_prompts = {Draft = "Draft a reply"}\n'
    )
    found = settings_digests(load(HERE, tmp_path, toml))
    assert {one.group for one in CATALOG} - set(found) == {"logs"}
    assert all(len(digest) == 12 and int(digest, 16) >= 0 for digest in found.values())
    assert not [text for text in SECRET_TEXTS if text in str(found)]
