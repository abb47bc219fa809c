"""How commands print: results on stdout, the rest on stderr, control characters escaped.

Text from documents, servers, files and targets goes through `shown` here. This is the only module
that prints: the others in `cli` call `say`, `warn`, `Table` and `print_json`.
"""

from __future__ import annotations

import json
import shlex
import sys
from collections import Counter
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from splade_connectors.backends.targets import shown_target
from splade_connectors.shown import counted, quoted, shown, shown_json

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from splade_connectors.cli.screen import Table
    from splade_connectors.documents import Rejected
    from splade_connectors.files.dead_letters import DeadLetters

_SHOWN = 10


class _Lines:
    """The format of lines on stderr, for this process."""

    in_json = False


def log_in_json(wanted: bool) -> None:
    """Choose whether every line on stderr is a JSON object (`--log-json`)."""
    _Lines.in_json = wanted


def is_logging_json() -> bool:
    """Return whether lines on stderr are JSON objects."""
    return _Lines.in_json


def event(name: str, **fields: Any) -> str:
    """Return one `--log-json` event, without the newline."""
    stamp = datetime.now(UTC).isoformat(timespec="milliseconds")
    return json_text({"time": stamp, "event": name, **fields}, stream=sys.stderr)


def log_event(name: str, **fields: Any) -> None:
    """Print one `--log-json` event to stderr."""
    print(event(name, **fields), file=sys.stderr, flush=True)


def say(template: str, *values: object, stderr: bool = False, wrap: bool = True) -> None:
    """Print a line of rich markup, filled in with untrusted values.

    Args:
        template: markup with `str.format` placeholders.
        *values: values for the placeholders, printed as plain text.
        stderr: print to stderr instead of stdout.
        wrap: wrap the line at the width of the screen; False for text meant to be copied.
    """
    from splade_connectors.cli.screen import console, filled

    line = filled(template, *values)
    if stderr and _Lines.in_json:
        log_event("note", message=line.plain.strip())
        return
    console(stderr=stderr).print(line, soft_wrap=not wrap)


def print_table(table: Table) -> None:
    """Print a table to stdout."""
    from splade_connectors.cli.screen import console

    screen = console()
    screen.print(table.drawn(screen.width))


def print_json(value: Any, *, stderr: bool = False) -> None:
    """Print one JSON document to stdout, or to stderr."""
    stream = sys.stderr if stderr else sys.stdout
    print(json_text(value, indent=2 if stream.isatty() else None, stream=stream), file=stream)


def json_text(value: Any, indent: int | None = None, stream: Any = None) -> str:
    """Return JSON with control characters escaped, and all that the stream cannot encode.

    Args:
        value: a JSON value.
        indent: as for `json.dumps`; None for one line.
        stream: stream it is meant for; None for stdout.
    """
    encoding = getattr(stream or sys.stdout, "encoding", None) or "utf-8"
    narrow = not encoding.lower().replace("-", "").startswith("utf")
    return shown_json(json.dumps(value, ensure_ascii=narrow, indent=indent))


def put_line(text: str) -> None:
    """Print a line to stdout without wrapping it."""
    print(shown(text))


def put_json(text: str) -> None:
    """Print JSON to stdout, ready to be copied."""
    print(shown_json(text))


def warn(message: str) -> None:
    """Print a warning to stderr."""
    if _Lines.in_json:
        log_event("warning", message=message)
        return
    print(f"warning: {shown(message)}", file=sys.stderr)


def fail(message: str, *notes: str) -> None:
    """Print an error to stderr, and its notes, one per line."""
    if _Lines.in_json:
        log_event("error", message=message, notes=notes)
        return
    print(f"error: {shown(message)}", *map(shown, notes), sep="\n", file=sys.stderr)


def put_traceback(text: str) -> None:
    """Print the traceback of a bug to stderr."""
    if _Lines.in_json:
        log_event("error", message="a bug in splade-connectors", traceback=text)
        return
    print(text, end="", file=sys.stderr)


def say_retries(count: int) -> None:
    """Print how many requests of a run were retried, if any."""
    if count:
        retried = counted(count, "request")
        say("  {} retried: the server was unreachable or overloaded", retried)


def command_line(*words: object) -> str:
    """Return a command line, quoted for a shell."""
    return shlex.join(["splade-connectors", *map(str, words)])


def search_line(target: str, model: str | None = None) -> str:
    """Return the search command to try next, quoted for a shell."""
    named = ("--model", model) if model else ()
    return command_line("search", shown_target(target), "your own words", *named)


def print_rejections(
    rejections: Sequence[Rejected],
    count: int,
    kept: DeadLetters,
    reasons: Mapping[str, int] | None = None,
) -> None:
    """Print why documents were rejected: each reason with its first document, and where all are.

    Args:
        rejections: the first rejections.
        count: total number of rejections.
        kept: the dead-letter file with all of them.
        reasons: reason -> count; None counts those in `rejections`.
    """
    if not count:
        return
    say("[bold]{:,}[/bold] rejected:", count, stderr=True)
    counts = reasons or Counter(item.reason for item in rejections)
    firsts = {item.reason: item for item in reversed(rejections)}
    named = 0
    for item in sorted(firsts.values(), key=rejections.index)[:_SHOWN]:
        others = counts[item.reason] - 1
        named += others + 1
        more = f" and {others:,} more" if others else ""
        say("  {}{}: {}", _place(item), more, item.reason, stderr=True)
    more = f"  and {count - named:,} more; " if count > named else "  "
    say("{}see {}", more, kept.path, stderr=True, wrap=False)


def _place(item: Rejected) -> str:
    """Where a rejected document came from, with its id."""
    where = f"line {item.line}" if item.line else "-"
    where += f" of {item.file}" if item.file else ""
    return f"{where} id {quoted(item.id)}" if item.id is not None else where


def print_again(kept: DeadLetters, target: str, model: str | None = None) -> None:
    """Print the command that retries the dead letters, if that may succeed."""
    if not kept.again:
        return
    named = ("--model", model) if model else ()
    again = command_line("index", "--from-dead-letters", kept.path, shown_target(target), *named)
    some = "" if kept.again == kept.count else f" ({kept.again:,} of {kept.count:,} may succeed)"
    say("  retry them{}: {}", some, again, stderr=True, wrap=False)
