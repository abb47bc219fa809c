"""The survey before attaching: what a collection holds, and what prevents attaching."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from splade_connectors.backends.attaching import Counts, Found, Selection, Survey
from splade_connectors.backends.metadata import is_marked, manifests_of
from splade_connectors.backends.protocol import Description
from splade_connectors.backends.versions import version_text
from splade_connectors.errors import AccessDenied, RequestRejected
from splade_connectors.payloads import text_paths
from splade_connectors.runtime.effects import Steps
from splade_qdrant.address import Address
from splade_qdrant.attach.read import counted, counts, found_of, read
from splade_qdrant.documents import marker_key
from splade_qdrant.look import schema_of
from splade_qdrant.prepare import ADD_VECTOR, manifest_refusal
from splade_qdrant.schema import Schema

_SAMPLE = 64
# 8 bytes in storage and 8 in the index (a u32 and a float32 each), plus room for growth.
_STORED_BYTES_PER_TERM = 20.0


def survey(address: Address, seen: Description, selection: Selection) -> Steps[Survey]:
    """Vectors, counts and a sample, as `AttachBackend.survey`."""
    schema = schema_of(seen, address)
    sample, is_all = yield from _sample(address, seen, schema)
    paths = dict.fromkeys(path for item in sample for path in text_paths(item.payload))
    if is_all:
        missing = sum(item.vector is None for item in sample)
        found = Counts(documents=len(sample), missing=missing)
    else:
        found = yield from counts(address, seen)
    return Survey(
        counts=found,
        sample=sample,
        present=tuple(paths),
        absent=(yield from _absent(address, selection.fields, paths)),
        needs_copy=_needs_copy(schema, seen.vector),
        feature_names=(yield from _feature_names(address, seen, sample, found)),
        refusals=(yield from _refusals(address, schema)),
        changes=_changes(address, seen, schema, selection.mark),
        notes=_notes(selection.mark),
        bytes_per_term=_STORED_BYTES_PER_TERM,
    )


def _sample(
    address: Address, seen: Description, schema: Schema
) -> Steps[tuple[tuple[Found, ...], bool]]:
    """The first points with their vectors, and whether these are all points."""
    vector = [seen.vector] if seen.vector in schema.sparse else False
    size = schema.at_most(_SAMPLE)
    body = {"limit": size, "offset": None, "with_payload": True, "with_vector": vector}
    answer = yield address.request("scroll", body)
    return tuple(found_of(item, seen.vector) for item in answer["points"]), answer["next"] is None


def _feature_names(
    address: Address, seen: Description, sample: Sequence[Found], found: Counts
) -> Steps[tuple[str, ...]]:
    """The terms of some points; on Qdrant they are numbers."""
    if found.missing < found.documents and all(item.vector is None for item in sample):
        selection = Selection(
            which="attached", settings="", fields=(), with_vectors=True, size=_SAMPLE
        )
        sample = (yield from read(address, seen, selection, None)).documents
    vectors = [item.vector for item in sample if item.vector is not None]
    indices = {int(index) for vector in vectors for index in vector.indices}
    return tuple(map(str, sorted(indices)))


def _refusals(address: Address, schema: Schema) -> Steps[tuple[str, ...]]:
    """Test the key's rights before encoding: a server reveals them only when the key is used."""
    manifest = manifest_refusal(address, schema.server)
    found = (manifest,) if manifest else ()
    if address.is_embedded:
        return found  # the embedded engine has no keys
    try:
        yield address.request("delete", {"points": []})  # deletes nothing, but needs write access
    except AccessDenied as error:
        return (*found, f"this key has no write access: {error}")
    except RequestRejected:
        pass  # says nothing about the key
    return found


def _needs_copy(schema: Schema, vector: str) -> str:
    if vector in schema.sparse or schema.server >= ADD_VECTOR:
        return ""
    return (
        f"Qdrant {version_text(schema.server)} cannot add a sparse vector to an existing "
        "collection (1.18 and later can): upgrade, or copy it with all its points: --copy-to NEW"
    )


def _absent(
    address: Address, fields: Sequence[str], paths: Collection[str]
) -> Steps[tuple[str, ...]]:
    """The fields that no point has, in the sample or elsewhere."""
    absent = []
    for field in fields:
        if field in paths:
            continue
        present = {"must_not": [{"is_empty": {"key": field}}]}
        if not (yield from counted(address, present)):
            absent.append(field)
    return tuple(absent)


def _changes(address: Address, seen: Description, schema: Schema, mark: bool) -> tuple[str, ...]:
    changes = []
    if seen.vector not in schema.sparse:
        changes.append(f"the collection gets the sparse vector {seen.vector!r}")
    if seen.vector not in manifests_of(schema.metadata):
        where = address.manifest_file or "the collection's metadata"
        changes.append(f"{where} gets a manifest; its other entries stay")
    if mark and not is_marked(schema.metadata, seen.vector):
        changes.append(f"each payload gets the key {marker_key(seen.vector)!r}")
    return tuple(changes)


def _notes(mark: bool) -> tuple[str, ...]:
    if mark:
        return ()
    return (
        "points keep no hash of their text, so only verify --all and attach --recheck find texts "
        "edited later, by encoding them; --mark keeps a hash in the payload",
    )
