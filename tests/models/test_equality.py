"""One model, three ways to run it: the bundled graph, torch, and sentence-transformers."""

from __future__ import annotations

import json
import random
from pathlib import Path

import numpy as np
import pytest
from tokenizers import Tokenizer

from splade_connectors import EncodeOptions, EncodeStats, SparseEncoder, load_encoder
from splade_connectors.encoders.model_files import file_hash
from splade_connectors.encoders.spec import read_spec
from splade_connectors.encoders.tokenizing import TokenizingEncoder
from splade_connectors.options import LongText
from tests.models.compare import Dense, assert_same, dense

_INSTALL = "pip install 'splade-connectors[test-models]'"
torch = pytest.importorskip("torch", reason=_INSTALL)
pytest.importorskip("transformers", reason=_INSTALL)
sentence_transformers = pytest.importorskip("sentence_transformers", reason=_INSTALL)

pytestmark = pytest.mark.models

MAX_LENGTH = 256
SAMPLE = Path(__file__).parent.parent.parent / "splade_connectors" / "sample" / "corpus.jsonl"
TOKENIZER = SAMPLE.parent.parent / "models" / "splade-tiny" / "tokenizer.json"

HAND_MADE = {
    "short": "the heart",
    "one word": "vaccine",
    "one letter": "a",
    "empty": "",
    "whitespace": " \n\t\u00a0 ",
    "emoji": "👍🏽 great 🎉🎉 👩‍👩‍👧‍👦",
    "chinese": "疫苗如何工作\uff1f它们训练免疫系统。",
    "arabic": "كيف تعمل اللقاحات؟",
    "long": " ".join(f"word{number % 977} of the year {number}" for number in range(2000)),
    "control characters": "one\x01two\x1bthree\x7f four\x85five",
    "nul": "before\x00after",
    "very long word": "pneumono" * 500,
    "html": "<p class='a'>How do <b>vaccines</b> work?<br/>&amp; why&nbsp;not</p>",
    "combining": "e\u0301cole E\u0301COLE école ÉCOLE",
    "special tokens": "[CLS] masked [MASK] words [SEP] [PAD] end",
    "private use": "\ue000\ufffe\U0010ffff",
}


@pytest.fixture(scope="module")
def texts(request: pytest.FixtureRequest) -> list[str]:
    """500 real ones (SciFact where it is at hand, else the sample) and the hand-made ones."""
    try:
        corpus = request.getfixturevalue("scifact") / "corpus.jsonl"
    except pytest.skip.Exception:
        corpus = SAMPLE
    with corpus.open(encoding="utf-8") as lines:
        rows = [json.loads(line) for line, _ in zip(lines, range(500), strict=False)]
    return [*HAND_MADE.values(), *(f"{row['title']} {row['text']}" for row in rows)]


@pytest.fixture(scope="module")
def torch_encoder(weights: Path) -> SparseEncoder:
    options = EncodeOptions(max_length=MAX_LENGTH)
    return load_encoder(weights, engine="torch", options=options, device="cpu")


@pytest.fixture(scope="module")
def ours(encoder: SparseEncoder, texts: list[str]) -> Dense:
    return dense(encoder.encode_documents(texts), encoder.spec.vocabulary)


def test_torch_equals_the_bundled_graph(
    ours: Dense, torch_encoder: SparseEncoder, texts: list[str]
) -> None:
    found = dense(torch_encoder.encode_documents(texts), torch_encoder.spec.vocabulary)
    assert_same(found, ours)


def test_sentence_transformers_equals_the_bundled_graph(
    ours: Dense, weights: Path, texts: list[str]
) -> None:
    modules = sentence_transformers.sparse_encoder.modules
    peer = sentence_transformers.SparseEncoder(
        modules=[
            modules.MLMTransformer(str(weights), max_seq_length=MAX_LENGTH),
            modules.SpladePooling("max"),
        ],
        device="cpu",
    )
    found = peer.encode(texts, batch_size=16, show_progress_bar=False)
    assert_same(found.to_dense().numpy(), ours)


def test_a_lone_surrogate_counts_as_a_question_mark(
    encoder: SparseEncoder, torch_encoder: SparseEncoder
) -> None:
    for one in (encoder, torch_encoder):
        vectors = dense(one.encode_documents(["a \ud83d smile", "a ? smile"]), 30_522)
        assert_same(vectors[:1], vectors[1:], tolerance=1e-5)


@pytest.mark.parametrize(
    "options",
    [
        *(EncodeOptions(batch_size=size) for size in (1, 7, 64)),
        *(EncodeOptions(max_batch_tokens=tokens) for tokens in (64, 4096)),
    ],
    ids=lambda options: f"{options.batch_size} texts, {options.max_batch_tokens} tokens",
)
def test_a_text_alone_equals_the_text_in_a_batch(
    encoder: SparseEncoder, texts: list[str], options: EncodeOptions
) -> None:
    some = [*HAND_MADE.values(), *texts[-40:]]
    random.Random(7).shuffle(some)
    alone = np.concatenate([dense(encoder.encode_documents([text]), 30_522) for text in some])
    together = dense(load_encoder(options=options).encode_documents(some), 30_522)
    assert_same(together, alone, tolerance=1e-4)


def test_torch_alone_equals_torch_in_a_batch(
    torch_encoder: SparseEncoder, texts: list[str]
) -> None:
    some = [*HAND_MADE.values(), *texts[-20:]]
    alone = np.concatenate([dense(torch_encoder.encode_documents([text]), 30_522) for text in some])
    together = dense(torch_encoder.encode_documents(some), 30_522)
    assert_same(together, alone, tolerance=1e-4)


def test_queries_equal_documents(encoder: SparseEncoder, texts: list[str]) -> None:
    some = texts[:30]
    assert encoder.encode_queries(some) == encoder.encode_documents(some)


def test_order_is_that_of_the_texts(encoder: SparseEncoder) -> None:
    words = ["heart", "guitar", "volcano", "bread", "planet"]
    # Lengths rise and fall, so that sorting by length would show.
    some = [f"{word} " * (1 + 37 * at % 101) for at, word in enumerate(words * 20)]
    for row, vector in enumerate(encoder.encode_documents(some)):
        heaviest = encoder.tokens([int(vector.indices[vector.values.argmax()])])
        assert heaviest == [words[row % len(words)]]


def test_windows_are_the_maximum_over_windows_made_by_hand(texts: list[str]) -> None:
    options = EncodeOptions(max_length=64, long_text="passages", passage_overlap=16)
    encoder = load_encoder(options=options)
    assert isinstance(encoder, TokenizingEncoder)
    some = [HAND_MADE["long"], HAND_MADE["short"], *texts[-5:]]
    found = dense(encoder.encode_documents(some), 30_522)
    by_hand = [_windows_by_hand(encoder, text, size=64, overlap=16) for text in some]
    assert_same(found, np.stack(by_hand), tolerance=1e-4)


def _windows_by_hand(encoder: TokenizingEncoder, text: str, *, size: int, overlap: int) -> Dense:
    room = size - 2  # [CLS] and [SEP]
    tokens = _tokens(text)
    starts = range(0, max(len(tokens) - overlap, 1), room - overlap)
    first, last = (encoder.token_id(name) for name in ("[CLS]", "[SEP]"))
    rows = []
    for start in starts:
        window = np.array([[first, *tokens[start : start + room], last]], np.int64)
        rows.append(encoder.forward(window, np.ones_like(window))[0])
    assert len(tokens) <= room or len(rows) > 1
    highest: Dense = np.max(rows, axis=0)
    return highest


def _tokens(text: str) -> list[int]:
    tokenizer = Tokenizer.from_file(str(TOKENIZER))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    ids: list[int] = tokenizer.encode(text, add_special_tokens=False).ids
    return ids


def test_windows_cover_the_end_of_a_text_that_truncation_loses() -> None:
    text = "bread is baked in an oven " * 300 + "a volcano erupts"
    cut = load_encoder()
    windows = load_encoder(options=EncodeOptions(long_text="passages"))
    volcano = cut.token_id("volcano")
    assert volcano is not None
    assert volcano not in cut.encode_documents([text])[0].indices
    assert volcano in windows.encode_documents([text])[0].indices
    assert volcano in cut.own_terms(text)


@pytest.mark.parametrize("long_text", ["truncate", "passages"])
def test_an_encoder_is_fitted_to_an_index(long_text: LongText, texts: list[str]) -> None:
    some = [HAND_MADE["long"], *texts[-5:]]
    options = EncodeOptions(max_length=64, long_text=long_text, passage_overlap=16)
    asked = load_encoder(options=options)
    free = load_encoder()
    before = free.encode_documents(some)
    fitted = free.fitted(64, long_text, 16)
    assert fitted.spec == asked.spec
    assert_same(
        dense(fitted.encode_documents(some), 30_522),
        dense(asked.encode_documents(some), 30_522),
        tolerance=0,
    )
    # What was asked for explicitly stays, and the first one is as it was.
    assert asked.fitted(128, "passages" if long_text == "truncate" else "truncate", 8) is asked
    assert free.encode_documents(some) == before
    assert free.fitted(MAX_LENGTH, "truncate") is free


def test_counts_of_texts_tokens_and_truncations(texts: list[str]) -> None:
    some = [HAND_MADE["long"], HAND_MADE["short"], "", *texts[-50:]]
    lengths = [len(_tokens(text)) + 2 for text in some]
    longer = sum(length > MAX_LENGTH for length in lengths)
    assert 0 < longer < len(some)

    stats = EncodeStats()
    load_encoder().encode_documents(some, stats=stats)
    kept = sum(min(length, MAX_LENGTH) for length in lengths)
    assert stats == EncodeStats(texts=len(some), tokens=kept, truncated=longer)

    stats = EncodeStats()
    load_encoder(options=EncodeOptions(long_text="passages")).encode_documents(some, stats=stats)
    assert (stats.texts, stats.truncated, stats.split) == (len(some), 0, longer)
    assert stats.tokens > sum(lengths)


def test_the_bundled_revision_is_that_of_the_original(
    encoder: SparseEncoder, weights: Path, torch_encoder: SparseEncoder
) -> None:
    assert encoder.spec.revision == read_spec(weights).revision
    assert encoder.spec.revision == torch_encoder.spec.revision
    assert encoder.spec.tokenizer == torch_encoder.spec.tokenizer == file_hash(TOKENIZER)
