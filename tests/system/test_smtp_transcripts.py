"""The example conversations of RFC 821 (chapter 3 and appendix F) and RFC 5321 (appendix D), with the real program.

Each is written as the RFC has it, with our own host's names in place of its host's: `C:` is what the client says,
`S:` a reply's code, and of a reply of several lines each line's. Where today's rules differ from the example (a
relay for strangers, 552 for a recipient's full mailbox, a full name in VRFY's answer), the code is today's and a
comment says why. VRFY and EXPN tell everybody here, as the examples have it.
"""

from __future__ import annotations

import asyncio
import imaplib
from collections.abc import Iterator

import pytest

from postroom.site.office import open_office
from postroom.store.changes import AddAlias, Done
from tests.house import ALICE, BOB, PASSWORDS, PATIENCE, House
from tests.system.raw import Raw

ALIASES = {
    "jones@example.test": (ALICE,),
    "brown@example.test": (BOB,),
    "admin.mrc@example.test": (ALICE,),
    "crispin@example.test": ("admin.mrc@example.test",),
    "smith@example.test": (ALICE,),
    "smith@example.org": (BOB,),
    "jones@example.org": ("Jones@usc-isiq.test",),
    "example-people@example.test": (ALICE, BOB, "joe@foo-unix.test", "xyz@bar-unix.test"),
}
GREETED = "S: 220\nC: HELO usc-isif.test\nS: 250\n"
LETTER = "C: DATA\nS: 354\nC: Blah blah blah...\nC: ...etc. etc. etc.\nC: .\n"
MEMO = """
    C: DATA
    S: 354
    C: Date: Thu, 21 May 1998 05:33:29 -0700
    C: From: John Q. Public <JQP@bar.com>
    C: Subject: The Next Meeting of the Board
    C: To: Jones@example.test
    C:
    C: Bill:
    C: The next meeting of the board of directors will be
    C: on Tuesday.
    C:                         John.
    C: .
"""
RELAYED = MEMO.replace(
    "C: Date", "C: Received: from bar.com by foo.com ; Thu, 21 May 1998\n    C:     05:33:29 -0700\n    C: Date"
)
QUIT = "C: QUIT\nS: 221\n"

SCENARIOS = {
    "RFC 821 3.1, scenario 1; a typical transaction": f"""{GREETED}
        C: MAIL FROM:<Smith@usc-isif.test>
        S: 250
        C: RCPT TO:<Jones@example.test>
        S: 250
        C: RCPT TO:<Green@example.test>
        S: 550
        C: RCPT TO:<Brown@example.test>
        S: 250
        {LETTER}
        S: 250
        {QUIT}""",
    "RFC 821 scenario 2; an aborted transaction": f"""{GREETED}
        C: MAIL FROM:<Smith@isi-vaxa.test>
        S: 250
        C: RCPT TO:<Jones@example.test>
        S: 250
        C: RCPT TO:<Green@example.test>
        S: 550
        C: RSET
        S: 250
        {QUIT}""",
    # We relay for nobody: the route is dropped (RFC 5321 F.2), and the host behind it isn't ours.
    "RFC 821 scenario 3, step 1; RFC 5321 D.3, step 1; relayed mail": f"""{GREETED}
        C: MAIL FROM:<JQP@mit-ai.test>
        S: 250
        C: RCPT TO:<@example.test:Jones@bbn-vax.test>
        S: 550
        C: RCPT TO:<Jones@XYZ.COM>
        S: 550
        C: DATA
        S: 554
        {QUIT}""",
    "RFC 821 scenario 3, step 2; RFC 5321 D.3, step 2; at the destination": f"""{GREETED}
        C: MAIL FROM:<@usc-isie.test:JQP@mit-ai.test>
        S: 250
        C: RCPT TO:<Jones@EXAMPLE.TEST>
        S: 250
        {RELAYED}
        S: 250
        {QUIT}""",
    "RFC 821 3.6; a notification of undeliverable mail": f"""{GREETED}
        C: MAIL FROM:<>
        S: 250
        C: RCPT TO:<@hostx.test:jones@example.test>
        S: 250
        {MEMO}
        S: 250
        {QUIT}""",
    "RFC 821 3.3; VRFY": f"""{GREETED}
        C: VRFY Brown
        S: 250
        C: VRFY Nobody
        S: 550
        C: VRFY jones@example.org
        S: 551
        C: VRFY Smith
        S: 553
        S: 553
        S: 553
        {QUIT}""",
    # The list's members elsewhere are told too; each line is one member.
    "RFC 821 3.3, scenario 7; EXPN": f"""{GREETED}
        C: EXPN Example-People
        S: 250
        S: 250
        S: 250
        S: 250
        C: EXPN Executive-Washroom-List
        S: 550
        {QUIT}""",
    "RFC 821 scenario 5; RFC 5321 D.4; nobody at the terminal": f"""{GREETED}
        C: VRFY Crispin
        S: 250
        C: SEND FROM:<EAK@mit-mc.test>
        S: 250
        C: RCPT TO:<Admin.MRC@example.test>
        S: 450
        C: RSET
        S: 250
        C: MAIL FROM:<EAK@mit-mc.test>
        S: 250
        C: RCPT TO:<Admin.MRC@example.test>
        S: 250
        {LETTER}
        S: 250
        {QUIT}""",
    "RFC 821 scenario 6; the same more efficiently": f"""{GREETED}
        C: VRFY Crispin
        S: 250
        C: SOML FROM:<EAK@mit-mc.test>
        S: 250
        C: RCPT TO:<Admin.MRC@example.test>
        S: 250
        {LETTER}
        S: 250
        {QUIT}""",
    # 251 is for who forwards; nothing is relayed from here yet, and 4yz says that it may be later.
    "RFC 821 3.2, scenarios 9 and 10; forwarding, and giving up": f"""{GREETED}
        C: MAIL FROM:<mo@lbl-unix.test>
        S: 250
        C: RCPT TO:<jones@example.org>
        S: 451
        C: RSET
        S: 250
        {QUIT}""",
    # In the clear it would hand mail to anybody (RFC 5321 F.1).
    "RFC 821 3.8, example 8; TURN": f"""{GREETED}
        C: TURN
        S: 502
        {QUIT}""",
    "RFC 821 4.1.1; commands out of order": f"""
        S: 220
        C: MAIL FROM:<Smith@usc-isif.test>
        S: 503
        C: HELO usc-isif.test
        S: 250
        C: RCPT TO:<Jones@example.test>
        S: 503
        C: DATA
        S: 503
        C: NOOP
        S: 250
        C: BLAH
        S: 500
        {QUIT}""",
}
AT_THE_TERMINAL = f"""{GREETED}
    C: VRFY Crispin
    S: 250
    C: SEND FROM:<EAK@mit-mc.test>
    S: 250
    C: RCPT TO:<Admin.MRC@example.test>
    S: 250
    {LETTER}
    S: 250
    {QUIT}"""
"""RFC 821, scenario 4."""


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    house = House(
        tmp_path_factory.mktemp("transcripts"),
        settings='domains = ["example.test", "example.org"]',
        tables='[smtp]\nverify = "everybody"',
    )
    asyncio.run(_add_aliases(house))
    with house:
        yield house


async def _add_aliases(house: House) -> None:
    async with open_office(house.config) as office:
        for name, targets in ALIASES.items():
            assert isinstance(await office.store.commit(AddAlias(name, targets)), Done)


def converse(house: House, text: str) -> None:
    """Say the client's lines, and hold each reply's codes to the text."""
    with Raw(house, "smtp", greeted=False) as raw:
        rows = [row.strip() for row in text.splitlines() if row.strip()]
        for number, row in enumerate(rows):
            who, said = row[:2], row[2:].removeprefix(" ")
            if who == "C:":
                raw.say(said.encode() + b"\r\n")
                continue
            line = raw.line()
            assert line[:3].decode() == said, f"{row} behind {rows[max(0, number - 3) : number]}: {line!r}"
            more = rows[number + 1 : number + 2] == [row]
            assert (line[3:4] == b"-") == more, f"{row}: {line!r}"


@pytest.mark.parametrize("name", SCENARIOS)
def test_the_example_of_the_rfc(house: House, name: str) -> None:
    converse(house, SCENARIOS[name])


def test_the_example_with_somebody_at_the_terminal(house: House) -> None:
    imap = imaplib.IMAP4("127.0.0.1", house.port("imap"), timeout=PATIENCE)
    imap.login(ALICE, PASSWORDS[ALICE])
    converse(house, AT_THE_TERMINAL)
    assert imap.readline() == b"* OK [ALERT] Message from EAK@mit-mc.test: Blah blah blah...\r\n"
    imap.shutdown()


def test_the_example_of_ehlo(house: House) -> None:
    # RFC 5321 D.1: one line for each extension, the host's name first.
    with Raw(house, "smtp") as raw:
        assert raw.greeting.startswith(b"220 mx.example.test ")
        raw.say(b"EHLO bar.com\r\n")
        lines = [raw.line()]
        while lines[-1][3:4] == b"-":
            lines.append(raw.line())
        assert lines[0].startswith(b"250-mx.example.test")
        words = {line[4:].split()[0] for line in lines[1:]}
        assert {b"8BITMIME", b"SIZE", b"HELP", b"SEND", b"SOML", b"SAML"} <= words
