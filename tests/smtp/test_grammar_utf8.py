"""Addresses beyond ASCII (RFC 6531 3.3), U-labels and A-labels (RFC 5890)."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from postroom.net.limits import SMTP_DOMAIN_OCTETS, SMTP_LABEL_OCTETS, SMTP_LOCAL_PART_OCTETS
from postroom.smtp.grammar import (
    Address,
    AddressFault,
    Parameter,
    Utf8Fault,
    read_address,
    read_command,
    read_mail,
    read_path,
    read_rcpt,
    to_ascii,
    write_mail,
    write_path,
    write_rcpt,
)


@pytest.mark.parametrize(
    ("path", "address"),
    [
        ("<jörg@example.org>", Address("jörg", "example.org")),
        ("<почта@example.org>", Address("почта", "example.org")),
        ("<用户@例え.テスト>", Address("用户", "xn--r8jz45g.xn--zckzah")),
        ("<jo@bücher.example>", Address("jo", "xn--bcher-kva.example")),
        ("<jo@BÜCHER.example>", Address("jo", "xn--bcher-kva.example")),
        ("<jo@xn--bcher-kva.example>", Address("jo", "xn--bcher-kva.example")),
        ("<jo@faß.example>", Address("jo", "xn--fa-hia.example")),
        ("<jo@βόλος.example>", Address("jo", "xn--nxasmm1c.example")),
        ('<"jö rg"@example.org>', Address("jö rg", "example.org")),
        ("<ü@[192.0.2.1]>", Address("ü", "[192.0.2.1]")),
        ("<@bücher.example,@x:jörg@example.org>", Address("jörg", "example.org")),
        ("<📮@example.org>", Address("📮", "example.org")),
        # The same letters, whichever way they are made of (RFC 6532 3.1).
        ("<jo\u0308rg@bu\u0308cher.example>", Address("jörg", "xn--bcher-kva.example")),
    ],
)
def test_paths_beyond_ascii(path: str, address: Address) -> None:
    octets = path.encode()
    assert read_path(octets, 0) == (address, len(octets))
    assert read_path(b"xx" + octets + b" SMTPUTF8", 2) == (address, 2 + len(octets))


@pytest.mark.parametrize(
    "path",
    [
        "<jörg>",
        "<jörg@>",
        "<jörg@example..org>",
        "<.jörg@example.org>",
        "<jö rg@example.org>",
        "<j\x85rg@example.org>",
        "<jö\u2028rg@example.org>",
        "<jö\u202erg@example.org>",
        "<jo@ü\u202e.example>",
        "<jo@-ü.example>",
        "<jo@ü-.example>",
        "<jo@ab--ü.example>",
        "<jo@\u0301ü.example>",
        "<jo@ü_x.example>",
        "<jo@☃.example>",
        "<jo@\uff45xample\uff0eorg>",
        "<jo@bücher。example>",
        "<jo@a\u200dü.example>",
        "<jö@[300.1.1.1]>",
    ],
)
def test_what_is_no_path_beyond_ascii(path: str) -> None:
    with pytest.raises(AddressFault):
        read_path(path.encode(), 0)


@pytest.mark.parametrize(
    "octets", [b"<j\xff@x>", b"<j\xc3@x>", b"<jo@\xed\xa0\x80.x>", b"<\xc0\xaf@x>", b"<\xf8@x>"]
)
def test_what_is_no_utf8_is_told_apart(octets: bytes) -> None:
    with pytest.raises(Utf8Fault):
        read_path(octets, 0)


def test_a_joiner_stands_behind_a_virama_only() -> None:
    # RFC 5892 A.2
    label, _, _ = to_ascii("क्\u200dष.example").partition(".")
    assert label.removeprefix("xn--").encode().decode("punycode") == "क्\u200dष"
    with pytest.raises(AddressFault):
        to_ascii("क\u200dष.example")


def test_limits_are_of_octets() -> None:
    read_address("ö" * (SMTP_LOCAL_PART_OCTETS // 2) + "@x")
    with pytest.raises(AddressFault):
        read_address("ö" * (SMTP_LOCAL_PART_OCTETS // 2) + "o@x")
    # "xn--", the letters that differ, and a few more
    longest = next(count for count in range(SMTP_LABEL_OCTETS, 0, -1) if len(_label("ü" + "a" * count)) <= 63)
    assert len(to_ascii("ü" + "a" * longest + ".x")) == SMTP_LABEL_OCTETS + 2
    for count in (longest + 1, 100 * longest):
        with pytest.raises(AddressFault):
            to_ascii("ü" + "a" * count + ".x")
    label = "ü" + "a" * longest
    read_address("l" * 20 + "@" + ".".join([label] * 3))
    with pytest.raises(AddressFault):
        read_address("l@" + ".".join([label] * (SMTP_DOMAIN_OCTETS // SMTP_LABEL_OCTETS + 1)))


def _label(label: str) -> str:
    return "xn--" + label.encode("punycode").decode("ascii")


def test_known_domains_are_encoded_as_their_registries_do() -> None:
    # RFC 3492 7.1 (L, P), and domains that exist
    assert to_ascii("3年b組金八先生") == "xn--3b-ww4c5e180e575a65lsy2b"
    assert to_ascii("münchen.de") == "xn--mnchen-3ya.de"
    assert to_ascii("россия.рф") == "xn--h1alffa9f.xn--p1ai"
    assert to_ascii("Example.ORG") == "Example.ORG"


LOCALS = st.text(
    st.characters(min_codepoint=0xA1, max_codepoint=0x2FFF, categories=("L", "N", "S"))
    | st.sampled_from('ab.+ "\\'),
    min_size=1,
    max_size=15,
).map(lambda text: unicodedata.normalize("NFC", text))
LABELS = st.text(st.sampled_from("äöüßéñçабвгд日本語abc012"), min_size=1, max_size=10)
DOMAINS = st.lists(LABELS, min_size=1, max_size=3).map(".".join)


@settings(max_examples=150, deadline=None)
@given(LOCALS, DOMAINS)
def test_an_address_reads_back(local: str, domain: str) -> None:
    try:
        address = Address(local, to_ascii(domain))
        path = write_path(address)
    except ValueError:
        return
    assert read_path(path, 0) == (address, len(path))
    assert read_address(str(address)) == address
    # Both spellings of the domain are one address.
    assert read_path(path.replace(b"@" + address.domain.encode(), b"@" + domain.encode()), 0)[0] == address
    wanted = (Parameter("SMTPUTF8"),)
    assert read_mail(read_command(write_mail(address, wanted))[1]) == (address, wanted)
    assert read_rcpt(read_command(write_rcpt(address))[1]) == (address, ())
