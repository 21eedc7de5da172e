"""Who somebody is: legal names, and the one way in for every protocol."""

from __future__ import annotations

import asyncio
import io
import logging
import re
import ssl
from types import SimpleNamespace
from typing import cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from postroom.accounts import directory as directory_module
from postroom.accounts.authority import (
    Attempt,
    Challenge,
    Login,
    Opening,
    Outcome,
    Proof,
    Token,
    Verdict,
    Voucher,
)
from postroom.accounts.directory import Directory, Ways, account_name
from postroom.accounts.sasl import Credentials, NoSuchMechanism
from postroom.net import log, memory
from postroom.net.limits import LOGIN_OCTETS
from postroom.store.values import Account, AccountId

ALICE = Account(AccountId(1), "alice@example.test")
BOB = Account(AccountId(2), "bob@example.test", disabled=True)


class Porter:
    """An authority to whom one password is right."""

    def __init__(self, outcome: Outcome | None = None) -> None:
        self.outcome = outcome
        self.attempts: list[Attempt] = []

    async def login(self, attempt: Attempt) -> Login:
        self.attempts.append(attempt)
        if self.outcome is not None:
            return Login(self.outcome)
        right = attempt.password == b"right"
        return Login(Outcome.OK, attempt.login) if right else Login(Outcome.DENIED)

    async def set_password(self, address: str, password: bytes, *, ready_hash: bool = False) -> None:
        raise AssertionError("nobody asks for this")

    async def remove(self, address: str) -> None:
        raise AssertionError("nobody asks for this")

    async def close(self) -> None:
        pass


async def lookup(name: str) -> Account | None:
    return {ALICE.address: ALICE, BOB.address: BOB}.get(name)


def login(porter: Porter, name: str, password: bytes) -> Account | Outcome:
    directory = Directory(lookup, porter)
    return asyncio.run(directory.login(Credentials(name, password), "192.0.2.1", "imap", "a0x"))


@pytest.mark.parametrize("name", ["alice@example.test", "ALICE@Example.Test"])
def test_the_right_password_gives_the_account(name: str, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        assert login(Porter(), name, b"right") is ALICE
    assert [record.message for record in caplog.records] == [
        "login session=a0x protocol=imap peer=192.0.2.1 login=alice@example.test"
    ]


@pytest.mark.parametrize(
    ("name", "password"),
    [
        ("alice@example.test", b"wrong"),
        ("bob@example.test", b"right"),
        ("gone@example.test", b"right"),
        ("no address", b"wrong"),
        ("../../etc/passwd", b"wrong"),
        ("a" * 300, b"wrong"),
    ],
)
def test_all_who_may_not_get_one_answer_after_the_same_question(
    name: str, password: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    porter = Porter()
    with caplog.at_level(logging.INFO):
        assert login(porter, name, password) is Outcome.DENIED
    assert len(porter.attempts) == 1 and porter.attempts[0].peer == "192.0.2.1"
    (record,) = caplog.records
    assert record.message.startswith("login-failed session=a0x protocol=imap peer=192.0.2.1 login=")
    assert record.message.endswith(" reason=denied") and "wrong" not in record.message


@pytest.mark.parametrize("outcome", [Outcome.BLOCKED, Outcome.UNAVAILABLE, Outcome.DENIED])
def test_the_authoritys_other_words_are_passed_on(outcome: Outcome) -> None:
    assert login(Porter(outcome), "alice@example.test", b"right") is outcome


async def by_short(short: str) -> Account | None:
    return ALICE if short == "alice" else BOB if short == "bob" else None


@pytest.mark.parametrize(
    ("said", "asked", "account"),
    [
        ("alice", "alice@example.test", ALICE),
        ("ALICE", "alice@example.test", ALICE),
        ("bob", "bob@example.test", Outcome.DENIED),
        ("carol", "carol", Outcome.DENIED),
        ("alice@", "alice@", Outcome.DENIED),
    ],
)
def test_a_short_name_logs_in_as_its_account(said: str, asked: str, account: Account | Outcome) -> None:
    porter = Porter()
    directory = Directory(lookup, porter, None, by_short)
    assert asyncio.run(directory.login(Credentials(said, b"right"), "192.0.2.1", "imap")) == account
    assert porter.attempts[0].login == asked


class Ushers:
    """`Exchanges` that vouch for whom they are told to."""

    def __init__(self, outcome: Outcome = Outcome.OK, owner: str = "") -> None:
        self.outcome = outcome
        self.owner = owner
        self.vouchers: list[Voucher] = []
        self.tokens: list[Token] = []
        self.openings: list[Opening] = []

    async def scram_for_all(self) -> bool | None:
        raise AssertionError("nobody asks for this")

    async def scram_first(self, opening: Opening) -> Challenge:
        self.openings.append(opening)
        return Challenge(Outcome.BLOCKED)

    async def scram_final(self, proof: Proof) -> Verdict:
        raise AssertionError("nobody asks for this")

    async def vouch(self, voucher: Voucher) -> Login:
        self.vouchers.append(voucher)
        if self.outcome is not Outcome.OK or not voucher.right:
            return Login(self.outcome if self.outcome is not Outcome.OK else Outcome.DENIED)
        return Login(Outcome.OK, voucher.login)

    async def token(self, token: Token) -> Login:
        self.tokens.append(token)
        return Login(self.outcome, self.owner if self.outcome is Outcome.OK else "")


def authenticate(
    ushers: Ushers, mechanism: str, initial: bytes, certificate: dict[str, object] | None = None
) -> Account | Outcome:
    """A client on a TLS connection that shows a certificate."""

    async def ask(challenge: bytes) -> bytes:
        return b""

    async def story() -> Account | Outcome:
        stream, _ = memory.pair("192.0.2.1")
        if certificate is not None:
            stream.tls = cast(ssl.SSLObject, SimpleNamespace(getpeercert=lambda: certificate, context=None))
        directory = Directory(lookup, Porter(), Ways(ushers, tokens=True), by_short)
        return await directory.authenticate(mechanism, initial, ask, stream, "imaps", "a0x")

    return asyncio.run(story())


def names(*addresses: str) -> dict[str, object]:
    return {"subjectAltName": tuple(("email", address) for address in addresses)}


@pytest.mark.parametrize(
    ("initial", "certificate", "account"),
    [
        (b"", names("alice@example.test"), ALICE),
        (b"", names("Alice@Example.Test"), ALICE),
        (b"alice@example.test", names("x@else.test", "alice@example.test"), ALICE),
        (b"", names("x@else.test", "alice@example.test"), ALICE),
        (b"", names("bob@example.test"), Outcome.DENIED),
        (b"", names("x@else.test"), Outcome.DENIED),
    ],
)
def test_a_certificate_is_its_accounts(
    initial: bytes, certificate: dict[str, object], account: Account | Outcome, caplog: pytest.LogCaptureFixture
) -> None:
    ushers = Ushers()
    with caplog.at_level(logging.INFO):
        assert authenticate(ushers, "EXTERNAL", initial, certificate) == account
    (voucher,) = ushers.vouchers
    assert voucher.right is isinstance(account, Account) and voucher.peer == "192.0.2.1"
    assert ("login-failed" in caplog.text) is not voucher.right


def test_a_blocked_certificate_stays_out() -> None:
    assert authenticate(Ushers(Outcome.BLOCKED), "EXTERNAL", b"", names("alice@example.test")) is Outcome.BLOCKED


def test_without_a_verified_certificate_there_is_no_external() -> None:
    host: dict[str, object] = {"subjectAltName": (("DNS", "alice@example.test"),)}
    for certificate in (None, {}, host):
        with pytest.raises(NoSuchMechanism):
            authenticate(Ushers(), "EXTERNAL", b"", certificate)


@pytest.mark.parametrize(
    ("claimed", "owner", "account"),
    [
        ("", "alice@example.test", ALICE),
        ("alice", "ALICE@example.test", ALICE),
        ("alice@example.test", "alice", ALICE),
        ("bob@example.test", "alice@example.test", Outcome.DENIED),
        ("", "bob@example.test", Outcome.DENIED),
        ("", "nobody@example.test", Outcome.DENIED),
        ("", "", Outcome.DENIED),
    ],
)
def test_a_token_is_its_owners(claimed: str, owner: str, account: Account | Outcome) -> None:
    ushers = Ushers(owner=owner)
    message = b"n,%b,\x01auth=Bearer abc\x01\x01" % (b"a=" + claimed.encode() if claimed else b"")
    assert authenticate(ushers, "OAUTHBEARER", message) == account
    # A good token for the wrong account counts as a failure, as a bad one did at the authority.
    assert [voucher.right for voucher in ushers.vouchers] == ([] if isinstance(account, Account) else [False])


def test_scram_is_asked_for_the_account_that_a_name_means() -> None:
    ushers = Ushers()
    assert authenticate(ushers, "SCRAM-SHA-256", b"n,,n=ALICE,r=x") is Outcome.BLOCKED
    assert (ushers.openings[0].login, ushers.openings[0].bare) == ("alice@example.test", b"n=ALICE,r=x")


def test_what_could_not_be_checked_bans_nobody(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        login(Porter(Outcome.UNAVAILABLE), "alice@example.test", b"right")
    assert caplog.records[0].message.startswith("login-unavailable ")


def failregex() -> re.Pattern[str]:
    """fail2ban's expression, from the module's own documentation."""
    written = re.search(r"failregex = (.*?)\n\n", directory_module.__doc__ or "", re.DOTALL)
    assert written is not None
    return re.compile(" ".join(written[1].split()).replace("<HOST>", r"(?P<host>[0-9a-fA-F.:]+)"))


def logged(name: str, outcome: Outcome | None = None, peer: str = "192.0.2.1") -> list[str]:
    """The lines of the log, as fail2ban sees them: without their time."""
    stream = io.StringIO()
    root = logging.getLogger()
    level, handlers = root.level, root.handlers[:]
    try:
        log.setup(stream, logging.INFO)
        directory = Directory(lookup, Porter(outcome), None, by_short)
        asyncio.run(directory.login(Credentials(name, b"wrong"), peer, "imap", "a0x"))
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)
    return [re.sub(r"^\S+Z", "", line) for line in stream.getvalue().split("\n")[:-1]]


EVIL = (
    "x peer=203.0.113.9 login=y reason=denied",
    'x" reason=denied peer=203.0.113.9 login="',
    "x\nINFO postroom.accounts.directory login-failed protocol=imap peer=203.0.113.9 login=y reason=denied",
    "x\\",
    'x\\"',
    "peer=203.0.113.9",
    "x\u2028INFO postroom.accounts.directory login-failed protocol=imap peer=203.0.113.9 login=y reason=denied",
    "x\x85y",
    "\x1b[2Jx",
    "\udcff",
    "",
)


@pytest.mark.parametrize("name", ["alice@example.test", "o'neil@example.test", "jürgen@example.test", *EVIL])
@pytest.mark.parametrize("outcome", [None, Outcome.BLOCKED])
@pytest.mark.parametrize("peer", ["192.0.2.1", "2001:db8::7"])
def test_fail2ban_reads_the_peer_and_nothing_that_a_client_said(
    name: str, outcome: Outcome | None, peer: str
) -> None:
    (line,) = logged(name, outcome, peer)
    assert len(line.splitlines()) == 1
    found = failregex().search(line)
    assert found is not None and found["host"] == peer


@given(st.text(max_size=60))
@settings(max_examples=100, deadline=None)
def test_no_name_looks_like_anothers_address(name: str) -> None:
    (line,) = logged(name)
    found = failregex().search(line)
    assert found is not None and found["host"] == "192.0.2.1"


def test_fail2ban_passes_over_the_others() -> None:
    (line,) = logged("alice@example.test", Outcome.UNAVAILABLE)
    assert failregex().search(line) is None


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("alice@example.test", "alice@example.test"),
        ("Al.Ice+tag@EXAMPLE.test", "al.ice+tag@example.test"),
        ("o'neil!#$%&*=?^_`{|}~-@x", "o'neil!#$%&*=?^_`{|}~-@x"),
        ("JÜRGEN@Bücher.example", "jürgen@bücher.example"),
        ("ju\u0308rgen@x", "jürgen@x"),
        ("アリス@例え.テスト", "アリス@例え.テスト"),
        ("a@" + "b" * 63, "a@" + "b" * 63),
        ("1@2x", "1@2x"),
    ],
)
def test_names_are_one_spelling(text: str, name: str) -> None:
    assert account_name(text) == name
    assert account_name(name) == name


@pytest.mark.parametrize(
    "text",
    [
        "",
        "@",
        "alice",
        "alice@",
        "@example.test",
        "a/b@x",
        "../x@y",
        ".a@x",
        "a.@x",
        "a..b@x",
        "a@b@c",
        "a b@x",
        'a"b@x',
        "a\\b@x",
        "a\x00@x",
        "a\n@x",
        "a@x/y",
        "a@.x",
        "a@x.",
        "a@x..y",
        "a@-x",
        "a@x-",
        "a@[192.0.2.1]",
        "a@192.0.2.1",
        "a@" + "b" * 64,
        "a\u202eb@x",
        "a\u200bb@x",
        "a\udcff@x",
        "a@x\udcff",
        "😀@x",
    ],
)
def test_what_could_be_a_path_or_a_trick_is_no_name(text: str) -> None:
    with pytest.raises(ValueError):
        account_name(text)


def test_limit_of_a_name_and_one_more() -> None:
    domain = "@" + "x" * 60
    longest = "a" * (LOGIN_OCTETS - len(domain)) + domain
    assert account_name(longest) == longest
    with pytest.raises(ValueError, match=str(LOGIN_OCTETS)):
        account_name("a" + longest)
    with pytest.raises(ValueError, match=str(LOGIN_OCTETS)):
        account_name("ü" * 128 + "@x")


@given(st.text(max_size=40))
@settings(max_examples=100, deadline=None)
def test_any_text_is_a_stable_name_or_a_value_error(text: str) -> None:
    try:
        name = account_name(text + "@x")
    except ValueError:
        return
    assert account_name(name) == name and "/" not in name and not name.startswith(".")
