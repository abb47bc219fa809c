"""How long a server asks to wait."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from splade_connectors.backends.retry_after import retry_after_s


@pytest.mark.parametrize(
    ("header", "seconds"),
    [(None, None), ("", None), ("soon", None), ("7", 7.0), ("0.5", 0.5), ("-3", 0.0)],
)
def test_seconds(header: str | None, seconds: float | None) -> None:
    assert retry_after_s(header) == seconds


def test_dates() -> None:
    later = format_datetime(datetime.now(UTC) + timedelta(hours=1), usegmt=True)
    for header in (later, f"could not convert string to float: '{later}'"):
        found = retry_after_s(header)
        assert found is not None
        assert 3590 < found <= 3600
    assert retry_after_s("Wed, 21 Oct 2015 07:28:00 GMT") is None
