"""`AsyncStore`: the verbs of `Store`, awaited."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Iterable, Mapping, Sequence
from types import TracebackType
from typing import Any, Self, TypeVar

from splade_connectors.arguments import (
    Query,
    check_iterable,
    hybrid_search,
    id_list,
    is_hybrid,
    say_how_far,
    search_options,
    silent,
)
from splade_connectors.backend import Opened, Plan
from splade_connectors.documents import DocumentId, Explanation, HybridExplanation, StoredDocument
from splade_connectors.errors import SpladeConnectorsError
from splade_connectors.fusion.legs import Leg
from splade_connectors.fusion.reference import LegRanking
from splade_connectors.fusion.request import Path
from splade_connectors.fusion.spec import Fusion
from splade_connectors.fusion.tuning import Tuning
from splade_connectors.options import OnProgress, RetryOptions, SearchOptions, WriteOptions
from splade_connectors.pipeline.chunks import windows
from splade_connectors.pipeline.report import IndexReport
from splade_connectors.pipeline.write import Indexing, Row
from splade_connectors.steps import Steps, arun
from splade_connectors.verbs import Hits, Inspection, Verbs

T = TypeVar("T")


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
        check_iterable(documents)
        indexing = Indexing(self._verbs, options, self._retry, on_progress or silent)
        try:
            async for window in _awindows(documents, options.window_documents):
                await self._run(indexing.window(window))
            return await self._run(indexing.finish())
        except SpladeConnectorsError as error:
            say_how_far(error, indexing.report)
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
        options = search_options(limit, offset, filter, with_payload, max_query_terms)
        if is_hybrid(dense, legs, fusion):
            hybrid = hybrid_search(
                self._verbs, query, dense, legs, fusion, options, path, with_legs
            )
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
        options = search_options(limit, offset, filter, with_payload, max_query_terms)
        if is_hybrid(dense, legs, fusion):
            hybrid = hybrid_search(self._verbs, query, dense, legs, fusion, options, path, False)
            return await self._run(hybrid.plan(str(query)))
        return await self._run(self._verbs.plan(query, options))

    async def windows(
        self,
        query: str,
        *,
        dense: Any = None,
        legs: Sequence[Leg] | None = None,
        filter: Any = None,
        max_query_terms: int | None = None,
    ) -> list[LegRanking]:
        """As `Store.windows`."""
        options = search_options(1, 0, filter, False, max_query_terms)
        hybrid = hybrid_search(self._verbs, query, dense, legs, None, options, "client", True)
        return await self._run(hybrid.windows(query))

    async def explain(self, query: str, id: DocumentId) -> Explanation:
        """As `Store.explain`."""
        return await self._run(self._verbs.explain(query, id))

    async def explain_hybrid(
        self,
        query: str,
        id: DocumentId,
        *,
        dense: Any = None,
        legs: Sequence[Leg] | None = None,
        fusion: Fusion | None = None,
        filter: Any = None,
    ) -> HybridExplanation:
        """As `Store.explain_hybrid`."""
        options = SearchOptions(limit=1, filter=filter)
        hybrid = hybrid_search(self._verbs, query, dense, legs, fusion, options, "client", False)
        return await self._run(hybrid.explain(query, id))

    async def get(
        self, ids: Sequence[DocumentId], *, with_vectors: bool = False
    ) -> list[StoredDocument]:
        """As `Store.get`."""
        return await self._run(self._verbs.get(id_list(ids), with_vectors=with_vectors))

    async def known(self, ids: Sequence[DocumentId]) -> list[DocumentId]:
        """As `Store.known`."""
        return await self._run(self._verbs.known(id_list(ids)))

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
        await self._run(self._verbs.backend.delete(id_list(ids)))

    async def count(self) -> int:
        """As `Store.count`."""
        return await self._run(self._verbs.backend.count())

    async def inspect(self) -> Inspection:
        """As `Store.inspect`."""
        return await self._run(self._verbs.inspect())

    async def tuning(self) -> Tuning | None:
        """As `Store.tuning`."""
        return await self._run(self._verbs.tuning())

    async def save_tuning(self, tuning: Tuning | None) -> None:
        """As `Store.save_tuning`."""
        await self._run(self._verbs.save_tuning(tuning))

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
