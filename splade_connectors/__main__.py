"""The command line: the entry point, and `python -m splade_connectors`.

Signals are handled from here on, before anything slow is imported.
"""

from __future__ import annotations

import os
import sys
from typing import Any

from splade_connectors.runtime import signals

_STOPPED = "error: stopped"


def main() -> None:
    """Run the command line; a signal ends it with its own exit code, whenever it arrives."""
    signals.end_by_signals()
    try:
        from splade_connectors.cli import main as command_line

        command_line()
    except SystemExit:
        raise
    except BaseException:  # an interrupted import may raise anything
        if not signals.arrived():
            raise
        line = '{"event": "error", "message": "stopped"}' if "--log-json" in sys.argv else _STOPPED
        sys.stderr.write(f"{line}\n")
        sys.exit(signals.exit_code())
    finally:
        _end_at_once()


def _end_at_once() -> None:
    """Exit immediately on a signal during interpreter shutdown: all output has been written."""

    def leave(number: int, frame: Any) -> None:
        os._exit(128 + number)

    signals.end_by_signals(leave)


if __name__ == "__main__":
    main()
