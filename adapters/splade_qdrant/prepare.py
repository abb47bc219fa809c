"""Create a collection and its sparse vector, and record its manifest and state."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from splade_connectors.backends.metadata import STATE_KEY, Metadata, created, manifests_of, marked
from splade_connectors.backends.protocol import Description
from splade_connectors.backends.versions import Version, version_text
from splade_connectors.errors import NotSupported
from splade_connectors.files.json_files import (
    read_json_object,
    write_json_object,
    write_manifest_file,
)
from splade_connectors.manifest import MANIFEST_KEY, IndexManifest
from splade_connectors.runtime.effects import Steps
from splade_qdrant.address import Address
from splade_qdrant.look import Server, description, look, schema_of

# The first servers with collection metadata, and with vectors added to an existing collection.
METADATA: Version = (1, 16)
ADD_VECTOR: Version = (1, 18)

Change = Callable[[Metadata], dict[str, Any]]


def prepare(
    address: Address,
    server: Server,
    seen: Description,
    manifest: IndexManifest,
    dense_sizes: Mapping[str, int],
    *,
    write_manifest: bool,
) -> Steps[Description]:
    """Create what is missing, as `Backend.prepare`."""
    version = yield from server.version()
    if write_manifest:
        _check_manifest_place(address, version)
    if seen.schema is not None:
        now = yield from add_vector(address, server, seen)
        ours = seen.capabilities.created_by_us
        return (yield from _with_manifest(address, server, now, manifest, write_manifest, ours))
    file, metadata = address.manifest_file, {}
    if write_manifest and file is None:
        metadata = created({MANIFEST_KEY: {address.vector: manifest.to_json()}})
    yield address.request("create", _creation(address, dense_sizes, metadata))
    if write_manifest and file:
        # A manifest of this vector in the file is of a collection that no longer exists.
        write_manifest_file(file, address.vector, manifest)
        write_json_object(file, created(read_json_object(file)))
    # Another process may have created it at the same time, with other vectors or manifest.
    now = yield from add_vector(address, server, (yield from look(address, server)))
    return (yield from _with_manifest(address, server, now, manifest, write_manifest, ours=True))


def ensure(
    address: Address,
    server: Server,
    seen: Description,
    manifest: IndexManifest,
    *,
    write_manifest: bool,
    mark: bool,
) -> Steps[Description]:
    """Add what attaching needs, as `AttachBackend.ensure`."""
    if write_manifest:
        _check_manifest_place(address, (yield from server.version()))
    now = yield from add_vector(address, server, seen)
    if write_manifest and address.manifest_file:
        write_manifest_file(address.manifest_file, now.vector, manifest)
        write_manifest, now = False, replace(now, manifest=manifest)

    def change(metadata: Metadata) -> dict[str, Any]:
        whole = marked(metadata, now.vector) if mark else dict(metadata)
        return _manifest_added(whole, now.vector, manifest) if write_manifest else whole

    if change(schema_of(now, address).metadata) == schema_of(now, address).metadata:
        return now
    just_looked = now if now is not seen else None
    now = yield from change_metadata(address, server, change, just_looked)
    return _checked(address, now, manifest) if write_manifest else now


def add_vector(address: Address, server: Server, seen: Description) -> Steps[Description]:
    """Add the sparse vector if it is missing; return the resulting description."""
    schema = schema_of(seen, address)
    if seen.vector in schema.sparse:
        return seen
    if schema.server < ADD_VECTOR:
        raise NotSupported(
            f"{address.location} has no sparse vector {seen.vector!r}, and Qdrant "
            f"{version_text(schema.server)} cannot add one to an existing collection (1.18 and "
            "later can): upgrade, or index into a new collection"
        )
    yield address.request("add_sparse_vector", {"name": seen.vector})
    # Another process may have added it at the same time, with a modifier.
    return (yield from look(address, server))


def write_manifest(address: Address, server: Server, manifest: IndexManifest) -> Steps[Description]:
    """Replace the manifest, as `Backend.write_manifest`."""
    seen = yield from look(address, server)

    def change(metadata: Metadata) -> dict[str, Any]:
        manifests = {**manifests_of(metadata), seen.vector: manifest.to_json()}
        return {**metadata, MANIFEST_KEY: manifests}

    if address.manifest_file:
        write_manifest_file(address.manifest_file, seen.vector, manifest)
    else:
        yield from _set_changed(address, seen, change)
    # Another process may have stored its own at the same time.
    return (yield from look(address, server))


def change_metadata(
    address: Address, server: Server, change: Change, just_looked: Description | None = None
) -> Steps[Description]:
    """Change this package's part of the metadata; return the collection with the change.

    Args:
        address: of the collection.
        server: what is known about the server.
        change: makes the new metadata from the current one.
        just_looked: the collection as it was a moment ago; None looks now.

    Raises:
        NotSupported: if a file keeps the manifest, so that the metadata keeps nothing.
    """
    if address.manifest_file is not None:
        raise NotSupported(
            f"{address.location}: this needs the collection's metadata; it does not work with "
            "--manifest FILE"
        )
    # Each key is replaced whole: another process may have recorded another vector meanwhile.
    now = just_looked or (yield from look(address, server))
    metadata = yield from _set_changed(address, now, change)
    schema = replace(schema_of(now, address), metadata=metadata)
    return description(address, (yield from server.told()), schema)


def manifest_refusal(address: Address, version: Version) -> str:
    """Why no manifest can be stored; "" if one can."""
    if address.manifest_file or version >= METADATA:
        return ""
    return (
        f"Qdrant {version_text(version)} cannot store a manifest (collection metadata came with "
        "1.16); keep it in a file: --manifest FILE"
    )


def _with_manifest(
    address: Address,
    server: Server,
    seen: Description,
    manifest: IndexManifest,
    wanted: bool,
    ours: bool,
) -> Steps[Description]:
    if not wanted:
        return seen
    if seen.manifest is not None:  # stored with the collection, or by another process
        return _checked(address, seen, manifest)
    if address.manifest_file:
        write_manifest_file(address.manifest_file, seen.vector, manifest)
        if ours:
            file = address.manifest_file
            write_json_object(file, created(read_json_object(file)))
        return replace(seen, manifest=manifest)

    def change(metadata: Metadata) -> dict[str, Any]:
        whole = created(metadata) if ours else metadata
        return _manifest_added(whole, seen.vector, manifest)

    yield from change_metadata(address, server, change)
    # Another process may have stored its own at the same time.
    return _checked(address, (yield from look(address, server)), manifest)


def _checked(address: Address, seen: Description, manifest: IndexManifest) -> Description:
    """Refuse if another process stored other settings first."""
    if seen.manifest is not None:
        seen.manifest.check(manifest, use="write", where=address.location)
    return seen


def _manifest_added(metadata: Metadata, vector: str, manifest: IndexManifest) -> dict[str, Any]:
    manifests = {vector: manifest.to_json(), **manifests_of(metadata)}
    return {**metadata, MANIFEST_KEY: manifests}


def _set_changed(address: Address, seen: Description, change: Change) -> Steps[dict[str, Any]]:
    """Send the change and return the new metadata; a server merges, and null removes a key."""
    before = schema_of(seen, address).metadata
    after = change(before)
    changed = {
        key: after.get(key)
        for key in (MANIFEST_KEY, STATE_KEY)
        if after.get(key) != before.get(key)
    }
    if changed:
        yield address.request("set_metadata", {"metadata": changed})
    return after


def _check_manifest_place(address: Address, version: Version) -> None:
    reason = manifest_refusal(address, version)
    if reason:
        raise NotSupported(f"{address.location}: {reason}")


def _creation(
    address: Address, dense_sizes: Mapping[str, int], metadata: Mapping[str, Any]
) -> dict[str, Any]:
    vectors = {
        name or address.dense: {"size": size, "distance": "Cosine"}
        for name, size in dense_sizes.items()
    }
    return {"vectors": vectors, "sparse_vectors": {address.vector: {}}, "metadata": metadata}
