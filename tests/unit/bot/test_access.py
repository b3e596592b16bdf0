"""Who is answered: tables of expectations."""

from __future__ import annotations

import pytest

from bot.access import AccessRules, AllowDeny
from bot.conversation import Author, Message, Role, Text, Turn, TurnKey

DANA = Author("U1", "Dana", roles=frozenset({"R1"}))
GUEST = Author("U2", "Gil", guest=True)
STRANGER = Author("U3", "Sam", external=True)


def asked(author: Author = DANA, *, direct: bool = False, workspace: str = "W1") -> Turn:
    question = Message(Role.USER, (Text("why?"),))
    return Turn(TurnKey("p", workspace, "C1", "1"), "c", author, question, ("T1", "C1", "K1"), direct=direct)


def only(*ids: str) -> AllowDeny:
    return AllowDeny(allow=frozenset(ids))


def but(*ids: str) -> AllowDeny:
    return AllowDeny(deny=frozenset(ids))


@pytest.mark.parametrize(
    ("rules", "turn", "answered"),
    [
        (AccessRules(), asked(), True),
        (AccessRules(), asked(GUEST), False),
        (AccessRules(guests=True), asked(GUEST), True),
        (AccessRules(), asked(STRANGER), False),
        (AccessRules(external=True), asked(STRANGER), True),
        (AccessRules(users=only("U1")), asked(), True),
        (AccessRules(users=only("U9")), asked(), False),
        (AccessRules(users=only("U9"), roles=only("R1")), asked(), True),
        (AccessRules(users=but("U1"), roles=only("R1")), asked(), False),
        (AccessRules(roles=but("R1"), users=only("U1")), asked(), False),
        (AccessRules(users=only("U2")), asked(GUEST), False),
        (AccessRules(channels=only("C1")), asked(), True),
        (AccessRules(channels=only("K1")), asked(), True),
        (AccessRules(channels=only("C9")), asked(), False),
        (AccessRules(channels=but("T1")), asked(), False),
        (AccessRules(channels=only("C9")), asked(direct=True), True),
        (AccessRules(direct_messages=False), asked(direct=True), False),
        (AccessRules(direct_messages=False), asked(), True),
        (AccessRules(workspaces=only("W1")), asked(), True),
        (AccessRules(workspaces=only("W9")), asked(), False),
        (AccessRules(workspaces=but("W1")), asked(direct=True), False),
        (AccessRules(workspaces=only("W1")), asked(direct=True, workspace=""), True),
        (AccessRules(by_channel={"C1": only("U9")}), asked(), False),
        (AccessRules(by_channel={"C1": only("U9"), "T1": only("R1")}), asked(), True),
        (AccessRules(by_channel={"K1": AllowDeny()}), asked(), True),
    ],
)
def test_who_is_answered(rules: AccessRules, turn: Turn, answered: bool) -> None:
    """Deny wins, a role is as good as a name, the narrowest place decides, and guests need leave."""
    assert rules.permit(turn) is answered


def test_admins_are_named_by_the_operator_or_by_the_platform() -> None:
    """The operator's list holds users and roles; the platform's own admins need no entry."""
    rules = AccessRules(admins=frozenset({"U1", "R1"}))
    people = (
        Author("U1", "Dana"),
        Author("U2", "Eli", roles=frozenset({"R1", "R2"})),
        Author("U3", "Fay", manages=True),
        Author("U4", "Gil", roles=frozenset({"R2"})),
    )
    assert [rules.is_admin(person) for person in people] == [True, True, True, False]
