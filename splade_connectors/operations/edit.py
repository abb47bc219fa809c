"""The verbs `get`, `known`, `update`, `delete` and `count`."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import numpy as np

from splade_connectors.backends.protocol import Description
from splade_connectors.documents import (
    DocumentId,
    GivenId,
    Stamp,
    StoredDocument,
    document_id,
)
from splade_connectors.errors import ConfigurationError, InvalidDocument, NotFound
from splade_connectors.operations.session import Session, check_exists, marker_of, text_fields_of
from splade_connectors.payloads import text_of
from splade_connectors.runtime.effects import Compute, Steps
from splade_connectors.shown import listed, quoted
from splade_connectors.values import stored_payload
from splade_connectors.vectors import SparseVector

Given = TypeVar("Given", bound=GivenId)

# Documents fetched per request, and deleted per request.
_FETCHED_AT_ONCE = 200
_DELETED_AT_ONCE = 500


def get(
    session: Session, ids: Sequence[GivenId], *, with_vectors: bool, absent_ok: bool = False
) -> Steps[list[StoredDocument]]:
    """Return these documents, in this order.

    Raises:
        NotFound: naming the missing ids, unless `absent_ok`.
    """
    plain = _checked(ids)
    seen = yield from session.look()
    if absent_ok and not seen.capabilities.exists:
        return []
    check_exists(session, seen)
    documents: list[StoredDocument] = []
    for start in range(0, len(plain), _FETCHED_AT_ONCE):
        portion = plain[start : start + _FETCHED_AT_ONCE]
        fetched = yield from session.backend.fetch(seen, portion, with_vectors=with_vectors)
        documents += fetched
    if len(documents) < len(plain) and not absent_ok:
        key = session.backend.key_of
        present = {key(document.id) for document in documents}
        missing = listed([id for id in plain if key(id) not in present])
        raise NotFound(f"{session.backend.location} has no document {missing}")
    return documents


def known(session: Session, ids: Sequence[Given], absent_ok: bool = False) -> Steps[list[Given]]:
    """Return those of the ids that exist, queried in portions."""
    plain = _checked(ids)
    seen = yield from session.look()
    if absent_ok and not seen.capabilities.exists:
        return []
    check_exists(session, seen)
    key = session.backend.key_of
    found: list[Given] = []
    for start in range(0, len(plain), _FETCHED_AT_ONCE):
        portion = plain[start : start + _FETCHED_AT_ONCE]
        documents = yield from session.backend.fetch(seen, portion, with_vectors=False)
        present = {key(document.id) for document in documents}
        # As given: the store may spell a UUID differently.
        asked = zip(ids[start : start + _FETCHED_AT_ONCE], portion, strict=True)
        found += [given for given, id in asked if key(id) in present]
    return found


def update(
    session: Session, given: GivenId, text: str | None, payload: Mapping[str, Any] | None
) -> Steps[None]:
    """Change the text or fields of a document and update its vector, keeping the rest."""
    id = document_id(given)
    # Another process may have switched models since; vectors must not be mixed.
    seen = yield from session.look_again()
    document = (yield from get(session, [id], with_vectors=False))[0]
    fields = text_fields_of(seen)
    changes = _checked_changes(payload)
    if text is not None:
        changes[_only_field(fields)] = text
    vector: SparseVector | None = None
    marker = ""
    if any(field in changes for field in fields):
        recipe = session.recipe(seen, fields)
        if seen.manifest and not session.overrides:
            seen.manifest.check(recipe.manifest, use="write", where=session.backend.location)
        whole = text_of({**document.payload, **changes}, fields)
        vector = yield Compute(lambda: recipe.vector(whole))
        marker = marker_of(seen.manifest, whole)
    elif changes:
        vector, marker = yield from _kept(session, seen, id)
    if changes:
        yield from session.backend.update(seen, id, changes, vector, marker)


def _kept(
    session: Session, seen: Description, id: DocumentId
) -> Steps[tuple[SparseVector | None, str]]:
    """A document's vector, and its marker without the fingerprint of the rest.

    The rest is about to change; keeping its fingerprint would make the document look unchanged to
    the next index run. Returns (None, "") if there is no such fingerprint to remove.
    """
    if session.backend.attaching is None:
        return None, ""
    stamps = yield from session.backend.attaching.stamps(seen, [id])
    stamp = stamps.get(id, Stamp())
    if not stamp.content:
        return None, ""
    documents = yield from session.backend.fetch(seen, [id], with_vectors=True)
    return (documents[0].vector if documents else None), stamp.marker


def delete(session: Session, ids: Sequence[GivenId]) -> Steps[None]:
    """Delete documents; unknown ids are not an error."""
    plain = _checked(ids)
    # Otherwise the request would recreate an index that was deleted since.
    seen = yield from session.look_again()
    check_exists(session, seen)
    for start in range(0, len(plain), _DELETED_AT_ONCE):
        yield from session.backend.delete(seen, plain[start : start + _DELETED_AT_ONCE])


def count(session: Session) -> Steps[int]:
    """Return the number of documents with a sparse vector, empty ones included."""
    # The field may have been added since.
    seen = yield from session.look_again()
    check_exists(session, seen)
    return (yield from session.backend.count(seen)) if seen.capabilities.has_field else 0


def _checked(ids: Sequence[GivenId]) -> list[DocumentId]:
    """The ids as plain strings and integers; a single id is refused."""
    if isinstance(ids, str | int | uuid.UUID | np.integer):
        raise ConfigurationError(f"expected a list of ids, got {quoted(ids)}: pass [{quoted(ids)}]")
    return [document_id(id) for id in ids]


def _checked_changes(payload: Mapping[str, Any] | None) -> dict[str, Any]:
    """The fields to change, as stored.

    Raises:
        InvalidDocument: if the payload is not a mapping, or cannot be stored.
    """
    if payload is None:
        return {}
    if not isinstance(payload, Mapping):
        raise InvalidDocument(f"the payload must be a mapping, not {type(payload).__name__}")
    return stored_payload(payload)


def _only_field(fields: Sequence[str]) -> str:
    if len(fields) > 1:
        raise ConfigurationError(
            f"this index builds its text from {', '.join(fields)}; change those with "
            "payload={…}, which updates the vector too"
        )
    return fields[0]
