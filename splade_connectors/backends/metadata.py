"""An index's metadata beside its manifests: which vector a name refers to. Pure.

Manifests are stored under the vector's own name. After a model swap, the name that users know
refers to another vector; the former one is kept until its owner removes it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from splade_connectors.errors import ManifestMismatch
from splade_connectors.manifest import MANIFEST_KEY
from splade_connectors.shown import quoted

STATE_KEY = f"{MANIFEST_KEY}_state"

# Keys beside the states of vectors, whose names cannot contain a slash.
_COLLECTION = "/collection"
_TEXT_INDEXES = "/text indexes"

Metadata = Mapping[str, Any]


def vector_of(metadata: Metadata, name: str) -> str:
    """The vector that a name refers to: itself, unless its model was replaced."""
    return str(_state(metadata, name).get("vector", name))


def former_of(metadata: Metadata, name: str) -> str | None:
    """The vector that a name referred to before its model was replaced, or None."""
    former = _state(metadata, name).get("former")
    return former if isinstance(former, str) else None


def switched(metadata: Metadata, name: str, vector: str) -> dict[str, Any]:
    """The metadata with a name referring to another vector."""
    state = {"vector": vector, "former": vector_of(metadata, name)}
    return _with_states(metadata, {**_states(metadata), name: state})


def is_marked(metadata: Metadata, vector: str) -> bool:
    """Whether the documents with this vector carry a marker in their payload."""
    return bool(_state(metadata, _mark_key(vector)).get("mark"))


def marked(metadata: Metadata, vector: str) -> dict[str, Any]:
    """The metadata with the documents of this vector recorded as marked."""
    return _with_states(metadata, {**_states(metadata), _mark_key(vector): {"mark": True}})


def is_created(metadata: Metadata) -> bool:
    """Whether this package created the collection, so that nothing in it is anyone else's."""
    return _state(metadata, _COLLECTION).get("created") is True


def created(metadata: Metadata) -> dict[str, Any]:
    """The metadata with the collection recorded as created by this package."""
    return _with_states(metadata, {**_states(metadata), _COLLECTION: {"created": True}})


def text_indexes_of(metadata: Metadata) -> Mapping[str, Any]:
    """Fields whose text index this package made -> the former index's settings, or None."""
    return _state(metadata, _TEXT_INDEXES)


def with_text_index(
    metadata: Metadata, field: str, former: Mapping[str, Any] | None
) -> dict[str, Any]:
    """The metadata with this field's text index recorded as ours; the first record stays."""
    made = {field: former, **text_indexes_of(metadata)}
    return _with_states(metadata, {**_states(metadata), _TEXT_INDEXES: made})


def without_text_index(metadata: Metadata, field: str) -> dict[str, Any]:
    """The metadata without the record of this field's text index."""
    made = {name: was for name, was in text_indexes_of(metadata).items() if name != field}
    states = {name: state for name, state in _states(metadata).items() if name != _TEXT_INDEXES}
    return _with_states(metadata, {**states, **({_TEXT_INDEXES: made} if made else {})})


def without_vector(metadata: Metadata, vector: str) -> dict[str, Any]:
    """The metadata without this package's entries about a vector."""
    manifests = dict(manifests_of(metadata))
    manifests.pop(vector, None)
    states = {}
    for name in _states(metadata):
        state = _state(metadata, name)
        if state.get("vector") == vector or name == _mark_key(vector):
            continue
        states[name] = {
            key: value for key, value in state.items() if (key, value) != ("former", vector)
        }
    rest = {name: value for name, value in metadata.items() if name != MANIFEST_KEY}
    return _with_states({**rest, **({MANIFEST_KEY: manifests} if manifests else {})}, states)


def _mark_key(vector: str) -> str:
    return f"{vector} marked"


def manifests_of(metadata: Metadata) -> Mapping[str, Any]:
    """The manifests of an index, by vector.

    Raises:
        ManifestMismatch: if their key holds something else.
    """
    return _mapping(metadata, MANIFEST_KEY)


def _states(metadata: Metadata) -> Mapping[str, Any]:
    return _mapping(metadata, STATE_KEY)


def _state(metadata: Metadata, name: str) -> Mapping[str, Any]:
    return _mapping(_states(metadata), name)


def _mapping(metadata: Metadata, key: str) -> Mapping[str, Any]:
    """The object under a key reserved for this package; others may still have written there."""
    found = metadata.get(key)
    if found is None:
        return {}
    if not isinstance(found, Mapping):
        raise ManifestMismatch(
            f"the index metadata has {quoted(found)} under {quoted(key)}, a key reserved for an "
            "object of splade-connectors: remove it"
        )
    return found


def _with_states(metadata: Metadata, states: Mapping[str, Any]) -> dict[str, Any]:
    rest = {name: value for name, value in metadata.items() if name != STATE_KEY}
    return {**rest, STATE_KEY: dict(states)} if states else rest
