"""The `attach` verb: survey, refuse or proceed, add what is missing, encode, verify, report."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from splade_connectors.backends.attaching import (
    Attachment,
    Conflict,
    Counts,
    CursorLost,
    Found,
    Gone,
    Page,
    Selection,
    attach_backend,
)
from splade_connectors.backends.protocol import Description
from splade_connectors.documents import DocumentId, Rejected, Written
from splade_connectors.encoders.base import EncodeStats
from splade_connectors.errors import (
    AttachRefused,
    ConfigurationError,
    SchemaConflict,
)
from splade_connectors.files.dead_letters import DeadLetters, named_file
from splade_connectors.operations.attach.plan import AttachPlan, Planner, describe_for_attaching
from splade_connectors.operations.attach.report import AttachReport
from splade_connectors.operations.attach.text_index import create_text_indexes
from splade_connectors.operations.attach.verify import Verifying, is_same_vector
from splade_connectors.operations.encode import encode_texts
from splade_connectors.operations.session import Recipe, Session
from splade_connectors.options import AttachOptions, OnProgress, Progress, RetryOptions
from splade_connectors.payloads import text_of
from splade_connectors.runtime.effects import Join, Sleep, Spawn, Steps
from splade_connectors.shown import counted
from splade_connectors.vectors import SparseVector
from splade_connectors.writing.chunks import PortionSize
from splade_connectors.writing.send import Interruptible, Sender

log = logging.getLogger(__name__)

# Extra passes over missed documents: written by other clients during the run, or skipped when a
# server restarted.
_LAST_PASSES = 10
# Maximum number of times that a document is read again because other clients keep changing it.
_MOST_CONFLICTS = 50


@dataclass(frozen=True, kw_only=True, slots=True)
class _Run:
    """The state that a run is based on, once it has begun.

    Attributes:
        seen: description of the collection, including what was added.
        recipe: how texts are encoded.
        selection: what the first pass reads.
    """

    seen: Description
    recipe: Recipe
    selection: Selection


class Attaching(Interruptible[AttachReport]):
    """One run of `attach`.

    Args:
        session: session of the store.
        seen: description of the collection or index; None asks for it when the run begins.
        options: what to attach, and how.
        retry: retry budget while the server is unavailable.
        on_progress: called after each batch and chunk.
        dead_letters: receives every document whose vector was rejected; None discards them.
    """

    _run: _Run  # set once the run has begun

    def __init__(
        self,
        session: Session,
        seen: Description | None,
        options: AttachOptions,
        retry: RetryOptions,
        on_progress: OnProgress,
        dead_letters: DeadLetters | None = None,
    ) -> None:
        self.report = AttachReport()
        self._session = session
        self._first_look = seen
        self._options = options
        self._retry = retry
        self._on_progress = on_progress
        self._dead_letters = dead_letters
        self._backend = attach_backend(session.backend)
        self._sender: Sender[Attachment] = Sender(
            lambda items: self._backend.attach(self._run.seen, items),
            self._backend.attachment_size,
            self._settle,
            options.write,
            retry,
        )
        self._began = time.perf_counter()
        self._waiting: list[Attachment] = []
        self._changed: list[Found] = []
        self._conflicts: dict[DocumentId, int] = {}
        self._refused: set[DocumentId] = set()
        self._lost: set[DocumentId] = set()
        self._portion_size = PortionSize(options.write.portion_documents)
        self._total: int | None = None
        self._told = 0

    def plan(self) -> Steps[AttachPlan]:
        """Return what `run` would do. Writes nothing."""
        return (yield from (yield from self._planner()).plan(measured=True))

    def run(self, follow_s: float | None = None) -> Steps[AttachReport]:
        """Attach.

        Args:
            follow_s: keep polling for new documents at this interval in seconds, forever.

        Raises:
            AttachRefused: naming every reason, before anything is written.
        """
        self._run = yield from self._begin()
        selection = self._run.selection
        yield from self._pass(selection)
        counts = yield from self._last_passes(selection)
        yield from self._check_manifest()
        while follow_s is not None:
            yield Sleep(follow_s)
            if (yield from self._has_arrived(selection)):
                counts = yield from self._last_passes(selection)
        if self._options.part is None:
            run = self._run
            verifying = Verifying(self._session, run.seen, run.recipe, selection)
            sampling = verifying.sample(self._options.verify, counts)
            self.report.verification = yield from sampling
        return self._closed()

    def _planner(self) -> Steps[Planner]:
        seen = self._first_look or (yield from describe_for_attaching(self._session))
        return Planner(self._session, self._options, seen)

    def _begin(self) -> Steps[_Run]:
        """Survey, refuse or proceed, and add what is missing."""
        planner = yield from self._planner()
        plan = yield from planner.plan(measured=False)
        if plan.refusals:
            raise AttachRefused(
                f"nothing was written to {plan.target}: {'; '.join(plan.refusals)}",
                refusals=plan.refusals,
            )
        creating = create_text_indexes(self._session, planner.seen, self._options)
        seen = yield from self._patiently(creating)
        self.report.text_index = planner.indexing.lacking
        seen = yield from self._backend.ensure(
            seen,
            planner.recipe.manifest,
            write_manifest=planner.seen.manifest is None,
            mark=self._options.mark,
        )
        stored = planner.seen.manifest
        if stored is not None and stored.outdated:
            seen = yield from self._session.backend.write_manifest(planner.recipe.manifest)
        selection = planner.selection(seen)
        self._total = plan.to_do if selection.which == "missing" else plan.documents
        return _Run(seen=seen, recipe=planner.recipe, selection=selection)

    def _pass(self, selection: Selection) -> Steps[None]:
        """Read everything selected; encode and send documents without a current vector."""
        unchanged, attached = self.report.unchanged, self.report.attached
        while True:
            try:
                yield from self._read(selection)
            except CursorLost as error:
                log.info("%s", error)
            else:
                break
            # Reading starts over, so this pass will see its own writes again.
            self._waiting.clear()
            yield from self._settled(selection)
            yield from self._patiently(self._session.backend.refresh())
            self.report.unchanged = unchanged - (self.report.attached - attached)
        yield from self._settled(selection)
        # Other clients may have deleted documents attached before reading started over.
        self.report.unchanged = max(self.report.unchanged, unchanged)

    def _read(self, selection: Selection) -> Steps[None]:
        """Read page by page, prefetching the next while one is encoded."""
        reading = yield self._reading(selection, None)
        while reading is not None:
            page: Page = yield Join(reading)
            more = page.next is not None
            reading = (yield self._reading(selection, page.next)) if more else None
            for found in page.documents:
                self._consider(found, missing=selection.which == "missing")
            yield from self._encode_waiting(self._portion_size.now)
            self._tell()

    def _settled(self, selection: Selection) -> Steps[None]:
        """Continue until nothing is waiting, in flight, or changed by another client."""
        while self._waiting or self._sender.in_flight or self._changed:
            yield from self._encode_waiting(1)
            yield from self._sender.drain()
            yield from self._read_changed(selection)

    def _has_arrived(self, selection: Selection) -> Steps[bool]:
        """Whether there is anything to do, according to one count request."""
        yield from self._session.backend.refresh()
        missing = replace(selection, which="missing", with_vectors=False)
        counting = self._backend.missing(self._run.seen, missing)
        return bool((yield from self._patiently(counting)))

    def _last_passes(self, selection: Selection) -> Steps[Counts | None]:
        """Handle what other clients wrote during the run, until no progress is possible.

        Returns:
            The final counts; None if unknown.
        """
        missing = replace(selection, which="missing", with_vectors=False)
        for _ in range(_LAST_PASSES):
            yield from self._session.backend.refresh()
            counting = self._backend.counts(self._run.seen, missing)
            counts: Counts = yield from self._patiently(counting)
            if not counts.missing:
                return counts
            before = self.report.attached
            yield from self._pass(missing)
            # Their markers had made them count as unchanged.
            self.report.unchanged = max(0, self.report.unchanged - len(self._lost))
            self._lost.clear()
            if self.report.attached == before:
                return counts
        return None

    def _check_manifest(self) -> Steps[None]:
        """Raise if another process detached, or attached with other settings.

        Without a manifest, this cannot be detected.
        """
        stored = self._run.seen.manifest
        if stored is None:
            return
        # Another process may have run detach, or attach with other settings, during this run.
        now = (yield from self._session.look_again()).manifest
        if now is None or now.fingerprint() != stored.fingerprint():
            raise SchemaConflict(
                f"{self._session.backend.location}: another process detached "
                f"{self._run.seen.vector!r}, or attached with other settings, during this run, so "
                "vectors may be left over; run detach again, or attach with --recheck"
            )

    def _reading(self, selection: Selection, cursor: Any) -> Spawn:
        return Spawn(self._backend.read(self._run.seen, selection, cursor), self._retry)

    def _patiently(self, steps: Steps[Any]) -> Steps[Any]:
        return (yield Join((yield Spawn(steps, self._retry))))

    def _consider(
        self, found: Found, *, missing: bool = False, written_before: bool = False
    ) -> None:
        """Queue a document for encoding, unless its vector already matches its text."""
        if found.id in self._refused:
            return
        recipe = self._run.recipe
        fields = recipe.manifest.text_fields
        text = text_of(found.payload, fields)
        marker = recipe.marker(text)
        if missing and found.marker is not None:
            # The store says it has no vector: another client removed it but not the marker.
            if found.marker == marker:
                self._lost.add(found.id)
            found = replace(found, marker=None)
        if found.marker == marker and not self._options.recheck:
            if written_before:
                # It was written by a request whose response was lost.
                self.report.attached += 1
            else:
                self.report.unchanged += 1
            return
        # `_encoded` fills in the vector.
        self._waiting.append(
            Attachment(
                found=found,
                vector=SparseVector.empty(),
                marker=marker,
                text=text,
                fields=fields,
            )
        )

    def _encode_waiting(self, least: int) -> Steps[None]:
        """Encode and send queued documents, if there are at least `least`."""
        while len(self._waiting) >= least and self._waiting:
            portion = self._portion_size.now
            batch, self._waiting = self._waiting[:portion], self._waiting[portion:]
            encoded = yield from self._encoded(batch)
            yield from self._sender.put(encoded, self._run.seen.capabilities.max_write_documents)
            self._tell()

    def _encoded(self, batch: Sequence[Attachment]) -> Steps[list[Attachment]]:
        """The documents with their vectors, without those whose vector is already right."""
        began = time.perf_counter()
        stats = EncodeStats()
        vectors = yield from encode_texts(
            self._run.recipe,
            [item.text for item in batch],
            stats,
            lambda step: self._tell(),
        )
        seconds = time.perf_counter() - began
        self._portion_size.took(seconds)
        self.report.encode_s += seconds
        self.report.encoded += stats.texts
        self.report.truncated += stats.truncated
        made = [replace(item, vector=vector) for item, vector in zip(batch, vectors, strict=True)]
        if not self._options.recheck:
            return made
        return [item for item in made if not self._is_right(item)]

    def _is_right(self, item: Attachment) -> bool:
        stored, marker = item.found.vector, item.found.marker
        if marker not in (None, item.marker) or (stored is None and marker is None):
            return False
        # Some stores do not return empty vectors: a marker alone implies one.
        stored = SparseVector.empty() if stored is None else stored
        rounding = self._run.seen.capabilities.rounding
        recipe = self._run.recipe
        made = item.vector or SparseVector.empty()
        precision = recipe.encoder.spec.precision
        right = is_same_vector(stored, made, rounding, precision, recipe.prune)
        self.report.unchanged += right
        return right

    def _settle(self, item: Attachment, outcome: Any) -> None:
        match outcome:
            case Written():
                self.report.attached += 1
                self.report.empty += not item.text.strip()
                self.report.terms += item.terms
            case Conflict():
                self._note_conflict(item)
            case Gone():
                self.report.gone += 1
            case Rejected(reason=reason, detail=detail):
                self._reject(item, reason, detail)
        self._tell()

    def _note_conflict(self, item: Attachment) -> None:
        times = self._conflicts.get(item.id, 0) + 1
        if times > _MOST_CONFLICTS:
            self._reject(item, f"other clients changed it {times} times during the run")
            return
        self._conflicts[item.id] = times
        self.report.conflicts += 1
        self._changed.append(item.found)

    def _read_changed(self, selection: Selection) -> Steps[None]:
        """Read documents that other clients changed or deleted."""
        changed, self._changed = self._changed, []
        for start in range(0, len(changed), selection.size):
            portion = changed[start : start + selection.size]
            steps = self._backend.read_again(self._run.seen, selection, portion)
            now: list[Found] = yield from self._patiently(steps)
            self.report.gone += len(portion) - len(now)
            for found in now:
                self._consider(found, written_before=True)

    def _reject(self, item: Attachment, reason: str, detail: str = "") -> None:
        rejected = Rejected(id=item.id, reason=reason, detail=detail)
        self._refused.add(item.id)
        self.report.reject(rejected)
        if self._dead_letters is not None:
            self._dead_letters.add(rejected, text=item.text)

    def _closed(self) -> AttachReport:
        self.report.retries = self._sender.retries
        self.report.dead_letters = named_file(self._dead_letters)
        self.report.seconds = time.perf_counter() - self._began
        self._tell()
        return self.report

    def _tell(self) -> None:
        # Documents read again after a lost cursor were already reported.
        self._told = max(self._told, self.report.done)
        self._on_progress(
            Progress(
                done=self._told,
                rejected=self.report.rejected_count,
                total=None if self._total is None else max(self._total, self._told),
                retries=self._sender.retries,
                in_flight=self._sender.in_flight,
                stopping=self._stopping,
            )
        )


def attach_options(text_fields: Sequence[str], options: AttachOptions | None) -> AttachOptions:
    """Return the options of a run, with the text fields of the call.

    Raises:
        ConfigurationError: if both name text fields, and they differ.
    """
    options = options or AttachOptions()
    # A single name is a common slip: a string is a sequence of its characters.
    fields = (text_fields,) if isinstance(text_fields, str) else tuple(text_fields)
    if not fields:
        return options
    if options.text_fields not in ((), fields):
        raise ConfigurationError(
            f"text_fields is given twice: {fields!r}, and {options.text_fields!r} in the options"
        )
    return replace(options, text_fields=fields)


def add_attach_progress_note(error: BaseException, report: AttachReport) -> None:
    """Add to an error how many vectors were attached before it."""
    if report.attached:
        error.add_note(attach_progress_note(report))


def attach_progress_note(report: AttachReport) -> str:
    """Return what an interrupted attach run has written, and how to resume."""
    documents = counted(report.attached, "document")
    return f"vectors attached to {documents} so far; run the same command again to resume"
