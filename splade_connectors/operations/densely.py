"""Encoding dense vectors during indexing, for documents without one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from splade_connectors.backends.protocol import Backend, Description
from splade_connectors.encoders.dense import DenseSource
from splade_connectors.errors import ConfigurationError
from splade_connectors.fusion.legs import given_vector
from splade_connectors.operations.unchanged import Draft
from splade_connectors.runtime.effects import Compute, Steps
from splade_connectors.shown import counted
from splade_connectors.vectors import SparseVector


class Densely:
    """Adds dense vectors of their texts to documents.

    Args:
        backend: backend that will store them.
        source: dense model; None adds nothing.
    """

    def __init__(self, backend: Backend, source: DenseSource | None) -> None:
        self._backend = backend
        self._source = source
        self._fits = False

    @property
    def name(self) -> str:
        """Name of the model, which is part of a document's stamp; "" for none."""
        return self._source.name if self._source else ""

    def sizes(self, text: str) -> Steps[dict[str, int]]:
        """Return the size of the unnamed dense vector, for creating a collection."""
        if self._source is None:
            return {}
        (vector,) = yield from self._made([text])
        return {"": len(vector)}

    def given(self, seen: Description, drafts: Sequence[Draft]) -> Steps[list[Draft]]:
        """Return the documents, with dense vectors for those that have text but none of their own.

        Raises:
            ConfigurationError: if the store has no field for such vectors.
        """
        rows = [row for row, draft in enumerate(drafts) if self._lacks(draft)]
        if not rows:
            return list(drafts)
        if not self._fits:
            yield from self._check(seen, drafts[rows[0]])
        made = yield from self._made([drafts[row].document.text for row in rows])
        whole = list(drafts)
        for row, vector in zip(rows, made, strict=True):
            whole[row] = _with_vector(drafts[row], vector)
        return whole

    def _lacks(self, draft: Draft) -> bool:
        document = draft.document
        return self._source is not None and document.dense is None and bool(document.text.strip())

    def _check(self, seen: Description, draft: Draft) -> Steps[None]:
        """Check with the first document, before thousands are encoded."""
        (vector,) = yield from self._made([draft.document.text])
        item = _with_vector(draft, vector).encoded(SparseVector.empty())
        reason = self._backend.check(seen, item)
        if reason:
            raise ConfigurationError(
                f"{self._backend.location} cannot store the vectors of the dense model "
                f"{self.name!r}: {reason}"
            )
        self._fits = True

    def _made(self, texts: Sequence[str]) -> Steps[list[list[float]]]:
        source = self._source
        assert source is not None  # callers check
        made = yield Compute(lambda: list(map(given_vector, source.documents(texts))))
        if len(made) != len(texts):
            raise ConfigurationError(
                f"the dense model {self.name!r} returned {counted(len(made), 'vector')} for "
                f"{counted(len(texts), 'text')}"
            )
        return list(made)


def _with_vector(draft: Draft, vector: list[float]) -> Draft:
    return replace(draft, document=replace(draft.document, dense=vector))
