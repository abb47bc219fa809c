"""Inferring the settings of stored vectors: re-encode a sample of texts until both agree.

Model and tokenizer are the encoder's. Inferred are the settings that may still differ: precision,
maximum length, and pruning. If nothing agrees, `differences` describes how the vectors differ.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from splade_connectors.backends.attaching import Found
from splade_connectors.backends.rounding import Rounding
from splade_connectors.documents import DocumentId
from splade_connectors.encoders.base import EncodeStats, SparseEncoder
from splade_connectors.errors import SpladeConnectorsError
from splade_connectors.operations.attach.verify import is_same_vector, weights_at
from splade_connectors.operations.encode import encode_texts
from splade_connectors.operations.session import Recipe
from splade_connectors.options import Precision, PruneOptions
from splade_connectors.runtime.effects import Steps
from splade_connectors.shown import counted, quoted
from splade_connectors.vectors import SparseVector

log = logging.getLogger(__name__)

# Maximum lengths that other tools use.
_LENGTHS = (512, 384, 256, 192, 128, 64, 32)
# Lengths in between: every 16th is tried on one document, those around the best on a few.
_SHORTEST = 8
_STRIDE = 16
_NEAREST = 4
# Number of documents that a length is tried on before it is tried on all.
_FEW = 16
# Terms lighter than this may be present or not.
_NOISE = 1e-3
# Minimum fraction of terms in common for the same model: light ones come and go with rounding.
_SAME_TERMS = 0.9
# Decimals that other tools are known to round weights to.
_DECIMALS = (0, 1, 2)
_SCALES = (1, 10, 100, 1000)


@dataclass(frozen=True, slots=True)
class Sampled:
    """A stored document that has both a text and a vector.

    Attributes:
        found: the document as read.
        text: text built from its fields.
        vector: stored vector.
    """

    found: Found
    text: str
    vector: SparseVector

    @property
    def id(self) -> DocumentId:
        """Document id."""
        return self.found.id


@dataclass(frozen=True, kw_only=True, slots=True)
class Trial:
    """How well a sample agrees with one set of settings.

    Attributes:
        encoder: encoder with the maximum length and precision that were tried.
        prune: best pruning for it.
        sample: the documents.
        fresh: their fresh vectors, not pruned.
        right: for each document, whether the stored vector equals the pruned fresh one.
        truncated: number of texts that were truncated.
    """

    encoder: SparseEncoder
    prune: PruneOptions
    sample: Sequence[Sampled]
    fresh: Sequence[SparseVector]
    right: Sequence[bool]
    truncated: int

    @property
    def agrees(self) -> bool:
        """Whether all documents agree."""
        return all(self.right)

    @property
    def wrong(self) -> list[Sampled]:
        """Documents that do not agree."""
        return [item for item, right in zip(self.sample, self.right, strict=True) if not right]


class Detecting:
    """The search for the settings of stored vectors.

    Args:
        recipe: how this process would encode them.
        rounding: rounding of the store.
    """

    def __init__(self, recipe: Recipe, rounding: Rounding) -> None:
        self._recipe = recipe
        self._rounding = rounding

    def best(self, sample: Sequence[Sampled]) -> Steps[Trial]:
        """Return the settings under which most documents agree, trying common ones first."""
        best = yield from self._tried(self._recipe.encoder, sample)
        for encoder in self._in_other_precisions():
            if best.agrees:
                return best
            best = _better(best, (yield from self._tried(encoder, sample)))
        longest = best.encoder.spec.max_length
        for encoder in self._of_other_lengths(best.encoder):
            if best.agrees:
                return best
            try:
                few = yield from self._tried(encoder, best.wrong[:_FEW], best.prune)
            except Exception as error:  # engine-specific: the model has fewer positions
                log.info("max_length %d is impossible: %s", encoder.spec.max_length, error)
                continue
            longest = max(longest, encoder.spec.max_length)
            if sum(few.right) * 2 > len(few.right):
                best = _better(best, (yield from self._tried(encoder, sample)))
        if best.agrees:
            return best
        other = yield from self._of_nearest_length(best, longest)
        return _better(best, (yield from self._tried(other, sample))) if other else best

    def _of_nearest_length(self, best: Trial, longest: int) -> Steps[SparseEncoder | None]:
        """The maximum length at which a few documents come closest to their stored vectors.

        None if they share too few terms for the length to be the reason.
        """
        items = sorted(best.wrong, key=lambda item: len(item.text))[:_NEAREST]
        fresh = best.fresh[best.sample.index(items[0])]
        if len(_only(items[0].vector, fresh)) * 2 < len(items[0].vector):
            return None
        lengths = range(_SHORTEST, longest + 1, _STRIDE)
        coarse = yield from self._distances(best.encoder, items[:1], lengths)
        if not coarse:
            return None
        at = min(coarse, key=coarse.__getitem__)
        lengths = range(max(_SHORTEST, at - _STRIDE + 1), min(longest, at + _STRIDE - 1) + 1)
        fine = yield from self._distances(best.encoder, items, lengths)
        return best.encoder.fitted(min(fine, key=fine.__getitem__), "truncate")

    def _distances(
        self, base: SparseEncoder, items: Sequence[Sampled], lengths: Iterable[int]
    ) -> Steps[dict[int, float]]:
        """Length -> distance from the stored vectors; {} if the length has no effect."""
        found: dict[int, float] = {}
        for length in lengths:
            encoder = base.fitted(length, "truncate")
            if encoder.spec.max_length != length:
                continue
            whole = replace(self._recipe, encoder=encoder, prune=PruneOptions())
            texts = [item.text for item in items]
            made = yield from encode_texts(whole, texts, EncodeStats(), advise=False)
            pairs = zip(items, made, strict=True)
            found[length] = sum(_distance(item.vector, fresh) for item, fresh in pairs)
        return found

    def _tried(
        self, encoder: SparseEncoder, sample: Sequence[Sampled], prune: PruneOptions | None = None
    ) -> Steps[Trial]:
        """Try one set of settings.

        Args:
            encoder: encoder with the settings to try.
            sample: the documents.
            prune: a pruning to try besides those that the sample suggests.
        """
        stats = EncodeStats()
        whole = Recipe(manifest=self._recipe.manifest, encoder=encoder, prune=PruneOptions())
        texts = [item.text for item in sample]
        fresh = yield from encode_texts(whole, texts, stats, advise=False)
        precision = encoder.spec.precision
        tried = dict.fromkeys([self._recipe.prune, prune or PruneOptions()])
        tried |= dict.fromkeys(self._prunings(sample, fresh, precision))
        best: tuple[PruneOptions, list[bool]] | None = None
        for options in tried:
            right = [
                self._is_same(item.vector, vector.prune(options), precision, options)
                for item, vector in zip(sample, fresh, strict=True)
            ]
            if best is None or sum(right) > sum(best[1]):
                best = options, right
        assert best  # there is a first one
        return Trial(
            encoder=encoder,
            prune=best[0],
            sample=sample,
            fresh=fresh,
            right=best[1],
            truncated=stats.truncated,
        )

    def _is_same(
        self,
        stored: SparseVector,
        fresh: SparseVector,
        precision: Precision,
        prune: PruneOptions | None = None,
    ) -> bool:
        return is_same_vector(stored, fresh, self._rounding, precision, prune)

    def _prunings(
        self, sample: Sequence[Sampled], fresh: Sequence[SparseVector], precision: Precision
    ) -> Iterator[PruneOptions]:
        """Candidate prunings: none, top_k, max_ratio, or both."""
        yield PruneOptions()
        pairs = []
        for item, vector in zip(sample, fresh, strict=True):
            kept = _only(vector, item.vector)
            # Other documents were truncated elsewhere or edited, so they reveal nothing of pruning.
            if len(kept) and self._is_same(item.vector, kept, precision):
                pairs.append((item.vector, vector))
        if not pairs:
            return
        most = max(len(stored) for stored, _ in pairs)
        yield PruneOptions(top_k=most)
        for top_k in (None, most):
            ratio = _ratio(pair for pair in pairs if top_k is None or len(pair[0]) < top_k)
            if ratio:
                yield PruneOptions(top_k=top_k, max_ratio=ratio)

    def _in_other_precisions(self) -> Iterator[SparseEncoder]:
        """The encoder in the other precision, if that is installed."""
        base = self._recipe.encoder
        other: Precision = "int8" if base.spec.precision == "fp32" else "fp32"
        spec = base.spec
        try:
            made = base.fitted(spec.max_length, spec.long_text, spec.passage_overlap, other)
        except SpladeConnectorsError:
            return  # not installed, or no such precision of this model
        if made.spec.precision == other:
            yield made

    def _of_other_lengths(self, base: SparseEncoder) -> Iterator[SparseEncoder]:
        """Encoders with other maximum lengths."""
        for length in _LENGTHS:
            try:
                made = base.fitted(length, "truncate")
            except SpladeConnectorsError:
                continue  # the model has fewer positions
            if made.spec.max_length == length != base.spec.max_length:
                yield made


def differences(trial: Trial, tokens: SparseEncoder, rounding: Rounding) -> str:
    """Describe how stored vectors differ from fresh ones, in a sentence with an example.

    Args:
        trial: the best trial.
        tokens: encoder that names the terms.
        rounding: rounding of the store.
    """
    wrong = len(trial.wrong)
    what = _kind_of_difference(trial, rounding)
    return (
        f"in {wrong} of {counted(len(trial.sample), 'sampled document')}, the vector differs from "
        f"the one that {trial.encoder.spec.model!r} makes of the text: {what}; "
        f"{_example(trial, tokens)}"
    )


def _kind_of_difference(trial: Trial, rounding: Rounding) -> str:
    """What all the differing vectors have in common."""
    pairs = [
        (item.vector, vector.prune(trial.prune))
        for item, vector, right in zip(trial.sample, trial.fresh, trial.right, strict=True)
        if not right
    ]
    shared = [len(_only(stored, fresh)) for stored, fresh in pairs]
    share = float(np.mean([n / len(stored) for n, (stored, _) in zip(shared, pairs, strict=True)]))
    if _are_the_longest(trial):
        return (
            "they are the longest ones, so their texts were not truncated at "
            f"{trial.encoder.spec.max_length} tokens (set --max-length)"
        )
    if share < _SAME_TERMS:
        return (
            f"on average, {share:.0%} of the stored terms are in the fresh vector, so another "
            "model, text or maximum length produced them"
        )
    ours = np.concatenate([_only(fresh, stored).values for stored, fresh in pairs])
    theirs = np.concatenate([_only(stored, fresh).values for stored, fresh in pairs])
    relative = 1 / 128 if rounding == "lucene" else 2 * _NOISE
    for activation, changed in (("log1p_log1p", np.log1p(ours)), ("log1p", np.expm1(ours))):
        if np.allclose(theirs, changed, rtol=relative, atol=_NOISE):
            times = "twice" if activation == "log1p_log1p" else "once"
            return (
                f"the logarithm was applied {times}, as load_encoder(…, activation="
                f"{activation!r}) does"
            )
    if np.allclose(theirs, ours, rtol=relative, atol=_NOISE):
        fewer = sum(len(fresh) for _, fresh in pairs) - sum(shared)
        return (
            f"the weights are equal, but {counted(fewer, 'term')} were dropped by a rule other "
            "than a maximum number of terms (top_k) or a fraction of the heaviest (max_ratio)"
        )
    rounded = _rounding_of(theirs, ours, relative)
    if rounded:
        return rounded
    off = float(np.mean(np.abs(theirs - ours) / np.maximum(ours, _NOISE)))
    return (
        f"the terms are the same, but the weights differ by {off:.1%} on average, as with a "
        "quantized model or another training run"
    )


def _are_the_longest(trial: Trial) -> bool:
    """Whether every text that agrees is shorter than every one that does not."""
    lengths = [len(item.text) for item in trial.sample]
    right = [length for length, is_right in zip(lengths, trial.right, strict=True) if is_right]
    return bool(right) and max(right) < min(len(item.text) for item in trial.wrong)


def _rounding_of(theirs: np.ndarray, ours: np.ndarray, relative: float) -> str:
    """How weights were rounded or scaled; "" for neither."""
    for scale in _SCALES:
        for decimals in _DECIMALS:
            step = 10.0**-decimals
            whole = np.abs(theirs / step - np.round(theirs / step)) < 1e-3
            # Rounded up, down, or to nearest.
            near = np.abs(theirs - ours * scale) <= step + relative * ours * scale
            if whole.all() and near.all():
                times = f"multiplied by {scale} and " if scale > 1 else ""
                to = counted(decimals, "decimal") if decimals else "whole numbers"
                return f"the weights were {times}rounded to {to}, which no setting reproduces"
    factor = float(np.median(theirs / ours))
    if np.allclose(theirs, ours * factor, rtol=max(relative, 5e-3), atol=_NOISE):
        return f"the weights are {factor:.3g} times the model's"
    return ""


def _example(trial: Trial, tokens: SparseEncoder) -> str:
    """The term with the largest difference in the first document that differs."""
    at = list(trial.right).index(False)
    stored, fresh = trial.sample[at].vector, trial.fresh[at].prune(trial.prune)
    indices = np.union1d(stored.indices, fresh.indices)
    left, right = weights_at(stored, indices), weights_at(fresh, indices)
    worst = int(np.argmax(np.abs(left - right)))
    (term,) = tokens.tokens([int(indices[worst])])
    return (
        f"for example {quoted(trial.sample[at].id)}: {counted(len(stored), 'term')} instead of "
        f"{len(fresh):,}, {quoted(term)} weighs {left[worst]:.4g} instead of {right[worst]:.4g}"
    )


def _better(first: Trial, second: Trial) -> Trial:
    return second if sum(second.right) > sum(first.right) else first


def _only(vector: SparseVector, other: SparseVector) -> SparseVector:
    """The terms of a vector that another one also has."""
    kept = np.isin(vector.indices, other.indices, assume_unique=True)
    return SparseVector(vector.indices[kept], vector.values[kept])


def _distance(stored: SparseVector, fresh: SparseVector) -> float:
    """The distance over stored terms and heavier missing ones; lighter ones may be pruned."""
    left, right = stored.values, weights_at(_only(fresh, stored), stored.indices)
    beside = ~np.isin(fresh.indices, stored.indices, assume_unique=True)
    heavier = beside & (fresh.values > stored.values.min())
    return float(np.abs(left - right).sum() + fresh.values[heavier].sum())


def _ratio(pairs: Iterable[tuple[SparseVector, SparseVector]]) -> float | None:
    """The fraction of the heaviest weight below which terms were dropped: the roundest fit."""
    kept, dropped = [], []
    for stored, fresh in pairs:
        has = np.isin(fresh.indices, stored.indices, assume_unique=True)
        shares = fresh.values / fresh.values.max()
        noticeable = fresh.values > 2 * _NOISE
        if has.any() and (~has & noticeable).any():
            dropped.append(float(shares[~has & noticeable].max()))
        if has.any():
            kept.append(float(shares[has].min()))
    if not dropped:
        return None
    # Exactly at the threshold, noise decides.
    low, high = sorted((max(dropped), min(kept)))
    for decimals in range(1, 7):
        step = 10.0**-decimals
        ratio = round((math.floor(low / step + 1e-9) + 1) * step, decimals)
        if low < ratio <= high and ratio < 1:
            return ratio
    return (low + high) / 2 if 0 < low + high < 2 else None


def manifest_recipe(recipe: Recipe, trial: Trial) -> Recipe:
    """Return the recipe with the inferred settings."""
    spec = trial.encoder.spec
    manifest = replace(
        recipe.manifest,
        max_length=spec.max_length,
        long_text=spec.long_text,
        passage_overlap=spec.passage_overlap if spec.long_text == "passages" else None,
        precision=spec.precision,
        prune_top_k=trial.prune.top_k,
        prune_max_ratio=trial.prune.max_ratio,
    )
    return Recipe(manifest=manifest, encoder=trial.encoder, prune=trial.prune)
