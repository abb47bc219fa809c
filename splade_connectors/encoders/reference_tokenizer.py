"""Our tokenizer beside transformers' own, on texts in which settings show."""

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
    """Refuse a folder whose texts transformers would cut into other tokens than this package.

    Where every setting of the tokenizer's class is known here, transformers is not needed for it.

    Args:
        folder: the model folder.
        ours: its tokenizer, as `read_tokenizer` makes it.

    Raises:
        ModelError: when the tokenizers differ, or the folder's class is one that only
            transformers can read and it cannot.
        MissingDependency: when it is such a class and transformers is not installed.
    """
    if ours.known and importlib.util.find_spec("transformers") is None:
        return
    theirs = _theirs(folder, ours)
    if theirs is None:
        return
    # Without the lower case of sentence-transformers, which is none of transformers'.
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
    except Exception as error:  # what the classes of tokenizers raise
        reason = str(error).strip().partition("\n")[0]
        if ours.known:
            log.debug("transformers cannot read the tokenizer of %s: %s", folder, reason)
            return None
        raise ModelError(
            f"the tokenizer class {ours.kind!r} of {folder} is read by transformers only, which "
            f"fails: {reason}"
        ) from error


def _check_truncation(folder: Path, ours: FolderTokenizer, theirs: Any) -> None:
    text = "one two three four five six seven eight nine ten eleven twelve"
    tokenizer = ours.tokenizer
    tokenizer.enable_truncation(_SHORT, direction=ours.truncation_side)
    found = tokenizer.encode(text).ids
    expected = list(theirs(text, truncation=True, max_length=_SHORT)["input_ids"])
    if found != expected:
        raise ModelError(_difference(folder, ours, f"{text}, cut off", found, expected))


def _difference(
    folder: Path, ours: FolderTokenizer, text: str, found: list[int], expected: list[int]
) -> str:
    named = ours.kind or "the class of its model type"
    return (
        f"tokenizer.json and the tokenizer settings beside it in {folder} disagree: of {text!r} "
        f"transformers ({named}) makes {_shown(ours, expected)}, tokenizer.json "
        f"{_shown(ours, found)}; "
        "save the tokenizer again with AutoTokenizer.from_pretrained(…).save_pretrained(…)"
    )


def _shown(ours: FolderTokenizer, ids: list[int]) -> str:
    tokens = [ours.tokenizer.id_to_token(at) or f"[{at}]" for at in ids[:12]]
    return " ".join(tokens) + (" …" if len(ids) > 12 else "")
