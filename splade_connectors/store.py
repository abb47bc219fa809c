"""`Store`: the verbs of a collection or index, blocking."""

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
    how_far_adopted,
    say_how_far_adopted,
)
from splade_connectors.operations.attach.plan import AttachPlan
from splade_connectors.operations.attach.report import AttachReport, DetachReport, Verification
from splade_connectors.operations.attach.run import (
    attach_options,
    how_far_attached,
    say_how_far_attached,
)
from splade_connectors.operations.edit import Given, count, delete, get, known, update
from splade_connectors.operations.explain import explain
from splade_connectors.operations.export import Exporting
from splade_connectors.operations.found import Hits
from splade_connectors.operations.hybrid import planning, searching
from splade_connectors.operations.index import (
    how_far,
    say_how_far,
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
    """One collection or index, with an encoder. Made by `connect`; usable as a context manager.

    Every verb may raise `Unavailable` (the server cannot be reached, after retries),
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
        """Encode documents and write them, each whole, replacing those with the same ids.

        Creates the collection, its sparse field and the manifest if they are absent. The
        stream is read a portion at a time and never held in memory.

        Args:
            documents: `Document`s; a reader may mix in `Rejected` rows, which are reported.
            skip_unchanged: encode and send only what differs from what was written last; None
                takes that of the options.
            options: chunk sizes, text fields, and the rest.
            on_progress: called after each batch and chunk.
            dead_letters: keeps every rejected document in a file.
            dense: makes the dense vectors of documents that have text and bring none, for the
                store's unnamed or only one: `splade_connectors.encoders.dense.DenseModel(…)`, or
                what has its `name` and `documents(texts)`.

        Returns:
            What was written, and every rejected document with its reason.

        Raises:
            IndexingInterrupted: on Ctrl-C, after what was under way has arrived (a second Ctrl-C
                does not wait for it); its report says what was acknowledged. So do other signals
                whose handler is `splade_connectors.runtime.signals.stop`.
        """
        options = write_options(options, skip_unchanged)
        indexing = self._indexing(documents, options, on_progress, dead_letters, dense)
        try:
            for portion in signals.each_heard(portions(documents, indexing.portion_size)):
                self._run(indexing.portion(portion), guarded=True)
            return self._run(indexing.finish(), guarded=True)
        except KeyboardInterrupt as stop:
            report = self._interrupted(indexing)
            raise IndexingInterrupted(f"stopped: {how_far(indexing)}", report=report) from stop
        except BaseException as error:  # of the caller's iterator or callbacks, too
            self._run(indexing.settle_rest())
            say_how_far(error, indexing)
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
        """The best documents: by dot product, or of several legs after fusion.

        Args:
            query: a text, or a vector of the same encoder; then other legs need queries of their
                own.
            dense: adds a dense leg: the query's dense vector, or what makes one of its text.
            legs: the legs in full, instead of `dense`.
            fusion: how legs become one ranking; its weights go by the legs' order. None takes the
                index's tuning (`save_tuning`) if that is for these legs, else `Rrf()`.
            limit: most hits.
            offset: hits to skip; `limit + offset` must fit into every leg's window.
            filter: a condition (`splade_connectors.filters`), or one in the store's own language,
                for every leg.
            group_by: a field with one value for each document, such as the id of the text that a
                passage is from: only the best hit of each value is returned, with the number of
                `more`. Documents without a value are left out.
            with_payload: return the stored fields.
            max_query_terms: most terms sent, the heaviest.
            min_score: leave out hits that score less.
            with_total: count the documents that match, exactly or up to a bound, as `hits.total`:
                one request more; of several legs, those in their windows.
            with_terms: return the terms that each hit shares with the query (`hit.terms`), and the
                part of its text that has most of them (`hit.snippet`): one request more.
            with_legs: obtain each leg's rank and score also when the server fuses.
            path: "auto" takes the best exact path; "server" refuses if the server cannot.

        Returns:
            Hits in a tuple; its attribute `plan` holds the request and any warnings, `total` the
            number that was asked for.
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
        """The request that `search` would send with these arguments, and why."""
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
        """What every leg finds, before any fusion: what `fuse` and `tune` work on.

        Args:
            query: as in `search`.
            dense: as in `search`.
            legs: as in `search`; each brings its whole window.
            filter: as in `search`.
            max_query_terms: as in `search`.

        Returns:
            One ranking per leg, in the legs' order.
        """
        return self._run(self._windows(query, dense, legs, filter, max_query_terms))

    def explain(
        self, query: Query, id: GivenId, *, max_query_terms: int | None = None
    ) -> Explanation:
        """Why a document has its score: each shared term with both weights.

        Args:
            query: that was searched for.
            id: of the document.
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
        """Why a document has its fused score: what each leg adds. Arguments as in `search`."""
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
        """Give the documents of a live collection or index sparse vectors, and change nothing else.

        Looks first and refuses before anything is written; then adds what is absent (vector or
        field, marker, manifest), encodes what lacks its vector, and verifies. Dense vectors,
        payload and other fields stay as they are. Running it again continues where it was stopped,
        and encodes what has changed since.

        Args:
            text_fields: what the text is made of: names, or paths into objects; () takes those of
                the manifest.
            options: everything else; its `text_fields` are used if the argument is ().
            on_progress: called after each batch and chunk.
            dead_letters: keeps every document whose vector was refused.
            follow_s: go on forever, and look for new documents after this many seconds.

        Returns:
            What was attached, and how the verification went.

        Raises:
            AttachRefused: naming every reason, before anything is written.
            NotSupported: when the server cannot add a vector to what exists.
            IndexingInterrupted: on Ctrl-C, after what was under way has arrived.
        """
        chosen = attach_options(text_fields, options)
        attaching = self._run(self._attaching(chosen, on_progress, dead_letters))
        try:
            return self._run(attaching.run(follow_s), guarded=True)
        except KeyboardInterrupt as stop:
            report = self._interrupted(attaching)
            message = f"stopped: {how_far_attached(report)}"
            raise IndexingInterrupted(message, report=report) from stop
        except BaseException as error:  # of the caller's callbacks, too
            self._run(attaching.settle_rest())
            say_how_far_attached(error, attaching.report)
            raise
        finally:
            self._session.forget()

    def plan_attach(
        self, text_fields: Sequence[str] = (), *, options: AttachOptions | None = None
    ) -> AttachPlan:
        """What `attach` with these arguments would do, with every refusal. Writes nothing."""
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
        """Take over sparse vectors that another tool wrote, if they are what this encoder makes.

        Encodes a sample of the stored texts and compares; the length of texts, the pruning and the
        precision are found out. If all agree, the documents are marked if markers are kept, and
        the manifest is written: from then on `index`, `attach`, `verify` and `tune` treat the
        vectors as their own. No vector and no field of the owner's is changed. Running it again
        goes on where it was stopped.

        Args:
            text_fields: what the vectors were made of: names, or paths into objects.
            sample: documents drawn at random, which are compared.
            mark: on Qdrant: keep a hash of the text in the payload of each point.
            dry_run: write nothing; the report says what is in the way.
            on_progress: called after each page and chunk.

        Returns:
            The settings that were found, and what was marked.

        Raises:
            AttachRefused: saying what differs, or is in the way, before anything is written.
            IndexingInterrupted: on Ctrl-C, after what was under way has arrived.
        """
        adopting = self._run(self._adopting(text_fields, sample, mark, on_progress))
        try:
            return self._run(adopting.run(dry_run=dry_run), guarded=True)
        except KeyboardInterrupt as stop:
            report = self._interrupted(adopting)
            message = f"stopped: {how_far_adopted(report)}"
            raise IndexingInterrupted(message, report=report) from stop
        except BaseException as error:  # of the caller's callbacks, too
            self._run(adopting.settle_rest())
            say_how_far_adopted(error, adopting.report)
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
            sample: documents drawn at random.
            everything: look at every document instead: at the hash of its text if it carries
                one, else by encoding it.
            recheck: with `everything`: encode every text, whatever hash it carries.
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
        """Remove what `attach` added, and only that.

        Args:
            dry_run: only say what would be removed, and what would stay.
            former: remove what a replaced model has left, instead.
            text_index: remove the text indexes of these fields that `attach` made, instead.
            on_progress: called after each page.

        Raises:
            NotFound: when there is nothing of ours.
        """
        return self._run(self._detach(dry_run, former, text_index, on_progress))

    def get(
        self, ids: Sequence[GivenId], *, with_vectors: bool = False, absent_ok: bool = False
    ) -> list[StoredDocument]:
        """Documents by id, in this order.

        Args:
            ids: of the documents.
            with_vectors: the sparse vectors, too.
            absent_ok: leave out those that are not there, instead of raising `NotFound`; of a
                collection or index that does not exist, all of them.
        """
        return self._run(get(self._session, ids, with_vectors=with_vectors, absent_ok=absent_ok))

    def known(self, ids: Sequence[Given], *, absent_ok: bool = False) -> list[Given]:
        """Those of the ids that are in the store, as they were given.

        Args:
            ids: of documents.
            absent_ok: none of them is in a collection or index that does not exist, instead of
                raising `NotFound`.
        """
        return self._run(known(self._session, ids, absent_ok))

    def export(self, *, with_vectors: bool = False) -> Iterator[StoredDocument]:
        """Every document, whoever wrote it, read a page at a time while they are asked for.

        Args:
            with_vectors: sparse and dense vectors, too.

        Raises:
            Unavailable: when the server was restarted meanwhile: the export is to begin again.
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
        """Change the text or some fields of a document and keep the rest.

        When a text field changes, the sparse vector is re-encoded from all text fields.
        """
        self._run(update(self._session, id, text, payload))

    def delete(self, ids: Sequence[GivenId]) -> None:
        """Remove documents; ids that are not there are no error."""
        self._run(delete(self._session, ids))

    def count(self) -> int:
        """Number of documents with a sparse vector, empty ones included."""
        return self._run(count(self._session))

    def inspect(self) -> Inspection:
        """Server, schema and manifest as they are now."""
        return self._run(inspect(self._session))

    def tuning(self) -> Tuning | None:
        """The fusion that hybrid searches take here when they name none; None without one."""
        return self._run(tuning(self._session))

    def save_tuning(self, tuning: Tuning | None) -> None:
        """Keep a tuning with the index, as the default of hybrid searches; None removes it.

        Only the manifest changes: no document is touched, and nothing has to be indexed again.
        Stores that are open elsewhere learn of it when they are opened again.
        """
        self._run(save_tuning(self._session, tuning))

    def close(self) -> None:
        """Release what `connect` opened; a client that was handed in stays open."""
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
        """What is under way arrives, unless there is a second Ctrl-C."""
        signals.acted_upon()
        try:
            return self._run(running.interrupt(), guarded=True)
        except KeyboardInterrupt:
            return running.stopped()

    def _run(self, steps: Steps[T], *, guarded: bool = False) -> T:
        return run(steps, self._opened_here().send, self._retry, guarded=guarded)
