"""The plan of an attach run: what it would do, what it would cost, and what prevents it."""

from __future__ import annotations

import difflib
import time
from dataclasses import dataclass
from typing import Any

from splade_connectors.backends.attaching import Selection, Survey, attach_backend
from splade_connectors.backends.feature_names import detect_style
from splade_connectors.backends.protocol import Description
from splade_connectors.backends.text_indexing import TextIndexSurvey
from splade_connectors.encoders.base import EncodeStats
from splade_connectors.errors import (
    ConfigurationError,
    ManifestMismatch,
    NotFound,
)
from splade_connectors.manifest import KeyStyle
from splade_connectors.operations.attach.text_index import survey_text_indexes
from splade_connectors.operations.encode import encode_texts
from splade_connectors.operations.session import Session
from splade_connectors.options import AttachOptions
from splade_connectors.payloads import text_of
from splade_connectors.runtime.effects import Steps

_SAMPLE = 64


@dataclass(frozen=True, kw_only=True, slots=True)
class AttachPlan:
    """What `attach` would do.

    Attributes:
        target: the collection or index.
        backend: "qdrant", "elasticsearch", …
        version: server version.
        vector: name of the vector or field that receives the sparse vectors.
        text_fields: fields that the text is built from; () if nothing is encoded.
        text_index: fields to index for BM25.
        documents: number of documents in the collection or index.
        to_do: number of documents without a vector; those whose text has changed are found only
            during the run.
        without_text: percentage of the sample without text.
        present: paths with text in the sample.
        key_style: how the existing terms are named; None if there are none.
        model: name of the model.
        seconds: estimated duration, extrapolated from a sample; None if not measured.
        terms: mean number of terms per document in the sample.
        bytes: estimated additional storage, in bytes.
        changes: what is created or written besides the vectors.
        notes: what the owner should know.
        refusals: reasons why the run would be refused; empty if there are none.
    """

    target: str
    backend: str
    version: str
    vector: str
    text_fields: tuple[str, ...]
    text_index: tuple[str, ...]
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
        """Return a JSON object."""
        return {
            "target": self.target,
            "backend": self.backend,
            "version": self.version,
            "vector": self.vector,
            "text_fields": list(self.text_fields),
            "text_index": list(self.text_index),
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


class Planner:
    """Plans one run.

    Args:
        session: session of the store.
        options: options of the run.
        seen: description of the collection or index.

    Attributes:
        indexing: what would happen to text indexes; set by `plan`.
    """

    def __init__(self, session: Session, options: AttachOptions, seen: Description) -> None:
        self._session = session
        self._options = options
        self._backend = attach_backend(session.backend)
        self.seen = seen
        self.indexing = TextIndexSurvey()
        self.recipe = session.recipe(seen, self._text_fields())

    def plan(self, *, measured: bool) -> Steps[AttachPlan]:
        """Survey the collection without writing anything.

        Args:
            measured: encode a sample to estimate time and storage.
        """
        found, selection = self.seen.capabilities, self.selection(self.seen)
        survey = yield from self._backend.survey(self.seen, selection)
        self.indexing = yield from survey_text_indexes(self._session, self.seen, self._options)
        refusals = [*survey.refusals, *self._refusals(survey), *self.indexing.refusals]
        texts = [text_of(item.payload, selection.fields) for item in survey.sample]
        seconds, terms = (yield from self._measure(texts)) if measured else (0.0, 0.0)
        blank = [text for text in texts if not text.strip()]
        return AttachPlan(
            target=self._session.backend.location,
            backend=found.backend,
            version=found.version_text,
            vector=self.seen.vector,
            text_fields=selection.fields,
            text_index=self._options.text_index,
            documents=survey.counts.documents,
            to_do=survey.counts.missing,
            without_text=100 * len(blank) / len(texts) if texts else 0.0,
            present=survey.present,
            key_style=self._style(survey),
            model=self.recipe.manifest.model,
            seconds=seconds * survey.counts.missing if measured else None,
            terms=terms,
            bytes=round(terms * survey.bytes_per_term * survey.counts.missing),
            changes=(*survey.changes, *self.indexing.changes),
            notes=(*survey.notes, *self.indexing.notes),
            refusals=tuple(refusals),
        )

    def selection(self, seen: Description) -> Selection:
        """Return what the first pass reads."""
        options, manifest = self._options, self.recipe.manifest
        marks = options.mark or self._backend.marks(seen)
        return Selection(
            which="all" if marks or options.recheck else "missing",
            settings=manifest.fingerprint(),
            fields=manifest.text_fields,
            mark=marks,
            with_vectors=options.recheck,
            size=options.write.portion_documents,
            part=options.part,
        )

    def _text_fields(self) -> tuple[str, ...]:
        stored = self.seen.manifest
        fields = self._options.text_fields or (stored.text_fields if stored else ())
        if not fields:
            raise ConfigurationError(
                f"{self._session.backend.location} has no manifest that names its text fields; "
                "name them with --text FIELD (text_fields=(…))"
            )
        return fields

    def _refusals(self, survey: Survey) -> list[str]:
        """Reasons to refuse: vectors of two models would be mixed, or there is no text."""
        refusals = []
        stored, overrides = self.seen.manifest, self._session.overrides
        if stored is not None and not overrides:
            try:
                where = self._session.backend.location
                stored.check(self.recipe.manifest, use="write", where=where)
            except ManifestMismatch as mismatch:
                refusals.append(
                    f"{mismatch}; --replace-model re-encodes everything under a second name and "
                    "switches to it once complete"
                )
        if stored is None and survey.feature_names and not overrides:
            style = self._style(survey)
            shown = ", ".join(map(repr, survey.feature_names[:3]))
            refusals.append(
                f"{self.seen.vector!r} already contains terms (style: {style}; for example "
                f"{shown}), and no manifest says which model wrote them: choose another name "
                "(?field=NAME, ?vector=NAME), run adopt if this model wrote them, overwrite them "
                "with --override-manifest, or run detach if they remained from a detach during an "
                "attach"
            )
        if survey.needs_copy and not self._options.copy_to:
            refusals.append(survey.needs_copy)
        if survey.counts.documents and survey.absent:
            names = ", ".join(survey.present[:20]) or "none"
            wanted = " and none in ".join(map(repr, survey.absent))
            refusals.append(f"no document has text in {wanted}; fields with text are: {names}")
        return refusals

    def _style(self, survey: Survey) -> KeyStyle | None:
        names = survey.feature_names
        return detect_style(names, self._session.encoder()) if names else None

    def _measure(self, texts: list[str]) -> Steps[tuple[float, float]]:
        """Measured seconds and terms per document."""
        sample = [text for text in texts[:_SAMPLE] if text.strip()]
        if not sample:
            return 0.0, 0.0
        # Warm up: the first batch sets up threads and memory.
        yield from encode_texts(self.recipe, sample[:2], EncodeStats())
        began = time.perf_counter()
        vectors = yield from encode_texts(self.recipe, sample, EncodeStats())
        seconds = (time.perf_counter() - began) / len(sample)
        return seconds, sum(map(len, vectors)) / len(vectors)


def describe_for_attaching(session: Session) -> Steps[Description]:
    """Describe the collection or index as it is now.

    Raises:
        NotFound: if it does not exist, suggesting similar names.
        NotSupported: if vectors cannot be attached to it.
    """
    attach_backend(session.backend)
    seen = yield from session.look_again()
    if not seen.capabilities.exists:
        raise NotFound((yield from _nowhere(session)))
    return seen


def pinned(session: Session, seen: Description) -> Steps[tuple[Session, Description]]:
    """Pin the collection or index that the name refers to now, even if an alias moves later."""
    backend = yield from attach_backend(session.backend).pinned(seen)
    return (session, seen) if backend is session.backend else (session.over(backend), seen)


def _nowhere(session: Session) -> Steps[str]:
    """The message that the collection or index does not exist, with similar names."""
    names = yield from attach_backend(session.backend).names()
    where = session.backend.location
    near = difflib.get_close_matches(where.rpartition("/")[2], names, n=3, cutoff=0.5)
    if near:
        return f"{where} does not exist; did you mean {' or '.join(map(repr, near))}?"
    others = f"; existing ones: {', '.join(sorted(names)[:10])}" if names else ""
    return f"{where} does not exist{others}"
