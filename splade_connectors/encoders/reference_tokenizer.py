"""Compare this package's tokenizer with transformers' on texts that reveal their settings."""

from __future__ import annotations

import importlib.util
import logging
from pathlib import Path
from typing import Any

from splade_connectors.encoders.tokenizer_settings import (
    FolderTokenizer,
    as_model_error,
    read_tokenizer,
)
from splade_connectors.errors import ModelError
from splade_connectors.extras import require

log = logging.getLogger(__name__)

_TEXTS = (
    "How do Vaccines work?",
    "  two  spaces,\na line\tand a tab  ",
    "Évén ÀÇCENTS naïve Straße İstanbul",
    "疫苗如何 work 한국어 ไทย",
    "don't stop—it's 3.14 or 1,000 (at 50%)",
    "👍🏽 \u200d ﬁ \uff26\uff55ll \x01 \x7f ½",
    "pneumono" * 20,
    "",
)
_SHORT = 12


def check_alike(folder: Path, ours: FolderTokenizer) -> None:
    """Refuse a folder whose texts transformers would tokenize differently from this package.

    If this package knows every setting of the tokenizer's class, transformers is optional.

    Args:
        folder: of the model.
        ours: its tokenizer, as returned by `read_tokenizer`.

    Raises:
        ModelError: if the tokenizers differ, or only transformers knows the folder's class and
            fails to read it.
        MissingDependency: if only transformers knows the class and it is not installed.
    """
    if ours.known and importlib.util.find_spec("transformers") is None:
        return
    theirs = _theirs(folder, ours)
    if theirs is None:
        return
    # Without sentence-transformers' lowercasing, which transformers does not apply.
    plain = read_tokenizer(folder)
    special = {token.content for token in plain.tokenizer.get_added_tokens_decoder().values()}
    texts = [*_TEXTS, *(f"a{token} {token.lower()} b" for token in sorted(special)[:40])]
    with as_model_error(f"the tokenizer {plain.path} fails on a text"):
        for text in texts:
            expected = list(theirs(text)["input_ids"])
            found = plain.tokenizer.encode(text).ids
            if found != expected:
                raise ModelError(_difference(folder, plain, text, found, expected))
        _check_truncation(folder, plain, theirs)


def _theirs(folder: Path, ours: FolderTokenizer) -> Any:
    transformers = require("transformers", "convert", f"the tokenizer class {ours.kind!r}")
    try:
        return transformers.AutoTokenizer.from_pretrained(
            str(folder), local_files_only=True, trust_remote_code=False
        )
    except Exception as error:  # tokenizer classes raise anything
        reason = str(error).strip().partition("\n")[0]
        if ours.known:
            log.debug("transformers cannot read the tokenizer of %s: %s", folder, reason)
            return None
        raise ModelError(
            f"only transformers can read the tokenizer class {ours.kind!r} of {folder}, and it "
            f"fails: {reason}"
        ) from error


def _check_truncation(folder: Path, ours: FolderTokenizer, theirs: Any) -> None:
    text = "one two three four five six seven eight nine ten eleven twelve"
    tokenizer = ours.tokenizer
    tokenizer.enable_truncation(_SHORT, direction=ours.truncation_side)
    found = tokenizer.encode(text).ids
    expected = list(theirs(text, truncation=True, max_length=_SHORT)["input_ids"])
    if found != expected:
        raise ModelError(_difference(folder, ours, f"{text}, truncated", found, expected))


def _difference(
    folder: Path, ours: FolderTokenizer, text: str, found: list[int], expected: list[int]
) -> str:
    named = ours.kind or "the class of its model type"
    return (
        f"tokenizer.json and the tokenizer settings beside it in {folder} disagree: for {text!r} "
        f"transformers ({named}) gives {_shown(ours, expected)}, tokenizer.json "
        f"{_shown(ours, found)}; "
        "save the tokenizer again with AutoTokenizer.from_pretrained(…).save_pretrained(…)"
    )


def _shown(ours: FolderTokenizer, ids: list[int]) -> str:
    tokens = [ours.tokenizer.id_to_token(at) or f"[{at}]" for at in ids[:12]]
    return " ".join(tokens) + (" …" if len(ids) > 12 else "")
