"""What several commands do with their options."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from splade_connectors.cli.parameters import ModelOptions
    from splade_connectors.options import ConnectOptions, EncodeOptions, PruneOptions
    from splade_connectors.store import Store


def open_store(
    target: str,
    connection: ConnectOptions,
    model: ModelOptions | None = None,
    *,
    encode: EncodeOptions | None = None,
    prune: PruneOptions | None = None,
    queries_only: bool = False,
) -> Store:
    """The store that the options name, to be closed; its encoder is loaded where a model is.

    Args:
        target: as of `connect`.
        connection: what the target cannot say.
        model: what encodes; None for commands that encode nothing.
        encode: how texts become vectors.
        prune: of documents.
        queries_only: whether no documents are encoded.
    """
    from splade_connectors.opening import connect

    return connect(
        target,
        encoder=model.load(encode, queries_only=queries_only) if model else None,
        options=connection,
        prune=prune,
        override_manifest=bool(model and model.override_manifest),
    )


def check_outputs(
    *paths: Path | None, connection: ConnectOptions, inputs: Iterable[Path | None] = ()
) -> None:
    """Refuse, before long work, files that cannot be written after it, or that it would destroy."""
    from splade_connectors.files.outputs import check_outputs

    manifest = Path(connection.manifest_file) if connection.manifest_file else None
    check_outputs(*paths, inputs=[*inputs, manifest])
