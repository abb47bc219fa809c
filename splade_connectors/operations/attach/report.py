"""Reports of the `attach`, `verify` and `detach` verbs."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from splade_connectors.backends.attaching import CopyReport
from splade_connectors.documents import DocumentId, Rejected
from splade_connectors.writing.report import KEPT_REJECTIONS

# Maximum number of ids kept per kind of finding; counting continues beyond it.
KEPT_IDS = 100


@dataclass(kw_only=True, slots=True)
class Verification:
    """Comparison of stored vectors with fresh encodings.

    Attributes:
        documents: number of documents in the collection or index.
        missing: number of documents without a vector of these settings.
        lost: how many of those still carry a marker; stores that cannot query for missing vectors
            find them only by reading, and `attach` only with `recheck`.
        compared: number of documents whose vector was read back and compared.
        different_count: number of documents whose vector does not match their text.
        different: their first 100 ids.
    """

    documents: int = 0
    missing: int = 0
    lost: int = 0
    compared: int = 0
    different_count: int = 0
    different: list[DocumentId] = field(default_factory=list)

    @property
    def complete(self) -> bool:
        """Whether no vector is missing, and every one compared matches its text."""
        return not self.missing and not self.different_count

    def note_lost(self, count: int) -> None:
        """Count documents without a vector that the store's own count missed."""
        self.lost += count
        self.missing += count

    def note_different(self, id: DocumentId) -> None:
        """Count a document whose vector does not match its text."""
        self.different_count += 1
        if len(self.different) < KEPT_IDS:
            self.different.append(id)

    def to_json(self) -> dict[str, Any]:
        """Return a JSON object."""
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
    """Counts of one `attach` run, updated as it proceeds.

    Attributes:
        attached: documents whose vector the store acknowledged, including those without text.
        unchanged: documents that already had the vector of their text.
        empty: documents without text, marked so that they are not read again.
        gone: documents that another client deleted while they were being encoded.
        conflicts: times that another client changed a document between reading and writing, so
            that it was read again.
        encoded: number of texts encoded.
        rejected_count: documents whose vector was not stored.
        rejected: the first 1,000 of them, with reasons.
        truncated: texts longer than the model's maximum, whose rest was not encoded.
        terms: total number of terms stored.
        retries: number of requests retried.
        encode_s: seconds spent encoding.
        seconds: total duration in seconds.
        interrupted: whether the run was stopped early.
        dead_letters: path of the dead-letter file; None if nothing was rejected.
        verification: result of the final verification; None if it was not reached.
        switched: with `replace_model`: whether searches now use the new vectors; otherwise None.
        copy: with `copy_to`: report of the copy.
        alias: alias that now points to the copy; "" without one.
        text_index: fields whose text index was created or rebuilt.
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
        """Documents with a final outcome."""
        return self.attached + self.unchanged + self.gone + self.rejected_count

    def reject(self, rejection: Rejected) -> None:
        """Count a rejection, and keep its reason up to a limit."""
        self.rejected_count += 1
        if len(self.rejected) < KEPT_REJECTIONS:
            self.rejected.append(rejection)

    def to_json(self) -> dict[str, Any]:
        """Return a JSON object."""
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
        documents: number of documents with a vector or a marker.
        cleared: documents from which both were removed.
        rejected_count: documents from which they could not be removed.
        rejected: the first 1,000 of them, with reasons.
        removes: what is removed besides the documents' vectors.
        remains: what cannot be removed, in sentences.
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
        """Count a rejection, and keep its reason up to a limit."""
        self.rejected_count += 1
        if len(self.rejected) < KEPT_REJECTIONS:
            self.rejected.append(rejection)

    def to_json(self) -> dict[str, Any]:
        """Return a JSON object."""
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
