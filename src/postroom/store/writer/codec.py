"""Values as a tree for JSON with octets behind it, and back: made from the values' own types, once for each.

    codec = codec_of(Target)
    octets: list[bytes] = []
    tree = codec.write(Target(MailboxId(7), b"X: y\\r\\n"), octets)     # [7, 6, 0, []] and [b"X: y\\r\\n"]
    codec.read(tree, Octets(memoryview(b"".join(octets))))

A dataclass (or a named tuple) is the list of its fields, one of several classes has its name before them; octets
stand as their number, and themselves behind the tree in the order in which they are met. Nothing is read but what
the type says: a class that it doesn't name, another number of fields, a float, an integer of more than 64 bits are
a `WireFault`. Writing refuses the same, so that one odd value breaks nobody's connection.
"""

from __future__ import annotations

import enum
import functools
import operator
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from typing import Any, Final

__all__ = ["Codec", "Octets", "WireFault", "codec_of", "named", "one_of", "record", "row_of", "tuple_of"]

_LEAST: Final = -(2**63)
_MOST: Final = 2**63 - 1


class WireFault(Exception):
    """Octets that are no message, or a value that can't be told."""


class Octets:
    """What lies behind a tree, to be taken piece by piece."""

    def __init__(self, view: memoryview) -> None:
        self._view = view
        self._at = 0

    def take(self, count: object) -> bytes:
        """The next so many. Raises `WireFault`."""
        if type(count) is not int or not 0 <= count <= len(self._view) - self._at:
            raise WireFault("octets that are not there")
        start, self._at = self._at, self._at + count
        return bytes(self._view[start : self._at])

    def end(self) -> None:
        """See that nothing is left. Raises `WireFault`."""
        if self._at != len(self._view):
            raise WireFault("octets that belong to nothing")


@dataclass(frozen=True, slots=True)
class Codec:
    """One type's. `write` gives the tree and adds octets to the list; both raise `WireFault`."""

    write: Callable[[Any, list[bytes]], Any]
    read: Callable[[Any, Octets], Any]


@functools.cache
def codec_of(kind: Any) -> Codec:
    """The codec of a type. Raises TypeError for one that has none: only what is here, and what is made of it."""
    if isinstance(kind, Codec):
        return kind
    while isinstance(kind, typing.NewType):
        kind = kind.__supertype__
    simple = _SIMPLE.get(kind)
    if simple is not None:
        return simple
    origin = typing.get_origin(kind)
    if origin in (typing.Union, types.UnionType):
        return _union(typing.get_args(kind))
    if origin is tuple:
        return _tuple(typing.get_args(kind))
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        return _flags(kind) if issubclass(kind, enum.Flag) else _enum(kind)
    if isinstance(kind, type) and (is_dataclass(kind) or issubclass(kind, tuple)):
        return record(kind)
    raise TypeError(f"{kind} does not travel")


def one_of(kinds: Sequence[type]) -> Codec:
    """The codec of a value of one of several classes, which is named before its fields."""
    return named({kind: record(kind) for kind in kinds})


# --- what has no parts


def _write_int(value: int, _: list[bytes]) -> int:
    if not _LEAST <= value <= _MOST:
        raise WireFault("a number out of range")
    return value


def _read_int(tree: object, _: Octets) -> int:
    if type(tree) is not int or not _LEAST <= tree <= _MOST:
        raise WireFault("no number, or out of range")
    return tree


def _write_octets(value: bytes, octets: list[bytes]) -> int:
    if type(value) is not bytes:
        raise WireFault(f"{type(value).__name__} in place of octets")
    octets.append(value)
    return len(value)


def _as_it_is(value: Any, _: list[bytes]) -> Any:
    return value


def _only(kind: type) -> Callable[[Any, Octets], Any]:
    def read(tree: object, _: Octets) -> object:
        if type(tree) is not kind:
            raise WireFault(f"{type(tree).__name__} in place of {kind.__name__}")
        return tree

    return read


_SIMPLE: Final[Mapping[Any, Codec]] = {
    int: Codec(_write_int, _read_int),
    str: Codec(_as_it_is, _only(str)),
    bool: Codec(_as_it_is, _only(bool)),
    bytes: Codec(_write_octets, lambda tree, octets: octets.take(tree)),
    types.NoneType: Codec(_as_it_is, _only(types.NoneType)),
}


def _flags(kind: type[enum.Flag]) -> Codec:
    known = sum(int(each.value) for each in kind)

    def read(tree: object, _: Octets) -> enum.Flag:
        if type(tree) is not int or tree & ~known:
            raise WireFault(f"no {kind.__name__}")
        return kind(tree)

    return Codec(lambda value, _: int(value), read)


def _enum(kind: type[enum.Enum]) -> Codec:
    values = {each.value: each for each in kind}

    def read(tree: object, _: Octets) -> enum.Enum:
        if type(tree) is not str or tree not in values:
            raise WireFault(f"no {kind.__name__}")
        return values[tree]

    return Codec(lambda value, _: value.value, read)


# --- what has


def _tuple(kinds: tuple[Any, ...]) -> Codec:
    if len(kinds) != 2 or kinds[1] is not Ellipsis:
        return row_of(*map(codec_of, kinds))
    return tuple_of(codec_of(kinds[0]))


def tuple_of(each: Codec) -> Codec:
    """The codec of a tuple of any number of one kind."""
    if each is _SIMPLE[int]:
        return Codec(_write_numbers, _read_numbers)

    def write(value: tuple[Any, ...], octets: list[bytes]) -> list[Any]:
        return [each.write(one, octets) for one in value]

    def read(tree: object, octets: Octets) -> tuple[Any, ...]:
        return tuple([each.read(one, octets) for one in _list(tree)])

    return Codec(write, read)


def _write_numbers(value: tuple[int, ...], _: list[bytes]) -> list[int]:
    if value and not (min(value) >= _LEAST and max(value) <= _MOST):
        raise WireFault("a number out of range")
    return list(value)


def _read_numbers(tree: object, _: Octets) -> tuple[int, ...]:
    """UIDs come by the hundred thousand."""
    numbers = _list(tree)
    if not set(map(type, numbers)) <= {int}:
        raise WireFault("no number")
    if numbers and not (min(numbers) >= _LEAST and max(numbers) <= _MOST):
        raise WireFault("a number out of range")
    return tuple(numbers)


def _list(tree: object) -> list[Any]:
    if type(tree) is not list:
        raise WireFault("no list")
    return tree


def row_of(*each: Codec) -> Codec:
    """The codec of a tuple with a kind for each place."""
    return _fields(each, lambda value: value, lambda *values: values)


def record(kind: type, **instead: Any) -> Codec:
    """The codec of a dataclass or a named tuple; some fields have another type than the class says, or a codec."""
    hints = typing.get_type_hints(kind) | instead
    names = [each.name for each in fields(kind)] if is_dataclass(kind) else list(getattr(kind, "_fields", ()))
    codecs = [codec_of(hints[name]) for name in names]
    if len(names) > 1:
        return _fields(codecs, operator.attrgetter(*names), kind)
    return _fields(codecs, lambda value: [getattr(value, name) for name in names], kind)


def _fields(
    codecs: Sequence[Codec], values_of: Callable[[Any], Sequence[Any]], make: Callable[..., object]
) -> Codec:
    writes = [codec.write for codec in codecs]
    reads = [codec.read for codec in codecs]
    count = len(codecs)

    def write(value: object, octets: list[bytes]) -> list[Any]:
        return [each(one, octets) for each, one in zip(writes, values_of(value), strict=True)]

    def read(tree: object, octets: Octets) -> object:
        given = _list(tree)
        if len(given) != count:
            raise WireFault("another number of fields")
        return make(*[each(one, octets) for each, one in zip(reads, given, strict=True)])

    return Codec(write, read)


def _union(kinds: tuple[Any, ...]) -> Codec:
    """None or a type; or one of several classes."""
    others = [kind for kind in kinds if kind is not types.NoneType]
    if len(others) == len(kinds):
        return one_of(others)
    inner = codec_of(others[0]) if len(others) == 1 else one_of(others)

    def write(value: object, octets: list[bytes]) -> Any:
        return None if value is None else inner.write(value, octets)

    def read(tree: object, octets: Octets) -> Any:
        return None if tree is None else inner.read(tree, octets)

    return Codec(write, read)


def named(codecs: Mapping[type, Codec]) -> Codec:
    """The codec of a value of one of these classes, which is named before its fields."""
    by_name = {kind.__name__: codec.read for kind, codec in codecs.items()}
    writes = {kind: (kind.__name__, codec.write) for kind, codec in codecs.items()}

    def write(value: object, octets: list[bytes]) -> list[Any]:
        known = writes.get(type(value))
        if known is None:
            raise WireFault(f"{type(value).__name__} does not travel")
        return [known[0], known[1](value, octets)]

    def read(tree: object, octets: Octets) -> Any:
        given = _list(tree)
        if len(given) != 2 or type(given[0]) is not str:
            raise WireFault("a class without its name")
        known = by_name.get(given[0])
        if known is None:
            raise WireFault("a class that is not known here")
        return known(given[1], octets)

    return Codec(write, read)
