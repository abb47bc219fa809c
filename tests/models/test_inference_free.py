"""Models with a query side of their own: equal to sentence-transformers' on random weights."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tokenizers import Tokenizer

from splade_connectors import ConfigurationError, SparseBatch, SparseEncoder, connect, load_encoder
from splade_connectors.documents import Document
from splade_connectors.encoders.export.folder import export_model
from splade_connectors.errors import ManifestMismatch, ModelError
from splade_connectors.options import EncodeOptions
from tests.models import graphs, sides
from tests.models.compare import assert_same, dense
from tests.models.small import SPECIAL, TERMS, TEXTS, model_folder, tokenizer_json, write

_INSTALL = "pip install 'splade-connectors[test-models]'"
pytest.importorskip("torch", reason=_INSTALL)
pytest.importorskip("transformers", reason=_INSTALL)
pytest.importorskip("sentence_transformers", reason=_INSTALL)

pytestmark = pytest.mark.models

QUERIES = [*TEXTS, "how how how do hearts work", "bread bread heart -", "[SEP] bread [MASK]", "a"]


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return model_folder(tmp_path / "theirs")


def saved(peer: Any, folder: Path) -> Path:
    peer.save_pretrained(str(folder))
    return folder


def rows(batch: SparseBatch) -> Any:
    return dense(batch, len(TERMS))


def theirs(peer: Any, verb: str, texts: list[str]) -> Any:
    found = getattr(peer, f"encode_{verb}")(texts, convert_to_sparse_tensor=False)
    return found.detach().numpy().astype(np.float32)


def assert_like(peer: Any, encoder: SparseEncoder, queries: list[str] = QUERIES) -> None:
    assert_same(rows(encoder.encode_documents(TEXTS)), theirs(peer, "document", TEXTS))
    assert_same(rows(encoder.encode_queries(queries)), theirs(peer, "query", queries))


@pytest.mark.parametrize(
    "whole",
    [
        {},
        {"prompts": {"query": "find the ", "document": "passage: "}},
        {"max_active_dims": 3},
    ],
    ids=str,
)
@pytest.mark.parametrize("engine", ["onnx", "torch"])
def test_a_router_with_a_static_query_side(
    folder: Path, tmp_path: Path, whole: dict[str, Any], engine: Any
) -> None:
    peer = sides.inference_free_peer(folder, **whole)
    made = saved(peer, tmp_path / "saved")
    assert_like(peer, load_encoder(made, engine=engine))
    alone = load_encoder(made, queries_only=True)
    assert_same(rows(alone.encode_queries(QUERIES)), theirs(peer, "query", QUERIES))


def test_a_query_is_cut_where_the_tokenizer_says(folder: Path, tmp_path: Path) -> None:
    sides.change(folder / "tokenizer_config.json", model_max_length=4)
    peer = sides.inference_free_peer(folder)
    made = saved(peer, tmp_path / "saved")
    long = "how do vaccines work heart bread is baked in an oven " * 200
    encoder = load_encoder(made, queries_only=True)
    assert_same(rows(encoder.encode_queries([long])), theirs(peer, "query", [long]))
    assert len(encoder.encode_queries([long])[0]) == 4


def test_opensearchs_layout(tmp_path: Path) -> None:
    folder = sides.opensearch_layout(tmp_path / "neural-sparse-doc-v3")
    peer = sides.inference_free_peer(folder, folder / "idf.json")
    encoder = load_encoder(folder)
    assert encoder.spec.activation == "log1p_log1p"
    assert_like(peer, encoder)
    alone = load_encoder(folder, queries_only=True)
    assert alone.encode_queries(QUERIES) == encoder.encode_queries(QUERIES)


@pytest.mark.parametrize("name", ["neural-sparse-doc-v1", "neural-sparse-doc-v2-mini"])
def test_the_first_versions_of_opensearchs_models_take_one_logarithm(
    tmp_path: Path, name: str
) -> None:
    assert load_encoder(sides.opensearch_layout(tmp_path / name)).spec.activation == "log1p"


def test_a_model_with_code_of_its_own_runs_from_its_exported_graph(tmp_path: Path) -> None:
    """As opensearch's doc-v3-gte: transformers has no such class, and its code is never run."""
    folder = sides.opensearch_layout(tmp_path / "neural-sparse-doc-v3-gte")
    own = {
        "AutoConfig": "configuration.NewConfig",
        "AutoModelForMaskedLM": "modeling.NewForMaskedLM",
    }
    sides.change(
        folder / "config.json", model_type="new", architectures=["NewForMaskedLM"], auto_map=own
    )
    (folder / "modeling.py").write_text("raise SystemExit('this was run')")
    with pytest.raises(ModelError, match="export it to ONNX once"):
        load_encoder(folder)
    assert load_encoder(folder, queries_only=True).encode_queries([QUERIES[0]])[0]
    graphs.save_graph(folder / "onnx" / "model.onnx")
    encoder = load_encoder(folder)
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    embeddings = graphs.table()
    for text, row in zip(TEXTS, rows(encoder.encode_documents(TEXTS)), strict=True):
        logits = (embeddings[tokenizer.encode(text).ids] @ embeddings.T).max(axis=0)
        wanted = np.log1p(np.log1p(np.maximum(logits, 0)))
        assert_same(row[None], np.where(np.isin(np.arange(len(TERMS)), SPECIAL), 0, wanted)[None])


def test_special_tokens_have_no_weight_in_opensearchs_layout(tmp_path: Path) -> None:
    folder = sides.opensearch_layout(tmp_path / "theirs")
    write(folder / "idf.json", dict.fromkeys(TERMS, 2.0))
    encoder = load_encoder(folder, queries_only=True)
    found = encoder.encode_queries(["[CLS] bread [SEP] 疫 nobodyknowsit [UNK] [MASK] heart"])[0]
    assert not set(encoder.tokens(found.indices)) & set(SPECIAL)
    assert {"bread", "heart"} <= set(encoder.tokens(found.indices))


def test_weights_where_the_settings_say(folder: Path, tmp_path: Path) -> None:
    made = saved(sides.inference_free_peer(folder), tmp_path / "saved")
    module = sides.query_module(made)
    (module / "model.safetensors").unlink()
    write(made / "idf.json", {"bread": 2.5})
    write(module / "config.json", {"frozen": True, "path": "idf.json"})
    encoder = load_encoder(made, queries_only=True)
    assert encoder.encode_queries(["how bread"])[0].to_dict() == {TERMS.index("bread"): 2.5}


def test_the_layout_that_opensearch_publishes(folder: Path, tmp_path: Path) -> None:
    """The masked-language model lies at the top, its module has no name."""
    peer = sides.inference_free_peer(folder)
    made = saved(peer, tmp_path / "saved")
    for path in next(made.glob("document_0_*")).iterdir():
        path.rename(made / path.name)
    router = made / "router_config.json"
    router.write_text(router.read_text().replace("document_0_Transformer", ""))
    assert_like(peer, load_encoder(made))


def test_a_router_of_two_encoders(folder: Path, tmp_path: Path) -> None:
    small = model_folder(tmp_path / "small", hidden_size=8, initializer_range=0.9)
    sides.change(small / "tokenizer_config.json", model_max_length=12)
    peer = sides.two_encoders_peer(small, folder, prompts={"query": "find "})
    made = saved(peer, tmp_path / "saved")
    encoder = load_encoder(made, options=EncodeOptions(max_length=30))
    peer[0].sub_modules["document"][0].max_seq_length = 30
    assert_like(peer, encoder)
    assert (encoder.spec.max_length, encoder.spec.query_max_length) == (30, 12)
    # The weights for documents are not needed.
    shutil.rmtree(next(made.glob("document_0_*")))
    alone = load_encoder(made, queries_only=True)
    assert alone.encode_queries(QUERIES) == encoder.encode_queries(QUERIES)
    assert alone.spec.query_side == encoder.spec.query_side
    with pytest.raises(ConfigurationError, match="is for queries only"):
        alone.encode_documents(["bread"])


def test_a_router_whose_sides_are_one_model(folder: Path, tmp_path: Path) -> None:
    peer = sides.two_encoders_peer(folder, folder)
    router = peer[0]
    router.sub_modules["query"] = router.sub_modules["document"]
    made = saved(peer, tmp_path / "saved")
    encoder = load_encoder(made)
    assert_like(peer, encoder)
    assert encoder.spec.query_side is None


def test_queries_alone_fit_the_index_of_the_whole_folder(folder: Path, tmp_path: Path) -> None:
    made = saved(sides.inference_free_peer(folder), tmp_path / "saved")
    target = f"edge:{tmp_path / 'index'}"
    documents = [Document(id=str(at), text=text) for at, text in enumerate(TEXTS) if text]
    with connect(target, encoder=made) as store:
        store.index(documents)
        expected = store.search("how bread")
        manifest = store.inspect().manifest
    assert manifest
    assert manifest.query_side == load_encoder(made, queries_only=True).spec.query_side
    shutil.rmtree(next(made.glob("document_0_*")))
    alone = load_encoder(made, queries_only=True)
    with connect(target, encoder=alone) as store:
        assert store.search("how bread") == expected
        explained = store.explain("how bread", expected[0].id)
        assert explained.score == pytest.approx(expected[0].score)
        with pytest.raises(ConfigurationError, match="is for queries only"):
            store.index(documents)
        with pytest.raises(ConfigurationError, match="is for queries only"):
            store.update("0", text="bread")
    write(
        sides.query_module(made) / "tokenizer_config.json",
        {"tokenizer_class": "BertTokenizer", "model_max_length": 3},
    )
    other = load_encoder(made, queries_only=True)
    with (
        connect(target, encoder=other) as store,
        pytest.raises(ManifestMismatch, match="query_side: the index has"),
    ):
        store.search("how bread")


def test_a_symmetric_model_for_queries_only(folder: Path) -> None:
    encoder, alone = load_encoder(folder), load_encoder(folder, queries_only=True)
    assert alone.spec == encoder.spec
    assert alone.encode_queries(QUERIES) == encoder.encode_queries(QUERIES)
    with pytest.raises(ConfigurationError, match="this encoder of theirs is for queries only"):
        alone.encode_documents(["bread"])


# What is refused.


def test_sides_with_other_terms(folder: Path, tmp_path: Path) -> None:
    made = saved(sides.inference_free_peer(folder), tmp_path / "saved")
    swapped = tokenizer_json()
    vocabulary = swapped["model"]["vocab"]
    vocabulary["heart"], vocabulary["bread"] = vocabulary["bread"], vocabulary["heart"]
    write(sides.query_module(made) / "tokenizer.json", swapped)
    with pytest.raises(
        ModelError, match=r"use different tokenizers: .* the first difference is '(heart|bread)'"
    ):
        load_encoder(made)


def test_sides_that_cut_texts_otherwise(folder: Path, tmp_path: Path) -> None:
    made = saved(sides.inference_free_peer(folder), tmp_path / "saved")
    write(
        sides.query_module(made) / "tokenizer_config.json",
        {"tokenizer_class": "BertTokenizer", "do_lower_case": False},
    )
    write(
        sides.query_module(made) / "tokenizer.json",
        tokenizer_json(truncation=None, padding=None, decoder=None),
    )
    with pytest.raises(ModelError, match=r"different tokenizers: .* another normalizer than"):
        load_encoder(made)


def test_a_static_side_for_documents(folder: Path, tmp_path: Path) -> None:
    made = saved(sides.inference_free_peer(folder), tmp_path / "saved")
    router = made / "router_config.json"
    text = router.read_text()
    text = text.replace('"document": [', '"was": [').replace('"query": [', '"document": [')
    router.write_text(text.replace('"was": [', '"query": ['))
    with pytest.raises(
        ModelError,
        match=re.escape("model of SparseStaticEmbedding for documents, not a SPLADE model"),
    ):
        load_encoder(made)


def test_an_exported_folder_has_both_sides(folder: Path, tmp_path: Path) -> None:
    peer = sides.inference_free_peer(folder, prompts={"query": "find the "})
    made = saved(peer, tmp_path / "saved")
    encoder = load_encoder(made)
    export_model(made, tmp_path / "exported", precision="fp32")
    exported = load_encoder(tmp_path / "exported")
    assert_like(peer, exported)
    assert exported.spec == encoder.spec
    alone = load_encoder(tmp_path / "exported", queries_only=True)
    assert alone.encode_queries(QUERIES) == encoder.encode_queries(QUERIES)
    assert alone.spec.revision == encoder.spec.revision
    with (tmp_path / "exported" / "idf.json").open("a") as file:
        file.write("\n")
    with pytest.raises(ModelError, match=r"idf.json does not match .* beside it"):
        load_encoder(tmp_path / "exported")


def test_two_models_are_not_exported_as_one(folder: Path, tmp_path: Path) -> None:
    made = saved(sides.two_encoders_peer(folder, folder), tmp_path / "saved")
    with pytest.raises(ConfigurationError, match=r"saved has separate models for queries and"):
        export_model(made, tmp_path / "exported")
