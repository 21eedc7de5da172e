from __future__ import annotations

import pytest

from postroom.intake.envelope import Envelope, Origin, Recipient
from postroom.intake.notes import id_word, write_note
from postroom.smtp.grammar import Address, read_address
from postroom.store.stories import write_happening
from postroom.store.values import Account, AccountId

ORIGIN = Origin("client.test", "192.0.2.1", "ESMTPS", "a1.1", by="smtp-a1")
TO = Recipient(Account(AccountId(1), "alice@example.test"), read_address("alice@example.test"))


def note(sender: Address | None, origin: Origin = ORIGIN) -> str:
    return write_note(Envelope(sender, (TO, TO)), origin, ("loop",))


def test_a_note_says_who_brought_the_letter_and_what_was_held_against_it() -> None:
    assert note(read_address("jo@other.test")) == (
        "id=a1.1 peer=192.0.2.1 with=ESMTPS recipients=2 checks=loop from=<jo@other.test>"
    )


def test_the_null_sender_a_letter_of_our_own_and_no_checks() -> None:
    assert note(None).endswith(" from=<>")
    own = Origin("", "", "ESMTP", "demo.1")
    assert write_note(Envelope(None, (TO,)), own, ()) == "id=demo.1 with=ESMTP recipients=1 checks=none from=<>"


def test_a_filter_at_an_odd_place_still_makes_one_word() -> None:
    said = write_note(Envelope(None, ()), ORIGIN, ("loop", "milter[unix:/a b/c d]:changed"))
    assert " checks=loop,milter[unix:/a?b/c?d]:changed from=" in said


@pytest.mark.parametrize("local", ['"a id=b2.1 b"', '"x' + "y" * 60 + '"', '"a\\"b"'])
def test_a_sender_can_neither_look_like_another_word_nor_be_endless(local: str) -> None:
    said = note(read_address(f"{local}@other.test"))
    assert said.startswith(id_word("a1.1") + " ")
    assert len(said.split(" ")) == 6
    assert len(said) < 300
    assert id_word("b2.1") not in said.split(" ")
    assert write_happening(0, "arrived", ORIGIN.by, said).count("\n") == 1
