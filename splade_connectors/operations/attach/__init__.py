"""Adding sparse vectors to a live collection or index without changing anything else."""

from splade_connectors.backends.attaching import CopyReport
from splade_connectors.operations.attach.adopt import AdoptReport
from splade_connectors.operations.attach.plan import AttachPlan
from splade_connectors.operations.attach.report import AttachReport, DetachReport, Verification
from splade_connectors.options import AttachOptions

__all__ = [
    "AdoptReport",
    "AttachOptions",
    "AttachPlan",
    "AttachReport",
    "CopyReport",
    "DetachReport",
    "Verification",
]
