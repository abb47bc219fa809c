"""The `verify` verb: do stored vectors match their texts?"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from splade_connectors.backends.attaching import (
    Counts,
    CursorLost,
    Found,
    Page,
    Selection,
    attach_backend,
)
from splade_connectors.backends.protocol import Description
from splade_connectors.backends.rounding import Rounding, as_stored
from splade_connectors.encoders.base import EncodeStats
from splade_connectors.errors import NotFound
from splade_connectors.operations.attach.plan import describe_for_attaching
from splade_connectors.operations.attach.report import Verification
from splade_connectors.operations.encode import encode_texts
from splade_connectors.operations.search import no_vectors
from splade_connectors.operations.session import Recipe, Session
from splade_connectors.options import OnProgress, Precision, Progress, PruneOptions
from splade_connectors.payloads import text_of
from splade_connectors.runtime.effects import Steps
from splade_connectors.vectors import SparseVector

# Padding and batch composition move fp32 weights by less than this, so a term this light may be
# present or not. The int8 kernels are bit-identical in any batch and on any processor, so only the
# store's own rounding matters. In half precision, other GPUs and batches sum in a different order,
# and each step rounds to 11 or 8 bits: benchmarks/gpu.py.
_NOISE: dict[Precision, float] = {"fp32": 1e-3, "int8": 1e-5, "fp16": 2e-2, "bf16": 1.5e-1}

# Relative distance between neighbouring weights that a store can represent.
_STEP = {"float32": 1e-3, "lucene": 1 / 256}


class Verifying:
    """One verification of a collection or index. Writes nothing.

    Args:
        session: session of the store.
        seen: description of the collection or index.
        recipe: how its vectors were encoded.
        selection: settings and text fields to compare.
        on_progress: called after each page.
    """

    def __init__(
        self,
        session: Session,
        seen: Description,
        recipe: Recipe,
        selection: Selection,
        on_progress: OnProgress | None = None,
    ) -> None:
        self._backend = attach_backend(session.backend)
        self._seen = seen
        self._recipe = recipe
        self._selection = replace(selection, which="all", with_vectors=True)
        self._on_progress = on_progress
        self._report = Verification()
        self._lacking = 0

    def sample(self, size: int, counts: Counts | None = None) -> Steps[Verification]:
        """Count, and compare a random sample.

        Args:
            size: maximum number of documents to draw.
            counts: recent counts; None queries them.
        """
        yield from self._count(counts)
        drawn = (yield from self._backend.draw(self._seen, self._selection, size)) if size else []
        yield from self._compare(drawn)
        self._report.note_lost(self._lacking)
        return self._report

    def everything(self, *, recheck: bool) -> Steps[Verification]:
        """Count, and compare every document that has a vector or a marker.

        Args:
            recheck: encode every text. Otherwise a document with a marker is compared by the hash
                of its text, unless its vector is empty.
        """
        while True:
            self._report, self._lacking = Verification(), 0
            yield from self._count()
            try:
                yield from self._read(recheck)
            except CursorLost:
                continue  # start over
            self._report.note_lost(max(0, self._lacking - self._report.missing))
            return self._report

    def _read(self, recheck: bool) -> Steps[None]:
        cursor = None
        while True:
            page: Page = yield from self._backend.read(self._seen, self._selection, cursor)
            yield from self._check(page.documents, recheck)
            cursor = page.next
            if cursor is None:
                return

    def _count(self, counts: Counts | None = None) -> Steps[None]:
        counts = counts or (yield from self._backend.counts(self._seen, self._selection))
        self._report.documents, self._report.missing = counts.documents, counts.missing

    def _check(self, documents: Sequence[Found], recheck: bool) -> Steps[None]:
        to_encode = []
        for found in documents:
            if found.vector is None and found.marker is None:
                self._lacking += 1
                continue
            if recheck or found.marker is None or self._lacks_terms(found):
                to_encode.append(found)
                continue
            self._report.compared += 1
            if found.marker != self._recipe.marker(self._text(found)):
                self._report.note_different(found.id)
        yield from self._compare(to_encode)
        if self._on_progress:
            done, total = self._report.compared, self._report.documents
            self._on_progress(Progress(done=done, total=max(done, total)))

    def _compare(self, documents: Sequence[Found]) -> Steps[None]:
        texts = [self._text(found) for found in documents]
        vectors = yield from encode_texts(self._recipe, texts, EncodeStats())
        for found, fresh in zip(documents, vectors, strict=True):
            if found.vector is None and len(fresh):
                # Another client removed the vector but not the marker, which is then meaningless.
                self._lacking += 1
                continue
            self._report.compared += 1
            stored = SparseVector.empty() if found.vector is None else found.vector
            rounding = self._seen.capabilities.rounding
            precision, prune = self._recipe.encoder.spec.precision, self._recipe.prune
            if not is_same_vector(stored, fresh, rounding, precision, prune):
                self._report.note_different(found.id)

    def _lacks_terms(self, found: Found) -> bool:
        """Whether there is text but no terms, which only encoding the text can confirm."""
        return not len(found.vector or ()) and bool(self._text(found).strip())

    def _text(self, found: Found) -> str:
        return text_of(found.payload, self._selection.fields)


def verifying(session: Session, on_progress: OnProgress | None) -> Steps[Verifying]:
    """Start verifying an index against its own manifest.

    Raises:
        NotFound: if there is no index, or it has no manifest.
        ManifestMismatch: if another model or other settings wrote it.
    """
    seen = yield from describe_for_attaching(session)
    where, stored = session.backend.location, seen.manifest
    if stored is None:
        adopt = ["splade-connectors", "adopt", where]
        if not (seen.capabilities.has_field and (yield from session.backend.count(seen))):
            raise NotFound(no_vectors(session))
        raise NotFound(
            f"{where} has no manifest for {seen.vector!r}, so it is unknown which settings "
            f"wrote its vectors; `{shlex.join(adopt)}` finds out"
        )
    recipe = session.recipe(seen, stored.text_fields)
    if not session.overrides:
        stored.check(recipe.manifest, use="verify", where=where)
    selection = Selection(
        which="all", settings=stored.fingerprint(), fields=stored.text_fields, with_vectors=True
    )
    return Verifying(session, seen, replace(recipe, manifest=stored), selection, on_progress)


def is_same_vector(
    stored: SparseVector,
    fresh: SparseVector,
    rounding: Rounding,
    precision: Precision,
    prune: PruneOptions | None = None,
) -> bool:
    """Return whether the vectors are equal up to the store's rounding and the encoder's noise.

    Args:
        stored: vector read from the store.
        fresh: fresh encoding, pruned.
        rounding: rounding of the store.
        precision: precision of the encoder.
        prune: how `fresh` was pruned, since noise decides which terms at the pruning threshold are
            kept; None if it was not.
    """
    expected = as_stored(fresh, rounding)
    indices = np.union1d(stored.indices, expected.indices)
    left, right = weights_at(stored, indices), weights_at(expected, indices)
    larger = np.maximum(left, right)
    allowed = _NOISE[precision] + _STEP[rounding] * larger
    wrong = np.abs(left - right) > allowed
    if prune in (None, PruneOptions()) or not wrong.any() or not (len(stored) and len(expected)):
        return not wrong.any()
    ends = (stored.values.min(), expected.values.min(), prune.max_ratio * expected.values.max())
    at_the_end = np.min([np.abs(larger - end) for end in ends], axis=0) <= allowed
    in_one_only = (left == 0) | (right == 0)
    return bool(np.all(~wrong | (in_one_only & at_the_end)))


def weights_at(vector: SparseVector, indices: np.ndarray) -> np.ndarray:
    """Return the vector's weights at these indices, 0 where it has none."""
    weights = np.zeros(len(indices))
    weights[np.searchsorted(indices, vector.indices)] = vector.values
    return weights
