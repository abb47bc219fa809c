"""Dates as spans of milliseconds, which every store compares in the same way."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

_DAY_MS = 86_400_000
_EPOCH = date(1970, 1, 1).toordinal()
# The years that four digits can express: a moment outside is beyond every stored one.
EARLIEST_MS = (date.min.toordinal() - _EPOCH) * _DAY_MS
LATEST_MS = (date.max.toordinal() + 1 - _EPOCH) * _DAY_MS - 1

_TEXT = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)"
    r"(?:T(\d\d):(\d\d):(\d\d)(?:\.(\d{1,9}))?(?:Z|([+-])(\d\d):(\d\d))?)?",
    re.ASCII,
)


@dataclass(frozen=True, slots=True)
class Span:
    """The moments that a date covers: a date without a time is the whole day, in UTC.

    Attributes:
        start: first millisecond, counted from 1970.
        end: first millisecond after the span.
    """

    start: int
    end: int


def span_of(value: date) -> Span:
    """The span of a date or datetime; UTC if it has no time zone."""
    if not isinstance(value, datetime):
        start = (value.toordinal() - _EPOCH) * _DAY_MS
        return Span(start, start + _DAY_MS)
    zoned = value if value.tzinfo else value.replace(tzinfo=UTC)
    # In integers: seconds as a float would lose milliseconds.
    since = zoned - datetime(1970, 1, 1, tzinfo=UTC)
    start = since // timedelta(milliseconds=1)
    return Span(start, start + 1)


def span_in(text: str) -> Span | None:
    """The span of a date in a text; None if it is not a date.

    Accepts 2024-05-17, 2024-05-17T08:30:00 and 2024-05-17T08:30:00.125+02:00 (or Z): the forms that
    all stores parse alike.
    """
    found = _TEXT.fullmatch(text)
    if found is None:
        return None
    year, month, day, hour, minute, second, fraction, sign, zone_hours, zone_minutes = (
        found.groups()
    )
    try:
        day_start = (date(int(year), int(month), int(day)).toordinal() - _EPOCH) * _DAY_MS
    except ValueError:
        return None
    if hour is None:
        return Span(day_start, day_start + _DAY_MS)
    of_day = _of_day(int(hour), int(minute), int(second))
    offset = 0 if sign is None else _of_day(int(zone_hours), int(zone_minutes), 0)
    if of_day is None or offset is None:
        return None
    milliseconds = int((fraction or "0").ljust(3, "0")[:3])
    start = day_start + of_day + milliseconds - (-offset if sign == "-" else offset)
    return Span(start, start + 1)


def moment_in(text: str) -> int | None:
    """The moment of a stored date, its first millisecond; None if the text is not a date."""
    span = span_in(text)
    return span.start if span else None


def written(milliseconds: int) -> str:
    """A moment as text for every store: 2024-05-17T08:30:00.125Z."""
    days, rest = divmod(milliseconds, _DAY_MS)
    day = date.fromordinal(_EPOCH + days)
    seconds, fraction = divmod(rest, 1000)
    hours, minutes = divmod(seconds // 60, 60)
    return f"{day.isoformat()}T{hours:02}:{minutes:02}:{seconds % 60:02}.{fraction:03}Z"


def _of_day(hour: int, minute: int, second: int) -> int | None:
    """A time of day in milliseconds; None if it does not exist."""
    if hour > 23 or minute > 59 or second > 59:
        return None
    return ((hour * 60 + minute) * 60 + second) * 1000
