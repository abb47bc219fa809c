"""How commands print: results on stdout, the rest on stderr, nothing that a terminal obeys.

Words of documents, servers, files and targets go through `shown` here, and only here anything is
printed: other modules of `cli` call `say`, `warn`, `Table` and `print_json`.
"""

from __future__ import annotations

import json
import shlex
import sys
from collections import Counter
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from splade_connectors.backends.targets import shown_target
from splade_connectors.shown import quoted, shown, shown_json

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from splade_connectors.cli.screen import Table
    from splade_connectors.documents import Rejected
    from splade_connectors.files.dead_letters import DeadLetters

_SHOWN = 10


class _Lines:
    """How lines on stderr look, in this process."""

    in_json = False


def log_in_json(wanted: bool) -> None:
    """From now on, every line on stderr is a JSON object, or none is (`--log-json`)."""
    _Lines.in_json = wanted


def is_logging_json() -> bool:
    """Whether lines on stderr are JSON objects."""
    return _Lines.in_json


def event(name: str, **fields: Any) -> str:
    """One line of `--log-json`, without its end."""
    stamp = datetime.now(UTC).isoformat(timespec="milliseconds")
    return json_text({"time": stamp, "event": name, **fields}, stream=sys.stderr)


def log_event(name: str, **fields: Any) -> None:
    """One line of `--log-json` on stderr."""
    print(event(name, **fields), file=sys.stderr, flush=True)


def say(template: str, *values: object, stderr: bool = False, wrap: bool = True) -> None:
    """Print a line of ours, in rich's markup, with values of others in its braces.

    Args:
        template: as of `str.format`; what the values hold is neither markup nor obeyed.
        *values: for its braces.
        stderr: where to.
        wrap: break the line at the width of the screen; not for what is to be copied.
    """
    from splade_connectors.cli.screen import console, filled

    line = filled(template, *values)
    if stderr and _Lines.in_json:
        log_event("note", message=line.plain.strip())
        return
    console(stderr=stderr).print(line, soft_wrap=not wrap)


def print_table(table: Table) -> None:
    """A table on stdout."""
    from splade_connectors.cli.screen import console

    screen = console()
    screen.print(table.drawn(screen.width))


def print_json(value: Any) -> None:
    """One JSON document on stdout."""
    print(json_text(value, indent=2 if sys.stdout.isatty() else None))


def json_text(value: Any, indent: int | None = None, stream: Any = None) -> str:
    """JSON with every character that a terminal would obey escaped, and all that it cannot show.

    Args:
        value: of JSON.
        indent: None for one line.
        stream: that it is for; None for stdout.
    """
    encoding = getattr(stream or sys.stdout, "encoding", None) or "utf-8"
    narrow = not encoding.lower().replace("-", "").startswith("utf")
    return shown_json(json.dumps(value, ensure_ascii=narrow, indent=indent))


def put_line(text: str) -> None:
    """A line on stdout that is not wrapped."""
    print(shown(text))


def put_json(text: str) -> None:
    """JSON on stdout, ready to be copied."""
    print(shown_json(text))


def warn(message: str) -> None:
    """A warning on stderr."""
    if _Lines.in_json:
        log_event("warning", message=message)
        return
    print(f"warning: {shown(message)}", file=sys.stderr)


def fail(message: str, *notes: str) -> None:
    """An error on stderr, and a line for each note on it."""
    if _Lines.in_json:
        log_event("error", message=message, notes=notes)
        return
    print(f"error: {shown(message)}", *map(shown, notes), sep="\n", file=sys.stderr)


def put_traceback(text: str) -> None:
    """The traceback of a mistake of ours, on stderr."""
    if _Lines.in_json:
        log_event("error", message="a mistake of splade-connectors", traceback=text)
        return
    print(text, end="", file=sys.stderr)


def command_line(*words: object) -> str:
    """A command to be copied into a shell."""
    return shlex.join(["splade-connectors", *map(str, words)])


def search_line(target: str, model: str | None = None) -> str:
    """The search to try next, to be copied into a shell."""
    named = ("--model", model) if model else ()
    return command_line("search", shown_target(target), "your own words", *named)


def print_rejections(
    rejections: Sequence[Rejected],
    count: int,
    kept: DeadLetters,
    reasons: Mapping[str, int] | None = None,
) -> None:
    """Why documents were rejected, each reason once with its first document; where all are.

    Args:
        rejections: the first of them.
        count: of all.
        kept: the file that all are in.
        reasons: how often each occurred; None counts those in `rejections`.
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
    more = f"  and {count - named:,} more, " if count > named else "  "
    say("{}all of them are in {}", more, kept.path, stderr=True, wrap=False)


def _place(item: Rejected) -> str:
    """Where a rejected document came from, and its id."""
    where = f"line {item.line}" if item.line else "-"
    where += f" of {item.file}" if item.file else ""
    return f"{where} id {quoted(item.id)}" if item.id is not None else where


def print_again(kept: DeadLetters, target: str, model: str | None = None) -> None:
    """How to index the dead letters again, if that may succeed."""
    if not kept.again:
        return
    named = ("--model", model) if model else ()
    again = command_line("index", "--from-dead-letters", kept.path, shown_target(target), *named)
    some = "" if kept.again == kept.count else f" ({kept.again:,} of {kept.count:,} may succeed)"
    say("  try them again{}: {}", some, again, stderr=True, wrap=False)
