"""The process around a command: its streams, its log, and uncaught errors."""

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
from splade_connectors.shown import ADVICE, shown

# The environment variable that each database's password is read from.
_BETTER_PLACES = {
    "qdrant": "QDRANT_API_KEY",
    "elasticsearch": "ELASTICSEARCH_PASSWORD (with ELASTICSEARCH_USERNAME)",
    "opensearch": "OPENSEARCH_PASSWORD (with OPENSEARCH_USERNAME)",
}


class OutputLost(OSError):
    """Standard output cannot be written, although its reader has not gone away."""


class _Output(io.FileIO):
    """Standard output, whose errors are told from those of other files."""

    def write(self, data: Any) -> int:
        try:
            return super().write(data)
        except BrokenPipeError:
            raise
        except OSError as error:
            raise OutputLost(error.errno, error.strerror) from error


def prepare_streams() -> None:
    """Make stdout and stderr writable, whatever the caller closed and whatever its locale."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            # Otherwise the next file opened, such as a store's, would get this descriptor and
            # receive whatever is printed.
            os.open(os.devnull, os.O_RDWR)
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115  # stays open until the process exits
    sys.stdout = _with_own_errors(sys.stdout)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _with_own_errors(stdout: Any) -> Any:
    """Return a stream like this one that raises `OutputLost`; the same one if it is not a file."""
    buffer = getattr(stdout, "buffer", None)
    if not isinstance(stdout, io.TextIOWrapper) or stdout is not sys.__stdout__:
        return stdout
    raw = getattr(buffer, "raw", buffer)
    if type(raw) is not io.FileIO:  # a console of Windows
        return stdout
    output = _Output(raw.fileno(), "wb", closefd=False)
    return io.TextIOWrapper(
        output if buffer is raw else io.BufferedWriter(output),  # python -u
        encoding=stdout.encoding,
        line_buffering=stdout.line_buffering,
        write_through=stdout.write_through,
    )


def password_warning(arguments: Sequence[str]) -> str | None:
    """Return a warning if an argument contains a password, otherwise None."""
    for argument in arguments:
        scheme, separator, rest = argument.partition("://")
        given, at, _ = rest.partition("/")[0].rpartition("@")
        if separator and at and given.partition(":")[2]:
            database = scheme.lower().partition("+")[0]
            instead = _BETTER_PLACES.get(database, "an environment variable")
            return (
                f"the password in {database}://… is visible to every user of this machine (ps) "
                f"and stays in the shell history; put it in {instead}"
            )
    return None


@contextmanager
def escaped_warnings() -> Iterator[None]:
    """Print libraries' warnings on one line each, with servers' text escaped."""
    advice = _Advice(logging.WARNING)
    ADVICE.addHandler(advice)
    usual = warnings.formatwarning
    warnings.formatwarning = lambda message, *more, **others: _warning(str(message))
    last = logging.lastResort.formatter if logging.lastResort else None
    if logging.lastResort:
        logging.lastResort.setFormatter(_Harmless())
    try:
        yield
    finally:
        ADVICE.removeHandler(advice)
        warnings.formatwarning = usual
        if logging.lastResort:
            logging.lastResort.formatter = last


def log_to_stderr() -> None:
    """Log to stderr, with servers' text escaped."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Harmless("%(name)s: %(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    stop_printing_advice()


def stop_printing_advice() -> None:
    """Stop printing the library's advice separately: the log contains it too."""
    for handler in [found for found in ADVICE.handlers if isinstance(found, _Advice)]:
        ADVICE.removeHandler(handler)


def uncaught() -> str:
    """Return the traceback of a bug, ours or a library's."""
    return shown(traceback.format_exc(), lines=True)


def usage_shown(error: Any) -> None:
    """Escape a usage error before typer prints it: it quotes the command line."""
    if not hasattr(error, "format_message"):  # a click error; newer versions of typer vendor click
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
