"""Documents that bring their vectors along are stored beside vectors of the same settings only."""

from __future__ import annotations

from typing import Any

from splade_connectors.backends.protocol import Description
from splade_connectors.errors import ManifestMismatch
from splade_connectors.manifest import IndexManifest
from splade_connectors.operations.session import Session
from splade_connectors.options import WriteOptions


def settings_of(documents: Any, session: Session) -> IndexManifest | None:
    """What the vectors were made with that a reader brings along; None if it brings texts.

    The reader is given the store's encoder, which knows the terms.
    """
    made_by = getattr(documents, "made_by", None)
    if not isinstance(made_by, IndexManifest):
        return None
    documents.read_with(session.encoder)
    return made_by


def check_made_by(
    session: Session, before: Description, made_by: IndexManifest, options: WriteOptions
) -> None:
    """Refuse vectors that were made with other settings than those of the index.

    Raises:
        ManifestMismatch: naming each setting that differs.
    """
    if session.overrides or options.override_manifest:
        return
    mine = session.recipe(before, options.text_fields).manifest
    differences = made_by.differences(mine, apart=("key_style",))
    if differences:
        sides = "; ".join(
            f"{name}: the file has {theirs!r}, the index {ours!r}"
            for name, (theirs, ours) in differences.items()
        )
        raise ManifestMismatch(
            f"the vectors that were to be written to {session.backend.location} were made with "
            f"other settings ({sides}). Give index the options that encode was given, or encode "
            "again",
            differences=differences,
        )
