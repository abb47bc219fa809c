"""How far a long run has come, on stderr: a bar for people, events for those who collect logs."""

from __future__ import annotations

import logging
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from splade_connectors.cli import printing, process

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from splade_connectors.options import OnProgress


@contextmanager
def showing(
    label: str, log: bool, fraction: Callable[[], float | None] | None = None
) -> Iterator[OnProgress]:
    """A bar, or events if the log is wanted."""
    with progress_log(fraction) if log else progress_bar(label, fraction) as show:
        yield show


@contextmanager
def progress_bar(
    label: str, fraction: Callable[[], float | None] | None = None
) -> Iterator[OnProgress]:
    """A bar on stderr with count, rate and time left; nothing when stderr is not a terminal.

    Args:
        label: what is being done.
        fraction: how much of the input has been read, when the number of documents is unknown.
    """
    from rich.progress import (
        BarColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )
    from rich.table import Column

    from splade_connectors.cli.screen import console

    screen = console(stderr=True)
    bar_and_times = (
        BarColumn(),
        TextColumn("{task.fields[done]} done"),
        TextColumn("{task.fields[rate]}/s"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    narrow = screen.width < _BAR_FITS
    columns = (
        TextColumn("{task.description}", table_column=Column(overflow="fold")),
        *((TextColumn("{task.fields[done]} done"),) if narrow else bar_and_times),
        TextColumn("{task.fields[more]}", table_column=Column(overflow="fold")),
    )
    with Progress(*columns, console=screen, transient=True, disable=not screen.is_terminal) as bar:
        task = bar.add_task(label, total=None, done=0, rate="-", more="")

        share_of = _Share(fraction)

        def show(step: Any) -> None:
            seconds = bar.tasks[0].elapsed or 0
            share = share_of(step)
            rate = f"{step.done / seconds:.0f}" if seconds else "-"
            total = None if share is None else 1.0
            bar.update(
                task,
                description=_FINISHING if step.stopping else label,
                total=total,
                completed=share or 0.0,
                done=f"{step.done:,}",
                rate=rate,
                more=_in_short(step),
            )

        yield show


class _Share:
    """Which share of a run is done: of its total, or of what the source seems to hold.

    Args:
        fraction: how much of the source has been read; all of that is not done yet.
    """

    def __init__(self, fraction: Callable[[], float | None] | None) -> None:
        self._fraction = fraction
        self._last = 0.0

    def __call__(self, step: Any) -> float | None:
        share = self._estimated(step)
        if share is not None:
            # An estimate may have been too high before: what was shown is not taken back.
            self._last = share = max(self._last, min(1.0, share))
        return share

    def _estimated(self, step: Any) -> float | None:
        if step.total:
            return float(step.done / step.total)
        read = self._fraction() if self._fraction else None
        if read is None or not step.read:
            return read
        return float(read * step.done / step.read)


# Columns of a screen that holds bar, rate and times besides the counts.
_BAR_FITS = 80
_FINISHING = "finishing what is in flight (Ctrl-C again stops at once)"


def _in_short(step: Any) -> str:
    """What is worth a word beside the bar."""
    counts = (
        (step.in_flight, "in flight"),
        (step.retries, "retries"),
        (step.rejected, "rejected"),
    )
    return ", ".join(f"{count:,} {what}" for count, what in counts if count)


@contextmanager
def progress_log(
    fraction: Callable[[], float | None] | None = None, interval_s: float = 10.0
) -> Iterator[OnProgress]:
    """A JSON object per line on stderr, now and then: for those who collect logs.

    Args:
        fraction: how much of the input has been read, when the number of documents is unknown.
        interval_s: seconds between two lines, at least.
    """
    began = time.monotonic()
    told = 0.0
    share_of = _Share(fraction)

    def show(step: Any) -> None:
        nonlocal told
        seconds = time.monotonic() - began
        if seconds - told < interval_s and told and not step.stopping:
            return
        told = seconds
        printing.log_event(
            "progress",
            done=step.done,
            total=step.total,
            rejected=step.rejected,
            retries=step.retries,
            in_flight=step.in_flight,
            per_second=round(step.done / seconds, 1) if seconds else None,
            seconds=round(seconds, 1),
            seconds_left=_seconds_left(share_of(step), seconds),
            stopping=step.stopping,
        )

    process.without_advice()
    handler = _JsonLog(logging.WARNING)
    logger = logging.getLogger("splade_connectors")
    logger.addHandler(handler)
    try:
        yield show
    finally:
        logger.removeHandler(handler)


class _JsonLog(logging.Handler):
    """Warnings of the library as events: they tell of retries."""

    def emit(self, record: logging.LogRecord) -> None:
        printing.log_event("log", level=record.levelname.lower(), message=record.getMessage())


def _seconds_left(share: float | None, seconds: float) -> float | None:
    return round(seconds * (1 - share) / share, 1) if share else None
