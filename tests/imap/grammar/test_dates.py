"""Date-times of INTERNALDATE and APPEND, dates of SEARCH."""

from __future__ import annotations

from datetime import date, datetime, timedelta, timezone

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from postroom.imap.grammar.dates import Moment, day_of, read_date, read_date_time, write_date, write_date_time
from postroom.imap.grammar.faults import SyntaxFault
from tests.imap.grammar.hostile import octets, refuses_or_reads

FIRST = -62135596800
LAST = 253402300799


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        (b'"17-Jul-1996 02:44:25 -0700"', Moment(837596665, -420)),
        (b'" 7-feb-1994 21:52:25 -0800"', Moment(760686745, -480)),
        (b'"07-FEB-1994 21:52:25 -0800"', Moment(760686745, -480)),
        (b'"01-Jan-1970 00:00:00 +0000"', Moment(0, 0)),
        (b'"31-Dec-2016 23:59:60 +0000"', Moment(1483228800, 0)),
        (b'"29-Feb-2000 12:00:00 +0545"', Moment(951804900, 345)),
    ],
)
def test_date_times_are_read(text: bytes, moment: Moment) -> None:
    assert read_date_time(b"x " + text + b" {3}", 2) == (moment, 2 + len(text))


@pytest.mark.parametrize(
    "wrong",
    [
        b"17-Jul-1996 02:44:25 -0700",
        b'"17-Jul-1996 02:44:25"',
        b'"17-Jul-1996 02:44:25 -07:00"',
        b'"7-Jul-1996 02:44:25 -0700"',
        b'"17-Jux-1996 02:44:25 -0700"',
        b'"30-Feb-1996 02:44:25 -0700"',
        b'"  -Feb-1996 02:44:25 -0700"',
        b'"00-Feb-1996 02:44:25 -0700"',
        b'"29-Feb-1900 02:44:25 -0700"',
        b'"17-Jul-0000 02:44:25 -0700"',
        b'"17-Jul-1996 24:00:00 -0700"',
        b'"17-Jul-1996 02:60:25 -0700"',
        b'"17-Jul-1996 02:44:61 -0700"',
        b'"17-Jul-1996 02:44:25 -2400"',
        b'"17-Jul-1996 02:44:25 -0760"',
    ],
)
def test_what_is_no_date_time_is_refused(wrong: bytes) -> None:
    with pytest.raises(SyntaxFault):
        read_date_time(wrong, 0)


@pytest.mark.parametrize(
    ("text", "day"),
    [
        (b"1-Feb-1994", date(1994, 2, 1)),
        (b"01-feb-1994", date(1994, 2, 1)),
        (b'"1-Feb-1994"', date(1994, 2, 1)),
        (b"31-Dec-9999", date(9999, 12, 31)),
        (b"1-Jan-0001", date(1, 1, 1)),
    ],
)
def test_dates_are_read(text: bytes, day: date) -> None:
    assert read_date(text + b")", 0) == ((day - date(1970, 1, 1)).days, len(text))


@pytest.mark.parametrize("wrong", [b"", b"1 Feb 1994", b'"1-Feb-1994', b"31-Feb-1994", b"1-Feb-94", b" 1-Feb-1994"])
def test_what_is_no_date_is_refused(wrong: bytes) -> None:
    with pytest.raises(SyntaxFault):
        read_date(wrong + b" ", 0)


def test_a_letters_day_is_that_of_its_own_clock() -> None:
    moment, _ = read_date_time(b'"17-Jul-1996 23:44:25 -0700"', 0)
    day, _ = read_date(b"17-Jul-1996", 0)
    assert day_of(*moment) == day


@settings(deadline=None, max_examples=200)
@given(st.integers(FIRST + 90_000, LAST - 90_000), st.integers(-1439, 1439))
def test_date_times_are_read_as_they_were_written(seconds: int, zone: int) -> None:
    written = write_date_time(seconds, zone)
    assert len(written) == 28
    assert read_date_time(written, 0) == (Moment(seconds, zone), 28)
    there = datetime(1970, 1, 1, tzinfo=timezone(timedelta(minutes=zone))) + timedelta(seconds=seconds + zone * 60)
    assert written[1:12].strip() == b"%d-%b-%04d" % (there.day, there.strftime("%b").encode(), there.year)


@settings(deadline=None, max_examples=200)
@given(st.integers(FIRST // 86400, LAST // 86400))
def test_dates_are_read_as_they_were_written(day: int) -> None:
    written = write_date(day)
    assert read_date(written, 0) == (day, len(written))


@settings(deadline=None, max_examples=100)
@given(st.integers(-(2**63), 2**63 - 1), st.integers(-(2**31), 2**31))
def test_any_stored_instant_can_be_written(seconds: int, zone: int) -> None:
    assert isinstance(read_date_time(write_date_time(seconds, zone), 0)[0], Moment)


@settings(deadline=None, max_examples=300)
@given(octets([b'"17-Jul-1996 02:44:25 -0700"', b'"1-Feb-1994"', b"31-Dec-9999"]))
def test_readers_refuse_or_read_whatever_comes(buffer: bytes) -> None:
    refuses_or_reads(read_date_time, buffer)
    refuses_or_reads(read_date, buffer)
