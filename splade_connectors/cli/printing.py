"""How commands print: results on stdout, everything else on stderr."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from splade_connectors.documents import Rejected
    from splade_connectors.files.dead_letters import DeadLetters


def print_json(value: Any) -> None:
    """One JSON document on stdout."""
    print(json.dumps(value, ensure_ascii=False, indent=2 if sys.stdout.isatty() else None))


def warn(message: str) -> None:
    """A warning on stderr."""
    print(f"warning: {message}", file=sys.stderr)


def console(*, stderr: bool = False) -> Console:
    """A console that wraps at 100 columns when it is no terminal."""
    from rich.console import Console

    made = Console(stderr=stderr, highlight=False)
    if not made.is_terminal:
        made.width = 100
    return made


def print_rejections(rejections: Sequence[Rejected], count: int, kept: DeadLetters) -> None:
    """The first rejected documents with their reasons, and where all of them are."""
    if not count:
        return
    screen = console(stderr=True)
    screen.print(f"[bold]{count:,}[/bold] rejected:")
    for item in rejections[:_SHOWN]:
        where = f"line {item.line}" if item.line else "-"
        name = f" id {item.id!r}" if item.id is not None else ""
        screen.print(f"  {where}{name}: {item.reason}", markup=False)
    more = f"  and {count - _SHOWN:,} more, " if count > _SHOWN else "  "
    screen.print(f"{more}all of them are in {kept.path}", markup=False, soft_wrap=True)


_SHOWN = 10
