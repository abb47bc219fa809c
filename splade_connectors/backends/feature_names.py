"""Feature names: the codec between terms of a vocabulary and field names.

Elasticsearch stores sparse vectors as maps from feature name to weight. From 8.8 on it refuses dots
in names; replacing them by "_", as other tools do, merges two terms of BERT's vocabulary. This
codec escapes instead, so that every token of every vocabulary has its own name.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

from splade_connectors.manifest import KeyStyle

_EMPTY = "%empty"
# The dot separates field levels, "%" is the escape character, and some versions refuse names that
# consist of white space or control characters.
_UNSAFE = re.compile(r"[.%\s\x00-\x1f\x7f]")
_ESCAPED = re.compile(r"(?:%[0-9A-F]{2})+")


def encode_key(token: str) -> str:
    """The feature name of a token: "." -> "%2E", "%" -> "%25", "" -> "%empty"."""
    return _UNSAFE.sub(lambda found: _escape(found[0]), token) if token else _EMPTY


def decode_key(name: str) -> str:
    """The token of a feature name; the inverse of `encode_key`."""
    return "" if name == _EMPTY else _ESCAPED.sub(lambda found: _unescape(found[0]), name)


def _escape(character: str) -> str:
    """The UTF-8 bytes of a character, percent-encoded."""
    return "".join(f"%{byte:02X}" for byte in character.encode())


def _unescape(escaped: str) -> str:
    return bytes.fromhex(escaped.replace("%", "")).decode("utf-8", "replace")


class Vocabulary(Protocol):
    """The part of an encoder that `Keys` needs."""

    def tokens(self, ids: Iterable[int]) -> list[str]:
        """The tokens of these ids."""

    def token_id(self, token: str) -> int | None:
        """The id of a token; None if the vocabulary lacks it."""


class Keys:
    """Term ids <-> feature names; the encoder's vocabulary is loaded on first use."""

    def __init__(self, vocabulary: Callable[[], Vocabulary], style: KeyStyle = "token") -> None:
        self._vocabulary = vocabulary
        self.style = style

    def in_style(self, style: KeyStyle) -> Keys:
        """The same vocabulary, spelled in another style."""
        return self if style == self.style else Keys(self._vocabulary, style)

    def style_of(self, names: Iterable[str]) -> KeyStyle:
        """The style of feature names found in an index, as `detect_style`."""
        return detect_style(names, self._vocabulary())

    def names(self, ids: Sequence[int]) -> list[str]:
        """The feature name of each term id."""
        if self.style == "id":
            return [str(index) for index in ids]
        return [encode_key(token) for token in self._vocabulary().tokens(ids)]

    def index(self, name: str) -> int | None:
        """The term id of a feature name; None if the vocabulary lacks it."""
        if self.style == "id":
            return int(name) if name.isdecimal() else None
        return self._vocabulary().token_id(decode_key(name))


def detect_style(names: Iterable[str], vocabulary: Vocabulary) -> KeyStyle:
    """The style of feature names found in an index.

    "id" if all are decimal numbers and not all of these are also tokens; "token" if all decode to
    tokens of the vocabulary; else "other".
    """
    seen = list(names)
    known = [vocabulary.token_id(decode_key(name)) is not None for name in seen]
    if seen and all(name.isdecimal() for name in seen) and not all(known):
        return "id"
    return "token" if seen and all(known) else "other"
