"""The `detach` verb: remove what attaching added, and nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from splade_connectors.backends.attaching import (
    Conflict,
    CursorLost,
    Found,
    Gone,
    Page,
    Selection,
    attach_backend,
)
from splade_connectors.backends.protocol import Description
from splade_connectors.documents import Rejected, Written
from splade_connectors.errors import NotFound
from splade_connectors.operations.attach.plan import describe_for_attaching, pinned
from splade_connectors.operations.attach.report import DetachReport
from splade_connectors.operations.session import Session
from splade_connectors.options import OnProgress, Progress, RetryOptions, WriteOptions
from splade_connectors.runtime.effects import Join, Spawn, Steps
from splade_connectors.writing.send import Sender

_FOUND_BYTES = 200
_ATTACHED = Selection(which="attached", settings="", fields=())
_MOST_ROUNDS = 50


class Detaching:
    """One run of `detach`.

    Args:
        session: session of the store.
        retry: retry budget while the server is unavailable.
        on_progress: called after each page.
    """

    def __init__(
        self, session: Session, retry: RetryOptions, on_progress: OnProgress, seen: Description
    ) -> None:
        self._session = session
        self._seen = seen
        self._retry = retry
        self._on_progress = on_progress
        self._backend = attach_backend(session.backend)
        self.report = DetachReport(vector=seen.vector)
        self._sender: Sender[Found] = Sender(
            lambda found: self._backend.clear(seen, found),
            lambda found: _FOUND_BYTES,
            self._settle,
            WriteOptions(),
            retry,
        )
        self._changed: list[Found] = []

    def plan(self) -> Steps[DetachReport]:
        """Return what `run` would remove. Writes nothing.

        Raises:
            NotFound: if there is nothing to remove.
        """
        backend, seen = self._session.backend, self._seen
        if not seen.capabilities.has_field:
            raise NotFound(f"{backend.location} has no {seen.vector!r}: there is nothing to detach")
        if not (yield from self._is_ours()):
            raise NotFound(
                f"{backend.location} has neither a manifest for {seen.vector!r} nor marked "
                "documents, so attach did not write these vectors: there is nothing to detach"
            )
        self.report.documents = yield from backend.count(seen)
        self.report.removes, self.report.remains = self._backend.withdrawal(seen)
        return self.report

    def _is_ours(self) -> Steps[bool]:
        if self._seen.manifest is not None:
            return True
        # A detach that ran during an attach may have left marked documents but no manifest.
        page = yield from self._backend.read(self._seen, replace(_ATTACHED, size=1), None)
        return any(found.marker is not None for found in page.documents)

    def run(self) -> Steps[DetachReport]:
        """Remove vectors and markers of all documents, then manifest and, if possible, field."""
        yield from self.plan()
        selection = _ATTACHED
        for _ in range(_MOST_ROUNDS):
            before = self.report.cleared
            try:
                yield from self._pass(selection)
            except CursorLost:
                yield from self._sender.drain()
                continue
            yield from self._session.backend.refresh()
            if self.report.cleared == before:
                break
        if not self.report.rejected_count:
            yield from self._backend.withdraw(self._seen)
            self.report.done = True
        return self.report

    def _pass(self, selection: Selection) -> Steps[None]:
        reading = yield Spawn(self._backend.read(self._seen, selection, None), self._retry)
        while reading is not None:
            page: Page = yield Join(reading)
            more = page.next is not None
            steps = self._backend.read(self._seen, selection, page.next)
            reading = (yield Spawn(steps, self._retry)) if more else None
            yield from self._sender.put(page.documents)
            self._tell()
        yield from self._sender.drain()
        while self._changed:
            changed, self._changed = self._changed, []
            yield from self._sender.put((yield from self._now(selection, changed)))
            yield from self._sender.drain()

    def _now(self, selection: Selection, found: Sequence[Found]) -> Steps[list[Found]]:
        """Read documents again; only those that still carry a marker."""
        steps = self._backend.read_again(self._seen, selection, found)
        again: list[Found] = yield Join((yield Spawn(steps, self._retry)))
        return [item for item in again if item.marker is not None]

    def _settle(self, found: Found, outcome: Any) -> None:
        match outcome:
            case Written():
                self.report.cleared += 1
            case Conflict():
                self._changed.append(found)
            case Gone():
                pass
            case Rejected(reason=reason):
                self.report.reject(Rejected(id=found.id, reason=reason))

    def _tell(self) -> None:
        done = self.report.cleared + self.report.rejected_count
        total = max(done, self.report.documents)
        self._on_progress(Progress(done=done, total=total, in_flight=self._sender.in_flight))


def begin_detaching(
    session: Session, retry: RetryOptions, on_progress: OnProgress, *, former: bool
) -> Steps[Detaching]:
    """Start a run that removes what attaching added, or what a replaced model left behind.

    Raises:
        NotFound: if there is no such collection or index, or nothing to remove.
    """
    session, seen = yield from pinned(session, (yield from describe_for_attaching(session)))
    if former:
        session = _former(session, seen)
        seen = yield from describe_for_attaching(session)
    return Detaching(session, retry, on_progress, seen)


def _former(session: Session, seen: Description) -> Session:
    """The session of the vector that was in use before the model was replaced.

    Raises:
        NotFound: if no model was replaced.
    """
    backend = attach_backend(session.backend)
    name = backend.former(seen)
    if name is None:
        raise NotFound(f"{session.backend.location} has no former vectors: no model was replaced")
    return session.over(backend.renamed(name))
