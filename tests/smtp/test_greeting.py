from __future__ import annotations

import pytest

from postroom.smtp.session import Role
from tests.smtp.office import BEGUN, HELLO, LOGGED_IN, OFFERED, Office

VERBS_OF_RFC_821 = (
    *("HELO", "MAIL", "RCPT", "DATA", "RSET", "SEND", "SOML", "SAML"),
    *("VRFY", "EXPN", "HELP", "NOOP", "QUIT", "TURN"),
)
"""RFC 821 4.1.1."""


def test_the_scenario_of_the_rfc() -> None:
    # RFC 5321 D.1, and D.2 in the middle: RSET
    office = Office()
    office.talk(f"""
        S: 220 mx.example.test ESMTP Postroom
        C: EHLO bar.com
        {OFFERED}
        C: MAIL FROM:<Smith@bar.com>
        S: 250 2.1.0 Sender ok
        C: RCPT TO:<alice@example.test>
        S: 250 2.1.5 Recipient ok
        C: RCPT TO:<Green@example.test>
        S: 550 5.1.1 No such user here
        C: RSET
        S: 250 2.0.0 Ok
        C: MAIL FROM:<Smith@bar.com>
        S: 250 2.1.0 Sender ok
        C: RCPT TO:<alice@example.test>
        S: 250 2.1.5 Recipient ok
        C: RCPT TO:<bob@example.test>
        S: 250 2.1.5 Recipient ok
        C: DATA
        S: 354 Send the letter, end with CRLF.CRLF
        C: Blah blah blah...
        C: ...etc. etc. etc.
        C: .
        S: 250 2.6.0 Letter accepted as {{id}}
        C: QUIT
        S: 221 2.0.0 Goodbye
        S! end
    """)
    assert len(office.inbox("alice")) == len(office.inbox("bob")) == 1


def test_helo_has_no_extensions_and_no_enhanced_code() -> None:
    Office().talk(HELLO)


@pytest.mark.parametrize("name", ["client.example", "[192.0.2.7]", "[IPv6:2001:db8::1]", "pc_1", "-odd-"])
def test_any_word_is_a_name(name: str) -> None:
    Office().talk(f"S: 220 *\nC: HELO {name}\nS: 250 *")


@pytest.mark.parametrize("verb", ["HELO", "EHLO"])
def test_a_name_is_needed_and_is_one_word_of_ascii(verb: str) -> None:
    Office().talk(f"""
        S: 220 *
        C: {verb}
        S: 501 5.5.4 *
        C: {verb} two words
        S: 501 5.5.4 *
        C: {verb} café
        S: 501 5.5.4 *
        C: MAIL FROM:<a@b.test>
        S: 503 5.5.1 Send EHLO first
    """)


def test_a_name_has_at_most_255_octets() -> None:
    Office().talk(f"""
        S: 220 *
        C: HELO {"n" * 255}
        S: 250 *
        C: HELO {"n" * 256}
        S: 501 5.5.4 *
    """)


@pytest.mark.parametrize("verb", ["HELO", "EHLO"])
def test_a_second_greeting_forgets_the_transaction(verb: str) -> None:
    Office().talk(f"""
        {BEGUN}
        C: {verb} client.test
        {OFFERED if verb == "EHLO" else "S: 250 *"}
        C: DATA
        S: 503 5.5.1 Send MAIL first
    """)


def test_rset_forgets_the_transaction_and_nothing_else() -> None:
    Office().talk(f"""
        {BEGUN}
        C: RSET
        S: 250 2.0.0 Ok
        C: RCPT TO:<bob@example.test>
        S: 503 5.5.1 Send MAIL first
        C: MAIL FROM:<>
        S: 250 2.1.0 *
    """)


def test_what_needs_no_greeting() -> None:
    Office().talk("""
        S: 220 *
        C: NOOP
        S: 250 2.0.0 Ok
        C: NOOP whatever you say
        S: 250 2.0.0 Ok
        C: RSET
        S: 250 2.0.0 Ok
        C: VRFY alice
        S: 252 2.5.0 *
        C: HELP
        S: 214-2.0.0 *
        S: 214 2.0.0 *
        C: QUIT
        S: 221 2.0.0 Goodbye
        S! end
    """)


def test_nobody_learns_by_vrfy_who_exists() -> None:
    Office().talk("""
        S: 220 *
        C: VRFY alice@example.test
        S: {one}
        C: VRFY nobody@example.test
        S: {one}
        C: VRFY
        S: 501 5.5.4 *
    """)


@pytest.mark.parametrize("verb", ["RSET", "QUIT", "DATA"])
def test_who_takes_no_argument_gets_none(verb: str) -> None:
    Office().talk(f"{BEGUN}\nC: {verb} now\nS: 501 5.5.4 This command takes no argument\nC: NOOP\nS: 250 *")


def test_help_tells_the_verbs_of_this_listener() -> None:
    Office().talk("""
        S: 220 *
        C: HELP
        S: 214-2.0.0 EHLO HELO MAIL RCPT DATA BDAT RSET VRFY EXPN NOOP HELP STARTTLS QUIT SEND SOML SAML TURN
        S: 214 2.0.0 *
        C: HELP rcpt
        S: 214-2.0.0 RCPT TO:<recipient>: add a recipient
        S: 214 2.0.0 RFC 5321 4.1.1.3
        C: HELP AUTH
        S: 504 5.5.4 No help about that
        C: HELP ETRN
        S: 504 5.5.4 No help about that
        C: HELP XCLIENT
        S: 504 5.5.4 No help about that
        C: HELP LHLO
        S: 504 5.5.4 No help about that
        C: HELP me please
        S: 504 5.5.4 No help about that
    """)
    Office().talk("S: 220 *\nC: HELP AUTH\nS: 214-2.0.0 AUTH *\nS: 214 2.0.0 RFC 4954 4", Role.SUBMISSION)


def test_help_tells_what_a_reply_may_mean() -> None:
    Office().talk("""
        S: 220 *
        C: HELP 354
        S: 214 2.0.0 354  Send the letter, end with CRLF.CRLF
        C: HELP 221
        S: 214 2.0.0 221 2.0.0 Goodbye
        C: HELP 999
        S: 504 5.5.4 No help about that
    """)


@pytest.mark.parametrize("verb", VERBS_OF_RFC_821)
def test_every_command_of_the_original_protocol_is_explained(verb: str) -> None:
    Office().talk(f"S: 220 *\nC: HELP {verb}\nS: 214-2.0.0 {verb}*\nS: 214 2.0.0 RFC *")


def test_what_is_known_and_not_done_here() -> None:
    Office().talk("S: 220 *\nC: ETRN x\nS: 502 5.5.1 *\nC: ETRN\nS: 502 5.5.1 *")


def test_places_are_not_changed_with_whoever_asks() -> None:
    # RFC 5321 F.1
    Office().talk("""
        S: 220 *
        C: TURN
        S: 503 5.5.1 Send EHLO first
        C: HELO client.test
        S: 250 *
        C: TURN now
        S: 501 5.5.4 *
        C: TURN
        S: 502 5.7.0 TURN would hand mail to anybody, and is not done in the clear
        C: MAIL FROM:<>
        S: 250 *
        C: TURN
        S: 503 5.5.1 Not during a mail transaction
    """)
    Office().talk(f"{LOGGED_IN}\nC: TURN\nS: 502 5.7.0 *", Role.SUBMISSIONS, tls=True)


@pytest.mark.parametrize("verb", ["XYZZY", "", "MAILFROM:<a@b.test>", " NOOP", "NOOPS", "\xe4"])
def test_what_is_unknown(verb: str) -> None:
    Office().talk(f"S: 220 *\nC: {verb}\nS: 500 5.5.1 Command unrecognized")
