"""What attaching asks for, reads and writes, as values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from splade_connectors.documents import DocumentId
from splade_connectors.errors import ConfigurationError
from splade_connectors.keys import KeyStyle
from splade_connectors.options import WriteOptions
from splade_connectors.texts import check_text_fields
from splade_connectors.vectors import SparseVector

Which = Literal["all", "missing", "attached"]


@dataclass(frozen=True, kw_only=True, slots=True)
class AttachOptions:
    """How vectors are attached.

    Attributes:
        text_fields: payload fields that the text is made of, joined by a space: names, or paths
            into objects ("author.bio"). Empty takes those of the manifest.
        recheck: compare every stored vector with a fresh encoding. Without it, where documents
            carry a marker the texts are compared by their hash, and elsewhere only documents
            without a vector are read.
        mark: on Qdrant: keep a hash of the text in the payload of each point, so that edited texts
            are found without encoding them.
        replace_model: encode all documents with another model or other settings under a second
            name, and switch to it when it is complete.
        copy_to: on Qdrant: copy the collection to this new one first, and attach there; for servers
            that cannot add a vector to what exists.
        switch_alias: with `copy_to`: the alias that names the copy when all is verified.
        part: (i, n): only the i-th of n parts of the documents (i from 0), for several machines
            that share the work.
        verify: vectors that are read back at the end and compared with fresh encodings.
        write: sizes of chunks and windows, and patience.
    """

    text_fields: tuple[str, ...] = ()
    recheck: bool = False
    mark: bool = False
    replace_model: bool = False
    copy_to: str | None = None
    switch_alias: str | None = None
    part: tuple[int, int] | None = None
    verify: int = 100
    write: WriteOptions = field(default_factory=WriteOptions)

    def __post_init__(self) -> None:
        if isinstance(self.text_fields, str):
            raise ConfigurationError(
                f"text_fields are names, such as ('title', 'body'), not {self.text_fields!r}"
            )
        check_text_fields(self.text_fields)
        if self.verify < 0:
            raise ConfigurationError(f"verify must be at least 0, not {self.verify!r}")
        if self.part is not None:
            check_part(*self.part)
        if self.switch_alias and not self.copy_to:
            raise ConfigurationError("switch_alias (--switch-alias) goes with copy_to (--copy-to)")
        if self.copy_to and (self.replace_model or self.part):
            raise ConfigurationError(
                "a collection is copied in one run, to a copy that has no vectors yet: leave "
                "replace_model and part away"
            )


def check_part(number: int, parts: int) -> None:
    """Refuse a part that is none.

    Raises:
        ConfigurationError: unless 0 <= number < parts.
    """
    if parts < 1 or not 0 <= number < parts:
        raise ConfigurationError(
            f"a part is one of 0/{parts} to {parts - 1}/{parts}, not {number}/{parts}"
            if parts > 0
            else f"there are at least 1 parts, not {parts}"
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Selection:
    """Which stored documents are read, and what of them.

    Attributes:
        which: all, those that lack a vector of these settings, or those that have any from us.
        settings: fingerprint of the settings.
        fields: text fields, as paths.
        with_vectors: whether the stored sparse vectors are read, too.
        size: most documents of a page.
        part: as in `AttachOptions`.
    """

    which: Which
    settings: str
    fields: tuple[str, ...]
    with_vectors: bool = False
    size: int = 512
    part: tuple[int, int] | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Found:
    """A stored document, as attaching reads it.

    Attributes:
        id: its id.
        payload: the selected fields.
        marker: what its vector was made of, as it is marked; None where it is not.
        vector: the stored sparse vector, None where it was not asked for or is not there.
        handle: what the backend needs to write to exactly this version of it.
    """

    id: DocumentId
    payload: Mapping[str, Any]
    marker: str | None = None
    vector: SparseVector | None = None
    handle: Any = field(default=None, repr=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class Page:
    """Some of the selected documents.

    Attributes:
        documents: in the store's order.
        next: the cursor of the next page, None after the last one.
    """

    documents: Sequence[Found]
    next: Any


@dataclass(frozen=True, kw_only=True, slots=True)
class Attachment:
    """A sparse vector for a stored document.

    Attributes:
        found: the document, in the version whose text was encoded.
        vector: encoded and pruned; empty for a document without text.
        marker: what it was made of.
        text: what was encoded.
        fields: where the text was found.
    """

    found: Found
    vector: SparseVector
    marker: str
    text: str = field(default="", repr=False)
    fields: tuple[str, ...] = ()

    @property
    def id(self) -> DocumentId:
        """The document's id."""
        return self.found.id


@dataclass(frozen=True, kw_only=True, slots=True)
class Conflict:
    """A document that was changed after it had been read: it is to be read again."""

    id: DocumentId


@dataclass(frozen=True, kw_only=True, slots=True)
class Gone:
    """A document that was deleted after it had been read."""

    id: DocumentId


@dataclass(frozen=True, kw_only=True, slots=True)
class Survey:
    """What a backend sees before anything is written.

    Attributes:
        documents: in the collection or index.
        missing: those without a vector of these settings.
        sample: some documents, with the text fields.
        present: paths with text in the sample.
        absent: selected fields that no document has.
        feature_names: of terms that the sparse field of the sample holds already.
        needs_copy: why vectors can only be attached to a copy; "" where that is not so.
        refusals: why attaching would lose or mix something; empty when it is safe.
        changes: what is to be created.
        notes: what attaching does that an owner should know.
        bytes_per_term: about how much room a term takes.
    """

    documents: int
    missing: int
    sample: tuple[Found, ...]
    present: tuple[str, ...]
    absent: tuple[str, ...] = ()
    feature_names: tuple[str, ...] = ()
    needs_copy: str = ""
    refusals: tuple[str, ...] = ()
    changes: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    bytes_per_term: float = 16.0


@dataclass(frozen=True, kw_only=True, slots=True)
class AttachPlan:
    """What `attach` would do.

    Attributes:
        target: the collection or index.
        backend: "qdrant", "elasticsearch", …
        version: of the server.
        vector: name of the vector or field that the sparse vectors go to.
        text_fields: what the text is made of.
        documents: in the collection or index.
        to_do: documents that get a vector; of those that have one, the ones whose text has changed
            are found while the run reads.
        without_text: of the sample, in per cent.
        present: paths with text in the sample.
        key_style: how the terms already there are named; None where there are none.
        model: name of the model.
        seconds: estimated, from a measured sample; None with nothing to do.
        terms: mean number of terms of a document in the sample.
        bytes: estimated storage.
        changes: what is created or written beside the vectors.
        notes: what an owner should know.
        refusals: why nothing would be done; empty when all is well.
    """

    target: str
    backend: str
    version: str
    vector: str
    text_fields: tuple[str, ...]
    documents: int
    to_do: int
    without_text: float
    present: tuple[str, ...]
    key_style: KeyStyle | None
    model: str
    seconds: float | None
    terms: float
    bytes: int
    changes: tuple[str, ...]
    notes: tuple[str, ...]
    refusals: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """A JSON object."""
        return {
            "target": self.target,
            "backend": self.backend,
            "version": self.version,
            "vector": self.vector,
            "text_fields": list(self.text_fields),
            "documents": self.documents,
            "to_do": self.to_do,
            "without_text_percent": round(self.without_text, 1),
            "fields_with_text": list(self.present),
            "key_style": self.key_style,
            "model": self.model,
            "estimated_seconds": None if self.seconds is None else round(self.seconds, 1),
            "terms_per_document": round(self.terms, 1),
            "estimated_bytes": self.bytes,
            "changes": list(self.changes),
            "notes": list(self.notes),
            "refusals": list(self.refusals),
        }
