"""The store's contract: letters filed, read back, found by their UIDs, threaded; octets in are octets out."""

from __future__ import annotations

import asyncio
import random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from postroom.message.structure import parse
from postroom.net.limits import BLOB_IN_MEMORY, IMAP_KEYWORDS
from postroom.store.changes import Copy, DeleteMailbox, Done, Expunge, Expunged, Filed, Reason, Refused, Target
from postroom.store.interface import Delivery, Store, StoreFault, Unreadable
from postroom.store.values import MAX_PREFIX, Flag, MailboxId, MessageId, Uid
from tests.letters import letters
from tests.store.site import (
    ALICE,
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

# --- filed


def test_a_letter_for_several_mailboxes_is_kept_once(site: Site) -> None:
    async def story(store: Store) -> None:
        alice, bob = await new_account(store), await new_account(store, BOB)
        hers, his = await find(store, alice), await find(store, bob)
        targets = Target(hers.id, b"Return-Path: <x>\r\n"), Target(his.id), Target(hers.id, b"", Flag.SEEN)
        answers = await deliver(store, LETTER, *targets)
        assert answers == (
            Filed(hers.uid_validity, (Uid(1),)),
            Filed(his.uid_validity, (Uid(1),)),
            Filed(hers.uid_validity, (Uid(2),)),
        )
        first = await letter_of(store, hers, Uid(1))
        other = await letter_of(store, his, Uid(1))
        assert (first.segment, first.offset, first.blob_size) == (other.segment, other.offset, other.blob_size)
        assert (first.email_id, first.message) == (other.email_id, other.message)
        assert (first.prefix, other.prefix) == (b"Return-Path: <x>\r\n", b"")

    site.run(story)


def test_a_prefix_counts_in_sizes_and_stands_before_the_letter(site: Site) -> None:
    async def story(store: Store) -> None:
        inbox = await find(store, await new_account(store))
        prefix = b"P: " + b"x" * (MAX_PREFIX - 5) + b"\r\n"
        uid = await file(store, inbox, prefix=prefix)
        (entry,) = await entries(store, inbox)
        letter = await letter_of(store, inbox, uid)
        assert entry.size == (await status(store, inbox)).size == len(prefix) + len(LETTER)
        assert letter.blob_size == len(LETTER)
        assert letter.header_size == LETTER.index(b"\r\n\r\n") + 4
        assert await octets_of(store, inbox, uid) == prefix + LETTER

    site.run(story)


def test_a_mailbox_that_is_gone_is_refused_and_the_others_have_the_letter(site: Site) -> None:
    async def story(store: Store) -> None:
        account = await new_account(store)
        inbox, gone = await find(store, account), await new_mailbox(store, account, "gone")
        await do(store, DeleteMailbox(account.id, "gone"), Done)
        refused = Refused(Reason.NO_SUCH_MAILBOX)
        answers = await deliver(store, LETTER, Target(gone.id), Target(inbox.id), Target(MailboxId(99)))
        assert answers == (refused, Filed(inbox.uid_validity, (Uid(1),)), refused)
        assert await deliver(store, LETTER, Target(gone.id), Target(MailboxId(99))) == (refused, refused)
        assert await deliver(store, LETTER + b"x" * BLOB_IN_MEMORY, Target(gone.id)) == (refused,)
        assert await uids(store, inbox) == [1]

    site.run(story)


def test_uids_ascend_and_are_never_used_again(site: Site) -> None:
    async def story(store: Store) -> None:
        inbox = await find(store, await new_account(store))
        assert [await file(store, inbox) for _ in range(3)] == [1, 2, 3]
        assert (await status(store, inbox)).uid_next == 4
        await do(store, Expunge(inbox.id, (Uid(3), Uid(2)), deleted_only=False), Expunged)
        assert (await status(store, inbox)).uid_next == 4
        assert await file(store, inbox) == 4
        await do(store, Expunge(inbox.id, None, deleted_only=False), Expunged)
        assert await file(store, inbox) == 5

    site.run(story)


def test_what_is_asked_of_a_delivery_is_kept(site: Site) -> None:
    async def story(store: Store) -> None:
        inbox = await find(store, await new_account(store))
        target = Target(inbox.id, flags=Flag.SEEN | Flag.DRAFT, keywords=("$b", "a", "$B"))
        await deliver(store, LETTER, target, date=-86_400 * 365 * 60, zone=-570)
        (entry,) = await entries(store, inbox)
        assert entry.uid == 1
        assert entry.flags == Flag.SEEN | Flag.DRAFT
        assert entry.keywords == "$b a"
        assert (entry.internal_date, entry.zone) == (-86_400 * 365 * 60, -570)
        letter = await letter_of(store, inbox, Uid(1))
        assert (letter.internal_date, letter.zone) == (-86_400 * 365 * 60, -570)
        assert letter.save_date > 1_700_000_000

    site.run(story)


def test_as_many_keywords_as_may_be_and_one_more(site: Site) -> None:
    async def story(store: Store) -> None:
        account = await new_account(store)
        inbox, sent = await find(store, account), await find(store, account, "Sent")
        most = tuple(f"k{number:03}" for number in range(IMAP_KEYWORDS))
        answers = await deliver(
            store, LETTER, Target(inbox.id, keywords=(*most, "one-more")), Target(sent.id, keywords=most)
        )
        assert answers == (Refused(Reason.TOO_MANY), Filed(sent.uid_validity, (Uid(1),)))
        assert (await entries(store, sent))[0].keywords.split() == list(most)

    site.run(story)


def test_the_answers_are_those_that_parsing_gave(site: Site) -> None:
    odd = [b"", b"\r\n", b"no header", b"A: b", b"Subject: \xff\0\r\n\r\n\0", b"\n\n", b"A: b\r\n\nc\rd"]
    varied = [*letters(15), *odd]

    async def story(store: Store) -> None:
        inbox = await find(store, await new_account(store))
        made = [await file(store, inbox, each) for each in varied]
        for uid, each in zip(made, varied, strict=True):
            letter, facts = await letter_of(store, inbox, uid), parse(each)
            assert await octets_of(store, inbox, uid) == each
            assert letter.crlf_size == facts.crlf_size
            assert (letter.envelope, letter.bodystructure) == (facts.envelope, facts.bodystructure)
            assert (letter.parts, letter.header_size) == (facts.parts, facts.header_size)
            assert (letter.sent, letter.sent_zone) == (facts.sent, facts.sent_zone)

    site.run(story)


# --- read


def test_a_letter_is_read_across_its_prefix_at_every_cut(site: Site) -> None:
    async def story(store: Store) -> None:
        inbox = await find(store, await new_account(store))
        prefix, body = b"P: 123\r\n", b"S: 1\r\n\r\nbody"
        letter = await letter_of(store, inbox, await file(store, inbox, body, prefix))
        whole = prefix + body
        for start in range(len(whole) + 3):
            for length in range(len(whole) + 3):
                read = await store.read(letter, start, length)
                assert read == whole[start : start + length], (start, length)

    site.run(story)


def test_a_letter_without_prefix_is_read_at_every_cut(site: Site) -> None:
    async def story(store: Store) -> None:
        inbox = await find(store, await new_account(store))
        letter = await letter_of(store, inbox, await file(store, inbox, b"A: b\r\n"))
        for start in range(8):
            for length in range(8):
                assert await store.read(letter, start, length) == b"A: b\r\n"[start : start + length]
        assert await store.read(letter, 0, 10**12) == b"A: b\r\n"

    site.run(story)


def test_many_letters_are_read_as_each_of_them_is(site: Site) -> None:
    async def story(store: Store) -> None:
        inbox = await find(store, await new_account(store))
        sizes = (0, 1, 50, 5000, 300, BLOB_IN_MEMORY, BLOB_IN_MEMORY + 1, 20)
        bodies = [bytes([65 + at]) * size for at, size in enumerate(sizes)]
        for at, body in enumerate(bodies * 2):
            await file(store, inbox, body, prefix=b"P: 1\r\n" * (at % 3))
        found = await store.letters(inbox.id, await uids(store, inbox))
        chance = random.Random(1)
        some = [*found, *chance.choices(found, k=60)]
        for spans in (
            [(0, 10**12)] * len(some),
            [(0, 100)] * len(some),
            [(0, 0)] * len(some),
            [(10**12, 5)] * len(some),
            [(chance.randrange(30), chance.choice((1, 9, 4000, 10**6))) for _ in some],
        ):
            alone = [await store.read(letter, *span) for letter, span in zip(some, spans, strict=True)]
            assert await store.read_each(some, spans) == alone
        assert await store.read_each([], []) == []

    site.run(story)


def test_a_damaged_letter_among_many_is_told_by_itself(site: Site) -> None:
    async def story(store: Store) -> None:
        inbox = await find(store, await new_account(store))
        for at in range(5):
            await file(store, inbox, b"Subject: %d\r\n\r\nText\r\n" % at)
        letters = await store.letters(inbox.id, await uids(store, inbox))
        path = site.root / "segments" / f"{letters[2].segment:010}.seg"
        octets = bytearray(path.read_bytes())
        octets[letters[2].offset + 12] ^= 1
        path.write_bytes(octets)
        found = await store.read_each(letters, [(0, 1000)] * 5)
        assert isinstance(found[2], Unreadable)
        assert [found[at] for at in (0, 1, 3, 4)] == [b"Subject: %d\r\n\r\nText\r\n" % at for at in (0, 1, 3, 4)]
        octets[letters[2].offset + 12] ^= 1
        path.write_bytes(octets)
        elsewhere = [letters[0], letters[1]._replace(segment=99, message=MessageId(99)), letters[2]]
        found = await store.read_each(elsewhere, [(0, 11)] * 3)
        assert isinstance(found[1], Unreadable)
        assert (found[0], found[2]) == (b"Subject: 0\r", b"Subject: 2\r")

    site.run(story)


def test_letters_without_their_answers_are_the_same_otherwise(site: Site) -> None:
    async def story(store: Store) -> None:
        inbox = await find(store, await new_account(store))
        for each in letters(9):
            await file(store, inbox, each, prefix=b"P: 1\r\n")
        for some in ([Uid(2), Uid(3), Uid(4)], [Uid(1), Uid(8)]):
            whole = await store.letters(inbox.id, some)
            without = await store.letters(inbox.id, some, answers=False)
            assert without == [each._replace(envelope=b"", bodystructure=b"", parts=b"") for each in whole]

    site.run(story)


def test_an_expunged_letter_can_be_read_by_who_still_counts_it(site: Site) -> None:
    async def story(store: Store) -> None:
        inbox = await find(store, await new_account(store))
        letter = await letter_of(store, inbox, await file(store, inbox))
        await do(store, Expunge(inbox.id, None, deleted_only=False), Expunged)
        assert await store.letters(inbox.id, [letter.uid]) == []
        assert await store.read(letter, 0, 10_000) == LETTER

    site.run(story)


def test_entries_come_in_slices_and_letters_by_uids(site: Site) -> None:
    async def story(store: Store) -> None:
        account = await new_account(store)
        inbox, sent = await find(store, account), await find(store, account, "Sent")
        for _ in range(6):
            await file(store, inbox)
        await file(store, sent)
        await do(store, Expunge(inbox.id, (Uid(2), Uid(3)), deleted_only=False), Expunged)
        assert [each.uid for each in await store.entries(inbox.id, Uid(0), 2)] == [1, 4]
        assert [each.uid for each in await store.entries(inbox.id, Uid(2), 2)] == [4, 5]
        assert [each.uid for each in await store.entries(inbox.id, Uid(5), 10)] == [6]
        assert await store.entries(inbox.id, Uid(6), 10) == []
        for asked in ([1], [1, 2, 3, 4], [1, 4, 5, 6], [2, 3], [], [1, 6, 4000], [5]):
            found = await store.letters(inbox.id, [Uid(each) for each in asked])
            assert [each.uid for each in found] == [each for each in asked if each in (1, 4, 5, 6)]

    site.run(story)


def test_five_hundred_letters_are_asked_for_at_a_time(site: Site) -> None:
    async def story(store: Store) -> None:
        inbox = await find(store, await new_account(store))
        first = await file(store, inbox)
        for _ in range(9):
            everything = tuple(await uids(store, inbox))
            await do(store, Copy(inbox.id, everything, inbox.id), Filed)
        assert len(await uids(store, inbox)) == 512
        every = [Uid(first + number) for number in range(500)]
        assert [each.uid for each in await store.letters(inbox.id, every)] == every
        scattered = [Uid(12), *every[13:], Uid(501)]
        assert [each.uid for each in await store.letters(inbox.id, scattered)] == scattered

    site.run(story)


# --- large letters, and letters that are given up


@pytest.mark.parametrize("more", [-1, 0, 1, 65_536])
def test_a_large_letter_comes_back_octet_for_octet(site: Site, more: int) -> None:
    pattern = bytes(range(256)) * (BLOB_IN_MEMORY // 256 + 300)
    letter = b"Subject: large\r\n\r\n"
    letter += pattern[: BLOB_IN_MEMORY + more - len(letter)]

    async def story(store: Store) -> None:
        inbox = await find(store, await new_account(store))
        uid = await file(store, inbox, letter, prefix=b"P: 1\r\n")
        small = await file(store, inbox)
        assert await octets_of(store, inbox, uid) == b"P: 1\r\n" + letter
        found = await letter_of(store, inbox, uid)
        read = [await store.read(found, start, 100_000) for start in range(0, len(letter) + 6, 100_000)]
        assert b"".join(read) == b"P: 1\r\n" + letter
        facts = parse(letter)
        assert (found.envelope, found.bodystructure) == (facts.envelope, facts.bodystructure)
        assert await octets_of(store, inbox, small) == LETTER

    site.run(story)


def test_a_letter_on_its_way_in_says_how_large_it_is_and_what_it_holds(site: Site) -> None:
    async def story(store: Store) -> None:
        blob = store.blob()
        assert (blob.size, blob.contents()) == (0, b"")
        chunk = bytearray(b"x" * 100_000)
        for number in range(1, 5):
            blob.write(chunk)
            assert blob.size == number * 100_000
            # A session writes from one buffer that it fills anew.
            chunk[:] = b"%d" % number * 100_000
        contents = blob.contents()
        assert contents[:] == b"x" * 100_000 + b"1" * 100_000 + b"2" * 100_000 + b"3" * 100_000
        if not isinstance(contents, bytes):
            contents.close()
        blob.discard()

    site.run(story)


@pytest.mark.parametrize("size", [10, BLOB_IN_MEMORY + 1])
def test_a_letter_that_is_given_up_leaves_nothing(site: Site, size: int) -> None:
    async def story(store: Store) -> None:
        inbox = await find(store, await new_account(store))
        for _ in range(3):
            blob = store.blob()
            blob.write(b"x" * size)
            blob.discard()
            blob.discard()
            with pytest.raises(StoreFault):
                await store.deliver(Delivery(blob, parse(b""), (Target(inbox.id),), 0))
        assert await uids(store, inbox) == []

    site.run(story)
    assert list((site.root / "segments").iterdir()) == []


@pytest.mark.parametrize("size", [10, BLOB_IN_MEMORY + 1])
def test_after_a_delivery_there_is_nothing_to_give_up(site: Site, size: int) -> None:
    async def story(store: Store) -> None:
        inbox = await find(store, await new_account(store))
        blob = store.blob()
        blob.write(b"x" * size)
        delivery = Delivery(blob, parse(b"x" * size), (Target(inbox.id),), 0)
        await store.deliver(delivery)
        blob.discard()
        assert await octets_of(store, inbox, Uid(1)) == b"x" * size
        with pytest.raises(StoreFault):
            await store.deliver(delivery)
        assert await uids(store, inbox) == [1]

    site.run(story)


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], database=None
)
@given(chunks=st.lists(st.binary(max_size=3000), max_size=6), prefix=st.binary(max_size=50))
def test_any_octets_come_back_as_they_went_in(site: Site, chunks: list[bytes], prefix: bytes) -> None:
    async def story(store: Store) -> None:
        account = await store.account(BOB) or await new_account(store, BOB)
        inbox = await find(store, account)
        blob = store.blob()
        for chunk in chunks:
            blob.write(chunk)
        facts = parse(blob.contents())
        (filed,) = await store.deliver(Delivery(blob, facts, (Target(inbox.id, prefix),), 0))
        assert isinstance(filed, Filed)
        assert await octets_of(store, inbox, filed.uids[0]) == prefix + b"".join(chunks)

    site.run(story)


# --- threads and ids (RFC 8474 5)


def of(own: str, *references: str, subject: str = "x") -> bytes:
    lines = [f"Subject: {subject}", f"Message-ID: <{own}@a>"]
    if references:
        lines.append("References: " + " ".join(f"<{each}@a>" for each in references))
    return "\r\n".join([*lines, "", ""]).encode()


def test_answers_are_of_one_thread_with_what_they_answer(site: Site) -> None:
    async def story(store: Store) -> None:
        inbox = await find(store, await new_account(store))
        for letter in (of("1"), of("2", "1"), of("3", "1", "2"), of("4"), of("5", "gone"), of("6", "gone"), LETTER):
            await file(store, inbox, letter)
        threads = [each.thread_id for each in await store.letters(inbox.id, [Uid(n) for n in range(1, 8)])]
        assert threads[0] == threads[1] == threads[2]
        assert threads[4] == threads[5]
        assert len(set(threads)) == 4

    site.run(story)


def test_an_answer_that_comes_before_its_question_is_of_its_thread(site: Site) -> None:
    async def story(store: Store) -> None:
        inbox = await find(store, await new_account(store))
        for letter in (of("2", "1"), of("1"), b"Subject: x\r\nIn-Reply-To: <2@a>\r\n\r\n"):
            await file(store, inbox, letter)
        assert len({each.thread_id for each in await store.letters(inbox.id, [Uid(1), Uid(2), Uid(3)])}) == 1

    site.run(story)


def test_a_letter_without_message_id_is_a_thread_of_its_own(site: Site) -> None:
    async def story(store: Store) -> None:
        inbox = await find(store, await new_account(store))
        for _ in range(3):
            await file(store, inbox, b"Subject: Re: x\r\n\r\n")
        assert len({each.thread_id for each in await store.letters(inbox.id, [Uid(1), Uid(2), Uid(3)])}) == 3

    site.run(story)


def test_letters_of_one_turn_are_threaded_as_those_that_come_one_by_one(site: Site) -> None:
    letters = (
        b"Message-ID: <a@x>\r\n\r\n",
        b"Message-ID: <b@x>\r\n\r\n",
        b"Message-ID: <c@x>\r\nReferences: <a@x> <b@x>\r\n\r\n",
        b"Message-ID: <d@x>\r\nReferences: <b@x>\r\n\r\n",
    )

    async def story(store: Store) -> None:
        inbox = await find(store, await new_account(store))
        for letter in letters[:2]:
            await file(store, inbox, letter)
        await asyncio.gather(*[file(store, inbox, letter) for letter in letters[2:]])
        a, b, c, d = [each.thread_id for each in await store.letters(inbox.id, [Uid(n) for n in range(1, 5)])]
        assert a != b
        assert (c, d) == (a, b)

    site.run(story)


def test_a_letter_that_comes_from_another_account_is_threaded_where_it_comes_to(site: Site) -> None:
    async def story(store: Store) -> None:
        inbox = await find(store, await new_account(store, ALICE))
        his = await find(store, await new_account(store, BOB))
        await file(store, his, b"Message-ID: <a@x>\r\n\r\n")
        for letter in (b"Message-ID: <b@x>\r\nReferences: <a@x>\r\n\r\n", b"Message-ID: <c@x>\r\n\r\n", b"\r\n"):
            await file(store, inbox, letter)
        await do(store, Copy(inbox.id, (Uid(1), Uid(2)), his.id), Filed)
        await do(store, Copy(inbox.id, (Uid(3),), his.id, move=True), Filed)
        await file(store, his, b"Message-ID: <d@x>\r\nReferences: <c@x>\r\n\r\n")
        a, b, c, none, d = [each.thread_id for each in await store.letters(his.id, [Uid(n) for n in range(1, 6)])]
        assert a == b
        assert c == d
        assert len({a, c, none}) == 3
        assert (await letter_of(store, inbox, Uid(1))).thread_id != b

    site.run(story)


def test_a_thread_goes_over_all_mailboxes_of_its_account_and_no_others(site: Site) -> None:
    async def story(store: Store) -> None:
        alice, bob = await new_account(store), await new_account(store, BOB)
        inbox, sent, his = await find(store, alice), await find(store, alice, "Sent"), await find(store, bob)
        await file(store, inbox, of("0"))
        await file(store, inbox, of("1"))
        await file(store, sent, of("2", "1"))
        await file(store, his, of("2", "1"))
        await file(store, his, of("0", "1"))
        hers = await letter_of(store, inbox, Uid(2))
        assert (await letter_of(store, sent, Uid(1))).thread_id == hers.thread_id
        assert (await letter_of(store, his, Uid(1))).thread_id == (await letter_of(store, his, Uid(2))).thread_id

    site.run(story)


def test_ids_are_of_the_characters_that_clients_may_be_shown(site: Site) -> None:
    async def story(store: Store) -> None:
        account = await new_account(store)
        inbox = await find(store, account)
        letter = await letter_of(store, inbox, await file(store, inbox))
        for name in (letter.email_id, letter.thread_id, inbox.object_id):
            # RFC 8474 4 and 7: 1 to 255 characters, a letter first
            assert name.replace("_", "").replace("-", "").isalnum()
            assert name[0].isalpha()
            assert 0 < len(name) < 256

    site.run(story)


def test_a_copy_has_the_ids_of_its_letter(site: Site) -> None:
    async def story(store: Store) -> None:
        account = await new_account(store)
        inbox, sent = await find(store, account), await find(store, account, "Sent")
        letter = await letter_of(store, inbox, await file(store, inbox))
        for move in (False, True):
            filed = await do(store, Copy(inbox.id, (letter.uid,), sent.id, move), Filed)
            copy = await letter_of(store, sent, filed.uids[0])
            assert (copy.email_id, copy.thread_id, copy.message) == (
                letter.email_id,
                letter.thread_id,
                letter.message,
            )
        await file(store, inbox)
        other = await letter_of(store, inbox, Uid(2))
        assert other.email_id != letter.email_id

    site.run(story)
