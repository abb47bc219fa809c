"""Detecting unchanged documents by the stamps stored with them."""

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
from splade_connectors.errors import ConfigurationError, NotSupported, WouldReplace
from splade_connectors.manifest import IndexManifest
from splade_connectors.operations.session import Recipe, Session
from splade_connectors.options import WriteOptions
from splade_connectors.runtime.effects import Steps
from splade_connectors.shown import counted, quoted
from splade_connectors.vectors import SparseVector

# Prefix for precomputed sparse vectors, which the text does not determine.
_GIVEN = "v"
_DIGITS = 16
_OF_THE_MODEL = 6


@dataclass(frozen=True, kw_only=True, slots=True)
class Draft:
    """A document being prepared for the store.

    Attributes:
        document: the document as passed in.
        payload: fields to store, text included.
        stamp: fingerprints of its source.
        kept: the stored sparse vector, if it can be reused; otherwise None.
        dense_model: fingerprint of the model that encodes its dense vector; "" if none does.
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
        """Return the document with its vector."""
        return EncodedDocument(
            document=self.document, vector=vector, payload=self.payload, stamp=self.stamp
        )


class Comparison:
    """Compares the documents of a portion with their stored versions.

    Args:
        backend: backend that stores them.
    """

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._stamps: dict[DocumentId, Stamp] = {}

    def stored(self, seen: Description, ids: Sequence[DocumentId]) -> Steps[set[DocumentId]]:
        """Return which ids of a portion exist, and remember their stamps."""
        key = self._backend.key_of
        found = yield from attach_backend(self._backend).stamps(seen, ids)
        self._stamps = {key(id): stamp for id, stamp in found.items()}
        return set(found)

    def changed(self, seen: Description, drafts: Sequence[Draft]) -> Steps[list[Draft]]:
        """Return the documents that differ, with their stored vectors where these can be reused."""
        changed = [draft for draft in drafts if not self._is_stored(draft)]
        changed = yield from self._with_dense(seen, changed)
        keeping = [draft.document.id for draft in changed if self._keeps_vector(draft)]
        if not keeping:
            return changed
        documents = yield from self._backend.fetch(seen, keeping, with_vectors=True)
        vectors = {self._backend.key_of(found.id): found.vector for found in documents}
        return [replace(draft, kept=vectors.get(self._key(draft))) for draft in changed]

    def losing_dense(self, drafts: Sequence[Draft]) -> list[DocumentId]:
        """Return ids of documents that differ only by the lack of a dense model they had."""
        return [draft.document.id for draft in drafts if self._loses_dense(draft)]

    def _loses_dense(self, draft: Draft) -> bool:
        stored, now = self._stamps.get(self._key(draft), Stamp()).content, draft.stamp.content
        bare = not draft.dense_model and draft.document.dense is None
        # The model's fingerprint takes the place of the last digits of the payload's.
        alike = bool(now) and stored[:-_OF_THE_MODEL] == now[:-_OF_THE_MODEL]
        return bare and alike and stored != now

    def _with_dense(self, seen: Description, drafts: Sequence[Draft]) -> Steps[list[Draft]]:
        """Add the stored dense vector where the same model would produce the same again."""
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
        # Without a content fingerprint, the payload is not JSON and will be rejected later.
        return bool(draft.stamp.content) and self._stamps.get(self._key(draft)) == draft.stamp

    def _keeps_vector(self, draft: Draft) -> bool:
        stored = self._stamps.get(self._key(draft), Stamp())
        same = stored.marker == draft.stamp.marker and draft.document.vector is None
        return same and not stored.content.startswith(_GIVEN)

    def _keeps_dense(self, draft: Draft) -> bool:
        stored = self._stamps.get(self._key(draft), Stamp())
        same_text = _text_part(stored) == _text_part(draft.stamp)
        return bool(draft.dense_model) and same_text and stored.content.endswith(draft.dense_model)


def has_no_content(document: Document) -> bool:
    """Return whether a document has neither text nor a vector: it can be stored but never found."""
    return document.vector is None and not document.text.strip()


def drafted(
    document: Document, payload: Mapping[str, Any], recipe: Recipe, dense: str = ""
) -> Draft:
    """Return a draft with its stamp; `dense` is the name of the dense model, if any."""
    is_made = document.dense is None and document.text.strip()
    model = _fingerprint(dense) if dense and is_made else ""
    stamp = Stamp(marker=recipe.marker(document.text), content=_content(document, payload, model))
    return Draft(document=document, payload=payload, stamp=stamp, dense_model=model)


def check_stamping(session: Session, before: Description, options: WriteOptions) -> None:
    """Refuse `skip_unchanged` if there are no stamps to compare with.

    Raises:
        NotSupported: if the adapter does not store stamps.
        ConfigurationError: if they would go into the payload of another tool's documents.
    """
    where, found = session.backend.location, before.capabilities
    attaching = session.backend.attaching
    if attaching is None:
        raise NotSupported(f"{where}: this adapter cannot detect unchanged documents")
    ours = not found.exists or found.created_by_us or options.mark
    if not ours and not attaching.marks(before):
        raise ConfigurationError(
            f"{where} was not created by this package, and its documents carry no hash to compare "
            "with; WriteOptions(mark=True) (--mark) stores one in the payload of written documents"
        )


def check_dense_kept(
    session: Session, comparison: Comparison, drafts: Sequence[Draft], options: WriteOptions
) -> None:
    """Refuse to drop the dense vectors of a portion because the run lacks their model.

    Needs no request: the stamps tell. A document whose payload has changed too is not recognized,
    but it is rarely alone in its portion.

    Raises:
        WouldReplace: naming the option that was forgotten.
    """
    losing = [] if options.drop_dense else comparison.losing_dense(drafts)
    if losing:
        raise WouldReplace(
            f"{session.backend.location}: {len(losing):,} of the next "
            f"{counted(len(drafts), 'document')} were stored with the vector of a dense model (for "
            f"example {quoted(losing[0])}), which this run would drop; pass the same model "
            "(--dense-model), or drop the vectors with WriteOptions(drop_dense=True) (--drop-dense)"
        )


def stamping(session: Session, now: Description, manifest: IndexManifest) -> Steps[Description]:
    """Make sure that written documents carry a stamp, and return the new description."""
    attaching = attach_backend(session.backend)
    if attaching.marks(now):
        return now
    return (yield from attaching.ensure(now, manifest, write_manifest=False, mark=True))


def _text_part(stamp: Stamp) -> str:
    """The text's fingerprint in a stamp, after that of the settings."""
    return stamp.marker.rpartition("-")[2]


def _with_dense_vector(draft: Draft, stored: Sequence[Sequence[float]]) -> Draft:
    """Add the stored dense vector if there is exactly one; of several, it is unknown which."""
    if len(stored) != 1:
        return draft
    return replace(draft, document=replace(draft.document, dense=list(stored[0])))


def _fingerprint(dense_model: str) -> str:
    """Fingerprint of a dense model's name."""
    return hashlib.sha256(dense_model.encode("utf-8", "replace")).hexdigest()[:_OF_THE_MODEL]


def _content(document: Document, payload: Mapping[str, Any], model: str) -> str:
    """Fingerprint of payload and vectors; "" if the payload is not JSON, which will be rejected.

    Its last digits are the fingerprint of the dense model, if one encodes the vector, to tell a
    changed payload from a changed model.
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
    # The model stands in for the dense vector, whose encoding is the cost to be avoided.
    return given + digest.hexdigest()[: _DIGITS - len(model)] + model


def _bytes(values: Sequence[float]) -> bytes:
    """As float32, like the stores, so that numbers from a file and an array compare equal."""
    return np.asarray(values, dtype=np.float32).tobytes()
