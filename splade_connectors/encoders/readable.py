"""Readable tokens: vocabularies spell them "▁vaccine", "##cine" or "Ġvaccine".

A piece that continues a word is shown after "…", except in scripts without spaces between words
(Chinese, Thai, …), in which that would say nothing.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from functools import cache

from tokenizers import Tokenizer, decoders, models

Readable = Callable[[str], str]

# SentencePiece's sign for a space, which real texts do not contain.
SPACE = "\u2581"
# Scripts without spaces between words, as prefixes of Unicode's character names.
_WITHOUT_SPACES = ("CJK", "HIRAGANA", "KATAKANA", "THAI", "LAO", "KHMER", "MYANMAR", "TIBETAN")
_BYTE = re.compile(r"<0x[0-9A-F]{2}>")


def readable_of(tokenizer: Tokenizer) -> Readable:
    """A function that makes a token readable; one at a time, since terms have no order."""
    special = {token.content for token in tokenizer.get_added_tokens_decoder().values()}
    read = _reader(tokenizer)
    return lambda token: token if token in special or not token else read(token)


def _reader(tokenizer: Tokenizer) -> Readable:
    model = tokenizer.model
    if isinstance(model, models.WordPiece):
        return lambda token: _of_word_piece(token, model.continuing_subword_prefix)
    if isinstance(tokenizer.decoder, decoders.ByteLevel):
        return _of_bytes
    if isinstance(model, models.Unigram) or isinstance(tokenizer.decoder, decoders.Metaspace):
        return _of_sentence_piece
    # Tokens without spaces are readable as they are.
    return _visible


def _of_word_piece(token: str, prefix: str) -> str:
    piece = token.removeprefix(prefix)
    return _continuing(piece) if piece and token != piece else _visible(token)


def _of_sentence_piece(token: str) -> str:
    if _BYTE.fullmatch(token):
        return token
    return _spaced(token.replace(SPACE, " "))


def _of_bytes(token: str) -> str:
    """Of a vocabulary that spells each byte as one character, as GPT-2's does."""
    known = _characters_of_bytes()
    if not all(character in known for character in token):
        return _visible(token)
    raw = bytes(known[character] for character in token)
    try:
        return _spaced(raw.decode("utf-8"))
    except UnicodeDecodeError:  # part of a character
        return f"<{raw.hex(' ').upper()}>"


def _spaced(text: str) -> str:
    """A token of a vocabulary in which words begin with a space."""
    return _visible(text.removeprefix(" ")) if text[:1] == " " else _continuing(text)


def _continuing(text: str) -> str:
    kind = unicodedata.category(text[0])
    if kind[0] == "M":  # combines with the preceding letter, shown as a dotted circle
        return f"…\u25cc{_visible(text)}"
    alone = kind[0] not in "LN" or unicodedata.name(text[0], "").startswith(_WITHOUT_SPACES)
    return _visible(text) if alone else f"…{_visible(text)}"


def _visible(text: str) -> str:
    """The text with "␣" for spaces and code points for invisible characters."""
    if not text:
        return "␣"
    return "".join(
        "␣" if character == " " else character if _is_seen(character) else _number(character)
        for character in text
    )


def _is_seen(character: str) -> bool:
    return unicodedata.category(character)[0] not in "CZ"


def _number(character: str) -> str:
    return f"<U+{ord(character):04X}>"


@cache
def _characters_of_bytes() -> dict[str, int]:
    """GPT-2's table, inverted: printable bytes map to themselves, the others to U+0100 and up."""
    printing = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printing]
    found = {chr(byte): byte for byte in printing}
    return found | {chr(256 + at): byte for at, byte in enumerate(others)}
