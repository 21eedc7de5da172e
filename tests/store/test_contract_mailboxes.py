"""The store's contract: the tree of mailboxes (RFC 3501 6.3.3 to 6.3.9, RFC 9051 6.3.4 to 6.3.8, RFC 8474 4)."""

from __future__ import annotations

import pytest

from postroom.net.limits import IMAP_MAILBOX_LEVELS, IMAP_MAILBOX_NAME_OCTETS
from postroom.store.changes import (
    Change,
    CreateMailbox,
    DeleteMailbox,
    Done,
    Reason,
    Refused,
    RenameMailbox,
    Subscribe,
    Target,
)
from postroom.store.interface import Store
from postroom.store.values import INBOX, AccountId, Flag, Mailbox, ModSeq, SpecialUse
from tests.store.site import (
    BOB,
    LETTER,
    Site,
    deliver,
    do,
    entries,
    file,
    find,
    letter_of,
    new_account,
    new_mailbox,
    octets_of,
    status,
    uids,
)

FIRST = ["INBOX", "Archive", "Drafts", "Junk", "Sent", "Trash"]


async def refused(store: Store, change: Change) -> Reason:
    answer = await store.commit(change)
    assert isinstance(answer, Refused), answer
    return answer.reason


async def names(store: Store, account: AccountId) -> list[str]:
    return [mailbox.name for mailbox in await store.mailboxes(account)]


# --- INBOX


@pytest.mark.parametrize("name", ["INBOX", "inbox", "iNbOx"])
def test_inbox_is_inbox_in_any_case(site: Site, name: str) -> None:
    async def story(store: Store) -> None:
        account = await new_account(store)
        assert await store.mailbox(account.id, name) == await find(store, account, INBOX)
        assert await refused(store, CreateMailbox(account.id, name)) is Reason.MAILBOX_EXISTS
        assert await refused(store, DeleteMailbox(account.id, name)) is Reason.NOT_FOR_INBOX

    site.run(story)


def test_below_inbox_its_case_does_not_count_and_the_rest_does(site: Site) -> None:
    async def story(store: Store) -> None:
        account = await new_account(store)
        made = await new_mailbox(store, account, "inbox/Work")
        assert made.name == "INBOX/Work"
        assert await store.mailbox(account.id, "Inbox/Work") == made
        assert await store.mailbox(account.id, "INBOX/work") is None
        assert await refused(store, CreateMailbox(account.id, "INBOX/Work")) is Reason.MAILBOX_EXISTS

    site.run(story)


# --- CREATE


def test_create_makes_the_levels_above_and_nothing_twice(site: Site) -> None:
    async def story(store: Store) -> None:
        account = await new_account(store)
        made = await new_mailbox(store, account, "a/b/c")
        assert await store.mailbox(account.id, "a/b/c") == made
        assert await names(store, account.id) == [*FIRST, "a", "a/b", "a/b/c"]
        await new_mailbox(store, account, "a/b/d")
        assert await refused(store, CreateMailbox(account.id, "a/b")) is Reason.MAILBOX_EXISTS
        assert len(await names(store, account.id)) == 10

    site.run(story)


def test_a_new_mailbox_is_empty(site: Site) -> None:
    async def story(store: Store) -> None:
        account = await new_account(store)
        mailbox = await new_mailbox(store, account, "a")
        now = await status(store, mailbox)
        assert (now.uid_validity, now.uid_next) == (mailbox.uid_validity, 1)
        assert (now.messages, now.unseen, now.deleted, now.size, now.recent) == (0, 0, 0, 0, 0)
        # RFC 7162 3.1.2.1: modseqs are positive
        assert now.highest_modseq >= 1
        assert (await store.changes(mailbox.id, ModSeq(0))).entries == []

    site.run(story)


def test_a_mailbox_is_made_for_a_special_use_and_its_levels_are_not(site: Site) -> None:
    async def story(store: Store) -> None:
        account = await new_account(store)
        made = await new_mailbox(store, account, "x/Spam", SpecialUse.JUNK)
        assert made.special_use is SpecialUse.JUNK
        assert (await find(store, account, "x/Spam")).special_use is SpecialUse.JUNK
        assert (await find(store, account, "x")).special_use is None

    site.run(story)


@pytest.mark.parametrize("name", ["", "/", "a/", "/a", "a//b", "a\0b", "a\r\nb", "a\x7f", "\ud800", "a\u2028b"])
def test_what_is_no_name_is_refused(site: Site, name: str) -> None:
    async def story(store: Store) -> None:
        account = await new_account(store)
        assert await refused(store, CreateMailbox(account.id, name)) is Reason.BAD_NAME
        assert await refused(store, RenameMailbox(account.id, "Sent", name)) is Reason.BAD_NAME
        assert await names(store, account.id) == FIRST

    site.run(story)


@pytest.mark.parametrize("name", ["../x", "~", "%", "*", "Grüße", "日本", "a b", '"', "\\", "con", ".", "a\u200d"])
def test_names_are_keys_and_never_paths(site: Site, name: str) -> None:
    async def story(store: Store) -> None:
        account = await new_account(store)
        mailbox = await new_mailbox(store, account, name)
        await file(store, mailbox)
        assert (await find(store, account, name)).name == name

    site.run(story)
    assert [path.name for path in site.root.parent.iterdir()] == [site.root.name]
    assert {path.name.partition(".")[0] for path in site.root.iterdir()} == {"index", "segments", "run"}


def test_the_longest_name_and_one_octet_more(site: Site) -> None:
    async def story(store: Store) -> None:
        account = await new_account(store)
        longest = "ß" * (IMAP_MAILBOX_NAME_OCTETS // 2)
        await new_mailbox(store, account, longest)
        assert await refused(store, CreateMailbox(account.id, longest + "a")) is Reason.BAD_NAME

    site.run(story)


def test_the_deepest_name_and_one_level_more(site: Site) -> None:
    async def story(store: Store) -> None:
        account = await new_account(store)
        deepest = "/".join("x" * IMAP_MAILBOX_LEVELS)
        await new_mailbox(store, account, deepest)
        assert await refused(store, CreateMailbox(account.id, deepest + "/y")) is Reason.BAD_NAME

    site.run(story)


def test_as_many_mailboxes_as_may_be_and_one_more(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("postroom.store.apply.mailboxes.MAILBOXES_PER_ACCOUNT", len(FIRST) + 2)

    async def story(store: Store) -> None:
        account = await new_account(store)
        assert await refused(store, CreateMailbox(account.id, "a/b/c")) is Reason.TOO_MANY
        await new_mailbox(store, account, "a/b")
        assert await refused(store, CreateMailbox(account.id, "c")) is Reason.TOO_MANY
        assert await refused(store, RenameMailbox(account.id, INBOX, "c")) is Reason.TOO_MANY
        assert await refused(store, RenameMailbox(account.id, "Sent", "c/d")) is Reason.TOO_MANY
        assert await names(store, account.id) == [*FIRST, "a", "a/b"]
        other = await new_account(store, BOB)
        await new_mailbox(store, other, "c")

    site.run(story)


def test_a_mailbox_of_an_account_that_is_gone_is_refused(site: Site) -> None:
    async def story(store: Store) -> None:
        nobody = AccountId(99)
        assert await refused(store, CreateMailbox(nobody, "a")) is Reason.NO_SUCH_ACCOUNT
        assert await refused(store, Subscribe(nobody, "a")) is Reason.NO_SUCH_ACCOUNT
        assert await refused(store, DeleteMailbox(nobody, "a")) is Reason.NO_SUCH_MAILBOX
        assert await refused(store, RenameMailbox(nobody, "a", "b")) is Reason.NO_SUCH_MAILBOX

    site.run(story)


def test_two_accounts_have_mailboxes_of_one_name_apart(site: Site) -> None:
    async def story(store: Store) -> None:
        alice, bob = await new_account(store), await new_account(store, BOB)
        hers = await new_mailbox(store, alice, "Work")
        his = await new_mailbox(store, bob, "Work")
        await file(store, hers)
        assert hers.id != his.id
        assert await uids(store, his) == []
        await do(store, RenameMailbox(bob.id, "Work", "Play"), Done)
        await do(store, DeleteMailbox(bob.id, "Play"), Done)
        assert await find(store, alice, "Work") == hers

    site.run(story)


# --- DELETE


def test_a_deleted_mailbox_is_gone_with_its_letters(site: Site) -> None:
    async def story(store: Store) -> None:
        account = await new_account(store)
        mailbox = await new_mailbox(store, account, "a")
        uid = await file(store, mailbox)
        await do(store, DeleteMailbox(account.id, "a"), Done)
        assert await store.mailbox(account.id, "a") is None
        assert await store.status(mailbox.id) is None
        assert await store.letters(mailbox.id, [uid]) == []
        changes = await store.changes(mailbox.id, ModSeq(1))
        assert not changes.exists
        assert await deliver(store, LETTER, Target(mailbox.id)) == (Refused(Reason.NO_SUCH_MAILBOX),)
        assert await refused(store, DeleteMailbox(account.id, "a")) is Reason.NO_SUCH_MAILBOX

    site.run(story)


def test_a_mailbox_with_inferiors_is_not_deleted(site: Site) -> None:
    async def story(store: Store) -> None:
        account = await new_account(store)
        await new_mailbox(store, account, "a/b")
        await new_mailbox(store, account, "a-b")
        assert await refused(store, DeleteMailbox(account.id, "a")) is Reason.HAS_CHILDREN
        await do(store, DeleteMailbox(account.id, "a/b"), Done)
        await do(store, DeleteMailbox(account.id, "a"), Done)
        assert await names(store, account.id) == [*FIRST, "a-b"]

    site.run(story)


def test_a_mailbox_made_anew_has_a_greater_uidvalidity(site: Site) -> None:
    async def story(store: Store) -> None:
        account = await new_account(store)
        seen: list[Mailbox] = []
        for _ in range(4):
            mailbox = await new_mailbox(store, account, "a")
            assert await file(store, mailbox) == 1
            seen.append(mailbox)
            await do(store, DeleteMailbox(account.id, "a"), Done)
        validities = [mailbox.uid_validity for mailbox in seen]
        assert validities == sorted(set(validities))
        # RFC 3501 2.3.1.1: a 32-bit value
        assert all(0 < each < 2**32 for each in validities)
        assert len({mailbox.object_id for mailbox in seen}) == 4

    site.run(story)


# --- RENAME


def test_a_renamed_mailbox_keeps_everything_but_its_name(site: Site) -> None:
    async def story(store: Store) -> None:
        account = await new_account(store)
        before = await new_mailbox(store, account, "a", SpecialUse.ARCHIVE)
        uid = await file(store, before, prefix=b"P: 1\r\n", flags=Flag.SEEN, keywords=("$x",))
        had = await entries(store, before), await status(store, before), await letter_of(store, before, uid)
        await do(store, RenameMailbox(account.id, "a", "b"), Done)
        after = await find(store, account, "b")
        assert (after.id, after.uid_validity, after.object_id) == (before.id, before.uid_validity, before.object_id)
        assert after.special_use is SpecialUse.ARCHIVE
        assert await store.mailbox(account.id, "a") is None
        assert (await entries(store, after), await status(store, after), await letter_of(store, after, uid)) == had

    site.run(story)


def test_inferiors_are_renamed_with_their_superior(site: Site) -> None:
    async def story(store: Store) -> None:
        account = await new_account(store)
        for name in ("a/b/c", "a/d", "ab", "a-b", "a0"):
            await new_mailbox(store, account, name)
        deep = await find(store, account, "a/b/c")
        await do(store, RenameMailbox(account.id, "a", "x/y"), Done)
        kept = ["a-b", "a0", "ab"]
        assert await names(store, account.id) == [*FIRST, *kept, "x", "x/y", "x/y/b", "x/y/b/c", "x/y/d"]
        assert (await find(store, account, "x/y/b/c")).object_id == deep.object_id

    site.run(story)


def test_a_mailbox_is_renamed_out_of_its_superior(site: Site) -> None:
    async def story(store: Store) -> None:
        account = await new_account(store)
        await new_mailbox(store, account, "a/b/c")
        await do(store, RenameMailbox(account.id, "a/b", "b"), Done)
        assert await names(store, account.id) == [*FIRST, "a", "b", "b/c"]
        await do(store, RenameMailbox(account.id, "b", "a/x"), Done)
        assert await names(store, account.id) == [*FIRST, "a", "a/x", "a/x/c"]

    site.run(story)


@pytest.mark.parametrize(
    ("name", "new", "reason"),
    [
        ("nothing", "b", Reason.NO_SUCH_MAILBOX),
        ("a", "Sent", Reason.MAILBOX_EXISTS),
        ("a", "inbox", Reason.MAILBOX_EXISTS),
        ("a", "a", Reason.MAILBOX_EXISTS),
        ("INBOX", "Sent", Reason.MAILBOX_EXISTS),
        ("a", "a/b/c", Reason.BAD_NAME),
        ("a", "x" * (IMAP_MAILBOX_NAME_OCTETS - 1), Reason.BAD_NAME),
    ],
)
def test_a_rename_that_cannot_be_is_refused_whole(site: Site, name: str, new: str, reason: Reason) -> None:
    async def story(store: Store) -> None:
        account = await new_account(store)
        await new_mailbox(store, account, "a/b")
        await file(store, await find(store, account))
        assert await refused(store, RenameMailbox(account.id, name, new)) is reason
        assert await names(store, account.id) == [*FIRST, "a", "a/b"]
        assert await uids(store, await find(store, account)) == [1]

    site.run(story)


def test_inbox_gives_its_letters_to_a_new_mailbox_and_stays(site: Site) -> None:
    async def story(store: Store) -> None:
        account = await new_account(store)
        inbox = await find(store, account)
        await new_mailbox(store, account, "INBOX/Work")
        for number in range(3):
            await file(store, inbox, b"Subject: %d\r\n\r\n" % number, prefix=b"P: 1\r\n", flags=Flag(number))
        had = [(each.flags, each.size, each.internal_date) for each in await entries(store, inbox)]
        now = await status(store, inbox)
        await do(store, RenameMailbox(account.id, "inbox", "old/mail"), Done)
        assert await find(store, account) == inbox
        assert await names(store, account.id) == ["INBOX", *FIRST[1:3], "INBOX/Work", *FIRST[3:], "old", "old/mail"]
        old = await find(store, account, "old/mail")
        assert [(each.flags, each.size, each.internal_date) for each in await entries(store, old)] == had
        assert await octets_of(store, old, (await uids(store, old))[2]) == b"P: 1\r\nSubject: 2\r\n\r\n"
        assert old.uid_validity != inbox.uid_validity
        after = await status(store, inbox)
        assert (after.messages, after.unseen, after.size, after.recent) == (0, 0, 0, 0)
        assert after.uid_validity == now.uid_validity
        assert await file(store, inbox) == 4
        assert (await store.changes(inbox.id, now.highest_modseq)).vanished == [1, 2, 3]

    site.run(story)


def test_an_empty_inbox_is_renamed_too(site: Site) -> None:
    async def story(store: Store) -> None:
        account = await new_account(store)
        await do(store, RenameMailbox(account.id, INBOX, "old"), Done)
        assert await names(store, account.id) == [*FIRST, "old"]

    site.run(story)


# --- subscriptions


def test_subscriptions_survive_the_mailbox(site: Site) -> None:
    async def story(store: Store) -> None:
        account = await new_account(store)
        await new_mailbox(store, account, "a")
        await do(store, Subscribe(account.id, "a"), Done)
        await do(store, DeleteMailbox(account.id, "a"), Done)
        assert "a" in await store.subscriptions(account.id)

    site.run(story)


def test_names_are_put_on_the_list_and_taken_off(site: Site) -> None:
    async def story(store: Store) -> None:
        account, other = await new_account(store), await new_account(store, BOB)
        for name in ("nowhere/yet", "inbox", "nowhere/yet"):
            await do(store, Subscribe(account.id, name), Done)
        assert await store.subscriptions(account.id) == sorted([*FIRST, "nowhere/yet"])
        await do(store, Subscribe(account.id, "Inbox", on=False), Done)
        await do(store, Subscribe(account.id, "never was", on=False), Done)
        assert await store.subscriptions(account.id) == sorted([*FIRST[1:], "nowhere/yet"])
        assert await store.subscriptions(other.id) == sorted(FIRST)
        assert await refused(store, Subscribe(account.id, "a//b")) is Reason.BAD_NAME

    site.run(story)


def test_as_many_subscriptions_as_may_be_and_one_more(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("postroom.store.apply.mailboxes.SUBSCRIPTIONS_PER_ACCOUNT", len(FIRST) + 1)

    async def story(store: Store) -> None:
        account = await new_account(store)
        await do(store, Subscribe(account.id, "a"), Done)
        await do(store, Subscribe(account.id, "a"), Done)
        assert await refused(store, Subscribe(account.id, "b")) is Reason.TOO_MANY
        await do(store, Subscribe(account.id, "a", on=False), Done)
        await do(store, Subscribe(account.id, "b"), Done)

    site.run(story)
