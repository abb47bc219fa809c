"""XLM-R's layout and SentencePiece tokenizers on every engine, beside their own libraries."""

from __future__ import annotations

import io
import unicodedata
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers

from splade_connectors import SparseEncoder, load_encoder
from splade_connectors.encoders.spec import read_folder
from tests import random_models
from tests.random_models import TEXTS, NumpyEncoder

_INSTALL = "pip install 'splade-connectors[test-models]'"
pytest.importorskip("torch", reason=_INSTALL)
pytest.importorskip("transformers", reason=_INSTALL)
pytest.importorskip("onnx", reason=_INSTALL)
sentencepiece = pytest.importorskip("sentencepiece", reason=_INSTALL)

pytestmark = pytest.mark.models

# Above 65,535, and small enough for an export in seconds.
VOCABULARY = 70_002
HOSTILE = [
    *TEXTS.values(),
    unicodedata.normalize("NFD", TEXTS["de"] + TEXTS["es"]),
    "\uff30\uff45\uff53\uff54 \ufb01ne \u2460 \u00bd",
    "a\tb\nc\u00a0d\u3000e  f",
    "\u200bP\u200dest\ufeff",
    "👍🏽 Pest 疫",
    "",
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return random_models.xlm_roberta(tmp_path_factory.mktemp("xlm-r"), VOCABULARY)


@pytest.fixture(scope="module")
def trained() -> Any:
    """A SentencePiece model of these texts, with the normalization that XLM-R's has."""
    file = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter([*TEXTS.values()] * 20),
        model_writer=file,
        model_type="unigram",
        vocab_size=600,
        hard_vocab_limit=False,
        character_coverage=1.0,
        normalization_rule_name="nmt_nfkc",
        minloglevel=2,
    )
    return sentencepiece.SentencePieceProcessor(model_proto=file.getvalue())


@pytest.fixture(scope="module")
def sentence_piece_folder(trained: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """XLM-R's layout, with that model as transformers has it in tokenizer.json."""
    tokenizer = as_tokenizer(trained)
    return random_models.xlm_roberta(
        tmp_path_factory.mktemp("trained"),
        tokenizer.get_vocab_size(),
        tokenizer,
        "XLMRobertaTokenizer",
    )


def as_tokenizer(trained: Any) -> Tokenizer:
    """`<s> <pad> </s> <unk>`, the pieces, and the mask at the end: ids are one more than theirs."""
    from sentencepiece import sentencepiece_model_pb2

    proto = sentencepiece_model_pb2.ModelProto()
    proto.ParseFromString(trained.serialized_model_proto())
    special = ["<s>", "<pad>", "</s>", "<unk>"]
    pieces = [(piece.piece, piece.score) for piece in proto.pieces[3:]]
    vocab = [*((token, 0.0) for token in special), *pieces, ("<mask>", 0.0)]
    made = Tokenizer(models.Unigram(vocab, unk_id=3))
    made.normalizer = normalizers.Precompiled(proto.normalizer_spec.precompiled_charsmap)
    made.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace()]
    )
    made.decoder = decoders.Metaspace()
    made.post_processor = random_models._around("<s>", 0, "</s>", 2)
    made.add_special_tokens([*special, "<mask>"])
    return made


def assert_same(encoder: SparseEncoder, folder: Path) -> None:
    reference = NumpyEncoder(folder)
    size = encoder.spec.vocabulary
    texts = [text for text in HOSTILE if text]
    for one, other in zip(
        reference.encode_documents(texts), encoder.encode_documents(texts), strict=True
    ):
        np.testing.assert_allclose(other.to_dense(size), one.to_dense(size), atol=1e-3)


@pytest.mark.parametrize("engine", ["onnx", "torch"])
def test_engines_of_fp32_compute_a_large_xlm_r(engine: Any, folder: Path) -> None:
    assert_same(load_encoder(folder, engine=engine), folder)


@pytest.mark.parametrize("engine", ["onnx", "torch"])
def test_engines_of_fp32_take_a_trained_sentence_piece_tokenizer(
    engine: Any, sentence_piece_folder: Path
) -> None:
    assert_same(load_encoder(sentence_piece_folder, engine=engine), sentence_piece_folder)


@pytest.mark.parametrize("made", ["folder", "sentence_piece_folder"])
def test_int8_computes_them(made: str, request: pytest.FixtureRequest) -> None:
    pytest.importorskip("splade_kernels", reason="`make kernels` builds them (needs cargo)")
    path = request.getfixturevalue(made)
    int8, reference = load_encoder(path, engine="int8"), NumpyEncoder(path)
    texts = list(TEXTS.values())
    for one, other in zip(
        reference.encode_documents(texts), int8.encode_documents(texts), strict=True
    ):
        assert one.dot(other) / np.sqrt(one.dot(one) * other.dot(other)) > 0.99


def test_a_trained_tokenizer_cuts_as_sentence_piece_does(
    trained: Any, sentence_piece_folder: Path
) -> None:
    tokenizer = read_folder(sentence_piece_folder).tokenizer().tokenizer
    for text in HOSTILE:
        theirs = [at + 1 if at else 3 for at in trained.encode(text)]
        assert tokenizer.encode(text, add_special_tokens=False).ids == theirs, text


def test_what_the_tokenizer_does_to_spelling_is_said(
    trained: Any, sentence_piece_folder: Path
) -> None:
    encoder = NumpyEncoder(sentence_piece_folder)
    said = encoder.normalization
    assert (said.lower_case, said.accents_removed) == (False, False)
    assert (said.composed, said.wide) == (False, True)
    # SentencePiece composes Hangul, the tokenizers library does not; transformers has the latter.
    composed, decomposed = (unicodedata.normalize(form, TEXTS["ko"]) for form in ("NFC", "NFD"))
    assert trained.encode(decomposed) == trained.encode(composed)
    one, other = encoder.encode_documents([composed, decomposed])
    assert one != other
    one, other = encoder.encode_documents(
        [unicodedata.normalize(form, TEXTS["es"]) for form in ("NFC", "NFD")]
    )
    assert one == other
