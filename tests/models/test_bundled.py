"""The model that comes with the package."""

from __future__ import annotations

import importlib.util
import json
import shutil
import socket
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from splade_connectors import EncodeOptions, SparseEncoder, load_encoder
from splade_connectors.encoders.model_files import file_hash
from splade_connectors.encoders.places import BUNDLED
from splade_connectors.errors import ConfigurationError, ModelError
from tests.models.compare import assert_same, dense

ROOT = Path(__file__).parent.parent.parent
FOLDER = ROOT / "splade_connectors" / "models" / BUNDLED
SCRIPT = ROOT / "scripts" / "convert_bundled_model.py"

QUERY = "how do vaccines work"
TEXTS = [QUERY, "the heart", "", "bread is baked in an oven " * 80]


def top_terms(encoder: SparseEncoder, text: str, count: int) -> list[str]:
    vector = encoder.encode_queries([text])[0]
    return encoder.tokens(vector.indices[(-vector.values).argsort()[:count]])


def test_it_needs_no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        pytest.fail("the bundled model asked for the network")

    for name in ("connect", "connect_ex", "sendto"):
        monkeypatch.setattr(socket.socket, name, refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    assert len(load_encoder().encode_documents([QUERY])[0]) > 10


def test_it_has_a_name_too(encoder: SparseEncoder) -> None:
    assert load_encoder(BUNDLED).spec == load_encoder(FOLDER).spec == encoder.spec


def test_the_spec_says_what_lies_in_the_folder(encoder: SparseEncoder) -> None:
    spec = encoder.spec
    assert (spec.model, spec.vocabulary, spec.activation) == (BUNDLED, 30_522, "log1p")
    assert (spec.max_length, spec.long_text) == (256, "truncate")
    assert spec.tokenizer == file_hash(FOLDER / "tokenizer.json")


def test_a_query_has_the_expected_terms(encoder: SparseEncoder) -> None:
    assert top_terms(encoder, QUERY, 5) == ["work", "vaccine", "vaccines", "works", "movement"]


def test_a_query_expands_to_terms_that_it_does_not_have(encoder: SparseEncoder) -> None:
    own = encoder.own_terms(QUERY)
    assert encoder.tokens(sorted(own)) == ["do", "how", "work", "vaccines"]
    vector = encoder.encode_queries([QUERY])[0]
    assert set(vector.indices.tolist()) - own


def test_tokens_are_the_vocabularys_spelling(encoder: SparseEncoder) -> None:
    assert encoder.tokens([0, 101, 7632, 30_521, 99_999]) == [
        "[PAD]",
        "[CLS]",
        "hi",
        "##\uff5e",
        "[99999]",
    ]
    assert encoder.token_id("##\uff5e") == 30_521
    assert encoder.token_id("no such token") is None


def test_it_reads_up_to_512_tokens(encoder: SparseEncoder) -> None:
    text = "the bread and a cake of the day " * 50 + "how a volcano erupts"
    longer = load_encoder(options=EncodeOptions(max_length=512))
    volcano = longer.token_id("volcano")
    assert volcano in longer.encode_documents([text])[0].indices
    assert volcano not in encoder.encode_documents([text])[0].indices
    with pytest.raises(
        ModelError,
        match=r"max_length=513 exceeds the 512 token positions of splade-tiny; "
        r"long_text='passages' encodes longer texts",
    ):
        load_encoder(options=EncodeOptions(max_length=513))


def test_an_overlap_as_long_as_a_window_is_refused() -> None:
    options = EncodeOptions(max_length=32, long_text="passages", passage_overlap=30)
    with pytest.raises(
        ConfigurationError, match=r"passage_overlap=30 must be less than the 30 tokens of a passage"
    ):
        load_encoder(options=options)


@pytest.mark.parametrize(
    ("arguments", "error", "sentence"),
    [
        (
            {"engine": "tensorflow"},
            ConfigurationError,
            "engine must be 'int8', 'onnx' or 'torch', not 'tensorflow'",
        ),
        (
            {"model": "https://somewhere.example/model"},
            ConfigurationError,
            "this version has no encoder behind a URL; pass a folder or a Hugging Face id",
        ),
        (
            {"activation": "log1p_log1p"},
            ModelError,
            "the graph of splade-tiny has the activation 'log1p' built in; load the folder with "
            "the model's weights for 'log1p_log1p'",
        ),
        (
            {"model": "no-such-folder"},
            ModelError,
            "the model 'no-such-folder' does not exist: pass an",
        ),
        ({"model": "./no/folder"}, ModelError, "the model './no/folder' does not exist: pass an"),
        ({"model": Path("no/folder")}, ModelError, "the model 'no/folder' does not exist: pass an"),
    ],
)
def test_what_does_not_fit_is_one_sentence(
    arguments: dict[str, Any], error: type[Exception], sentence: str
) -> None:
    with pytest.raises(error) as caught:
        load_encoder(**arguments)
    assert str(caught.value).startswith(sentence)


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    return Path(shutil.copytree(FOLDER, tmp_path / "copied"))


def test_a_truncated_graph(copied: Path) -> None:
    graph = copied / "model.onnx"
    graph.write_bytes(graph.read_bytes()[:100_000])
    with pytest.raises(ModelError, match=r"copied/model.onnx cannot be read and may be trunc"):
        load_encoder(copied)


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("tokenizer.json", '{"version":', "copied/tokenizer.json cannot be read: "),
        ("tokenizer.json", None, "copied has no tokenizer.json; save it there with"),
        ("model.onnx", None, "copied has no model.onnx"),
        ("splade_connectors.json", "{", "copied/splade_connectors.json is not valid JSON: "),
        (
            "splade_connectors.json",
            "{}",
            "copied/splade_connectors.json is not an export record",
        ),
        ("splade_connectors.json", "[]", "copied/splade_connectors.json holds list, not a JSON"),
    ],
)
def test_a_broken_copy(copied: Path, name: str, content: str | None, sentence: str) -> None:
    (copied / name).unlink()
    if content is not None:
        (copied / name).write_text(content, encoding="utf-8")
    with pytest.raises(ModelError, match=sentence):
        load_encoder(copied)


def test_one_string_is_not_a_list_of_texts(encoder: SparseEncoder) -> None:
    with pytest.raises(ConfigurationError, match="expected a list of texts, got one string"):
        encoder.encode_queries("how do vaccines work")
    with pytest.raises(ConfigurationError, match="must be a string, not NoneType"):
        encoder.encode_documents(["a", None])  # type: ignore[list-item]
    assert len(encoder.encode_documents([])) == 0


def test_progress_reaches_the_end(encoder: SparseEncoder) -> None:
    seen: list[tuple[int, int | None]] = []
    texts = TEXTS * 50
    encoder.encode_documents(texts, on_progress=lambda step: seen.append((step.done, step.total)))
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)
    assert seen[-1] == (len(texts), len(texts))


@pytest.mark.models
def test_the_script_makes_the_same_model_again(
    encoder: SparseEncoder, weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reason = "pip install 'splade-connectors[test-models]'"
    for module in ("torch", "transformers", "onnx"):
        pytest.importorskip(module, reason=reason)
    script = _load(SCRIPT)
    # The script writes beside itself: let it stand elsewhere.
    monkeypatch.setattr(script, "__file__", str(tmp_path / "scripts" / SCRIPT.name))
    script.main(weights)
    made = tmp_path / "splade_connectors" / "models" / BUNDLED
    assert {path.name for path in made.iterdir()} == {path.name for path in FOLDER.iterdir()}
    again = load_encoder(made)
    assert again.spec == encoder.spec
    found = [dense(one.encode_documents(TEXTS), 30_522) for one in (encoder, again)]
    assert_same(*found, tolerance=1e-5)
    assert json.loads((made / "splade_connectors.json").read_text())["positions"] == 512


def _load(script: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(script.stem, script)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_device_that_is_not_there() -> None:
    pytest.importorskip("torch", reason="pip install 'splade-connectors[test-models]'")
    with pytest.raises(ConfigurationError, match=r"^device[ =]'cuda:99' "):
        load_encoder(device="cuda:99")
