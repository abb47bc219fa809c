"""Text fields, which BM25 searches as they are mapped, without another index."""

from __future__ import annotations

from collections.abc import Sequence

from splade_connectors.backends.protocol import Description
from splade_connectors.backends.text_indexing import TextIndexOrder, TextIndexSurvey
from splade_connectors.errors import ConfigurationError
from splade_connectors.fusion.request import ResolvedLeg
from splade_connectors.runtime.effects import Steps
from splade_lucene.address import IndexAddress
from splade_lucene.server import Remembered
from splade_lucene.text_fields import check_text_fields


class LuceneTextIndexing:
    """As `TextIndexBackend`.

    Args:
        address: of the index.
        remembered: what is known about the server.
    """

    def __init__(self, address: IndexAddress, remembered: Remembered) -> None:
        self._address = address
        self._remembered = remembered

    def survey(self, seen: Description, order: TextIndexOrder) -> Steps[TextIndexSurvey]:
        """Refuse missing fields, and tokenizers other than the mapping's analyzers."""
        refusals, notes = [], []
        if order.tokenizer is not None:
            refusals.append(
                f"the mapping of {self._address.location} sets its analyzers: omit --text-tokenizer"
            )
        for field in order.fields:
            leg = ResolvedLeg(name="text", kind="text", fields=(field,))
            try:
                yield from check_text_fields(leg, self._address, self._remembered.text_fields)
            except ConfigurationError as error:
                refusals.append(str(error))
            else:
                notes.append(f"BM25 searches {field!r} as it is mapped: no index is needed")
        return TextIndexSurvey(notes=tuple(notes), refusals=tuple(refusals))

    def create(self, seen: Description, order: TextIndexOrder) -> Steps[Description]:
        """Nothing to do."""
        yield from ()
        return seen

    def made(self, seen: Description) -> Sequence[str]:
        """No fields: this package makes no index here."""
        return ()

    def rebuilt(self, seen: Description) -> Sequence[str]:
        """No fields."""
        return ()

    def remove(self, seen: Description, fields: Sequence[str]) -> Steps[Description]:
        """Nothing to do."""
        yield from ()
        return seen
