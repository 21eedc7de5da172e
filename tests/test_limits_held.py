"""Limits that no test of their own room names: each is held, at its number and one beyond."""

from __future__ import annotations

import asyncio

import pytest

from postroom.accounts import passwords
from postroom.imap.server.views import Views
from postroom.net import memory
from postroom.net.limits import (
    ARGON2_LANES,
    ARGON2_MEMORY_KIB,
    ARGON2_PASSES,
    BCRYPT_COST,
    CLOSE_SECONDS,
    IMAP_VIEWS_LETTERS,
    IMAP_VIEWS_OCTETS,
    OUTPUT_HIGH_WATER,
)
from postroom.store.values import MailboxId, UidValidity
from tests.imap.server.test_views import filled
from tests.system.test_many_slow import at_once

_SALTED = "MDEyMzQ1Njc4OWFiY2RlZg$MDEyMzQ1Njc4OWFiY2RlZg"


def _argon2(memory_kib: int, passes: int, lanes: int) -> str:
    return f"{{ARGON2ID}}$argon2id$v=19$m={memory_kib},t={passes},p={lanes}${_SALTED}"


@pytest.mark.parametrize("times", [1, 100])
def test_a_ready_hash_may_cost_so_much_and_no_more(times: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passwords, "_verify_argon2", lambda text, password: True)
    most = (ARGON2_MEMORY_KIB, ARGON2_PASSES, ARGON2_LANES)
    assert passwords.ready_hash(_argon2(*most)) == _argon2(*most)
    for at in range(3):
        over = list(most)
        over[at] = over[at] + 1 if times == 1 else over[at] * times
        with pytest.raises(ValueError, match="costs too much"):
            passwords.ready_hash(_argon2(*over))


def test_a_bcrypt_hash_may_cost_so_much_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    made = "{{BLF-CRYPT}}$2b${:02}$abcdefghijklmnopqrstuuWG29KuyeAicPCJODk1zjyGvyQUU2awu".format
    monkeypatch.setattr(passwords, "_crypt", lambda password, setting: setting)
    assert passwords.ready_hash(made(BCRYPT_COST)) == made(BCRYPT_COST)
    for cost in (BCRYPT_COST + 1, 31):
        with pytest.raises(ValueError):
            passwords.ready_hash(made(cost))


@pytest.mark.parametrize(("letters", "kept"), [(IMAP_VIEWS_LETTERS - 1, False), (IMAP_VIEWS_LETTERS, True)])
def test_the_view_of_a_mailbox_of_so_many_letters_is_kept(letters: int, kept: bool) -> None:
    views = Views()
    views.keep(MailboxId(1), UidValidity(1), filled(letters))
    assert bool(views.octets) is kept


def test_views_take_so_much_of_a_worker_and_no_more() -> None:
    views = Views()
    view = filled(100_000)
    for number in range(2 * IMAP_VIEWS_OCTETS // view.octets):
        views.keep(MailboxId(number + 1), UidValidity(1), view)
        assert views.octets <= IMAP_VIEWS_OCTETS
    assert views.octets > IMAP_VIEWS_OCTETS - view.octets


def test_a_peer_that_takes_nothing_is_waited_for_no_longer_than_that() -> None:
    async def go() -> float:
        loop = asyncio.get_running_loop()
        server, client = memory.pair()
        client.transport.pause_reading()
        server.write(b"x" * 2 * OUTPUT_HIGH_WATER)
        began = loop.time()
        await server.close()
        return loop.time() - began

    assert CLOSE_SECONDS <= at_once(go()) <= CLOSE_SECONDS + 1
