"""What the verbs of one store share: its backend, its encoder, and one look at the server."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from splade_connectors.backends.feature_names import Keys
from splade_connectors.backends.protocol import Backend, Capabilities, Description
from splade_connectors.encoders.base import SparseEncoder
from splade_connectors.errors import ManifestMismatch, NotFound, NotSupported
from splade_connectors.filters.reference import paths_in
from splade_connectors.manifest import IndexManifest, KeyStyle
from splade_connectors.options import Precision, PruneOptions
from splade_connectors.runtime.effects import Steps
from splade_connectors.vectors import SparseVector

_TEXT_FIELDS = ("text",)


@dataclass(frozen=True, kw_only=True, slots=True)
class Inspection:
    """What is there: the store's capabilities and the manifest of the index."""

    location: str
    capabilities: Capabilities
    documents: int | None
    manifest: IndexManifest | None

    def to_json(self) -> dict[str, Any]:
        """A JSON object."""
        found = self.capabilities
        return {
            "target": self.location,
            "backend": found.backend,
            "version": found.version_text,
            "exists": found.exists,
            "has_field": found.has_field,
            "documents": self.documents,
            "max_query_terms": found.max_query_terms,
            **found.details,
            "manifest": self.manifest.to_json() if self.manifest else None,
        }


@dataclass(frozen=True, kw_only=True, slots=True)
class Recipe:
    """How texts become the vectors of one index.

    Attributes:
        manifest: the settings that markers stand for.
        encoder: of documents; it cuts texts as those of the index were cut.
        prune: which terms of a document are dropped.
    """

    manifest: IndexManifest
    encoder: SparseEncoder
    prune: PruneOptions

    def vector(self, text: str) -> SparseVector:
        """The pruned vector of a text; an empty one of a text without words."""
        if not text.strip():
            return SparseVector.empty()
        vector: SparseVector = self.encoder.encode_documents([text])[0]
        return vector.prune(self.prune)

    def marker(self, text: str) -> str:
        """Fingerprints of the settings and of a text: equal if nothing has changed."""
        return marker_of(self.manifest, text)


class Session:
    """The verbs of one store stand on this. Nothing in it changes but the last look, as a whole.

    Args:
        backend: the adapter's part.
        encoder: gives the encoder; called when it is first needed, because loading takes time.
        prune: applied to documents before they are stored; None takes what the index was written
            with, and for a new one nothing is dropped.
        override_manifest: use the index although it was written with another model.
    """

    def __init__(
        self,
        backend: Backend,
        encoder: Callable[[], SparseEncoder],
        prune: PruneOptions | None,
        override_manifest: bool,
    ) -> None:
        self.backend = backend
        self.encoder = encoder
        self.overrides = override_manifest
        self._prune = prune
        self._seen: Description | None = None
        # The look whose manifest was found to fit queries of this encoder.
        self._fits_queries: Description | None = None
        # Of legs over other vectors, by name and encoder: what they saw is kept, too.
        self._beside: dict[tuple[str | None, int], Session] = {}

    def look(self) -> Steps[Description]:
        """What the server told when it was asked last, if there was something to search then."""
        # Into a name of our own first: another thread may forget it meanwhile.
        seen = self._seen
        if seen is None or not seen.capabilities.has_field:
            return (yield from self.look_again())
        return seen

    def look_for(self, filters: Iterable[Any]) -> Steps[Description]:
        """The same; what the server tells now, where a condition names a field that came since."""
        seen = yield from self.look()
        if all(map(seen.knows, paths_in(filters))):
            return seen
        # Whoever wrote documents since may have brought the field.
        return (yield from self.look_again())

    def look_again(self) -> Steps[Description]:
        """What the server tells now."""
        return self.keep((yield from self.backend.describe()))

    def is_outdated(self) -> Steps[bool]:
        """Whether the vectors of the last look are no longer the index's; looks again."""
        before = self._seen
        now = yield from self.look_again()
        return before is not None and (before.vector, before.manifest) != (now.vector, now.manifest)

    def keep(self, seen: Description) -> Description:
        """What later verbs go by."""
        self._seen = seen
        return seen

    def forget(self) -> None:
        """The next verb looks again: the index has changed."""
        self._seen = None
        self._beside.clear()

    def beside(self, vector: str | None, encoder: SparseEncoder | None) -> Session:
        """The session of another sparse vector of the same collection.

        Args:
            vector: its name; None for the target's.
            encoder: of queries for it; None for this session's.

        Raises:
            NotSupported: when the store searches one vector only.
        """
        hybrid = self.backend.hybrid
        if hybrid is None:
            raise NotSupported(f"{self.backend.location} cannot combine several legs")
        known = (vector, id(encoder))
        if known not in self._beside:
            given = self.encoder if encoder is None else _always(encoder)
            backend = hybrid.beside(vector, Keys(given))
            self._beside[known] = Session(backend, given, self._prune, self.overrides)
        return self._beside[known]

    def over(self, backend: Backend) -> Session:
        """The same encoder and settings over another backend."""
        return Session(backend, self.encoder, self._prune, self.overrides)

    def check_for_queries(self, seen: Description) -> None:
        """Refuse an index whose vectors this encoder's queries do not fit, once for each look.

        Raises:
            ManifestMismatch: naming what differs.
            NotSupported: when the store does not tell the encoder's terms apart.
        """
        if self._fits_queries is seen:
            return
        where = self.backend.location
        check_vocabulary(seen.capabilities, self.encoder, where)
        if seen.manifest and not self.overrides:
            mine = self.recipe(seen, (), for_queries=True).manifest
            seen.manifest.check(mine, use="query", where=where)
        if seen.capabilities.term_names and not self.overrides:
            check_terms(seen.capabilities, self.encoder(), where)
        self._fits_queries = seen

    def recipe(
        self, seen: Description, text_fields: Sequence[str], *, for_queries: bool = False
    ) -> Recipe:
        """How this process would write to the index that was seen.

        Where no pruning and no length of texts was asked for, those of the index go on.

        Args:
            seen: of the store.
            text_fields: of the documents.
            for_queries: whether nothing will be written: then the encoder's precision stays.

        Raises:
            MissingDependency: when the index has a precision that needs what is not installed.
            NotSupported: when the store does not tell the encoder's terms apart.
            ConfigurationError: when the encoder is for queries only, and documents are to follow.
        """
        check_vocabulary(seen.capabilities, self.encoder, self.backend.location)
        stored = seen.manifest
        prune = self._prune or PruneOptions()
        encoder = self.encoder()
        if not for_queries:
            encoder.check_documents()
        if stored is not None:
            precision = encoder.spec.precision if for_queries else stored.precision
            encoder = _fitted(encoder, stored, precision)
            if self._prune is None:
                prune = PruneOptions(top_k=stored.prune_top_k, max_ratio=stored.prune_max_ratio)
        manifest = replace(
            manifest_of(encoder, prune, text_fields, seen.capabilities.key_style),
            tuning=stored.tuning if stored is not None and stored.outdated else None,
        )
        return Recipe(manifest=manifest, encoder=encoder, prune=prune)


def manifest_of(
    encoder: SparseEncoder, prune: PruneOptions, text_fields: Sequence[str], key_style: KeyStyle
) -> IndexManifest:
    """What vectors of this encoder are made with."""
    spec = encoder.spec
    return IndexManifest(
        model=spec.model,
        revision=spec.revision,
        tokenizer=spec.tokenizer,
        activation=spec.activation,
        max_length=spec.max_length,
        long_text=spec.long_text,
        passage_overlap=spec.passage_overlap if spec.long_text == "passages" else None,
        precision=spec.precision,
        prune_top_k=prune.top_k,
        prune_max_ratio=prune.max_ratio,
        key_style=key_style,
        text_fields=tuple(text_fields),
        query_side=spec.query_side,
    )


def _always(encoder: SparseEncoder) -> Callable[[], SparseEncoder]:
    return lambda: encoder


def check_exists(session: Session, seen: Description) -> None:
    """Refuse a collection or index that is not there.

    Raises:
        NotFound: saying what would create it.
    """
    if not seen.capabilities.exists:
        where = session.backend.location
        raise NotFound(f"{where} does not exist; `splade-connectors index` creates it")


def check_terms(found: Capabilities, encoder: SparseEncoder, where: str) -> None:
    """Refuse an index that holds terms which this encoder does not have.

    Raises:
        ManifestMismatch: naming some.
    """
    strange = foreign_terms(found, encoder)
    if strange:
        shown = ", ".join(map(repr, strange[:3]))
        raise ManifestMismatch(
            f"{where} holds terms that {encoder.spec.model!r} does not have (for example {shown}), "
            "and no manifest says which model wrote them: its queries would miss what they name. "
            "Use that model, or override_manifest=True (--override-manifest) to search all the same"
        )


def check_vocabulary(found: Capabilities, encoder: Callable[[], SparseEncoder], where: str) -> None:
    """Refuse a model with more terms than the store tells apart: scores would be of other terms.

    Raises:
        NotSupported: with both numbers.
    """
    most = found.max_vocabulary
    if most is None:
        return
    spec = encoder().spec
    if spec.vocabulary > most:
        raise NotSupported(
            f"{where} tells {most:,} terms apart, and {spec.model!r} has a vocabulary of "
            f"{spec.vocabulary:,}: its scores would mix terms up; use a model with a smaller "
            "vocabulary, or another kind of field or store"
        )


def foreign_terms(found: Capabilities, encoder: SparseEncoder) -> list[str]:
    """Of the terms that were seen in an index, those that the encoder does not have."""
    keys = Keys(lambda: encoder, found.key_style)
    indices = {name: keys.index(name) for name in found.term_names}
    most = encoder.spec.vocabulary
    return [name for name, at in indices.items() if at is None or at >= most]


def marker_of(manifest: IndexManifest | None, text: str) -> str:
    """Fingerprints of the settings and of a text; without a manifest, of the text alone."""
    settings = manifest.fingerprint() if manifest else ""
    return f"{settings}-{hashlib.sha256(text.encode('utf-8', 'replace')).hexdigest()[:16]}"


def text_fields_of(seen: Description) -> tuple[str, ...]:
    """Payload fields that the texts of an index are made of, by its manifest."""
    return seen.manifest.text_fields if seen.manifest else _TEXT_FIELDS


def inspect(session: Session) -> Steps[Inspection]:
    """Capabilities and manifest as they are now, and the number of documents."""
    seen = yield from session.look_again()
    found = seen.capabilities
    count = (yield from session.backend.documents(seen)) if found.exists else None
    return Inspection(
        location=session.backend.location,
        capabilities=found,
        documents=count,
        manifest=seen.manifest,
    )


def _fitted(encoder: SparseEncoder, stored: IndexManifest, precision: Precision) -> SparseEncoder:
    spec = encoder.spec
    same = (spec.revision, spec.tokenizer) == (stored.revision, stored.tokenizer)
    # Revisions of an outdated manifest are made in another way.
    if spec.model != stored.model or not (same or stored.outdated):
        return encoder
    return encoder.fitted(stored.max_length, stored.long_text, stored.passage_overlap, precision)
