"""What a model folder says is done as sentence-transformers and transformers do it, or refused."""

from __future__ import annotations

import logging
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from splade_connectors import SparseEncoder, load_encoder
from splade_connectors.encoders.spec import read_folder, read_spec
from splade_connectors.errors import ModelError
from tests.models.compare import Dense, assert_same, dense
from tests.models.small import (
    FILL_MASK,
    PACKAGE,
    TERMS,
    TEXTS,
    add,
    model_folder,
    sentence_transformers_layout,
    tokenizer_json,
    write,
)

_INSTALL = "pip install 'splade-connectors[test-models]'"
pytest.importorskip("torch", reason=_INSTALL)
transformers = pytest.importorskip("transformers", reason=_INSTALL)
sentence_transformers = pytest.importorskip("sentence_transformers", reason=_INSTALL)

pytestmark = pytest.mark.models

Make = Callable[[Path], None]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return model_folder(tmp_path_factory.mktemp("base") / "theirs")


@pytest.fixture
def folder(base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Random weights in transformers' layout, and a cache of the test's own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return Path(shutil.copytree(base, tmp_path / "theirs"))


def layout(
    first: str = "MLMTransformer",
    *,
    at: str = "",
    tokenizer: dict[str, Any] | None = None,
    module: dict[str, Any] | None = None,
    pooling: dict[str, Any] | None = None,
    whole: dict[str, Any] | None = None,
    config: dict[str, Any] | None = None,
) -> Make:
    """Makes a folder of sentence-transformers, with these entries in its files."""

    def make(folder: Path) -> None:
        add(folder / "tokenizer_config.json", **tokenizer or {})
        add(folder / "config.json", **config or {})
        sentence_transformers_layout(folder, first, at)
        if module:
            add(folder / at / "sentence_bert_config.json", **module)
        add(folder / "1_SpladePooling" / "config.json", **pooling or {})
        add(folder / "config_sentence_transformers.json", **whole or {})

    make.__name__ = " ".join(
        f"{kind}={value}"
        for kind, value in (
            ("", first if first != "MLMTransformer" else ""),
            ("at", at),
            ("tokenizer", tokenizer),
            ("module", module),
            ("pooling", pooling),
            ("whole", whole),
            ("config", config),
        )
        if value
    )
    return make


def prompts(**texts: str | None) -> dict[str, Any]:
    return {"prompts": texts}


DONE = [
    layout(),
    layout("Transformer"),
    layout(at="0_MLMTransformer"),
    layout("Transformer", at="0_Transformer", module={"max_seq_length": 20}),
    layout(pooling={"activation_function": "log1p_relu"}),
    layout(pooling={"chunk_size": 3, "word_embedding_dimension": len(TERMS)}),
    layout(module={"max_seq_length": 40, "do_lower_case": False}),
    layout(module={"max_seq_length": 50}, tokenizer={"model_max_length": 30}),
    layout("Transformer", module={"processor_kwargs": {"model_max_length": 20}}),
    layout("Transformer", module={"tokenizer_args": {"model_max_length": 20}}),
    layout("Transformer", module={"model_kwargs": {"attn_implementation": "eager"}}),
    layout(module={"do_lower_case": True}, tokenizer={"do_lower_case": False}),
    layout("Transformer", module={"query_length": 5}),
    layout("Transformer", module={"document_length": 12}),
    layout("Transformer", module={"query_length": 40, "document_length": 12}),
    layout(whole=prompts(query="query: ", document="passage: ")),
    layout(whole=prompts(query="find the heart ")),
    layout(whole=prompts(query=None, document="document: ")),
    layout(whole=prompts(passage="passage: ")),
    layout(whole=prompts(query="many words " * 30)),
    layout(whole=prompts(query="query: ") | {"default_prompt_name": "query"}),
    layout(whole={"max_active_dims": 20}),
    layout(whole={"max_active_dims": 1}),
    layout(whole={"similarity_fn_name": "dot"}),
    layout(tokenizer={"do_lower_case": False}),
    layout(tokenizer={"strip_accents": False}),
    layout(tokenizer={"tokenize_chinese_chars": False}),
    layout(tokenizer={"model_max_length": 20}),
    layout(tokenizer={"max_len": 20}),
    layout(tokenizer={"truncation_side": "left"}),
    layout(tokenizer={"truncation_side": "left"}, whole=prompts(query="query: ")),
    layout(tokenizer={"cls_token": "[MASK]"}),
    layout(tokenizer={"additional_special_tokens": ["oven"]}),
    layout(tokenizer={"tokenizer_class": "TokenizersBackend", "pad_token": "[PAD]"}),
    layout(config={"hidden_act": "relu", "layer_norm_eps": 0.1}),
]


def vectors(encoder: SparseEncoder) -> tuple[Dense, Dense]:
    size = encoder.spec.vocabulary
    queries, documents = encoder.encode_queries(TEXTS), encoder.encode_documents(TEXTS)
    return dense(queries, size), dense(documents, size)


def assert_like_the_peer(folder: Path, encoder: SparseEncoder) -> None:
    peer = sentence_transformers.SparseEncoder(str(folder), device="cpu")
    for ours, encode in zip(
        vectors(encoder), (peer.encode_query, peer.encode_document), strict=True
    ):
        theirs = encode(TEXTS, show_progress_bar=False).to_dense().float().numpy()
        assert_same(ours, theirs)


@pytest.mark.parametrize("make", DONE, ids=lambda make: make.__name__)
def test_what_a_folder_says_is_done_as_sentence_transformers_does_it(
    folder: Path, make: Make
) -> None:
    make(folder)
    assert_like_the_peer(folder, load_encoder(folder, engine="torch", device="cpu"))


@pytest.mark.parametrize("make", [DONE[3], DONE[15], DONE[21], DONE[29]], ids=lambda m: m.__name__)
def test_the_same_on_onnx(folder: Path, make: Make) -> None:
    make(folder)
    assert_like_the_peer(folder, load_encoder(folder))


@pytest.mark.parametrize("make", DONE[4:], ids=lambda make: make.__name__)
def test_every_setting_is_in_the_revision(base: Path, tmp_path: Path, make: Make) -> None:
    plain, changed = (shutil.copytree(base, tmp_path / name) for name in ("plain", "changed"))
    layout("Transformer" if "Transformer" in make.__name__ else "MLMTransformer")(plain)
    make(changed)
    assert read_spec(changed).revision != read_spec(plain).revision


def test_who_saved_a_folder_where_is_not_in_the_revision(folder: Path) -> None:
    layout()(folder)
    before = read_spec(folder).revision
    add(folder / "config.json", transformers_version="5.99.0", _name_or_path="/elsewhere")
    add(folder / "tokenizer_config.json", name_or_path="/elsewhere", is_local=True)
    add(folder / "config_sentence_transformers.json", __version__={"pytorch": "3"})
    write(folder / "README.md", "a card")
    assert read_spec(folder).revision == before


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (layout(pooling={"pooling_strategy": "sum"}), "theirs pools by 'sum'; only 'max'"),
        (layout(pooling={"activation_function": "gelu"}), "theirs has the activation 'gelu'"),
        (layout(pooling={"top_k": 3}), "1_SpladePooling/config.json has top_k 3, which is not"),
        (
            layout("Transformer", module={"transformer_task": "feature-extraction"}),
            "theirs has transformer_task 'feature-extraction', not 'fill-mask'",
        ),
        (
            layout("Transformer", module={"query_expansion": {"strategy": "fixed", "length": 8}}),
            "has query_expansion {'strategy': 'fixed', 'length': 8}, which is not supported",
        ),
        (
            layout("Transformer", module={"processing_kwargs": {"text": {"max_length": 7}}}),
            "has processing_kwargs {'text': {'max_length': 7}}, which is not supported",
        ),
        (
            layout("Transformer", module={"tokenizer_args": {"do_lower_case": False}}),
            "sentence_bert_config.json, tokenizer_args has do_lower_case False, which is not",
        ),
        (
            layout("Transformer", module={"config_kwargs": {"hidden_act": "relu"}}),
            "sentence_bert_config.json, config_kwargs has hidden_act 'relu', which is not",
        ),
        (
            layout("Transformer", module={"model_kwargs": {"subfolder": "x"}}),
            "sentence_bert_config.json, model_kwargs has subfolder 'x', which is not supported",
        ),
        (
            layout("Transformer", module={"tokenizer_name_or_path": "elsewhere"}),
            "has tokenizer_name_or_path 'elsewhere', which is not supported",
        ),
        (
            layout("Transformer", module={"modality_config": {"message": {"method": "forward"}}}),
            "has modality_config {'message': {'method': 'forward'}}, not that of a text-only model",
        ),
        (
            layout("Transformer", module={"module_output_name": "scores"}),
            "has module_output_name 'scores', not 'token_embeddings'",
        ),
        (layout(whole={"similarity_fn_name": "cosine"}), "similarity_fn_name 'cosine', but stores"),
        (layout(whole={"model_type": "SentenceTransformer"}), "model_type 'SentenceTransformer'"),
        (
            layout(whole=prompts(web="w: ") | {"default_prompt_name": "web"}),
            "has default_prompt_name 'web', which does not say whether it is for queries or",
        ),
        (layout(tokenizer={"padding_side": "left"}), "padding_side 'left': vectors would depend"),
        (layout(tokenizer={"split_special_tokens": True}), "has split_special_tokens, which is"),
        (
            layout(tokenizer={"model_input_names": ["input_ids"]}),
            "has model_input_names without 'attention_mask': padding would count",
        ),
        (
            layout(tokenizer={"tokenizer_class": "RobertaTokenizer"}),
            "tokenizer_class RobertaTokenizer does not match the model in tokenizer.json",
        ),
        (
            layout(tokenizer={"tokenizer_class": "AlbertTokenizer"}),
            "the tokenizer class 'AlbertTokenizer' of ",
        ),
        (layout(tokenizer={"cls_token": "[NEW]"}), "has cls_token '[NEW]', which is not in"),
        (layout(config={"quantization_config": {"bits": 4}}), "has a quantization_config, which"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_what_is_not_done_is_refused_by_its_name(folder: Path, make: Make, sentence: str) -> None:
    make(folder)
    with pytest.raises(ModelError, match=re.escape(sentence)) as caught:
        load_encoder(folder, engine="torch", device="cpu")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"added_tokens": []}, ""),
        ({"normalizer": None}, ""),
        ({"pre_tokenizer": {"type": "Whitespace"}}, ""),
        ({"post_processor": None}, ""),
        (
            {"model": tokenizer_json()["model"] | {"max_input_chars_per_word": 9}},
            "tokenizer_class BertTokenizer does not match the max_input_chars_per_word",
        ),
        (
            {"model": tokenizer_json()["model"] | {"continuing_subword_prefix": "@@"}},
            "tokenizer_class BertTokenizer does not match the continuing_subword_prefix",
        ),
    ],
    ids=str,
)
def test_a_tokenizer_json_that_says_something_else(
    folder: Path, change: dict[str, Any], sentence: str
) -> None:
    write(folder / "tokenizer.json", tokenizer_json(**change))
    if sentence:
        with pytest.raises(ModelError, match=re.escape(sentence)):
            load_encoder(folder, engine="torch", device="cpu")
        return
    ours = read_folder(folder).tokenizer().tokenizer
    theirs = transformers.AutoTokenizer.from_pretrained(str(folder))
    for text in TEXTS:
        assert ours.encode(text).ids == theirs(text)["input_ids"]


def test_what_transformers_reads_otherwise_is_refused(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever is not known here shows when both tokenizers are tried on texts."""
    from splade_connectors.encoders import tokenizer_settings

    monkeypatch.setattr(tokenizer_settings, "_set_up", lambda *_: True)
    add(folder / "tokenizer_config.json", do_lower_case=False)
    with pytest.raises(ModelError, match=r"disagree: for 'How do Vaccines work\?' transformers"):
        load_encoder(folder, engine="torch", device="cpu")
    with pytest.raises(ModelError, match=r"disagree: for 'How do Vaccines work\?' transformers"):
        load_encoder(folder)


def test_what_is_read_by_sentence_transformers_alone_needs_its_modules(folder: Path) -> None:
    """Without modules.json it reads none of these."""
    write(folder / "sentence_bert_config.json", {"max_seq_length": 10, "do_lower_case": True})
    write(folder / "config_sentence_transformers.json", prompts(query="query: "))
    assert_like_the_peer(folder, load_encoder(folder, engine="torch", device="cpu"))


@pytest.mark.parametrize("path", ["../theirs", "/tmp", "a/../../b", "C:\\x", "..\\x"])
def test_a_module_outside_the_folder_is_refused(folder: Path, path: str) -> None:
    kinds = ("MLMTransformer", "SpladePooling")
    modules = [{"idx": 0, "name": "", "path": path, "type": f"{PACKAGE}.{kind}"} for kind in kinds]
    write(folder / "modules.json", modules)
    with pytest.raises(ModelError, match="which is outside the model's"):
        load_encoder(folder)


def test_half_precision_is_said(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    plain = vectors(load_encoder(folder, engine="torch", device="cpu"))
    model = transformers.AutoModelForMaskedLM.from_pretrained(str(folder), dtype="bfloat16")
    model.save_pretrained(folder)
    with caplog.at_level(logging.WARNING):
        encoder = load_encoder(folder, engine="torch", device="cpu")
    assert "has the dtype bfloat16 but runs in float32" in caplog.text
    assert np.abs(vectors(encoder)[0] - plain[0]).max() < 0.2
    peer = sentence_transformers.SparseEncoder(
        str(folder), device="cpu", model_kwargs={"dtype": "float32"}
    )
    theirs = peer.encode_query(TEXTS, show_progress_bar=False).to_dense().numpy()
    assert_same(vectors(encoder)[0], theirs)


# Other heads, other models.


def test_mobilebert_is_computed_though_its_head_has_two_parts(folder: Path) -> None:
    config = transformers.MobileBertConfig(
        vocab_size=len(TERMS),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        embedding_size=8,
        intra_bottleneck_size=16,
        num_feedforward_networks=1,
        max_position_embeddings=64,
        initializer_range=0.4,
    )
    transformers.MobileBertForMaskedLM(config).save_pretrained(folder)
    assert_like_the_peer(folder, load_encoder(folder, engine="torch", device="cpu"))
    assert_like_the_peer(folder, load_encoder(folder))


def test_an_adapter_is_refused(folder: Path) -> None:
    write(folder / "adapter_config.json", {"base_model_name_or_path": "x"})
    with pytest.raises(ModelError, match=r"holds an adapter \(adapter_config.json\): merge it"):
        load_encoder(folder)


def test_what_sentence_transformers_itself_saves_is_known(folder: Path, tmp_path: Path) -> None:
    """So that a setting of a later version is not passed over."""
    modules = sentence_transformers.sparse_encoder.modules
    first = modules.Transformer(str(folder), transformer_task="fill-mask")
    peer = sentence_transformers.SparseEncoder(
        modules=[first, modules.SpladePooling("max")],
        device="cpu",
        prompts={"query": "query: ", "document": "document: "},
        max_active_dims=30,
    )
    peer.max_seq_length = 40
    peer.save_pretrained(str(tmp_path / "saved"))
    saved = load_encoder(tmp_path / "saved", engine="torch", device="cpu")
    assert (saved.spec.max_length, saved.spec.query_prompt) == (40, "query: ")
    assert saved.spec.max_active_dims == 30
    assert FILL_MASK["transformer_task"] == first.transformer_task
    assert_like_the_peer(tmp_path / "saved", saved)
