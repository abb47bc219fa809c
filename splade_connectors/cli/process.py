"""The process around a command: its streams, its log, and the errors that nobody caught."""

from __future__ import annotations

import io
import logging
import os
import sys
import traceback
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from splade_connectors.cli import printing
from splade_connectors.shown import shown

# Where each database's credentials are read from.
_BETTER_PLACES = {
    "qdrant": "QDRANT_API_KEY",
    "elasticsearch": "ELASTICSEARCH_PASSWORD, beside ELASTICSEARCH_USERNAME",
    "opensearch": "OPENSEARCH_PASSWORD, beside OPENSEARCH_USERNAME",
}


def prepare_streams() -> None:
    """Streams that can be written to, whatever the caller closed and whatever its language is."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            # Or the next file that is opened, one of a store, would be what others print into.
            os.open(os.devnull, os.O_RDWR)
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115  # until the process ends
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def password_warning(arguments: Sequence[str]) -> str | None:
    """What to do about a password that was typed, None if none was."""
    for argument in arguments:
        scheme, separator, rest = argument.partition("://")
        given, at, _ = rest.partition("/")[0].rpartition("@")
        if separator and at and given.partition(":")[2]:
            database = scheme.lower().partition("+")[0]
            instead = _BETTER_PLACES.get(database, "an environment variable")
            return (
                f"the password in {database}://… can be read by everybody on this machine (ps), "
                f"and the shell keeps it in its history; it belongs into {instead}"
            )
    return None


# The library's warnings for a person. Its others are for those who ask for the log.
_ADVICE = logging.getLogger("splade_connectors.advice")


@contextmanager
def harmless_warnings() -> Iterator[None]:
    """Warnings of libraries are a line each, and hold words of servers."""
    advice = _Advice(logging.WARNING)
    _ADVICE.addHandler(advice)
    usual = warnings.formatwarning
    warnings.formatwarning = lambda message, *more, **others: _warning(str(message))
    last = logging.lastResort.formatter if logging.lastResort else None
    if logging.lastResort:
        logging.lastResort.setFormatter(_Harmless())
    try:
        yield
    finally:
        _ADVICE.removeHandler(advice)
        warnings.formatwarning = usual
        if logging.lastResort:
            logging.lastResort.formatter = last


def log_to_stderr() -> None:
    """Log what libraries tell, words of servers included."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Harmless("%(name)s: %(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    without_advice()


def without_advice() -> None:
    """The log holds the library's advice, too: it is not shown a second time."""
    for handler in [found for found in _ADVICE.handlers if isinstance(found, _Advice)]:
        _ADVICE.removeHandler(handler)


def uncaught() -> str:
    """The traceback of an error that is a mistake of ours, or of a library."""
    return shown(traceback.format_exc(), lines=True)


def usage_shown(error: Any) -> None:
    """Make an error of usage harmless before typer prints it: it quotes what was typed."""
    if not hasattr(error, "format_message"):  # of click, which newer versions of typer bring along
        return
    if printing.is_logging_json():
        printing.fail(error.format_message())
        sys.exit(error.exit_code)
    error.message = shown(error.message, lines=True)


class _Advice(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        printing.warn(record.getMessage())


def _warning(message: str) -> str:
    if printing.is_logging_json():
        return f"{printing.event('warning', message=message)}\n"
    return f"warning: {shown(message)}\n"


class _Harmless(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        text = super().format(record)
        if printing.is_logging_json():
            level = record.levelname.lower()
            return printing.event("log", level=level, logger=record.name, message=text)
        return shown(text, lines=True)
