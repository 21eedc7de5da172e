"""VRFY and EXPN (RFC 5321 3.5)."""

from __future__ import annotations

import pytest

from postroom.net.limits import SMTP_EXPN_MEMBERS, SMTP_UNKNOWN_RECIPIENTS, SMTP_VRFY_DOMAINS
from postroom.smtp.session import Role, Verify
from postroom.store.interface import StoreFault
from tests.smtp.office import HELLO, LOGGED_IN, Office


def an_office(verify: Verify = Verify.EVERYBODY) -> Office:
    office = Office(verify=verify)
    office.store.also("info@example.test", "alice@example.test", "bob@example.test")
    office.store.also("boss@example.test", "alice@example.test")
    office.store.also("away@example.test", "jo@other.test")
    office.store.also("fär@example.test", "jö@other.test")
    office.store.also("aways@example.test", "jo@other.test", "al@other.test")
    office.store.also("both@example.test", "bob@example.test", "jo@other.test")
    office.store.also("carols@example.test", "carol@example.test")
    office.store.add("jörg@example.test")
    return office


def ask(command: str, *replies: str, office: Office | None = None, before: str = HELLO) -> None:
    said = "\n".join(f"S: {each}" for each in replies)
    (office or an_office()).talk(f"{before}\nC: {command}\n{said}\nC: NOOP\nS: 250 2.0.0 Ok")


# --- who is told


@pytest.mark.parametrize("verb", ["VRFY", "EXPN"])
@pytest.mark.parametrize("verify", [Verify.ACCOUNTS, Verify.NOBODY])
@pytest.mark.parametrize("name", ["alice", "alice@example.test", "nobody", "info", "<>", "a b", "x@other.test"])
def test_strangers_hear_the_same_of_everybody(verb: str, verify: Verify, name: str) -> None:
    ask(f"{verb} {name}", "252 2.5.0 Send some mail, I'll try my best", office=an_office(verify))


@pytest.mark.parametrize("role", [Role.SUBMISSION, Role.SUBMISSIONS])
def test_who_is_logged_in_hears_the_truth(role: Role) -> None:
    an_office(Verify.ACCOUNTS).talk(
        f"""
        {HELLO}
        C: VRFY alice
        S: 252 *
        {LOGGED_IN.removeprefix(HELLO)}
        C: VRFY bob
        S: 250 2.1.5 <bob@example.test>
        C: VRFY nobody
        S: 550 5.1.1 No such user here
        C: EXPN info
        S: 250-2.1.5 <alice@example.test>
        S: 250 2.1.5 <bob@example.test>
        """,
        role,
        tls=True,
    )
    an_office(Verify.NOBODY).talk(f"{LOGGED_IN}\nC: VRFY bob\nS: 252 *\nC: EXPN info\nS: 252 *", role, tls=True)


def test_expn_is_announced_where_somebody_may_use_it() -> None:
    for verify, announced in ((Verify.EVERYBODY, True), (Verify.NOBODY, False)):
        lines = "S: 250-EXPN\n" if announced else ""
        an_office(verify).talk(f"""
            S: 220 *
            C: EHLO x
            S: 250-mx.example.test
            S* 250-8BITMIME
            S* 250-BINARYMIME
            S* 250-PIPELINING
            S* 250-ENHANCEDSTATUSCODES
            S* 250-SMTPUTF8
            S* 250-LIMITS *
            S* 250-SIZE *
            S: 250-CHUNKING
            {lines}S: 250-HELP
            S* 250-STARTTLS
            S* 250-SEND
            S* 250-SOML
            S: 250 SAML
        """)


# --- VRFY


@pytest.mark.parametrize(
    ("name", "reply"),
    [
        ("alice", "250 2.1.5 <alice@example.test>"),
        ("ALICE", "250 2.1.5 <alice@example.test>"),
        ("<alice>", "250 2.1.5 <alice@example.test>"),
        ("alice@example.test", "250 2.1.5 <alice@example.test>"),
        ("<Alice+x@EXAMPLE.test>", "250 2.1.5 <alice@example.test>"),
        ('"alice"@example.test', "250 2.1.5 <alice@example.test>"),
        ("boss", "250 2.1.5 <alice@example.test>"),
        ("postmaster", "250 2.1.5 <alice@example.test>"),
        ("info", "252 2.5.0 That is a list, EXPN shows its members"),
        ("both", "252 2.5.0 That is a list, *"),
        ("aways", "252 2.5.0 That is a list, *"),
        ("away", "551 5.1.6 User not local; please try <jo@other.test>"),
        ("jo@other.test", "551 5.1.6 User not local"),
        ("nobody", "550 5.1.1 No such user here"),
        ("carol", "550 5.2.1 Mailbox disabled"),
        ("carols", "550 5.2.1 Mailbox disabled"),
        ("alice@", "501 5.1.3 *"),
        ("<alice", "501 5.1.3 *"),
        ("alice bob", "501 5.1.3 *"),
        ("l" * 65, "501 5.1.3 *"),
    ],
)
def test_vrfy(name: str, reply: str) -> None:
    ask(f"VRFY {name}", reply)


def test_a_name_without_a_domain_is_looked_for_in_all_of_ours() -> None:
    office = an_office()
    office.store.add("dora@example.org")
    ask("VRFY dora", "250 2.1.5 <dora@example.org>", office=office)
    office.store.add("bob@example.org")
    ask(
        "VRFY bob",
        "553-5.1.4 User ambiguous; possibilities are",
        "553-5.1.4 <bob@example.test>",
        "553 5.1.4 <bob@example.org>",
        office=office,
    )
    # One that is the same in both is not ambiguous.
    office.store.also("alice@example.org", "alice@example.test")
    ask("VRFY alice", "250 2.1.5 <alice@example.test>", office=office)


def test_no_more_than_the_first_domains_are_looked_in() -> None:
    domains = tuple(f"d{number}.test" for number in range(100 * SMTP_VRFY_DOMAINS))
    office = Office(verify=Verify.EVERYBODY, domains=domains)
    office.store.add(f"dora@d{SMTP_VRFY_DOMAINS}.test")
    ask("VRFY dora", "550 5.1.1 *", office=office)
    ask(f"VRFY dora@d{SMTP_VRFY_DOMAINS}.test", "250 *", office=office)
    office.store.add(f"dora@d{SMTP_VRFY_DOMAINS - 1}.test")
    ask("VRFY dora", f"250 2.1.5 <dora@d{SMTP_VRFY_DOMAINS - 1}.test>", office=office)


# --- EXPN


def test_expn_lists_members() -> None:
    ask("EXPN info", "250-2.1.5 <alice@example.test>", "250 2.1.5 <bob@example.test>")
    ask("EXPN info@example.test", "250-2.1.5 <alice@example.test>", "250 2.1.5 <bob@example.test>")
    ask("EXPN both", "250-2.1.5 <bob@example.test>", "250 2.1.5 <jo@other.test>")
    ask("EXPN aways", "250-2.1.5 <jo@other.test>", "250 2.1.5 <al@other.test>")
    ask("EXPN boss", "250 2.1.5 <alice@example.test>")


@pytest.mark.parametrize(
    ("name", "reply"),
    [
        ("alice", "550 5.2.4 That is a user, not a list"),
        ("alice+x@example.test", "550 5.2.4 That is a user, not a list"),
        ("nobody", "550 5.1.1 No such user here"),
        ("carol", "550 5.2.1 *"),
        ("jo@other.test", "551 5.1.6 User not local"),
        ("a b", "501 5.1.3 *"),
    ],
)
def test_expn_of_what_is_no_list(name: str, reply: str) -> None:
    ask(f"EXPN {name}", reply)


@pytest.mark.parametrize("more", [0, 1, 10])
def test_a_long_list_is_cut(more: int) -> None:
    office = an_office()
    names = [f"u{number}@example.test" for number in range(SMTP_EXPN_MEMBERS + more)]
    for name in names:
        office.store.add(name)
    office.store.also("all@example.test", *names)
    shown = [f"250-2.1.5 <{name}>" for name in names[:SMTP_EXPN_MEMBERS]]
    if more:
        shown.append(f"250 2.1.5 and {more} more")
    else:
        shown[-1] = shown[-1].replace("250-", "250 ")
    ask("EXPN all", *shown, office=office)


def test_an_alias_that_leads_too_far() -> None:
    office = an_office()
    office.store.also("all@example.test", *(f"u{number}@example.test" for number in range(100 * SMTP_EXPN_MEMBERS)))
    ask("EXPN all", "451 4.3.5 *", office=office)
    ask("VRFY all", "451 4.3.5 *", office=office)


# --- beyond ASCII (RFC 6531 3.7.4.2)


def test_names_beyond_ascii_are_shown_to_who_asks_for_them() -> None:
    ask("VRFY jörg SMTPUTF8", "250 2.1.5 <jörg@example.test>")
    ask("VRFY jörg", "553 5.6.7 *")
    ask("EXPN jörg", "553 5.6.7 *")
    ask("VRFY fär SMTPUTF8", "551 5.1.6 User not local; please try <jö@other.test>")
    ask("EXPN fär SMTPUTF8", "250 2.1.5 <jö@other.test>")
    office = an_office()
    office.store.also("george@example.test", "jörg@example.test")
    office.store.also("far@example.test", "jö@other.test")
    for verb in ("VRFY", "EXPN"):
        ask(f"{verb} george", "252 2.6.8 The mailbox can't be shown without SMTPUTF8", office=office)
        ask(f"{verb} george SMTPUTF8", "250 2.1.5 <jörg@example.test>", office=office)
        ask(f"{verb} far", "252 2.6.8 *", office=office)


@pytest.mark.parametrize("verb", ["VRFY", "EXPN"])
@pytest.mark.parametrize("verify", list(Verify))
def test_what_is_no_utf8_is_553(verb: str, verify: Verify) -> None:
    an_office(verify).talk(
        f"{HELLO}\nC< {verb} j\\xff SMTPUTF8\\r\\n\nS: 553 5.1.3 *\nC< {verb} \\xff\\r\\n\nS: 553 5.6.7 *"
    )


# --- who guesses


@pytest.mark.parametrize("verb", ["VRFY", "EXPN"])
def test_who_guesses_names_is_left(verb: str) -> None:
    guesses = "".join(f"C: {verb} x{number}\nS: 550 5.1.1 *\n" for number in range(SMTP_UNKNOWN_RECIPIENTS))
    an_office().talk(f"{HELLO}\n{guesses}S: 421 4.7.0 Too many unknown recipients, closing\nS! end")


def test_what_the_store_cannot_tell_now() -> None:
    office = an_office()
    office.store.lookup_fault = StoreFault("locked")
    ask("VRFY alice", "451 4.3.0 *", office=office)
