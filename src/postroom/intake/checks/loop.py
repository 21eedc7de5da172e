"""Does the letter go round in circles? (RFC 5321 6.3)

Two signs: more Received fields than any honest way has, and a Delivered-To of one of the accounts that it is for.
"""

from __future__ import annotations

from postroom.intake.envelope import PASSED, Arrival, Rejected, Verdict
from postroom.net.limits import RECEIVED_HOPS
from postroom.smtp.replies import R554_LOOP


async def check_loop(arrival: Arrival) -> Verdict:
    """Reject a letter with more than RECEIVED_HOPS Received fields, or that one of its recipients already had."""
    header = b"\n" + arrival.header.lower()
    if header.count(b"\nreceived:") > RECEIVED_HOPS:
        return Rejected(R554_LOOP)
    if b"\ndelivered-to:" in header:
        had = {line.strip() for line in _values(header, b"\ndelivered-to:")}
        if any(each.account.address.encode() in had for each in arrival.envelope.recipients):
            return Rejected(R554_LOOP)
    return PASSED


def _values(header: bytes, name: bytes) -> list[bytes]:
    """What stands behind each `name`, up to the line's end."""
    return [after.partition(b"\r\n")[0] for after in header.split(name)[1:]]
