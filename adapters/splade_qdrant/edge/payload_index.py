"""Payload indexes of the embedded engine, in the form in which a server reports and takes them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from splade_connectors.extras import require

# The settings of a text index that are plain values; the others are the engine's enumerations.
_PLAIN = (
    "min_token_len",
    "max_token_len",
    "lowercase",
    "ascii_folding",
    "phrase_matching",
    "on_disk",
    "enable_hnsw",
    "nested",
)


def index_json(found: Any) -> dict[str, Any]:
    """An index of the engine, as a server reports it in `payload_schema`."""
    index: dict[str, Any] = {"data_type": _word(found.data_type), "points": found.points}
    if found.params is not None and index["data_type"] == "text":
        index["params"] = {"type": "text", **_settings(found.params)}
    return index


def text_index_params(settings: Mapping[str, Any]) -> Any:
    """The engine's parameters of a text index."""
    engine = require("qdrant_edge", "qdrant", "an edge: target")
    given: dict[str, Any] = {name: settings[name] for name in _PLAIN if name in settings}
    if "tokenizer" in settings:
        given["tokenizer"] = _member(engine.TokenizerType, settings["tokenizer"])
    if "memory" in settings:
        given["memory"] = _member(engine.Memory, settings["memory"])
    if "stopwords" in settings:
        given["stopwords"] = _stopwords(engine, settings["stopwords"])
    if "stemmer" in settings:
        given["stemmer"] = _stemmer(engine, settings["stemmer"])
    return engine.TextIndexParams(scoring=bool(settings.get("scoring")) or None, **given)


def _settings(params: Any) -> dict[str, Any]:
    settings: dict[str, Any] = {name: getattr(params, name) for name in _PLAIN}
    settings["tokenizer"] = _word(params.tokenizer)
    settings["memory"] = None if params.memory is None else _word(params.memory)
    settings["scoring"] = None if params.scoring is None else {"type": _word(params.scoring.type)}
    words, stemmer = params.stopwords, params.stemmer
    if hasattr(words, "custom"):
        languages = sorted(map(_word, words.languages or ()))
        settings["stopwords"] = {"languages": languages, "custom": sorted(words.custom or ())}
    elif words is not None:
        settings["stopwords"] = _word(words)
    if hasattr(stemmer, "language"):
        settings["stemmer"] = {"type": "snowball", "language": _word(stemmer.language)}
    elif stemmer is not None:
        settings["stemmer"] = {"type": "none"}
    return {name: value for name, value in settings.items() if value is not None}


def _stopwords(engine: Any, given: Any) -> Any:
    if isinstance(given, str):
        return _member(engine.Language, given)
    languages = {_member(engine.Language, name) for name in given.get("languages") or ()}
    return engine.StopwordsSet(languages=languages, custom=set(given.get("custom") or ()))


def _stemmer(engine: Any, given: Mapping[str, Any]) -> Any:
    if given["type"] != "snowball":
        return engine.DisabledStemmer()
    return engine.SnowballParams(_member(engine.SnowballLanguage, given["language"]))


def _word(member: Any) -> str:
    """A member of an enumeration as servers spell it: "TokenizerType.Word" becomes "word"."""
    return str(member).rpartition(".")[2].lower()


def _member(kind: Any, word: str) -> Any:
    for name in dir(kind):
        if re.fullmatch(word, name, re.IGNORECASE):
            return getattr(kind, name)
    raise AssertionError(f"the engine has no {kind.__name__} {word!r}")
