"""Learned sparse search (SPLADE) for the Qdrant, Elasticsearch or OpenSearch that you run."""

import logging as _logging

from splade_connectors.async_store import AsyncStore
from splade_connectors.connect import aconnect, connect
from splade_connectors.documents import Document, Explanation, Hit, StoredDocument
from splade_connectors.encoders import EncodeStats, SparseEncoder, load_encoder
from splade_connectors.errors import IndexingInterrupted, SpladeConnectorsError
from splade_connectors.files.dead_letters import DeadLetters
from splade_connectors.fusion import DistributionBased, Rrf, WeightedSum
from splade_connectors.operations.attach import AttachOptions, AttachReport
from splade_connectors.options import (
    EncodeOptions,
    Progress,
    PruneOptions,
    RetryOptions,
    WriteOptions,
)
from splade_connectors.store import Store
from splade_connectors.vectors import SparseBatch, SparseVector, dot, prune
from splade_connectors.writing.report import IndexReport

__version__ = "0.1.0"

__all__ = [
    "AsyncStore",
    "AttachOptions",
    "AttachReport",
    "DeadLetters",
    "DistributionBased",
    "Document",
    "EncodeOptions",
    "EncodeStats",
    "Explanation",
    "Hit",
    "IndexReport",
    "IndexingInterrupted",
    "Progress",
    "PruneOptions",
    "RetryOptions",
    "Rrf",
    "SparseBatch",
    "SparseEncoder",
    "SparseVector",
    "SpladeConnectorsError",
    "Store",
    "StoredDocument",
    "WeightedSum",
    "WriteOptions",
    "aconnect",
    "connect",
    "dot",
    "load_encoder",
    "prune",
]

# A library does not decide where its log goes.
_logging.getLogger(__name__).addHandler(_logging.NullHandler())
