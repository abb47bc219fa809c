"""What attaching, verifying and detaching did."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from splade_connectors.backends.attaching import CopyReport
from splade_connectors.documents import DocumentId, Rejected
from splade_connectors.writing.report import KEPT_REJECTIONS

# Ids kept for each kind of finding; the counts go on.
KEPT_IDS = 100


@dataclass(kw_only=True, slots=True)
class Verification:
    """Stored vectors against fresh encodings.

    Attributes:
        documents: in the collection or index.
        missing: those without a vector of these settings.
        lost: those of them that are marked all the same, and that only reading finds where the
            store cannot be asked for its vectors; `attach` needs `recheck` to find them.
        compared: documents whose vector was read back and compared.
        different_count: those whose vector is not that of their text.
        different: the first 100 ids of them.
    """

    documents: int = 0
    missing: int = 0
    lost: int = 0
    compared: int = 0
    different_count: int = 0
    different: list[DocumentId] = field(default_factory=list)

    @property
    def complete(self) -> bool:
        """Whether every document has the vector of its text, as far as was compared."""
        return not self.missing and not self.different_count

    def note_lost(self, count: int) -> None:
        """Count documents that lack their vector, and that the store did not count."""
        self.lost += count
        self.missing += count

    def note_different(self, id: DocumentId) -> None:
        """Count a document whose vector is not that of its text."""
        self.different_count += 1
        if len(self.different) < KEPT_IDS:
            self.different.append(id)

    def to_json(self) -> dict[str, Any]:
        """A JSON object."""
        return {
            "documents": self.documents,
            "missing": self.missing,
            "lost": self.lost,
            "compared": self.compared,
            "different": self.different_count,
            "different_ids": self.different,
            "complete": self.complete,
        }


@dataclass(kw_only=True, slots=True)
class AttachReport:
    """Counts of one `attach` run, added to while it goes.

    Attributes:
        attached: documents whose vector the store acknowledged, those without text included.
        unchanged: documents whose vector was there already and was that of their text.
        empty: documents without text, marked so that they are not read again.
        gone: documents that others deleted while they were encoded.
        conflicts: times that others changed a document between reading and writing; it was read
            again.
        encoded: texts encoded.
        rejected_count: documents whose vector was not stored.
        rejected: the first 1,000 of them, with reasons.
        truncated: texts longer than the model's maximum, whose end was not encoded.
        terms: terms stored, over all documents.
        retries: requests that were sent again.
        encode_s: seconds spent encoding.
        seconds: seconds in all.
        interrupted: the run was stopped before its end.
        dead_letters: the file that rejected documents are in; None without any.
        verification: of the end; None if it was not reached.
        switched: of a run that replaces a model: whether searches use the new vectors now. None
            for other runs.
        copy: of a run that copies the collection first.
        alias: that names the copy now; "" without one.
        text_index: fields whose text index was made or rebuilt.
    """

    attached: int = 0
    unchanged: int = 0
    empty: int = 0
    gone: int = 0
    conflicts: int = 0
    encoded: int = 0
    rejected_count: int = 0
    rejected: list[Rejected] = field(default_factory=list)
    truncated: int = 0
    terms: int = 0
    retries: int = 0
    encode_s: float = 0.0
    seconds: float = 0.0
    interrupted: bool = False
    dead_letters: str | None = None
    verification: Verification | None = None
    switched: bool | None = None
    copy: CopyReport | None = None
    alias: str = ""
    text_index: tuple[str, ...] = ()

    @property
    def done(self) -> int:
        """Documents that are settled, one way or the other."""
        return self.attached + self.unchanged + self.gone + self.rejected_count

    def reject(self, rejection: Rejected) -> None:
        """Count a rejection and keep its reason while there is room."""
        self.rejected_count += 1
        if len(self.rejected) < KEPT_REJECTIONS:
            self.rejected.append(rejection)

    def to_json(self) -> dict[str, Any]:
        """A JSON object."""
        return {
            "attached": self.attached,
            "unchanged": self.unchanged,
            "empty": self.empty,
            "gone": self.gone,
            "conflicts": self.conflicts,
            "encoded": self.encoded,
            "rejected": self.rejected_count,
            "rejections": [{"id": item.id, "reason": item.reason} for item in self.rejected],
            "truncated": self.truncated,
            "terms_per_document": round(self.terms / self.attached, 1) if self.attached else 0.0,
            "retries": self.retries,
            "encode_seconds": round(self.encode_s, 3),
            "seconds": round(self.seconds, 3),
            "interrupted": self.interrupted,
            "dead_letters": self.dead_letters,
            "verification": self.verification.to_json() if self.verification else None,
            "text_index": list(self.text_index),
            **({} if self.switched is None else {"switched": self.switched}),
            **({"copy": self.copy.to_json(), "alias": self.alias} if self.copy else {}),
        }


@dataclass(kw_only=True, slots=True)
class DetachReport:
    """What `detach` removed.

    Attributes:
        vector: name of the vector or field.
        documents: those that had a vector or a marker.
        cleared: those from which both were removed.
        rejected_count: those from which they could not be removed.
        rejected: the first 1,000 of them, with reasons.
        removes: what is removed beside the documents' vectors.
        remains: what stays, in sentences.
        done: False for a dry run.
    """

    vector: str
    documents: int = 0
    cleared: int = 0
    rejected_count: int = 0
    rejected: list[Rejected] = field(default_factory=list)
    removes: tuple[str, ...] = ()
    remains: tuple[str, ...] = ()
    done: bool = False

    def reject(self, rejection: Rejected) -> None:
        """Count a rejection and keep its reason while there is room."""
        self.rejected_count += 1
        if len(self.rejected) < KEPT_REJECTIONS:
            self.rejected.append(rejection)

    def to_json(self) -> dict[str, Any]:
        """A JSON object."""
        return {
            "vector": self.vector,
            "documents": self.documents,
            "cleared": self.cleared,
            "rejected": self.rejected_count,
            "rejections": [{"id": item.id, "reason": item.reason} for item in self.rejected],
            "removes": list(self.removes),
            "remains": list(self.remains),
            "done": self.done,
        }
