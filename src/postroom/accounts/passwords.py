"""Passwords to hashes and keys, and back to yes or no: pure, but costly on purpose (call it in a thread).

A password of our own is kept as argon2id (19 MiB, two passes, one lane: the least that OWASP asks
for, measured at 22 ms on the project's machine; RFC 9106's low-memory row takes 118) beside SCRAM-SHA-256
keys. Ready hashes of other systems are checked by the system's libcrypt through ctypes, since Python 3.13 has
no crypt module. Called by `accounts.local` only.
"""

from __future__ import annotations

import ctypes
import hashlib
import hmac
import os
import re
import stringprep
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from argon2 import PasswordHasher, Type, extract_parameters
from argon2.exceptions import Argon2Error, InvalidHashError, VerifyMismatchError

from postroom.net.limits import (
    ARGON2_LANES,
    ARGON2_MEMORY_KIB,
    ARGON2_PASSES,
    BCRYPT_COST,
    HASH_OCTETS,
    PASSWORD_OCTETS,
    SHA_CRYPT_ROUNDS,
)

SCRAM_ITERATIONS: Final = 65_536
"""RFC 7677 4 asks for 4096 at least; a low count would undo argon2id. This is the most that Cyrus SASL's clients
compute (2.1.28: "iteration-count is too big, refusing to compute"), which are mutt, mbsync, Postfix and more."""
SCRAM_SALT_OCTETS: Final = 16
KNOWN_FORMS: Final = "{ARGON2ID}, {BLF-CRYPT}, {SHA512-CRYPT}, {SHA256-CRYPT} and {CRYPT}"

_hasher = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1, type=Type.ID)


class NoLibcrypt(ValueError):
    """This system has no libcrypt, so that a crypt hash can't be checked."""


@dataclass(frozen=True, slots=True, repr=False)
class ScramKeys:
    """What SCRAM-SHA-256 keeps in place of a password (RFC 5802 3)."""

    salt: bytes
    iterations: int
    stored_key: bytes
    server_key: bytes


def saslprep(text: str) -> str:
    """Prepare a name or password for comparison (RFC 4013 2), unassigned code points allowed as in a query
    (RFC 4013 2.5): half of today's emoji are unassigned in the Unicode 3.2 that the profile names.

    Raises ValueError where a prohibited character, or a forbidden mix of directions, is in it, or nothing is left.
    """
    mapped = "".join(
        " " if stringprep.in_table_c12(char) else char for char in text if not stringprep.in_table_b1(char)
    )
    prepared = unicodedata.ucd_3_2_0.normalize("NFKC", mapped)
    if not prepared:
        raise ValueError("nothing is left of it")
    if any(prohibited(char) for prohibited in _PROHIBITED for char in prepared):
        raise ValueError("a character in it is not allowed")
    if any(stringprep.in_table_d1(char) for char in prepared) and (
        any(stringprep.in_table_d2(char) for char in prepared)
        or not stringprep.in_table_d1(prepared[0])
        or not stringprep.in_table_d1(prepared[-1])
    ):
        raise ValueError("its directions are mixed")
    return prepared


_PROHIBITED: Final[tuple[Callable[[str], bool], ...]] = (
    stringprep.in_table_c12,
    stringprep.in_table_c21_c22,
    stringprep.in_table_c3,
    stringprep.in_table_c4,
    stringprep.in_table_c5,
    stringprep.in_table_c6,
    stringprep.in_table_c7,
    stringprep.in_table_c8,
    stringprep.in_table_c9,
)


def spellings(password: bytes) -> tuple[bytes, ...]:
    """What a password may be meant to be: as SASLprep has it (RFC 4616 2), then as it came where that differs."""
    try:
        prepared = saslprep(password.decode()).encode()
    except ValueError:
        return (password,)
    return (password,) if prepared == password else (prepared, password)


def check_password(password: bytes) -> None:
    """Raises ValueError for a password that some mechanism could not carry: empty, too long, NUL, CR or LF in
    it."""
    if not password:
        raise ValueError("a password can't be empty")
    if len(password) > PASSWORD_OCTETS:
        raise ValueError(f"a password has at most {PASSWORD_OCTETS} octets")
    if any(octet in password for octet in b"\x00\r\n"):
        raise ValueError("a password can't contain NUL or a line's end")


def hash_password(password: bytes) -> str:
    """The password's argon2id hash with a new salt, marked {ARGON2ID}."""
    return "{ARGON2ID}" + _hasher.hash(spellings(password)[0])


def scram_keys(password: bytes, salt: bytes | None = None, iterations: int = SCRAM_ITERATIONS) -> ScramKeys | None:
    """SCRAM-SHA-256's keys (RFC 5802 3, RFC 7677 3) under the salt, or a new one; None for a password that
    SASLprep refuses: no SCRAM client could say it."""
    try:
        prepared = saslprep(password.decode()).encode()
    except ValueError:
        return None
    salt = os.urandom(SCRAM_SALT_OCTETS) if salt is None else salt
    salted = hashlib.pbkdf2_hmac("sha256", prepared, salt, iterations)
    client_key = hmac.digest(salted, b"Client Key", "sha256")
    server_key = hmac.digest(salted, b"Server Key", "sha256")
    return ScramKeys(salt, iterations, hashlib.sha256(client_key).digest(), server_key)


def verify(marked: str, password: bytes) -> bool:
    """Whether a kept hash is this password's; the comparison takes the same time wherever the two differ.

    Raises NoLibcrypt where the hash is a crypt form and the system can't check it.
    """
    scheme, text = _split(marked)
    check = _verify_argon2 if scheme == "ARGON2ID" else _verify_crypt
    return any(check(text, spelling) for spelling in spellings(password))


def ready_hash(marked: str) -> str:
    """A hash made elsewhere, checked to be whole and of a known form; the mark in upper case.

    Raises ValueError that says what is wrong.
    """
    scheme, text = _split(marked)
    if len(text) > HASH_OCTETS:
        raise ValueError(f"a password hash has at most {HASH_OCTETS} characters")
    if scheme == "ARGON2ID":
        _check_argon2(text)
    else:
        _check_crypt(scheme, text)
    return f"{{{scheme}}}{text}"


def _split(marked: str) -> tuple[str, str]:
    """Mark and text of a hash. Raises ValueError for a form that is not known."""
    match = re.fullmatch(r"\{([A-Za-z0-9-]{1,16})\}([!-~]+)", marked)
    scheme = match[1].upper() if match else ""
    if match is None or (scheme != "ARGON2ID" and scheme not in _CRYPT_FORMS):
        raise ValueError(f"not a password hash of a known form; these are known: {KNOWN_FORMS}")
    return scheme, match[2]


# --- argon2id (RFC 9106)


def _verify_argon2(text: str, password: bytes) -> bool:
    try:
        return _hasher.verify(text, password)
    except VerifyMismatchError:
        return False


def _check_argon2(text: str) -> None:
    try:
        made = extract_parameters(text)
        if made.type is not Type.ID:
            raise ValueError("the hash is argon2, but not argon2id")
        if (
            made.memory_cost > ARGON2_MEMORY_KIB
            or made.time_cost > ARGON2_PASSES
            or made.parallelism > ARGON2_LANES
        ):
            raise ValueError(
                "the hash costs too much at each login "
                f"(at most m={ARGON2_MEMORY_KIB},t={ARGON2_PASSES},p={ARGON2_LANES})"
            )
        _verify_argon2(text, b"")
    except (Argon2Error, InvalidHashError) as error:
        raise ValueError("not a whole {ARGON2ID} hash: $argon2id$v=19$m=...,t=...,p=...$salt$hash") from error


# --- the system's crypt(3)

_SIXTY_FOUR: Final = "[./0-9A-Za-z]"
_ROUNDS: Final = r"(?:rounds=(?P<rounds>[1-9][0-9]{3,8})\$)?"
_BLOWFISH: Final = rf"\$2[abxy]\$(?P<cost>[0-3][0-9])\${_SIXTY_FOUR}{{53}}"
_SHA256: Final = rf"\$5\${_ROUNDS}[^$:]{{0,16}}\${_SIXTY_FOUR}{{43}}"
_SHA512: Final = rf"\$6\${_ROUNDS}[^$:]{{0,16}}\${_SIXTY_FOUR}{{86}}"
_MD5: Final = rf"\$1\$[^$:]{{0,8}}\${_SIXTY_FOUR}{{22}}"
_YESCRYPT: Final = rf"\$(?:y|gy)\${_SIXTY_FOUR}+\${_SIXTY_FOUR}*\${_SIXTY_FOUR}{{43}}"
_DES: Final = rf"{_SIXTY_FOUR}{{13}}"
_CRYPT_FORMS: Final[dict[str, tuple[str, ...]]] = {
    "BLF-CRYPT": (_BLOWFISH,),
    "SHA256-CRYPT": (_SHA256,),
    "SHA512-CRYPT": (_SHA512,),
    "CRYPT": (_BLOWFISH, _SHA256, _SHA512, _MD5, _YESCRYPT, _DES),
}
_CRYPT_DATA_OCTETS: Final = 262_144
"""More than any libcrypt's struct crypt_data (glibc's was 131,232)."""


def _load_crypt() -> Callable[[bytes, bytes, ctypes.Array[ctypes.c_char]], bytes | None] | None:
    for name in ("libcrypt.so.1", "libcrypt.so.2"):
        try:
            function = ctypes.CDLL(name).crypt_r
        except (OSError, AttributeError):
            continue
        function.argtypes = (ctypes.c_char_p, ctypes.c_char_p, ctypes.c_char_p)
        function.restype = ctypes.c_char_p
        return function
    return None


_crypt_r = _load_crypt()


def _crypt(password: bytes, setting: str) -> str:
    """The password hashed as `setting` tells; "*0" or the like where libcrypt can't."""
    if _crypt_r is None:
        raise NoLibcrypt("crypt hashes need the system's libcrypt (Debian: apt-get install libcrypt1)")
    made = _crypt_r(password, setting.encode("ascii"), ctypes.create_string_buffer(_CRYPT_DATA_OCTETS))
    return made.decode("ascii") if made else "*0"


def _verify_crypt(text: str, password: bytes) -> bool:
    if b"\x00" in password:  # C would see a shorter password
        return False
    return hmac.compare_digest(_crypt(password, text), text)


def _check_crypt(scheme: str, text: str) -> None:
    match = next((found for form in _CRYPT_FORMS[scheme] if (found := re.fullmatch(form, text))), None)
    if match is None:
        raise ValueError(f"not a whole {{{scheme}}} hash")
    costs = match.groupdict()
    if int(costs.get("rounds") or 0) > SHA_CRYPT_ROUNDS or int(costs.get("cost") or 0) > BCRYPT_COST:
        raise ValueError(
            f"the hash costs too much at each login (at most {SHA_CRYPT_ROUNDS} rounds, or bcrypt's {BCRYPT_COST})"
        )
    made = _crypt(b"", text)
    # A salt that libcrypt would write differently could never match: say so now, not at the first login.
    if len(made) != len(text) or _setting(made) != _setting(text):
        raise ValueError(f"not a {{{scheme}}} hash that this system's libcrypt can check")


def _setting(text: str) -> str:
    """A crypt hash's part before the hash itself."""
    if text.startswith("$2"):
        return text[:29]
    return text.rpartition("$")[0] or text[:2]
