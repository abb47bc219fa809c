"""Untrusted text from documents, servers and callers, made safe to print in our messages.

A terminal obeys what it is sent: ESC changes colours, titles and the clipboard (OSC 52), C1 does
the same in one character, and bidirectional controls disguise one text as another.
"""

from __future__ import annotations

import logging
import math
import re
import reprlib
from collections.abc import Mapping, Sequence
from typing import Any

# The logger of warnings for people, which the command line prints; others appear only in its log.
ADVICE = logging.getLogger("splade_connectors.advice")

# Control characters (C0, DEL, C1), line separators, lone surrogates, direction controls, invisible
# annotations and tags. Joiners (U+200C, U+200D) stay: Persian and emoji need them.
_HARMFUL = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u206f\ud800-\udfff\ufeff"
    "\ufff9-\ufffb\U000e0000-\U000e007f]"
)
_LONGEST = 160
_MOST_SKETCHED = 10_000
_DEEPEST_SKETCH = 100
_JSON_BITS = 1024
_SHORT = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}


def shown(text: str, *, lines: bool = False) -> str:
    """Return the text with harmful characters escaped as in a Python string literal.

    Args:
        text: untrusted text.
        lines: keep line breaks.
    """
    if lines:
        return "\n".join(map(shown, text.split("\n")))
    return _HARMFUL.sub(_spelled, text)


def shown_json(text: str) -> str:
    """Return equivalent JSON without harmful characters.

    Args:
        text: JSON as `json.dumps` writes it: such characters occur only inside strings, except for
            the line breaks of indented JSON.
    """
    return "\n".join(_HARMFUL.sub(_as_json, line) for line in text.split("\n"))


def quoted(value: object) -> str:
    """Return the `repr` of any value on one line, even if its `__repr__` fails.

    Callers pass arbitrary values: `__repr__` may raise, or return megabytes.
    """
    try:
        text = shown(_BRIEF.repr(value))
        return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
    except Exception:  # whatever the value's own methods do
        return f"<{type(value).__name__}>"


def message_of(error: Exception) -> str:
    """Return an error's message, or its class name if it has none or cannot produce it."""
    try:
        return str(error) or type(error).__name__
    except Exception:
        return type(error).__name__


def listed(names: Sequence[object], most: int = 20) -> str:
    """Return quoted names or ids separated by commas, at most `most` of them."""
    more = f" and {len(names) - most:,} more" if len(names) > most else ""
    return ", ".join(map(quoted, names[:most])) + more


def plural(count: int, noun: str, nouns: str | None = None) -> str:
    """Return the noun in the number that `count` asks for.

    Args:
        count: how many there are.
        noun: the singular.
        nouns: the plural; None appends an s.
    """
    return noun if count == 1 else nouns or f"{noun}s"


def counted(count: int, noun: str, nouns: str | None = None) -> str:
    """Return a count with its noun: "1 document", "1,000 documents"."""
    return f"{count:,} {plural(count, noun, nouns)}"


def reason_of(error: Exception) -> str:
    """Return what an error says, without the number and the path that an `OSError` repeats."""
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


def sketch(value: object) -> Any:
    """Return a value as JSON for people: anything that is not JSON, or too large, becomes text."""
    return _Sketch().of(value, ())


class _Sketch:
    """One sketch; it terminates even if the value contains itself."""

    def __init__(self) -> None:
        self._left = _MOST_SKETCHED

    def of(self, value: object, above: tuple[int, ...]) -> Any:
        self._left -= 1
        if self._left < 0 or id(value) in above or len(above) > _DEEPEST_SKETCH:
            return "…"
        try:
            return self._inside(value, (*above, id(value)))
        except Exception:  # whatever the value's own methods do
            return quoted(value)

    def _inside(self, value: object, above: tuple[int, ...]) -> Any:
        match value:
            case None | bool() | str():
                return value
            case int() if value.bit_length() <= _JSON_BITS:
                return value
            case float() if math.isfinite(value):
                return value
            case Mapping():
                return {
                    key if isinstance(key, str) else quoted(key): self.of(item, above)
                    for key, item in value.items()
                }
            case list() | tuple():
                return [self.of(item, above) for item in value]
        return quoted(value)


def _brief() -> reprlib.Repr:
    brief = reprlib.Repr()
    brief.maxstring = brief.maxother = 80
    brief.maxlong = 40
    brief.maxlevel = 3
    return brief


_BRIEF = _brief()


def _spelled(found: re.Match[str]) -> str:
    character = found[0]
    code = ord(character)
    if code > 0xFFFF:
        return f"\\U{code:08x}"
    return _SHORT.get(character) or (f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}")


def _as_json(found: re.Match[str]) -> str:
    units = found[0].encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[at : at + 2].hex()}" for at in range(0, len(units), 2))
