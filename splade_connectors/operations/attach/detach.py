"""The `detach` verb: what attaching added goes, and nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from splade_connectors.backends.attaching import (
    Conflict,
    CursorLost,
    Found,
    Gone,
    Page,
    Selection,
    attach_backend,
)
from splade_connectors.documents import Rejected, Written
from splade_connectors.errors import NotFound
from splade_connectors.operations.attach.plan import nowhere
from splade_connectors.operations.attach.report import DetachReport
from splade_connectors.options import OnProgress, Progress, RetryOptions, WriteOptions
from splade_connectors.runtime.effects import Join, Spawn, Steps
from splade_connectors.writing.send import Sender

if TYPE_CHECKING:
    from splade_connectors.operations.session import Verbs

_FOUND_BYTES = 200
_ATTACHED = Selection(which="attached", settings="", fields=())
_MOST_ROUNDS = 50


class Detaching:
    """One run of `detach`.

    Args:
        verbs: of the store.
        retry: how long a server that is not available is waited for.
        on_progress: called after each page.
    """

    def __init__(self, verbs: Verbs, retry: RetryOptions, on_progress: OnProgress) -> None:
        self._verbs = verbs
        self._retry = retry
        self._on_progress = on_progress
        self._backend = attach_backend(verbs.backend)
        self.report = DetachReport(vector=self._backend.vector_name)
        self._sender: Sender[Found] = Sender(
            self._backend.clear, lambda found: _FOUND_BYTES, self._settle, WriteOptions(), retry
        )
        self._changed: list[Found] = []

    def plan(self) -> Steps[DetachReport]:
        """What `run` would remove. Writes nothing.

        Raises:
            NotFound: when there is nothing of ours.
        """
        backend = self._verbs.backend
        found = yield from backend.describe()
        if not found.exists:
            raise NotFound((yield from nowhere(self._verbs)))
        if not found.has_field:
            raise NotFound(
                f"{backend.location} has no {self._backend.vector_name!r}: there is nothing to "
                "detach"
            )
        self.report.vector = self._backend.vector_name
        if not (yield from self._is_ours()):
            raise NotFound(
                f"{backend.location} has no manifest for {self._backend.vector_name!r} and no "
                "document that we have marked: what is there is not ours, and there is nothing to "
                "detach"
            )
        self.report.documents = yield from backend.count()
        self.report.removes, self.report.remains = yield from self._backend.withdrawal()
        return self.report

    def _is_ours(self) -> Steps[bool]:
        if (yield from self._verbs.backend.read_manifest()) is not None:
            return True
        # A detach beside an attach may have left documents without a manifest.
        page = yield from self._backend.read(replace(_ATTACHED, size=1), None)
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
            yield from self._verbs.backend.refresh()
            if self.report.cleared == before:
                break
        if not self.report.rejected_count:
            yield from self._backend.withdraw()
            self.report.done = True
        return self.report

    def _pass(self, selection: Selection) -> Steps[None]:
        reading = yield Spawn(self._backend.read(selection, None), self._retry)
        while reading is not None:
            page: Page = yield Join(reading)
            more = page.next is not None
            steps = self._backend.read(selection, page.next)
            reading = (yield Spawn(steps, self._retry)) if more else None
            yield from self._sender.put(page.documents)
            self._tell()
        yield from self._sender.drain()
        while self._changed:
            changed, self._changed = self._changed, []
            yield from self._sender.put((yield from self._now(selection, changed)))
            yield from self._sender.drain()

    def _now(self, selection: Selection, found: Sequence[Found]) -> Steps[list[Found]]:
        """As they are now: only those that still have something of ours."""
        steps = self._backend.read_again(selection, found)
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


def former_verbs(verbs: Verbs) -> Steps[Verbs]:
    """The verbs of the vector that was searched before the model was replaced.

    Raises:
        NotFound: when no model was replaced.
    """
    backend = attach_backend(verbs.backend)
    name = yield from backend.former()
    if name is None:
        raise NotFound(f"{verbs.backend.location} has no former vectors: no model was replaced")
    return verbs.over(backend.renamed(name))
