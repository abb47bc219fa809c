"""Text indexes for BM25: creating them with or without sparse vectors, and removing them."""

from __future__ import annotations

from collections.abc import Sequence

from splade_connectors.backends.protocol import Description
from splade_connectors.backends.text_indexing import (
    TextIndexOrder,
    TextIndexSurvey,
    text_index_backend,
)
from splade_connectors.errors import ConfigurationError, NotFound
from splade_connectors.operations.attach.report import DetachReport
from splade_connectors.operations.session import Session
from splade_connectors.options import AttachOptions
from splade_connectors.runtime.effects import Steps


def survey_text_indexes(
    session: Session, seen: Description, options: AttachOptions
) -> Steps[TextIndexSurvey]:
    """Return what would happen to the requested text indexes; empty if there are none."""
    if not options.text_index:
        return TextIndexSurvey()
    return (yield from text_index_backend(session.backend).survey(seen, _order(options)))


def create_text_indexes(
    session: Session, seen: Description, options: AttachOptions
) -> Steps[Description]:
    """Create missing text indexes, and return the new description."""
    if not options.text_index:
        return seen
    return (yield from text_index_backend(session.backend).create(seen, _order(options)))


def remove_text_indexes(
    session: Session, seen: Description, fields: Sequence[str], *, dry_run: bool
) -> Steps[DetachReport]:
    """Remove text indexes that attaching created.

    Raises:
        NotFound: if attaching did not create one of them.
    """
    if isinstance(fields, str):
        raise ConfigurationError(f"text_index must be names, such as ('body',), not {fields!r}")
    backend = text_index_backend(session.backend)
    made = backend.made(seen)
    for field in fields:
        if field not in made:
            ours = ", ".join(map(repr, made)) or "none"
            raise NotFound(
                f"{session.backend.location} has no text index on {field!r} that attach created "
                f"(it created: {ours}): there is nothing to detach"
            )
    report = DetachReport(vector="")
    restored = backend.rebuilt(seen)
    report.removes = tuple(
        f"the text index of {field!r}"
        + (" (restoring the one it replaced)" if field in restored else "")
        for field in fields
    )
    if not dry_run:
        yield from backend.remove(seen, fields)
        yield from session.backend.refresh()
        report.done = True
    return report


def _order(options: AttachOptions) -> TextIndexOrder:
    return TextIndexOrder(
        fields=tuple(dict.fromkeys(options.text_index)),
        tokenizer=options.text_tokenizer,
        rebuild=options.rebuild_text_index,
    )
