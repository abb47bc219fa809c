"""`AsyncStore`: the verbs of `Store`, awaited."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Iterable, Mapping, Sequence
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
from splade_connectors.files.dead_letters import DeadLetters
from splade_connectors.fusion.legs import Leg
from splade_connectors.fusion.reference import LegRanking
from splade_connectors.fusion.request import FusionPath
from splade_connectors.fusion.spec import Fusion
from splade_connectors.fusion.tuning import Tuning
from splade_connectors.operations.attach.adopt import AdoptReport, add_adopt_progress_note
from splade_connectors.operations.attach.plan import AttachPlan
from splade_connectors.operations.attach.report import AttachReport, DetachReport, Verification
from splade_connectors.operations.attach.run import add_attach_progress_note, attach_options
from splade_connectors.operations.edit import Given, count, delete, get, known, update
from splade_connectors.operations.explain import explain
from splade_connectors.operations.export import Exporting
from splade_connectors.operations.found import Hits
from splade_connectors.operations.hybrid import planning, searching
from splade_connectors.operations.index import (
    add_progress_note,
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
from splade_connectors.runtime.drive import arun
from splade_connectors.runtime.effects import Steps
from splade_connectors.verbs import Verbs
from splade_connectors.writing.chunks import PortionSize, portions
from splade_connectors.writing.report import IndexReport

T = TypeVar("T")


class AsyncStore(Verbs):
    """`Store`, awaited. Made by `aconnect`; usable as an async context manager.

    Encoding runs in a thread, so the event loop stays free.
    """

    async def index(
        self,
        documents: Iterable[Row] | AsyncIterable[Row],
        *,
        skip_unchanged: bool | None = None,
        options: WriteOptions | None = None,
        on_progress: OnProgress | None = None,
        dead_letters: DeadLetters | None = None,
        dense: DenseSource | None = None,
    ) -> IndexReport:
        """As `Store.index`; documents may come from an async iterator.

        If the call is cancelled, acknowledged documents stay in the store.
        """
        options = write_options(options, skip_unchanged)
        indexing = self._indexing(documents, options, on_progress, dead_letters, dense)
        try:
            async for portion in _aportions(documents, indexing.portion_size):
                await self._run(indexing.portion(portion))
            return await self._run(indexing.finish())
        except Exception as error:  # also from the caller's iterator or callbacks
            await self._run(indexing.settle_rest())
            add_progress_note(error, indexing)
            raise
        except BaseException:  # usually a cancellation
            indexing.stopped()
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
        group_by: str | None = None,
        with_payload: bool = True,
        max_query_terms: int | None = None,
        min_score: float | None = None,
        with_total: bool = False,
        with_terms: bool = False,
        with_legs: bool = False,
        path: FusionPath = "auto",
    ) -> Hits:
        """As `Store.search`."""
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
        return await self._run(steps)

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
        group_by: str | None = None,
        with_payload: bool = True,
        max_query_terms: int | None = None,
        path: FusionPath = "auto",
    ) -> Plan:
        """As `Store.plan`."""
        options = SearchOptions(
            limit=limit,
            offset=offset,
            filter=filter,
            group_by=group_by,
            with_payload=with_payload,
            max_query_terms=max_query_terms,
        )
        steps = planning(self._session, query, dense, legs, fusion, options, path)
        return await self._run(steps)

    async def windows(
        self,
        query: Query,
        *,
        dense: Any = None,
        legs: Sequence[Leg] | None = None,
        filter: Any = None,
        max_query_terms: int | None = None,
    ) -> list[LegRanking]:
        """As `Store.windows`."""
        return await self._run(self._windows(query, dense, legs, filter, max_query_terms))

    async def explain(
        self, query: Query, id: GivenId, *, max_query_terms: int | None = None
    ) -> Explanation:
        """As `Store.explain`."""
        return await self._run(explain(self._session, query, id, max_query_terms))

    async def explain_hybrid(
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
        """As `Store.explain_hybrid`."""
        options = SearchOptions(limit=1, filter=filter, max_query_terms=max_query_terms)
        return await self._run(self._explain_hybrid(query, id, dense, legs, fusion, options))

    async def attach(
        self,
        text_fields: Sequence[str] = (),
        *,
        options: AttachOptions | None = None,
        on_progress: OnProgress | None = None,
        dead_letters: DeadLetters | None = None,
        follow_s: float | None = None,
    ) -> AttachReport:
        """As `Store.attach`. If cancelled, acknowledged vectors stay in the store."""
        chosen = attach_options(text_fields, options)
        attaching = await self._run(self._attaching(chosen, on_progress, dead_letters))
        try:
            return await self._run(attaching.run(follow_s))
        except Exception as error:  # also from the caller's callbacks
            await self._run(attaching.settle_rest())
            add_attach_progress_note(error, attaching.report)
            raise
        except BaseException:  # usually a cancellation
            attaching.stopped()
            raise
        finally:
            self._session.forget()

    async def plan_attach(
        self, text_fields: Sequence[str] = (), *, options: AttachOptions | None = None
    ) -> AttachPlan:
        """As `Store.plan_attach`."""
        return await self._run(self._plan_attach(attach_options(text_fields, options)))

    async def adopt(
        self,
        text_fields: Sequence[str] = (),
        *,
        sample: int = 100,
        mark: bool = False,
        dry_run: bool = False,
        on_progress: OnProgress | None = None,
    ) -> AdoptReport:
        """As `Store.adopt`. If cancelled, acknowledged marks stay in the store."""
        adopting = await self._run(self._adopting(text_fields, sample, mark, on_progress))
        try:
            return await self._run(adopting.run(dry_run=dry_run))
        except Exception as error:  # also from the caller's callbacks
            await self._run(adopting.settle_rest())
            add_adopt_progress_note(error, adopting.report)
            raise
        except BaseException:  # usually a cancellation
            adopting.stopped()
            raise
        finally:
            self._session.forget()

    async def verify(
        self,
        *,
        sample: int = 100,
        everything: bool = False,
        recheck: bool = False,
        on_progress: OnProgress | None = None,
    ) -> Verification:
        """As `Store.verify`."""
        return await self._run(self._verify(sample, everything, recheck, on_progress))

    async def detach(
        self,
        *,
        dry_run: bool = False,
        former: bool = False,
        text_index: Sequence[str] = (),
        on_progress: OnProgress | None = None,
    ) -> DetachReport:
        """As `Store.detach`."""
        return await self._run(self._detach(dry_run, former, text_index, on_progress))

    async def get(
        self, ids: Sequence[GivenId], *, with_vectors: bool = False, absent_ok: bool = False
    ) -> list[StoredDocument]:
        """As `Store.get`."""
        return await self._run(
            get(self._session, ids, with_vectors=with_vectors, absent_ok=absent_ok)
        )

    async def known(self, ids: Sequence[Given], *, absent_ok: bool = False) -> list[Given]:
        """As `Store.known`."""
        return await self._run(known(self._session, ids, absent_ok))

    async def export(self, *, with_vectors: bool = False) -> AsyncIterator[StoredDocument]:
        """As `Store.export`; iterate over it with `async for`."""
        exporting = Exporting(self._session, with_vectors)
        while not exporting.done:
            for document in await self._run(exporting.page()):
                yield document

    async def update(
        self,
        id: GivenId,
        *,
        text: str | None = None,
        payload: Mapping[str, Any] | None = None,
    ) -> None:
        """As `Store.update`."""
        await self._run(update(self._session, id, text, payload))

    async def delete(self, ids: Sequence[GivenId]) -> None:
        """As `Store.delete`."""
        await self._run(delete(self._session, ids))

    async def count(self) -> int:
        """As `Store.count`."""
        return await self._run(count(self._session))

    async def inspect(self) -> Inspection:
        """As `Store.inspect`."""
        return await self._run(inspect(self._session))

    async def tuning(self) -> Tuning | None:
        """As `Store.tuning`."""
        return await self._run(tuning(self._session))

    async def save_tuning(self, tuning: Tuning | None) -> None:
        """As `Store.save_tuning`."""
        await self._run(save_tuning(self._session, tuning))

    async def close(self) -> None:
        """As `Store.close`."""
        if self._is_here:
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

    async def _run(self, steps: Steps[T]) -> T:
        return await arun(steps, self._opened_here().send, self._retry)


async def _aportions(
    documents: Iterable[Row] | AsyncIterable[Row], size: PortionSize
) -> AsyncIterator[list[Row]]:
    if isinstance(documents, Iterable):
        for portion in portions(documents, size):
            yield portion
        return
    portion = []
    async for document in documents:
        portion.append(document)
        if len(portion) >= size.now:
            yield portion
            portion = []
    if portion:
        yield portion
