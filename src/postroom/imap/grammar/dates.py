"""Dates and times: INTERNALDATE and APPEND's date-time, SEARCH's dates (RFC 3501 9), read and written.

>>> read_date_time(b'"17-Jul-1996 02:44:25 -0700"', 0)
(Moment(seconds=837596665, zone=-420), 28)
"""

from __future__ import annotations

import re
from datetime import date
from functools import lru_cache
from typing import Final, NamedTuple

from postroom.imap.grammar.faults import SyntaxFault

_MONTHS: Final = (b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec")
_MONTH_NUMBERS: Final = {month.upper(): number for number, month in enumerate(_MONTHS, 1)}
_EPOCH: Final = date(1970, 1, 1).toordinal()
_FIRST_DAY: Final = date.min.toordinal() - _EPOCH
_LAST_DAY: Final = date.max.toordinal() - _EPOCH
_LAST_ZONE: Final = 24 * 60 - 1
_MINUTES: Final = tuple([b" %02d:%02d:" % divmod(minute, 60) for minute in range(24 * 60)])
_SECONDS: Final = tuple([b"%02d " % second for second in range(60)])
_DATE_TIME: Final = re.compile(
    rb'"([ 0-9][0-9])-([A-Za-z]{3})-([0-9]{4}) ([0-9]{2}):([0-9]{2}):([0-9]{2}) ([+-])([0-9]{2})([0-9]{2})"'
)
_DATE: Final = re.compile(rb'("?)([0-9]{1,2})-([A-Za-z]{3})-([0-9]{4})\1')


class Moment(NamedTuple):
    """An instant, and the clock on which it was given."""

    seconds: int
    """Since 1970 UTC."""
    zone: int
    """Minutes east of UTC."""


def read_date_time(buffer: bytes, position: int) -> tuple[Moment, int]:
    """A date-time with its quotes; a leap second is the next minute's first."""
    found = _DATE_TIME.match(buffer, position)
    if found is None:
        raise SyntaxFault("a date-time is malformed")
    day = _day(found[1], found[2], found[3])
    hour, minute, second, zone_hours, zone_minutes = (int(found[group]) for group in (4, 5, 6, 8, 9))
    if hour > 23 or minute > 59 or second > 60 or zone_hours > 23 or zone_minutes > 59:
        raise SyntaxFault("a time is not one")
    zone = zone_hours * 60 + zone_minutes
    if found[7] == b"-":
        zone = -zone
    return Moment(((day * 24 + hour) * 60 + minute - zone) * 60 + second, zone), found.end()


def read_date(buffer: bytes, position: int) -> tuple[int, int]:
    """SEARCH's date, in quotes or not, as days since 1 January 1970: to be held against `day_of`."""
    found = _DATE.match(buffer, position)
    if found is None:
        raise SyntaxFault("a date is malformed")
    return _day(found[2], found[3], found[4]), found.end()


def day_of(seconds: int, zone: int) -> int:
    """The day of an internal date "disregarding time and timezone" (RFC 3501 6.4.4), as `read_date` counts."""
    return (seconds + zone * 60) // 86_400


def write_date_time(seconds: int, zone: int) -> bytes:
    """A date-time with its quotes. What lies outside of the years 1 to 9999, or a day from UTC, is brought to the
    edge."""
    if not -_LAST_ZONE <= zone <= _LAST_ZONE:
        zone = max(-_LAST_ZONE, min(zone, _LAST_ZONE))
    day, second = divmod(seconds + zone * 60, 86_400)
    minute, second = divmod(second, 60)
    return b"".join((b'"', _write_day(day), _MINUTES[minute], _SECONDS[second], _zone(zone)))


def write_date(day: int) -> bytes:
    """SEARCH's date, without quotes."""
    return _write_day(day).lstrip()


def _day(day: bytes, month: bytes, year: bytes) -> int:
    try:
        ordinal = date(int(year), _MONTH_NUMBERS.get(month.upper(), 0), int(day)).toordinal()
    except ValueError:
        raise SyntaxFault("a date is not in the calendar") from None
    return ordinal - _EPOCH


@lru_cache(maxsize=4096)
def _write_day(day: int) -> bytes:
    when = date.fromordinal(max(_FIRST_DAY, min(day, _LAST_DAY)) + _EPOCH)
    return b"%2d-%b-%04d" % (when.day, _MONTHS[when.month - 1], when.year)


@lru_cache(maxsize=256)
def _zone(zone: int) -> bytes:
    return b'%b%02d%02d"' % (b"-" if zone < 0 else b"+", *divmod(abs(zone), 60))
