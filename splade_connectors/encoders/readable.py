"""Tokens as people read them: "▁vaccine", "##cine" and "Ġvaccine" are spellings of vocabularies.

A piece that goes on with a word is shown with "…" before it; where words are written without
spaces between them (Chinese, Thai, …) that says nothing, and is left out.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from functools import cache

from tokenizers import Tokenizer, decoders, models

Readable = Callable[[str], str]

# SentencePiece writes a space as this, which no text has.
SPACE = "\u2581"
# Words are not parted by spaces in these scripts, by how Unicode names their characters.
_WITHOUT_SPACES = ("CJK", "HIRAGANA", "KATAKANA", "THAI", "LAO", "KHMER", "MYANMAR", "TIBETAN")
_BYTE = re.compile(r"<0x[0-9A-F]{2}>")


def readable_of(tokenizer: Tokenizer) -> Readable:
    """How the tokens of this tokenizer are read; token by token, since terms have no order."""
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
    # Where spaces are no part of tokens, every one is read as it is.
    return _visible


def _of_word_piece(token: str, prefix: str) -> str:
    piece = token.removeprefix(prefix)
    return _continuing(piece) if piece and token != piece else _visible(token)


def _of_sentence_piece(token: str) -> str:
    if _BYTE.fullmatch(token):
        return token
    return _spaced(token.replace(SPACE, " "))


def _of_bytes(token: str) -> str:
    """Of a vocabulary that spells each byte as a character of its own (GPT-2's way)."""
    known = _characters_of_bytes()
    if not all(character in known for character in token):
        return _visible(token)
    raw = bytes(known[character] for character in token)
    try:
        return _spaced(raw.decode("utf-8"))
    except UnicodeDecodeError:  # a part of a character
        return f"<{raw.hex(' ').upper()}>"


def _spaced(text: str) -> str:
    """A text whose words begin with a space."""
    return _visible(text.removeprefix(" ")) if text[:1] == " " else _continuing(text)


def _continuing(text: str) -> str:
    kind = unicodedata.category(text[0])
    if kind[0] == "M":  # on a letter before it, for which the dotted circle stands
        return f"…\u25cc{_visible(text)}"
    alone = kind[0] not in "LN" or unicodedata.name(text[0], "").startswith(_WITHOUT_SPACES)
    return _visible(text) if alone else f"…{_visible(text)}"


def _visible(text: str) -> str:
    """With a sign for each space, and the number of what cannot be seen."""
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
    """GPT-2's table: bytes that print stand for themselves, the others for U+0100 and up."""
    printing = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printing]
    found = {chr(byte): byte for byte in printing}
    return found | {chr(256 + at): byte for at, byte in enumerate(others)}
