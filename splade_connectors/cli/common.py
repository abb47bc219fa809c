"""Helpers that several commands share."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING

from splade_connectors.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from splade_connectors.cli.parameters import ModelOptions
    from splade_connectors.encoders.base import SparseEncoder
    from splade_connectors.options import ConnectOptions, EncodeOptions, PruneOptions
    from splade_connectors.store import Store
    from splade_connectors.vectors import SparseVector


def open_store(
    target: str,
    connection: ConnectOptions,
    model: ModelOptions | None = None,
    *,
    encode: EncodeOptions | None = None,
    prune: PruneOptions | None = None,
    queries_only: bool = False,
    encoder: SparseEncoder | None = None,
) -> Store:
    """Open the store that the options name; the caller closes it.

    Args:
        target: target URL, as for `connect`.
        connection: connection options that the target cannot contain.
        model: model to load; None for commands that encode nothing.
        encode: how texts are encoded.
        prune: how document vectors are pruned.
        queries_only: load only the query side of the model.
        encoder: an encoder for that model, if already loaded.
    """
    from splade_connectors.opening import connect

    if encoder is None and model:
        encoder = model.load(encode, queries_only=queries_only)
    return connect(
        target,
        encoder=encoder,
        options=connection,
        prune=prune,
        override_manifest=bool(model and model.override_manifest),
    )


def check_outputs(
    *paths: Path | None, connection: ConnectOptions, inputs: Iterable[Path | None] = ()
) -> None:
    """Before long work, refuse outputs that cannot be written or would overwrite an input."""
    from splade_connectors.files.outputs import check_outputs

    manifest = Path(connection.manifest_file) if connection.manifest_file else None
    check_outputs(*paths, inputs=[*inputs, manifest])


def terms(encoder: SparseEncoder, vector: SparseVector, *, ids: bool = False) -> dict[str, float]:
    """Return token (or term id) -> weight."""
    indices = vector.indices.tolist()
    names = list(map(str, indices)) if ids else encoder.tokens(indices)
    # The shortest decimal that reads back as the same float32.
    return {name: float(str(value)) for name, value in zip(names, vector.values, strict=True)}


@contextmanager
def written(output: Path | None) -> Iterator[IO[str]]:
    """Yield stdout, or a file that appears only once it is complete."""
    from splade_connectors.files.outputs import replacing
    from splade_connectors.shown import reason_of

    if output is None:
        yield sys.stdout
        return
    try:
        with replacing(output) as file:
            yield file
    except OSError as error:
        raise ConfigurationError(f"cannot write {output}: {reason_of(error)}") from error
