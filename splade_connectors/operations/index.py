"""The `index` verb: validate, encode, send in chunks, and account for every document."""

from __future__ import annotations

import time
from collections.abc import AsyncIterable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from splade_connectors.backends.protocol import Capabilities, Description
from splade_connectors.documents import (
    Document,
    DocumentId,
    EncodedDocument,
    Outcome,
    Rejected,
    Row,
    Written,
)
from splade_connectors.encoders.base import EncodeStats
from splade_connectors.encoders.dense import DenseSource
from splade_connectors.errors import (
    ConfigurationError,
    DeletionRefused,
    InvalidDocument,
    ManifestMismatch,
    WouldReplace,
)
from splade_connectors.files.dead_letters import DeadLetters, is_hopeless, named_file
from splade_connectors.manifest import IndexManifest
from splade_connectors.operations.densely import Densely
from splade_connectors.operations.encode import document_vectors
from splade_connectors.operations.encoded import check_made_by
from splade_connectors.operations.missing import Source, check_mirroring, delete_missing
from splade_connectors.operations.session import Recipe, Session
from splade_connectors.operations.unchanged import (
    Comparison,
    Draft,
    check_dense_kept,
    check_stamping,
    drafted,
    has_no_content,
    stamping,
)
from splade_connectors.options import OnProgress, Progress, RetryOptions, WriteOptions
from splade_connectors.payloads import values_at
from splade_connectors.runtime.effects import Compute, Join, Spawn, Steps
from splade_connectors.shown import counted, quoted
from splade_connectors.values import stored_payload
from splade_connectors.vectors import SparseVector
from splade_connectors.writing.chunks import PortionSize
from splade_connectors.writing.report import IndexReport
from splade_connectors.writing.send import Interruptible, Sender


@dataclass(frozen=True, kw_only=True, slots=True)
class Prepared:
    """An index that is ready for writing.

    Attributes:
        seen: description of the index.
        recipe: how texts are encoded.
    """

    seen: Description
    recipe: Recipe


class Indexing(Interruptible[IndexReport]):
    """One run of `index`: call `portion` for each portion of rows, then `finish`.

    A row is a document, or a rejection of a row that the reader could not convert to one.

    Args:
        session: session of the store.
        options: options of the run.
        retry: retry budget while the server is unavailable.
        on_progress: called after each batch and chunk.
        dead_letters: receives every rejected document; None discards them.
        total: total number of rows, if known.
        made_by: settings of precomputed vectors, if the documents have them.
        dense: encodes dense vectors for documents without one; None encodes none.

    Attributes:
        portion_size: size of the next portion.
        source: the documents read so far.
    """

    def __init__(
        self,
        session: Session,
        options: WriteOptions,
        retry: RetryOptions,
        on_progress: OnProgress,
        dead_letters: DeadLetters | None = None,
        total: int | None = None,
        made_by: IndexManifest | None = None,
        dense: DenseSource | None = None,
    ) -> None:
        self.report = IndexReport()
        self.portion_size = PortionSize(options.portion_documents)
        self._session = session
        self._options = options
        self._retry = retry
        self._on_progress = on_progress
        self._dead_letters = dead_letters
        self._sender: Sender[EncodedDocument] = Sender(
            self._write, session.backend.size, self._settle, options, retry
        )
        self._began = time.perf_counter()
        self._prepared: Prepared | None = None
        self.source = Source(session.backend.key_of)
        # A collection that this run created contains nothing that could be replaced.
        self._is_new = False
        # Ids in flight that already exist in the store.
        self._there: set[DocumentId] = set()
        self._comparison = Comparison(session.backend)
        self._densely = Densely(session.backend, dense)
        self._read = 0
        self._total = total
        self._made_by = made_by

    @property
    def may_replace(self) -> bool:
        """Whether running the same command again may overwrite what this run wrote."""
        if self._is_new or self._options.replace or self._prepared is None:
            return True
        return self._prepared.seen.capabilities.created_by_us

    def portion(self, rows: Sequence[Row]) -> Steps[None]:
        """Encode these rows and send them, while earlier ones are in flight."""
        for row in rows:
            check_row(row)
        self._read += len(rows)
        documents = [row for row in rows if isinstance(row, Document)]
        for row in rows:
            if isinstance(row, Rejected):
                self._note_rejection(row, None)
        if documents:
            if self._prepared is None:
                prepared = yield from self._prepare(documents)
                drafts = self._accepted_of(documents)
            else:
                prepared = self._prepared
                drafts = yield from self._accepted_beside(documents, prepared.seen)
            found = prepared.seen.capabilities
            if self._options.skip_unchanged:
                drafts = yield from self._skipped(drafts, prepared.seen)
            drafts = [draft for draft in drafts if self._fits(draft, found)]
            drafts = yield from self._densely.given(prepared.seen, drafts)
            encoded = yield from self._encode(drafts, prepared)
            limit = self._most_bytes(found)
            yield from self._sender.put(encoded, found.max_write_documents, limit)
        self._tell()

    def finish(self) -> Steps[IndexReport]:
        """Wait for requests in flight, make everything visible, and complete the report."""
        yield from self._sender.drain()
        if self._prepared is not None:
            yield from self._session.backend.refresh()
        if self._options.delete_missing:
            yield from self._delete_missing()
        return self._closed()

    def _delete_missing(self) -> Steps[None]:
        session, prepared = self._session, self._prepared
        if prepared is None:
            # Nothing was written, so every stored document is missing from the source.
            seen = yield from session.look_again()
            check_mirroring(session, seen, self._options)
        else:
            seen = prepared.seen
        if seen.capabilities.exists and not self._is_new:
            options, report = self._options, self.report
            deleting = delete_missing(
                session.backend, seen, self.source, options, report, self._tell
            )
            # Long reads get the same retry budget as writes.
            yield Join((yield Spawn(deleting, self._retry)))

    def _closed(self) -> IndexReport:
        self.report.retries = self._sender.retries
        self.report.dead_letters = named_file(self._dead_letters)
        self.report.seconds = time.perf_counter() - self._began
        self._tell()
        return self.report

    def _prepare(self, documents: Sequence[Document]) -> Steps[Prepared]:
        # The description that an earlier verb read may be stale.
        before = yield from self._session.look_again()
        self._is_new = not before.capabilities.exists
        if self._options.skip_unchanged:
            check_stamping(self._session, before, self._options)
        if self._options.delete_missing:
            check_mirroring(self._session, before, self._options)
        if self._made_by is not None:
            check_made_by(self._session, before, self._made_by, self._options)
        # Before a field or a manifest is added: a refused run must leave nothing behind.
        yield from self._look_for_others(before, documents)
        before = yield from self._ours_if_empty(before)
        sizes = yield from self._sizes(documents)
        self._prepared = yield from prepare(
            self._session, before, sizes, self._options, self._made_by
        )
        return self._prepared

    def _sizes(self, documents: Sequence[Document]) -> Steps[dict[str, int]]:
        """Dense vector name -> dimensions, for a collection to be created."""
        sizes = {
            name: len(vector)
            for document in reversed(documents)  # the first one decides
            for name, vector in document.dense_vectors().items()
        }
        texts = (document.text for document in documents if document.text.strip())
        if self._is_new and (text := next(texts, None)):
            return (yield from self._densely.sizes(text)) | sizes
        return sizes

    def _ours_if_empty(self, seen: Description) -> Steps[Description]:
        """Treat an empty collection that another tool created as ours."""
        found = seen.capabilities
        if self._is_new or found.created_by_us or seen.manifest is not None or self._there:
            return seen
        if (yield from self._session.backend.documents(seen)):
            return seen
        return replace(seen, capabilities=replace(found, created_by_us=True))

    def _look_for_others(self, seen: Description, documents: Sequence[Document]) -> Steps[None]:
        """Find existing documents that would be replaced."""
        if not self._is_new:
            self._note_others(seen, documents, (yield from self._present(seen, documents)))

    def _accepted_beside(
        self, documents: Sequence[Document], seen: Description
    ) -> Steps[list[Draft]]:
        """Validate a portion while the store looks for its documents."""
        if self._is_new:
            return self._accepted_of(documents)
        looking = yield Spawn(self._present(seen, documents))
        drafts = self._accepted_of(documents)
        self._note_others(seen, documents, (yield Join(looking)))
        return drafts

    def _note_others(
        self, seen: Description, documents: Sequence[Document], there: set[DocumentId]
    ) -> None:
        """Remember which documents of a portion exist.

        Raises:
            WouldReplace: if another tool created the collection, so documents may hold more.
        """
        backend = self._session.backend
        if there and not (seen.capabilities.created_by_us or self._options.replace):
            first = min(map(quoted, there))
            raise WouldReplace(
                f"{backend.location} was not created by this package, and {len(there):,} of the "
                f"next {counted(len(documents), 'document')} already exist, such as {first}: index "
                "would replace them, losing fields and vectors that the new ones lack. Use "
                "`splade-connectors attach` to add sparse vectors and keep the rest, or "
                "WriteOptions(replace=True) (--replace) to replace them"
            )
        self._there |= there

    def _present(self, seen: Description, documents: Sequence[Document]) -> Steps[set[DocumentId]]:
        """Which documents of a portion exist; also reads their stamps if `skip_unchanged`."""
        ids = [document.id for document in documents]
        if not self._options.skip_unchanged:
            return (yield from self._session.backend.present(seen, ids))
        return (yield from self._comparison.stored(seen, ids))

    def _write(self, items: Sequence[EncodedDocument]) -> Steps[list[Outcome]]:
        assert self._prepared is not None  # set before anything is encoded
        return self._session.backend.write(self._prepared.seen, items)

    def _accepted_of(self, documents: Sequence[Document]) -> list[Draft]:
        return [item for item in map(self._accepted, documents) if item is not None]

    def _accepted(self, document: Document) -> Draft | None:
        """The document to store, without its vector yet; None if it is rejected.

        Encoding is expensive, so everything else is checked first.
        """
        assert self._prepared is not None  # set before documents are validated
        seen = self._prepared.seen
        try:
            item = EncodedDocument(
                document=document,
                vector=SparseVector.empty(),
                payload=payload_with_text(document, self._options.text_fields),
            )
            reason = self._refusal(item, seen.capabilities)
            reason = reason or self._session.backend.check(seen, item)
        except InvalidDocument as error:
            reason = str(error)
        if reason:
            self._reject(document, reason, final=True)
            return None
        return drafted(document, item.payload, self._prepared.recipe, self._densely.name)

    def _most_bytes(self, found: Capabilities) -> int | None:
        return self._options.max_request_bytes or found.max_request_bytes

    def _refusal(self, item: EncodedDocument, found: Capabilities) -> str | None:
        document = item.document
        if not self.source.add(document.id):
            return (
                f"the id {quoted(document.id)} was already used by an earlier document of this run"
            )
        if has_no_content(document) and not found.empty_vectors:
            return "the text is empty, but this store needs at least one term"
        return None

    def _fits(self, draft: Draft, found: Capabilities) -> bool:
        """Whether a request can hold the document; otherwise it is rejected."""
        limit, item = self._most_bytes(found), draft.encoded(SparseVector.empty())
        if not limit or (size := self._session.backend.size(item)) <= limit:
            return True
        reason = (
            f"the document takes {size / 1e6:,.1f} MB in a request, but the server accepts at "
            f"most {limit / 1e6:,.1f} MB; index passages of it (docs/passages.md), or pass the "
            "limit that the server is configured with (--max-request-bytes)"
        )
        self._reject(draft.document, reason, final=True)
        return False

    def _skipped(self, drafts: Sequence[Draft], seen: Description) -> Steps[list[Draft]]:
        """Drop documents that are stored unchanged."""
        check_dense_kept(self._session, self._comparison, drafts, self._options)
        changed = yield from self._comparison.changed(seen, drafts)
        left = {draft.document.id for draft in changed}
        self._there -= {draft.document.id for draft in drafts} - left
        self.report.unchanged += len(drafts) - len(changed)
        return changed

    def _encode(self, drafts: Sequence[Draft], prepared: Prepared) -> Steps[list[EncodedDocument]]:
        """Add vectors, and reject documents that the store would refuse."""
        vectors = yield from self._vectors(drafts, prepared.recipe)
        encoded = []
        for draft, vector in zip(drafts, vectors, strict=True):
            self.report.encoded += draft.is_encoded
            self.report.empty += has_no_content(draft.document)
            item = draft.encoded(vector)
            reason = self._session.backend.check(prepared.seen, item)
            if reason:
                self._reject(draft.document, reason, final=True)
            else:
                encoded.append(item)
        return encoded

    def _vectors(self, drafts: Sequence[Draft], recipe: Recipe) -> Steps[list[SparseVector]]:
        """The stored vector if reusable, otherwise a fresh, pruned one."""
        began = time.perf_counter()
        stats = EncodeStats()
        tell = self._tell
        documents = [draft.document for draft in drafts if draft.kept is None]
        made: list[SparseVector] = yield Compute(
            lambda: document_vectors(
                recipe.encoder, documents, stats, lambda step: tell(), recipe.prune
            )
        )
        seconds = time.perf_counter() - began
        self.portion_size.took(seconds)
        self.report.encode_s += seconds
        self.report.tokens += stats.tokens
        self.report.truncated += stats.truncated
        self.report.split += stats.split
        fresh = iter(made)
        return [next(fresh) if draft.kept is None else draft.kept for draft in drafts]

    def _settle(self, item: EncodedDocument, outcome: Outcome) -> None:
        if isinstance(outcome, Written):
            self.report.written += 1
            self.report.replaced += item.id in self._there
            self._there.discard(item.id)
            self.report.terms += len(item.vector)
        else:
            self._reject(item.document, outcome.reason, outcome.detail, final=outcome.final)
        self._tell()

    def _reject(
        self, document: Document, reason: str, detail: str = "", *, final: bool = False
    ) -> None:
        rejected = Rejected(
            id=document.id,
            reason=reason,
            line=document.line,
            file=document.file,
            final=final,
            detail=detail,
        )
        self._note_rejection(rejected, document)

    def _note_rejection(self, rejected: Rejected, document: Document | None) -> None:
        self.source.reject(rejected.id)
        if is_hopeless(rejected):
            self.report.skipped += 1
            return
        self.report.reject(rejected)
        if self._dead_letters is not None:
            self._dead_letters.add(rejected, document)

    def _tell(self) -> None:
        self._on_progress(
            Progress(
                done=self.report.done,
                rejected=self.report.rejected_count,
                read=self._read,
                total=self._total,
                retries=self._sender.retries,
                in_flight=self._sender.in_flight,
                stopping=self._stopping,
                missing=self.report.missing,
            )
        )


def prepare(
    session: Session,
    before: Description,
    sizes: Mapping[str, int],
    options: WriteOptions,
    made_by: IndexManifest | None = None,
) -> Steps[Prepared]:
    """Create what does not exist, or check that what exists fits.

    Args:
        session: session of the store.
        before: description of the collection or index.
        sizes: dense vector name -> dimensions, for a collection to be created.
        options: options of the run.
        made_by: settings of precomputed vectors, if the documents have them.

    Raises:
        ManifestMismatch: if another or an unknown model wrote the existing vectors.
    """
    override = session.overrides or options.override_manifest
    like = None if override else made_by
    recipe, stored = session.recipe(before, options.text_fields, like=like), before.manifest
    if stored and not override:
        stored.check(recipe.manifest, use="write", where=session.backend.location)
    if before.capabilities.has_field and stored is None and not override:
        yield from _refuse_unknown_vectors(session, before)
    now = yield from session.backend.prepare(
        before, recipe.manifest, sizes, write_manifest=stored is None
    )
    if stored is not None and stored.outdated:
        now, stored = (yield from session.backend.write_manifest(recipe.manifest)), None
    if options.skip_unchanged:
        now = yield from stamping(session, now, recipe.manifest)
    session.keep(now)
    # Vectors mixed in with other settings are marked with those, not with the index's.
    made = recipe.manifest if override or stored is None else stored
    return Prepared(seen=now, recipe=replace(recipe, manifest=made))


def _refuse_unknown_vectors(session: Session, seen: Description) -> Steps[None]:
    written = yield from session.backend.count(seen)
    if written:
        raise ManifestMismatch(
            f"{session.backend.location} contains {counted(written, 'sparse vector')} but no "
            "manifest that says which model wrote them; run adopt if it was this model, or add to "
            "them anyway with override_manifest=True (--override-manifest)"
        )


def check_row(row: object) -> None:
    """Refuse an object that is not a row, which would otherwise be lost.

    Raises:
        ConfigurationError: saying what to pass.
    """
    if not isinstance(row, Document | Rejected):
        raise ConfigurationError(
            f"index expects Document objects, not {type(row).__name__}; pass "
            "Document(id=…, text=…, payload={…})"
        )


def payload_with_text(document: Document, text_fields: Sequence[str]) -> dict[str, object]:
    """Return the fields to store: the payload, and the text unless the payload contains it.

    Raises:
        InvalidDocument: naming the field that cannot be stored, and why.
    """
    payload = stored_payload(document.payload)
    if document.text and not any(values_at(payload, field) for field in text_fields):
        payload[text_fields[0]] = document.text
    return payload


def write_options(options: WriteOptions | None, skip_unchanged: bool | None) -> WriteOptions:
    """Return the options of a run, with the separate argument applied."""
    options = options or WriteOptions()
    return options if skip_unchanged is None else replace(options, skip_unchanged=skip_unchanged)


def silent(progress: Progress) -> None:
    """Ignore progress; the default callback."""


def check_iterable(documents: object, dead_letters: DeadLetters | None = None) -> None:
    """Refuse a single document, and a dead-letter file that is also the input."""
    for file in getattr(documents, "paths", ()):
        if dead_letters is not None and isinstance(file, Path) and dead_letters.replaces(file):
            raise ConfigurationError(
                f"{file} is the input, so rejected documents cannot be written to it; choose "
                "another file with --dead-letters FILE"
            )
    if isinstance(documents, Document) or not isinstance(documents, Iterable | AsyncIterable):
        raise ConfigurationError(
            f"index expects an iterable of documents, not {type(documents).__name__}; pass "
            "[document]"
        )


def add_progress_note(error: BaseException, indexing: Indexing) -> None:
    """Add to an error how many documents were written before it."""
    # If only the deletion was refused, the run is otherwise complete.
    if indexing.report.written and not isinstance(error, DeletionRefused):
        # Running the same command again would stop at the same place.
        first = "correct the cause, then " if isinstance(error, ConfigurationError) else ""
        error.add_note(progress_note(indexing, first))


def progress_note(indexing: Indexing, first: str = "") -> str:
    """Return what an interrupted index run has written, and how to complete it.

    Args:
        indexing: the run.
        first: what to do before running the command again, as the beginning of a sentence.
    """
    again = "the same command again" if indexing.may_replace else "the same command with --replace"
    documents = counted(indexing.report.written, "document")
    return (
        f"{documents} written so far; {first}run {again} to complete the index without duplicates"
    )
