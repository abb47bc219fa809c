"""Documents that are stored already as they are: told by the stamp that was kept beside them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from splade_connectors.backends.attaching import attach_backend
from splade_connectors.backends.protocol import Backend, Description
from splade_connectors.documents import Document, DocumentId, EncodedDocument, Stamp
from splade_connectors.errors import ConfigurationError, NotSupported
from splade_connectors.manifest import IndexManifest
from splade_connectors.operations.session import Recipe, Session
from splade_connectors.options import WriteOptions
from splade_connectors.runtime.effects import Steps
from splade_connectors.vectors import SparseVector

# Of a document that brought its own sparse vector: its text does not say what is stored.
_GIVEN = "v"
_DIGITS = 16
_OF_THE_MODEL = 6


@dataclass(frozen=True, kw_only=True, slots=True)
class Draft:
    """A document on its way to the store.

    Attributes:
        document: as it was given.
        payload: the fields to store, text included.
        stamp: what it is made of.
        kept: the sparse vector that the store has of it already; None if it is to be made.
        dense_model: fingerprint of the model that makes its dense vector; "" if none does.
    """

    document: Document
    payload: Mapping[str, Any]
    stamp: Stamp
    kept: SparseVector | None = None
    dense_model: str = ""

    @property
    def is_encoded(self) -> bool:
        """Whether its text has to be encoded."""
        known = self.kept is not None or self.document.vector is not None
        return not known and bool(self.document.text.strip())

    def encoded(self, vector: SparseVector) -> EncodedDocument:
        """With its vector."""
        return EncodedDocument(
            document=self.document, vector=vector, payload=self.payload, stamp=self.stamp
        )


class Comparison:
    """Compares the documents of a portion with what is stored of them.

    Args:
        backend: where they are stored.
    """

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._stamps: dict[DocumentId, Stamp] = {}

    def stored(self, seen: Description, ids: Sequence[DocumentId]) -> Steps[set[DocumentId]]:
        """Those of the ids of a portion that a document has; their stamps are kept."""
        key = self._backend.key_of
        found = yield from attach_backend(self._backend).stamps(seen, ids)
        self._stamps = {key(id): stamp for id, stamp in found.items()}
        return set(found)

    def changed(self, seen: Description, drafts: Sequence[Draft]) -> Steps[list[Draft]]:
        """Those that differ; with the vector that is stored, where it would be made again."""
        changed = [draft for draft in drafts if not self._is_stored(draft)]
        changed = yield from self._with_dense(seen, changed)
        keeping = [draft.document.id for draft in changed if self._keeps_vector(draft)]
        if not keeping:
            return changed
        documents = yield from self._backend.fetch(seen, keeping, with_vectors=True)
        vectors = {self._backend.key_of(found.id): found.vector for found in documents}
        return [replace(draft, kept=vectors.get(self._key(draft))) for draft in changed]

    def _with_dense(self, seen: Description, drafts: Sequence[Draft]) -> Steps[list[Draft]]:
        """With the dense vector that is stored, where the same model would make the same again."""
        keeping = [draft.document.id for draft in drafts if self._keeps_dense(draft)]
        if not keeping:
            return list(drafts)
        found = yield from attach_backend(self._backend).dense_vectors(seen, keeping)
        stored = {self._backend.key_of(id): list(named.values()) for id, named in found.items()}
        return [
            _with_dense_vector(draft, stored.get(self._key(draft), ()))
            if self._keeps_dense(draft)
            else draft
            for draft in drafts
        ]

    def _key(self, draft: Draft) -> DocumentId:
        return self._backend.key_of(draft.document.id)

    def _is_stored(self, draft: Draft) -> bool:
        # What has no fingerprint of its content is not JSON: it is rejected further on.
        return bool(draft.stamp.content) and self._stamps.get(self._key(draft)) == draft.stamp

    def _keeps_vector(self, draft: Draft) -> bool:
        stored = self._stamps.get(self._key(draft), Stamp())
        same = stored.marker == draft.stamp.marker and draft.document.vector is None
        return same and not stored.content.startswith(_GIVEN)

    def _keeps_dense(self, draft: Draft) -> bool:
        stored = self._stamps.get(self._key(draft), Stamp())
        same_text = _text_part(stored) == _text_part(draft.stamp)
        return bool(draft.dense_model) and same_text and stored.content.endswith(draft.dense_model)


def has_nothing(document: Document) -> bool:
    """Whether the document has neither text nor a vector: it can be stored, but never found."""
    return document.vector is None and not document.text.strip()


def drafted(
    document: Document, payload: Mapping[str, Any], recipe: Recipe, dense: str = ""
) -> Draft:
    """The document with what it is made of; `dense` names the model of vectors that it gets."""
    is_made = document.dense is None and document.text.strip()
    model = _fingerprint(dense) if dense and is_made else ""
    stamp = Stamp(marker=recipe.marker(document.text), content=_content(document, payload, model))
    return Draft(document=document, payload=payload, stamp=stamp, dense_model=model)


def check_stamping(session: Session, before: Description, options: WriteOptions) -> None:
    """Refuse to compare if nothing is kept to compare with.

    Raises:
        NotSupported: where the adapter keeps no stamps.
        ConfigurationError: where they would go into the payload of somebody else's documents.
    """
    where, found = session.backend.location, before.capabilities
    attaching = session.backend.attaching
    if attaching is None:
        raise NotSupported(f"{where}: this adapter cannot tell unchanged documents")
    ours = not found.exists or found.created_by_us or options.mark
    if not ours and not attaching.marks(before):
        raise ConfigurationError(
            f"{where} was not made by this package, and its documents carry no hash to compare "
            "with: WriteOptions(mark=True) (--mark) keeps one in the payload of what is written"
        )


def stamping(session: Session, now: Description, manifest: IndexManifest) -> Steps[Description]:
    """From now on what is written carries a stamp; the look at it then."""
    attaching = attach_backend(session.backend)
    if attaching.marks(now):
        return now
    return (yield from attaching.ensure(now, manifest, write_manifest=False, mark=True))


def _text_part(stamp: Stamp) -> str:
    """The text's fingerprint in a stamp: the settings of the sparse vector come before it."""
    return stamp.marker.rpartition("-")[2]


def _with_dense_vector(draft: Draft, stored: Sequence[Sequence[float]]) -> Draft:
    """With the one dense vector that there is; of several, nobody knows which one was made."""
    if len(stored) != 1:
        return draft
    return replace(draft, document=replace(draft.document, dense=list(stored[0])))


def _fingerprint(dense_model: str) -> str:
    """Of a dense model, by its name."""
    return hashlib.sha256(dense_model.encode("utf-8", "replace")).hexdigest()[:_OF_THE_MODEL]


def _content(document: Document, payload: Mapping[str, Any], model: str) -> str:
    """Of payload and vectors; "" for what is not JSON, which the store will refuse.

    Its last digits are the fingerprint of the dense model, if one makes the vector: a changed
    payload alone is told from a changed model.
    """
    digest = hashlib.sha256()
    try:
        digest.update(json.dumps(payload, sort_keys=True, allow_nan=False).encode())
    except Exception:  # whatever the values of a caller's payload do
        return ""
    for name, values in sorted(document.dense_vectors().items()):
        digest.update(f"\0{name}\0".encode("utf-8", "replace"))
        digest.update(_bytes(values))
    given = _GIVEN if document.vector is not None else ""
    if document.vector is not None:
        digest.update(document.vector.indices.tobytes() + document.vector.values.tobytes())
    # In place of the dense vector: it is the text's, and costs most of what is to be saved.
    return given + digest.hexdigest()[: _DIGITS - len(model)] + model


def _bytes(values: Sequence[float]) -> bytes:
    """As stores keep them, so that numbers read from a file are those of an array."""
    return np.asarray(values, dtype=np.float32).tobytes()
