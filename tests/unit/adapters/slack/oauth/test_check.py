"""What the check tells of stored installations, by the keys of their tokens."""

from __future__ import annotations

from adapters.slack.oauth.check import key_results


def test_current_keys_are_one_line() -> None:
    """Without an installation, or with all of them under the newest key, there is nothing to do."""
    assert [each.message for each in key_results({}, ["new"], "new")] == ["0 in the database"]
    assert [(each.ok, each.warning) for each in key_results({"new": 3}, ["new"], "new")] == [(True, False)]


def test_a_missing_key_is_a_failure() -> None:
    """Installations under an unknown key do not work, so the check fails and names the setting."""
    _, missing = key_results({"new": 3, "lost": 2}, ["new", "old"], "new")
    assert not missing.ok
    assert "2" in missing.message
    assert "TICKERTAPE_SECRETS" in missing.fix


def test_an_older_key_is_a_warning() -> None:
    """The operator sees that an older key is still needed."""
    _, older = key_results({"new": 3, "old": 4}, ["new", "old"], "new")
    assert (older.ok, older.warning) == (True, True)
    assert "4" in older.message
