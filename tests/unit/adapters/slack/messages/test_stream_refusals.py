"""A refused stream is remembered as far as the refusal holds."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from adapters.slack import errors
from adapters.slack.messages.stream_refusals import features_of, refused_features

EVERYWHERE, CHANNEL, PERSON = features_of("D1", "U1")


@pytest.mark.parametrize(
    ("code", "features"),
    [
        ("unknown_method", [EVERYWHERE]),
        ("missing_scope", [EVERYWHERE]),
        ("feature_not_enabled", [EVERYWHERE]),
        ("plan_upgrade_required", [EVERYWHERE]),
        ("paid_only_of_tomorrow", [EVERYWHERE]),
        ("channel_type_not_supported", [CHANNEL]),
        ("is_archived", [CHANNEL]),
        ("messages_tab_disabled", [CHANNEL]),
        ("an_error_of_tomorrow", [CHANNEL]),
        ("missing_recipient_user_id", [PERSON]),
        ("missing_recipient_team_id", [PERSON]),
        ("user_not_found", [PERSON]),
        ("invalid_thread_ts", []),
        ("msg_too_long", []),
    ],
)
def test_the_reach_of_a_refusal(code: str, features: Sequence[str]) -> None:
    """A workspace without streams, a surface, a person, or this answer alone."""
    assert list(refused_features(code, "D1", "U1")) == features


def test_every_final_code_has_one_reach() -> None:
    """No known code disables more than one of the three."""
    for code in errors.FORBIDDEN | errors.GONE | errors.UNACCEPTABLE:
        assert len(refused_features(code, "D1", "U1")) <= 1
