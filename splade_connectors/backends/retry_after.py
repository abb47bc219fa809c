"""How long a server asks the client to wait."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

# The standard says a whole number; some servers send a fraction.
_SECONDS = re.compile(r"-?[0-9]+(\.[0-9]*)?")
# "Wed, 25 Nov 2026 07:50:43 GMT", also inside a longer message.
_DATE = re.compile(r"[A-Z][a-z]{2}, \d{2} [A-Z][a-z]{2} \d{4} \d{2}:\d{2}:\d{2} GMT")


def retry_after_s(header: str | None) -> float | None:
    """Seconds in a `Retry-After` header, or until its date (RFC 9110, 10.2.3).

    None if there is no header, or it holds neither.
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
    # A date in the past asks for nothing: the usual backoff applies.
    return seconds if seconds > 0 else None
