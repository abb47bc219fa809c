"""Encoders: text to sparse vectors, behind one interface (`SparseEncoder`)."""

from splade_connectors.encoders.base import EncodeStats, SparseEncoder
from splade_connectors.encoders.load import load_encoder
from splade_connectors.encoders.spec import EncoderSpec

__all__ = ["EncodeStats", "EncoderSpec", "SparseEncoder", "load_encoder"]
