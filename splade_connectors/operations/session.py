"""What a store's verbs share: backend, encoder, and a cached description of the server."""

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
    """Result of `inspect`: the store's capabilities and the manifest of the index.

    Attributes:
        location: of the collection or index.
        capabilities: what it is and can do.
        documents: their number; None if it does not exist.
        with_vectors: number of those with a sparse vector; None without a field for them.
        manifest: what its vectors were made with; None without one.
    """

    location: str
    capabilities: Capabilities
    documents: int | None
    manifest: IndexManifest | None
    with_vectors: int | None = None

    def to_json(self) -> dict[str, Any]:
        """Return a JSON object."""
        found = self.capabilities
        return {
            "target": self.location,
            "backend": found.backend,
            "version": found.version_text,
            "exists": found.exists,
            "has_field": found.has_field,
            "documents": self.documents,
            "with_vectors": self.with_vectors,
            "max_query_terms": found.max_query_terms,
            **found.details,
            "manifest": self.manifest.to_json() if self.manifest else None,
        }


@dataclass(frozen=True, kw_only=True, slots=True)
class Recipe:
    """How texts are encoded for one index.

    Attributes:
        manifest: settings that markers refer to.
        encoder: document encoder, with the maximum length of the index.
        prune: how document vectors are pruned.
    """

    manifest: IndexManifest
    encoder: SparseEncoder
    prune: PruneOptions

    def vector(self, text: str) -> SparseVector:
        """Return the pruned vector of a text; an empty one for a blank text."""
        if not text.strip():
            return SparseVector.empty()
        vector: SparseVector = self.encoder.encode_documents([text])[0]
        return vector.prune(self.prune)

    def marker(self, text: str) -> str:
        """Return the fingerprints of settings and text, equal if nothing has changed."""
        return marker_of(self.manifest, text)


class Session:
    """The basis of a store's verbs. Immutable, except for the cached description.

    Args:
        backend: backend of the adapter.
        encoder: returns the encoder; called on first use, because loading is slow.
        prune: pruning of document vectors; None means the index's setting, and none for a new
            index.
        override_manifest: use the index even if another model wrote it.
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
        # The description whose manifest was found to fit this encoder's queries.
        self._fits_queries: Description | None = None
        # Sessions of legs over other vectors, by name and encoder, with their own descriptions.
        self._beside: dict[tuple[str | None, int], Session] = {}

    def look(self) -> Steps[Description]:
        """Return the cached description if there was something to search; otherwise ask again."""
        # A local variable, because another thread may forget it concurrently.
        seen = self._seen
        if seen is None or not seen.capabilities.has_field:
            return (yield from self.look_again())
        return seen

    def look_for(self, filters: Iterable[Any]) -> Steps[Description]:
        """As `look`, but ask again if a filter names a field that is not known yet."""
        seen = yield from self.look()
        if all(map(seen.knows, paths_in(filters))):
            return seen
        # Documents written since may have added the field.
        return (yield from self.look_again())

    def look_again(self) -> Steps[Description]:
        """Ask the server for the current description."""
        return self.keep((yield from self.backend.describe()))

    def is_outdated(self) -> Steps[bool]:
        """Ask again, and return whether vector or manifest have changed since the last time."""
        before = self._seen
        now = yield from self.look_again()
        return before is not None and (before.vector, before.manifest) != (now.vector, now.manifest)

    def keep(self, seen: Description) -> Description:
        """Cache a description for later verbs."""
        self._seen = seen
        return seen

    def forget(self) -> None:
        """Discard the cached description, because the index has changed."""
        self._seen = None
        self._beside.clear()

    def beside(self, vector: str | None, encoder: SparseEncoder | None) -> Session:
        """Return the session of another sparse vector in the same collection.

        Args:
            vector: name of the vector; None for the target's.
            encoder: encoder of its queries; None for this session's.

        Raises:
            NotSupported: if the store searches only one vector.
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
        """Return a session with the same encoder and settings over another backend."""
        return Session(backend, self.encoder, self._prune, self.overrides)

    def check_for_queries(self, seen: Description) -> None:
        """Refuse an index that does not fit this encoder's queries; checked once per description.

        Raises:
            ManifestMismatch: naming what differs.
            NotSupported: if the store cannot distinguish all of the encoder's terms.
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
        self,
        seen: Description,
        text_fields: Sequence[str],
        *,
        for_queries: bool = False,
        like: IndexManifest | None = None,
    ) -> Recipe:
        """Return how this process would encode documents for the index.

        Pruning and maximum length default to those of the index, or of given vectors.

        Args:
            seen: description of the index.
            text_fields: text fields of the documents.
            for_queries: nothing will be written, so keep the encoder's own precision.
            like: settings of precomputed vectors, for an index without a manifest.

        Raises:
            MissingDependency: if the index's precision needs a package that is not installed.
            NotSupported: if the store cannot distinguish all of the encoder's terms.
            ConfigurationError: if documents are to be written, but the encoder is query-only.
        """
        check_vocabulary(seen.capabilities, self.encoder, self.backend.location)
        stored = seen.manifest or like
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
    """Return the manifest for vectors of this encoder."""
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
    """Refuse a collection or index that does not exist.

    Raises:
        NotFound: naming the command that creates it.
    """
    if not seen.capabilities.exists:
        where = session.backend.location
        raise NotFound(f"{where} does not exist; `splade-connectors index` creates it")


def check_terms(found: Capabilities, encoder: SparseEncoder, where: str) -> None:
    """Refuse an index with terms that this encoder does not have.

    Raises:
        ManifestMismatch: naming a few of them.
    """
    strange = foreign_terms(found, encoder)
    if strange:
        shown = ", ".join(map(repr, strange[:3]))
        raise ManifestMismatch(
            f"{where} contains terms that {encoder.spec.model!r} does not have (for example "
            f"{shown}) and no manifest, so another model wrote it and queries would miss them; use "
            "that model, or search anyway with override_manifest=True (--override-manifest)"
        )


def check_vocabulary(found: Capabilities, encoder: Callable[[], SparseEncoder], where: str) -> None:
    """Refuse a model with more terms than the store can distinguish: scores would be wrong.

    Raises:
        NotSupported: with both numbers.
    """
    most = found.max_vocabulary
    if most is None:
        return
    spec = encoder().spec
    if spec.vocabulary > most:
        raise NotSupported(
            f"{where} can distinguish only {most:,} terms, but {spec.model!r} has a vocabulary of "
            f"{spec.vocabulary:,}, so scores would mix up terms; use a model with a smaller "
            "vocabulary, or another kind of field or store"
        )


def foreign_terms(found: Capabilities, encoder: SparseEncoder) -> list[str]:
    """Return the known terms of an index that the encoder does not have."""
    keys = Keys(lambda: encoder, found.key_style)
    indices = {name: keys.index(name) for name in found.term_names}
    most = encoder.spec.vocabulary
    return [name for name, at in indices.items() if at is None or at >= most]


def marker_of(manifest: IndexManifest | None, text: str) -> str:
    """Return the fingerprints of settings and text, or of the text alone without a manifest."""
    settings = manifest.fingerprint() if manifest else ""
    return f"{settings}-{hashlib.sha256(text.encode('utf-8', 'replace')).hexdigest()[:16]}"


def text_fields_of(seen: Description) -> tuple[str, ...]:
    """Return the text fields of an index, according to its manifest."""
    return seen.manifest.text_fields if seen.manifest else _TEXT_FIELDS


def inspect(session: Session) -> Steps[Inspection]:
    """Return the current capabilities, manifest and number of documents."""
    seen = yield from session.look_again()
    found = seen.capabilities
    count = (yield from session.backend.documents(seen)) if found.exists else None
    return Inspection(
        location=session.backend.location,
        capabilities=found,
        documents=count,
        manifest=seen.manifest,
        with_vectors=(yield from session.backend.count(seen)) if found.has_field else None,
    )


def _fitted(encoder: SparseEncoder, stored: IndexManifest, precision: Precision) -> SparseEncoder:
    spec = encoder.spec
    same = (spec.revision, spec.tokenizer) == (stored.revision, stored.tokenizer)
    # Revisions in an outdated manifest were computed differently.
    if spec.model != stored.model or not (same or stored.outdated):
        return encoder
    return encoder.fitted(stored.max_length, stored.long_text, stored.passage_overlap, precision)
