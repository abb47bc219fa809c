"""Encoders, stores and files that the options name."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from splade_connectors.encoders.base import SparseEncoder
    from splade_connectors.files.dead_letters import DeadLetters
    from splade_connectors.options import PruneOptions
    from splade_connectors.store import Store


def make_encoder(
    model: str | None,
    engine: str | None,
    precision: str = "auto",
    *,
    batch_size: int = 64,
    threads: int | None = None,
    max_length: int | None = None,
    long_text: str | None = None,
    passage_overlap: int | None = None,
) -> SparseEncoder:
    """The encoder that the options name."""
    from splade_connectors.encoders import load_encoder
    from splade_connectors.options import EncodeOptions

    options = EncodeOptions(
        batch_size=batch_size,
        threads=threads,
        max_length=max_length,
        long_text=long_text,  # type: ignore[arg-type]  # checked there, with a sentence
        passage_overlap=passage_overlap,
    )
    # Unknown names are refused there, with a sentence.
    return load_encoder(model, engine=engine, precision=precision, options=options)  # type: ignore[arg-type]


def prune_options(top_k: int | None, max_ratio: float | None) -> PruneOptions | None:
    """The pruning that the options name; None takes that of the index."""
    from splade_connectors.options import PruneOptions

    if top_k is None and max_ratio is None:
        return None
    return PruneOptions(top_k=top_k, max_ratio=max_ratio or 0.0)


@contextmanager
def open_store(
    target: str,
    encoder: SparseEncoder | None = None,
    *,
    username: str | None = None,
    ca_certs: str | None = None,
    client_cert: str | None = None,
    client_key: str | None = None,
    timeout: float = 30.0,
    manifest: str | None = None,
    override_manifest: bool = False,
    **more: Any,
) -> Iterator[Store]:
    """The store that the options name, closed at the end."""
    from splade_connectors.opening import connect
    from splade_connectors.options import ConnectOptions

    options = ConnectOptions(
        username=username,
        ca_certs=ca_certs,
        client_cert=client_cert,
        client_key=client_key,
        timeout_s=timeout,
        manifest_file=manifest,
    )
    with connect(
        target, encoder=encoder, options=options, override_manifest=override_manifest, **more
    ) as store:
        yield store


@contextmanager
def dead_letters(path: Path | None, bodies: bool) -> Iterator[DeadLetters]:
    """Where rejected documents go: the file named, or one with the time in its name, here."""
    from splade_connectors.files.dead_letters import DeadLetters

    with DeadLetters(path, bodies=bodies) as letters:
        yield letters
