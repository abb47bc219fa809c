"""What a store can do, as steps: written once, driven by `Store` and by `AsyncStore`."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from splade_connectors.backends.protocol import Backend, Capabilities, HybridBackend, Plan
from splade_connectors.documents import (
    Document,
    DocumentId,
    Explanation,
    StoredDocument,
    check_id,
)
from splade_connectors.encoders.base import SparseEncoder
from splade_connectors.errors import (
    ConfigurationError,
    ManifestMismatch,
    NotFound,
)
from splade_connectors.fusion.tuning import Tuning, no_manifest
from splade_connectors.manifest import IndexManifest
from splade_connectors.operations.edit import _FETCHED_AT_ONCE, _only_field, checked_changes
from splade_connectors.operations.explain import contributions
from splade_connectors.operations.search import Hits, _fields, _no_terms, cap_terms
from splade_connectors.options import PruneOptions, SearchOptions, WriteOptions
from splade_connectors.payloads import text_of
from splade_connectors.runtime.effects import Compute, Steps
from splade_connectors.vectors import SparseVector


@dataclass(frozen=True, kw_only=True, slots=True)
class Inspection:
    """What is there: the store's capabilities and the manifest of the index."""

    location: str
    capabilities: Capabilities
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
            "documents": found.documents,
            "max_query_terms": found.max_query_terms,
            **found.details,
            "manifest": self.manifest.to_json() if self.manifest else None,
        }


class Verbs:
    """The verbs of one store.

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
        self.prune = prune or PruneOptions()
        self._given_prune = prune
        self._override = override_manifest
        self._capabilities: Capabilities | None = None
        self._manifest: IndexManifest | None = None
        self._manifest_read = False
        self._query_checked = False
        self._fitted: SparseEncoder | None = None

    @cached_property
    def hybrid_backend(self) -> HybridBackend | None:
        """The backend, if it can combine legs. Asked of every search, and dear to find out."""
        return self.backend if isinstance(self.backend, HybridBackend) else None

    def capabilities(self) -> Steps[Capabilities]:
        """Read once, then kept."""
        if self._capabilities is None:
            self._capabilities = yield from self.backend.describe()
        return self._capabilities

    def manifest(self) -> Steps[IndexManifest | None]:
        """Read once, then kept."""
        if not self._manifest_read:
            self._keep((yield from self.backend.read_manifest()))
        return self._manifest

    def tuning(self) -> Steps[Tuning | None]:
        """The fusion that the index keeps for hybrid searches.

        Raises:
            ConfigurationError: when what is kept is none, or one of a later version.
        """
        manifest = yield from self.manifest()
        if manifest is None or manifest.tuning is None:
            return None
        try:
            return Tuning.from_json(manifest.tuning)
        except ConfigurationError as error:
            raise ConfigurationError(
                f"the tuning in {self.backend.location} cannot be used: {error}; name a fusion, or "
                "remove it: store.save_tuning(None) (tune --forget)"
            ) from error

    def save_tuning(self, tuning: Tuning | None) -> Steps[None]:
        """Keep a tuning in the manifest, in place of an earlier one; None removes that.

        Raises:
            ConfigurationError: without a manifest, or when that names another sparse model.
        """
        manifest = yield from self.backend.read_manifest()
        if manifest is None:
            raise no_manifest(self.backend.location)
        if tuning and tuning.model != manifest.model:
            raise ConfigurationError(
                f"the tuning was made with the model {tuning.model!r}, {self.backend.location} "
                f"holds vectors of {manifest.model!r}; tune again on this index"
            )
        changed = replace(manifest, tuning=tuning.to_json() if tuning else None)
        if changed != manifest:
            yield from self.backend.write_manifest(changed)
        self._keep(changed)

    def _keep(self, manifest: IndexManifest | None) -> None:
        self._manifest = manifest
        self._manifest_read = True

    def inspect(self) -> Steps[Inspection]:
        """Capabilities, read anew, and manifest."""
        found = yield from self.backend.describe()
        manifest = (yield from self.backend.read_manifest()) if found.exists else None
        return Inspection(location=self.backend.location, capabilities=found, manifest=manifest)

    def prepare(self, documents: Sequence[Document], options: WriteOptions) -> Steps[Capabilities]:
        """Create what is absent, or check that what is there fits; then the capabilities."""
        before = yield from self.backend.describe()
        stored = (yield from self.backend.read_manifest()) if before.exists else None
        mine = self.own_manifest(before, options.text_fields, stored)
        override = self._override or options.override_manifest
        if stored and not override:
            stored.check(mine, use="write", where=self.backend.location)
        if before.has_field and stored is None and not override:
            yield from self._refuse_unknown_vectors()
        sizes = {
            name: len(vector)
            for document in reversed(documents)  # the first one decides
            for name, vector in document.dense_vectors().items()
        }
        yield from self.backend.prepare(mine, sizes, write_manifest=stored is None)
        self._capabilities = yield from self.backend.describe()
        self._keep(stored or mine)
        return self._capabilities

    def plan(self, query: str | SparseVector, options: SearchOptions) -> Steps[Plan]:
        """The request that `search` would send."""
        _, plan = yield from self._planned(query, options)
        return plan

    def search(self, query: str | SparseVector, options: SearchOptions) -> Steps[Hits]:
        """The best documents by dot product."""
        vector, plan = yield from self._planned(query, options)
        if not len(vector):
            return Hits.of((), plan)
        return Hits.of((yield from self.backend.search(plan)), plan)

    def explain(self, query: str, id: DocumentId) -> Steps[Explanation]:
        """The terms that query and document share, and what each adds to the score."""
        found = yield from self.capabilities()
        yield from self._check_for_queries(found)
        vector, _ = cap_terms((yield from self._query_vector(query)), found.max_query_terms)
        document = (yield from self.get([id], with_vectors=True))[0]
        stored = SparseVector.empty() if document.vector is None else document.vector
        text = text_of(document.payload, self._text_fields())
        encoder = self.encoder()
        terms = contributions(
            encoder, vector, stored, encoder.own_terms(query), encoder.own_terms(text)
        )
        return Explanation(
            id=document.id,
            query=query,
            score=sum(term.contribution for term in terms),
            terms=tuple(terms),
            query_terms=len(vector),
            document_terms=len(stored),
        )

    def get(self, ids: Sequence[DocumentId], *, with_vectors: bool) -> Steps[list[StoredDocument]]:
        """These documents, in this order.

        Raises:
            NotFound: naming the ids that are not there.
        """
        for id in ids:
            check_id(id)
        documents = yield from self.backend.fetch(ids, with_vectors=with_vectors)
        if len(documents) < len(ids):
            present = {str(document.id) for document in documents}
            missing = ", ".join(repr(id) for id in ids if str(id) not in present)
            raise NotFound(f"{self.backend.location} has no document {missing}")
        return documents

    def known(self, ids: Sequence[DocumentId]) -> Steps[list[DocumentId]]:
        """Those of the ids that are there, asked for in portions."""
        found: list[DocumentId] = []
        for start in range(0, len(ids), _FETCHED_AT_ONCE):
            portion = ids[start : start + _FETCHED_AT_ONCE]
            documents = yield from self.backend.fetch(portion, with_vectors=False)
            found += [document.id for document in documents]
        return found

    def update(
        self, id: DocumentId, text: str | None, payload: Mapping[str, Any] | None
    ) -> Steps[None]:
        """Change the text or fields of a document; its vector follows, the rest stays."""
        found = yield from self.capabilities()
        document = (yield from self.get([id], with_vectors=False))[0]
        stored = yield from self.backend.read_manifest()
        if stored:
            mine = self.own_manifest(found, stored.text_fields, stored)
            if not self._override:
                stored.check(mine, use="write", where=self.backend.location)
        self._keep(stored)
        fields = stored.text_fields if stored else ("text",)
        changes = checked_changes(payload)
        if text is not None:
            changes[_only_field(fields)] = text
        vector: SparseVector | None = None
        whole = text_of({**document.payload, **changes}, fields)
        if any(field in changes for field in fields):
            vector = yield Compute(lambda: self._document_vector(whole))
        if changes:
            marker = self.marker(whole) if vector is not None else ""
            yield from self.backend.update(id, changes, vector, marker)

    def _planned(
        self, query: str | SparseVector, options: SearchOptions
    ) -> Steps[tuple[SparseVector, Plan]]:
        vector, warnings = yield from self.query_terms(query, options)
        if not len(vector):
            return vector, _no_terms(warnings)
        plan = yield from self.backend.plan(vector, options)
        return vector, replace(plan, warnings=warnings + plan.warnings)

    def query_terms(
        self, query: str | SparseVector, options: SearchOptions
    ) -> Steps[tuple[SparseVector, tuple[str, ...]]]:
        """The query's vector as it is sent, after checking the index; and what to warn of."""
        found = yield from self.capabilities()
        warnings = yield from self._check_for_queries(found)
        vector = yield from self._query_vector(query)
        count = len(vector)
        limit = min(options.max_query_terms or count, found.max_query_terms or count)
        vector, dropped = cap_terms(vector, limit)
        if dropped:
            warnings += (
                f"the query has {count} terms; the {len(vector)} heaviest are "
                "sent (the limit of clauses in a query, or max_query_terms)",
            )
        return vector, warnings

    def _query_vector(self, query: str | SparseVector) -> Steps[SparseVector]:
        if isinstance(query, SparseVector):
            return query
        if not isinstance(query, str):
            kind = type(query).__name__
            raise ConfigurationError(f"a query is a text or a SparseVector, not {kind}")
        if not query.strip():
            return SparseVector.empty()
        vector: SparseVector = yield Compute(lambda: self.encoder().encode_queries([query])[0])
        return vector

    def _check_for_queries(self, found: Capabilities) -> Steps[tuple[str, ...]]:
        """Refuse another model's index, once; the warnings for an index that does not say."""
        where = self.backend.location
        if not found.exists:
            raise NotFound(f"{where} does not exist; `splade-connectors index` creates it")
        if not found.has_field:
            raise NotFound(f"{where} has no sparse vectors under this name; {_fields(found)}")
        if not self._query_checked:
            manifest = yield from self.manifest()
            if manifest and not self._override:
                manifest.check(self.own_manifest(found, ()), use="query", where=where)
            self._query_checked = True
        if self._manifest is None:
            return ("the index has no manifest: nothing tells which model wrote it",)
        return ()

    def _refuse_unknown_vectors(self) -> Steps[None]:
        written = yield from self.backend.count()
        if written:
            raise ManifestMismatch(
                f"{self.backend.location} holds {written} sparse vectors and no manifest that says "
                "which model wrote them; override_manifest=True (--override-manifest) adds to them"
            )

    def own_manifest(
        self,
        found: Capabilities,
        text_fields: Sequence[str],
        stored: IndexManifest | None = None,
    ) -> IndexManifest:
        """The manifest of what this process would write.

        Args:
            found: of the store.
            text_fields: of the documents.
            stored: of the index; where no pruning and no length of texts was asked for, its own
                goes on.
        """
        if stored is not None and self._given_prune is None:
            self.prune = PruneOptions(top_k=stored.prune_top_k, max_ratio=stored.prune_max_ratio)
        if stored is not None:
            self._fit(stored)
        spec = self.document_encoder().spec
        return IndexManifest(
            model=spec.model,
            revision=spec.revision,
            tokenizer=spec.tokenizer,
            activation=spec.activation,
            max_length=spec.max_length,
            long_text=spec.long_text,
            passage_overlap=spec.passage_overlap if spec.long_text == "passages" else None,
            prune_top_k=self.prune.top_k,
            prune_max_ratio=self.prune.max_ratio,
            key_style=found.key_style,
            text_fields=tuple(text_fields),
        )

    def document_encoder(self) -> SparseEncoder:
        """The encoder of documents, which cuts texts as those of the index were cut."""
        return self._fitted or self.encoder()

    def _fit(self, stored: IndexManifest) -> None:
        encoder = self.document_encoder()  # which stays as it is where it is fitted already
        model = (encoder.spec.model, encoder.spec.revision, encoder.spec.tokenizer)
        if model == (stored.model, stored.revision, stored.tokenizer):
            self._fitted = encoder.fitted(
                stored.max_length, stored.long_text, stored.passage_overlap
            )

    @property
    def overrides(self) -> bool:
        """Whether another model's index is used all the same."""
        return self._override

    @property
    def text_fields(self) -> tuple[str, ...]:
        """Payload fields that texts are made of, by the manifest in use."""
        return self._text_fields()

    def over(self, backend: Any) -> Verbs:
        """The same encoder and settings over another backend."""
        made = Verbs(backend, self.encoder, self._given_prune, self._override)
        made._fitted = self._fitted
        return made

    def forget(self) -> None:
        """Read anew what the index says: it has changed."""
        self._manifest = self._capabilities = None
        self._query_checked = self._manifest_read = False

    def use_manifest(self, manifest: IndexManifest) -> None:
        """Mark what is written from now on with these settings."""
        self._keep(manifest)
        self._capabilities = None

    def marker(self, text: str) -> str:
        """Fingerprints of the index's settings and of a text: equal where nothing has changed."""
        settings = self._manifest.fingerprint() if self._manifest else ""
        return f"{settings}-{hashlib.sha256(text.encode('utf-8', 'replace')).hexdigest()[:16]}"

    def _document_vector(self, text: str) -> SparseVector:
        if not text.strip():
            return SparseVector.empty()
        vector: SparseVector = self.document_encoder().encode_documents([text])[0]
        return vector.prune(self.prune)

    def _text_fields(self) -> tuple[str, ...]:
        return self._manifest.text_fields if self._manifest else ("text",)
