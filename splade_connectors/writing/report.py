"""The report of an indexing run."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from splade_connectors.documents import Rejected

# Maximum number of reasons kept in memory; counting continues, and a dead-letter file has them all.
KEPT_REJECTIONS = 1000


@dataclass(kw_only=True, slots=True)
class IndexReport:
    """Counts of one `index` run, updated as it proceeds.

    Attributes:
        written: documents that the store acknowledged.
        replaced: how many of those replaced a document with the same id.
        rejected_count: documents that were not stored.
        rejected: the first 1,000 of them, with reasons.
        reasons: reason -> count, for the first 1,000 different reasons.
        skipped: dead letters that were not retried, because that would fail again.
        unchanged: documents already stored unchanged, so nothing was sent.
        encoded: documents whose text was encoded, rejected ones included.
        missing: stored documents no longer in the source; 0 without `delete_missing`.
        deleted: how many of those were deleted.
        empty: documents without text, stored with an empty vector.
        truncated: documents longer than the model's maximum, whose rest was not encoded.
        split: documents longer than the model's maximum, encoded in passages.
        tokens: number of tokens encoded.
        terms: total number of terms stored.
        encode_s: seconds spent encoding.
        seconds: total duration in seconds.
        retries: number of requests retried.
        interrupted: whether the run was stopped early.
        dead_letters: path of the dead-letter file; None if nothing was rejected.
    """

    written: int = 0
    replaced: int = 0
    rejected_count: int = 0
    rejected: list[Rejected] = field(default_factory=list)
    reasons: dict[str, int] = field(default_factory=dict)
    skipped: int = 0
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
        """Documents handled: written, rejected, skipped or unchanged."""
        return self.written + self.rejected_count + self.skipped + self.unchanged

    def reject(self, rejection: Rejected) -> None:
        """Count a rejection, and keep its reason up to a limit."""
        self.rejected_count += 1
        if len(self.rejected) < KEPT_REJECTIONS:
            self.rejected.append(rejection)
        if rejection.reason in self.reasons or len(self.reasons) < KEPT_REJECTIONS:
            self.reasons[rejection.reason] = self.reasons.get(rejection.reason, 0) + 1

    def to_json(self) -> dict[str, Any]:
        """Return a JSON object."""
        return {
            "written": self.written,
            "replaced": self.replaced,
            "rejected": self.rejected_count,
            "rejections": [
                {"id": item.id, "line": item.line, "reason": item.reason, **_file(item)}
                for item in self.rejected
            ],
            "reasons": self.reasons,
            "skipped": self.skipped,
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
