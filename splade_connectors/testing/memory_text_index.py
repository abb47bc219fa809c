"""Text indexes of the in-memory store, which only records them, since it has no text legs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from splade_connectors.backends.protocol import Description
from splade_connectors.backends.text_indexing import TextIndexOrder, TextIndexSurvey
from splade_connectors.payloads import text_paths
from splade_connectors.runtime.effects import Steps


class MemoryTextIndexing:
    """As `TextIndexBackend`.

    Args:
        indexes: field -> tokenizer; changed in place.
        payloads: of the documents.
        describe: the backend's `describe`.
    """

    def __init__(
        self,
        indexes: dict[str, str],
        payloads: Mapping[Any, Mapping[str, Any]],
        describe: Callable[[], Steps[Description]],
    ) -> None:
        self._indexes = indexes
        self._payloads = payloads
        self._describe = describe

    def survey(self, seen: Description, order: TextIndexOrder) -> Steps[TextIndexSurvey]:
        """As `TextIndexBackend.survey`."""
        yield from ()
        present = {path for payload in self._payloads.values() for path in text_paths(payload)}
        lacking = self._lacking(order)
        absent = [field for field in order.fields if field not in present]
        return TextIndexSurvey(
            lacking=lacking,
            changes=tuple(f"the field {field!r} gets a text index" for field in lacking),
            notes=tuple(
                f"{field!r} has a text index" for field in order.fields if field not in lacking
            ),
            refusals=tuple(f"no document has a field {field!r}" for field in absent),
        )

    def create(self, seen: Description, order: TextIndexOrder) -> Steps[Description]:
        """As `TextIndexBackend.create`."""
        self._indexes |= dict.fromkeys(self._lacking(order), order.tokenizer or "word")
        return (yield from self._describe())

    def made(self, seen: Description) -> Sequence[str]:
        """All indexes."""
        return sorted(self._indexes)

    def rebuilt(self, seen: Description) -> Sequence[str]:
        """No fields: nobody else makes indexes here."""
        return ()

    def remove(self, seen: Description, fields: Sequence[str]) -> Steps[Description]:
        """As `TextIndexBackend.remove`."""
        for field in fields:
            del self._indexes[field]
        return (yield from self._describe())

    def _lacking(self, order: TextIndexOrder) -> tuple[str, ...]:
        """Fields without an index, or with one of another tokenizer that may be rebuilt."""
        asked = order.tokenizer if order.rebuild else None
        return tuple(
            field
            for field in order.fields
            if field not in self._indexes or asked not in (None, self._indexes[field])
        )
