"""aiosmtplib submits letters, several connections at once."""

from __future__ import annotations

import asyncio
import ssl

import aiosmtplib
import pytest

from tests.house import ALICE, BOB, PASSWORDS, House
from tests.mailbag import empty, fetched, hashes, without_trace
from tests.system.raw import trusting

CONNECTIONS = 4


@pytest.mark.parametrize("way", ["submission", "submissions"])
def test_aiosmtplib_submits_each_letter(house: House, carried: list[bytes], way: str) -> None:
    empty(house, BOB)

    async def some(letters: list[bytes], context: ssl.SSLContext) -> None:
        client = aiosmtplib.SMTP(
            hostname="127.0.0.1",
            port=house.port(way),
            use_tls=way == "submissions",
            start_tls=way == "submission",
            tls_context=context,
            username=ALICE,
            password=PASSWORDS[ALICE],
        )
        async with client:
            for letter in letters:
                await client.sendmail(ALICE, [BOB], letter)

    async def all_at_once() -> None:
        async with asyncio.TaskGroup() as group:
            for number in range(CONNECTIONS):
                group.create_task(some(carried[number::CONNECTIONS], trusting()))

    asyncio.run(all_at_once())
    assert sorted(hashes(map(without_trace, fetched(house, BOB)))) == sorted(hashes(carried))
