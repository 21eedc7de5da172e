from __future__ import annotations

import re

import pytest

from postroom.store.changes import Expunge
from postroom.store.interface import StorageFull, StoreFault
from postroom.store.values import MailboxId
from tests.pop3.post import LETTER, LOGIN, Post
from tests.talk import talk


def test_the_greeting_offers_no_apop(post: Post) -> None:
    talk(post.handler, "S: +OK mx.example.test POP3 Postroom")


def test_capabilities_before_login(post: Post) -> None:
    talk(
        post.handler,
        """
        S: +OK *
        C: CAPA
        S: +OK *
        S: TOP
        S: UIDL
        S: RESP-CODES
        S: AUTH-RESP-CODE
        S: PIPELINING
        S: EXPIRE NEVER
        S: LOGIN-DELAY 0
        S: UTF8 USER
        S: LANG
        S: USER
        S: SASL PLAIN LOGIN
        S: STLS
        S: IMPLEMENTATION Postroom
        S: .
        """,
    )


CAPABILITIES = """
    C: CAPA
    S: +OK *
    S: TOP
    S: UIDL
    S: RESP-CODES
    S: AUTH-RESP-CODE
    S: PIPELINING
    S: EXPIRE NEVER
    S: LOGIN-DELAY 0
    S: UTF8 USER
    S: LANG
"""


def test_no_login_is_offered_in_clear_and_no_tls_within_tls(strict: Post) -> None:
    clear = CAPABILITIES + "S: STLS\nS: IMPLEMENTATION Postroom\nS: ."
    within = CAPABILITIES + "S: USER\nS: SASL PLAIN LOGIN\nS: IMPLEMENTATION Postroom\nS: ."
    talk(strict.handler, "S: +OK *\n" + clear)
    talk(strict.handler, "S: +OK *\n" + within, tls=True)
    talk(strict.handler, "S: +OK *\n" + clear + "\nC: STLS\nS: +OK *\nC! tls\n" + within)


def test_stls_is_not_offered_after_login_or_without_a_certificate(post: Post) -> None:
    told = CAPABILITIES + "S: USER\nS: SASL PLAIN LOGIN\nS: IMPLEMENTATION Postroom\nS: ."
    talk(post.handler, LOGIN + told)
    talk(Post(post.folder, tls=False).handler, "S: +OK *\n" + told)


# --- QUIT


def test_quit_before_login_parts(post: Post) -> None:
    talk(post.handler, "S: +OK *\nC: QUIT\nS: +OK *\nS! end")


def test_quit_deletes_what_is_marked_in_one_commit(post: Post) -> None:
    letters = [post.shelf.put(b"%d" % number) for number in range(4)]
    talk(
        post.handler,
        LOGIN
        + """
        C: DELE 2
        S: +OK *
        C: DELE 4
        S: +OK *
        C: QUIT
        S: +OK *
        S! end
        """,
    )
    uids = letters[1].uid, letters[3].uid
    (change,) = post.shelf.commits
    assert isinstance(change, Expunge)
    assert change == Expunge(MailboxId(1), uids, deleted_only=False, by=change.by)
    assert re.fullmatch(r"alice@example\.test pop3-[0-9a-z]+", change.by)
    assert post.shelf.inboxes[MailboxId(1)] == [letters[0], letters[2]]


def test_quit_commits_nothing_where_nothing_is_marked(post: Post) -> None:
    post.shelf.put(LETTER)
    talk(post.handler, LOGIN + "C: QUIT\nS: +OK *\nS! end")
    assert post.shelf.commits == []


@pytest.mark.parametrize("fault", [StoreFault("the index is locked"), StorageFull("no room")])
def test_where_deleting_fails_quit_says_so_and_nothing_is_gone(post: Post, fault: Exception) -> None:
    letter = post.shelf.put(LETTER)
    post.shelf.fail_commit = fault
    talk(post.handler, LOGIN + "C: DELE 1\nS: +OK *\nC: QUIT\nS: -ERR [SYS/TEMP] *\nS! end")
    assert post.shelf.inboxes[MailboxId(1)] == [letter]


def test_quit_of_an_account_that_was_removed_meanwhile_is_no_success(post: Post) -> None:
    post.shelf.put(LETTER)
    post.shelf.lose_inbox_at_commit = True
    talk(post.handler, LOGIN + "C: DELE 1\nS: +OK *\nC: QUIT\nS: -ERR [SYS/PERM] *\nS! end")


@pytest.mark.parametrize("end", ["C! abort", "C! close", "S! part\nS: -ERR [SYS/TEMP] *\nS! end"])
def test_a_session_without_quit_deletes_nothing(post: Post, end: str) -> None:
    post.shelf.put(LETTER)
    talk(post.handler, LOGIN + "C: DELE 1\nS: +OK *\n" + end)
    assert post.shelf.commits == []
    assert len(post.shelf.inboxes[MailboxId(1)]) == 1


def test_who_has_read_the_answer_to_quit_can_come_back_at_once(post: Post) -> None:
    post.shelf.put(LETTER)
    again = LOGIN.replace("S:", "S2:").replace("C:", "C2:")
    talk(post.handler, LOGIN + "C: DELE 1\nS: +OK *\nC: QUIT\nS: +OK *\n" + again + "C2: STAT\nS2: +OK 0 0")
