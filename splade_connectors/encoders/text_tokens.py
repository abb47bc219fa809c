"""Texts to token ids, cut to the model's length; no text is tokenized without a limit."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from splade_connectors.encoders.base import EncodeStats
from splade_connectors.encoders.batching import Tokens
from splade_connectors.encoders.normalization import Normalization, normalization_of
from splade_connectors.encoders.readable import Readable, readable_of
from splade_connectors.encoders.tokenizer_settings import FolderTokenizer, Side, as_model_error
from splade_connectors.errors import ConfigurationError, ModelError

log = logging.getLogger(__name__)

# Characters of a text that are tokenized at most; a million take 3 s and 140 MB. The first 512
# tokens of a natural text are within its first 5,000 characters.
MOST_CHARACTERS = 500_000
MOST_CHARACTERS_IN_PASSAGES = 10_000_000
MOST_CHARACTERS_OF_A_QUERY = 100_000

# A text to be truncated is first tokenized up to this much per token: enough for natural texts.
_CHARACTERS_PER_TOKEN = 16
_TIMES_MORE = 8
# Extra tokens: the last ones may depend on the characters after them.
_MARGIN = 16
# Characters of a text in passages that are tokenized at a time.
_PIECE = 250_000
# A piece ends at white space if its last characters, up to this many, contain some.
_LOOK_BACK = 2_000
_SPACES = re.compile(r"\s+")


@dataclass(frozen=True, kw_only=True, slots=True)
class Cut:
    """Which part of a text is encoded.

    Attributes:
        max_length: maximum number of tokens of a text or passage, including special tokens.
        side: the side on which a text is truncated, unless it is encoded in passages.
        overlap: tokens shared by neighbouring passages; None if the text is truncated.
        most_characters: maximum number of characters; the rest of the text is ignored.
    """

    max_length: int
    side: Side
    overlap: int | None
    most_characters: int

    @property
    def first_look(self) -> int:
        """Number of characters that are tokenized first."""
        if self.overlap is not None:
            return self.most_characters
        return min(self.most_characters, self.max_length * _CHARACTERS_PER_TOKEN)


class TextTokens:
    """A tokenizer's ids for texts.

    Args:
        tokenizer: of the model folder.

    Raises:
        ModelError: if its special tokens do not surround every text in the same way.
    """

    def __init__(self, tokenizer: FolderTokenizer) -> None:
        self._tokenizer = tokenizer.tokenizer
        self._fails = f"the tokenizer {tokenizer.path} fails on a text"
        self._before, self._after = self._special()

    def check(self, cut: Cut) -> None:
        """Refuse passages that would not advance, and lengths without room for a text.

        Raises:
            ConfigurationError: if so; says how many tokens there is room for.
        """
        special = len(self._before) + len(self._after)
        room = self._room(cut)
        if (cut.overlap or 0) >= room:
            raise ConfigurationError(
                f"passage_overlap={cut.overlap or 0} must be less than the {room} tokens of a "
                f"passage (max_length {cut.max_length} minus {special} special tokens)"
            )

    def token(self, at: int) -> str | None:
        """The vocabulary's spelling of an id."""
        found: str | None = self._tokenizer.id_to_token(at)
        return found

    @cached_property
    def readable(self) -> Readable:
        """The function that makes a token readable."""
        return readable_of(self._tokenizer)

    @cached_property
    def normalization(self) -> Normalization:
        """Which spellings the tokenizer treats as equal."""
        return normalization_of(self._tokenizer)

    def vocabulary(self) -> dict[str, int]:
        """Every token with its id."""
        found: dict[str, int] = self._tokenizer.get_vocab(with_added_tokens=True)
        return found

    def all_of(self, text: str, most_characters: int) -> Tokens:
        """All tokens of a text's first `most_characters`, without special tokens."""
        parts = [self._ids([piece])[0] for piece in _pieces(_clean(text[:most_characters]))]
        return np.concatenate([np.empty(0, np.int64), *parts])

    def passages(
        self, texts: Sequence[str], prompt: str, cut: Cut, stats: EncodeStats
    ) -> tuple[list[Tokens], list[int]]:
        """Token ids of every passage with special tokens, and the index of each passage's text.

        Args:
            texts: may be invalid Unicode: lone surrogates, which no tokenizer takes, become "?".
            prompt: prefix of every text.
            cut: which part of each text is encoded.
            stats: updated with the counts.
        """
        looked_at = [_looked_at(prompt + text, cut) for text in texts]
        whole = [
            len(prompt) + len(text) == len(part)
            for text, part in zip(texts, looked_at, strict=True)
        ]
        bodies = self._split(looked_at) if cut.overlap is not None else self._cut(looked_at, cut)
        passages: list[Tokens] = []
        owners: list[int] = []
        for owner, body in enumerate(bodies):
            parts = self._parts(body, cut)
            passages += [np.concatenate([self._before, part, self._after]) for part in parts]
            owners += [owner] * len(parts)
            longer = len(body) > self._room(cut)
            stats.split += longer and cut.overlap is not None
            stats.truncated += (longer and cut.overlap is None) or not whole[owner]
        if not all(whole):
            log.warning(
                "texts with more than %d characters: %d; the rest of each was ignored",
                cut.most_characters,
                whole.count(False),
            )
        stats.texts += len(texts)
        stats.tokens += sum(len(passage) for passage in passages)
        return passages, owners

    def without_special(self, prompt: str, text: str, cut: Cut) -> list[int]:
        """The kept ids of one text, without the special tokens around it.

        Calls the tokenizer as directly as possible, for encoders that do nothing else with a text.
        """
        if not isinstance(text, str):
            raise ConfigurationError(not_a_text(text))
        whole = prompt + text
        if len(whole) > cut.first_look:
            (body,) = self._cut([_looked_at(whole, cut)], cut)
            kept: list[int] = self._parts(body, cut)[0].tolist()
            return kept
        with as_model_error(self._fails):
            found: list[int] = self._tokenizer.encode(_clean(whole), add_special_tokens=False).ids
        room = self._room(cut)
        if len(found) <= room:
            return found
        return found[-room:] if cut.side == "left" else found[:room]

    def _special(self) -> tuple[Tokens, Tokens]:
        """The special tokens before and after every text."""
        with as_model_error(self._fails):
            around = self._tokenizer.encode("a")
            inside = len(self._tokenizer.encode("a", add_special_tokens=False).ids)
        if any(around.type_ids):
            raise ModelError("the tokenizer gives texts segment ids, which are not supported")
        special = np.asarray(around.special_tokens_mask, bool)
        ids = np.asarray(around.ids, np.int64)
        before = int(special.argmin()) if not special.all() else 0
        if special[before : before + inside].any() or len(ids) - special.sum() != inside:
            raise ModelError("the tokenizer puts special tokens inside texts: not supported")
        return ids[:before], ids[before + inside :]

    def _room(self, cut: Cut) -> int:
        return cut.max_length - len(self._before) - len(self._after)

    def _parts(self, body: Tokens, cut: Cut) -> list[Tokens]:
        room = self._room(cut)
        if cut.overlap is None:
            return [body[-room:] if cut.side == "left" else body[:room]]
        starts = range(0, max(len(body) - cut.overlap, 1), room - cut.overlap)
        return [body[start : start + room] for start in starts]

    def _split(self, texts: Sequence[str]) -> Iterator[Tokens]:
        for text in texts:
            parts = [self._ids([piece])[0] for piece in _pieces(text)]
            yield np.concatenate([np.empty(0, np.int64), *parts])

    def _cut(self, texts: Sequence[str], cut: Cut) -> list[Tokens]:
        """The kept tokens and perhaps more, from as few characters as possible."""
        enough = self._room(cut) + _MARGIN
        found: list[Tokens] = [np.empty(0, np.int64)] * len(texts)
        open_ones, size = list(range(len(texts))), cut.first_look
        while open_ones:
            parts = [_end_of(texts[at], size, cut.side) for at in open_ones]
            for at, ids in zip(open_ones, self._ids(parts), strict=True):
                found[at] = ids
            open_ones = [
                at
                for at, part in zip(open_ones, parts, strict=True)
                if len(part) < len(texts[at]) and len(found[at]) < enough
            ]
            size *= _TIMES_MORE
        return found

    def _ids(self, texts: Sequence[str]) -> list[Tokens]:
        with as_model_error(self._fails):
            found = self._tokenizer.encode_batch_fast(texts, add_special_tokens=False)
        return [np.asarray(encoding.ids, np.int64) for encoding in found]


def not_a_text(given: object) -> str:
    """The message about a value that should be a text."""
    return f"a text to encode must be a string, not {type(given).__name__}"


def _looked_at(text: str, cut: Cut) -> str:
    most = cut.most_characters
    return _clean(text[-most:] if cut.side == "left" and cut.overlap is None else text[:most])


def _clean(text: str) -> str:
    """The text as valid Unicode, with "?" for lone surrogates."""
    return text.encode("utf-8", "replace").decode("utf-8")


def _end_of(text: str, size: int, side: Side) -> str:
    """About `size` characters on the side that is kept, ending between words if possible."""
    if len(text) <= size:
        return text
    if side == "left":
        start = len(text) - size
        space = _SPACES.search(text, start, min(start + _LOOK_BACK, len(text)))
        return text[space.start() if space else start :]
    return text[: _word_end(text, size)]


def _word_end(text: str, size: int) -> int:
    """The end of the last word before `size`; `size` itself if that is too far away."""
    spaces = list(_SPACES.finditer(text, max(size - _LOOK_BACK, 1), size + 1))
    return spaces[-1].start() if spaces else size


def _pieces(text: str) -> Iterator[str]:
    start = 0
    while len(text) - start > _PIECE:
        piece = text[start : start + _PIECE + 1]
        end = start + _word_end(piece, _PIECE)
        yield text[start:end]
        start = end
    yield text[start:]
