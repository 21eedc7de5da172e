"""SEND, SOML, SAML: to terminals, to mailboxes, to both (RFC 821 3.4, 4.1.1, scenarios 5 and 6)."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Collection
from dataclasses import dataclass, field, replace

import pytest

from postroom.net.limits import RECEIVED_HOPS, TERMINAL_CHARACTERS
from postroom.smtp.notices import Notice
from postroom.smtp.server import serve
from postroom.smtp.session import Role
from tests.smtp.office import HELLO, LOGGED_IN, Office
from tests.talk import Talked, talk

ALICE, BOB = "alice@example.test", "bob@example.test"


@pytest.fixture
def office() -> Office:
    return Office()


@dataclass
class Screens:
    """Terminals that show, or don't. `leaves`: who is seen at RCPT and is gone when the letter comes."""

    there: set[str] = field(default_factory=set)
    leaves: set[str] = field(default_factory=set)
    watched: set[str] = field(default_factory=set)
    """Seen by somebody who isn't their owner."""
    shown: list[tuple[str, Notice]] = field(default_factory=list)

    async def present(self, accounts: Collection[str]) -> set[str]:
        return (self.there | self.leaves | self.watched).intersection(accounts)

    async def show(self, accounts: Collection[str], notice: Notice, *, owners: bool = False) -> set[str]:
        saw = self.there.intersection(accounts) | (self.watched - self.leaves).intersection(accounts)
        self.shown += [(each, notice) for each in sorted(saw)]
        return saw.intersection(self.there) if owners else saw


def say(office: Office, screens: Screens | None, text: str, role: Role = Role.SMTP, *, tls: bool = False) -> Talked:
    service = replace(office.service(role), terminals=screens)
    return talk(functools.partial(serve, service=service), text, tls=tls, peer="192.0.2.1")


def letter(verb: str, *recipients: str, end: str, body: str = "C: Lunch is ready.") -> str:
    rcpt = "\n".join(f"C: RCPT TO:<{each}>\nS: 250 2.1.5 *" for each in recipients)
    return (
        f"{HELLO}\nC: {verb} FROM:<jo@other.test>\nS: 250 2.1.0 *\n{rcpt}\nC: DATA\nS: 354 *\n"
        f"C: Subject: Lunch\nC:\n{body}\nC: .\nS: {end}\nC: NOOP\nS: 250 *"
    )


# --- nobody is there


def test_send_to_nobody_is_450_and_the_letter_can_be_mailed(office: Office) -> None:
    say(
        office,
        Screens(),
        f"""{HELLO}
        C: SEND FROM:<eak@other.test>
        S: 250 2.1.0 *
        C: RCPT TO:<alice@example.test>
        S: 450 4.2.1 User not active now
        C: RSET
        S: 250 *
        C: MAIL FROM:<eak@other.test>
        S: 250 *
        C: RCPT TO:<alice@example.test>
        S: 250 *
        C: DATA
        S: 354 *
        C: Blah blah blah...
        C: .
        S: 250 *
        C: QUIT
        S: 221 *
        S! end
        """,
    )
    assert len(office.inbox("alice")) == 1


@pytest.mark.parametrize("verb", ["SOML", "SAML"])
@pytest.mark.parametrize("screens", [Screens(), None])
def test_soml_and_saml_to_nobody_go_to_the_mailbox(office: Office, verb: str, screens: Screens | None) -> None:
    say(office, screens, letter(verb, ALICE, end="250 2.6.0 *"))
    assert len(office.inbox("alice")) == 1


def test_without_terminals_nobody_is_there(office: Office) -> None:
    say(office, None, f"{HELLO}\nC: SEND FROM:<>\nS: 250 *\nC: RCPT TO:<{ALICE}>\nS: 450 4.2.1 *")


# --- somebody is there


def test_send_shows_and_files_nothing(office: Office) -> None:
    screens = Screens({ALICE})
    say(office, screens, letter("SEND", ALICE, end="250 *"))
    assert office.empty
    ((who, notice),) = screens.shown
    assert who == ALICE
    assert (notice.sender, notice.subject, notice.text, notice.whole) == (
        "jo@other.test",
        "Lunch",
        "Lunch is ready.\n",
        True,
    )


def test_soml_shows_and_files_nothing(office: Office) -> None:
    screens = Screens({ALICE})
    say(office, screens, letter("SOML", ALICE, end="250 *"))
    assert office.empty
    assert [who for who, _ in screens.shown] == [ALICE]


def test_saml_shows_and_files(office: Office) -> None:
    screens = Screens({ALICE})
    say(office, screens, letter("SAML", ALICE, end="250 *"))
    assert len(office.inbox("alice")) == 1
    assert [who for who, _ in screens.shown] == [ALICE]


def test_soml_files_for_those_alone_who_are_not_there(office: Office) -> None:
    screens = Screens({ALICE})
    say(office, screens, letter("SOML", ALICE, BOB, end="250 *"))
    assert office.inbox("alice") == []
    assert len(office.inbox("bob")) == 1


# --- somebody has gone since RCPT


def test_send_whose_recipient_has_left_is_450(office: Office) -> None:
    say(office, Screens(leaves={ALICE}), letter("SEND", ALICE, end="450 4.2.1 *"))
    assert office.empty


def test_send_that_not_everybody_has_seen_is_450(office: Office) -> None:
    say(office, Screens({ALICE}, leaves={BOB}), letter("SEND", ALICE, BOB, end="450 4.2.1 *"))


@pytest.mark.parametrize("verb", ["SOML", "SAML"])
def test_a_letter_that_no_session_confirms_is_filed(office: Office, verb: str) -> None:
    say(office, Screens(leaves={ALICE}), letter(verb, ALICE, end="250 *"))
    assert len(office.inbox("alice")) == 1


def test_somebody_elses_terminal_is_enough_for_send_and_not_for_soml(office: Office) -> None:
    screens = Screens(watched={ALICE})
    say(office, screens, letter("SEND", ALICE, end="250 *"))
    assert office.empty
    say(office, screens, letter("SOML", ALICE, end="250 *"))
    assert len(office.inbox("alice")) == 1
    assert len(screens.shown) == 2


# --- letters that a terminal is not for


@pytest.mark.parametrize(
    ("characters", "filed"), [(TERMINAL_CHARACTERS, 0), (TERMINAL_CHARACTERS + 1, 1), (TERMINAL_CHARACTERS * 30, 1)]
)
def test_soml_files_too_what_a_terminal_cannot_show_whole(office: Office, characters: int, filed: int) -> None:
    screens = Screens({ALICE})
    office.max_message_size = 10_000_000
    say(office, screens, letter("SOML", ALICE, end="250 *", body="C: " + "x" * (characters - 1)))
    assert len(office.inbox("alice")) == filed
    ((_, notice),) = screens.shown
    assert len(notice.text) == TERMINAL_CHARACTERS
    assert notice.whole == (not filed)


@pytest.mark.parametrize("verb", ["SEND", "SOML", "SAML"])
def test_a_letter_that_the_checks_refuse_is_shown_to_nobody(office: Office, verb: str) -> None:
    screens = Screens({ALICE})
    hops = "\n".join(["C: Received: from a by b"] * (RECEIVED_HOPS + 1))
    text = letter(verb, ALICE, end="554 5.4.6 *").replace("C: Subject: Lunch", f"{hops}\nC: Subject: Lunch")
    say(office, screens, text)
    assert screens.shown == []
    assert office.empty


# --- who and what is taken


def test_an_alias_takes_a_letter_for_terminals_when_all_of_it_are_there(office: Office) -> None:
    office.store.also("all@example.test", ALICE, BOB)
    rcpt = "C: RCPT TO:<all@example.test>"
    say(office, Screens({ALICE}), f"{HELLO}\nC: SEND FROM:<>\nS: 250 *\n{rcpt}\nS: 450 4.2.1 *")
    screens = Screens({ALICE, BOB})
    say(office, screens, letter("SEND", "all@example.test", end="250 *"))
    assert [who for who, _ in screens.shown] == [ALICE, BOB]


def test_who_does_not_exist_is_no_matter_of_terminals(office: Office) -> None:
    text = """
        C: SEND FROM:<jo@other.test>
        S: 250 *
        C: RCPT TO:<nobody@example.test>
        S: 550 5.1.1 *
        C: RCPT TO:<carol@example.test>
        S: 550 5.2.1 *
        C: RCPT TO:<jo@other.test>
        S: 550 5.7.1 *
    """
    say(office, Screens({ALICE}), HELLO + text)


@pytest.mark.parametrize("verb", ["SEND", "SOML", "SAML"])
@pytest.mark.parametrize(
    ("argument", "reply"),
    [
        ("FROM:<>", "250 2.1.0"),
        ("from: <jo@other.test> SIZE=100", "250 2.1.0"),
        ("FROM:<@relay.test:jo@other.test>", "250 2.1.0"),
        ("FROM:<jo@other.test> SIZE=100001", "552 5.3.4"),
        ("FROM:<jo@other.test> SIZE=1_0", "501 5.5.4"),
        ("FROM:<jo@other.test> MAGIC", "555 5.5.4"),
        ("FROM:<jo@@other.test>", "501 5.1.7"),
        ("TO:<jo@other.test>", "501 5.5.4"),
        ("", "501 5.5.4"),
    ],
)
def test_the_argument_is_as_mails(office: Office, verb: str, argument: str, reply: str) -> None:
    say(office, Screens(), f"{HELLO}\nC: {verb} {argument}\nS: {reply} *")


@pytest.mark.parametrize("verb", ["SEND", "SOML", "SAML"])
def test_they_stand_where_mail_may(office: Office, verb: str) -> None:
    say(office, Screens(), f"S: 220 *\nC: {verb} FROM:<>\nS: 503 5.5.1 *")
    say(office, Screens(), f"{HELLO}\nC: {verb} FROM:<>\nS: 250 *\nC: MAIL FROM:<>\nS: 503 5.5.1 *")
    say(office, Screens(), f"{HELLO}\nC: MAIL FROM:<>\nS: 250 *\nC: {verb} FROM:<>\nS: 503 5.5.1 *")


def test_a_transaction_for_terminals_ends_with_its_letter(office: Office) -> None:
    screens = Screens({ALICE})
    say(
        office,
        screens,
        letter("SEND", ALICE, end="250 *")
        + """
        C: MAIL FROM:<jo@other.test>
        S: 250 *
        C: RCPT TO:<alice@example.test>
        S: 250 *
        C: DATA
        S: 354 *
        C: .
        S: 250 *
        """,
    )
    assert len(screens.shown) == 1
    assert len(office.inbox("alice")) == 1


def test_submission_wants_a_login_and_ones_own_address(office: Office) -> None:
    screens = Screens({ALICE, BOB})
    begun = f"{HELLO}\nC: SEND FROM:<{ALICE}>\nS: 530 *"
    say(office, screens, begun, Role.SUBMISSION, tls=True)
    text = f"{LOGGED_IN}\nC: SEND FROM:<{BOB}>\nS: 550 5.7.1 *\nC: SEND FROM:<{ALICE}>\nS: 250 *"
    say(office, screens, text, Role.SUBMISSION, tls=True)


def test_ehlo_publishes_the_three(office: Office) -> None:
    # RFC 5321 F.6: where they are implemented, they must be.
    async def ask() -> list[bytes]:
        async with office.session() as client:
            await client.line()
            await client.send("EHLO client.test")
            return await client.lines(b"250 ")

    words = {line[4:] for line in asyncio.run(ask())}
    assert {b"SEND", b"SOML", b"SAML"} <= words
