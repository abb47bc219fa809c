"""What an indexing run did."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from splade_connectors.documents import Rejected

# Reasons kept in memory; the count goes on, and a consumer of the stream may keep them all.
KEPT_REJECTIONS = 1000


@dataclass(kw_only=True, slots=True)
class IndexReport:
    """Counts of one `index` run, added to while it goes.

    Attributes:
        written: documents that the store acknowledged.
        replaced: those among them that took the place of a document with the same id.
        rejected_count: documents that were not stored.
        rejected: the first 1,000 of them, with reasons.
        reasons: how many were rejected for each of the first 1,000 different reasons.
        unchanged: documents that were stored as they are already: nothing of them was sent.
        encoded: documents whose text was encoded, rejected ones included.
        missing: documents that the source no longer had; 0 where nobody asked.
        deleted: those among them that were deleted.
        empty: documents without text, stored with an empty vector.
        truncated: documents longer than the model's maximum, whose end was not encoded.
        split: documents longer than the maximum, encoded in passages.
        tokens: tokens encoded.
        terms: terms stored, over all documents.
        encode_s: seconds spent encoding.
        seconds: seconds in all.
        retries: requests that were sent again.
        interrupted: the run was stopped before its end.
        dead_letters: the file that rejected documents are in; None without any.
    """

    written: int = 0
    replaced: int = 0
    rejected_count: int = 0
    rejected: list[Rejected] = field(default_factory=list)
    reasons: dict[str, int] = field(default_factory=dict)
    unchanged: int = 0
    encoded: int = 0
    missing: int = 0
    deleted: int = 0
    empty: int = 0
    truncated: int = 0
    split: int = 0
    tokens: int = 0
    terms: int = 0
    encode_s: float = 0.0
    seconds: float = 0.0
    retries: int = 0
    interrupted: bool = False
    dead_letters: str | None = None

    @property
    def done(self) -> int:
        """Documents handled: written, rejected, or left as they are."""
        return self.written + self.rejected_count + self.unchanged

    def reject(self, rejection: Rejected) -> None:
        """Count a rejection and keep its reason while there is room."""
        self.rejected_count += 1
        if len(self.rejected) < KEPT_REJECTIONS:
            self.rejected.append(rejection)
        if rejection.reason in self.reasons or len(self.reasons) < KEPT_REJECTIONS:
            self.reasons[rejection.reason] = self.reasons.get(rejection.reason, 0) + 1

    def to_json(self) -> dict[str, Any]:
        """A JSON object."""
        return {
            "written": self.written,
            "replaced": self.replaced,
            "rejected": self.rejected_count,
            "rejections": [
                {"id": item.id, "line": item.line, "reason": item.reason, **_file(item)}
                for item in self.rejected
            ],
            "reasons": self.reasons,
            "unchanged": self.unchanged,
            "encoded": self.encoded,
            "missing": self.missing,
            "deleted": self.deleted,
            "empty": self.empty,
            "truncated": self.truncated,
            "split": self.split,
            "tokens": self.tokens,
            "terms_per_document": round(self.terms / self.written, 1) if self.written else 0.0,
            "encode_seconds": round(self.encode_s, 3),
            "seconds": round(self.seconds, 3),
            "retries": self.retries,
            "interrupted": self.interrupted,
            "dead_letters": self.dead_letters,
        }


def _file(item: Rejected) -> dict[str, str]:
    return {} if item.file is None else {"file": item.file}
