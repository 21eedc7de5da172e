"""HTTP's words, by which every server knows that a browser was led to it (ALPACA, CVE-2021-3618). Pure.

Such a connection is closed at once: the request's body could hold commands.
"""

from __future__ import annotations

from typing import Final

METHODS: Final = frozenset(b"GET HEAD POST PUT PATCH DELETE OPTIONS CONNECT TRACE PRI".split())
"""RFC 9110 9, RFC 5789, and the first word of HTTP/2's preface (RFC 9113 3.4)."""
