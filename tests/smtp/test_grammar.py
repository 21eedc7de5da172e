from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from postroom.net.limits import (
    SMTP_DOMAIN_OCTETS,
    SMTP_LOCAL_PART_OCTETS,
    SMTP_PATH_OCTETS,
)
from postroom.smtp.grammar import (
    XCLIENT,
    XFORWARD,
    Address,
    AddressFault,
    Parameter,
    SyntaxFault,
    read_address,
    read_attributes,
    read_bdat,
    read_client_name,
    read_command,
    read_mail,
    read_mailbox,
    read_number,
    read_parameters,
    read_path,
    read_rcpt,
    read_reply_line,
    read_reverse_path,
    read_wish,
    read_xtext,
    to_ascii,
    write_client_name,
    write_mail,
    write_path,
    write_rcpt,
    write_reply,
    write_xtext,
)

PATHS = [
    # RFC 5321 4.1.1.3, D.1 to D.3
    (b"<userc@d.bar.org>", Address("userc", "d.bar.org")),
    (b"<Jones@XYZ.COM>", Address("Jones", "XYZ.COM")),
    (b"<jo+tag@example.org>", Address("jo+tag", "example.org")),
    (b"<a.b.c@x>", Address("a.b.c", "x")),
    (b'<"jo smith"@example.org>', Address("jo smith", "example.org")),
    (b'<"a\\\\b"@example.org>', Address("a\\b", "example.org")),
    (b'<"jo@home"@example.org>', Address("jo@home", "example.org")),
    (b'<""@example.org>', Address("", "example.org")),
    (b"<jo%other.test@example.org>", Address("jo%other.test", "example.org")),
    (b"<other.test!jo@example.org>", Address("other.test!jo", "example.org")),
    (b"<jo@[192.0.2.1]>", Address("jo", "[192.0.2.1]")),
    (b"<jo@[IPv6:2001:db8::1]>", Address("jo", "[IPv6:2001:db8::1]")),
    (b"<jo@under_score.example>", Address("jo", "under_score.example")),
    (b"<postmaster>", Address("postmaster", "")),
]
READ_ONLY_PATHS = [
    (b"<@hosta.int,@jkl.org:userc@d.bar.org>", Address("userc", "d.bar.org")),
    (b'<"jo"@example.org>', Address("jo", "example.org")),
    (b'<"j\\o"@example.org>', Address("jo", "example.org")),
    (b"<POSTMASTER>", Address("postmaster", "")),
]
NO_PATHS = [
    b"",
    b"<",
    b"<>",
    b"jo@example.org",
    b"<jo>",
    b"<jo@>",
    b"<@example.org>",
    b"<jo@example.org",
    b"<jo@a@b>",
    b"<jo@example..org>",
    b"<jo@-example.org>",
    b"<jo@example.org.>",
    b"<.jo@example.org>",
    b"<jo..x@example.org>",
    b"<jo x@example.org>",
    b'<"jo@example.org>',
    b'<"j"o"@example.org>',
    b"<jo@exa mple.org>",
    b"<jo@[300.1.1.1]>",
    b"<jo@[1.2.3]>",
    b"<jo@[IPv6:zz]>",
    b"<jo@[tag:content]>",
    b"<jo@[]>",
    b"<@a,b:jo@example.org>",
    b"<jo\x00@example.org>",
    b"<j\xff@example.org>",
    b"<jo@exa\xc3mple.org>",
    b"< jo@example.org>",
    b"<jo@example.org >",
    b"<jo@" + b"a" * 64 + b".org>",
]


@pytest.mark.parametrize(("octets", "address"), PATHS + READ_ONLY_PATHS)
def test_a_path_is_read(octets: bytes, address: Address) -> None:
    assert read_path(octets, 0) == (address, len(octets))
    assert read_path(b"xx" + octets + b" SIZE=1", 2) == (address, 2 + len(octets))


@pytest.mark.parametrize(("octets", "address"), PATHS)
def test_a_path_is_written_as_it_was_read(octets: bytes, address: Address) -> None:
    assert write_path(address) == octets


@pytest.mark.parametrize("octets", NO_PATHS)
def test_what_is_no_path_is_an_address_fault(octets: bytes) -> None:
    with pytest.raises(AddressFault):
        read_path(octets, 0)


@pytest.mark.parametrize("octets", [path for path, _ in PATHS])
def test_a_path_that_is_cut_anywhere_is_none(octets: bytes) -> None:
    for cut in range(len(octets)):
        with pytest.raises(AddressFault):
            read_path(octets[:cut], 0)


def test_the_null_sender_is_a_reverse_path_and_no_forward_path() -> None:
    assert read_reverse_path(b"<>", 0) == (None, 2)
    assert write_path(None) == b"<>"
    with pytest.raises(AddressFault):
        read_path(b"<>", 0)


def test_postmaster_without_a_domain_sends_nothing() -> None:
    with pytest.raises(AddressFault):
        read_reverse_path(b"<postmaster>", 0)


def path_of(local: int, domain: int) -> bytes:
    """A path whose parts have so many octets."""
    labels = (b"d" * 60 + b".") * 10
    return b"<%b@%b>" % (b"l" * local, (labels[: domain - 1] + b"e"))


def test_a_local_part_has_at_most_64_octets() -> None:
    address, _ = read_path(path_of(SMTP_LOCAL_PART_OCTETS, 20), 0)
    assert len(address.local) == SMTP_LOCAL_PART_OCTETS
    with pytest.raises(AddressFault):
        read_path(path_of(SMTP_LOCAL_PART_OCTETS + 1, 20), 0)


def test_a_path_has_at_most_256_octets_its_brackets_included() -> None:
    widest = SMTP_PATH_OCTETS - 3 - 1
    address, end = read_path(path_of(1, widest), 0)
    assert end == SMTP_PATH_OCTETS and len(address.domain) == widest < SMTP_DOMAIN_OCTETS
    with pytest.raises(AddressFault):
        read_path(path_of(1, widest + 1), 0)
    with pytest.raises(AddressFault):
        read_path(path_of(1, SMTP_DOMAIN_OCTETS + 1), 0)


def test_a_source_route_counts_for_nothing() -> None:
    route = b"@relay.example," * 20
    assert read_path(b"<" + route[:-1] + b":jo@example.org>", 0)[0] == Address("jo", "example.org")


@pytest.mark.parametrize(
    "address",
    [
        Address("jo", ""),
        Address("jo\r\nRCPT", "example.org"),
        Address("jo\0", "example.org"),
        Address("jo\u0308", "example.org"),
        Address("jo", "bücher.example"),
        Address("j\u2028o", "example.org"),
        Address("jo\ud800", "example.org"),
        Address("jo", "exa mple.org"),
        Address("jo", "example.org>"),
        Address("jo", "a\r\nb"),
        Address("l" * 65, "example.org"),
        Address("Postmaster", ""),
    ],
)
def test_an_address_that_would_not_read_back_is_not_written(address: Address) -> None:
    with pytest.raises(ValueError, match="not an address"):
        write_path(address)


def test_people_write_addresses_without_brackets() -> None:
    assert read_address("jo@example.org") == Address("jo", "example.org")
    assert read_address('"jo smith"@example.org') == Address("jo smith", "example.org")
    assert read_address("postmaster") == Address("postmaster", "")
    assert str(read_address('"jo smith"@example.org')) == '"jo smith"@example.org'


@pytest.mark.parametrize(
    "text", ["", "jo", "@a:jo@example.org", "jo@example.org>", "jo@example.org> <", "j\x85@x", "\ud800@x"]
)
def test_people_write_nothing_else_as_an_address(text: str) -> None:
    with pytest.raises(AddressFault):
        read_address(text)


# --- host names


@pytest.mark.parametrize(
    "name", [b"client.example", b"[192.0.2.1]", b"[IPv6:2001:db8::1]", b"localhost", b"WORK_PC"]
)
def test_clients_call_themselves(name: bytes) -> None:
    assert read_client_name(name).encode() == name
    assert write_client_name(name.decode()) == name


def test_a_wrong_name_is_no_reason_to_refuse_mail() -> None:
    assert read_client_name(b"???") == "???"


@pytest.mark.parametrize("name", [b"", b"two words", b"caf\xc3\xa9", b"a\x00b", b"a\rb"])
def test_a_name_is_one_word_of_ascii(name: bytes) -> None:
    with pytest.raises(SyntaxFault):
        read_client_name(name)


def test_a_name_has_at_most_255_octets() -> None:
    assert read_client_name(b"n" * SMTP_DOMAIN_OCTETS)
    with pytest.raises(SyntaxFault):
        read_client_name(b"n" * (SMTP_DOMAIN_OCTETS + 1))


@pytest.mark.parametrize("name", ["", "a b", "x\r\nMAIL", "[300.0.0.1]", "ö.example", "a." * 128])
def test_a_client_writes_no_wrong_name_of_its_own(name: str) -> None:
    with pytest.raises(ValueError):
        write_client_name(name)


# --- MAIL and RCPT


def test_mail_and_rcpt_of_the_rfc() -> None:
    # RFC 5321 D.1; RFC 1870 8
    assert read_mail(b"FROM:<Smith@bar.com>") == (Address("Smith", "bar.com"), ())
    assert read_mail(b"FROM:<ned@thor.innosoft.com> SIZE=500000") == (
        Address("ned", "thor.innosoft.com"),
        (Parameter("SIZE", b"500000"),),
    )
    assert read_rcpt(b"TO:<Jones@foo.com>") == (Address("Jones", "foo.com"), ())
    assert read_mail(b"from: <>") == (None, ())


@pytest.mark.parametrize("octets", [b"", b"<jo@x>", b"TO:<jo@x>", b"FROM<jo@x>", b"FROM :<jo@x>"])
def test_mail_needs_its_from(octets: bytes) -> None:
    with pytest.raises(SyntaxFault) as fault:
        read_mail(octets)
    assert not isinstance(fault.value, AddressFault)


def test_a_bad_path_and_bad_parameters_are_different_faults() -> None:
    with pytest.raises(AddressFault):
        read_mail(b"FROM:<jo>")
    with pytest.raises(SyntaxFault) as fault:
        read_mail(b"FROM:<jo@x>SIZE=1")
    assert not isinstance(fault.value, AddressFault)


# --- round trips, and hostile octets

LOCALS = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=30)
DOMAINS = st.lists(
    st.from_regex(r"[A-Za-z0-9_]([A-Za-z0-9_-]{0,8}[A-Za-z0-9_])?", fullmatch=True), min_size=1, max_size=4
).map(".".join)
ADDRESSES = st.builds(Address, LOCALS, DOMAINS)
PARAMETERS = st.lists(
    st.builds(
        Parameter,
        st.from_regex(r"[A-Z0-9][A-Z0-9-]{0,9}", fullmatch=True),
        st.none() | st.from_regex(rb"[!-<>-~]{1,20}", fullmatch=True),
    ),
    max_size=4,
    unique_by=lambda parameter: parameter.keyword,
)


@settings(max_examples=100, deadline=None)
@given(st.none() | ADDRESSES, PARAMETERS)
def test_mail_reads_back(sender: Address | None, parameters: list[Parameter]) -> None:
    verb, argument = read_command(write_mail(sender, parameters))
    assert verb == b"MAIL"
    assert read_mail(argument) == (sender, tuple(parameters))


@settings(max_examples=100, deadline=None)
@given(ADDRESSES, PARAMETERS)
def test_rcpt_reads_back(recipient: Address, parameters: list[Parameter]) -> None:
    verb, argument = read_command(write_rcpt(recipient, parameters))
    assert verb == b"RCPT"
    assert read_rcpt(argument) == (recipient, tuple(parameters))


@settings(max_examples=100, deadline=None)
@given(ADDRESSES)
def test_an_address_as_people_write_it_reads_back(address: Address) -> None:
    assert read_address(str(address)) == address


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=40))
def test_any_octets_read_back_as_xtext(octets: bytes) -> None:
    assert read_xtext(write_xtext(octets)) == octets


@settings(max_examples=100, deadline=None)
@given(
    st.integers(200, 559).filter(lambda code: code // 10 % 10 <= 5),
    st.sampled_from(["", "2.1.0", "5.999.1"]),
    st.text(max_size=40),
)
def test_a_reply_reads_back(code: int, enhanced: str, text: str) -> None:
    line = read_reply_line(write_reply(code, enhanced, [text]))
    assert (line.code, line.last) == (code, True)
    assert line.enhanced == enhanced or not enhanced


READERS: list[Callable[[bytes], object]] = [
    lambda octets: read_path(octets, 0),
    lambda octets: read_reverse_path(octets, 0),
    lambda octets: read_parameters(octets, 0),
    read_mail,
    read_rcpt,
    read_command,
    read_client_name,
    read_number,
    read_xtext,
    read_reply_line,
    read_bdat,
    read_mailbox,
    lambda octets: read_mailbox(read_wish(octets)[0]),
    lambda octets: read_attributes(octets, XCLIENT),
    lambda octets: read_attributes(octets, XFORWARD),
    lambda octets: to_ascii(octets.decode("utf-8", "ignore").strip(".") or "x"),
]
HOSTILE = st.binary(max_size=60) | st.lists(
    st.sampled_from(
        [
            b"<",
            b">",
            b"@",
            b'"',
            b"\\",
            b"[",
            b"]",
            b"a",
            b".",
            b",",
            b":",
            b"=",
            b" ",
            b"FROM:",
            b"TO:",
            b"\r\n",
            b"\xff",
            b"\0",
            b"250",
            b"IPv6:",
            b"+",
            b"\xc3\xb6",
            b"\xf0\x9f\x93\xae",
            b"\xe2\x80\xae",
            b"ADDR",
            b"NAME",
            b"7",
            b"LAST",
            b" SMTPUTF8",
        ]
    ),
    max_size=20,
).map(b"".join)


@settings(max_examples=300, deadline=None)
@given(HOSTILE)
def test_hostile_octets_raise_syntax_faults_alone(octets: bytes) -> None:
    for read in READERS:
        try:
            read(octets)
        except SyntaxFault:
            pass


@pytest.mark.parametrize(
    "octets",
    [
        b"<" + b"@a," * 700 + b":x@y",
        b"<" + b"@" + b"a-" * 1000,
        b"<" + b"a." * 1000 + b"@",
        b'<"' + b"\\a" * 1000,
        b"<a@" + b"b." * 1000 + b"!",
        b"<" + b"\xc3\xb6." * 700 + b"@",
        b"<a@" + b"\xc3\xb6" * 1000 + b".x>",
        b"<a@" + b"\xc3\xb6." * 600 + b"!",
        b"<" + b"@\xc3\xb6," * 400 + b":x@y",
    ],
)
def test_long_nonsense_is_refused_at_once(octets: bytes) -> None:
    with pytest.raises(AddressFault):
        read_path(octets, 0)
