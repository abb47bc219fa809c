"""Attaching to a copy, for servers that cannot add a vector to an existing collection."""

from __future__ import annotations

from dataclasses import replace

from splade_connectors.backends.attaching import attach_backend
from splade_connectors.errors import AttachRefused, NotSupported
from splade_connectors.files.dead_letters import DeadLetters
from splade_connectors.operations.attach.plan import AttachPlan, Planner, describe_for_attaching
from splade_connectors.operations.attach.report import AttachReport
from splade_connectors.operations.attach.run import Attaching
from splade_connectors.operations.session import Session
from splade_connectors.options import AttachOptions, OnProgress, Progress, RetryOptions
from splade_connectors.runtime.effects import Join, Spawn, Steps


class Copying(Attaching):
    """Copies the collection, attaches to the copy, and switches an alias once it is verified.

    Args:
        session: session of the store.
        copy_to: name of the copy.
        options: as for `Attaching`.
        retry: as for `Attaching`.
        on_progress: as for `Attaching`.
        dead_letters: as for `Attaching`.
    """

    def __init__(
        self,
        session: Session,
        copy_to: str,
        options: AttachOptions,
        retry: RetryOptions,
        on_progress: OnProgress,
        dead_letters: DeadLetters | None,
    ) -> None:
        self._first = session
        backend, copying = session.backend, session.backend.copying
        if copying is None:
            raise NotSupported(
                f"{backend.location}: only Qdrant collections can be copied; omit copy_to "
                "(--copy-to)"
            )
        self._original = copying
        # The alias must be a valid collection name; that no collection has it is checked by `plan`.
        if options.switch_alias not in (None, backend.location.rpartition("/")[2]):
            copying.copied_to(options.switch_alias)
        self._copy = copying.copied_to(copy_to)
        self._copied_points = 0
        super().__init__(session.over(self._copy), None, options, retry, on_progress, dead_letters)

    def plan(self) -> Steps[AttachPlan]:
        """Return what `run` would do. Writes nothing."""
        plan = yield from self._planned(measured=True)
        where = self._copy.location
        changes = [f"{where}: a copy of all points, with the same settings", *plan.changes]
        if self._options.switch_alias:
            changes.append(
                f"the alias {self._options.switch_alias!r}, pointing to the copy at the end"
            )
        note = f"{plan.target} is only read, and is kept"
        return replace(plan, changes=tuple(changes), notes=(*plan.notes, note))

    def run(self, follow_s: float | None = None) -> Steps[AttachReport]:
        """Copy, attach, verify, switch.

        Raises:
            AttachRefused: naming every reason, before anything is written.
        """
        plan = yield from self._planned(measured=False)
        if plan.refusals:
            raise AttachRefused(
                f"nothing was written to {self._copy.location}: {'; '.join(plan.refusals)}",
                refusals=plan.refusals,
            )
        self._total = plan.documents
        copying = Spawn(self._original.copy_to(self._copy, self._note_points), self._retry)
        self.report.copy = yield Join((yield copying))
        report = yield from super().run(follow_s)
        alias = self._options.switch_alias
        if alias and self._is_complete():
            yield from self._original.switch_alias(alias, self._options.copy_to or "")
            report.alias = alias
        return report

    def _planned(self, *, measured: bool) -> Steps[AttachPlan]:
        """The plan for the original, including a name clash of the alias."""
        seen = yield from describe_for_attaching(self._first)
        plan = yield from Planner(self._first, self._options, seen).plan(measured=measured)
        alias = self._options.switch_alias
        names = (yield from attach_backend(self._first.backend).names()) if alias else []
        if alias not in names:
            return plan
        refusal = (
            f"{alias!r} is a collection, so it cannot become an alias; first make the application "
            "use an alias (--switch-alias NAME)"
        )
        return replace(plan, refusals=(*plan.refusals, refusal))

    def _is_complete(self) -> bool:
        verified, copied = self.report.verification, self.report.copy
        return bool(
            verified
            and verified.complete
            and copied
            and copied.equal
            and not self.report.rejected_count
        )

    def _note_points(self, count: int) -> None:
        """Report progress of the copy, counted separately from the vectors."""
        self._copied_points += count
        done = min(self._copied_points, self._total or self._copied_points)
        self._on_progress(Progress(done=done, total=self._total))
