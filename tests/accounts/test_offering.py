"""When SCRAM is offered, and how seldom the authority is asked."""

from __future__ import annotations

import asyncio

from postroom.accounts.offering import ScramOffer, always, never
from postroom.net.limits import SCRAM_OFFER_SECONDS


def test_what_the_authority_said_last_holds_until_it_says_else() -> None:
    answers: list[bool | None] = [True, None, False]
    asked: list[float] = []
    now = [1000.0]

    async def ask() -> bool | None:
        asked.append(now[0])
        return answers.pop(0)

    async def story() -> None:
        offer = ScramOffer(ask, lambda: now[0])
        await offer.look()
        assert offer() and offer() and len(asked) == 1
        for known, after in ((True, True), (True, False)):
            now[0] += SCRAM_OFFER_SECONDS
            # Nobody waits for the answer, and one question is enough.
            assert [offer() for _ in range(5)] == [known] * 5
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            assert offer() is after
        assert len(asked) == 3

    asyncio.run(story())
    assert always() and not never()
