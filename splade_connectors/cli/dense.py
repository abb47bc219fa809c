"""Dense models that options name: folders of sentence-transformers, or packages that hold one."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from splade_connectors.encoders.dense import DenseModel


def dense_encoder(source: str | None) -> DenseModel | None:
    """What makes dense vectors of texts: a model of sentence-transformers, loaded when needed.

    Raises:
        ConfigurationError: when the source is neither a folder nor an installed package with one.
    """
    from splade_connectors.encoders.dense import DenseModel

    return DenseModel(source) if source is not None else None
