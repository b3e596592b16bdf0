"""The pinned names against OpenTelemetry's own package, which has them as constants."""

from __future__ import annotations

import re

import pytest
from opentelemetry.semconv._incubating.attributes import gen_ai_attributes
from opentelemetry.semconv.attributes import error_attributes, server_attributes, service_attributes

from adapters.opentelemetry import conventions
from bot.conversation import FinishReason

PACKAGE = {
    value: name
    for module in (gen_ai_attributes, error_attributes, server_attributes, service_attributes)
    for name, value in vars(module).items()
    if name.isupper() and isinstance(value, str)
}
NAMES = {
    name: value
    for name, value in vars(conventions).items()
    if name.isupper() and isinstance(value, str) and re.fullmatch(r"[a-z_]+(\.[a-z_]+)+", value)
}
STANDARD = {name: value for name, value in NAMES.items() if not value.startswith("tickertape.")}


@pytest.mark.parametrize("name", sorted(STANDARD))
def test_a_standard_name_is_one_of_the_package(name: str) -> None:
    """A renamed attribute is found when the package is updated, and not by an operator's empty dashboard."""
    assert STANDARD[name] in PACKAGE


def test_there_are_names_to_compare() -> None:
    """The comparison above covers the attributes of attempts, servers, errors and the service."""
    assert len(STANDARD) >= 16
    assert len(set(NAMES.values())) == len(NAMES)


def test_providers_are_well_known_values() -> None:
    """Each provider in the table, and the one of any other server, has the conventions' spelling."""
    known = {str(each.value) for each in gen_ai_attributes.GenAiProviderNameValues}
    assert {conventions.DEFAULT_PROVIDER, *conventions.PROVIDERS.values()} <= known
    assert gen_ai_attributes.GenAiOperationNameValues.CHAT.value == conventions.CHAT


def test_every_finish_reason_has_a_value() -> None:
    """A new reason of ours cannot be forgotten."""
    assert set(conventions.FINISH_VALUES) == set(FinishReason)
