"""The best document of each value of a field: for adapters that group in the client."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from splade_connectors.documents import DocumentId
from splade_connectors.errors import ConfigurationError
from splade_connectors.payloads import values_at

# The other hits of a page's groups are counted up to this many, as Elasticsearch does.
MOST_COUNTED = 10_000

# Whether the value is a bool, and the value: in Python True equals 1.
Key = tuple[bool, Any]


@dataclass(frozen=True, slots=True)
class Best:
    """The best document of one value.

    Attributes:
        id: of the document.
        score: of the document.
        value: of the field.
        more: number of other documents with this value.
    """

    id: DocumentId
    score: float
    value: Any
    more: int = 0


def value_in(payload: Mapping[str, Any], path: str, id: DocumentId) -> Any:
    """The value that a document is grouped by; None if it has none.

    Raises:
        ConfigurationError: if the field has several values, or is an object.
    """
    found = [value for value in values_at(payload, path) if value is not None]
    if not found:
        return None
    if len(found) > 1 or isinstance(found[0], Mapping):
        what = "an object" if isinstance(found[0], Mapping) else f"{len(found)} values"
        raise ConfigurationError(
            f"group_by={path!r} needs a field with one value per document, but document {id!r} "
            f"has {what}"
        )
    return found[0]


def key_of(value: Any) -> Key:
    """The key that distinguishes values."""
    return isinstance(value, bool), value


def best_of_each(
    ranking: Iterable[tuple[DocumentId, float]], values: Mapping[DocumentId, Any]
) -> list[Best]:
    """The first document of each value, with the number of later ones.

    Args:
        ranking: (id, score), best first.
        values: the value of each document; documents without one are omitted.
    """
    found = [(id, score, values[id]) for id, score in ranking if values.get(id) is not None]
    counts = Counter(key_of(value) for _, _, value in found)
    first: dict[Key, Best] = {}
    for id, score, value in found:
        key = key_of(value)
        first.setdefault(key, Best(id, score, value, counts[key] - 1))
    return list(first.values())
