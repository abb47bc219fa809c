"""What goes in (`Document`), what comes out (`Hit`, `Explanation`), and ids."""

from __future__ import annotations

import math
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from splade_connectors.errors import InvalidDocument
from splade_connectors.shown import quoted, words_of
from splade_connectors.vectors import SparseVector

DocumentId = str | int
# What is taken for an id: `document_id` says which one it is.
GivenId = DocumentId | uuid.UUID | np.integer[Any]
Dense = Sequence[float] | Mapping[str, Sequence[float]]

# Python itself refuses to write far larger ones (10^4300): 309 digits can be shown anywhere.
_LARGEST_ID_BITS = 1024


@dataclass(frozen=True, kw_only=True, slots=True)
class Document:
    """One document to index.

    Attributes:
        id: any non-empty string, an integer (also numpy's) or a `uuid.UUID`, which becomes its
            hyphenated text.
        text: what is encoded. Empty text gives an empty vector: stored, but never found.
        payload: fields stored beside the vector, JSON values. Where it holds none of the text
            fields, the text itself is stored under the first of them.
        dense: a dense vector for the store's unnamed or only one, or name -> vector.
        vector: an already encoded sparse vector; then `text` is stored, but not encoded.
        line: where the document came from (1-based line of a file), for reports.
        file: that file, where several were read.

    Raises:
        InvalidDocument: for an id or a text of another type, or NaN in a dense vector.
    """

    id: DocumentId
    text: str = ""
    payload: Mapping[str, Any] = field(default_factory=dict)
    dense: Dense | None = None
    vector: SparseVector | None = None
    line: int | None = None
    file: str | None = None

    if TYPE_CHECKING:  # more is taken for an id than is kept as one

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
            raise InvalidDocument(f"the text of document {quoted(self.id)} is {kind}, not a string")
        if not isinstance(self.payload, Mapping):
            kind = type(self.payload).__name__
            raise InvalidDocument(
                f"the payload of document {quoted(self.id)} is {kind}, not a mapping"
            )
        if not isinstance(self.vector, SparseVector | None):
            kind = type(self.vector).__name__
            raise InvalidDocument(
                f"the vector of document {quoted(self.id)} is {kind}, not a SparseVector"
            )
        for name, vector in self.dense_vectors().items():
            reason = _dense_reason(vector)
            if reason:
                where = f" {quoted(name)}" if name else ""
                raise InvalidDocument(
                    f"the dense vector{where} of document {quoted(self.id)} {reason}"
                )

    def dense_vectors(self) -> Mapping[str, Sequence[float]]:
        """Name -> dense vector; an unnamed one has the name ''."""
        if self.dense is None:
            return {}
        return self.dense if isinstance(self.dense, Mapping) else {"": self.dense}


@dataclass(frozen=True, kw_only=True, slots=True)
class StoredDocument:
    """A document as the store has it.

    Attributes:
        id: the id it was indexed under.
        payload: its fields, without vectors.
        vector: its sparse vector as stored (rounded where the store rounds), None if it has none.
        dense: its dense vectors by name, where an export with vectors read it; an unnamed one
            has the name ''.
    """

    id: DocumentId
    payload: Mapping[str, Any]
    vector: SparseVector | None = None
    dense: Mapping[str, Sequence[float]] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class LegScore:
    """A document's place in one leg of a hybrid search: rank from 1, and score."""

    rank: int
    score: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Hit:
    """One search result.

    Attributes:
        id: the document's id.
        score: the dot product of query and document, as the store computed it; the fused score
            of a hybrid search.
        payload: the stored fields; empty when `with_payload` was off.
        legs: for a hybrid search, the places in the legs that have the document; empty if the
            server fused and its answer does not say.
        group: with `group_by`, the value of that field; this is the best document that has it.
        more: with `group_by`, how many further documents found have this value; counted up to
            10,000.
        terms: with `with_terms`, the terms that query and document share, largest contribution
            first.
        snippet: with `with_terms`, the part of the text that has the most of them.
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
    """A part of a text, with the words marked that have terms of the query.

    Attributes:
        text: the part; "…" where it was cut.
        marks: (start, end) of each marked word in it.
    """

    text: str
    marks: tuple[tuple[int, int], ...] = ()

    def marked(self, before: str, after: str) -> str:
        """The text with something around each marked word, such as "<b>" and "</b>".

        The text itself is not escaped.
        """
        parts, last = [], 0
        for start, end in self.marks:
            parts += [self.text[last:start], before, self.text[start:end], after]
            last = end
        return "".join([*parts, self.text[last:]])


@dataclass(frozen=True, kw_only=True, slots=True)
class Total:
    """How many documents match.

    Attributes:
        value: the number.
        exact: whether there are no more; else there are at least so many.
    """

    value: int
    exact: bool = True


@dataclass(frozen=True, kw_only=True, slots=True)
class TermContribution:
    """One term that query and document share.

    Attributes:
        token: the term as the model's vocabulary spells it.
        text: the term as people read it: "…cine" for "##cine", "vaccine" for "▁vaccine".
        query_weight: its weight in the query.
        document_weight: its weight in the document, as stored.
        in_query: whether the query's own text has it; otherwise the model added it.
        in_document: whether the document's own text has it; otherwise the model added it.
    """

    token: str
    text: str
    query_weight: float
    document_weight: float
    in_query: bool
    in_document: bool

    @property
    def contribution(self) -> float:
        """What the term adds to the score."""
        return self.query_weight * self.document_weight


@dataclass(frozen=True, kw_only=True, slots=True)
class Explanation:
    """Why a document has its score for a query.

    Attributes:
        id: the document's id.
        query: the query's text; "" for a vector.
        score: the sum of the contributions.
        terms: the shared terms, largest contribution first.
        query_terms: number of terms of the query that were sent.
        document_terms: number of terms of the document.
    """

    id: DocumentId
    query: str
    score: float
    terms: tuple[TermContribution, ...]
    query_terms: int
    document_terms: int


@dataclass(frozen=True, kw_only=True, slots=True)
class LegContribution:
    """What one leg adds to a fused score.

    Attributes:
        leg: its name.
        rank: the document's rank in the leg's window, from 1; None when it is not in the window.
        score: the leg's score, None likewise.
        contribution: what it adds to the fused score; 0 when the document is not in the window.
    """

    leg: str
    rank: int | None
    score: float | None
    contribution: float


@dataclass(frozen=True, kw_only=True, slots=True)
class HybridExplanation:
    """Why a document has its fused score.

    Attributes:
        id: the document's id.
        query: the query's text; "" for a vector.
        score: the sum of the legs' contributions.
        legs: in the order of the search.
        sparse: the first sparse leg's score term by term; None without a sparse leg.
        terms: the same of every sparse leg, by its name.
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
    """Why this is not a dense vector, None when it is one."""
    if _is_multivector(vector):
        return (
            "is a list of vectors (a multivector), which is not supported: store one vector for "
            "each name, such as their mean; attach keeps multivectors that the store has"
        )
    try:
        finite = all(math.isfinite(value) for value in vector)
        length = len(vector)
    except Exception as error:  # whatever the values are: text, generators, numbers too large
        return f"holds no numbers: {words_of(error)}"
    if not length:
        return "is empty"
    return None if finite else "holds NaN or infinity"


def document_id(value: object) -> DocumentId:
    """The id that a value stands for: plain text, or a plain integer.

    Raises:
        InvalidDocument: unless it is a non-empty string, an integer or a UUID.
    """
    if isinstance(value, uuid.UUID):
        return str(value)
    if isinstance(value, str):
        return _text_id(str.__str__(value))
    # numpy counts its durations among the integers, and Python its booleans.
    is_integer = isinstance(value, int | np.integer)
    if not is_integer or isinstance(value, bool | np.timedelta64):
        raise InvalidDocument(
            f"a document id must be a string, an integer or a UUID, not {quoted(value)}"
        )
    number: int = int(value)  # type: ignore[call-overload]
    if number.bit_length() > _LARGEST_ID_BITS:
        raise InvalidDocument(
            f"a document id is an integer of at most {_LARGEST_ID_BITS} bits, not of "
            f"{number.bit_length()}; make a string of it"
        )
    return number


def _text_id(value: str) -> str:
    if value == "":
        raise InvalidDocument("a document id must not be the empty string")
    if not _is_unicode(value):
        raise InvalidDocument(
            f"the document id {quoted(value)} is not valid Unicode (half a surrogate)"
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
    """What a stored document was made of, kept beside it: equal as long as its source is.

    Attributes:
        marker: fingerprints of the settings and of the text, which the sparse vector was made of.
        content: fingerprint of everything else, payload and dense vectors; "" where only the
            vector is accounted for, because something else was changed since, or never written.
    """

    marker: str = ""
    content: str = ""

    def to_text(self) -> str:
        """Both in one; the inverse of `parse`."""
        return f"{self.marker}-{self.content}" if self.content else self.marker

    @classmethod
    def parse(cls, text: str) -> Stamp:
        """The stamp in a text; settings and text have one part each, the content has the third."""
        settings, _, rest = text.partition("-")
        fingerprint, _, content = rest.partition("-")
        return cls(marker=f"{settings}-{fingerprint}" if rest else "", content=content)


@dataclass(frozen=True, kw_only=True, slots=True)
class EncodedDocument:
    """A document with its sparse vector.

    Attributes:
        document: as it was given.
        vector: encoded and pruned.
        payload: the fields to store, text included.
        stamp: what all of it was made of.
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
        id: its id, None if the row had none.
        reason: why, in one sentence that quotes nothing of the document but its id and the names
            of its fields: it is printed and logged.
        line: where it came from (1-based line of a file), when known.
        file: that file, where several were read.
        retryable: the store was too busy (429): sending it again may succeed.
        final: the same document again can only fail, or do harm: an id that an earlier document
            of the run has taken, a payload that is not JSON, a row that is not a document.
        detail: the server's own words, which may quote the document; "" where `reason` says all.
            Kept in a file of dead letters that holds the documents as well, and nowhere else.
        letter: the dead letter that it was read from, to be kept as it is.
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
