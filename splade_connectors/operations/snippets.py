"""Snippets: the passage of a text that best matches a query, with matching words marked. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from splade_connectors.documents import Snippet

# Two terminal lines.
LENGTH = 160
_CUT = "…"
# Scripts without spaces between words are marked character by character.
_WORD = re.compile("[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af\u0e00-\u0e7f]|[^\\W_]+")


@dataclass(frozen=True, slots=True)
class _Word:
    """A word that matches a query term."""

    start: int
    end: int
    text: str
    weight: float


def snippet(text: str, weight_of: Callable[[str], float], length: int = LENGTH) -> Snippet:
    """Return the passage with the highest total weight, counting each distinct word once.

    Args:
        text: text of a document; whitespace is collapsed.
        weight_of: a word's contribution to the score, 0 for none.
        length: maximum number of characters, including an ellipsis at either end.
    """
    text = " ".join(text.split())
    words = [word for word in _words(text, weight_of) if word.weight > 0]
    start, end = 0, len(text)
    if len(text) > length:
        start, end = _widened(text, *_best(words, length - 2), length - 2)
    before, after = (_CUT if start else ""), (_CUT if end < len(text) else "")
    shift = len(before) - start
    marks = [(w.start + shift, w.end + shift) for w in words if start <= w.start and w.end <= end]
    return Snippet(text=f"{before}{text[start:end]}{after}", marks=tuple(marks))


def _words(text: str, weight_of: Callable[[str], float]) -> Iterator[_Word]:
    for found in _WORD.finditer(text):
        yield _Word(found.start(), found.end(), found[0].casefold(), weight_of(found[0]))


def _best(words: Sequence[_Word], room: int) -> tuple[int, int]:
    """The bounds of the heaviest stretch of words; the first of equals."""
    best, ends = 0.0, (0, 0)
    for at, first in enumerate(words):
        seen: dict[str, float] = {}
        for word in words[at:]:
            if word.end - first.start > room:
                break
            seen[word.text] = max(word.weight, seen.get(word.text, 0.0))
            weight = sum(seen.values())
            if weight > best:
                best, ends = weight, (first.start, word.end)
    return ends


def _widened(text: str, start: int, end: int, room: int) -> tuple[int, int]:
    """Extend the stretch as far as there is room, at word boundaries where possible."""
    left = max(0, start - (room - (end - start)) // 2)
    right = min(len(text), left + room)
    left = max(0, min(left, right - room))
    if left:
        space = text.find(" ", left, start + 1)
        left = space + 1 if 0 <= space < start else left
    if right < len(text):
        space = text.rfind(" ", end, right + 1)
        right = space if space > left else right
    return left, right
