"""Three sessions and a store that changes beneath them, at random: each client ends with the truth."""

from __future__ import annotations

import random

import pytest

from postroom.store.changes import How
from postroom.store.values import Flag
from tests.imap.mailprogram import Session, Truth


def play(rng: random.Random) -> None:
    """Three sessions, one of them reading only, and a store that changes beneath them."""
    truth = Truth(rng.randrange(8))
    sessions = [Session(truth), Session(truth), Session(truth, read_only=True)]
    for _ in range(rng.randrange(40)):
        step(rng, truth, rng.choice(sessions))
    for session in sessions:
        session.news(expunges=False)
        session.check()
        session.news(with_uid=rng.random() < 0.5)
        session.check_truth()


def step(rng: random.Random, truth: Truth, session: Session) -> None:
    some = [uid for uid in truth.entries if rng.random() < 0.3]
    how, by = rng.choice(list(How)), Flag(rng.randrange(32))
    keywords = tuple(word for word in ("$a", "b", "c") if rng.random() < 0.3)
    match rng.randrange(9):
        case 0:
            truth.deliver(int(by), " ".join(keywords))
        case 1:
            truth.store(some, how, int(by), keywords)
        case 2:
            truth.expunge(*some)
        case 3:
            session.catch_up()
        case 4 | 5:
            if not session.read_only:
                numbers = [number for number in range(1, len(session.view) + 1) if rng.random() < 0.4]
                session.store(numbers, how, by, keywords, silent=rng.random() < 0.6)
            session.news(expunges=False, with_uid=rng.random() < 0.5)
            session.check()
        case 6:
            session.news()
            session.check()
        case 7:
            since = session.view.modseq
            session.catch_up()
            session.view.apply(truth.changes(max(0, since - rng.randrange(5))))
        case 8:
            if rng.random() < 0.3 and not session.view.any_gone(
                session.view.uids([range(1, len(session.view) + 1)])
            ):
                session.fetch_all()
                return
            for number in range(1, len(session.view) + 1):
                if rng.random() < 0.5 and not session.view.is_gone(session.view.uid_of(number)):
                    session.fetch(number)


@pytest.mark.parametrize("seed", range(8))
def test_the_client_always_ends_with_the_truth(seed: int) -> None:
    for game in range(100):
        play(random.Random(f"{seed} {game}"))
