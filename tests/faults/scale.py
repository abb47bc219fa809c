"""How large the tests are: the share that CI runs, or all of it with SPLADE_TESTS=full."""

from __future__ import annotations

from dataclasses import dataclass

from tests import sharing


@dataclass(frozen=True, kw_only=True)
class Scale:
    """Sizes.

    Attributes:
        documents: of most tests.
        killed_documents: of the tests that kill processes, so that there is time to be killed in.
        conflict_every: one document in so many has a value that its field cannot hold.
        kills: of our own process.
        burst_s: how long a server answers 503.
        latency_s: of every answer.
        deadline_s: until a job counts as hanging.
    """

    documents: int
    killed_documents: int
    conflict_every: int
    kills: int
    burst_s: float
    latency_s: float
    deadline_s: float


CI = Scale(
    documents=300,
    killed_documents=1000,
    conflict_every=1000,
    kills=3,
    burst_s=1.0,
    latency_s=0.3,
    deadline_s=120.0,
)
FULL = Scale(
    documents=1000,
    killed_documents=5000,
    conflict_every=1000,
    kills=20,
    burst_s=30.0,
    latency_s=5.0,
    deadline_s=900.0,
)

SCALE = FULL if sharing.FULL else CI
