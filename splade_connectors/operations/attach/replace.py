"""Replacing the model of an index without downtime: a second vector, then a switch."""

from __future__ import annotations

from dataclasses import replace

from splade_connectors.backends.attaching import attach_backend
from splade_connectors.backends.protocol import Description
from splade_connectors.errors import ConfigurationError
from splade_connectors.files.dead_letters import DeadLetters
from splade_connectors.operations.attach.copy import Copying
from splade_connectors.operations.attach.plan import AttachPlan, describe_for_attaching, pinned
from splade_connectors.operations.attach.report import AttachReport
from splade_connectors.operations.attach.run import Attaching
from splade_connectors.operations.attach.text_index_alone import IndexingText
from splade_connectors.operations.session import Session
from splade_connectors.options import AttachOptions, OnProgress, RetryOptions
from splade_connectors.runtime.effects import Steps


def begin_attaching(
    session: Session,
    options: AttachOptions,
    retry: RetryOptions,
    on_progress: OnProgress,
    dead_letters: DeadLetters | None = None,
) -> Steps[Attaching]:
    """Start the run that the options ask for: on the existing vector, a second one, or a copy.

    Raises:
        ConfigurationError: if a model is to be replaced, but there is none.
    """
    if options.copy_to:
        return Copying(session, options.copy_to, options, retry, on_progress, dead_letters)
    session, seen = yield from pinned(session, (yield from describe_for_attaching(session)))
    if options.is_text_index_alone:
        return IndexingText(session, seen, options, retry, on_progress, dead_letters)
    if not options.replace_model:
        return Attaching(session, seen, options, retry, on_progress, dead_letters)
    stored = seen.manifest
    if stored is None:
        raise ConfigurationError(
            f"{session.backend.location} has no manifest, so there is no model to replace; omit "
            "--replace-model"
        )
    fields = options.text_fields or stored.text_fields
    mine = session.recipe(seen, fields).manifest
    if mine.fingerprint() == stored.fingerprint():
        return Attaching(session, seen, options, retry, on_progress, dead_letters)
    second = second_name(seen.vector, mine.fingerprint())
    options = replace(options, text_fields=fields)
    return Replacing(session, seen, second, options, retry, on_progress, dead_letters)


def second_name(vector_name: str, fingerprint: str) -> str:
    """Return the name of the vector that replaces another one."""
    base, _, last = vector_name.rpartition("_")
    is_second = bool(base) and len(last) == len(fingerprint) and _is_hex(last)
    return f"{base if is_second else vector_name}_{fingerprint}"


def _is_hex(text: str) -> bool:
    return all(character in "0123456789abcdef" for character in text)


class Replacing(Attaching):
    """Attaches a second vector beside the one in use, and switches once it is complete.

    Args:
        session: session of the store.
        seen: description of the collection or index.
        second: name of the new vector.
        options: as for `Attaching`.
        retry: as for `Attaching`.
        on_progress: as for `Attaching`.
        dead_letters: as for `Attaching`.
    """

    def __init__(
        self,
        session: Session,
        seen: Description,
        second: str,
        options: AttachOptions,
        retry: RetryOptions,
        on_progress: OnProgress,
        dead_letters: DeadLetters | None,
    ) -> None:
        self._first = session
        self._first_name = seen.vector
        self._second = second
        other = attach_backend(session.backend).renamed(second)
        super().__init__(session.over(other), None, options, retry, on_progress, dead_letters)

    def plan(self) -> Steps[AttachPlan]:
        """Return what `run` would do. Writes nothing."""
        plan = yield from super().plan()
        name = self._first_name
        note = (
            f"searches use {name!r} until {self._second!r} is complete, and then switch to it; "
            f"{name!r} remains until `detach --former` removes it"
        )
        return replace(plan, notes=(*plan.notes, note))

    def run(self, follow_s: float | None = None) -> Steps[AttachReport]:
        """Attach, then switch if every document has its new vector."""
        if follow_s is not None or self._options.part is not None:
            raise ConfigurationError(
                "--replace-model needs one run over all documents; omit --follow and --part"
            )
        report = yield from super().run()
        verified = report.verification
        report.switched = bool(verified and verified.complete and not report.rejected_count)
        if report.switched:
            yield from attach_backend(self._first.backend).switch(self._second)
        return report
