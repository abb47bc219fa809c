"""Documents, search results, explanations and ids."""

from __future__ import annotations

import math
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from splade_connectors.errors import InvalidDocument
from splade_connectors.shown import message_of, quoted
from splade_connectors.vectors import SparseVector

DocumentId = str | int
# Values accepted as an id; `document_id` converts them.
GivenId = DocumentId | uuid.UUID | np.integer[Any]
Dense = Sequence[float] | Mapping[str, Sequence[float]]

# Python refuses to print far larger integers (10^4300); 309 digits can be printed anywhere.
_LARGEST_ID_BITS = 1024


@dataclass(frozen=True, kw_only=True, slots=True)
class Document:
    """One document to index.

    Attributes:
        id: non-empty string, integer (numpy included), or `uuid.UUID`, which is stored as its
            hyphenated text.
        text: text to encode. An empty text gives an empty vector: stored, but never found.
        payload: JSON fields stored with the vector. If it contains none of the text fields, the
            text itself is stored under the first of them.
        dense: dense vector for the store's unnamed or only dense field, or name -> vector.
        vector: a precomputed sparse vector; `text` is then stored but not encoded.
        line: 1-based line of the source file, for reports.
        file: source file, if several were read.

    Raises:
        InvalidDocument: if an attribute has the wrong type, or a dense vector contains NaN.
    """

    id: DocumentId
    text: str = ""
    payload: Mapping[str, Any] = field(default_factory=dict)
    dense: Dense | None = None
    vector: SparseVector | None = None
    line: int | None = None
    file: str | None = None

    if TYPE_CHECKING:  # the constructor accepts more types of ids than the attribute has

        def __init__(
            self,
            *,
            id: GivenId,
            text: str = "",
            payload: Mapping[str, Any] = ...,
            dense: Dense | None = None,
            vector: SparseVector | None = None,
            line: int | None = None,
            file: str | None = None,
        ) -> None: ...

    def __post_init__(self) -> None:
        object.__setattr__(self, "id", document_id(self.id))
        if not isinstance(self.text, str):
            kind = type(self.text).__name__
            raise InvalidDocument(
                f"the text of document {quoted(self.id)} must be a string, not {kind}"
            )
        if not isinstance(self.payload, Mapping):
            kind = type(self.payload).__name__
            raise InvalidDocument(
                f"the payload of document {quoted(self.id)} must be a mapping, not {kind}"
            )
        if not isinstance(self.vector, SparseVector | None):
            kind = type(self.vector).__name__
            raise InvalidDocument(
                f"the vector of document {quoted(self.id)} must be a SparseVector, not {kind}"
            )
        for name, vector in self.dense_vectors().items():
            reason = _dense_reason(vector)
            if reason:
                where = f" {quoted(name)}" if name else ""
                raise InvalidDocument(
                    f"the dense vector{where} of document {quoted(self.id)} {reason}"
                )

    def dense_vectors(self) -> Mapping[str, Sequence[float]]:
        """Return name -> dense vector; an unnamed vector has the name ''."""
        if self.dense is None:
            return {}
        return self.dense if isinstance(self.dense, Mapping) else {"": self.dense}


@dataclass(frozen=True, kw_only=True, slots=True)
class StoredDocument:
    """A document as stored.

    Attributes:
        id: document id.
        payload: stored fields, without vectors.
        vector: sparse vector as stored (with the store's rounding); None if there is none.
        dense: dense vectors by name, set only by an export with vectors; an unnamed vector has the
            name ''.
    """

    id: DocumentId
    payload: Mapping[str, Any]
    vector: SparseVector | None = None
    dense: Mapping[str, Sequence[float]] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class LegScore:
    """A document's rank (from 1) and score in one leg of a hybrid search."""

    rank: int
    score: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Hit:
    """One search result.

    Attributes:
        id: document id.
        score: dot product of query and document as computed by the store, or the fused score of a
            hybrid search.
        payload: stored fields; empty if `with_payload` was off.
        legs: in a hybrid search, rank and score in each leg that found the document; empty if the
            server fused and its response does not include them.
        group: with `group_by`, the value of that field; this is its best document.
        more: with `group_by`, the number of other matching documents with this value, counted up
            to 10,000.
        terms: with `with_terms`, the terms shared by query and document, largest contribution
            first.
        snippet: with `with_terms`, the passage of the text that contains most of them.
    """

    id: DocumentId
    score: float
    payload: Mapping[str, Any] = field(default_factory=dict)
    legs: Mapping[str, LegScore] = field(default_factory=dict)
    group: Any = None
    more: int = 0
    terms: tuple[TermContribution, ...] = ()
    snippet: Snippet | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Snippet:
    """A passage of a text, with the words that match query terms marked.

    Attributes:
        text: the passage, with "…" where it was cut.
        marks: (start, end) of each marked word, in characters.
    """

    text: str
    marks: tuple[tuple[int, int], ...] = ()

    def marked(self, before: str, after: str) -> str:
        """Return the text with each marked word enclosed, for example in "<b>" and "</b>".

        The text is not escaped.
        """
        parts, last = [], 0
        for start, end in self.marks:
            parts += [self.text[last:start], before, self.text[start:end], after]
            last = end
        return "".join([*parts, self.text[last:]])


@dataclass(frozen=True, kw_only=True, slots=True)
class Total:
    """The number of matching documents.

    Attributes:
        value: the number.
        exact: whether the number is exact; otherwise it is a lower bound.
    """

    value: int
    exact: bool = True


@dataclass(frozen=True, kw_only=True, slots=True)
class TermContribution:
    """One term shared by query and document.

    Attributes:
        token: the term as spelled in the model's vocabulary; its number if the model is unknown,
            and then `in_query` and `in_document` are False.
        text: the term in readable form: "…cine" for "##cine", "vaccine" for "▁vaccine".
        query_weight: weight in the query.
        document_weight: weight in the document, as stored.
        in_query: whether the query's text contains it; otherwise the model added it.
        in_document: whether the document's text contains it; otherwise the model added it.
    """

    token: str
    text: str
    query_weight: float
    document_weight: float
    in_query: bool
    in_document: bool

    @property
    def contribution(self) -> float:
        """The term's share of the score: query weight times document weight."""
        return self.query_weight * self.document_weight


@dataclass(frozen=True, kw_only=True, slots=True)
class Explanation:
    """Why a document has its score for a query.

    Attributes:
        id: document id.
        query: text of the query; "" for a vector.
        score: sum of the contributions.
        terms: shared terms, largest contribution first.
        query_terms: number of query terms sent.
        document_terms: number of terms in the document.
    """

    id: DocumentId
    query: str
    score: float
    terms: tuple[TermContribution, ...]
    query_terms: int
    document_terms: int


@dataclass(frozen=True, kw_only=True, slots=True)
class LegContribution:
    """One leg's contribution to a fused score.

    Attributes:
        leg: name of the leg.
        rank: the document's rank in the leg's candidate window, from 1; None if it is not there.
        score: the document's score in the leg; None if it is not in the window.
        contribution: share of the fused score; 0 if the document is not in the window.
    """

    leg: str
    rank: int | None
    score: float | None
    contribution: float


@dataclass(frozen=True, kw_only=True, slots=True)
class HybridExplanation:
    """Why a document has its fused score.

    Attributes:
        id: document id.
        query: text of the query; "" for a vector.
        score: sum of the legs' contributions.
        legs: the legs, in search order.
        sparse: the first sparse leg's score, term by term; None without a sparse leg.
        terms: leg name -> the same for every sparse leg.
    """

    id: DocumentId
    query: str
    score: float
    legs: tuple[LegContribution, ...]
    sparse: Explanation | None = None
    terms: Mapping[str, Explanation] = field(default_factory=dict)


def _is_multivector(vector: Any) -> bool:
    if isinstance(vector, list | tuple):
        return bool(vector) and isinstance(vector[0], list | tuple)
    return getattr(vector, "ndim", 1) == 2


def _dense_reason(vector: Any) -> str | None:
    """The reason why this is not a dense vector; None if it is one."""
    if _is_multivector(vector):
        return (
            "is a list of vectors (a multivector), which is not supported: store one vector per "
            "name, such as their mean; attach keeps existing multivectors"
        )
    try:
        finite = all(math.isfinite(value) for value in vector)
        length = len(vector)
    except Exception as error:  # whatever the values are: text, generators, numbers too large
        return f"is not a list of numbers: {message_of(error)}"
    if not length:
        return "is empty"
    return None if finite else "contains NaN or infinity"


def document_id(value: object) -> DocumentId:
    """Return the id for a value, as a plain string or integer.

    Raises:
        InvalidDocument: unless it is a non-empty string, an integer or a UUID.
    """
    if isinstance(value, uuid.UUID):
        return str(value)
    if isinstance(value, str):
        return _text_id(str.__str__(value))
    # np.timedelta64 is an np.integer, and bool an int.
    is_integer = isinstance(value, int | np.integer)
    if not is_integer or isinstance(value, bool | np.timedelta64):
        raise InvalidDocument(
            f"a document id must be a string, an integer or a UUID, not {quoted(value)}"
        )
    number: int = int(value)  # type: ignore[call-overload]
    if number.bit_length() > _LARGEST_ID_BITS:
        raise InvalidDocument(
            f"an integer document id must have at most {_LARGEST_ID_BITS} bits, not "
            f"{number.bit_length():,}; convert it to a string"
        )
    return number


def _text_id(value: str) -> str:
    if value == "":
        raise InvalidDocument("a document id must not be the empty string")
    if not _is_unicode(value):
        raise InvalidDocument(
            f"the document id {quoted(value)} is not valid Unicode (lone surrogate)"
        )
    return value


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


@dataclass(frozen=True, kw_only=True, slots=True)
class Stamp:
    """Fingerprints of a stored document's source, stored with it to detect changes.

    Attributes:
        marker: fingerprints of the settings and the text that the sparse vector was encoded from.
        content: fingerprint of payload and dense vectors; "" if only the vector is known to be
            current, because something else was changed since or never written.
    """

    marker: str = ""
    content: str = ""

    def to_text(self) -> str:
        """Return both as one string; the inverse of `parse`."""
        return f"{self.marker}-{self.content}" if self.content else self.marker

    @classmethod
    def parse(cls, text: str) -> Stamp:
        """Parse "settings-text[-content]"."""
        settings, _, rest = text.partition("-")
        fingerprint, _, content = rest.partition("-")
        return cls(marker=f"{settings}-{fingerprint}" if rest else "", content=content)


@dataclass(frozen=True, kw_only=True, slots=True)
class EncodedDocument:
    """A document with its sparse vector.

    Attributes:
        document: the document as passed in.
        vector: sparse vector, encoded and pruned.
        payload: fields to store, text included.
        stamp: fingerprints of its source.
    """

    document: Document
    vector: SparseVector
    payload: Mapping[str, Any]
    stamp: Stamp = field(default_factory=Stamp)

    @property
    def id(self) -> DocumentId:
        """The document's id."""
        return self.document.id


@dataclass(frozen=True, kw_only=True, slots=True)
class Written:
    """A document that the store acknowledged."""

    id: DocumentId


@dataclass(frozen=True, kw_only=True, slots=True)
class Rejected:
    """A document that was not stored.

    Attributes:
        id: document id; None if the row had none.
        reason: the reason in one sentence, which is printed and logged and therefore quotes only
            the id and field names of the document.
        line: 1-based line of the source file, if known.
        file: source file, if several were read.
        retryable: the store was overloaded (429), so a retry may succeed.
        final: a retry would fail or do harm: the id was used by an earlier document of the run,
            the payload is not JSON, or the row is not a document.
        detail: the server's own message, which may quote the document; "" if `reason` says it all.
            Written only to dead-letter files that contain the documents.
        letter: the dead letter it was read from, kept as is.
    """

    id: DocumentId | None
    reason: str
    line: int | None = None
    file: str | None = None
    retryable: bool = False
    final: bool = False
    detail: str = field(default="", repr=False)
    letter: Mapping[str, Any] | None = field(default=None, repr=False, compare=False)


Outcome = Written | Rejected

Row = Document | Rejected
