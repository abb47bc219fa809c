"""An `attach` run that only creates text indexes and encodes nothing."""

from __future__ import annotations

from splade_connectors.backends.text_indexing import TextIndexSurvey
from splade_connectors.errors import AttachRefused, ConfigurationError
from splade_connectors.operations.attach.plan import AttachPlan, describe_for_attaching
from splade_connectors.operations.attach.report import AttachReport
from splade_connectors.operations.attach.run import Attaching
from splade_connectors.operations.attach.text_index import (
    create_text_indexes,
    survey_text_indexes,
)
from splade_connectors.runtime.effects import Steps


class IndexingText(Attaching):
    """Creates text indexes without reading or changing any document."""

    def plan(self) -> Steps[AttachPlan]:
        """Return what `run` would do. Writes nothing."""
        seen = self._first_look or (yield from describe_for_attaching(self._session))
        survey = yield from survey_text_indexes(self._session, seen, self._options)
        found = seen.capabilities
        return AttachPlan(
            target=self._session.backend.location,
            backend=found.backend,
            version=found.version_text,
            vector="",
            text_fields=(),
            text_index=self._options.text_index,
            documents=(yield from self._session.backend.documents(seen)),
            to_do=0,
            without_text=0.0,
            present=(),
            key_style=None,
            model="",
            seconds=None,
            terms=0.0,
            bytes=0,
            changes=survey.changes,
            notes=survey.notes,
            refusals=survey.refusals,
        )

    def run(self, follow_s: float | None = None) -> Steps[AttachReport]:
        """Create the missing text indexes.

        Raises:
            AttachRefused: naming every reason, before anything is written.
        """
        if follow_s is not None:
            raise ConfigurationError(
                "a text index follows later writes automatically; omit --follow (follow_s)"
            )
        seen = self._first_look or (yield from describe_for_attaching(self._session))
        survey = yield from survey_text_indexes(self._session, seen, self._options)
        _check(survey, self._session.backend.location)
        creating = create_text_indexes(self._session, seen, self._options)
        yield from self._patiently(creating)
        yield from self._session.backend.refresh()
        self.report.text_index = survey.lacking
        return self._closed()


def _check(survey: TextIndexSurvey, where: str) -> None:
    """Raise if the survey found a reason to refuse.

    Raises:
        AttachRefused: naming every reason.
    """
    if survey.refusals:
        raise AttachRefused(
            f"nothing was written to {where}: {'; '.join(survey.refusals)}",
            refusals=survey.refusals,
        )
