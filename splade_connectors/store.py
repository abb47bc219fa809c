"""`Store`: the blocking interface to a collection or index."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any, Self, TypeVar

from splade_connectors.backends.protocol import Plan
from splade_connectors.documents import (
    Explanation,
    GivenId,
    HybridExplanation,
    Row,
    StoredDocument,
)
from splade_connectors.encoders.dense import DenseSource
from splade_connectors.errors import IndexingInterrupted
from splade_connectors.files.dead_letters import DeadLetters
from splade_connectors.fusion.legs import Leg
from splade_connectors.fusion.reference import LegRanking
from splade_connectors.fusion.request import FusionPath
from splade_connectors.fusion.spec import Fusion
from splade_connectors.fusion.tuning import Tuning
from splade_connectors.operations.attach.adopt import (
    AdoptReport,
    add_adopt_progress_note,
    adopt_progress_note,
)
from splade_connectors.operations.attach.plan import AttachPlan
from splade_connectors.operations.attach.report import AttachReport, DetachReport, Verification
from splade_connectors.operations.attach.run import (
    add_attach_progress_note,
    attach_options,
    attach_progress_note,
)
from splade_connectors.operations.edit import Given, count, delete, get, known, update
from splade_connectors.operations.explain import explain
from splade_connectors.operations.export import Exporting
from splade_connectors.operations.found import Hits
from splade_connectors.operations.hybrid import planning, searching
from splade_connectors.operations.index import (
    add_progress_note,
    progress_note,
    write_options,
)
from splade_connectors.operations.search import Query
from splade_connectors.operations.session import Inspection, inspect
from splade_connectors.operations.tuning import save_tuning, tuning
from splade_connectors.options import (
    AttachOptions,
    OnProgress,
    SearchOptions,
    WriteOptions,
)
from splade_connectors.runtime import signals
from splade_connectors.runtime.drive import run
from splade_connectors.runtime.effects import Steps
from splade_connectors.verbs import Verbs
from splade_connectors.writing.chunks import portions
from splade_connectors.writing.report import IndexReport
from splade_connectors.writing.send import Interruptible, RunReport

T = TypeVar("T")
R = TypeVar("R", bound=RunReport)


class Store(Verbs):
    """One collection or index, with an encoder. Created by `connect`; usable as a context manager.

    Every verb may raise `Unavailable` (the server is still unreachable after retries),
    `AccessDenied`, `NotFound`, `SchemaConflict` and `ManifestMismatch`.
    """

    def index(
        self,
        documents: Iterable[Row],
        *,
        skip_unchanged: bool | None = None,
        options: WriteOptions | None = None,
        on_progress: OnProgress | None = None,
        dead_letters: DeadLetters | None = None,
        dense: DenseSource | None = None,
    ) -> IndexReport:
        """Encode documents and write them, replacing any with the same ids.

        Creates the collection, its sparse field and the manifest if they do not exist. Documents
        are read in portions and never held in memory all at once.

        Args:
            documents: `Document`s; readers may also yield `Rejected` rows, which are reported.
            skip_unchanged: encode and send only documents that differ from the last run; None
                means the setting in `options`.
            options: chunk sizes, text fields and so on.
            on_progress: called after each batch and chunk.
            dead_letters: dead-letter file that receives every rejected document.
            dense: encodes dense vectors for documents with text but without one, for the store's
                unnamed or only dense field: `splade_connectors.encoders.dense.DenseModel(…)`, or
                any object with its `name` and `documents(texts)`.

        Returns:
            A report of the documents written, and every rejected document with its reason.

        Raises:
            IndexingInterrupted: on Ctrl-C, after requests in flight have finished (a second Ctrl-C
                does not wait); its report says what was acknowledged. The same holds for other
                signals whose handler is `splade_connectors.runtime.signals.stop`.
        """
        options = write_options(options, skip_unchanged)
        indexing = self._indexing(documents, options, on_progress, dead_letters, dense)
        try:
            for portion in signals.each_heard(portions(documents, indexing.portion_size)):
                self._run(indexing.portion(portion), guarded=True)
            return self._run(indexing.finish(), guarded=True)
        except KeyboardInterrupt as stop:
            report = self._interrupted(indexing)
            raise IndexingInterrupted(
                f"stopped: {progress_note(indexing)}", report=report
            ) from stop
        except BaseException as error:  # also from the caller's iterator or callbacks
            self._run(indexing.settle_rest())
            add_progress_note(error, indexing)
            raise

    def search(
        self,
        query: Query,
        *,
        dense: Any = None,
        legs: Sequence[Leg] | None = None,
        fusion: Fusion | None = None,
        limit: int = 10,
        offset: int = 0,
        filter: Any = None,
        group_by: str | None = None,
        with_payload: bool = True,
        max_query_terms: int | None = None,
        min_score: float | None = None,
        with_total: bool = False,
        with_terms: bool = False,
        with_legs: bool = False,
        path: FusionPath = "auto",
    ) -> Hits:
        """Return the best documents, by dot product or by fusing several legs.

        Args:
            query: a text, or a sparse vector from the same encoder, in which case other legs need
                their own queries.
            dense: add a dense leg: the query's dense vector, or a model that encodes its text.
            legs: all legs, spelled out instead of using `dense`.
            fusion: how the legs are fused; its weights follow the order of the legs. None means
                the index's tuning (`save_tuning`) if it is for these legs, otherwise `Rrf()`.
            limit: maximum number of hits.
            offset: number of hits to skip; `limit + offset` must fit into every candidate window.
            filter: a condition for every leg: portable (`splade_connectors.filters`), or in the
                store's own query language.
            group_by: single-valued field to group by, such as the id of the text that a passage
                comes from: only the best hit of each value is returned, with the number of others
                as `more`. Documents without a value are omitted.
            with_payload: return the stored fields.
            max_query_terms: maximum number of query terms, keeping the heaviest.
            min_score: omit hits that score less than this.
            with_total: count the matching documents as `hits.total`, exactly or up to a bound;
                with several legs, those in the candidate windows. Costs one request.
            with_terms: return the terms that each hit shares with the query (`hit.terms`) and the
                passage of its text with most of them (`hit.snippet`). Costs one request.
            with_legs: return each leg's rank and score even if the server fuses.
            path: "auto" picks the best exact path, "server" refuses if the server cannot fuse,
                "client" fuses in this process.

        Returns:
            A tuple of hits; its attribute `plan` holds the request and any warnings, `total` the
            number of matching documents if requested.
        """
        options = SearchOptions(
            limit=limit,
            offset=offset,
            filter=filter,
            group_by=group_by,
            with_payload=with_payload,
            max_query_terms=max_query_terms,
            min_score=min_score,
            with_total=with_total,
            with_terms=with_terms,
        )
        steps = searching(self._session, query, dense, legs, fusion, options, path, with_legs)
        return self._run(steps)

    def plan(
        self,
        query: Query,
        *,
        dense: Any = None,
        legs: Sequence[Leg] | None = None,
        fusion: Fusion | None = None,
        limit: int = 10,
        offset: int = 0,
        filter: Any = None,
        group_by: str | None = None,
        with_payload: bool = True,
        max_query_terms: int | None = None,
        path: FusionPath = "auto",
    ) -> Plan:
        """Return the request that `search` would send with these arguments, and why."""
        options = SearchOptions(
            limit=limit,
            offset=offset,
            filter=filter,
            group_by=group_by,
            with_payload=with_payload,
            max_query_terms=max_query_terms,
        )
        steps = planning(self._session, query, dense, legs, fusion, options, path)
        return self._run(steps)

    def windows(
        self,
        query: Query,
        *,
        dense: Any = None,
        legs: Sequence[Leg] | None = None,
        filter: Any = None,
        max_query_terms: int | None = None,
    ) -> list[LegRanking]:
        """Return each leg's candidates before fusion, as used by `fuse` and `tune`.

        Args:
            query: as in `search`.
            dense: as in `search`.
            legs: as in `search`; each returns its whole candidate window.
            filter: as in `search`.
            max_query_terms: as in `search`.

        Returns:
            One ranking per leg, in the order of the legs.
        """
        return self._run(self._windows(query, dense, legs, filter, max_query_terms))

    def explain(
        self, query: Query, id: GivenId, *, max_query_terms: int | None = None
    ) -> Explanation:
        """Explain a document's score: each shared term with both weights.

        Args:
            query: query that was searched for.
            id: document id.
            max_query_terms: as in the search.
        """
        return self._run(explain(self._session, query, id, max_query_terms))

    def explain_hybrid(
        self,
        query: Query,
        id: GivenId,
        *,
        dense: Any = None,
        legs: Sequence[Leg] | None = None,
        fusion: Fusion | None = None,
        filter: Any = None,
        max_query_terms: int | None = None,
    ) -> HybridExplanation:
        """Explain a fused score: the contribution of each leg. Arguments as in `search`."""
        options = SearchOptions(limit=1, filter=filter, max_query_terms=max_query_terms)
        return self._run(self._explain_hybrid(query, id, dense, legs, fusion, options))

    def attach(
        self,
        text_fields: Sequence[str] = (),
        *,
        options: AttachOptions | None = None,
        on_progress: OnProgress | None = None,
        dead_letters: DeadLetters | None = None,
        follow_s: float | None = None,
    ) -> AttachReport:
        """Add sparse vectors to the documents of a live collection or index, and nothing else.

        Checks everything before the first write; then adds what is missing (vector or field,
        marker, manifest), encodes documents without a vector, and verifies. Dense vectors, payload
        and other fields are not modified. Running it again resumes where it stopped, and encodes
        what has changed since.

        Args:
            text_fields: fields that the text is built from: names, or paths into objects; () means
                those in the manifest.
            options: everything else; its `text_fields` apply if the argument is ().
            on_progress: called after each batch and chunk.
            dead_letters: dead-letter file that receives every document whose vector was rejected.
            follow_s: run until interrupted, polling for new documents at this interval in seconds.

        Returns:
            A report of what was attached, and the result of the verification.

        Raises:
            AttachRefused: naming every reason, before anything is written.
            NotSupported: if the server cannot add a vector to an existing collection.
            IndexingInterrupted: on Ctrl-C, after requests in flight have finished.
        """
        chosen = attach_options(text_fields, options)
        attaching = self._run(self._attaching(chosen, on_progress, dead_letters))
        try:
            return self._run(attaching.run(follow_s), guarded=True)
        except KeyboardInterrupt as stop:
            report = self._interrupted(attaching)
            message = f"stopped: {attach_progress_note(report)}"
            raise IndexingInterrupted(message, report=report) from stop
        except BaseException as error:  # also from the caller's callbacks
            self._run(attaching.settle_rest())
            add_attach_progress_note(error, attaching.report)
            raise
        finally:
            self._session.forget()

    def plan_attach(
        self, text_fields: Sequence[str] = (), *, options: AttachOptions | None = None
    ) -> AttachPlan:
        """Return what `attach` would do with these arguments, and every refusal. Writes nothing."""
        return self._run(self._plan_attach(attach_options(text_fields, options)))

    def adopt(
        self,
        text_fields: Sequence[str] = (),
        *,
        sample: int = 100,
        mark: bool = False,
        dry_run: bool = False,
        on_progress: OnProgress | None = None,
    ) -> AdoptReport:
        """Take over sparse vectors that another tool wrote, if this encoder produces the same.

        Encodes a sample of the stored texts, compares it, and infers maximum length, pruning and
        precision. If all agree, marks the documents (if markers are kept) and writes the manifest;
        afterwards, `index`, `attach`, `verify` and `tune` treat the vectors as their own. No
        vector or existing field is changed. Running it again resumes where it stopped.

        Args:
            text_fields: fields that the vectors were encoded from: names, or paths into objects.
            sample: number of random documents to compare.
            mark: on Qdrant: store a hash of the text in each point's payload.
            dry_run: write nothing; the report lists any blockers.
            on_progress: called after each page and chunk.

        Returns:
            The inferred settings, and what was marked.

        Raises:
            AttachRefused: naming what differs or prevents it, before anything is written.
            IndexingInterrupted: on Ctrl-C, after requests in flight have finished.
        """
        adopting = self._run(self._adopting(text_fields, sample, mark, on_progress))
        try:
            return self._run(adopting.run(dry_run=dry_run), guarded=True)
        except KeyboardInterrupt as stop:
            report = self._interrupted(adopting)
            message = f"stopped: {adopt_progress_note(report)}"
            raise IndexingInterrupted(message, report=report) from stop
        except BaseException as error:  # also from the caller's callbacks
            self._run(adopting.settle_rest())
            add_adopt_progress_note(error, adopting.report)
            raise
        finally:
            self._session.forget()

    def verify(
        self,
        *,
        sample: int = 100,
        everything: bool = False,
        recheck: bool = False,
        on_progress: OnProgress | None = None,
    ) -> Verification:
        """Compare stored vectors with fresh encodings of the stored texts. Writes nothing.

        Args:
            sample: number of random documents to check.
            everything: check every document instead: by the hash of its text if stored, otherwise
                by encoding it.
            recheck: with `everything`: encode every text, even if its hash is stored.
            on_progress: called after each page.
        """
        return self._run(self._verify(sample, everything, recheck, on_progress))

    def detach(
        self,
        *,
        dry_run: bool = False,
        former: bool = False,
        text_index: Sequence[str] = (),
        on_progress: OnProgress | None = None,
    ) -> DetachReport:
        """Remove what `attach` added, and nothing else.

        Args:
            dry_run: only report what would be removed and what would remain.
            former: remove what a replaced model left behind instead.
            text_index: remove the text indexes that `attach` created on these fields instead.
            on_progress: called after each page.

        Raises:
            NotFound: if there is nothing to remove.
        """
        return self._run(self._detach(dry_run, former, text_index, on_progress))

    def get(
        self, ids: Sequence[GivenId], *, with_vectors: bool = False, absent_ok: bool = False
    ) -> list[StoredDocument]:
        """Return documents by id, in this order.

        Args:
            ids: document ids.
            with_vectors: include the sparse vectors.
            absent_ok: omit missing documents instead of raising `NotFound`; if the collection or
                index does not exist, return none.
        """
        return self._run(get(self._session, ids, with_vectors=with_vectors, absent_ok=absent_ok))

    def known(self, ids: Sequence[Given], *, absent_ok: bool = False) -> list[Given]:
        """Return those of the ids that exist in the store, as given.

        Args:
            ids: document ids.
            absent_ok: return none if the collection or index does not exist, instead of raising
                `NotFound`.
        """
        return self._run(known(self._session, ids, absent_ok))

    def export(self, *, with_vectors: bool = False) -> Iterator[StoredDocument]:
        """Yield every document, whoever wrote it, reading a page at a time.

        Args:
            with_vectors: include sparse and dense vectors.

        Raises:
            Unavailable: if the server was restarted during the export; start it again.
        """
        exporting = Exporting(self._session, with_vectors)
        while not exporting.done:
            yield from self._run(exporting.page())

    def update(
        self,
        id: GivenId,
        *,
        text: str | None = None,
        payload: Mapping[str, Any] | None = None,
    ) -> None:
        """Change the text or some fields of a document, keeping the rest.

        If a text field changes, the sparse vector is re-encoded from all text fields.
        """
        self._run(update(self._session, id, text, payload))

    def delete(self, ids: Sequence[GivenId]) -> None:
        """Delete documents; unknown ids are not an error."""
        self._run(delete(self._session, ids))

    def count(self) -> int:
        """Return the number of documents with a sparse vector, empty ones included."""
        return self._run(count(self._session))

    def inspect(self) -> Inspection:
        """Return the current server, schema and manifest."""
        return self._run(inspect(self._session))

    def tuning(self) -> Tuning | None:
        """Return the saved default fusion of hybrid searches; None if there is none."""
        return self._run(tuning(self._session))

    def save_tuning(self, tuning: Tuning | None) -> None:
        """Save a tuning in the index as the default of hybrid searches; None removes it.

        Only the manifest changes: no document is modified or needs to be indexed again. Stores
        that are open elsewhere see it when they are reopened.
        """
        self._run(save_tuning(self._session, tuning))

    def close(self) -> None:
        """Close what `connect` opened; a client that you passed in stays open."""
        if self._is_here:
            self._opened.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _interrupted(self, running: Interruptible[R]) -> R:
        """Wait for requests in flight, unless there is a second Ctrl-C."""
        signals.acted_upon()
        try:
            return self._run(running.interrupt(), guarded=True)
        except KeyboardInterrupt:
            return running.stopped()

    def _run(self, steps: Steps[T], *, guarded: bool = False) -> T:
        return run(steps, self._opened_here().send, self._retry, guarded=guarded)
