"""`adopt`: vectors that others wrote are taken over if they are what the encoder makes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pytest

from splade_connectors.async_store import AsyncStore
from splade_connectors.backends.protocol import Opened, does_nothing
from splade_connectors.encoders.base import EncodeStats, SparseEncoder
from splade_connectors.errors import AttachRefused, ConfigurationError, IndexingInterrupted
from splade_connectors.operations.attach import AdoptReport
from splade_connectors.operations.attach.verify import is_same_vector
from splade_connectors.operations.session import Session
from splade_connectors.options import (
    LongText,
    OnProgress,
    Precision,
    Progress,
    PruneOptions,
    WriteOptions,
)
from splade_connectors.store import Store
from splade_connectors.testing import HashEncoder, MemoryStore
from splade_connectors.testing.memory import Collection, Made, MemoryBackend
from splade_connectors.vectors import SparseBatch, SparseVector

WORDS = [f"word{number}" for number in range(2000)]


def text(number: int) -> str:
    """Of 4 to 43 words."""
    count = 4 + number % 40
    return " ".join(WORDS[(number * 61 + at * 17) % len(WORDS)] for at in range(count))


TEXTS = {number: text(number) for number in range(1, 61)}


class Cutting(HashEncoder):
    """Looks at the first words of a text only."""

    def __init__(self, max_length: int = 512, model: str = "hash") -> None:
        super().__init__(model)
        self.spec = replace(self.spec, max_length=max_length)

    def encode_documents(
        self,
        texts: Sequence[str],
        *,
        stats: EncodeStats | None = None,
        on_progress: OnProgress | None = None,
    ) -> SparseBatch:
        """Of the beginnings."""
        most = self.spec.max_length
        cut = [" ".join(text.split()[:most]) for text in texts]
        if stats:
            stats.truncated += sum(len(text.split()) > most for text in texts)
        return super().encode_documents(cut, stats=stats, on_progress=on_progress)

    def fitted(
        self,
        max_length: int,
        long_text: LongText,
        passage_overlap: int | None = None,
        precision: Precision | None = None,
    ) -> SparseEncoder:
        """With another length."""
        return self if max_length == self.spec.max_length else Cutting(max_length, self.spec.model)


def theirs(
    change: Callable[[SparseVector], SparseVector] = lambda vector: vector,
    encoder: SparseEncoder | None = None,
    texts: dict[int, str] = TEXTS,
) -> Collection:
    """A collection that another tool wrote."""
    rows = list(texts.values())
    vectors = (encoder or HashEncoder()).encode_documents(rows)
    made = {number: Made(change(vector), "") for number, vector in zip(texts, vectors, strict=True)}
    payloads = {number: {"content": text, "year": 1900 + number} for number, text in texts.items()}
    return Collection(exists=True, payloads=payloads, vectors={"splade": made})  # type: ignore[arg-type]


def weighted(change: Callable[[Any], Any]) -> Callable[[SparseVector], SparseVector]:
    return lambda vector: SparseVector(vector.indices, change(vector.values).astype(np.float32))


def refusal(collection: Collection, encoder: SparseEncoder | None = None, **more: Any) -> str:
    """Why a collection is not taken over: dry, and in earnest, and nothing is written."""
    store = MemoryStore(encoder or HashEncoder(), collection=collection)
    before = repr(collection)
    fields = more.pop("fields", ["content"])
    (reason,) = store.adopt(fields, dry_run=True, **more).refusals
    with pytest.raises(AttachRefused) as caught:
        store.adopt(fields, **more)
    assert caught.value.refusals == (reason,)
    assert str(caught.value) == f"nothing was written to memory: {reason}"
    assert repr(collection) == before
    return reason


def test_vectors_of_this_model_are_taken_over_and_no_verb_makes_them_again() -> None:
    collection = theirs()
    before = dict(collection.vectors["splade"])
    store = MemoryStore(HashEncoder(), collection=collection)
    report = store.adopt(["content"])
    assert (report.done, report.marked, report.compared, report.left) == (True, 60, 60, 0)
    assert {id: made.vector for id, made in collection.vectors["splade"].items()} == {
        id: made.vector for id, made in before.items()
    }
    assert store.verify(everything=True, recheck=True).complete
    attached = store.attach()
    assert (attached.attached, attached.encoded, attached.unchanged) == (0, 0, 60)
    store.update(7, payload={"content": "something else"})
    assert store.search("something else", limit=1)[0].id == 7
    assert store.verify(everything=True).complete


def test_a_dry_run_finds_the_same_and_writes_nothing() -> None:
    collection = theirs()
    before = repr(collection)
    store = MemoryStore(HashEncoder(), collection=collection)
    planned = store.adopt(["content"], dry_run=True)
    assert repr(collection) == before
    assert (planned.done, planned.marked, planned.refusals) == (False, 0, ())
    assert planned.manifest == store.adopt(["content"]).manifest


def test_awaited() -> None:
    async def adopted() -> None:
        async def send(request: Any) -> Any:
            raise AssertionError("there is nothing to send")

        backend = MemoryBackend(theirs())
        opened = Opened(backend=backend, send=send, close=does_nothing(asynchronous=True))
        store = AsyncStore(Session(backend, HashEncoder, None, False), opened, None)
        assert (await store.adopt(["content"])).marked == 60
        with pytest.raises(AttachRefused, match="has a manifest"):
            await store.adopt(["content"])

    asyncio.run(adopted())


@pytest.mark.parametrize(
    ("options"),
    [
        PruneOptions(top_k=20),
        PruneOptions(top_k=5),
        PruneOptions(max_ratio=0.1),
        PruneOptions(max_ratio=0.25),
        PruneOptions(top_k=12, max_ratio=0.2),
    ],
    ids=str,
)
def test_the_pruning_is_found_out(options: PruneOptions) -> None:
    collection = theirs(lambda vector: vector.prune(options))
    store = MemoryStore(HashEncoder(), collection=collection)
    found = store.adopt(["content"]).manifest
    assert found
    assert (found.prune_top_k, found.prune_max_ratio) == (options.top_k, options.max_ratio)
    assert store.verify(everything=True, recheck=True).complete
    # What comes later is pruned so, too.
    collection.payloads[99] = {"content": TEXTS[39]}
    store.attach()
    assert collection.vectors["splade"][99].vector == collection.vectors["splade"][39].vector


def test_a_pruning_that_was_asked_for_is_tried_first() -> None:
    """Several ratios lie between what was kept and what was dropped."""
    options = PruneOptions(max_ratio=0.2137)
    collection = theirs(lambda vector: vector.prune(options))
    found = MemoryStore(HashEncoder(), options, collection).adopt(["content"]).manifest
    assert found
    assert found.prune_max_ratio == 0.2137


@pytest.mark.parametrize("length", [32, 64])
def test_the_length_of_texts_is_found_out(length: int) -> None:
    texts = {n: f"{text} {' '.join(f'w{n}x{at}' for at in range(90))}" for n, text in TEXTS.items()}
    collection = theirs(encoder=Cutting(length), texts=texts)
    store = MemoryStore(Cutting(512), collection=collection)
    found = store.adopt(["content"]).manifest
    assert found
    assert found.max_length == length
    assert store.verify(everything=True, recheck=True).complete


def test_length_and_pruning_together() -> None:
    texts = {n: f"{text} {' '.join(f'w{n}x{at}' for at in range(90))}" for n, text in TEXTS.items()}
    options = PruneOptions(top_k=40)
    collection = theirs(lambda vector: vector.prune(options), Cutting(64), texts)
    store = MemoryStore(Cutting(512), collection=collection)
    found = store.adopt(["content"]).manifest
    assert found
    assert (found.max_length, found.prune_top_k) == (64, 40)


def test_where_no_text_is_long_the_length_is_said_to_be_unknown() -> None:
    report = MemoryStore(Cutting(512), collection=theirs()).adopt(["content"])
    assert "no text of the sample is longer than 512 tokens" in report.notes[0]


def test_weights_in_half_precision_agree() -> None:
    store = MemoryStore(
        HashEncoder(), collection=theirs(weighted(lambda values: values.astype(np.float16)))
    )
    assert store.adopt(["content"]).done
    assert store.verify(everything=True, recheck=True).complete


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (weighted(np.log1p), "the logarithm was applied twice, as load_encoder(…, activation="),
        (weighted(np.expm1), "the logarithm was applied once, as load_encoder(…, activation="),
        (weighted(lambda v: np.round(v * 100)), "multiplied by 100 and rounded to whole numbers"),
        (weighted(lambda v: np.round(v, 1) + (v < 0.05) * 0.1), "rounded to 1 decimal,"),
        (weighted(lambda v: v * 2.5), "the weights are 2.5 times the model's"),
        (
            lambda vector: SparseVector(vector.indices[1:], vector.values[1:]),
            " terms were dropped by a rule other",
        ),
        (
            weighted(lambda v: v * (1 + 0.1 * np.sin(np.arange(len(v)) * 2.0))),
            "the terms are the same, but the weights differ by 6",
        ),
    ],
)
def test_weights_that_differ_are_refused_with_what_differs(
    change: Callable[[SparseVector], SparseVector], says: str
) -> None:
    reason = refusal(theirs(change))
    assert says in reason
    assert "of 60 sampled documents, the vector differs from the one that 'hash' makes" in reason
    assert "for example" in reason
    assert "terms instead of" in reason


def test_another_model_is_refused() -> None:
    class Other(HashEncoder):
        def _term(self, word: str) -> int:
            return (super()._term(word) * 13 + 5) % self.spec.vocabulary

    reason = refusal(theirs(encoder=Other()))
    assert reason.startswith(
        "in 60 of 60 sampled documents, the vector differs from the one that 'hash' makes of"
    )
    assert "on average, 0% of the stored terms are in the fresh vector" in reason


def test_other_fields_of_text_are_refused_as_another_text() -> None:
    collection = theirs()
    for payload in collection.payloads.values():
        payload["title"] = "a title"  # type: ignore[index]
    assert "model, text or maximum length" in refusal(collection, fields=["title"])


@pytest.mark.parametrize("length", [9, 47, 63, 101])
@pytest.mark.parametrize("options", [None, PruneOptions(top_k=60)], ids=str)
def test_a_length_at_which_nobody_else_cuts_is_found_out(
    length: int, options: PruneOptions | None
) -> None:
    texts = {
        n: f"{text} {' '.join(f'w{n}x{at}' for at in range(n % 2 * 90))}"
        for n, text in TEXTS.items()
    }
    prune = options or PruneOptions()
    collection = theirs(lambda vector: vector.prune(prune), Cutting(length), texts)
    found = MemoryStore(Cutting(512), collection=collection).adopt(["content"]).manifest
    assert found
    assert found.max_length == length


class WithFewPositions(Cutting):
    """Fails on more than 96 tokens in its engine's own way."""

    def encode_documents(self, texts: Sequence[str], **more: Any) -> SparseBatch:
        """Of short texts."""
        if self.spec.max_length > 96:
            raise IndexError("index out of range in self")
        return super().encode_documents(texts, **more)

    def fitted(self, max_length: int, *others: Any, **more: Any) -> SparseEncoder:
        """With another length."""
        return WithFewPositions(max_length)


def test_a_model_with_few_positions_is_tried_at_fewer() -> None:
    texts = {n: f"{text} {' '.join(f'w{n}x{at}' for at in range(90))}" for n, text in TEXTS.items()}
    collection = theirs(encoder=Cutting(32), texts=texts)
    found = MemoryStore(WithFewPositions(96), collection=collection).adopt(["content"]).manifest
    assert found
    assert found.max_length == 32


def test_long_texts_that_have_other_vectors_are_said_to_be_the_longest() -> None:
    """As of passages, which no length of a text makes."""
    texts = {
        n: f"{text} {' '.join(f'w{n}x{at}' for at in range(n % 2 * 90))}"
        for n, text in TEXTS.items()
    }
    collection = theirs(texts=texts)
    vectors = collection.vectors["splade"]
    for number in (n for n in texts if n % 2):
        vector = vectors[number].vector
        vectors[number] = Made(SparseVector(vector.indices[::2], vector.values[::2]), "")
    reason = refusal(collection, Cutting(512))
    assert "30 of 60" in reason
    assert "they are the longest ones, so their texts were not truncated at 512" in reason


def test_edited_texts_are_refused_unless_asked_for_and_then_left_to_attach() -> None:
    collection = theirs()
    collection.payloads[5] = {"content": "edited since"}
    reason = refusal(collection)
    assert reason.startswith("in 1 of 60")
    assert "for example 5:" in reason
    assert "--override-manifest takes the vectors over anyway" in reason
    backend = MemoryBackend(collection)
    opened = Opened(backend=backend, send=lambda request: None, close=lambda: None)
    store = Store(Session(backend, HashEncoder, None, True), opened, None)
    report = store.adopt(["content"])
    assert (report.done, report.different, report.marked, report.left) == (True, [5], 59, 1)
    plain = MemoryStore(HashEncoder(), collection=collection)
    assert plain.attach().attached == 1
    assert plain.verify(everything=True, recheck=True).complete


def test_what_is_in_the_way() -> None:
    assert "fields with text are: content" in refusal(theirs(), fields=[])
    assert "no document has text in 'body'; fields with text" in refusal(theirs(), fields=["body"])
    without = theirs()
    without.vectors.clear()
    assert "memory has no sparse vectors 'splade'; choose" in refusal(without)
    apart = theirs()
    for id in list(apart.payloads):
        if id != 1:
            del apart.vectors["splade"][id]
    apart.payloads[1] = {"year": 1}
    assert "none of 1 random document has both text in 'content' and a" in refusal(apart)
    mine = theirs()
    MemoryStore(HashEncoder(), collection=mine).adopt(["content"])
    assert "memory already has a manifest for 'splade', so there" in refusal(mine)
    with pytest.raises(ConfigurationError, match="sample must be at least 1, not 0"):
        MemoryStore(HashEncoder(), collection=theirs()).adopt(["content"], sample=0)
    with pytest.raises(ConfigurationError, match="must be a name"):
        MemoryStore(HashEncoder(), collection=theirs()).adopt([5])  # type: ignore[list-item]


def test_a_run_that_is_stopped_leaves_no_manifest_and_the_next_one_goes_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    collection = theirs()
    store = MemoryStore(HashEncoder(), collection=collection)
    small = partial(WriteOptions, portion_documents=16, chunk_documents=5)
    monkeypatch.setattr("splade_connectors.operations.attach.adopt.WriteOptions", small)

    def stop(progress: Progress) -> None:
        if progress.done >= 10:
            raise RuntimeError("enough")

    with pytest.raises(RuntimeError, match="enough") as caught:
        store.adopt(["content"], on_progress=stop)
    assert any("no manifest written yet" in note for note in caught.value.__notes__)
    assert not collection.metadata
    report = store.adopt(["content"])
    assert report.unchanged + report.marked == 60
    assert report.unchanged > 0
    assert report.done


def test_documents_without_text_or_vector_are_left_to_attach() -> None:
    collection = theirs()
    collection.payloads |= {70: {"content": ""}, 71: {"content": "new"}, 72: {"content": "void"}}
    collection.vectors["splade"] |= {
        70: Made(SparseVector.empty(), ""),
        72: Made(SparseVector.empty(), ""),
    }
    store = MemoryStore(HashEncoder(), collection=collection)
    report = store.adopt(["content"])
    assert (report.marked, report.left) == (61, 1)
    attached = store.attach()
    assert (attached.attached, attached.encoded) == (2, 2)
    assert store.verify(everything=True, recheck=True).complete


def test_terms_as_light_as_the_lightest_may_be_exchanged_by_noise() -> None:
    """Of a vector with many weights at its end, another machine keeps others."""
    weights = {at: 1.0 - at / 100 for at in range(30)}
    stored, _ = SparseVector.from_pairs({**{at: weights[at] for at in range(9)}, 10: weights[9]})
    fresh, _ = SparseVector.from_pairs({**weights, 10: weights[9] - 1e-6})

    ten = PruneOptions(top_k=10)
    assert is_same_vector(stored, fresh.prune(ten), "float32", "fp32", ten)
    assert not is_same_vector(stored, fresh.prune(ten), "float32", "fp32")
    missing = SparseVector(stored.indices[1:], stored.values[1:])
    assert not is_same_vector(missing, fresh.prune(ten), "float32", "fp32", ten)


def test_ctrl_c_leaves_no_manifest_and_says_how_far_it_came() -> None:
    collection = theirs()
    store = MemoryStore(HashEncoder(), collection=collection)

    def stop(progress: Progress) -> None:
        if progress.done == 7 and not progress.stopping:
            raise KeyboardInterrupt

    with pytest.raises(IndexingInterrupted, match="documents marked, but no") as at:
        store.adopt(["content"], on_progress=stop)
    assert isinstance(at.value.report, AdoptReport)
    assert at.value.report.interrupted
    assert not at.value.report.done
    assert not collection.metadata
    assert store.adopt(["content"]).done


class InTwoPrecisions(HashEncoder):
    """Its weights in int8 are a little different."""

    def __init__(self, precision: Precision = "fp32") -> None:
        super().__init__()
        self.spec = replace(self.spec, precision=precision)

    def fitted(
        self,
        max_length: int,
        long_text: LongText,
        passage_overlap: int | None = None,
        precision: Precision | None = None,
    ) -> SparseEncoder:
        """In that of the index."""
        return InTwoPrecisions(precision or self.spec.precision)

    def _vector(self, text: str) -> SparseVector:
        vector = super()._vector(text)
        if self.spec.precision == "fp32":
            return vector
        return SparseVector(vector.indices, vector.values * np.float32(1.02))


@pytest.mark.parametrize("theirs_in", ["fp32", "int8"])
@pytest.mark.parametrize("ours_in", ["fp32", "int8"])
def test_the_precision_is_found_out(theirs_in: Precision, ours_in: Precision) -> None:
    collection = theirs(encoder=InTwoPrecisions(theirs_in))
    store = MemoryStore(InTwoPrecisions(ours_in), collection=collection)
    found = store.adopt(["content"]).manifest
    assert found
    assert found.precision == theirs_in
    assert store.verify(everything=True, recheck=True).complete
