"""The Date field (RFC 5322 3.3, 4.3, A), and what stands there instead of one."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from email.utils import format_datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from postroom.message.dates import Sent, read_date


def at(year: int, month: int, day: int, hour: int = 0, minute: int = 0, second: int = 0, *, zone: int = 0) -> Sent:
    moment = datetime(year, month, day, hour, minute, second, tzinfo=timezone(timedelta(minutes=zone)))
    return Sent(int(moment.timestamp()), zone)


DATES = [
    # RFC 5322 A.1.1, A.1.3, A.5, A.6.2, A.6.3
    (b"Fri, 21 Nov 1997 09:55:06 -0600", at(1997, 11, 21, 9, 55, 6, zone=-360)),
    (b"Tue, 1 Jul 2003 10:52:37 +0200", at(2003, 7, 1, 10, 52, 37, zone=120)),
    (b"Thu,\t 13\t Feb\t 1969\t 23:32:54\t -0330\t (Newfoundland Time)", at(1969, 2, 13, 23, 32, 54, zone=-210)),
    (b"21 Nov 97 09:55:06 GMT", at(1997, 11, 21, 9, 55, 6)),
    # 3.3: seconds may be missing, -0000 says nothing of the zone
    (b"21 Nov 1997 09:55 +0000", at(1997, 11, 21, 9, 55)),
    (b"21 Nov 1997 09:55:06 -0000", at(1997, 11, 21, 9, 55, 6)),
    # 4.3: years of two and three digits, named zones
    (b"1 Jan 49 00:00:00 EST", at(2049, 1, 1, zone=-300)),
    (b"1 Jan 50 00:00:00 EDT", at(1950, 1, 1, zone=-240)),
    (b"1 Jan 102 00:00:00 PST", at(2002, 1, 1, zone=-480)),
    (b"1 Jan 2002 00:00:00 PDT", at(2002, 1, 1, zone=-420)),
    (b"1 Jan 2002 00:00:00 K", at(2002, 1, 1)),
    (b"1 Jan 2002 00:00:00 XYZ", at(2002, 1, 1)),
    # what senders do
    (b"Friday, 21 November 1997 09:55:06 -0600", at(1997, 11, 21, 9, 55, 6, zone=-360)),
    (b"fri 21 nov 1997 9:5:6 -0600", at(1997, 11, 21, 9, 5, 6, zone=-360)),
    (b"21-Nov-1997 09:55:06 -0600", at(1997, 11, 21, 9, 55, 6, zone=-360)),
    (b"21 Nov 1997 09.55.06 -0600", at(1997, 11, 21, 9, 55, 6, zone=-360)),
    (b"Fri, (weekday) 21 Nov 1997 (day) 09:55:06 -0600", at(1997, 11, 21, 9, 55, 6, zone=-360)),
    # RFC 5256 2.2: an invalid time is midnight, an invalid zone UTC
    (b"21 Nov 1997", at(1997, 11, 21)),
    (b"21 Nov 1997 25:00:00 +0100", at(1997, 11, 21, zone=60)),
    (b"21 Nov 1997 23:60:00 +0000", at(1997, 11, 21)),
    (b"21 Nov 1997 09:55:06 +0199", at(1997, 11, 21, 9, 55, 6)),
    (b"31 Dec 2016 23:59:60 +0000", at(2017, 1, 1)),
    (b"29 Feb 2024 00:00:00 +0000", at(2024, 2, 29)),
    (b"1 Jan 0001 00:00:00 +0000", at(1, 1, 1)),
    (b"31 Dec 9999 23:59:59 -2359", Sent(at(9999, 12, 31, 23, 59, 59).seconds + 1439 * 60, -1439)),
]


@pytest.mark.parametrize(("value", "sent"), DATES)
def test_a_date_is_read(value: bytes, sent: Sent) -> None:
    assert read_date(value) == sent
    assert read_date(b"  " + value + b" trailing (words)") == sent


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"yesterday",
        b"Fri, Nov 1997 09:55:06",
        b"32 Nov 1997 00:00:00 +0000",
        b"31 Nov 1997 00:00:00 +0000",
        b"29 Feb 2023 00:00:00 +0000",
        b"0 Nov 1997",
        b"21 Xyz 1997",
        b"21 Nov 0000",
        b"21 Nov 1",
        b"1997-11-21T09:55:06Z",
        "٢١ Nov 1997".encode(),
        b"\xff\xfe",
    ],
)
def test_what_is_no_date_is_none(value: bytes) -> None:
    assert read_date(value) is None


@settings(max_examples=100, deadline=None)
@given(
    st.datetimes(datetime(1900, 1, 1), datetime(9998, 1, 1)),
    st.integers(-1439, 1439),
)
def test_every_moment_that_a_program_writes_is_read(moment: datetime, zone: int) -> None:
    moment = moment.replace(microsecond=0, tzinfo=timezone(timedelta(minutes=zone)))
    sent = read_date(format_datetime(moment).encode())
    assert sent is not None
    assert sent.zone == zone
    assert datetime.fromtimestamp(sent.seconds, UTC) == moment


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=80) | st.text("0123456789 :,+-NovFriGMT()", max_size=60).map(str.encode))
def test_any_octets_are_a_date_or_none(value: bytes) -> None:
    sent = read_date(value)
    assert sent is None or abs(sent.seconds) < 1 << 40


def test_what_stands_far_behind_is_not_looked_at() -> None:
    assert read_date(b"(" * 300 + b"21 Nov 1997") is None
    assert read_date(b" " * 300 + b"21 Nov 1997") is None
