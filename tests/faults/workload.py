"""A client's day: every kind of change, one after the other."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

from tests.faults.steps import LARGE, Step, append, by_command, command, data, letter_of, password, quit
from tests.faults.world import Box, Place, World
from tests.house import ALICE, BOB


def tidy(world: World) -> Iterator[Step]:
    """Take away what an earlier round has left, so that worlds stay small."""
    for place in sorted(_of_rounds(world.boxes), reverse=True):
        yield _delete(place[1])
    for place in sorted(_of_rounds(world.subscribed)):
        yield command("UNSUBSCRIBE", f"UNSUBSCRIBE {place[1]}", _unsubscribed(place))
    for address in (ALICE, BOB):
        count = len(world.boxes[address, "INBOX"].letters)
        if count:
            yield quit(world, address, count)


def _of_rounds(places: Iterable[Place]) -> list[Place]:
    return [place for place in places if place[1].startswith("Round")]


def _delete(name: str) -> Step:
    return command("DELETE", f"DELETE {name}", lambda world: world.without_boxes([(ALICE, name)]))


def _unsubscribed(place: Place) -> Callable[[World], World]:
    return lambda world: replace(world, subscribed=world.subscribed - {place})


def workload(world: World, name: str, *, commands: bool = False) -> Iterator[Callable[[World], Step]]:
    """Every kind of change, as functions of the world that each finds; `commands`: the command line's too."""
    for step in tidy(world):
        yield lambda _, step=step: step  # type: ignore[misc]
    first, second = f"Round{name}", f"Round{name}-renamed"
    here, there, inbox = (ALICE, first), (ALICE, second), (ALICE, "INBOX")
    letters = [letter_of(f"{name}-{number}") for number in range(8)]
    large = [letter_of(f"{name}-large{number}", LARGE) for number in range(2)]

    def fixed(step: Step) -> Callable[[World], Step]:
        return lambda _: step

    yield fixed(data(letters[0], ALICE))
    yield fixed(data(letters[1], ALICE, BOB))
    yield fixed(data(large[0], ALICE))
    yield fixed(command("CREATE", f"CREATE {first}", lambda world: world.with_box(here)))
    yield fixed(
        command(
            "SUBSCRIBE",
            f"SUBSCRIBE {first}",
            lambda world: replace(world, subscribed=world.subscribed | {here}),
        )
    )
    yield fixed(append(letters[2], first, "\\Seen"))
    yield fixed(append(letters[3], first))
    yield fixed(append(large[1], first, "\\Flagged", "work"))
    yield fixed(
        command(
            "STORE",
            "STORE 1:2 +FLAGS (\\Answered todo)",
            lambda world: world.at(here, lambda box: box.flag([1, 2], "\\answered", "todo")),
            first,
        )
    )
    yield lambda world: _copy(world, here, inbox, 2)
    yield lambda world: _move(world, inbox, here, 2)
    yield fixed(command("CREATE", f"CREATE {first}/Child", lambda world: world.with_box((ALICE, f"{first}/Child"))))
    yield fixed(append(letters[4], f"{first}/Child"))
    yield fixed(command("RENAME", f"RENAME {first} {second}", lambda world: _renamed(world, first, second)))
    yield lambda world: command(
        "STORE",
        "UID STORE 1,3 +FLAGS.SILENT (\\Deleted)",
        lambda world: world.at(there, lambda box: box.flag([1, 3], "\\deleted")),
        second,
    )
    yield fixed(
        command("UID EXPUNGE", "UID EXPUNGE 1", lambda world: world.at(there, lambda box: box.without([1])), second)
    )
    yield fixed(
        command(
            "EXPUNGE",
            "EXPUNGE",
            lambda world: world.at(there, lambda box: box.without(box.flagged("\\deleted"))),
            second,
        )
    )
    yield fixed(data(letters[5], BOB))
    yield lambda world: quit(world, ALICE, 2)
    yield password
    if commands:
        yield from _commands(name)
    yield fixed(command("UNSUBSCRIBE", f"UNSUBSCRIBE {first}", _unsubscribed(here)))
    yield fixed(_delete(f"{second}/Child"))
    yield fixed(data(letters[6], ALICE))
    yield fixed(_delete(second))


def _copy(world: World, source: Place, target: Place, count: int) -> Step:
    uids = sorted(world.boxes[source].letters)[:count]
    kept = [world.boxes[source].letters[uid] for uid in uids]
    words = f"UID COPY {','.join(map(str, uids))} {target[1]}"
    return command("COPY", words, lambda world: world.at(target, lambda box: box.file(kept)), source[1])


def _move(world: World, source: Place, target: Place, count: int) -> Step:
    uids = sorted(world.boxes[source].letters)[:count]
    kept = [world.boxes[source].letters[uid] for uid in uids]
    words = f"UID MOVE {','.join(map(str, uids))} {target[1]}"

    def after(world: World) -> World:
        return world.at(target, lambda box: box.file(kept)).at(source, lambda box: box.without(uids))

    return command("MOVE", words, after, source[1])


def _renamed(world: World, first: str, second: str) -> World:
    def new(place: Place) -> Place:
        address, name = place
        ours = address == ALICE and (name == first or name.startswith(first + "/"))
        return (address, second + name[len(first) :]) if ours else place

    boxes: dict[Place, Box] = {new(place): box for place, box in world.boxes.items()}
    return replace(world, boxes=boxes)


def _commands(name: str) -> Iterator[Callable[[World], Step]]:
    address, info = f"dora{name}@example.test", f"info{name}@example.test"
    hashed = "{SHA512-CRYPT}$6$rounds=1000$salt$" + f"{1:086}"

    def known(world: World) -> World:
        return replace(world, passwords={**world.passwords, address: hashed})

    add = ("account", "add", address, "--password-stdin", "--hash")
    yield lambda _: by_command(
        "account add", add, lambda world: known(world).with_account(address), f"{hashed}\n", known
    )
    yield lambda _: by_command(
        "alias add", ("alias", "add", info, ALICE), lambda world: replace(world, aliases=world.aliases | {info})
    )
