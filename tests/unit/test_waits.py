"""How long a server asks to wait."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from splade_connectors.backends.retry_after import retry_after_s


@pytest.mark.parametrize(
    ("header", "seconds"),
    [("7", 7.0), (" 7 ", 7.0), ("007", 7.0), ("0.5", 0.5), ("0", 0.0), ("-3", 0.0)],
)
def test_seconds(header: str, seconds: float) -> None:
    assert retry_after_s(header) == seconds


@pytest.mark.parametrize(
    "header",
    [
        *(None, "", " ", "soon", "1e3", "nan", "inf", "-inf", "Infinity", "1_000", "٣", "0x10"),
        "9" * 400,
        "7, 8",
        "Wed, 31 Feb 2026 07:50:43 GMT",
        "Wed, 99 Nov 2026 07:50:43 GMT",
        "Wed, 25 Nov 0000 07:50:43 GMT",
        "Wed, 25 Nov 2026 99:99:99 GMT",
        "Xyz, 25 Xyz 2099 07:50:43 GMT",
    ],
)
def test_what_is_malformed_asks_for_nothing(header: str | None) -> None:
    assert retry_after_s(header) is None


def test_dates() -> None:
    later = format_datetime(datetime.now(UTC) + timedelta(hours=1), usegmt=True)
    for header in (later, f"could not convert string to float: '{later}'"):
        found = retry_after_s(header)
        assert found is not None
        assert 3590 < found <= 3600
    assert retry_after_s("Wed, 21 Oct 2015 07:28:00 GMT") is None
