"""The Date field (RFC 5322 3.3 and 4.3), read leniently and in one look."""

from __future__ import annotations

import re
from datetime import date
from typing import NamedTuple

_EPOCH = date(1970, 1, 1).toordinal()
_MONTHS = {
    name: number
    for number, name in enumerate(
        (b"jan", b"feb", b"mar", b"apr", b"may", b"jun", b"jul", b"aug", b"sep", b"oct", b"nov", b"dec"), 1
    )
}
_ZONES = {
    b"ut": 0,
    b"gmt": 0,
    b"utc": 0,
    b"z": 0,
    b"est": -300,
    b"edt": -240,
    b"cst": -360,
    b"cdt": -300,
    b"mst": -420,
    b"mdt": -360,
    b"pst": -480,
    b"pdt": -420,
}
"""Minutes east of UTC (RFC 5322 4.3). Military letters mean nothing there, as senders used them both ways."""

_date = re.compile(
    rb"[ \t]*+(?:[A-Za-z]{1,20}+[.]?+[ \t]*+,?+[ \t]*+)?+"
    rb"([0-9]{1,2}+)[ \t-]++([A-Za-z]{3})[A-Za-z]{0,10}+[.,]?+[ \t-]*+([0-9]{2,4}+)"
    rb"(?:[ \t,]++([0-9]{1,2}+)[:.]([0-9]{1,2}+)(?:[:.]([0-9]{1,2}+))?+(?:[.,][0-9]{1,9}+)?+)?+"
    rb"(?:[ \t]*+(?:([+-])([0-9]{2})([0-9]{2})|([A-Za-z]{1,5}+)))?+"
).match
_comment = re.compile(rb"\([^()]*+\)")
_FIELD_OCTETS = 256
"""No date is longer; what stands behind is not looked at."""


class Sent(NamedTuple):
    """When a letter says that it was sent."""

    seconds: int
    """Since 1970 UTC."""
    zone: int
    """Minutes east of UTC; seconds + 60 * zone is the writer's own clock, whose day SENTON means."""


def read_date(value: bytes) -> Sent | None:
    """The moment that an unfolded Date field names; None where there is no day in it.

    An invalid time is midnight and an invalid zone is UTC (RFC 5256 2.2); a leap second is the next minute's first.
    """
    value = value[:_FIELD_OCTETS]
    if b"(" in value:
        value = _comment.sub(b" ", value)
    match = _date(value)
    if match is None:
        return None
    day, name, year, hour, minute, second, sign, zone_hours, zone_minutes, zone_name = match.groups()
    month = _MONTHS.get(name.lower())
    if month is None:
        return None
    try:
        days = date(_year(year), month, int(day)).toordinal() - _EPOCH
    except ValueError:
        return None
    time = 0
    if hour is not None and int(hour) < 24 and int(minute) < 60 and int(second or 0) <= 60:
        time = int(hour) * 3600 + int(minute) * 60 + int(second or 0)
    zone = 0
    if sign is not None:
        zone = int(zone_hours) * 60 + int(zone_minutes) if int(zone_minutes) < 60 else 0
        zone = -zone if sign == b"-" else zone
    elif zone_name is not None:
        zone = _ZONES.get(zone_name.lower(), 0)
    return Sent(days * 86400 + time - zone * 60, zone)


def _year(digits: bytes) -> int:
    """RFC 5322 4.3: two digits are 2000 to 2049 or 1950 to 1999, three count from 1900."""
    year = int(digits)
    if len(digits) == 2:
        return year + (2000 if year < 50 else 1900)
    return year + 1900 if len(digits) == 3 else year
