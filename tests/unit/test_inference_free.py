"""Query sides of weights: what is read, what is refused, and which indices their queries fit."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from splade_connectors import (
    ConfigurationError,
    Document,
    EncodeOptions,
    SparseEncoder,
    load_encoder,
)
from splade_connectors.encoders.two_sides import TwoSidedEncoder
from splade_connectors.errors import ManifestMismatch, ModelError
from splade_connectors.manifest import IndexManifest
from splade_connectors.testing.memory import Collection, MemoryStore
from tests.models.small import PACKAGE, TERMS, config_json, tokenizer_json, write

BREAD, HEART, HOW = (TERMS.index(word) for word in ("bread", "heart", "how"))
IDF = {"bread": 3.5, "heart": 2.25, "how": 0.5}


def tokenizer(folder: Path, **settings: Any) -> None:
    write(folder / "tokenizer.json", tokenizer_json())
    write(folder / "tokenizer_config.json", {"tokenizer_class": "BertTokenizer"} | settings)


@pytest.fixture
def opensearch(tmp_path: Path) -> Path:
    """The layout of OpenSearch's models, with weights for documents that nobody can load."""
    folder = tmp_path / "theirs"
    tokenizer(folder)
    write(folder / "config.json", config_json())
    (folder / "model.safetensors").write_bytes(b"weights")
    write(folder / "idf.json", IDF)
    return folder


@pytest.fixture
def router(tmp_path: Path) -> Path:
    """The layout of sentence-transformers, its query side alone."""
    folder = tmp_path / "routed"
    types = {"q": f"{PACKAGE}.SparseStaticEmbedding", "d": f"{PACKAGE}.MLMTransformer"}
    write(folder / "modules.json", [{"path": "", "type": "sentence_transformers.models.Router"}])
    routes = {"query": ["q"], "document": ["d"]}
    write(folder / "router_config.json", {"types": types, "structure": routes})
    tokenizer(folder / "q")
    weights = np.zeros(len(TERMS), np.float32)
    weights[[BREAD, HEART, HOW]] = list(IDF.values())
    safetensors(folder / "q" / "model.safetensors", weights)
    write(folder / "q" / "config.json", {"frozen": True})
    return folder


def safetensors(path: Path, weights: np.ndarray[Any, Any], name: str = "weight") -> None:
    kinds = {"float32": "F32", "float16": "F16", "float64": "F64"}
    entry = {"dtype": kinds[str(weights.dtype)], "shape": list(weights.shape)}
    data = weights.tobytes()
    header = json.dumps({name: entry | {"data_offsets": [0, len(data)]}}).encode()
    path.write_bytes(len(header).to_bytes(8, "little") + header + data)


def terms(encoder: SparseEncoder, query: str) -> dict[int, float]:
    found: dict[int, float] = encoder.encode_queries([query])[0].to_dict()
    return found


@pytest.mark.parametrize("layout", ["opensearch", "router"])
def test_a_query_is_its_tokens_with_their_weights(
    layout: str, request: pytest.FixtureRequest
) -> None:
    folder = request.getfixturevalue(layout)
    encoder = load_encoder(folder, queries_only=True)
    assert terms(encoder, "How bread heart bread in the [SEP]") == {
        BREAD: 3.5,
        HEART: 2.25,
        HOW: 0.5,
    }
    assert terms(encoder, "") == terms(encoder, "oven") == {}
    assert len(encoder.encode_queries([])) == 0
    batch = encoder.encode_queries(["heart", "", "bread how"])
    assert [row.to_dict() for row in batch] == [{HEART: 2.25}, {}, {BREAD: 3.5, HOW: 0.5}]
    assert encoder.tokens([BREAD, 10**6]) == ["bread", "[1000000]"]
    assert (encoder.token_id("bread"), encoder.token_id("nothing")) == (BREAD, None)
    assert encoder.own_terms("bread heart") == {BREAD, HEART}
    assert encoder.spec.model == folder.name


@pytest.mark.parametrize("layout", ["opensearch", "router"])
def test_documents_are_refused_in_a_sentence(layout: str, request: pytest.FixtureRequest) -> None:
    encoder = load_encoder(request.getfixturevalue(layout), queries_only=True)
    sentence = (
        "is for queries only: to encode documents, call load_encoder(…) without queries_only=True"
    )
    with pytest.raises(ConfigurationError, match=re.escape(sentence)):
        encoder.encode_documents(["bread"])
    with pytest.raises(ConfigurationError, match=re.escape(sentence)):
        encoder.check_documents()


def test_a_folder_with_query_weights_alone_says_so(opensearch: Path) -> None:
    (opensearch / "config.json").unlink()
    assert terms(load_encoder(opensearch, queries_only=True), "bread")
    with pytest.raises(ModelError, match=r"holds only query weights \(idf\.json; it has no config"):
        load_encoder(opensearch)


def test_what_is_no_list_of_texts_is_refused(router: Path) -> None:
    encoder = load_encoder(router, queries_only=True)
    with pytest.raises(ConfigurationError, match=r"expected a list of texts, got one string"):
        encoder.encode_queries("bread")
    with pytest.raises(ConfigurationError, match=r"a text to encode must be a string, not int"):
        encoder.encode_queries([3])  # type: ignore[list-item]
    assert terms(encoder, "bread \ud800") == {BREAD: 3.5}


@pytest.mark.parametrize(("side", "kept"), [("right", {HOW: 0.5}), ("left", {HEART: 2.25})])
def test_a_long_query_is_cut_at_its_side(router: Path, side: str, kept: dict[int, float]) -> None:
    tokenizer(router / "q", model_max_length=2, truncation_side=side)
    encoder = load_encoder(router, queries_only=True)
    assert terms(encoder, "how the the heart") == kept
    # Beyond what is looked at, at first.
    assert terms(encoder, "how" + " the" * 9000 + " heart") == kept


def test_a_prompt_and_a_limit_of_terms(router: Path) -> None:
    settings = {"prompts": {"query": "bread "}, "max_active_dims": 2}
    write(router / "config_sentence_transformers.json", settings)
    encoder = load_encoder(router, queries_only=True)
    assert terms(encoder, "how") == {BREAD: 3.5, HOW: 0.5}
    assert terms(encoder, "how heart") == {BREAD: 3.5, HEART: 2.25}


def test_queries_are_remembered_where_that_is_asked_for(
    router: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoder = load_encoder(router, queries_only=True, options=EncodeOptions(query_cache=2))
    first = terms(encoder, "bread")
    monkeypatch.setattr(encoder, "_encode", None)
    assert terms(encoder, "bread") == first


@pytest.mark.parametrize("kind", ["float16", "float64"])
def test_weights_in_other_precisions(router: Path, kind: str) -> None:
    weights = np.zeros(len(TERMS), kind)
    weights[BREAD] = 3.5
    safetensors(router / "q" / "model.safetensors", weights)
    assert terms(load_encoder(router, queries_only=True), "bread heart") == {BREAD: 3.5}


# What is refused.


@pytest.mark.parametrize(
    ("idf", "sentence"),
    [
        (IDF | {"quark": 1.0, "##ark": 2}, r"another vocabulary: 2 of its 5 .* example 'quark'"),
        (IDF | {"oven": "3"}, r"has the weight '3' for 'oven', which is not a number"),
        (IDF | {"oven": True}, r"has the weight True for 'oven', which is not a number"),
        (IDF | {"oven": float("nan")}, r"has the weight nan for 'oven', which is not a number"),
        (IDF | {"oven": -2.5}, r"1 invalid weights, for example -2.5 for 'oven'"),
        (IDF | {"oven": 10**400}, r"has the weight .* for 'oven', which is not a number"),
        (IDF | {"oven": 1e39}, r"1 invalid weights, for example inf for 'oven'"),
        ({}, r"has no weight above 0, so no query would find anything"),
        ([1], r"holds list, not a JSON object"),
    ],
    ids=str,
)
def test_weights_of_another_vocabulary_and_no_weights(
    opensearch: Path, idf: Any, sentence: str
) -> None:
    write(opensearch / "idf.json", idf)
    for queries_only in (True, False):
        with pytest.raises(ModelError, match=f"idf.json.* {sentence}"):
            load_encoder(opensearch, queries_only=queries_only)


@pytest.mark.parametrize(
    ("weights", "sentence"),
    [
        (np.ones(9, np.float32), rf"another vocabulary: it has 9 weights, but .* {len(TERMS)} te"),
        (np.full(len(TERMS), np.nan, np.float32), rf"has {len(TERMS)} invalid weights"),
        (np.full(len(TERMS), 1e300), rf"has {len(TERMS)} invalid weights, for e"),
        (np.ones((2, 9), np.float32), r"have no tensor 'weight' of shape \(terms,\)"),
    ],
    ids=lambda value: str(getattr(value, "shape", value)),
)
def test_a_module_with_other_weights(router: Path, weights: Any, sentence: str) -> None:
    safetensors(router / "q" / "model.safetensors", weights)
    with pytest.raises(ModelError, match=sentence):
        load_encoder(router, queries_only=True)


def test_a_module_without_weights(router: Path) -> None:
    (router / "q" / "model.safetensors").unlink()
    with pytest.raises(ModelError, match=r"q has no model.safetensors"):
        load_encoder(router, queries_only=True)
    write(router / "q" / "config.json", {"path": "somebody/some-model/idf.json"})
    with pytest.raises(ModelError, match=r"weights in 'somebody/.*idf.json', which does not exist"):
        load_encoder(router, queries_only=True)
    write(router / "q" / "config.json", {"frozen": True, "scale": 3})
    with pytest.raises(ModelError, match=r"config.json has scale 3, which is not supported"):
        load_encoder(router, queries_only=True)
    (router / "q" / "tokenizer.json").unlink()
    with pytest.raises(ModelError, match=r"q has no tokenizer.json"):
        load_encoder(router, queries_only=True)


def test_a_query_side_that_is_none(router: Path) -> None:
    types = {"q": f"{PACKAGE}.Normalize", "d": f"{PACKAGE}.MLMTransformer"}
    routes = {"query": ["q"], "document": ["d"]}
    write(router / "router_config.json", {"types": types, "structure": routes})
    with pytest.raises(ModelError, match=r"model of Normalize for queries, not a SPLADE model"):
        load_encoder(router, queries_only=True)


# Which files are fetched.


@pytest.mark.parametrize("layout", ["opensearch", "router"])
def test_of_a_hub_model_its_query_side_alone_is_fetched(
    layout: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = request.getfixturevalue(layout)
    asked: list[str] = []

    def fetch(model: str, *, allow_patterns: Sequence[str], **_: Any) -> str:
        asked.extend(allow_patterns)
        return str(folder)

    monkeypatch.setattr("huggingface_hub.snapshot_download", fetch)
    encoder = load_encoder("somebody/a-model", queries_only=True)
    assert terms(encoder, "bread") == {BREAD: 3.5}
    assert (encoder.spec.model, encoder.spec.revision) == ("somebody/a-model", folder.name)
    assert "*.json" in asked
    assert "*.safetensors" not in asked
    assert ("q/*.safetensors" in asked) == (layout == "router")


# Which indices they fit.


def manifest(**changes: Any) -> IndexManifest:
    made = IndexManifest(
        model="m", revision="r1", tokenizer="t1", activation="log1p", max_length=8, query_side="q1"
    )
    return replace(made, **changes)


@pytest.mark.parametrize(
    ("stored", "mine", "differs"),
    [
        # The query side alone, of the folder that wrote the index: it knows of no revision.
        (manifest(), manifest(revision="", tokenizer="t2", activation="log1p_log1p"), None),
        (manifest(), manifest(revision="", query_side="q2"), "query_side"),
        (manifest(query_side=None), manifest(revision=""), "query_side"),
        (manifest(), manifest(revision="", model="n"), "model"),
        (manifest(), manifest(revision="", key_style="token"), "key_style"),
        # The same query side over documents of another training: its queries are the same.
        (manifest(), manifest(revision="r2"), None),
        # Another query side over the same documents, made for them or symmetric.
        (manifest(), manifest(query_side="q2"), None),
        (manifest(), manifest(query_side=None), None),
        (manifest(query_side=None), manifest(), None),
        (manifest(), manifest(query_side="q2", revision="r2"), "revision"),
        (manifest(query_side=None), manifest(query_side=None, revision="r2"), "revision"),
    ],
)
def test_which_queries_fit_an_index(
    stored: IndexManifest, mine: IndexManifest, differs: str | None
) -> None:
    if differs is None:
        stored.check(mine, use="query", where="there")
        return
    with pytest.raises(ManifestMismatch, match=f"there was written with .*{differs}: the index"):
        stored.check(mine, use="query", where="there")


def test_a_query_side_is_no_setting_of_the_vectors() -> None:
    assert manifest().fingerprint() == manifest(query_side=None).fingerprint()
    assert IndexManifest.from_json(manifest().to_json()) == manifest()
    assert "query_side" not in manifest(query_side=None).to_json()
    manifest().check(manifest(query_side=None), use="write", where="there")


def test_nothing_is_written_by_queries_alone(router: Path) -> None:
    collection = Collection()
    store = MemoryStore(load_encoder(router, queries_only=True), collection=collection)
    with pytest.raises(ConfigurationError, match=r"is for queries only"):
        store.index([Document(id="1", text="bread")])
    assert not collection.exists


def test_documents_are_cut_and_queries_stay(router: Path, encoder: SparseEncoder) -> None:
    queries = load_encoder(router, queries_only=True)
    both = TwoSidedEncoder(queries, encoder)
    fitted = both.fitted(16, "truncate")
    assert (fitted.spec.max_length, fitted.spec.query_side) == (16, queries.spec.query_side)
    assert fitted.encode_queries(["bread"]) == queries.encode_queries(["bread"])
    assert both.fitted(encoder.spec.max_length, "truncate") is both
    assert both.encode_documents(["bread"]) == encoder.encode_documents(["bread"])
    assert fitted.tokens([2000]) == encoder.tokens([2000])
    both.check_documents()
