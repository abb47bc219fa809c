"""Models of other people: every layout that is read, and a sentence for every one that is not."""

from __future__ import annotations

import json
import re
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import splade_connectors
from splade_connectors import EncodeOptions, SparseEncoder, load_encoder
from splade_connectors.encoders.export import onnx_graph as converting
from splade_connectors.errors import ConfigurationError, ModelError
from tests.models.compare import Dense, assert_same, dense
from tests.models.folders import (
    POSITIONS,
    VOCABULARY,
    export_logits,
    random_model,
    save,
    sentence_transformers_layout,
    write_json,
)

_INSTALL = "pip install 'splade-connectors[test-models]'"
torch = pytest.importorskip("torch", reason=_INSTALL)
transformers = pytest.importorskip("transformers", reason=_INSTALL)
pytest.importorskip("onnx", reason=_INSTALL)

pytestmark = pytest.mark.models

TEXTS = ["how do vaccines work", "heart", "", "bread is baked in an oven " * 40]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of the test's own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "splade-connectors" / "models"


@pytest.fixture
def bert(tmp_path: Path) -> Path:
    return save(tmp_path / "tiny", random_model())


def encoded(encoder: SparseEncoder) -> Dense:
    return dense(encoder.encode_documents(TEXTS), VOCABULARY)


def by_hand(model: Any, encoder: SparseEncoder, logs: int = 1) -> Dense:
    """The definition, text by text: max over tokens of log(1 + relu(logit)), once or twice."""
    rows = []
    for text in TEXTS:
        ids = encoder._texts._tokenizer.encode(text).ids  # type: ignore[attr-defined]
        longest = encoder.spec.max_length
        ids = torch.tensor([ids if len(ids) <= longest else [*ids[: longest - 1], ids[-1]]])
        with torch.inference_mode():
            weights = torch.relu(model(input_ids=ids).logits[0])
        for _ in range(logs):
            weights = torch.log1p(weights)
        rows.append(weights.amax(dim=0).numpy())
    return np.stack(rows)


# Folders that are read.


@pytest.mark.parametrize(
    "kind",
    [
        "BertForMaskedLM",
        "DistilBertForMaskedLM",
        "RobertaForMaskedLM",
        "MPNetForMaskedLM",
        "ElectraForMaskedLM",
    ],
)
def test_a_folder_equals_the_definition_in_both_engines(tmp_path: Path, kind: str) -> None:
    model = random_model(kind)
    folder = save(tmp_path / "tiny", model)
    onnx = load_encoder(folder)
    expected = by_hand(model, onnx)
    assert onnx.spec.max_length == POSITIONS
    assert_same(encoded(onnx), expected)
    assert_same(encoded(load_encoder(folder, engine="torch", device="cpu")), expected)


def test_a_folder_is_converted_once(
    bert: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = encoded(load_encoder(bert))
    assert len(list(cache.iterdir())) == 1
    monkeypatch.setattr(converting, "convert", lambda *_: pytest.fail("converted again"))
    assert_same(encoded(load_encoder(bert)), first, tolerance=0)


def test_a_changed_folder_is_converted_again(bert: Path) -> None:
    before = encoded(load_encoder(bert))
    config = json.loads((bert / "config.json").read_text())
    write_json(bert / "config.json", config | {"hidden_act": "relu"})
    after = encoded(load_encoder(bert))
    assert np.abs(after - before).max() > 1e-3
    assert_same(after, encoded(load_encoder(bert, engine="torch", device="cpu")))


def test_the_tokenizer_is_the_folders_own_not_the_converted_ones(bert: Path) -> None:
    before = load_encoder(bert)
    assert before.own_terms("Heart") == before.own_terms("heart")
    settings = json.loads((bert / "tokenizer.json").read_text())
    settings["normalizer"]["lowercase"] = False
    write_json(bert / "tokenizer.json", settings)
    after = load_encoder(bert)
    assert after.own_terms("Heart") != after.own_terms("heart")
    assert after.spec.tokenizer != before.spec.tokenizer


def test_a_failed_conversion_leaves_nothing(
    bert: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(converting, "_check_equal", fail)
        with pytest.raises(KeyboardInterrupt):
            load_encoder(bert)
    assert list(cache.iterdir()) == []
    load_encoder(bert)


def test_another_process_that_was_faster_is_no_error(
    bert: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both convert; the other one's folder appears just before ours would."""
    rename = Path.rename

    def late(source: Path, target: Path) -> Path:
        shutil.copytree(source, target)
        return rename(source, target)

    monkeypatch.setattr(Path, "rename", late)
    encoder = load_encoder(bert)
    assert len(encoder.encode_queries(["heart"])[0])
    assert [path.suffix for path in cache.iterdir()] == [""]


@pytest.mark.parametrize("opset", [11, 12, 13, 17, 18])
def test_a_graph_with_logits_gets_the_pooling(tmp_path: Path, opset: int) -> None:
    model = random_model()
    folder = save(tmp_path / "tiny", model)
    (folder / "onnx").mkdir()
    export_logits(model, folder / "onnx" / "model.onnx", opset)
    assert_same(
        encoded(load_encoder(folder)), encoded(load_encoder(folder, engine="torch", device="cpu"))
    )


def test_a_graph_with_logits_needs_no_weights(tmp_path: Path) -> None:
    model = random_model()
    folder = save(tmp_path / "tiny", model)
    expected = encoded(load_encoder(folder))
    export_logits(model, folder / "model.onnx")
    (folder / "model.safetensors").unlink()
    assert_same(encoded(load_encoder(folder)), expected)


def test_a_graph_in_half_precision_pools_in_single(tmp_path: Path) -> None:
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    folder = save(tmp_path / "tiny", random_model())
    (folder / "model.safetensors").unlink()
    table = np.random.default_rng(3).normal(size=(VOCABULARY, 8)).astype(np.float16)
    nodes = [
        helper.make_node("Gather", ["table", "input_ids"], ["hidden"]),
        helper.make_node("MatMul", ["hidden", "head"], ["logits"]),
    ]
    head = numpy_helper.from_array(np.ascontiguousarray(table.T), "head")
    graph = helper.make_graph(
        nodes,
        "half",
        [
            helper.make_tensor_value_info(name, TensorProto.INT64, ["batch", "tokens"])
            for name in ("input_ids", "attention_mask")
        ],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT16, ["batch", "tokens", None])],
        [numpy_helper.from_array(table, "table"), head],
    )
    opset = helper.make_opsetid("", 17)
    onnx.save(helper.make_model(graph, opset_imports=[opset], ir_version=8), folder / "model.onnx")
    vectors = load_encoder(folder).encode_documents(["the heart of the volcano", "heart"])
    assert all(len(vector) for vector in vectors)


@pytest.mark.parametrize("first", ["MLMTransformer", "Transformer"])
@pytest.mark.parametrize("engine", ["onnx", "torch"])
def test_the_log_is_applied_twice_where_the_folder_says_so(
    tmp_path: Path, first: str, engine: Any
) -> None:
    model = random_model()
    folder = save(tmp_path / "tiny", model)
    sentence_transformers_layout(folder, first, activation_function="log1p_relu")
    encoder = load_encoder(folder, engine=engine)
    assert encoder.spec.activation == "log1p_log1p"
    assert_same(encoded(encoder), by_hand(model, encoder, logs=2))


@pytest.mark.parametrize("engine", ["onnx", "torch"])
def test_the_activation_can_be_chosen(tmp_path: Path, engine: Any) -> None:
    model = random_model()
    folder = save(tmp_path / "tiny", model)
    once = load_encoder(folder, engine=engine)
    twice = load_encoder(folder, engine=engine, activation="log1p_log1p")
    assert (once.spec.activation, twice.spec.activation) == ("log1p", "log1p_log1p")
    assert_same(encoded(once), by_hand(model, once))
    assert_same(encoded(twice), by_hand(model, twice, logs=2))

    sentence_transformers_layout(folder, activation_function="log1p_relu")
    assert_same(encoded(load_encoder(folder, engine=engine, activation="log1p")), encoded(once))


def test_a_graph_with_logits_applies_the_log_twice(tmp_path: Path) -> None:
    model = random_model()
    folder = save(tmp_path / "tiny", model)
    export_logits(model, folder / "onnx" / "model.onnx")
    encoder = load_encoder(folder, activation="log1p_log1p")
    assert_same(encoded(encoder), by_hand(model, encoder, logs=2))


@pytest.mark.parametrize("activation", ["relu", "log1p_relu"])
def test_what_sentence_transformers_saves_is_read(tmp_path: Path, activation: str) -> None:
    sentence_transformers = pytest.importorskip("sentence_transformers", reason=_INSTALL)
    modules = sentence_transformers.sparse_encoder.modules
    source = save(tmp_path / "source", random_model())
    head = modules.Transformer(str(source), transformer_task="fill-mask")
    pooling = modules.SpladePooling("max", activation_function=activation)
    peer = sentence_transformers.SparseEncoder(modules=[head, pooling], device="cpu")
    peer.max_seq_length = 40
    peer.save_pretrained(str(tmp_path / "saved"))

    encoder = load_encoder(tmp_path / "saved")
    assert encoder.spec.max_length == 40
    expected = peer.encode(TEXTS, show_progress_bar=False).to_dense().numpy()
    assert_same(encoded(encoder), expected)


def test_the_shortest_of_the_lengths_counts(tmp_path: Path) -> None:
    folder = save(tmp_path / "tiny", random_model())
    assert load_encoder(folder).spec.max_length == POSITIONS
    save(folder, random_model(), model_max_length=64)
    assert load_encoder(folder).spec.max_length == 64
    sentence_transformers_layout(folder)
    assert load_encoder(folder).spec.max_length == 64
    write_json(folder / "sentence_bert_config.json", {"max_seq_length": 48, "do_lower_case": False})
    assert load_encoder(folder).spec.max_length == 48
    write_json(folder / "sentence_bert_config.json", {"max_seq_length": None})
    assert load_encoder(folder).spec.max_length == 64


@pytest.mark.parametrize("engine", ["onnx", "torch"])
def test_the_length_can_be_chosen_up_to_the_models_positions(tmp_path: Path, engine: Any) -> None:
    folder = save(tmp_path / "tiny", random_model(), model_max_length=64)
    for length in (16, POSITIONS):
        options = EncodeOptions(max_length=length)
        encoder = load_encoder(folder, engine=engine, options=options)
        assert encoder.spec.max_length == length
        encoded(encoder)
    with pytest.raises(ModelError, match=r"max_length=97 exceeds the 96 token positions of tiny"):
        load_encoder(folder, engine=engine, options=EncodeOptions(max_length=97))


def test_sharded_weights_are_read_and_told_apart(tmp_path: Path) -> None:
    model = random_model()
    folder = save(tmp_path / "tiny", model)
    expected = encoded(load_encoder(folder))
    (folder / "model.safetensors").unlink()
    model.save_pretrained(folder, max_shard_size="1MB")
    assert len(list(folder.glob("model-*.safetensors"))) > 1
    first = load_encoder(folder)
    assert_same(encoded(first), expected)

    with torch.no_grad():
        model.cls.predictions.bias += 1  # trained on: the index of the shards stays the same
    model.save_pretrained(folder, max_shard_size="1MB")
    second = load_encoder(folder)
    assert second.spec.revision != first.spec.revision
    assert np.abs(encoded(second) - expected).max() > 0.1


# What is refused: one sentence each.


def without_head(folder: Path) -> None:
    save(folder, random_model("BertModel"))


def dense_layout(folder: Path) -> None:
    save(folder, random_model("BertModel"))
    package = "sentence_transformers.models"
    modules = [
        {"idx": 0, "name": "0", "path": "", "type": f"{package}.Transformer"},
        {"idx": 1, "name": "1", "path": "1_Pooling", "type": f"{package}.Pooling"},
    ]
    write_json(folder / "modules.json", modules)


def router_without_routes(folder: Path) -> None:
    save(folder / "document_0_MLMTransformer", random_model())
    kind = "sentence_transformers.models.Router"
    write_json(folder / "modules.json", [{"idx": 0, "name": "0", "path": "", "type": kind}])


def summing(folder: Path) -> None:
    save(folder, random_model())
    sentence_transformers_layout(folder, pooling_strategy="sum")


def unknown_activation(folder: Path) -> None:
    save(folder, random_model())
    sentence_transformers_layout(folder, activation_function="gelu")


def without_tokenizer(folder: Path) -> None:
    (save(folder, random_model()) / "tokenizer.json").unlink()


def broken_tokenizer(folder: Path) -> None:
    (save(folder, random_model()) / "tokenizer.json").write_text('{"version": "1.0", ')


def broken_config(folder: Path) -> None:
    (save(folder, random_model()) / "config.json").write_text('{"vocab_size": ')


def config_of_another_shape(folder: Path) -> None:
    write_json(save(folder, random_model()) / "config.json", [1])


def without_config(folder: Path) -> None:
    (save(folder, random_model()) / "config.json").unlink()


def broken_modules(folder: Path) -> None:
    write_json(save(folder, random_model()) / "modules.json", [{"idx": 0}])


def truncated_weights(folder: Path) -> None:
    weights = save(folder, random_model()) / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:100_000])


def incomplete_weights(folder: Path) -> None:
    from safetensors.torch import load_file, save_file

    weights = save(folder, random_model()) / "model.safetensors"
    kept = {name: tensor for name, tensor in load_file(weights).items() if "layer.1" not in name}
    save_file(kept, weights, metadata={"format": "pt"})


def truncated_graph(folder: Path) -> None:
    model = random_model()
    graph = save(folder, model) / "onnx" / "model.onnx"
    export_logits(model, graph)
    graph.write_bytes(graph.read_bytes()[:100_000])


def graph_without_logits(folder: Path) -> None:
    import onnx

    model = random_model()
    graph = save(folder, model) / "model.onnx"
    export_logits(model, graph)
    loaded = onnx.load(graph)
    loaded.graph.output[0].type.tensor_type.shape.ClearField("dim")
    onnx.save(loaded, graph)
    (folder / "model.safetensors").unlink()


def pickled_weights(folder: Path) -> None:
    (save(folder, random_model()) / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(b"\x80\x04K\x01.")


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (without_head, "theirs is BertModel, not a masked-language model (…ForMaskedLM)"),
        (dense_layout, "theirs is a sentence-transformers model of Transformer + Pooling, not a"),
        (router_without_routes, "theirs has no router_config.json"),
        (summing, "theirs pools by 'sum'; only 'max', the maximum over tokens, is supported"),
        (unknown_activation, "theirs has the activation 'gelu'; supported are relu, log1p_relu"),
        (without_tokenizer, "theirs has no tokenizer.json; save it there with AutoTokenizer"),
        (broken_tokenizer, "theirs/tokenizer.json cannot be read: EOF while parsing"),
        (broken_config, "theirs/config.json is not valid JSON: Expecting value"),
        (config_of_another_shape, "theirs/config.json holds list, not a JSON object"),
        (without_config, "theirs has no config.json"),
        (broken_modules, "theirs/modules.json is not a list of modules with type and path"),
        (truncated_weights, "theirs cannot be loaded: Error while deserializing header"),
        (incomplete_weights, "lack 16 tensors of the model, for example bert.encoder.layer.1."),
        (pickled_weights, "pickled weights such as pytorch_model.bin are not read"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
@pytest.mark.parametrize("engine", ["onnx", "torch"])
def test_a_folder_that_is_not_read_is_named_with_the_reason(
    tmp_path: Path, cache: Path, make: Callable[[Path], None], sentence: str, engine: Any
) -> None:
    make(tmp_path / "theirs")
    with pytest.raises(ModelError, match=re.escape(sentence)) as caught:
        load_encoder(tmp_path / "theirs", engine=engine)
    assert "\n" not in str(caught.value)
    if make is not broken_tokenizer:
        assert not cache.exists() or list(cache.iterdir()) == []


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (truncated_graph, "theirs/onnx/model.onnx cannot be read"),
        (graph_without_logits, "theirs/model.onnx has no output 'logits' of rank 3"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_graph_that_is_not_read_is_named_with_the_reason(
    tmp_path: Path, make: Callable[[Path], None], sentence: str
) -> None:
    make(tmp_path / "theirs")
    with pytest.raises(ModelError, match=re.escape(sentence)):
        load_encoder(tmp_path / "theirs")


def test_a_hub_model_without_network_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    begun = time.monotonic()
    with pytest.raises(
        ModelError, match=r"^nobody/no-model could not be downloaded from the Hugging Face hub \("
    ) as caught:
        load_encoder("nobody/no-model")
    assert "\n" not in str(caught.value)
    assert "download it elsewhere and pass the folder" in str(caught.value)
    assert time.monotonic() - begun < 5


def test_an_error_of_the_hub_without_words_is_told_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*_: Any, **__: Any) -> str:
        raise TimeoutError

    monkeypatch.setattr("huggingface_hub.snapshot_download", fail)
    with pytest.raises(ModelError, match=r"nobody/no-model could not be downloaded .*TimeoutError"):
        load_encoder("nobody/no-model")


def test_a_hub_model_has_its_id_and_commit(bert: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: dict[str, Any] = {}

    def fetch(model: str, **options: Any) -> str:
        asked.update(options, model=model)
        commit = bert.with_name("0123abcd")
        bert.rename(commit)
        return str(commit)

    monkeypatch.setattr("huggingface_hub.snapshot_download", fetch)
    encoder = load_encoder("somebody/some-model", revision="v1")
    assert (encoder.spec.model, encoder.spec.revision) == ("somebody/some-model", "0123abcd")
    assert (asked["model"], asked["revision"]) == ("somebody/some-model", "v1")
    assert not any(name.endswith((".bin", ".py", ".pt")) for name in asked["allow_patterns"])


def test_a_hub_model_of_pickles_is_refused(bert: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (bert / "model.safetensors").unlink()  # what is left when pickles are not fetched
    monkeypatch.setattr("huggingface_hub.snapshot_download", lambda *_, **__: str(bert))
    with pytest.raises(ModelError, match=r"pickled weights such as pytorch_model.bin are not read"):
        load_encoder("somebody/some-model")


@pytest.mark.parametrize("device", ["banana", "meta", "cuda:77"])
def test_a_device_that_is_not_there(bert: Path, device: str) -> None:
    with pytest.raises(ConfigurationError, match=f"^device[ =]'{device}' "):
        load_encoder(bert, engine="torch", device=device)


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without CUDA")
def test_cuda_without_cuda(bert: Path) -> None:
    with pytest.raises(
        ConfigurationError, match="device='cuda' needs a CUDA device, but torch sees none"
    ):
        load_encoder(bert, engine="torch", device="cuda")


def test_no_code_of_others_is_run_and_nothing_is_unpickled() -> None:
    package = Path(splade_connectors.__file__).parent
    sources = [*package.rglob("*.py"), *(package.parent / "adapters").rglob("*.py")]
    assert len(sources) > 30
    forbidden = re.compile(r"trust_remote_code\s*=\s*True|torch\.load\b|\bpickle\.loads?\b")
    assert [path for path in sources if forbidden.search(path.read_text(encoding="utf-8"))] == []
    # Said where models are loaded, so that a changed default of the library changes nothing.
    loading = (package / "encoders" / "export" / "pooled.py").read_text(encoding="utf-8")
    assert "trust_remote_code=False" in loading
    assert "use_safetensors=True" in loading
