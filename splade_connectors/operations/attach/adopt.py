"""The `adopt` verb: take over vectors that another tool wrote, if they equal ours.

A sample is compared with fresh encodings, then the documents are marked if markers are kept. The
manifest is written last: an interrupted run leaves none, and the next run resumes.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from splade_connectors.backends.attaching import (
    Attachment,
    Conflict,
    CursorLost,
    Found,
    Gone,
    Page,
    Selection,
    Survey,
    attach_backend,
)
from splade_connectors.backends.protocol import Description
from splade_connectors.documents import DocumentId, Rejected, Written
from splade_connectors.errors import AttachRefused, SchemaConflict
from splade_connectors.manifest import IndexManifest
from splade_connectors.operations.attach.detect import (
    Detecting,
    Sampled,
    Trial,
    differences,
    manifest_recipe,
)
from splade_connectors.operations.attach.plan import describe_for_attaching, pinned
from splade_connectors.operations.attach.report import KEPT_IDS
from splade_connectors.operations.session import Recipe, Session, foreign_terms
from splade_connectors.options import OnProgress, Progress, RetryOptions, WriteOptions
from splade_connectors.payloads import text_of
from splade_connectors.runtime.effects import Join, Spawn, Steps
from splade_connectors.shown import counted, quoted
from splade_connectors.writing.report import KEPT_REJECTIONS
from splade_connectors.writing.send import Interruptible, Sender

_FIELDS_SHOWN = 20


@dataclass(kw_only=True, slots=True)
class AdoptReport:
    """What `adopt` found, and what it wrote.

    Attributes:
        target: the collection or index.
        vector: name of the vector or field.
        documents: number of documents in the collection or index.
        compared: documents of the sample whose vector was compared with a fresh encoding.
        different_count: documents whose vector differs.
        different: their first 100 ids.
        manifest: inferred settings of the vectors; None if they were not found.
        notes: what the owner should know.
        refusals: why nothing was written, or in a dry run would be.
        marked: documents marked, so that their vectors need not be encoded again.
        unchanged: documents already marked.
        left: documents whose vector was not taken over: changed by another client during the run,
            or empty although there is text. `attach` encodes them.
        rejected_count: documents that could not be marked.
        rejected: the first 1,000 of them, with reasons.
        retries: number of requests retried.
        seconds: total duration in seconds.
        interrupted: whether the run was stopped early, leaving no manifest.
        done: whether the manifest was written.
    """

    target: str = ""
    vector: str = ""
    documents: int = 0
    compared: int = 0
    different_count: int = 0
    different: list[DocumentId] = field(default_factory=list)
    manifest: IndexManifest | None = None
    notes: tuple[str, ...] = ()
    refusals: tuple[str, ...] = ()
    marked: int = 0
    unchanged: int = 0
    left: int = 0
    rejected_count: int = 0
    rejected: list[Rejected] = field(default_factory=list)
    retries: int = 0
    seconds: float = 0.0
    interrupted: bool = False
    done: bool = False

    @property
    def handled(self) -> int:
        """Documents with a final outcome."""
        return self.marked + self.unchanged + self.left + self.rejected_count

    def reject(self, rejection: Rejected) -> None:
        """Count a rejection, and keep its reason up to a limit."""
        self.rejected_count += 1
        if len(self.rejected) < KEPT_REJECTIONS:
            self.rejected.append(rejection)

    def to_json(self) -> dict[str, Any]:
        """Return a JSON object."""
        return {
            "target": self.target,
            "vector": self.vector,
            "documents": self.documents,
            "compared": self.compared,
            "different": self.different_count,
            "different_ids": self.different,
            "manifest": self.manifest.to_json() if self.manifest else None,
            "notes": list(self.notes),
            "refusals": list(self.refusals),
            "marked": self.marked,
            "unchanged": self.unchanged,
            "left": self.left,
            "rejected": self.rejected_count,
            "rejections": [{"id": item.id, "reason": item.reason} for item in self.rejected],
            "retries": self.retries,
            "seconds": round(self.seconds, 3),
            "interrupted": self.interrupted,
            "done": self.done,
        }


class Adopting(Interruptible[AdoptReport]):
    """One run of `adopt`.

    Args:
        session: session of the store.
        seen: description of the collection or index.
        text_fields: fields that the vectors were encoded from.
        sample: number of documents to compare.
        mark: on Qdrant: store a hash of the text in each point's payload.
        retry: retry budget while the server is unavailable.
        on_progress: called after each page and chunk.
    """

    def __init__(
        self,
        session: Session,
        seen: Description,
        text_fields: Sequence[str],
        sample: int,
        mark: bool,
        retry: RetryOptions,
        on_progress: OnProgress,
    ) -> None:
        self.report = AdoptReport(target=session.backend.location, vector=seen.vector)
        self._session = session
        self._seen = seen
        self._sample = sample
        self._mark = mark
        self._retry = retry
        self._on_progress = on_progress
        self._backend = attach_backend(session.backend)
        self._write = WriteOptions()
        self._sender: Sender[Attachment] = Sender(
            lambda items: self._backend.attach(self._seen, items),
            self._backend.attachment_size,
            self._settle,
            self._write,
            retry,
        )
        self._began = time.perf_counter()
        self._selection = Selection(
            which="stored",
            settings="",
            fields=tuple(text_fields),
            with_vectors=True,
            size=self._write.portion_documents,
            mark=mark or self._backend.marks(seen),
        )

    def run(self, *, dry_run: bool) -> Steps[AdoptReport]:
        """Compare, mark, and write the manifest.

        Args:
            dry_run: write nothing, and report refusals instead of raising them.

        Raises:
            AttachRefused: naming every reason, before anything is written.
        """
        recipe, refusals = yield from self._examined()
        self.report.refusals = tuple(refusals)
        if dry_run or recipe is None:
            if refusals and not dry_run:
                raise AttachRefused(
                    f"nothing was written to {self.report.target}: {'; '.join(refusals)}",
                    refusals=refusals,
                )
            return self._closed()
        if self._selection.mark:
            yield from self._mark_all(recipe)
        if not self.report.rejected_count:
            yield from self._write_manifest(recipe.manifest)
        return self._closed()

    def _examined(self) -> Steps[tuple[Recipe | None, list[str]]]:
        """The inferred settings, or the reasons to refuse."""
        refusals = self._evident()
        if refusals:
            return None, refusals
        survey = yield from self._backend.survey(self._seen, self._selection)
        self.report.documents = survey.counts.documents
        refusals = [*survey.refusals, *self._of_texts(survey)]
        if refusals:
            return None, refusals
        drawn = yield from self._backend.draw(self._seen, self._selection, self._sample)
        # Sorted, so that the same sample gives the same example.
        drawn.sort(key=lambda found: str(found.id))
        sample = [item for found in drawn if (item := self._sampled(found)) is not None]
        if not sample:
            fields = ", ".join(map(repr, self._selection.fields))
            return None, [
                f"none of {counted(len(drawn), 'random document')} has both text in {fields} and a "
                f"vector in {self._seen.vector!r}: there is nothing to compare"
            ]
        return (yield from self._compared(sample))

    def _evident(self) -> list[str]:
        """Reasons to refuse that need no survey."""
        seen, where = self._seen, self._session.backend.location
        vector = seen.vector
        if seen.manifest is not None:
            return [
                f"{where} already has a manifest for {vector!r}, so there is nothing to adopt; "
                "attach and verify use it"
            ]
        if not seen.capabilities.has_field:
            names = ", ".join(seen.capabilities.details.get("sparse_fields", ())) or "none"
            return [
                f"{where} has no sparse vectors {vector!r}; choose existing ones with "
                f"?vector=NAME or ?field=NAME (it has: {names})"
            ]
        strange = foreign_terms(seen.capabilities, self._session.encoder())
        if strange:
            shown = ", ".join(map(quoted, strange[:3]))
            model = self._session.encoder().spec.model
            return [
                f"{vector!r} contains terms that {model!r} does not have (for example {shown}), so "
                "another model wrote them; name it with --model"
            ]
        return []

    def _of_texts(self, survey: Survey) -> list[str]:
        present = ", ".join(survey.present[:_FIELDS_SHOWN]) or "none"
        if not self._selection.fields:
            return [
                "name the fields that the vectors were encoded from with --text FIELD "
                f"(text_fields=(…)); fields with text are: {present}"
            ]
        if survey.absent:
            wanted = " and none in ".join(map(repr, survey.absent))
            return [f"no document has text in {wanted}; fields with text are: {present}"]
        return []

    def _sampled(self, found: Found) -> Sampled | None:
        text = text_of(found.payload, self._selection.fields)
        if not text.strip() or not len(found.vector or ()):
            return None
        assert found.vector is not None
        return Sampled(found=found, text=text, vector=found.vector)

    def _compared(self, sample: Sequence[Sampled]) -> Steps[tuple[Recipe | None, list[str]]]:
        """The inferred settings, if the whole sample agrees."""
        asked = self._session.recipe(self._seen, self._selection.fields)
        rounding = self._seen.capabilities.rounding
        trial = yield from Detecting(asked, rounding).best(sample)
        report = self.report
        wrong = [item.id for item in trial.wrong]
        report.compared, report.different_count = len(sample), len(wrong)
        report.different = wrong[:KEPT_IDS]
        recipe = manifest_recipe(asked, trial)
        if not wrong:
            report.manifest = recipe.manifest
            report.notes = _notes(trial)
            return recipe, []
        differ = differences(trial, self._session.encoder(), rounding)
        if self._session.overrides and len(wrong) * 2 < len(sample):
            report.manifest = recipe.manifest
            again = "attach --recheck re-encodes those that differ"
            report.notes = (f"{differ}. They are taken over anyway: {again}",)
            return recipe, []
        if len(wrong) * 2 < len(sample):
            differ += (
                "; if their texts were edited since, --override-manifest takes the vectors over "
                "anyway, and attach --recheck then re-encodes those that differ"
            )
        return None, [differ]

    def _mark_all(self, recipe: Recipe) -> Steps[None]:
        """Mark every document that has a vector with the hash of its text."""
        self._seen = yield from self._backend.ensure(
            self._seen, recipe.manifest, write_manifest=False, mark=self._mark
        )
        self._selection = replace(self._selection, settings=recipe.manifest.fingerprint())
        while True:
            try:
                yield from self._read_all(recipe)
            except CursorLost:
                yield from self._sender.drain()
                self.report.unchanged = self.report.left = 0
            else:
                break
        yield from self._session.backend.refresh()

    def _read_all(self, recipe: Recipe) -> Steps[None]:
        """Read page by page, prefetching the next while one is written."""
        reading = yield self._reading(None)
        while reading is not None:
            page: Page = yield Join(reading)
            reading = (yield self._reading(page.next)) if page.next is not None else None
            items = [item for found in page.documents if (item := self._marking(recipe, found))]
            yield from self._sender.put(items, self._seen.capabilities.max_write_documents)
            self._tell()
        yield from self._sender.drain()

    def _reading(self, cursor: Any) -> Spawn:
        return Spawn(self._backend.read(self._seen, self._selection, cursor), self._retry)

    def _marking(self, recipe: Recipe, found: Found) -> Attachment | None:
        """The marker of a document; None if it is already there, or left to `attach`."""
        text = text_of(found.payload, self._selection.fields)
        marker = recipe.marker(text)
        if found.marker == marker:
            self.report.unchanged += 1
            return None
        if found.vector is None:
            return None
        strange = bool(text.strip()) != bool(len(found.vector))
        if strange or found.id in self.report.different:
            self.report.left += 1
            return None
        fields = self._selection.fields
        return Attachment(found=found, vector=None, marker=marker, text=text, fields=fields)

    def _settle(self, item: Attachment, outcome: Any) -> None:
        match outcome:
            case Written():
                self.report.marked += 1
            case Conflict():
                # Only encoding the new text would tell whether the vector matches it.
                self.report.left += 1
            case Gone():
                pass
            case Rejected(reason=reason, detail=detail):
                self.report.reject(Rejected(id=item.id, reason=reason, detail=detail))
        self._tell()

    def _write_manifest(self, manifest: IndexManifest) -> Steps[None]:
        now = yield from self._backend.ensure(
            self._seen, manifest, write_manifest=True, mark=self._mark
        )
        # Another process may have attached to it, or adopted it, at the same time.
        if now.manifest is None or now.manifest.fingerprint() != manifest.fingerprint():
            raise SchemaConflict(
                f"{self.report.target}: another process wrote a manifest for "
                f"{self.report.vector!r} during this run; see inspect, and run verify"
            )
        self.report.done = True

    def _closed(self) -> AdoptReport:
        self.report.retries = self._sender.retries
        self.report.seconds = time.perf_counter() - self._began
        self._tell()
        return self.report

    def _tell(self) -> None:
        done = self.report.handled
        self._on_progress(
            Progress(
                done=done,
                rejected=self.report.rejected_count,
                total=max(done, self.report.documents) if self._selection.mark else None,
                retries=self._sender.retries,
                in_flight=self._sender.in_flight,
                stopping=self._stopping,
            )
        )


def begin_adopting(
    session: Session,
    text_fields: Sequence[str],
    sample: int,
    mark: bool,
    retry: RetryOptions,
    on_progress: OnProgress,
) -> Steps[Adopting]:
    """Start a run that takes over the existing vectors.

    Raises:
        NotFound: if there is no such collection or index.
    """
    session, seen = yield from pinned(session, (yield from describe_for_attaching(session)))
    return Adopting(session, seen, text_fields, sample, mark, retry, on_progress)


def adopt_progress_note(report: AdoptReport) -> str:
    """Return what an interrupted adopt run has written, and how to resume."""
    marked = counted(report.marked, "document")
    return f"{marked} marked, but no manifest written yet; run the same command again to resume"


def add_adopt_progress_note(error: BaseException, report: AdoptReport) -> None:
    """Add to an error how many documents were marked before it."""
    if report.marked:
        error.add_note(adopt_progress_note(report))


def _notes(trial: Trial) -> tuple[str, ...]:
    if trial.truncated:
        return ()
    return (
        f"no text of the sample is longer than {trial.encoder.spec.max_length} tokens, so the "
        "true maximum length is unknown; this one is used from now on",
    )
