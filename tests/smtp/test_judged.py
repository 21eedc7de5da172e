"""What intake's checks say of a client, as it hears it in the conversation."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import cast

from postroom.intake.accept import Intake
from postroom.intake.checks import CHECKS
from postroom.intake.envelope import PASSED, Caller, Passed, Rejected
from postroom.intake.judging import CallerCheck, Judging, Stage
from postroom.smtp.replies import R450_GREYLISTED, R550_HELLO, Reply
from postroom.smtp.server import serve
from postroom.smtp.session import Role
from postroom.store.interface import Store
from tests.smtp.office import NOW, Office
from tests.talk import Talked, talk

GO = Rejected(Reply(421, "4.3.2", "Go"))


def said(
    office: Office, checks: Mapping[Stage, Sequence[CallerCheck]], text: str, role: Role = Role.SMTP
) -> Talked:
    intake = Intake(
        cast(Store, office.store),
        "mx.example.test",
        ["example.test"],
        judging=Judging(checks, CHECKS),
        clock=lambda: NOW,
    )
    return talk(
        functools.partial(serve, service=replace(office.service(role), intake=intake)), text, peer="192.0.2.1"
    )


def no(reply: Rejected, when: str) -> CallerCheck:
    """Refuses whose name, sender or recipient is this one."""

    async def check_no(caller: Caller) -> Passed | Rejected:
        sender, recipient = str(caller.sender or ""), str(caller.recipient or "")
        return reply if when in (caller.hello, sender, recipient) else PASSED

    return check_no


def test_a_refused_name_changes_nothing_and_another_one_is_heard() -> None:
    # RFC 5321 4.1.4
    office = Office()
    talked = said(
        office,
        {Stage.HELLO: [no(Rejected(R550_HELLO), "bad.test")]},
        """
        S: 220 *
        C: EHLO bad.test
        S: 550 5.7.1 *
        C: MAIL FROM:<jo@other.test>
        S: 503 *
        C: HELO good.test
        S: 250 *
        C: MAIL FROM:<jo@other.test>
        S: 250 *
        C: EHLO bad.test
        S: 550 5.7.1 *
        C: RCPT TO:<alice@example.test>
        S: 250 *
        C: DATA
        S: 354 *
        C: Subject: x
        C:
        C: .
        S: 250 *
        """,
    )
    assert b"Received: from good.test (" in office.inbox("alice")[0]
    notes = [row.data for row in talked.conversations[1].rows if row.who.value == "-"]
    assert notes[-1] == b"checks: no passed, loop passed"


def test_a_refused_sender_or_recipient_is_one_of_many() -> None:
    office = Office()
    later = Rejected(R450_GREYLISTED)
    said(
        office,
        {Stage.MAIL: [no(later, "jo@other.test")], Stage.RCPT: [no(later, "alice@example.test")]},
        """
        S: 220 *
        C: HELO client.test
        S: 250 *
        C: MAIL FROM:<jo@other.test>
        S: 450 4.7.1 *
        C: MAIL FROM:<ann@other.test>
        S: 250 *
        C: RCPT TO:<alice@example.test>
        S: 450 4.7.1 *
        C: RCPT TO:<bob@example.test>
        S: 250 *
        C: DATA
        S: 354 *
        C: .
        S: 250 *
        """,
    )
    assert not office.inbox("alice") and len(office.inbox("bob")) == 1


def test_a_check_that_says_421_ends_the_session() -> None:
    # RFC 5321 4.2.2
    for stage, text in (
        (Stage.HELLO, ""),
        (Stage.MAIL, "S: 250 *\nC: MAIL FROM:<jo@other.test>"),
        (Stage.RCPT, "S: 250 *\nC: MAIL FROM:<ann@other.test>\nS: 250 *\nC: RCPT TO:<bob@example.test>"),
    ):
        checks = [no(GO, each) for each in ("client.test", "jo@other.test", "bob@example.test")]
        said(
            Office(),
            {stage: checks[list(Stage).index(stage) :]},
            f"S: 220 *\nC: HELO client.test\n{text}\nS: 421 4.3.2 Go\nS! end",
        )


def test_checks_of_strangers_are_not_for_submission() -> None:
    said(
        Office(),
        {Stage.HELLO: [no(Rejected(R550_HELLO), "client.test")]},
        "S: 220 *\nC: HELO client.test\nS: 250 *",
        Role.SUBMISSION,
    )
