"""Extracting text from HTML in one pass, however broken the markup is."""

from __future__ import annotations

import re
from html import unescape

# A tag, whose quoted values may contain ">". The caller bounds how much of it is scanned.
_TAG = re.compile(r"</?([a-zA-Z][^\s/>]*)(?:[^\"'>]|\"[^\"]*\"|'[^']*')*>")
_LONGEST_TAG = 1000
_NAME = re.compile(r"</?([a-zA-Z][a-zA-Z0-9-]*)")
# Inline tags do not break words; every other tag does.
_INLINE_NAMES = """a abbr acronym b bdi bdo big cite code data del dfn em font i ins kbd mark nobr
    q s samp small span strike strong sub sup time tt u var wbr"""
_INLINE = frozenset(_INLINE_NAMES.split())
# Elements whose content is not meant for readers.
_UNSEEN = frozenset(("script", "style", "template", "noscript", "head", "svg", "math"))
_BLANKS = re.compile(r"[^\S\n]+")
_BREAKS = re.compile(r" ?\n[\n ]*")


def text_of_html(html: str) -> str:
    """Return the text that a reader sees, one line per block."""
    if "<" not in html and "&" not in html:
        return html
    parts: list[str] = []
    at = 0
    while (start := html.find("<", at)) >= 0:
        parts.append(html[at:start])
        at = _after(html, start, parts)
    parts.append(html[at:])
    return _tidy("".join(parts))


def _after(html: str, start: int, parts: list[str]) -> int:
    """Return where the markup starting here ends, appending the text that it stands for."""
    if html.startswith("<!--", start):
        return _past(html, "-->", start)
    if html.startswith(("<!", "<?"), start):
        return _past(html, ">", start)
    found = _NAME.match(html, start)
    if found is None:  # a < b
        parts.append("&lt;")
        return start + 1
    name = found[1].lower()
    if name not in _INLINE:
        parts.append("\n")
    tag = _TAG.match(html, start, start + _LONGEST_TAG)
    end = tag.end() if tag else _past(html, ">", start)
    if name in _UNSEEN and html[start + 1] != "/" and html[end - 2 : end] != "/>":
        return _end_of(html, name, end)
    return end


def _past(html: str, mark: str, start: int) -> int:
    end = html.find(mark, start)
    return len(html) if end < 0 else end + len(mark)


def _end_of(html: str, name: str, start: int) -> int:
    closing = re.compile(rf"</{name}\b", re.IGNORECASE).search(html, start)
    return closing.start() if closing else len(html)


def _tidy(text: str) -> str:
    # Unescape only after removing markup: "&lt;b&gt;" is text.
    plain = _BLANKS.sub(" ", unescape(text).replace("\r", "\n"))
    return _BREAKS.sub("\n", plain).strip()
