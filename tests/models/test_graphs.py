"""ONNX files of other people: run, or refused when they are loaded."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from splade_connectors import EncodeOptions, SparseEncoder, load_encoder
from splade_connectors.encoders.spec import read_spec
from splade_connectors.errors import ModelError
from tests.models.compare import Dense, assert_same, dense
from tests.models.graphs import move_data, save_graph, table
from tests.models.small import (
    TERMS,
    add,
    config_json,
    model_folder,
    tokenizer_json,
    write,
)

_INSTALL = "pip install 'splade-connectors[test-models]'"
pytest.importorskip("onnx", reason=_INSTALL)

pytestmark = pytest.mark.models

TEXTS = ["how do vaccines work", "bread is baked in an oven", ""]
OUTSIDE = "outside the model's folder"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of the test's own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "splade-connectors" / "models"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A model folder without weights."""
    made = tmp_path / "theirs"
    write(made / "config.json", config_json())
    write(made / "tokenizer.json", tokenizer_json())
    return made


def encoded(encoder: SparseEncoder) -> Dense:
    return dense(encoder.encode_documents(TEXTS), encoder.spec.vocabulary)


def expected(seed: int = 3) -> Dense:
    """The definition, by hand: log(1 + relu(max over tokens of the logits))."""
    rows = table(seed)
    ids = {text: [2, *(TERMS.index(word) for word in text.split()), 3] for text in TEXTS}
    found = [np.log1p(np.maximum(rows[ids[text]] @ rows.T, 0).max(axis=0)) for text in TEXTS]
    return np.stack(found)


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"declared": len(TERMS)},
        {"output": "output_0"},
        {"integers": "INT32"},
        {"inputs": ("input_ids", "input_mask", "segment_ids"), "integers": "INT32"},
        {"inputs": ("input_ids", "attention_mask", "token_type_ids")},
        {"inputs": ("input_ids", "input_mask")},
        {"location": "model.onnx.data"},
        {"location": "weights_of_mine"},
    ],
    ids=str,
)
@pytest.mark.parametrize("name", ["model.onnx", "onnx/model.onnx", "onnx/model_quantized.onnx"])
def test_a_graph_of_logits_runs_as_exporters_make_it(
    folder: Path, name: str, given: dict[str, Any]
) -> None:
    save_graph(folder / name, **given)
    assert_same(encoded(load_encoder(folder)), expected(), tolerance=1e-5)


def test_a_padded_head_is_run(folder: Path) -> None:
    save_graph(folder / "model.onnx", width=len(TERMS) + 24)
    found = dense(load_encoder(folder).encode_documents(TEXTS), len(TERMS) + 24)
    assert_same(found[:, : len(TERMS)], expected(), tolerance=1e-5)


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"output": "last_hidden_state", "width": 0, "declared": 8}, "has 8 numbers per token in"),
        ({"output": "last_hidden_state", "width": 0}, "has 8 numbers per token in its output"),
        ({"output": "logits", "width": 2, "declared": 2}, "has 2 numbers per token in its output"),
        ({"width": len(TERMS) - 1}, f"has {len(TERMS) - 1} numbers per token in its output"),
        ({"width": len(TERMS) + 128}, f"has {len(TERMS) + 128} numbers per token"),
        ({"shape": (1, "tokens")}, "takes 'input_ids' only in the fixed shape [1, 'tokens']"),
        ({"shape": ("batch", 128)}, "takes 'input_ids' only in the fixed shape ['batch', 128]"),
        ({"shape": (1, 128)}, "only in the fixed shape [1, 128]; export it with dynamic axes"),
        ({"inputs": ("input_ids",)}, "has the inputs input_ids; it needs input_ids and either"),
        (
            {"inputs": ("ids", "mask")},
            "has an input 'ids' of INT64; supported are attention_mask, in",
        ),
        (
            {"inputs": ("input_ids", "position_ids")},
            "has an input 'position_ids' of INT64; supported are",
        ),
        (
            {"inputs": ("input_ids", "attention_mask"), "integers": "FLOAT"},
            "of FLOAT; supported are",
        ),
        ({"rows": 40}, "fails on a batch of 2 texts of 12 tokens"),
    ],
    ids=str,
)
def test_a_graph_that_is_no_splade_model_is_refused_when_it_is_loaded(
    folder: Path, cache: Path, given: dict[str, Any], sentence: str
) -> None:
    save_graph(folder / "onnx" / "model.onnx", **given)
    with pytest.raises(ModelError, match=re.escape(sentence)) as caught:
        load_encoder(folder)
    assert "onnx/model.onnx" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert list(cache.iterdir()) == []


def test_the_safetensors_are_used_where_the_graph_beside_them_is_a_bare_encoder(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    pytest.importorskip("torch", reason=_INSTALL)
    plain = model_folder(tmp_path / "plain")
    beside = Path(shutil.copytree(plain, tmp_path / "beside"))
    save_graph(beside / "onnx" / "model.onnx", output="last_hidden_state", width=0)
    assert_same(encoded(load_encoder(beside)), encoded(load_encoder(plain)), tolerance=1e-5)
    assert "using the safetensors beside it" in caplog.text
    assert read_spec(beside).revision != read_spec(plain).revision


def test_several_graphs_and_none_of_the_usual_name(folder: Path) -> None:
    for name in ("model_quantized.onnx", "model_fp16.onnx"):
        save_graph(folder / "onnx" / name)
    with pytest.raises(ModelError, match=r"several ONNX files \(onnx/model_fp16.onnx, onnx/model_"):
        load_encoder(folder)


def test_a_long_text_that_the_graph_has_no_positions_for_is_found_at_load(folder: Path) -> None:
    """The folder promises 64 positions, the graph adds embeddings of 16."""
    import onnx
    from onnx import helper, numpy_helper

    path = save_graph(folder / "model.onnx")
    model = onnx.load(str(path))
    positions = numpy_helper.from_array(np.zeros((16, 8), np.float32), "positions")
    model.graph.initializer.append(positions)
    # A table of 16 rows under every text: shorter ones are cut out of it, longer ones fail.
    cut = [
        helper.make_node("Shape", ["input_ids"], ["length"], start=1),
        helper.make_node("Expand", ["zeros", "length"], ["ramp"]),
        helper.make_node("CumSum", ["ramp", "axis"], ["order"]),
        helper.make_node("Gather", ["positions", "order"], ["at"]),
        helper.make_node("Add", ["hidden", "at"], ["placed"]),
    ]
    model.graph.initializer.append(numpy_helper.from_array(np.ones(1, np.int64), "zeros"))
    model.graph.initializer.append(numpy_helper.from_array(np.array(0, np.int64), "axis"))
    gather, product = model.graph.node
    product.input[0] = "placed"
    del model.graph.node[:]
    model.graph.node.extend([gather, *cut, product])
    onnx.save(model, path)
    with pytest.raises(ModelError, match="fails on a batch of 1 text of 64 tokens"):
        load_encoder(folder)


# External data.


def test_a_model_trained_further_is_another_one_though_its_graph_is_the_same(folder: Path) -> None:
    graph = save_graph(folder / "model.onnx", location="model.onnx.data")
    before = load_encoder(folder)
    first, bytes_before = encoded(before), graph.read_bytes()
    (folder / "model.onnx.data").unlink()
    save_graph(graph, location="model.onnx.data", seed=4)
    assert graph.read_bytes() == bytes_before
    after = load_encoder(folder)
    assert after.spec.revision != before.spec.revision
    assert np.abs(encoded(after) - first).max() > 0.1
    assert_same(encoded(after), expected(seed=4), tolerance=1e-5)


def outside(folder: Path) -> None:
    (folder / "model.onnx.data").rename(folder.parent / "model.onnx.data")
    move_data(folder / "model.onnx", "../model.onnx.data")


def absolute(folder: Path) -> None:
    move_data(folder / "model.onnx", str(folder / "model.onnx.data"))


def through_a_link(folder: Path) -> None:
    (folder / "model.onnx.data").rename(folder.parent / "weights")
    (folder / "model.onnx.data").symlink_to(folder.parent / "weights")


def through_a_linked_folder(folder: Path) -> None:
    (folder.parent / "elsewhere").mkdir()
    (folder / "model.onnx.data").rename(folder.parent / "elsewhere" / "data")
    (folder / "inside").symlink_to(folder.parent / "elsewhere")
    move_data(folder / "model.onnx", "inside/data")


def up_and_down(folder: Path) -> None:
    move_data(folder / "model.onnx", f"../{folder.name}/model.onnx.data")


def backslashes(folder: Path) -> None:
    move_data(folder / "model.onnx", "..\\model.onnx.data")


@pytest.mark.parametrize(
    ("move", "sentence"),
    [
        (outside, OUTSIDE),
        (absolute, OUTSIDE),
        (through_a_link, OUTSIDE),
        (through_a_linked_folder, OUTSIDE),
        (up_and_down, OUTSIDE),
        (backslashes, OUTSIDE),
        (lambda folder: (folder / "model.onnx.data").unlink(), "which does not exist"),
        (
            lambda folder: (folder / "model.onnx.data").write_bytes(b"short"),
            "ends within the weights of 'table'",
        ),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_data_outside_the_models_folder_is_refused(
    folder: Path, move: Callable[[Path], Any], sentence: str
) -> None:
    save_graph(folder / "model.onnx", location="model.onnx.data")
    move(folder)
    with pytest.raises(ModelError, match=re.escape(sentence)):
        load_encoder(folder)


def test_an_exported_folder_has_its_data_inside_as_well(folder: Path, tmp_path: Path) -> None:
    from splade_connectors.encoders.export.onnx_graph import convert
    from splade_connectors.encoders.spec import read_folder

    save_graph(folder / "model.onnx")
    exported = tmp_path / "exported"
    source = read_folder(folder)
    convert(source, source.spec, exported)
    assert_same(encoded(load_encoder(exported)), expected(), tolerance=1e-5)
    save_graph(folder / "model.onnx", seed=4)
    convert(read_folder(folder), source.spec, tmp_path / "other")
    shutil.copy(tmp_path / "other" / "model.onnx", exported)
    with pytest.raises(ModelError, match=r"model.onnx does not match splade_connectors.json"):
        load_encoder(exported)


@pytest.fixture
def hub(folder: Path, tmp_path: Path) -> Path:
    """The folder as the hub's cache has it: a snapshot of links to blobs."""
    save_graph(folder / "onnx" / "model.onnx", location="model.onnx_data")
    repository = tmp_path / "hub" / "models--somebody--a-model"
    snapshot = repository / "snapshots" / ("0123456789" * 4)
    (repository / "blobs").mkdir(parents=True)
    for number, path in enumerate(sorted(path for path in folder.rglob("*") if path.is_file())):
        blob = repository / "blobs" / f"{number:040}"
        shutil.move(path, blob)
        link = snapshot / path.relative_to(folder)
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(blob)
    return snapshot


def test_links_of_the_hubs_cache_are_followed_within_it(
    hub: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.snapshot_download", lambda *_, **__: str(hub))
    encoder = load_encoder("somebody/a-model")
    assert (encoder.spec.model, encoder.spec.revision) == ("somebody/a-model", hub.name)
    assert_same(encoded(encoder), expected(), tolerance=1e-5)
    assert_same(encoded(load_encoder(hub)), expected(), tolerance=1e-5)

    data = hub / "onnx" / "model.onnx_data"
    stolen = hub.parent.parent.parent / "secret"
    shutil.move(data.resolve(), stolen)
    data.unlink()
    data.symlink_to(stolen)
    with pytest.raises(ModelError, match=OUTSIDE):
        load_encoder("somebody/a-model")


def test_what_is_fetched_from_the_hub(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from fnmatch import fnmatch

    asked: list[list[str]] = []

    def fetch(model: str, *, allow_patterns: list[str], **_: Any) -> str:
        asked.append(allow_patterns)
        if len(asked) > 1:
            save_graph(folder / "onnx" / "model_quantized.onnx")
        return str(folder)

    monkeypatch.setattr("huggingface_hub.snapshot_download", fetch)
    assert_same(encoded(load_encoder("somebody/a-model")), expected(), tolerance=1e-5)
    wanted = ("onnx/model.onnx_data", "model.onnx.data", "model-00001-of-00002.safetensors")
    for name in (*wanted, "0_MLMTransformer/sentence_bert_config.json", "onnx/model.onnx"):
        assert any(fnmatch(name, pattern) for pattern in asked[0]), name
    for name in ("pytorch_model.bin", "modeling.py", "model.pt", "onnx/model_fp16.onnx"):
        assert not any(fnmatch(name, pattern) for pattern in asked[-1]), name


# While it runs.


def test_a_graph_that_fails_later_fails_in_a_sentence(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from splade_connectors.encoders.export import onnx_graph

    monkeypatch.setattr(onnx_graph, "_check_runs", lambda *_: None)
    save_graph(folder / "model.onnx", rows=40)
    encoder = load_encoder(folder)
    with pytest.raises(ModelError, match=r"model.onnx fails on a batch of 1 text of \d+ tokens: "):
        encoder.encode_documents(["oven"])


@pytest.mark.parametrize("content", [b"", b"\x00", b"\xff" * 100, b"no graph", b"\x08\x07" * 9])
def test_a_file_that_is_no_graph(folder: Path, content: bytes) -> None:
    (folder / "model.onnx").write_bytes(content)
    with pytest.raises(ModelError, match=r"theirs/model.onnx "):
        load_encoder(folder)


def test_a_token_beyond_the_head_is_found_at_load(folder: Path) -> None:
    save_graph(folder / "model.onnx")
    tokenizer = tokenizer_json()
    first = tokenizer["added_tokens"][0]
    tokenizer["added_tokens"].append(first | {"id": len(TERMS), "content": "[NEW]"})
    write(folder / "tokenizer.json", tokenizer)
    with pytest.raises(
        ModelError,
        match=rf"has '\[NEW\]' as token {len(TERMS)}, but the head of theirs has {len(TERMS)} ",
    ):
        load_encoder(folder, options=EncodeOptions(max_length=16))
    add(folder / "config.json", vocab_size=len(TERMS) + 8)
    save_graph(folder / "model.onnx", width=len(TERMS) + 8, rows=len(TERMS) + 8)
    assert len(load_encoder(folder).encode_documents(["a [NEW] one"])[0])
