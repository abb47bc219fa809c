"""Learned sparse search (SPLADE) for the Qdrant, Elasticsearch or OpenSearch that you run.

The names below are loaded on first use, so the import itself costs next to nothing.
"""

import importlib as _importlib
import logging as _logging
from typing import TYPE_CHECKING as _TYPE_CHECKING

if _TYPE_CHECKING:
    from splade_connectors import filters
    from splade_connectors.async_store import AsyncStore
    from splade_connectors.documents import Document, Explanation, Hit, StoredDocument
    from splade_connectors.encoders import EncodeStats, SparseEncoder, load_encoder
    from splade_connectors.errors import (
        AccessDenied,
        AttachRefused,
        ConfigurationError,
        IndexingInterrupted,
        ManifestMismatch,
        NotFound,
        NotSupported,
        SpladeConnectorsError,
        Unavailable,
    )
    from splade_connectors.files.dead_letters import DeadLetters
    from splade_connectors.fusion import (
        DenseLeg,
        DistributionBased,
        Rrf,
        SparseLeg,
        TextLeg,
        WeightedSum,
    )
    from splade_connectors.opening import aconnect, connect
    from splade_connectors.operations.attach.report import AttachReport
    from splade_connectors.options import (
        AttachOptions,
        ConnectOptions,
        EncodeOptions,
        Progress,
        PruneOptions,
        RetryOptions,
        WriteOptions,
    )
    from splade_connectors.store import Store
    from splade_connectors.vectors import SparseBatch, SparseVector
    from splade_connectors.writing.report import IndexReport

__version__ = "0.1.0"

# Public name -> the module that defines it.
_HOMES = {
    "AccessDenied": "errors",
    "AsyncStore": "async_store",
    "AttachOptions": "options",
    "AttachRefused": "errors",
    "AttachReport": "operations.attach.report",
    "ConfigurationError": "errors",
    "ConnectOptions": "options",
    "DeadLetters": "files.dead_letters",
    "DenseLeg": "fusion",
    "DistributionBased": "fusion",
    "Document": "documents",
    "EncodeOptions": "options",
    "EncodeStats": "encoders",
    "Explanation": "documents",
    "Hit": "documents",
    "IndexReport": "writing.report",
    "IndexingInterrupted": "errors",
    "ManifestMismatch": "errors",
    "NotFound": "errors",
    "NotSupported": "errors",
    "Progress": "options",
    "PruneOptions": "options",
    "RetryOptions": "options",
    "Rrf": "fusion",
    "SparseBatch": "vectors",
    "SparseEncoder": "encoders",
    "SparseLeg": "fusion",
    "SparseVector": "vectors",
    "SpladeConnectorsError": "errors",
    "Store": "store",
    "StoredDocument": "documents",
    "TextLeg": "fusion",
    "Unavailable": "errors",
    "WeightedSum": "fusion",
    "WriteOptions": "options",
    "aconnect": "opening",
    "connect": "opening",
    "filters": "filters",
    "load_encoder": "encoders",
}

__all__ = [
    "AccessDenied",
    "AsyncStore",
    "AttachOptions",
    "AttachRefused",
    "AttachReport",
    "ConfigurationError",
    "ConnectOptions",
    "DeadLetters",
    "DenseLeg",
    "DistributionBased",
    "Document",
    "EncodeOptions",
    "EncodeStats",
    "Explanation",
    "Hit",
    "IndexReport",
    "IndexingInterrupted",
    "ManifestMismatch",
    "NotFound",
    "NotSupported",
    "Progress",
    "PruneOptions",
    "RetryOptions",
    "Rrf",
    "SparseBatch",
    "SparseEncoder",
    "SparseLeg",
    "SparseVector",
    "SpladeConnectorsError",
    "Store",
    "StoredDocument",
    "TextLeg",
    "Unavailable",
    "WeightedSum",
    "WriteOptions",
    "aconnect",
    "connect",
    "filters",
    "load_encoder",
]

# Where logs go is up to the application.
_logging.getLogger(__name__).addHandler(_logging.NullHandler())


def __getattr__(name: str) -> object:
    """Import a public name on first access (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    home = _importlib.import_module(f"{__name__}.{_HOMES[name]}")
    # `filters` is a module itself.
    value = home if name == _HOMES[name] else getattr(home, name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
