"""Address lists (RFC 5322 3.4, 4.4, A), real ones and hostile ones."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from postroom.message import addresses
from postroom.message.addresses import Address, read_addresses
from postroom.net.limits import ADDRESS_TOKENS, ADDRESSES


def one(name: str | None, mailbox: str, host: str, route: str | None = None) -> Address:
    def octets(text: str | None) -> bytes | None:
        return None if text is None else text.encode()

    return Address(octets(name), octets(route), octets(mailbox), octets(host))


def group(name: str) -> Address:
    return Address(None, None, name.encode(), None)


END = Address(None, None, None, None)

LISTS = [
    # RFC 5322 A.1.1
    ("John Doe <jdoe@machine.example>", [one("John Doe", "jdoe", "machine.example")]),
    # A.1.2
    ('"Joe Q. Public" <john.q.public@example.com>', [one("Joe Q. Public", "john.q.public", "example.com")]),
    (
        "Mary Smith <mary@x.test>, jdoe@example.org, Who? <one@y.test>",
        [
            one("Mary Smith", "mary", "x.test"),
            one(None, "jdoe", "example.org"),
            one("Who?", "one", "y.test"),
        ],
    ),
    (
        '<boss@nil.test>, "Giant; \\"Big\\" Box" <sysservices@example.net>',
        [one(None, "boss", "nil.test"), one('Giant; "Big" Box', "sysservices", "example.net")],
    ),
    # A.1.3
    (
        "A Group:Ed Jones <joe@where.test>,joe@where.test,John <jdoe@one.test>;",
        [
            group("A Group"),
            one("Ed Jones", "joe", "where.test"),
            one(None, "joe", "where.test"),
            one("John", "jdoe", "one.test"),
            END,
        ],
    ),
    ("Undisclosed recipients:;", [group("Undisclosed recipients"), END]),
    # A comment within a name leaves one space, and an empty one no name
    ("A (c) B <a@b.test> (d)", [one("A B", "a", "b.test")]),
    ('"A  B" (c) C <a@b.test>', [one("A  B C", "a", "b.test")]),
    ("a@b.test ()", [one(None, "a", "b.test")]),
    # A.5
    (
        "Pete(A nice \\) chap) <pete(his account)@silly.test(his host)>",
        [one("Pete", "pete", "silly.test")],
    ),
    (
        "A Group(Some people)\t :Chris Jones <c@(Chris's host.)public.example>,\t     joe@example.org,"
        "\t  John <jdoe@one.test> (my dear friend); (the end of the group)",
        [
            group("A Group"),
            one("Chris Jones", "c", "public.example"),
            one(None, "joe", "example.org"),
            one("John", "jdoe", "one.test"),
            END,
        ],
    ),
    ("(Empty list)(start)Hidden recipients  :(nobody(that I know))  ;", [group("Hidden recipients"), END]),
    # A.6.1 and A.6.3
    ("Joe Q. Public <john.q.public@example.com>", [one("Joe Q. Public", "john.q.public", "example.com")]),
    (
        "Mary Smith <@node.test:mary@example.net>, , jdoe@test  . example",
        [one("Mary Smith", "mary", "example.net", route="@node.test"), one(None, "jdoe", "test.example")],
    ),
    (
        "<@a.test,@b.test:c@d.test>, e@f.test",
        [one(None, "c", "d.test", route="@a.test,@b.test"), one(None, "e", "f.test")],
    ),
    # what stands for a name where there is none (RFC 822's habit)
    ("jdoe@example.org (John Doe)", [one("John Doe", "jdoe", "example.org")]),
    # quoted local parts, literals, encoded words, raw UTF-8
    ('"odd local"@example.test', [one(None, "odd local", "example.test")]),
    ("a@[192.0.2.1]", [one(None, "a", "[192.0.2.1]")]),
    ("a@[IPv6:2001:db8::1], b@c", [one(None, "a", "[IPv6:2001:db8::1]"), one(None, "b", "c")]),
    ("=?utf-8?q?J=C3=B6rg?= <j@x.test>", [one("=?utf-8?q?J=C3=B6rg?=", "j", "x.test")]),
    ("Jörg <jörg@bücher.test>", [one("Jörg", "jörg", "bücher.test")]),
    # without a domain the host is empty, for None would make a group of it
    ("root", [one(None, "root", "")]),
    ("Big Boss <root>", [one("Big Boss", "root", "")]),
    ("a@b@c.test", [one(None, "a@b", "c.test")]),
    # torn and odd
    ("", []),
    (" , ,, ", []),
    ("John <jdoe@x.test", [one("John", "jdoe", "x.test")]),
    ('"unclosed <a@b>', [one(None, "unclosed <a@b>", "")]),
    ("(unclosed a@b", []),
    (";", []),
    (":", [group(""), END]),
    ("<>", [one(None, "", "")]),
    ("A: B: c@d;", [group("A"), one(None, "c", "d"), END]),
]


@pytest.mark.parametrize(("value", "found"), LISTS)
def test_an_address_list_is_read(value: str, found: list[Address]) -> None:
    assert read_addresses(value.encode()) == found


@pytest.mark.parametrize(("value", "found"), LISTS)
def test_the_quick_way_and_the_slow_way_agree(value: str, found: list[Address]) -> None:
    slow: list[Address] = []
    addresses._read_rest(value.encode(), 0, ADDRESSES, slow)
    assert slow == found


def test_as_many_addresses_as_may_be_and_one_more() -> None:
    assert len(read_addresses(b"a@b," * ADDRESSES)) == ADDRESSES
    assert len(read_addresses(b"a@b," * (ADDRESSES + 1))) == ADDRESSES
    assert len(read_addresses(b"a@b," * 5, 3)) == 3
    slow = b'"a"@b,' * (ADDRESSES + 1)
    assert len(read_addresses(slow)) == ADDRESSES


def test_a_list_with_too_many_words_is_read_as_far_as_they_go() -> None:
    word = b"a "
    least = word * (ADDRESS_TOKENS // 2 - 2) + b"<b@c>"
    (address,) = read_addresses(b'"x" ' + least)
    assert address.host in (b"c", b"")
    found = read_addresses(b'"x"@y, ' + word * ADDRESS_TOKENS + b"<b@c>, d@e")
    assert found[0] == one(None, "x", "y")
    assert all(each.host != b"e" for each in found)


FLOODS = [
    b"(",
    b")",
    b"((",
    b"()",
    b"(()",
    b'"',
    b'"\\',
    b"\\",
    b"<",
    b">",
    b"<<>",
    b"@",
    b"<@",
    b"a@",
    b":",
    b";",
    b":;",
    b"a:b;",
    b",",
    b"[",
    b"]",
    b"[]",
    b"a ",
    b"a<b@c> ",
    b"\0",
    b"<@a,",
    b"(\\",
    b"(a)<",
]


def work(value: bytes, monkeypatch: pytest.MonkeyPatch) -> int:
    """Octets that the patterns looked at, and steps made."""
    done = 0

    def counted(match: object) -> object:
        def matching(text: bytes, at: int = 0) -> object:
            nonlocal done
            found = match(text, at)  # type: ignore[operator]
            done += 1 + (found.end() - at if found else 0)
            return found

        return matching

    for name in ("_ordinary", "_token", "_commented"):
        monkeypatch.setattr(addresses, name, counted(getattr(addresses, name)))
    read_addresses(value)
    monkeypatch.undo()
    return done


@pytest.mark.parametrize("flood", FLOODS)
def test_twice_as_long_a_flood_is_twice_the_work(flood: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    once, twice = (work(b"x, " + flood * count, monkeypatch) for count in (4000, 8000))
    assert twice <= 2 * once + 100
    assert isinstance(read_addresses(flood * 400_000), list)


@settings(max_examples=300, deadline=None)
@given(st.text('ab <>@,;:()"\\[].\0', max_size=40).map(str.encode) | st.binary(max_size=40))
def test_any_octets_are_a_list_whose_groups_are_closed(value: bytes) -> None:
    inside = False
    for address in read_addresses(value):
        if address.host is None:
            assert address.name is None and address.route is None
            assert inside == (address.mailbox is None)
            inside = not inside
        else:
            assert address.mailbox is not None
    assert not inside
