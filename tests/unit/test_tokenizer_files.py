"""Tokenizers of other people: their settings, and files that make the library panic."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from splade_connectors.encoders.text_tokens import TextTokens
from splade_connectors.encoders.tokenizer_settings import as_model_error, read_tokenizer
from splade_connectors.errors import ModelError
from tests.models.small import TERMS, config_json, tokenizer_json, write

AS_IT_IS = {"tokenizer_class": "TokenizersBackend"}


def folder_of(tmp_path: Path, tokenizer: dict[str, Any], **files: dict[str, Any]) -> Path:
    write(tmp_path / "tokenizer.json", tokenizer)
    write(tmp_path / "config.json", files.pop("config", config_json()))
    for name, content in files.items():
        write(tmp_path / f"{name}.json", content)
    return tmp_path


def tokens(folder: Path, text: str, *, lowercase: bool = False) -> list[str]:
    found: list[str] = read_tokenizer(folder, lowercase=lowercase).tokenizer.encode(text).tokens
    return found


@pytest.mark.parametrize(
    ("settings", "text", "expected"),
    [
        ({}, "How ÉVÉN", "[CLS] how even [SEP]"),
        ({"do_lower_case": False}, "How", "[CLS] How [SEP]"),
        ({"do_lower_case": False, "strip_accents": False}, "café", "[CLS] café [SEP]"),
        ({"do_lower_case": False, "strip_accents": True}, "café", "[CLS] cafe [SEP]"),
        ({"tokenize_chinese_chars": True}, "疫苗", "[CLS] 疫 苗 [SEP]"),
        ({"tokenize_chinese_chars": False}, "疫苗", "[CLS] [UNK] [SEP]"),
        ({"cls_token": "how"}, "two", "how two [SEP]"),
        ({"sep_token": {"content": "how", "special": True}}, "two", "[CLS] two how"),
        ({"additional_special_tokens": ["oven"]}, "ovenoven", "[CLS] oven oven [SEP]"),
        ({"extra_special_tokens": {"query_token": "oven"}}, "ovenoven", "[CLS] oven oven [SEP]"),
        ({"query_token": "oven"}, "ovenoven", "[CLS] oven oven [SEP]"),
        (AS_IT_IS | {"do_lower_case": False}, "How", "[CLS] how [SEP]"),
    ],
    ids=str,
)
def test_settings_are_done(
    tmp_path: Path, settings: dict[str, Any], text: str, expected: str
) -> None:
    folder = folder_of(tmp_path, tokenizer_json(), tokenizer_config=settings)
    assert tokens(folder, text) == expected.split()


def test_lower_case_of_sentence_transformers_comes_first(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, tokenizer_json(), tokenizer_config={"do_lower_case": False})
    assert tokens(folder, "How", lowercase=True) == ["[CLS]", "how", "[SEP]"]


def test_a_cased_tokenizer_json_under_a_class_that_lowers(tmp_path: Path) -> None:
    """As transformers does it: the class decides, unless it is that of tokenizer.json as it is."""
    cased = tokenizer_json()
    cased["normalizer"]["lowercase"] = False
    assert tokens(folder_of(tmp_path, cased), "How") == ["[CLS]", "how", "[SEP]"]
    folder = folder_of(tmp_path, cased, tokenizer_config=AS_IT_IS)
    assert tokens(folder, "How") == ["[CLS]", "How", "[SEP]"]


OVEN = {"id": TERMS.index("oven"), "content": "oven"}
FLAGS = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False}


@pytest.mark.parametrize(
    ("files", "sentence"),
    [
        (
            {"added_tokens": {"oven": 3}},
            "added_tokens.json has 'oven' as token 3, but tokenizer.json",
        ),
        ({"added_tokens": {"[NEW]": 999}}, "has '[NEW]' as token 999, but tokenizer.json as No"),
        (
            {"tokenizer_config": {"added_tokens_decoder": {"3": {"content": "oven"}}}},
            "has 'oven' as token 3, but tokenizer.json as",
        ),
        (
            {"tokenizer_config": {"added_tokens_decoder": {"x": {"content": "oven"}}}},
            "has 'oven' as token x, but tokenizer.json as",
        ),
        (
            {"tokenizer_config": {"added_tokens_decoder": {str(OVEN["id"]): {"content": "oven"}}}},
            "which is in the added_tokens of tokenizer.json: BertTokenizer would drop it",
        ),
        ({"tokenizer_config": {"mask_token": "[NEW]"}}, "has mask_token '[NEW]', which is not in"),
        ({"tokenizer_config": {"cls_token": 3}}, "has cls_token 3, not a token"),
        ({"tokenizer_config": {"additional_special_tokens": "oven"}}, "not a list of tokens"),
        ({"tokenizer_config": {"additional_special_tokens": [3]}}, "is 3, not a token"),
        ({"special_tokens_map": {"extra_special_tokens": ["[NEW]"]}}, "has extra_special_tokens"),
        ({"tokenizer_config": {"unk_token": "[PAD]"}}, "does not match the unk_token"),
        ({"tokenizer_config": {"auto_map": {"AutoTokenizer": ["a.B"]}}}, "with custom code"),
    ],
    ids=str,
)
def test_files_that_disagree_are_refused(
    tmp_path: Path, files: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(ModelError, match=re.escape(sentence)):
        read_tokenizer(folder_of(tmp_path, tokenizer_json(), **files))


def test_a_dropout_is_refused(tmp_path: Path) -> None:
    model = {"type": "BPE", "vocab": {"a": 0, "b": 1, "ab": 2}, "merges": ["a b"], "dropout": 0.5}
    config = config_json(model_type="modernbert")
    folder = folder_of(tmp_path, tokenizer_json(model=model, added_tokens=[]), config=config)
    with pytest.raises(ModelError, match="has a dropout: it splits texts at random"):
        read_tokenizer(folder)


PIECES = {"type": "Unigram", "unk_id": None, "vocab": [["a", 0.0]], "byte_fallback": False}
BYTES = {"type": "BPE", "vocab": {"a": 0, "b": 1, "ab": 2}, "merges": ["a b"]}
STRANGER = {"SpecialToken": {"id": "[X]", "type_id": 0}}
UNKNOWN = {"type": "TemplateProcessing", "single": [STRANGER], "pair": [], "special_tokens": {}}


@pytest.mark.parametrize(
    "change",
    [
        {"normalizer": {"type": "Precompiled", "precompiled_charsmap": "AAAA"}},
        {"normalizer": {"type": "Replace", "pattern": {"Regex": "(("}, "content": ""}},
        {"normalizer": {"type": "Nothing"}},
        {"post_processor": UNKNOWN},
        {"pre_tokenizer": {"type": "FixedLength", "length": 0}},
        {"model": BYTES | {"continuing_subword_prefix": "##########"}},
        {"model": BYTES | {"dropout": 7.0}},
        {"model": PIECES | {"unk_id": 9}},
        {"model": PIECES | {"vocab": []}},
        {"model": tokenizer_json()["model"] | {"unk_token": "[NOBODY]", "vocab": {"b": 0}}},
        {"version": "9"},
    ],
    ids=str,
)
def test_what_makes_the_library_fail_or_panic_is_one_sentence(
    tmp_path: Path, change: dict[str, Any], capfd: pytest.CaptureFixture[str]
) -> None:
    made = tokenizer_json(added_tokens=[]) | change
    folder = folder_of(tmp_path, made, tokenizer_config=AS_IT_IS)
    with pytest.raises(ModelError, match=r"tokenizer .*tokenizer.json (cannot be read|fails on)"):
        TextTokens(read_tokenizer(folder))


def test_only_panics_of_the_tokenizer_are_caught() -> None:
    for error in (KeyboardInterrupt, SystemExit, GeneratorExit):
        with pytest.raises(error), as_model_error("the tokenizer"):
            raise error


def test_segment_ids_are_refused(tmp_path: Path) -> None:
    template = tokenizer_json()["post_processor"]
    template["single"][0]["SpecialToken"]["type_id"] = 2
    folder = folder_of(tmp_path, tokenizer_json(post_processor=template), tokenizer_config=AS_IT_IS)
    with pytest.raises(ModelError, match="gives texts segment ids, which are not supported"):
        TextTokens(read_tokenizer(folder))
