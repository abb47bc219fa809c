"""The documents of a test, with what owners have in theirs, the same in every process."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from splade_connectors import Document

TEXT = "body"
DENSE = "dense"
DIMENSIONS = 8
# The field that holds whole numbers, and a value that it cannot hold.
YEAR = "year"
NO_YEAR = "the year of the cat"

_WORDS = "water salt flour time bread mountain apple moon tide garden river stone music winter"
QUERIES = ("water and salt", "the moon over the mountain", "time of bread", "number7")

# Numbers that a server may write in another way, as an owner may have sent them.
_LITERALS = {
    "@short@": "1.10",
    "@exponent@": "1.5e2",
    "@long@": "0.12345678901234567890123456789",
    "@tiny@": "-4.9E-324",
    "@zero@": "-0.0",
}
_QUOTED = re.compile("|".join(f'"{name}"' for name in _LITERALS))


@dataclass(frozen=True)
class Row:
    """A document as its owner has it.

    Attributes:
        id: text.
        text: what is encoded.
        payload: everything else but vectors; numbers of unusual spelling by their names.
        dense: a dense vector whose values float32 holds exactly.
    """

    id: str
    text: str
    payload: Mapping[str, Any]
    dense: Sequence[float]

    @property
    def fields(self) -> dict[str, Any]:
        """Payload and text, as JSON values."""
        found: dict[str, Any] = json.loads(raw_json({**self.payload, TEXT: self.text}))
        return found

    def document(self, *, with_dense: bool) -> Document:
        """What is given to `index`."""
        dense = {DENSE: self.dense} if with_dense else None
        return Document(id=self.id, text=self.text, payload=self.fields, dense=dense)


def raw_json(value: Any) -> str:
    """JSON in which the named numbers stand in their unusual spelling."""
    return _QUOTED.sub(lambda found: _LITERALS[found[0].strip('"')], json.dumps(value))


def rows(count: int, *, prefix: str = "row", conflict_every: int = 0) -> list[Row]:
    """The first `count` rows; one in `conflict_every` has a year that is none."""
    return [_row(number, prefix, conflict_every) for number in range(count)]


def words(count: int, seed: int) -> str:
    """A text of so many words."""
    return " ".join(random.Random(seed).choices(_WORDS.split(), k=count))


def texts(found: Iterable[Row]) -> list[str]:
    """Their texts."""
    return [row.text for row in found]


def _row(number: int, prefix: str, conflict_every: int) -> Row:
    wrong = conflict_every and number % conflict_every == conflict_every // 2
    payload = {
        "title": f"Résumé {number} 漢字 \U0001f40c\u0000".replace("\u0000", "\u2028"),
        YEAR: NO_YEAR if wrong else 1900 + number % 100,
        "big": 2**53 + 1 + number,
        "least": -(2**63),
        "price": number / 7,
        "numbers": ["@short@", "@exponent@", "@long@", "@tiny@", "@zero@", 1, 1.0],
        "nothing": None,
        "flags": [True, False],
        "empty": {"list": [], "object": {}, "text": ""},
        "parts": [{"n": 1, "deep": {"er": [number, None]}}, {"n": 2}],
        "tags": ["ä", "", " spaces ", 'quote"\\'],
    }
    dense = [((number * 7 + at * 3) % 17 - 8) / 8 or 0.25 for at in range(DIMENSIONS)]
    text = f"{words(12 + number % 20, number)} number{number}"
    return Row(f"{prefix}-{number}", text, payload, dense)
