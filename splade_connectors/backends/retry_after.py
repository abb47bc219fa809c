"""How long a server asks to wait."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

# A whole number, by the standard; some servers write a fraction.
_SECONDS = re.compile(r"-?[0-9]+(\.[0-9]*)?")
# "Wed, 25 Nov 2026 07:50:43 GMT", also inside of somebody's message.
_DATE = re.compile(r"[A-Z][a-z]{2}, \d{2} [A-Z][a-z]{2} \d{4} \d{2}:\d{2}:\d{2} GMT")


def retry_after_s(header: str | None) -> float | None:
    """Seconds in a `Retry-After` header, or until the date in it (RFC 9110, 10.2.3).

    None if it holds neither, and if there is none.
    """
    if not header:
        return None
    if _SECONDS.fullmatch(header.strip()):
        seconds = float(header)
        return max(0.0, seconds) if math.isfinite(seconds) else None
    found = _DATE.search(header)
    try:
        until = parsedate_to_datetime(found[0]) if found else None
    except ValueError:  # a 31st of February
        return None
    if until is None:
        return None
    seconds = (until - datetime.now(UTC)).total_seconds()
    # A date that has passed asks for nothing: the usual waits will do.
    return seconds if seconds > 0 else None
