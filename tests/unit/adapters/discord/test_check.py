"""Results of `tickertape check` for Discord, from the application's data."""

from __future__ import annotations

from adapters.discord.check import OTHER_ENDPOINT, endpoint_result


def test_an_endpoint_elsewhere_is_a_warning() -> None:
    """Discord then sends no press and no command over the gateway; without one there is nothing to say."""
    warned = endpoint_result({"interactions_endpoint_url": "https://example.org/discord"})

    assert warned is not None
    assert (warned.ok, warned.warning, warned.fix) == (True, True, OTHER_ENDPOINT)
    assert "https://example.org/discord" in warned.message
    assert endpoint_result({"interactions_endpoint_url": None}) is None
    assert endpoint_result({}) is None
