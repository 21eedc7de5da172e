"""Mailboxes chosen, made, renamed, deleted, subscribed to, looked at from outside."""

from __future__ import annotations

import pytest

from postroom.imap.server import views
from postroom.net.limits import IMAP_MAILBOX_LEVELS, IMAP_MAILBOX_NAME_OCTETS
from postroom.store.values import Flag
from tests.imap.server.house import ALICE, BOB, LETTER, House, Open, login, select


async def three_letters(opened: Open) -> None:
    await opened.deliver(LETTER, flags=Flag.SEEN)
    await opened.deliver(LETTER, LETTER, keywords=["$Forwarded"])


def test_select_tells_how_the_mailbox_stands(house: House) -> None:
    house.talk(
        f"""
        {login()}
        C: a SELECT inbox
        S: * FLAGS (\\Answered \\Flagged \\Deleted \\Seen \\Draft $Forwarded)
        S: * 3 EXISTS
        S: * 3 RECENT
        S: * OK [UNSEEN 2] *
        S: * OK [PERMANENTFLAGS (\\Answered \\Flagged \\Deleted \\Seen \\Draft $Forwarded \\*)] *
        S: * OK [UIDVALIDITY {{validity}}] *
        S: * OK [UIDNEXT 4] *
        S: a OK [READ-WRITE] *
        C: b STATUS INBOX (UIDVALIDITY)
        S: * STATUS INBOX (UIDVALIDITY {{validity}})
        S: b OK *
        """,
        before=three_letters,
    )


def test_select_claims_what_is_recent_and_examine_does_not(house: House) -> None:
    house.talk(
        f"""
        {login()}
        C: a EXAMINE INBOX
        S: * FLAGS *
        S: * 3 EXISTS
        S: * 3 RECENT
        S: * OK [UNSEEN 2] *
        S: * OK [PERMANENTFLAGS ()] *
        S: * OK [UIDVALIDITY *
        S: * OK [UIDNEXT 4] *
        S: a OK [READ-ONLY] *
        C: b FETCH 3 FLAGS
        S: * 3 FETCH (FLAGS (\\Recent $Forwarded))
        S: b OK *
        C: c SELECT INBOX
        S: * FLAGS *
        S: * 3 EXISTS
        S: * 3 RECENT
        S: * OK [UNSEEN 2] *
        S: * OK [PERMANENTFLAGS *
        S: * OK [UIDVALIDITY *
        S: * OK [UIDNEXT 4] *
        S: c OK [READ-WRITE] *
        C: d EXAMINE INBOX
        S: * FLAGS *
        S: * 3 EXISTS
        S: * 0 RECENT
        S: * OK [UNSEEN 2] *
        S: * OK [PERMANENTFLAGS ()] *
        S: * OK [UIDVALIDITY *
        S: * OK [UIDNEXT 4] *
        S: d OK [READ-ONLY] *
        """,
        before=three_letters,
    )


def test_examine_shows_the_newest_as_recent(house: House) -> None:
    async def more(opened: Open) -> None:
        await three_letters(opened)

    house.talk(
        f"""
        {login()}
        {select(letters=3)}
        C: a UNSELECT
        S: a OK *
        C: b APPEND INBOX {{2}}
        S: + *
        C: hi
        S: b OK *
        C: c EXAMINE INBOX
        S: * FLAGS *
        S: * 4 EXISTS
        S: * 1 RECENT
        S: * OK [UNSEEN 2] *
        S: * OK [PERMANENTFLAGS ()] *
        S: * OK [UIDVALIDITY *
        S: * OK [UIDNEXT 5] *
        S: c OK *
        C: d SEARCH RECENT
        S: * SEARCH 4
        S: d OK *
        """,
        before=more,
    )


def test_a_large_mailbox_is_read_in_slices(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(views, "IMAP_ENTRIES_PER_READ", 2)

    async def six(opened: Open) -> None:
        await opened.deliver(*[LETTER] * 6)

    house.talk(
        f"{login()}\n{select(letters=6)}\nC: a UID SEARCH ALL\nS: * SEARCH 1 2 3 4 5 6\nS: a OK *", before=six
    )


def test_a_failed_select_leaves_no_mailbox_selected(house: House) -> None:
    house.talk(
        f"""
        {login()}
        {select(letters=0)}
        C: a SELECT Nowhere
        S: a NO [NONEXISTENT] *
        C: b CHECK
        S: b BAD *
        """
    )


def test_another_mailbox_may_be_selected_at_once(house: House) -> None:
    house.talk(
        f"""
        {login()}
        {login("2")}
        {select(letters=0)}
        {select(mailbox="Sent", letters=0)}
        C2: a APPEND INBOX {{2}}
        S2: + *
        C2: hi
        S2: a OK *
        C: b NOOP
        S: b OK *
        """
    )


def test_nobody_gets_at_the_mailboxes_of_others(house: House) -> None:
    house.talk(
        f"""
        {login()}
        {login("2", BOB)}
        C: a CREATE Secrets
        S: a OK *
        C2: b SELECT Secrets
        S2: b NO [NONEXISTENT] *
        C2: c DELETE Secrets
        S2: c NO [NONEXISTENT] *
        C2: d RENAME Secrets Mine
        S2: d NO [NONEXISTENT] *
        C2: e STATUS Secrets (MESSAGES)
        S2: e NO [NONEXISTENT] *
        C2: f APPEND Secrets {{2}}
        S2: f NO [TRYCREATE] *
        C2: g SELECT {ALICE}/INBOX
        S2: g NO *
        """
    )


def test_unselect_expunges_nothing_and_close_does(house: House) -> None:
    house.talk(
        f"""
        {login()}
        {select(letters=3)}
        C: a STORE 1 +FLAGS.SILENT (\\Deleted)
        S: a OK *
        C: b UNSELECT
        S: b OK *
        {select(letters=3)}
        C: c CLOSE
        S: c OK *
        C: d CHECK
        S: d BAD *
        {select(letters=2)}
        """,
        before=three_letters,
    )


# --- CREATE, DELETE, RENAME


def test_create_makes_the_levels_above_too(house: House) -> None:
    house.talk(
        f"""
        {login()}
        C: a CREATE a/b/c/
        S: a OK *
        C: b LIST "" a*
        S: * LIST (\\HasChildren) "/" a
        S: * LIST (\\HasChildren) "/" a/b
        S: * LIST (\\HasNoChildren) "/" a/b/c
        S: b OK *
        C: c CREATE a/b
        S: c NO [ALREADYEXISTS] *
        """
    )


@pytest.mark.parametrize(
    ("name", "answer"),
    [
        ("INBOX", "NO [ALREADYEXISTS] *"),
        ("inbox", "NO [ALREADYEXISTS] *"),
        ("Sent", "NO [ALREADYEXISTS] *"),
        ('""', "NO [CANNOT] *"),
        ("/", "NO [CANNOT] *"),
        ("/a", "NO [CANNOT] *"),
        ("a//b", "NO [CANNOT] *"),
        ('"a\tb"', "NO [CANNOT] *"),
        ("&AAA-", "NO [CANNOT] *"),
        ("&2AA-", "NO [CANNOT] *"),
        ("&AC8-x", "NO [CANNOT] *"),
        ("&AGE-", "NO [CANNOT] *"),
        ("&", "NO [CANNOT] *"),
        ("../../etc/passwd", "OK *"),
        ("~root", "OK *"),
        ("&U,BTFw-", "OK *"),
        ("x" * IMAP_MAILBOX_NAME_OCTETS, "OK *"),
        ("x" * (IMAP_MAILBOX_NAME_OCTETS + 1), "NO [CANNOT] *"),
        ("/".join("x" * IMAP_MAILBOX_LEVELS), "OK *"),
        ("/".join("x" * (IMAP_MAILBOX_LEVELS + 1)), "NO [CANNOT] *"),
    ],
)
def test_names_are_keys_and_only_good_ones_are_taken(house: House, name: str, answer: str) -> None:
    house.talk(f"{login()}\nC: a CREATE {name}\nS: a {answer}\nC: b NOOP\nS: b OK *")


def test_a_mailbox_may_be_made_for_a_use(house: House) -> None:
    house.talk(
        f"""
        {login()}
        C: a DELETE Sent
        S: a OK *
        C: b CREATE Gone (USE (\\Sent))
        S: b OK *
        C: c LIST "" Gone
        S: * LIST (\\HasNoChildren \\Sent) "/" Gone
        S: c OK *
        C: d CREATE Other (USE (\\All))
        S: d NO [USEATTR] *
        C: e CREATE Other (USE (\\Drafts \\Trash))
        S: e NO [USEATTR] *
        C: f CREATE Other (USE Sent)
        S: f BAD *
        C: g CREATE Other (USE ())
        S: g OK *
        """
    )


def test_a_recreated_mailbox_has_a_new_uidvalidity(house: House) -> None:
    house.talk(
        f"""
        {login()}
        C: a CREATE x
        S: a OK *
        C: b STATUS x (UIDVALIDITY)
        S: * STATUS x (UIDVALIDITY {{first}})
        S: b OK *
        C: c DELETE x
        S: c OK *
        C: d CREATE x
        S: d OK *
        C: e STATUS x (UIDVALIDITY)
        S: * STATUS x (UIDVALIDITY {{second}})
        S: e OK *
        """
    )


def test_delete_refuses_inbox_parents_and_what_is_not_there(house: House) -> None:
    house.talk(
        f"""
        {login()}
        C: a DELETE INBOX
        S: a NO [CANNOT] *
        C: b DELETE Nowhere
        S: b NO [NONEXISTENT] *
        C: c CREATE a/b
        S: c OK *
        C: d DELETE a
        S: d NO [HASCHILDREN] *
        C: e DELETE a/b
        S: e OK *
        C: f DELETE a
        S: f OK *
        """
    )


def test_rename_takes_the_inferiors_along(house: House) -> None:
    house.talk(
        f"""
        {login()}
        C: a CREATE a/b
        S: a OK *
        C: b RENAME a z
        S: b OK *
        C: c LIST "" z*
        S: * LIST (\\HasChildren) "/" z
        S: * LIST (\\HasNoChildren) "/" z/b
        S: c OK *
        C: d RENAME Nowhere y
        S: d NO [NONEXISTENT] *
        C: e RENAME z Sent
        S: e NO [ALREADYEXISTS] *
        """
    )


def test_rename_of_inbox_moves_its_letters(house: House) -> None:
    house.talk(
        f"""
        {login()}
        {login("2")}
        {select("2", letters=3)}
        C: a RENAME INBOX Old
        S: a OK *
        C: b STATUS Old (MESSAGES)
        S: * STATUS Old (MESSAGES 3)
        S: b OK *
        C: c STATUS INBOX (MESSAGES)
        S: * STATUS INBOX (MESSAGES 0)
        S: c OK *
        C2: d NOOP
        S2: * 1 EXPUNGE
        S2: * 1 EXPUNGE
        S2: * 1 EXPUNGE
        S2* * 0 RECENT
        S2: d OK *
        """,
        before=three_letters,
    )


# --- SUBSCRIBE, STATUS


def test_any_name_may_be_subscribed_to(house: House) -> None:
    house.talk(
        f"""
        {login()}
        C: a SUBSCRIBE Nowhere
        S: a OK *
        C: b LSUB "" N*
        S: * LSUB (\\Noselect) "/" Nowhere
        S: b OK *
        C: c UNSUBSCRIBE Nowhere
        S: c OK *
        C: d LSUB "" N*
        S: d OK *
        C: e UNSUBSCRIBE Nowhere
        S: e OK *
        """
    )


def test_status_tells_what_is_asked_in_its_order(house: House) -> None:
    house.talk(
        f"""
        {login()}
        C: a STATUS inbox (UNSEEN MESSAGES RECENT UIDNEXT)
        S: * STATUS INBOX (UNSEEN 2 MESSAGES 3 RECENT 3 UIDNEXT 4)
        S: a OK *
        C: b STATUS Nowhere (MESSAGES)
        S: b NO [NONEXISTENT] *
        C: c STATUS INBOX (NONSENSE)
        S: c BAD *
        C: d STATUS INBOX ()
        S: d BAD *
        """,
        before=three_letters,
    )


def test_status_of_the_selected_mailbox_is_true_too(house: House) -> None:
    house.talk(
        f"""
        {login()}
        {select(letters=3)}
        C: a STORE 2 +FLAGS.SILENT (\\Seen \\Deleted)
        S: a OK *
        C: b STATUS INBOX (MESSAGES UNSEEN DELETED SIZE)
        S: * STATUS INBOX (MESSAGES 3 UNSEEN 1 DELETED 1 SIZE {3 * len(LETTER)})
        S: b OK *
        """,
        before=three_letters,
    )


def test_a_name_that_needs_it_is_told_in_quotes(house: House) -> None:
    house.talk(
        f"""
        {login()}
        C: a CREATE "a \\\\"b\\\\" (c)"
        S: a OK *
        C: b STATUS "a \\\\"b\\\\" (c)" (MESSAGES)
        S: * STATUS "a \\\\"b\\\\" (c)" (MESSAGES 0)
        S: b OK *
        """.replace("\\\\", "\\")
    )
