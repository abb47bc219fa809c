"""`Store` and `AsyncStore`: the same verbs, blocking and awaited."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Iterable, Mapping, Sequence
from types import TracebackType
from typing import Any, Self, TypeVar

from splade_connectors.backend import Opened, Plan
from splade_connectors.documents import DocumentId, Explanation, StoredDocument, check_id
from splade_connectors.errors import ConfigurationError, IndexingInterrupted, SpladeConnectorsError
from splade_connectors.fusion.legs import Leg
from splade_connectors.fusion.request import Path
from splade_connectors.fusion.spec import Fusion
from splade_connectors.hybrid import Hybrid, resolve_legs
from splade_connectors.options import (
    OnProgress,
    Progress,
    RetryOptions,
    SearchOptions,
    WriteOptions,
)
from splade_connectors.pipeline.chunks import windows
from splade_connectors.pipeline.report import IndexReport
from splade_connectors.pipeline.write import Indexing, Row
from splade_connectors.steps import Steps, arun, run
from splade_connectors.vectors import SparseVector
from splade_connectors.verbs import Hits, Inspection, Verbs

T = TypeVar("T")
Query = str | SparseVector


def _silent(progress: Progress) -> None:
    """The progress callback of those who asked for none."""


class Store:
    """One collection or index, with an encoder. Made by `connect`; usable as a context manager.

    Every verb may raise `Unavailable` (the server cannot be reached, after retries),
    `AccessDenied`, `NotFound`, `SchemaConflict` and `ManifestMismatch`.
    """

    def __init__(self, verbs: Verbs, opened: Opened, retry: RetryOptions) -> None:
        self._verbs = verbs
        self._opened = opened
        self._retry = retry

    def index(
        self,
        documents: Iterable[Row],
        *,
        options: WriteOptions | None = None,
        on_progress: OnProgress | None = None,
    ) -> IndexReport:
        """Encode documents and write them, each whole, replacing those with the same ids.

        Creates the collection, its sparse field and the manifest where they are absent. The
        stream is read a window at a time and never held in memory.

        Args:
            documents: `Document`s; a reader may mix in `Rejected` rows, which are reported.
            options: chunk sizes, text fields.
            on_progress: called after each batch and chunk.

        Returns:
            What was written, and every rejected document with its reason.

        Raises:
            IndexingInterrupted: on Ctrl-C; its report says what was acknowledged.
        """
        options = options or WriteOptions()
        indexing = Indexing(self._verbs, options, self._retry, on_progress or _silent)
        try:
            for window in windows(documents, options.window_documents):
                self._run(indexing.window(window))
            return self._run(indexing.finish())
        except SpladeConnectorsError as error:
            _say_how_far(error, indexing.report)
            raise
        except KeyboardInterrupt as stop:
            report = indexing.interrupt()
            raise IndexingInterrupted(f"stopped: {_how_far(report)}", report=report) from stop

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
        with_payload: bool = True,
        max_query_terms: int | None = None,
        with_legs: bool = False,
        path: Path = "auto",
    ) -> Hits:
        """The best documents: by dot product, or of several legs after fusion.

        Args:
            query: a text, or (without other legs) a vector of the same encoder.
            dense: adds a dense leg: the query's dense vector, or what makes one of its text.
            legs: the legs in full, instead of `dense`.
            fusion: how legs become one ranking; None is `Rrf()`. Its weights go by the legs' order.
            limit: most hits.
            offset: hits to skip; `limit + offset` must fit into every leg's window.
            filter: a condition in the store's own language, for every leg.
            with_payload: return the stored fields.
            max_query_terms: most terms sent, the heaviest.
            with_legs: obtain each leg's rank and score also where the server fuses.
            path: "auto" takes the best exact path; "server" refuses where the server cannot.

        Returns:
            Hits in a tuple; its attribute `plan` holds the request and any warnings.
        """
        options = _search_options(limit, offset, filter, with_payload, max_query_terms)
        if _is_hybrid(dense, legs, fusion):
            hybrid = _hybrid(self._verbs, query, dense, legs, fusion, options, path, with_legs)
            return self._run(hybrid.search(str(query)))
        return self._run(self._verbs.search(query, options))

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
        with_payload: bool = True,
        max_query_terms: int | None = None,
        path: Path = "auto",
    ) -> Plan:
        """The request that `search` would send with these arguments, and why."""
        options = _search_options(limit, offset, filter, with_payload, max_query_terms)
        if _is_hybrid(dense, legs, fusion):
            hybrid = _hybrid(self._verbs, query, dense, legs, fusion, options, path, False)
            return self._run(hybrid.plan(str(query)))
        return self._run(self._verbs.plan(query, options))

    def explain(self, query: str, id: DocumentId) -> Explanation:
        """Why a document has its score: each shared term with both weights."""
        return self._run(self._verbs.explain(query, id))

    def get(self, ids: Sequence[DocumentId], *, with_vectors: bool = False) -> list[StoredDocument]:
        """Documents by id, in this order; `NotFound` names those that are not there."""
        return self._run(self._verbs.get(_id_list(ids), with_vectors=with_vectors))

    def known(self, ids: Sequence[DocumentId]) -> list[DocumentId]:
        """Those of the ids that are in the store."""
        return self._run(self._verbs.known(_id_list(ids)))

    def update(
        self,
        id: DocumentId,
        *,
        text: str | None = None,
        payload: Mapping[str, Any] | None = None,
    ) -> None:
        """Change the text or some fields of a document and keep the rest.

        When a text field changes, the sparse vector is encoded anew from all text fields.
        """
        self._run(self._verbs.update(id, text, payload))

    def delete(self, ids: Sequence[DocumentId]) -> None:
        """Remove documents; ids that are not there are no error."""
        self._run(self._verbs.backend.delete(_id_list(ids)))

    def count(self) -> int:
        """Number of documents with a sparse vector, empty ones included."""
        return self._run(self._verbs.backend.count())

    def inspect(self) -> Inspection:
        """Server, schema and manifest as they are now."""
        return self._run(self._verbs.inspect())

    def close(self) -> None:
        """Release what `connect` opened; a client that was handed in stays open."""
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

    def __repr__(self) -> str:
        return f"Store({self._verbs.backend.location!r})"

    def _run(self, steps: Steps[T]) -> T:
        return run(steps, self._opened.send, self._retry)


class AsyncStore:
    """`Store`, awaited. Made by `aconnect`; usable as an async context manager.

    Encoding runs in a thread, so the event loop stays free.
    """

    def __init__(self, verbs: Verbs, opened: Opened, retry: RetryOptions) -> None:
        self._verbs = verbs
        self._opened = opened
        self._retry = retry

    async def index(
        self,
        documents: Iterable[Row] | AsyncIterable[Row],
        *,
        options: WriteOptions | None = None,
        on_progress: OnProgress | None = None,
    ) -> IndexReport:
        """As `Store.index`; the documents may come from an async iterator.

        A cancelled call leaves what was acknowledged in the store.
        """
        options = options or WriteOptions()
        indexing = Indexing(self._verbs, options, self._retry, on_progress or _silent)
        try:
            async for window in _awindows(documents, options.window_documents):
                await self._run(indexing.window(window))
            return await self._run(indexing.finish())
        except SpladeConnectorsError as error:
            _say_how_far(error, indexing.report)
            raise

    async def search(
        self,
        query: Query,
        *,
        dense: Any = None,
        legs: Sequence[Leg] | None = None,
        fusion: Fusion | None = None,
        limit: int = 10,
        offset: int = 0,
        filter: Any = None,
        with_payload: bool = True,
        max_query_terms: int | None = None,
        with_legs: bool = False,
        path: Path = "auto",
    ) -> Hits:
        """As `Store.search`."""
        options = _search_options(limit, offset, filter, with_payload, max_query_terms)
        if _is_hybrid(dense, legs, fusion):
            hybrid = _hybrid(self._verbs, query, dense, legs, fusion, options, path, with_legs)
            return await self._run(hybrid.search(str(query)))
        return await self._run(self._verbs.search(query, options))

    async def plan(
        self,
        query: Query,
        *,
        dense: Any = None,
        legs: Sequence[Leg] | None = None,
        fusion: Fusion | None = None,
        limit: int = 10,
        offset: int = 0,
        filter: Any = None,
        with_payload: bool = True,
        max_query_terms: int | None = None,
        path: Path = "auto",
    ) -> Plan:
        """As `Store.plan`."""
        options = _search_options(limit, offset, filter, with_payload, max_query_terms)
        if _is_hybrid(dense, legs, fusion):
            hybrid = _hybrid(self._verbs, query, dense, legs, fusion, options, path, False)
            return await self._run(hybrid.plan(str(query)))
        return await self._run(self._verbs.plan(query, options))

    async def explain(self, query: str, id: DocumentId) -> Explanation:
        """As `Store.explain`."""
        return await self._run(self._verbs.explain(query, id))

    async def get(
        self, ids: Sequence[DocumentId], *, with_vectors: bool = False
    ) -> list[StoredDocument]:
        """As `Store.get`."""
        return await self._run(self._verbs.get(_id_list(ids), with_vectors=with_vectors))

    async def known(self, ids: Sequence[DocumentId]) -> list[DocumentId]:
        """As `Store.known`."""
        return await self._run(self._verbs.known(_id_list(ids)))

    async def update(
        self,
        id: DocumentId,
        *,
        text: str | None = None,
        payload: Mapping[str, Any] | None = None,
    ) -> None:
        """As `Store.update`."""
        await self._run(self._verbs.update(id, text, payload))

    async def delete(self, ids: Sequence[DocumentId]) -> None:
        """As `Store.delete`."""
        await self._run(self._verbs.backend.delete(_id_list(ids)))

    async def count(self) -> int:
        """As `Store.count`."""
        return await self._run(self._verbs.backend.count())

    async def inspect(self) -> Inspection:
        """As `Store.inspect`."""
        return await self._run(self._verbs.inspect())

    async def close(self) -> None:
        """As `Store.close`."""
        await self._opened.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    def __repr__(self) -> str:
        return f"AsyncStore({self._verbs.backend.location!r})"

    async def _run(self, steps: Steps[T]) -> T:
        return await arun(steps, self._opened.send, self._retry)


def _search_options(
    limit: int, offset: int, filter: Any, with_payload: bool, max_query_terms: int | None
) -> SearchOptions:
    return SearchOptions(
        limit=limit,
        offset=offset,
        filter=filter,
        with_payload=with_payload,
        max_query_terms=max_query_terms,
    )


def _is_hybrid(dense: Any, legs: Sequence[Leg] | None, fusion: Fusion | None) -> bool:
    return dense is not None or legs is not None or fusion is not None


def _hybrid(
    verbs: Verbs,
    query: Query,
    dense: Any,
    legs: Sequence[Leg] | None,
    fusion: Fusion | None,
    options: SearchOptions,
    path: Path,
    with_legs: bool,
) -> Hybrid:
    if not isinstance(query, str):
        raise ConfigurationError("a hybrid search needs the query's text, not its sparse vector")
    return Hybrid(verbs, resolve_legs(legs, dense), fusion, options, path, with_legs)


def _id_list(ids: Sequence[DocumentId]) -> list[DocumentId]:
    if isinstance(ids, str | int):
        raise ConfigurationError(f"expected a list of ids, got {ids!r}: pass [{ids!r}]")
    for id in ids:
        check_id(id)
    return list(ids)


def _say_how_far(error: SpladeConnectorsError, report: IndexReport) -> None:
    if report.written:
        error.add_note(_how_far(report))


def _how_far(report: IndexReport) -> str:
    return (
        f"{report.written} documents were written before; the same command again completes the "
        "index, and stores nothing twice"
    )


async def _awindows(
    documents: Iterable[Row] | AsyncIterable[Row], size: int
) -> AsyncIterator[list[Row]]:
    if isinstance(documents, Iterable):
        for window in windows(documents, size):
            yield window
        return
    window = []
    async for document in documents:
        window.append(document)
        if len(window) == size:
            yield window
            window = []
    if window:
        yield window
