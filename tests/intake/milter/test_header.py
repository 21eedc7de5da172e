from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from postroom.intake.milter.header import Field, Header, make_field
from postroom.net.limits import HEADER_FIELDS

PLAIN = b"Subject: x\r\nX-A: one\r\nTo: a@b.test,\r\n\tc@d.test\r\nx-a: two\r\n\r\n"


def header(octets: bytes = PLAIN) -> Header:
    return Header(octets, len(octets))


def field(name: bytes = b"X-New", value: bytes = b"v") -> Field:
    return make_field(name, value, leading_space=False)


def test_fields_are_told_without_their_folds_and_line_ends() -> None:
    told = [(each.name, each.value(leading_space=False)) for each in header()]
    assert told == [(b"Subject", b"x"), (b"X-A", b"one"), (b"To", b"a@b.test,\n\tc@d.test"), (b"x-a", b"two")]
    assert next(iter(header())).value(leading_space=True) == b" x"


def test_lines_that_are_no_fields_are_not_told_and_stay() -> None:
    odd = header(b"From jo Mon Jan 1\r\nno field\r\nA: b\r\n\r\n")
    assert [each.name for each in odd] == [b"A"]
    odd.add(field())
    assert odd.octets() == b"From jo Mon Jan 1\r\nno field\r\nA: b\r\nX-New: v\r\n\r\n"


@given(st.binary(max_size=60))
def test_what_is_not_changed_stays_octet_for_octet(octets: bytes) -> None:
    from postroom.message.headers import header_end

    size = header_end(octets, 0, len(octets))
    one = Header(octets[:size], size)
    closing = one.octets()[len(octets[: one.rest]) :]
    assert one.octets() == octets[: one.rest] + closing
    assert closing in (b"", b"\r\n", b"\r\n\r\n")


def test_a_field_is_added_behind_and_inserted_before() -> None:
    one = header(b"A: 1\r\nB: 2\r\n\r\n")
    one.add(field(b"Z"))
    one.insert(0, field(b"Top"))
    one.insert(3, field(b"Third"))
    one.insert(99, field(b"Last"))
    assert [each.name for each in one] == [b"Top", b"A", b"Third", b"B", b"Z", b"Last"]


def test_number_one_is_the_place_below_our_own_received() -> None:
    one = header(b"A: 1\r\n\r\n")
    one.insert(1, field(b"New"))
    assert [each.name for each in one] == [b"New", b"A"]


def test_a_field_is_changed_by_its_number_among_its_name() -> None:
    one = header()
    one.change(2, field(b"X-A", b"changed"), b"X-A")
    one.change(1, None, b"X-A")
    assert one.octets() == b"Subject: x\r\nTo: a@b.test,\r\n\tc@d.test\r\nX-A: changed\r\n\r\n"


def test_a_change_of_a_field_that_is_not_there_adds_it_and_a_removal_does_nothing() -> None:
    one = header()
    one.change(3, None, b"X-A")
    one.change(0, None, b"X-A")
    one.change(1, None, b"Nothing")
    assert one.octets() == PLAIN
    one.change(3, field(b"X-A", b"three"), b"X-A")
    assert one.octets() == PLAIN[:-2] + b"X-A: three\r\n\r\n"


def test_a_filter_can_neither_end_the_header_nor_begin_another_field() -> None:
    for value in (b"a\r\n\r\nbody", b"a\nBcc: x", b"a\n\n\nb", b"a\n", b"\n\n", b"a\rb", b"a\r\n"):
        raw = make_field(b"X", value, leading_space=False).raw
        assert raw.endswith(b"\r\n") and b"\r\n\r\n" not in raw
        lines = raw[:-2].split(b"\r\n")
        assert all(line[:1] in (b" ", b"\t") for line in lines[1:]), raw
        assert b"\r" not in raw.replace(b"\r\n", b"")
    assert make_field(b"X", b"a\n\tb\n c", leading_space=False).raw == b"X: a\r\n\tb\r\n c\r\n"
    assert make_field(b"X", b"\ta", leading_space=True).raw == b"X:\ta\r\n"


def test_a_header_without_an_end_gets_one() -> None:
    one = header(b"A: 1")
    one.add(field())
    assert one.octets() == b"A: 1\r\nX-New: v\r\n\r\n"
    empty = header(b"\r\n")
    empty.add(field())
    assert empty.octets() == b"X-New: v\r\n\r\n"


def test_of_a_header_that_is_looked_at_in_part_the_rest_stays_behind() -> None:
    whole = b"A: 1\r\nB: 2\r\n 3\r\nC: 4\r\n\r\n"
    one = Header(whole[:14], len(whole))
    assert [each.name for each in one] == [b"A"]
    one.add(field())
    assert one.octets() + whole[one.rest :] == b"A: 1\r\nX-New: v\r\nB: 2\r\n 3\r\nC: 4\r\n\r\n"


def test_fields_beyond_the_limit_are_carried_and_not_told() -> None:
    for count in (HEADER_FIELDS, HEADER_FIELDS + 1, HEADER_FIELDS * 3):
        octets = b"A: 1\r\n" * count + b"\r\n"
        one = header(octets)
        assert len(list(one)) == HEADER_FIELDS
        assert one.octets() + octets[one.rest :] == octets
