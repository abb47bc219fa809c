"""Vocabularies of all languages: terms as people read them, spelling, ids beyond 16 bits."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers

from splade_connectors import Document, PruneOptions, SparseVector, load_encoder
from splade_connectors.backends.feature_names import Keys
from splade_connectors.documents import Rejected
from splade_connectors.encoders.base import EncodeStats
from splade_connectors.encoders.normalization import normalization_of
from splade_connectors.encoders.readable import readable_of
from splade_connectors.encoders.text_tokens import MOST_CHARACTERS
from splade_connectors.errors import NotSupported
from splade_connectors.files.dead_letters import DeadLetters, Letters
from splade_connectors.operations import many_terms
from splade_connectors.testing import HashEncoder, MemoryStore
from splade_connectors.testing.memory import Collection
from tests import random_models
from tests.random_models import MANY_TERMS_WARNING, TEXTS, ManyTerms, NumpyEncoder


@pytest.fixture(autouse=True)
def _not_warned(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(many_terms, "_warned", set())


def word_piece() -> Tokenizer:
    return Tokenizer(models.WordPiece({"[UNK]": 0, "a": 1}, unk_token="[UNK]"))


def sentence_piece() -> Tokenizer:
    made = Tokenizer(models.Unigram([("<unk>", 0.0), ("▁a", -1.0)], unk_id=0))
    made.add_special_tokens(["<s>"])
    return made


def byte_level() -> Tokenizer:
    made = Tokenizer(models.BPE({"a": 0}, []))
    made.decoder = decoders.ByteLevel()
    return made


@pytest.mark.parametrize(
    ("made", "token", "text"),
    [
        (word_piece, "vaccine", "vaccine"),
        (word_piece, "##cine", "…cine"),
        (word_piece, "##苗", "苗"),
        (word_piece, "##ा", "…\u25ccा"),
        (word_piece, "##", "##"),
        (word_piece, "#", "#"),
        (word_piece, "[unused1]", "[unused1]"),
        (sentence_piece, "▁vaccine", "vaccine"),
        (sentence_piece, "cine", "…cine"),
        (sentence_piece, "▁", "␣"),
        (sentence_piece, "▁▁▁", "␣␣"),
        (sentence_piece, ",", ","),
        (sentence_piece, "疫苗", "疫苗"),
        (sentence_piece, "ワク", "ワク"),
        (sentence_piece, "วัค", "วัค"),
        (sentence_piece, "백신", "…백신"),
        (sentence_piece, "<0x0A>", "<0x0A>"),
        (sentence_piece, "<s>", "<s>"),
        (sentence_piece, "▁\u200b", "<U+200B>"),
        (byte_level, "Ġvaccine", "vaccine"),
        (byte_level, "cine", "…cine"),
        (byte_level, "ĠnaÃ¯ve", "naïve"),
        (byte_level, "çĸ«", "疫"),
        (byte_level, "Ã", "<C3>"),
        (byte_level, "Ċ", "<U+000A>"),
        (byte_level, "Ġ", "␣"),
        (byte_level, "漢", "漢"),
    ],
)
def test_terms_are_read_without_the_marks_of_vocabularies(
    made: Callable[[], Tokenizer], token: str, text: str
) -> None:
    assert readable_of(made())(token) == text


@pytest.mark.parametrize(
    ("normalizer", "said"),
    [
        (None, "case is kept; accents are kept; composed and decomposed letters may differ"),
        (normalizers.NFC(), "accents are kept; composed and decomposed letters are equal"),
        (normalizers.NFKC(), "are equal, and full-width letters and ligatures equal plain ones"),
        (
            normalizers.BertNormalizer(),
            "text is lowercased; accents are removed; composed and decomposed",
        ),
        (normalizers.BertNormalizer(lowercase=False), "case is kept; accents are kept; composed "),
        (normalizers.Sequence([normalizers.NFD(), normalizers.StripAccents()]), "case is kept; "),
    ],
)
def test_what_a_tokenizer_does_to_spelling_is_said(normalizer: object, said: str) -> None:
    tokenizer = word_piece()
    if normalizer:
        tokenizer.normalizer = normalizer
    assert said in str(normalization_of(tokenizer))


def test_spellings_that_are_said_to_be_one_have_one_vector(multilingual: NumpyEncoder) -> None:
    assert multilingual.normalization.composed
    assert not multilingual.normalization.lower_case
    for text in TEXTS.values():
        forms = [unicodedata.normalize(form, text) for form in ("NFC", "NFD")]
        one, other = multilingual.encode_documents(forms)
        assert one == other
    bundled = load_encoder()
    assert bundled.normalization is not None
    assert bundled.normalization.accents_removed
    assert bundled.encode_queries(["Café"])[0] == bundled.encode_queries(["cafe\u0301"])[0]


def test_most_terms_of_the_large_model_are_beyond_16_bits(multilingual: NumpyEncoder) -> None:
    vectors = multilingual.encode_documents(list(TEXTS.values()))
    assert (vectors.indices > 65_535).mean() > 0.5
    assert vectors.indices.max() > 200_000
    for text, vector in zip(TEXTS.values(), vectors, strict=True):
        own = multilingual.own_terms(text)
        assert len(own & set(vector.indices.tolist())) > len(own) / 3


def test_every_term_has_a_feature_name_of_its_own(multilingual: NumpyEncoder) -> None:
    keys = Keys(lambda: multilingual)
    ids = list(range(random_models.VOCABULARY))
    names = keys.names(ids)
    assert len(set(names)) == len(ids)
    assert [keys.index(name) for name in names[::97]] == ids[::97]


def test_terms_of_a_padded_head_have_names(tmp_path: Path) -> None:
    random_models.xlm_roberta(tmp_path, vocabulary=2_000)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {"vocab_size": 2_016}))
    encoder = NumpyEncoder(tmp_path)
    keys = Keys(lambda: encoder)
    assert encoder.tokens([2_015]) == ["[2015]"]
    for at in (0, 1_999, 2_000, 2_015):
        assert keys.index(keys.names([at])[0]) == at
    for name in ("[2016]", "[7]", "[02015]", "[]", "2015", "[²]"):
        assert encoder.token_id(name) is None


@pytest.mark.parametrize("language", ["zh", "ja", "th"])
def test_long_texts_without_spaces_are_cut_as_if_all_was_looked_at(
    multilingual: NumpyEncoder, language: str
) -> None:
    text = TEXTS[language].rstrip("。") * 400
    whole = multilingual._texts.all_of(text, MOST_CHARACTERS)
    cut, _ = multilingual._cuts(multilingual.spec)
    (passage,), _ = multilingual._texts.passages([text], "", cut, EncodeStats())
    assert passage.tolist() == [0, *whole[: random_models.POSITIONS - 2].tolist(), 2]


def test_int8_knows_large_vocabularies(
    multilingual_folder: Path, multilingual: NumpyEncoder
) -> None:
    pytest.importorskip("splade_kernels", reason="`make kernels` builds them (needs cargo)")
    int8 = load_encoder(multilingual_folder, engine="int8")
    texts = list(TEXTS.values())
    for exact, found in zip(
        multilingual.encode_documents(texts), int8.encode_documents(texts), strict=True
    ):
        length = np.sqrt(exact.dot(exact) * found.dot(found))
        assert exact.dot(found) / length > 0.995
    assert int8.readable([multilingual.token_id("▁Pest") or 0]) == ["Pest"]


def test_vectors_of_any_id_come_back_from_dead_letters(tmp_path: Path) -> None:
    ids = np.array([7, 65_535, 65_536, 250_001, 2**32 - 1], np.uint32)
    vector = SparseVector(ids, np.array([0.5, 1.5, 2.5, 3.5, 1e-7], np.float32))
    store = MemoryStore(HashEncoder())
    (again,) = [Document(id="1", text="", vector=vector)]
    with DeadLetters(tmp_path / "letters.jsonl") as letters:
        letters.add(Rejected(id="1", reason="too busy", line=1), again)
    store.index(Letters(tmp_path / "letters.jsonl"))
    assert store.get(["1"], with_vectors=True)[0].vector == vector


def test_a_vocabulary_above_the_limit_of_a_store_is_refused() -> None:
    small, large = HashEncoder("small", vocabulary=32_768), HashEncoder("large", vocabulary=32_769)
    collection = Collection(max_vocabulary=32_768)
    documents = [Document(id="1", text="water")]
    message = (
        "memory can distinguish only 32,768 terms, but 'large' has a vocabulary of 32,769, so "
        "scores would mix up terms; use a model with a smaller vocabulary, or another kind of "
        "field or store"
    )
    store = MemoryStore(large, collection=collection)
    with pytest.raises(NotSupported, match=f"^{re.escape(message)}$"):
        store.index(documents)
    assert not collection.exists
    MemoryStore(small, collection=collection).index(documents)
    for verb in (lambda: store.search("water"), store.attach, store.verify):
        with pytest.raises(NotSupported, match="32,769"):
            verb()


def advice(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [
        record.getMessage()
        for record in caplog.records
        if record.name.endswith("connectors.advice")
    ]


def test_a_model_with_too_many_terms_is_warned_of_once(caplog: pytest.LogCaptureFixture) -> None:
    store = MemoryStore(ManyTerms("many"))
    for at in range(3):
        store.index([Document(id=f"{at}", text="water")])
    store.search("water")
    assert advice(caplog) == [MANY_TERMS_WARNING]
    MemoryStore(ManyTerms("other")).index([Document(id="1", text="water")])
    assert len(advice(caplog)) == 2


def test_a_query_with_too_many_terms_is_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    store = MemoryStore(ManyTerms("many"), prune=PruneOptions(top_k=200))
    store.index([Document(id="1", text="water")])
    store.search("water", max_query_terms=64)
    assert advice(caplog) == []
    store.search("water")
    assert advice(caplog) == [MANY_TERMS_WARNING.replace("gives a document", "gives a query")]


def test_a_pre_tokenizer_is_no_normalizer() -> None:
    made = sentence_piece()
    made.pre_tokenizer = pre_tokenizers.Metaspace()
    assert not normalization_of(made).composed


def test_attached_vectors_are_warned_of_and_compared_ones_are_not(
    caplog: pytest.LogCaptureFixture,
) -> None:
    many, pruned = ManyTerms("many"), PruneOptions(top_k=200)
    collection = Collection(exists=True, payloads={str(n): {"text": "water"} for n in range(60)})
    MemoryStore(many, prune=pruned, collection=collection).attach(["text"])
    collection.metadata.clear()
    # It encodes a sample without pruning, to find out how the stored vectors were pruned.
    adopted = MemoryStore(many, collection=collection).adopt(["text"]).manifest
    assert adopted is not None
    assert adopted.prune_top_k == 200
    assert advice(caplog) == []
    other = Collection(exists=True, payloads={"1": {"text": "water"}})
    MemoryStore(many, collection=other).attach(["text"])
    assert advice(caplog) == [MANY_TERMS_WARNING]
