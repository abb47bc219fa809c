"""The legs of a hybrid search: what is looked for, in which field, and how deep."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from splade_connectors.errors import ConfigurationError
from splade_connectors.vectors import SparseVector

if TYPE_CHECKING:
    from splade_connectors.encoders.base import SparseEncoder


class Default(int):
    """A number that was not chosen by the caller: told by identity from an equal one that was."""

    __slots__ = ()


# Independent of the page that is asked for: with a window that grew, pages would disagree.
DEFAULT_CANDIDATES = Default(200)

DenseSource = Sequence[float] | Callable[[str], Sequence[float]]


@dataclass(frozen=True, kw_only=True, slots=True)
class SparseLeg:
    """The SPLADE vector of the query against a sparse field.

    Attributes:
        field: Qdrant's vector name or Elasticsearch's field; None takes the target's.
        encoder: of queries for that field, where another model wrote it; None takes the store's.
        vector: the query's vector, encoded elsewhere, instead of one of its text.
        candidates: the window: best documents that take part in the fusion. None is every
            matching document, which only some fusions on some servers can do. Left away, it is
            200, or the window of the index's tuning where that gives the fusion.
        filter: for this leg, beside the search's own.
        name: of the leg, in plans, explanations and weights by name.
    """

    field: str | None = None
    encoder: SparseEncoder | None = None
    vector: SparseVector | None = None
    candidates: int | None = DEFAULT_CANDIDATES
    filter: Any = None
    name: str = "sparse"

    def __post_init__(self) -> None:
        _check_window(self.candidates)
        _read_filter(self)
        if not isinstance(self.vector, SparseVector | None):
            kind = type(self.vector).__name__
            raise ConfigurationError(f"the vector of a sparse leg is a SparseVector, not {kind}")

    @property
    def is_of_the_target(self) -> bool:
        """Whether it searches the store's own vector with the store's own encoder."""
        return self.field is None and self.encoder is None


@dataclass(frozen=True, kw_only=True, slots=True)
class DenseLeg:
    """A dense vector against a dense field. Its similarity counts from 0 to 1: (1 + cosine) / 2.

    Attributes:
        vector: the query's vector; or what makes one of the query's text: a callable, or an object
            of sentence-transformers (`encode`) or fastembed (`query_embed`).
        field: Qdrant's vector name ("" for the unnamed one) or Elasticsearch's field; None takes
            the target's `dense=`, or the only one that there is.
        candidates: as in `SparseLeg`, never None.
        exact: compare with every vector instead of walking the graph.
        breadth: how many neighbours the graph search keeps (`hnsw_ef`, `num_candidates`).
        filter: as in `SparseLeg`.
        name: as in `SparseLeg`.
    """

    vector: Any
    field: str | None = None
    candidates: int = DEFAULT_CANDIDATES
    exact: bool = False
    breadth: int | None = None
    filter: Any = None
    name: str = "dense"

    def __post_init__(self) -> None:
        _check_window(self.candidates)
        _read_filter(self)


@dataclass(frozen=True, kw_only=True, slots=True)
class TextLeg:
    """The query's words against text fields, by BM25, as the server's analyzers see them.

    Attributes:
        fields: text fields to match; on Qdrant one payload field with a text index that scores
            (`attach --text-index FIELD` makes one; server 1.20), or the one sparse vector that
            holds BM25 weights (made by Qdrant's own BM25, with the IDF modifier).
        text: other words than the query's.
        candidates: as in `SparseLeg`.
        filter: as in `SparseLeg`.
        name: as in `SparseLeg`.
    """

    fields: tuple[str, ...] = ("text",)
    text: str | None = None
    candidates: int | None = DEFAULT_CANDIDATES
    filter: Any = None
    name: str = "text"

    def __post_init__(self) -> None:
        _check_window(self.candidates)
        _read_filter(self)


Leg = SparseLeg | DenseLeg | TextLeg


def _read_filter(leg: Leg) -> None:
    """As in `SearchOptions`."""
    if leg.filter is not None:
        from splade_connectors.filters.written import read_filter

        object.__setattr__(leg, "filter", read_filter(leg.filter))


def makes_vectors(source: Any) -> bool:
    """Whether it makes a vector of a text, rather than being one."""
    if isinstance(source, str):  # which has a method encode, too
        return False
    return hasattr(source, "query_embed") or hasattr(source, "encode") or callable(source)


def dense_vector(source: Any, text: str) -> list[float]:
    """The query's dense vector, from whatever the caller gave.

    Raises:
        ConfigurationError: when it is not a vector and makes none, or holds NaN.
    """
    if not makes_vectors(source):
        return given_vector(source)
    if hasattr(source, "query_embed"):
        return given_vector(next(iter(source.query_embed(text))))
    return given_vector(source.encode(text) if hasattr(source, "encode") else source(text))


def given_vector(made: Any) -> list[float]:
    """A query's dense vector as the servers take it.

    Raises:
        ConfigurationError: when it is not a vector, or holds NaN.
    """
    if isinstance(made, str | bytes):
        raise ConfigurationError("the dense leg got text, not a vector of numbers")
    try:
        vector = list(map(float, made.tolist() if hasattr(made, "tolist") else made))
    except (TypeError, ValueError) as error:
        kind = type(made).__name__
        raise ConfigurationError(f"the dense leg got a {kind}, not a vector of numbers") from error
    if not vector or not all(map(math.isfinite, vector)):
        bad = next((value for value in vector if not math.isfinite(value)), "no numbers at all")
        raise ConfigurationError(
            f"the dense vector is empty or holds NaN or infinity ({bad}): it takes finite numbers; "
            "where a model made it, that model is broken"
        )
    return vector


def choose_dense(
    asked: str | None, usual: str, fields: Mapping[str, int], *, what: str, where: str
) -> str:
    """The dense field of a leg: the one asked for, the target's, or the only one there is.

    Args:
        asked: by the leg.
        usual: what the target says, or the adapter's default.
        fields: name -> dimensions of those that are there.
        what: the adapter's word for such a field.
        where: the index.

    Raises:
        ConfigurationError: when there is none of that name, or several to choose from.
    """
    name = usual if asked is None else asked
    if name in fields:
        return name
    if asked is None and len(fields) == 1:
        return next(iter(fields))
    shown = repr(name) if name else "without a name"
    if not fields:
        raise ConfigurationError(
            f"{where} has no {what} {shown}; it has none at all: search without a dense leg"
        )
    names = ", ".join(repr(known) if known else "'' (unnamed)" for known in sorted(fields))
    raise ConfigurationError(
        f"{where} has no {what} {shown}; it has {names}: name one with ?dense=NAME, "
        "DenseLeg(field=…) or --dense-field"
    )


def check_dense_query(
    vector: Sequence[float], dimensions: int, *, by_angle: bool, field: str, where: str
) -> None:
    """Refuse a query's vector that cannot be searched for in a field.

    Args:
        vector: of the query.
        dimensions: of the field; 0 where that is not known.
        by_angle: whether the field compares directions, of which a vector of zeros has none.
        field: for the message.
        where: the index.

    Raises:
        ConfigurationError: for another length, naming both, or for zeros only.
    """
    if dimensions and len(vector) != dimensions:
        raise ConfigurationError(
            f"the dense vector of the query has {len(vector)} dimensions, {field} of {where} has "
            f"{dimensions}"
        )
    if by_angle and not any(vector):
        raise ConfigurationError(
            f"the dense vector of the query is all zeros, and {field} of {where} compares "
            "directions: omit the dense leg, or give it a vector of the query's text"
        )


def check_page(legs: Sequence[Leg], limit: int, offset: int, note: str = "") -> None:
    """Refuse a page beyond the windows; a note says where those come from.

    Raises:
        ConfigurationError: naming the leg and the option that makes its window larger.
    """
    for leg in legs:
        if leg.candidates is not None and limit + offset > leg.candidates:
            raise ConfigurationError(
                f"limit + offset is {limit + offset}, the window of the {leg.name} leg is "
                f"{leg.candidates}: raise candidates to at least {limit + offset} (--candidates)"
                + (f"; {note}" if note else "")
            )


def _check_window(candidates: int | None) -> None:
    if candidates is not None and candidates < 1:
        raise ConfigurationError(f"candidates must be at least 1, not {candidates!r}")
