"""Precomputed vectors are accepted only if they have the settings of the index."""

from __future__ import annotations

from typing import Any

from splade_connectors.backends.protocol import Description
from splade_connectors.errors import ManifestMismatch
from splade_connectors.manifest import IndexManifest
from splade_connectors.operations.session import Session
from splade_connectors.options import WriteOptions


def settings_of(documents: Any, session: Session) -> IndexManifest | None:
    """Return the settings of a reader's precomputed vectors; None if it yields texts.

    Gives the reader the store's encoder, to map token names to ids.
    """
    made_by = getattr(documents, "made_by", None)
    if not isinstance(made_by, IndexManifest):
        return None
    documents.read_with(session.encoder)
    return made_by


def check_made_by(
    session: Session, before: Description, made_by: IndexManifest, options: WriteOptions
) -> None:
    """Refuse precomputed vectors whose settings differ from those of the index.

    Raises:
        ManifestMismatch: naming each setting that differs.
    """
    if session.overrides or options.override_manifest:
        return
    mine = session.recipe(before, options.text_fields, like=made_by).manifest
    differences = made_by.differences(mine, apart=("key_style",))
    if differences:
        sides = "; ".join(
            f"{name}: the file has {theirs!r}, the index {ours!r}"
            for name, (theirs, ours) in differences.items()
        )
        raise ManifestMismatch(
            f"the vectors for {session.backend.location} were encoded with other settings "
            f"({sides}); run index with the options of that encode run, or encode them again",
            differences=differences,
        )
