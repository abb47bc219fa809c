"""The legs of a hybrid search: the query, the field, and the candidate window of each."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from splade_connectors.errors import ConfigurationError
from splade_connectors.numeric import check_whole
from splade_connectors.options import read_filter_of
from splade_connectors.shown import counted
from splade_connectors.vectors import SparseVector

if TYPE_CHECKING:
    from splade_connectors.encoders.base import SparseEncoder


class Default(int):
    """A number that the caller did not choose; told from an equal chosen number by identity."""

    __slots__ = ()


# Independent of the requested page: if the window grew with it, pages would disagree.
DEFAULT_CANDIDATES = Default(200)

DenseSource = Sequence[float] | Callable[[str], Sequence[float]]


@dataclass(frozen=True, kw_only=True, slots=True)
class SparseLeg:
    """The SPLADE vector of the query against a sparse field.

    Attributes:
        field: Qdrant's vector name or Elasticsearch's field; None takes the target's.
        encoder: of queries, if another model wrote the field; None takes the store's.
        vector: the query's vector, encoded elsewhere; None encodes the query's text.
        candidates: the candidate window: how many of the best documents take part in the fusion.
            None is every matching document, which only some fusions on some servers support. The
            default is 200, or the window of the index's tuning if the fusion comes from there.
        filter: for this leg, in addition to the search's own.
        name: of the leg, in plans, explanations and weights by name.
    """

    field: str | None = None
    encoder: SparseEncoder | None = None
    vector: SparseVector | None = None
    candidates: int | None = DEFAULT_CANDIDATES
    filter: Any = None
    name: str = "sparse"

    def __post_init__(self) -> None:
        check_whole(1, candidates=self.candidates)
        read_filter_of(self)
        if not isinstance(self.vector, SparseVector | None):
            kind = type(self.vector).__name__
            raise ConfigurationError(
                f"the vector of a sparse leg must be a SparseVector, not {kind}"
            )

    @property
    def is_of_the_target(self) -> bool:
        """Whether the leg searches the store's own vector with the store's own encoder."""
        return self.field is None and self.encoder is None


@dataclass(frozen=True, kw_only=True, slots=True)
class DenseLeg:
    """A dense vector against a dense field. Similarities range from 0 to 1: (1 + cosine) / 2.

    Attributes:
        vector: the query's vector; or something that makes it from the query's text: a callable, or
            a model of sentence-transformers (`encode`) or fastembed (`query_embed`).
        field: Qdrant's vector name ("" for the unnamed one) or Elasticsearch's field; None takes
            the target's `dense=`, or the only dense field.
        candidates: as in `SparseLeg`, but never None.
        exact: compare with every vector instead of searching the HNSW graph.
        breadth: number of neighbours that the graph search keeps (`hnsw_ef`, `num_candidates`).
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
        check_whole(1, candidates=self.candidates, breadth=self.breadth)
        read_filter_of(self)


@dataclass(frozen=True, kw_only=True, slots=True)
class TextLeg:
    """The query's words against text fields, by BM25, as tokenized by the server's analyzers.

    Attributes:
        fields: text fields to match; on Qdrant one payload field with a text index that scores
            (`attach --text-index FIELD` creates it; server 1.20), or one sparse vector of BM25
            weights (made by Qdrant's own BM25, with the IDF modifier).
        text: words to use instead of the query's.
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
        if isinstance(self.fields, str):
            raise ConfigurationError(
                f"fields of a text leg must be a tuple of names, not a string: "
                f"fields=({self.fields!r},)"
            )
        check_whole(1, candidates=self.candidates)
        read_filter_of(self)


Leg = SparseLeg | DenseLeg | TextLeg


def makes_vectors(source: Any) -> bool:
    """Whether the source makes vectors from texts, rather than being a vector."""
    if isinstance(source, str):  # str also has a method encode
        return False
    return hasattr(source, "query_embed") or hasattr(source, "encode") or callable(source)


def dense_vector(source: Any, text: str) -> list[float]:
    """The query's dense vector, given or made by the caller's source.

    Raises:
        ConfigurationError: if the source neither is nor makes a vector of finite numbers.
    """
    if not makes_vectors(source):
        return given_vector(source)
    if hasattr(source, "query_embed"):
        return given_vector(next(iter(source.query_embed(text))))
    return given_vector(source.encode(text) if hasattr(source, "encode") else source(text))


def given_vector(made: Any) -> list[float]:
    """A query's dense vector as a list of floats.

    Raises:
        ConfigurationError: if it is not a vector of finite numbers.
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
            f"the dense vector is empty or contains NaN or infinity ({bad}): it must contain "
            "finite numbers; if a model made it, that model is broken"
        )
    return vector


def choose_dense(
    asked: str | None, usual: str, fields: Mapping[str, int], *, what: str, where: str
) -> str:
    """The dense field of a leg: the leg's own, the target's, or the only one.

    Args:
        asked: the leg's field, or None.
        usual: the target's field, or the adapter's default.
        fields: name -> dimensions of the existing fields.
        what: the adapter's word for such a field, for messages.
        where: the index, for messages.

    Raises:
        ConfigurationError: if no field has that name, or there are several without a choice.
    """
    name = usual if asked is None else asked
    if name in fields:
        return name
    if asked is None and len(fields) == 1:
        return next(iter(fields))
    shown = repr(name) if name else "without a name"
    if not fields:
        raise ConfigurationError(
            f"{where} has no {what} {shown}, nor any other: search without a dense leg"
        )
    names = ", ".join(repr(known) if known else "'' (unnamed)" for known in sorted(fields))
    raise ConfigurationError(
        f"{where} has no {what} {shown}; it has {names}: name one with ?dense=NAME, "
        "DenseLeg(field=…) or --dense-field"
    )


def check_dense_query(
    vector: Sequence[float], dimensions: int, *, by_angle: bool, field: str, where: str
) -> None:
    """Refuse a query vector that does not fit a field.

    Args:
        vector: of the query.
        dimensions: of the field; 0 if unknown.
        by_angle: whether the field compares directions, which an all-zero vector lacks.
        field: name of the field, for messages.
        where: the index, for messages.

    Raises:
        ConfigurationError: if the lengths differ, or if all numbers are 0 and directions count.
    """
    if dimensions and len(vector) != dimensions:
        raise ConfigurationError(
            f"the dense vector of the query has {counted(len(vector), 'dimension')}, but {field} "
            f"of {where} has {dimensions}"
        )
    if by_angle and not any(vector):
        raise ConfigurationError(
            f"the dense vector of the query is all zeros, but {field} of {where} compares "
            "directions: omit the dense leg, or give it a vector of the query's text"
        )


def check_page(legs: Sequence[Leg], limit: int, offset: int, note: str = "") -> None:
    """Refuse a page beyond the candidate windows; `note` says where the windows come from.

    Raises:
        ConfigurationError: if a window is too small; names the leg and the option to raise.
    """
    for leg in legs:
        if leg.candidates is not None and limit + offset > leg.candidates:
            raise ConfigurationError(
                f"limit + offset is {limit + offset}, but the {leg.name} leg has a window of "
                f"{leg.candidates}: raise candidates to at least {limit + offset} (--candidates)"
                + (f"; {note}" if note else "")
            )
