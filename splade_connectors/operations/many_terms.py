"""Models that are no SPLADE give most of their vocabulary a weight: said once, with what helps."""

from __future__ import annotations

import logging
from collections.abc import Iterable

from splade_connectors.vectors import SparseVector

# What is written there is for a person: the command line shows it.
log = logging.getLogger("splade_connectors.advice")

# A SPLADE model gives a text a few hundred terms; one that was never trained as SPLADE, ten
# thousands: every store is slow with them, and most of the weights are noise.
MANY_TERMS = 2_000
_warned: set[str] = set()


def warn_of_many_terms(model: str, vectors: Iterable[SparseVector], of: str) -> None:
    """Log a warning, once a process for each model, where a vector has more than 2,000 terms.

    Args:
        model: its name.
        vectors: as they are stored or sent: what was pruned is not a reason.
        of: what they are vectors of.
    """
    if model in _warned:
        return
    most = max((len(vector) for vector in vectors), default=0)
    if most <= MANY_TERMS:
        return
    _warned.add(model)
    log.warning(
        "%s gives %s %s terms; a SPLADE model gives a few hundred, and with so many every store "
        "is slow: --prune-top-k 200 (PruneOptions(top_k=200)) keeps the heaviest of a document, "
        "--max-query-terms 64 (max_query_terms=64) those of a query",
        model,
        of,
        f"{most:,}",
    )
