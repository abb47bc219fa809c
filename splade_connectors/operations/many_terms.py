"""Warn once about models that are not SPLADE and give most of their vocabulary a weight."""

from __future__ import annotations

from collections.abc import Iterable

from splade_connectors.shown import ADVICE
from splade_connectors.vectors import SparseVector

# A SPLADE model gives a text a few hundred terms; a model never trained as SPLADE gives tens of
# thousands, which are slow in every store and mostly noise.
MANY_TERMS = 2_000
_warned: set[str] = set()


def warn_of_many_terms(model: str, vectors: Iterable[SparseVector], of: str) -> None:
    """Warn if a vector has more than 2,000 terms, once per process and model.

    Args:
        model: name of the model.
        vectors: vectors as stored or sent, that is, after pruning.
        of: what they encode: "a document" or "a query".
    """
    if model in _warned:
        return
    most = max((len(vector) for vector in vectors), default=0)
    if most <= MANY_TERMS:
        return
    _warned.add(model)
    ADVICE.warning(
        "%s gives %s %s terms, which makes every store slow; a SPLADE model gives a few hundred. "
        "Keep the heaviest with --prune-top-k 200 (PruneOptions(top_k=200)) for documents and "
        "--max-query-terms 64 (max_query_terms=64) for queries",
        model,
        of,
        f"{most:,}",
    )
