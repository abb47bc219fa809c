"""JSON files of model folders with values of other types: one sentence each, never a traceback."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from splade_connectors import load_encoder
from splade_connectors.encoders.model_files import revision_of
from splade_connectors.encoders.spec import read_folder
from splade_connectors.errors import ModelError
from tests.models.small import (
    PACKAGE,
    TERMS,
    add,
    config_json,
    sentence_transformers_layout,
    tokenizer_json,
    write,
)

BUNDLED = Path(__file__).parent.parent.parent / "splade_connectors" / "models" / "splade-tiny"
WRONG: list[Any] = ["x", [], [1], {}, {"a": 1}, True, False, 1.5, -1, 0, float("nan")]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Everything but weights that mean something."""
    made = tmp_path / "theirs"
    write(made / "config.json", config_json())
    write(made / "tokenizer.json", tokenizer_json())
    write(made / "tokenizer_config.json", {"tokenizer_class": "BertTokenizer"})
    (made / "model.safetensors").write_bytes(b"weights")
    return made


def entries() -> Iterator[tuple[str, str, Any]]:
    """File, entry and value: every entry that is read, with every value of another type."""
    numbers = {
        "config.json": ["vocab_size", "max_position_embeddings"],
        "tokenizer_config.json": ["model_max_length"],
        "sentence_bert_config.json": ["max_seq_length", "query_length", "document_length"],
        "config_sentence_transformers.json": ["max_active_dims"],
    }
    texts = {
        "config.json": ["model_type"],
        "tokenizer_config.json": ["tokenizer_class", "truncation_side", "padding_side"],
        "sentence_bert_config.json": ["transformer_task", "module_output_name"],
        "config_sentence_transformers.json": ["similarity_fn_name", "model_type"],
        "1_SpladePooling/config.json": ["pooling_strategy", "activation_function"],
    }
    flags = {
        "tokenizer_config.json": ["do_lower_case", "strip_accents", "tokenize_chinese_chars"],
        "sentence_bert_config.json": ["do_lower_case"],
    }
    for file, names in numbers.items():
        yield from ((file, name, value) for name in names for value in WRONG)
    for file, names in texts.items():
        yield from ((file, name, value) for name in names for value in WRONG if value != "x")
    for file, names in flags.items():
        wrong = [value for value in WRONG if not isinstance(value, bool)]
        yield from ((file, name, value) for name in names for value in wrong)
    objects = [value for value in WRONG if not isinstance(value, dict)]
    yield from (("config_sentence_transformers.json", "prompts", value) for value in objects)
    yield from (("tokenizer_config.json", "added_tokens_decoder", value) for value in objects)
    lists = [value for value in WRONG if not isinstance(value, list)]
    yield from (("config.json", "architectures", value) for value in lists)


@pytest.mark.parametrize(("file", "name", "value"), list(entries()), ids=str)
def test_an_entry_of_another_type_is_named(folder: Path, file: str, name: str, value: Any) -> None:
    sentence_transformers_layout(folder)
    add(folder / file, **{name: value})
    with pytest.raises(ModelError) as caught:
        read_folder(folder)
    assert re.search(
        rf"{name}|{re.escape(Path(file).name)}|model_type|a .* without a head", str(caught.value)
    )
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", ["", "{", "[1]", "3", "null", '"x"', "[" * 100_000, "\x00"])
@pytest.mark.parametrize(
    "file",
    [
        "config.json",
        "tokenizer_config.json",
        "special_tokens_map.json",
        "added_tokens.json",
        "sentence_bert_config.json",
        "config_sentence_transformers.json",
        "1_SpladePooling/config.json",
        "modules.json",
    ],
)
def test_a_file_that_is_no_json_object(folder: Path, file: str, content: str) -> None:
    sentence_transformers_layout(folder)
    (folder / file).write_text(content, encoding="utf-8")
    with pytest.raises(ModelError, match=re.escape(Path(file).name)):
        read_folder(folder)


def test_bytes_that_are_no_text(folder: Path) -> None:
    (folder / "config.json").write_bytes(b"\xff\xfe{")
    with pytest.raises(ModelError, match=r"config.json is not valid JSON: 'utf-8'"):
        read_folder(folder)


def test_a_folder_in_the_place_of_a_file(folder: Path) -> None:
    (folder / "config.json").unlink()
    (folder / "config.json").mkdir()
    with pytest.raises(ModelError, match=r"config.json cannot be read: Is a directory"):
        read_folder(folder)


@pytest.mark.parametrize(
    ("prompt", "value"), [("query", 3), ("query", ["x"]), ("document", {"a": 1}), ("query", True)]
)
def test_a_prompt_that_is_no_text(folder: Path, prompt: str, value: Any) -> None:
    sentence_transformers_layout(folder)
    add(folder / "config_sentence_transformers.json", prompts={prompt: value})
    with pytest.raises(ModelError, match=rf"prompts has {prompt} .*, not a string"):
        read_folder(folder)


@pytest.mark.parametrize("value", [[1], "x", [{"type": 1}], [None], {"type": "x"}, [[]]])
def test_modules_of_another_shape(folder: Path, value: Any) -> None:
    write(folder / "modules.json", value)
    with pytest.raises(
        ModelError, match=r"modules.json is not a list of modules with type and path"
    ):
        read_folder(folder)


@pytest.mark.parametrize(
    "kinds", [[], ["SpladePooling", "Router"], ["SpladePooling"], ["SparseStaticEmbedding"]]
)
def test_other_modules_are_named(folder: Path, kinds: list[str]) -> None:
    modules = [{"path": "", "type": f"{PACKAGE}.{kind}"} for kind in kinds]
    write(folder / "modules.json", modules)
    with pytest.raises(ModelError, match=r"not a SPLADE model|has a Router after"):
        read_folder(folder)


@pytest.mark.parametrize("section", ["types", "structure", "parameters"])
@pytest.mark.parametrize("value", [3, "x", [1]])
def test_a_router_of_another_shape(folder: Path, section: str, value: Any) -> None:
    write(folder / "modules.json", [{"path": "", "type": f"{PACKAGE}.Router"}])
    write(folder / "router_config.json", {"types": {"a": "x.MLMTransformer"}} | {section: value})
    with pytest.raises(ModelError, match=rf"router_config.json has {section} .*, not a JSON obj"):
        read_folder(folder)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"structure": {"text": ["a"]}}, r"has the routes text; it needs a route 'document' and a"),
        ({"structure": {}}, r"has the routes none; it needs a route 'document'"),
        ({"structure": {"document": ["b"]}}, r"router_config.json has no type for the module 'b'"),
        ({"structure": {"document": 3}}, r"has document 3, not a list of strings"),
        ({"parameters": {"route_mappings": {"x": "y"}}}, r"has route_mappings .*not supported"),
        ({"types": {"../a": "x.Y"}, "structure": {"document": ["../a"]}}, r"'../a', which is out"),
        ({"more": 1}, r"router_config.json has more 1, which is not supported"),
    ],
    ids=str,
)
def test_routes_that_are_not_known(folder: Path, changes: dict[str, Any], sentence: str) -> None:
    write(folder / "modules.json", [{"path": "", "type": f"{PACKAGE}.Router"}])
    routes = {"types": {"a": "x.MLMTransformer"}, "structure": {"document": ["a"]}}
    write(folder / "router_config.json", routes | changes)
    with pytest.raises(ModelError, match=sentence):
        read_folder(folder)


# Weights.


@pytest.mark.parametrize(
    ("index", "sentence"),
    [
        ({"weight_map": 3}, "has weight_map 3, not a JSON object"),
        ({"weight_map": {"a": "../secret.safetensors"}}, "outside its folder"),
        ({"weight_map": {"a": "/etc/passwd"}}, "outside its folder"),
        ({"weight_map": {"a": "model-9.safetensors"}}, "has no model-9.safetensors, which model."),
    ],
)
def test_an_index_of_shards(folder: Path, index: Any, sentence: str) -> None:
    (folder / "model.safetensors").unlink()
    write(folder / "model.safetensors.index.json", index)
    with pytest.raises(ModelError, match=re.escape(sentence)):
        read_folder(folder)


@pytest.mark.parametrize(
    "change",
    [
        lambda folder: (folder / "model.safetensors").write_bytes(b"others!"),
        lambda folder: add(folder / "config.json", hidden_act="relu"),
        lambda folder: add(folder / "tokenizer_config.json", do_lower_case=False),
        lambda folder: write(folder / "added_tokens.json", {"oven": TERMS.index("oven")}),
        lambda folder: write(folder / "special_tokens_map.json", {"mask_token": "[PAD]"}),
        lambda folder: write(folder / "tokenizer.json", tokenizer_json(normalizer=None)),
        lambda folder: (
            (folder / "model.safetensors").rename(folder / "model-1.safetensors")
            and write(
                folder / "model.safetensors.index.json",
                {"weight_map": {"a": "model-1.safetensors"}},
            )
        ),
    ],
)
def test_what_changes_the_numbers_changes_the_revision(folder: Path, change: Any) -> None:
    before = revision_of(folder, folder)
    assert len(before) == 16
    change(folder)
    assert revision_of(folder, folder) != before


def test_the_revision_does_not_depend_on_the_folders_name(folder: Path) -> None:
    before = revision_of(folder, folder)
    moved = folder.rename(folder.with_name("ours"))
    assert revision_of(moved, moved) == before


# Our own record.


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("vocabulary", value) for value in ("30522", None, -1, [], True)),
        *(("max_length", value) for value in ("256", 0, {}, 2.5)),
        *(("activation", value) for value in ("relu", 3, ["log1p"])),
        *(("long_text", value) for value in ("windows", 1)),
        *(("passage_overlap", value) for value in (-1, "x")),
        *(("model", value) for value in (3, None, ["x"])),
        *(("revision", value) for value in (3, None)),
        *(("truncation_side", value) for value in ("up", 1)),
        *(("query_prompt", value) for value in (1, ["x"])),
        *(("max_active_dims", value) for value in ("x", -3)),
    ],
)
def test_a_record_of_other_types(tmp_path: Path, name: str, value: Any) -> None:
    record = json.loads((BUNDLED / "splade_connectors.json").read_text())
    record["spec"][name] = value
    write(tmp_path / "splade_connectors.json", record)
    write(tmp_path / "tokenizer.json", tokenizer_json())
    with pytest.raises(ModelError, match=rf"splade_connectors.json.*{name}"):
        load_encoder(tmp_path)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"spec": 3}, "has spec 3, not a JSON object"),
        ({"positions": "x"}, "has positions 'x', not a whole number of at least 1"),
        ({"files": ["x"]}, "has files ['x'], not a JSON object"),
        ({"files": {"model.onnx": 3}}, "files has model.onnx 3, not a string"),
    ],
)
def test_a_record_of_another_shape(tmp_path: Path, changes: Any, sentence: str) -> None:
    record = json.loads((BUNDLED / "splade_connectors.json").read_text())
    write(tmp_path / "splade_connectors.json", record | changes)
    for name in ("tokenizer.json", "model.onnx"):
        (tmp_path / name).symlink_to(BUNDLED / name)
    with pytest.raises(ModelError, match=re.escape(sentence)):
        load_encoder(tmp_path)
