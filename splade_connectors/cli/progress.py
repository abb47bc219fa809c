"""Progress of long runs on stderr: a bar for people, JSON events for log collectors."""

from __future__ import annotations

import logging
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from splade_connectors.cli import printing, process
from splade_connectors.shown import plural

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from splade_connectors.options import OnProgress


@contextmanager
def showing(
    label: str, log: bool, fraction: Callable[[], float | None] | None = None
) -> Iterator[OnProgress]:
    """Yield a callback that shows a bar, or logs events if `log` is set."""
    with progress_log(fraction) if log else progress_bar(label, fraction) as show:
        yield show


@contextmanager
def progress_bar(
    label: str, fraction: Callable[[], float | None] | None = None
) -> Iterator[OnProgress]:
    """Yield a callback for a bar on stderr with count, rate and time left.

    Nothing is shown if stderr is not a terminal.

    Args:
        label: what the run does.
        fraction: returns the fraction of the input read, if the number of documents is unknown.
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
    """The fraction of a run that is done: of its total, or of the estimated size of the source.

    Args:
        fraction: returns the fraction of the source read, some of which is still being processed.
    """

    def __init__(self, fraction: Callable[[], float | None] | None) -> None:
        self._fraction = fraction
        self._last = 0.0

    def __call__(self, step: Any) -> float | None:
        share = self._estimated(step)
        if share is not None:
            # An earlier estimate may have been too high: the bar never moves backwards.
            self._last = share = max(self._last, min(1.0, share))
        return share

    def _estimated(self, step: Any) -> float | None:
        if step.total:
            return float(step.done / step.total)
        read = self._fraction() if self._fraction else None
        if read is None or not step.read:
            return read
        return float(read * step.done / step.read)


# Minimum screen width for bar, rate and times besides the counts.
_BAR_FITS = 80
_FINISHING = "finishing requests in flight (Ctrl-C again stops immediately)"


def _in_short(step: Any) -> str:
    """The counts shown beside the bar."""
    counts = (
        (step.in_flight, "in flight"),
        (step.retries, plural(step.retries, "retry", "retries")),
        (step.rejected, "rejected"),
    )
    return ", ".join(f"{count:,} {what}" for count, what in counts if count)


@contextmanager
def progress_log(
    fraction: Callable[[], float | None] | None = None, interval_s: float = 10.0
) -> Iterator[OnProgress]:
    """Yield a callback that logs progress to stderr periodically, one JSON object per line.

    Args:
        fraction: returns the fraction of the input read, if the number of documents is unknown.
        interval_s: minimum number of seconds between two lines.
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

    process.stop_printing_advice()
    handler = _JsonLog(logging.WARNING)
    logger = logging.getLogger("splade_connectors")
    logger.addHandler(handler)
    try:
        yield show
    finally:
        logger.removeHandler(handler)


class _JsonLog(logging.Handler):
    """Logs the library's warnings, such as those about retries, as events."""

    def emit(self, record: logging.LogRecord) -> None:
        printing.log_event("log", level=record.levelname.lower(), message=record.getMessage())


def _seconds_left(share: float | None, seconds: float) -> float | None:
    return round(seconds * (1 - share) / share, 1) if share else None
