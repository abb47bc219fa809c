"""What `Store` and `AsyncStore` share: turning the arguments of a verb into its steps.

Steps are neither blocking nor awaited (`runtime/effects.py`), so they are defined once here; the
stores differ only in how they execute and stop them.
"""

from __future__ import annotations

import os
from collections.abc import Sequence, Sized
from typing import Any

from splade_connectors.backends.feature_names import Keys
from splade_connectors.backends.protocol import Opened
from splade_connectors.documents import GivenId, HybridExplanation, document_id
from splade_connectors.encoders.base import SparseEncoder
from splade_connectors.encoders.dense import DenseSource
from splade_connectors.errors import ConfigurationError
from splade_connectors.files.dead_letters import DeadLetters
from splade_connectors.fusion.legs import Leg
from splade_connectors.fusion.reference import LegRanking
from splade_connectors.fusion.spec import Fusion
from splade_connectors.operations.attach.adopt import Adopting, begin_adopting
from splade_connectors.operations.attach.detach import begin_detaching
from splade_connectors.operations.attach.plan import AttachPlan, describe_for_attaching
from splade_connectors.operations.attach.replace import begin_attaching
from splade_connectors.operations.attach.report import DetachReport, Verification
from splade_connectors.operations.attach.run import Attaching, attach_options
from splade_connectors.operations.attach.text_index import remove_text_indexes
from splade_connectors.operations.attach.verify import verifying
from splade_connectors.operations.encoded import settings_of
from splade_connectors.operations.hybrid import hybrid_search
from splade_connectors.operations.index import Indexing, check_iterable, silent
from splade_connectors.operations.search import Query
from splade_connectors.operations.session import Session
from splade_connectors.options import (
    PATIENT,
    AttachOptions,
    OnProgress,
    RetryOptions,
    SearchOptions,
    WriteOptions,
)
from splade_connectors.origin import Origin, opened_in_child, refuse_pickling
from splade_connectors.runtime.effects import Steps


class Verbs:
    """An open collection or index, and the steps of verbs that need more than one operation.

    Args:
        session: the collection or index, with an encoder.
        opened: the client, and the function that sends requests through it.
        retry: when failed requests are retried; None uses a larger retry budget for writes.
        origin: how it was opened; None for the user's own client.
    """

    def __init__(
        self,
        session: Session,
        opened: Opened,
        retry: RetryOptions | None,
        origin: Origin | None = None,
    ) -> None:
        self._session = session
        self._opened = opened
        self._origin = origin
        self._process = os.getpid()
        self._is_used = False
        self._retry = retry or RetryOptions()
        self._patient = retry or PATIENT

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._session.backend.location!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle by target, without secrets: the unpickling process reads its environment."""
        if self._origin is None:
            return refuse_pickling(self._session.backend.location)  # type: ignore[no-any-return]
        return self._origin.reopened, (self._origin.without_secrets(),)

    @property
    def _is_here(self) -> bool:
        """Whether this process, not its parent, opened the store."""
        return self._process == os.getpid()

    def _opened_here(self) -> Opened:
        """Return this process's client: a forked child opens its own."""
        if not self._is_here:
            keys = Keys(self._session.encoder)
            self._opened = opened_in_child(self._opened, self._origin, keys, used=self._is_used)
            self._process = os.getpid()
        self._is_used = True
        return self._opened

    @property
    def encoder(self) -> SparseEncoder:
        """The encoder of documents and queries, loaded on first use."""
        return self._session.encoder()

    def _indexing(
        self,
        documents: object,
        options: WriteOptions,
        on_progress: OnProgress | None,
        dead_letters: DeadLetters | None,
        dense: DenseSource | None,
    ) -> Indexing:
        check_iterable(documents, dead_letters)
        retry = options.retry or self._patient
        total = len(documents) if isinstance(documents, Sized) else None
        made_by = settings_of(documents, self._session)
        show = on_progress or silent
        indexing = Indexing(
            self._session, options, retry, show, dead_letters, total, made_by, dense
        )
        indexing.source.empty_files = getattr(documents, "empty_files", ())
        return indexing

    def _windows(
        self,
        query: Query,
        dense: Any,
        legs: Sequence[Leg] | None,
        filter: Any,
        max_query_terms: int | None,
    ) -> Steps[list[LegRanking]]:
        options = SearchOptions(
            limit=1, filter=filter, with_payload=False, max_query_terms=max_query_terms
        )
        hybrid = hybrid_search(self._session, query, dense, legs, None, options, "client", True)
        return hybrid.windows(query)

    def _explain_hybrid(
        self,
        query: Query,
        id: GivenId,
        dense: Any,
        legs: Sequence[Leg] | None,
        fusion: Fusion | None,
        options: SearchOptions,
    ) -> Steps[HybridExplanation]:
        hybrid = hybrid_search(self._session, query, dense, legs, fusion, options, "client", False)
        return hybrid.explain(query, document_id(id))

    def _attaching(
        self,
        options: AttachOptions,
        on_progress: OnProgress | None = None,
        dead_letters: DeadLetters | None = None,
    ) -> Steps[Attaching]:
        retry = options.write.retry or self._patient
        return begin_attaching(self._session, options, retry, on_progress or silent, dead_letters)

    def _plan_attach(self, options: AttachOptions) -> Steps[AttachPlan]:
        attaching = yield from self._attaching(options)
        return (yield from attaching.plan())

    def _adopting(
        self,
        text_fields: Sequence[str],
        sample: int,
        mark: bool,
        on_progress: OnProgress | None,
    ) -> Steps[Adopting]:
        chosen = attach_options(text_fields, None)  # validates the names
        if sample < 1:
            raise ConfigurationError(f"sample must be at least 1, not {sample!r}")
        return begin_adopting(
            self._session,
            chosen.text_fields,
            sample,
            mark,
            self._patient,
            on_progress or silent,
        )

    def _verify(
        self, sample: int, everything: bool, recheck: bool, on_progress: OnProgress | None
    ) -> Steps[Verification]:
        looking = yield from verifying(self._session, on_progress)
        if everything or recheck:
            return (yield from looking.everything(recheck=recheck))
        return (yield from looking.sample(sample))

    def _detach(
        self,
        dry_run: bool,
        former: bool,
        text_index: Sequence[str],
        on_progress: OnProgress | None,
    ) -> Steps[DetachReport]:
        if text_index:
            seen = yield from describe_for_attaching(self._session)
            removing = remove_text_indexes(self._session, seen, text_index, dry_run=dry_run)
            report = yield from removing
            self._session.forget()
            return report
        detaching = yield from begin_detaching(
            self._session, self._patient, on_progress or silent, former=former
        )
        report = yield from detaching.plan() if dry_run else detaching.run()
        self._session.forget()
        return report
