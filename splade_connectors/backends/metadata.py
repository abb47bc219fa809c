"""What an index remembers beside its manifests: which vector a name stands for. Pure.

Manifests are kept by the vector's own name. After a model was replaced, the name that users know
stands for another vector; the former one is kept until its owner removes it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from splade_connectors.errors import ManifestMismatch
from splade_connectors.manifest import MANIFEST_KEY
from splade_connectors.shown import quoted

STATE_KEY = f"{MANIFEST_KEY}_state"

# Beside the states of vectors: none of them can have a slash in its name.
_COLLECTION = "/collection"
_TEXT_INDEXES = "/text indexes"

Metadata = Mapping[str, Any]


def vector_of(metadata: Metadata, name: str) -> str:
    """The vector that a name stands for: itself, unless its model was replaced."""
    return str(_state(metadata, name).get("vector", name))


def former_of(metadata: Metadata, name: str) -> str | None:
    """The vector that a name stood for before its model was replaced; None without one."""
    former = _state(metadata, name).get("former")
    return former if isinstance(former, str) else None


def switched(metadata: Metadata, name: str, vector: str) -> dict[str, Any]:
    """The metadata in which a name stands for another vector."""
    state = {"vector": vector, "former": vector_of(metadata, name)}
    return _with_states(metadata, {**_states(metadata), name: state})


def is_marked(metadata: Metadata, vector: str) -> bool:
    """Whether the documents with this vector carry a marker in their payload."""
    return bool(_state(metadata, _mark_key(vector)).get("mark"))


def marked(metadata: Metadata, vector: str) -> dict[str, Any]:
    """The metadata in which that is so."""
    return _with_states(metadata, {**_states(metadata), _mark_key(vector): {"mark": True}})


def is_created(metadata: Metadata) -> bool:
    """Whether this package made the collection: nothing in it is anybody else's then."""
    return _state(metadata, _COLLECTION).get("created") is True


def created(metadata: Metadata) -> dict[str, Any]:
    """The metadata in which that is so."""
    return _with_states(metadata, {**_states(metadata), _COLLECTION: {"created": True}})


def text_indexes_of(metadata: Metadata) -> Mapping[str, Any]:
    """Fields whose text index this package made, and what each index was before; None for none."""
    return _state(metadata, _TEXT_INDEXES)


def with_text_index(
    metadata: Metadata, field: str, former: Mapping[str, Any] | None
) -> dict[str, Any]:
    """The metadata in which this field's text index is ours; what was first known of it stays."""
    made = {field: former, **text_indexes_of(metadata)}
    return _with_states(metadata, {**_states(metadata), _TEXT_INDEXES: made})


def without_text_index(metadata: Metadata, field: str) -> dict[str, Any]:
    """The metadata in which nothing of ours is said of this field's text index."""
    made = {name: was for name, was in text_indexes_of(metadata).items() if name != field}
    states = {name: state for name, state in _states(metadata).items() if name != _TEXT_INDEXES}
    return _with_states(metadata, {**states, **({_TEXT_INDEXES: made} if made else {})})


def without_vector(metadata: Metadata, vector: str) -> dict[str, Any]:
    """The metadata without anything of ours about a vector."""
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
        ManifestMismatch: when something else is in their place.
    """
    return _mapping(metadata, MANIFEST_KEY)


def _states(metadata: Metadata) -> Mapping[str, Any]:
    return _mapping(metadata, STATE_KEY)


def _state(metadata: Metadata, name: str) -> Mapping[str, Any]:
    return _mapping(_states(metadata), name)


def _mapping(metadata: Metadata, key: str) -> Mapping[str, Any]:
    """What is under a key that only we write; others may have written there all the same."""
    found = metadata.get(key)
    if found is None:
        return {}
    if not isinstance(found, Mapping):
        raise ManifestMismatch(
            f"the index keeps {quoted(found)} under {quoted(key)}, where splade-connectors keeps "
            "an object of its own: remove it"
        )
    return found


def _with_states(metadata: Metadata, states: Mapping[str, Any]) -> dict[str, Any]:
    rest = {name: value for name, value in metadata.items() if name != STATE_KEY}
    return {**rest, STATE_KEY: dict(states)} if states else rest
