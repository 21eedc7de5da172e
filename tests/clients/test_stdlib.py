"""Python's own smtplib, poplib and imaplib."""

from __future__ import annotations

import imaplib
import poplib
import smtplib
import ssl

import pytest

from tests.house import ALICE, BOB, PASSWORDS, House
from tests.mailbag import empty, fetched, hashes, imap, without_trace


def _unverified() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


@pytest.mark.parametrize("way", ["smtp", "submission", "submissions"])
def test_smtplib_sends_and_imaplib_reads(house: House, carried: list[bytes], way: str) -> None:
    empty(house, BOB)
    client: smtplib.SMTP
    if way == "submissions":
        client = smtplib.SMTP_SSL("127.0.0.1", house.port(way), context=_unverified())
    else:
        client = smtplib.SMTP("127.0.0.1", house.port(way))
        client.starttls(context=_unverified())
    with client:
        if way != "smtp":
            client.login(ALICE, PASSWORDS[ALICE])
        for letter in carried:
            assert client.sendmail(ALICE, [BOB], letter, mail_options=["BODY=8BITMIME"]) == {}
    assert hashes(map(without_trace, fetched(house, BOB))) == hashes(carried)


@pytest.mark.parametrize("way", ["pop3", "pop3-stls", "pop3s"])
def test_poplib_reads_what_imaplib_appended(house: House, carried: list[bytes], way: str) -> None:
    empty(house, ALICE)
    client = imap(house, ALICE)
    for letter in carried:
        client.append("INBOX", "", "", letter)
    client.logout()
    pop: poplib.POP3
    if way == "pop3s":
        pop = poplib.POP3_SSL("127.0.0.1", house.port("pop3s"), context=_unverified())
    else:
        pop = poplib.POP3("127.0.0.1", house.port("pop3"))
        if way == "pop3-stls":
            pop.stls(_unverified())
    pop.user(ALICE)
    pop.pass_(PASSWORDS[ALICE])
    assert pop.stat() == (len(carried), sum(map(len, carried)))
    for number, letter in enumerate(carried, 1):
        _, lines, _ = pop.retr(number)
        assert b"\r\n".join([*lines, b""]) == letter
    pop.quit()


def test_imaplib_walks_the_five_things_beyond_pop3(house: House, carried: list[bytes]) -> None:
    """The header before download, a search, a partial download, mailboxes made and renamed, a hierarchy."""
    client = imaplib.IMAP4_SSL("127.0.0.1", house.port("imaps"), ssl_context=_unverified())
    client.login(ALICE, PASSWORDS[ALICE])
    assert client.create("club/2026/letters")[0] == "OK"
    for letter in carried:
        client.append("club/2026/letters", "(\\Seen)", "", letter)
    client.select("club/2026/letters")
    _, answers = client.fetch("1", "(BODY.PEEK[HEADER])")
    assert isinstance(answers[0], tuple)
    assert answers[0][1] == carried[0].partition(b"\r\n\r\n")[0] + b"\r\n\r\n"
    _, found = client.search(None, "HEADER", "Message-ID", "letter-7@letters")
    assert found == [b"8"]
    _, answers = client.fetch("8", "(BODY.PEEK[]<10.20>)")
    assert isinstance(answers[0], tuple)
    assert answers[0][1] == carried[7][10:30]
    client.close()
    assert client.rename("club", "society")[0] == "OK"
    _, names = client.list()
    assert any(name is not None and b"society/2026/letters" in name for name in names)
    assert hashes(fetched(house, ALICE, "society/2026/letters")) == hashes(carried)
    assert client.delete("society/2026/letters")[0] == "OK"
    client.logout()
