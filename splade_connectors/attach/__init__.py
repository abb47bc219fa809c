"""Sparse vectors for the documents of a live collection or index, which keeps all that it has."""

from splade_connectors.attach.report import AttachReport, CopyReport, DetachReport, Verification
from splade_connectors.attach.values import AttachOptions, AttachPlan

__all__ = [
    "AttachOptions",
    "AttachPlan",
    "AttachReport",
    "CopyReport",
    "DetachReport",
    "Verification",
]
