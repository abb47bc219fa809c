"""Dense models given by options: sentence-transformers folders, or packages that contain one."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from splade_connectors.encoders.dense import DenseModel


def dense_encoder(source: str | None) -> DenseModel | None:
    """Return a sentence-transformers model that is loaded on first use; None without a source.

    Raises:
        ConfigurationError: if the source is neither a folder nor an installed package with one.
    """
    from splade_connectors.encoders.dense import DenseModel

    return DenseModel(source) if source is not None else None
