from __future__ import annotations

import asyncio
import logging

import pytest

from postroom.pop3 import sizes as module
from postroom.pop3.maildrop import Maildrop, open_maildrop
from postroom.pop3.sizes import Sizes
from postroom.store.values import AccountId, MailboxId
from tests.pop3.binaries import ALL_OCTETS, part
from tests.pop3.post import LETTER, PREFIX, Post

OWNER, OTHER = AccountId(1), AccountId(2)
BINARY = b"Subject: b\r\n" + part(ALL_OCTETS)


def measured(post: Post, known: Sizes, account: AccountId = OWNER) -> list[int]:
    async def run() -> list[int]:
        drop: Maildrop = await open_maildrop(post.service.store, post.folder, account)
        try:
            await drop.measure(known)
            await drop.measure(known)
            found = [drop.size(number) for number in range(1, len(drop) + 1)]
            assert drop.octets == sum(found)
            return found
        finally:
            drop.release()

    return asyncio.run(run())


def test_only_letters_with_binary_parts_are_read_and_only_once(post: Post) -> None:
    for _ in range(600):
        post.shelf.put(LETTER)
    post.shelf.put(BINARY)
    post.shelf.put(b"Subject: c\r\n" + part(b"fine\r\n"))
    known = Sizes()
    lines = len(PREFIX) + len(LETTER)
    first = measured(post, known)
    assert first[:600] == [lines] * 600
    assert first[600] == len(PREFIX) + len(b"Subject: b\r\n" + part(b"")) + 1708 + 2 * 22 + 2
    assert first[601] == len(PREFIX) + len(b"Subject: c\r\n" + part(b"fine\r\n"))
    assert (post.shelf.looked_at, post.shelf.reads) == (602, 4)
    post.shelf.put(BINARY)
    assert measured(post, known) == [*first, first[600]]
    assert (post.shelf.looked_at, post.shelf.reads) == (603, 6)
    # What is gone is forgotten.
    post.shelf.inboxes[MailboxId(1)].clear()
    assert measured(post, known) == []
    assert known._count == 0


def test_mailboxes_are_told_apart(post: Post) -> None:
    known = Sizes()
    post.shelf.put(BINARY)
    post.shelf.put(BINARY, mailbox=2)
    assert measured(post, known) == measured(post, known, OTHER)
    assert known._count == 2


def test_no_more_is_remembered_than_the_limits_say(post: Post, monkeypatch: pytest.MonkeyPatch) -> None:
    post.shelf.put(BINARY)
    post.shelf.put(BINARY, mailbox=2)
    for name, most in (("POP3_MAILBOXES_KNOWN", 1), ("POP3_SIZES_KNOWN", 1)):
        monkeypatch.setattr(module, name, most)
        known = Sizes()
        both = [measured(post, known), measured(post, known, OTHER)]
        assert list(known._mailboxes) == [MailboxId(2)]
        assert known._count == 1
        # What was forgotten is read again.
        assert measured(post, known) == both[0]
        monkeypatch.undo()


def test_a_mailbox_of_more_letters_than_may_be_remembered_is_still_told_right(
    post: Post, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "POP3_SIZES_KNOWN", 3)
    known = Sizes()
    for count in (3, 4, 300):
        while len(post.shelf.inboxes[MailboxId(1)]) < count:
            post.shelf.put(BINARY)
        assert len(set(measured(post, known))) == 1
        assert known._count == (3 if count == 3 else 0)


def test_a_letter_that_can_not_be_read_counts_as_its_lines(post: Post, caplog: pytest.LogCaptureFixture) -> None:
    post.shelf.put(BINARY)
    post.shelf.readable = 0
    assert measured(post, Sizes()) == [len(PREFIX) + post.shelf.inboxes[MailboxId(1)][0].crlf_size]
    assert [record.levelno for record in caplog.records] == [logging.ERROR]
