"""A folder's tokenizer as transformers 5 builds it from tokenizer.json and the files beside it.

For the common classes, transformers takes only the vocabulary from tokenizer.json and builds the
rest from tokenizer_config.json. This module does the same without transformers, and refuses by name
any setting that it cannot reproduce.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from tokenizers import AddedToken, Tokenizer, models, normalizers, pre_tokenizers, processors

from splade_connectors.encoders.settings import Settings, read_settings
from splade_connectors.errors import ModelError

Side = Literal["left", "right"]

TOKENIZER_FILE = "tokenizer.json"
CONFIG_FILE = "tokenizer_config.json"
SPECIAL_FILE = "special_tokens_map.json"
ADDED_FILE = "added_tokens.json"
FILES = (TOKENIZER_FILE, CONFIG_FILE, SPECIAL_FILE, ADDED_FILE)

_BERT = {"Bert", "DistilBert", "Electra", "MobileBert", "ConvBert", "SqueezeBert", "LayoutLM"}
# Classes that read tokenizer.json unchanged.
_AS_IT_IS = {"PreTrainedTokenizerFast", "TokenizersBackend", "PreTrainedTokenizer"}
# The class of a model type if no file names one.
_CLASS_OF_TYPE = {
    **dict.fromkeys(("bert", "distilbert", "electra", "convbert", "squeezebert"), "BertTokenizer"),
    **dict.fromkeys(("mobilebert", "ernie", "megatron-bert", "nomic_bert"), "BertTokenizer"),
    "roberta": "RobertaTokenizer",
    "mpnet": "MPNetTokenizer",
    "xlm-roberta": "XLMRobertaTokenizer",
    "modernbert": "TokenizersBackend",
    "eurobert": "TokenizersBackend",
    "neobert": "TokenizersBackend",
}
_FLAGS = ("lstrip", "rstrip", "single_word", "normalized", "special")
# Settings named "…_token" that are switches, not special tokens.
_SWITCHES = {"add_bos_token", "add_eos_token"}


@dataclass(frozen=True, kw_only=True, slots=True)
class FolderTokenizer:
    """A tokenizer with its settings.

    Attributes:
        path: of tokenizer.json, for messages.
        tokenizer: the tokenizer itself, without truncation and padding.
        padding_id: id of the padding token.
        truncation_side: the side on which long texts are truncated.
        max_length: maximum number of tokens of a text; None if the folder has no limit.
        known: whether every setting of its class was applied here. If not, only transformers can
            tell whether tokenizer.json alone is equivalent.
        kind: the class that the folder names; "" if none.
    """

    path: Path
    tokenizer: Tokenizer
    padding_id: int
    truncation_side: Side
    max_length: int | None
    known: bool
    kind: str


def read_tokenizer(folder: Path, *, lowercase: bool = False) -> FolderTokenizer:
    """The tokenizer of a model folder.

    Args:
        folder: holds tokenizer.json.
        lowercase: lowercase texts first, as `do_lower_case` of sentence-transformers does.

    Raises:
        ModelError: if the tokenizer cannot be read, or a setting cannot be applied.
    """
    tokenizer = open_tokenizer(folder / TOKENIZER_FILE)
    settings = read_settings(folder / CONFIG_FILE, optional=True)
    kind = _kind(folder, settings)
    _refuse_unsupported(settings)
    padding, truncation = tokenizer.padding, tokenizer.truncation
    is_rebuilt = _set_up(tokenizer, kind, settings)
    if getattr(tokenizer.model, "dropout", None):
        raise ModelError(f"{folder / TOKENIZER_FILE} has a dropout: it splits texts at random")
    _set_tokens(tokenizer, folder, settings, kind if is_rebuilt else "")
    if lowercase and not _has_lowercase(tokenizer.normalizer):
        own = tokenizer.normalizer
        parts = _parts(own)
        tokenizer.normalizer = normalizers.Sequence([normalizers.Lowercase(), *parts])
    tokenizer.no_padding()
    tokenizer.no_truncation()
    side = settings.one_of("truncation_side", ("left", "right"), _direction(truncation))
    return FolderTokenizer(
        path=folder / TOKENIZER_FILE,
        tokenizer=tokenizer,
        padding_id=int(padding["pad_id"]) if padding else 0,
        truncation_side="left" if side == "left" else "right",
        max_length=_max_length(settings),
        known=is_rebuilt or _family(kind) in ("", *_AS_IT_IS),
        kind=kind,
    )


def open_tokenizer(path: Path) -> Tokenizer:
    """The tokenizer in a file, unchanged.

    Raises:
        ModelError: if it cannot be read.
    """
    with as_model_error(f"the tokenizer {path} cannot be read"):
        return Tokenizer.from_file(str(path))


@contextmanager
def as_model_error(what: str) -> Iterator[None]:
    """Turn failures of the tokenizer, including panics, into a message that begins with `what`."""
    try:
        yield
    except ModelError:
        raise
    except Exception as error:  # the library raises a bare Exception for an unreadable file
        raise ModelError(f"{what}: {_first_line(error)}") from error
    except BaseException as error:
        # The exception of a Rust panic derives from BaseException and has no importable name.
        if type(error).__name__ != "PanicException":
            raise
        raise ModelError(f"{what}: {_first_line(error)}") from error


def _first_line(error: BaseException) -> str:
    return str(error).partition("\n")[0][:300] or type(error).__name__


def _kind(folder: Path, settings: Settings) -> str:
    config = read_settings(folder / "config.json", optional=True)
    named = settings.text("tokenizer_class") or config.text("tokenizer_class")
    model_type = config.text("model_type", "") or ""
    return named or _CLASS_OF_TYPE.get(model_type, model_type)


def _family(kind: str) -> str:
    name = kind.removesuffix("Fast")
    return kind if kind in _AS_IT_IS else name.removesuffix("Tokenizer")


def _refuse_unsupported(settings: Settings) -> None:
    """Refuse settings that affect vectors in ways not implemented here."""
    if settings.flag("split_special_tokens"):
        raise ModelError(f"{settings.where} has split_special_tokens, which is not supported")
    if settings.text("padding_side", "right") != "right":
        raise ModelError(
            f"{settings.where} has padding_side {settings.values['padding_side']!r}: vectors would "
            "depend on the other texts in a batch"
        )
    inputs = settings.texts("model_input_names")
    if inputs and "attention_mask" not in inputs:
        raise ModelError(
            f"{settings.where} has model_input_names without 'attention_mask': padding would count"
        )
    if settings.section("auto_map").values.get("AutoTokenizer"):
        raise ModelError(f"{settings.where} names a tokenizer with custom code, which is not run")


def _max_length(settings: Settings) -> int | None:
    # transformers writes 1e30 for "unknown"; "max_len" is the old name.
    name = "model_max_length" if "model_max_length" in settings else "max_len"
    return settings.integer(name)


def _direction(truncation: Any) -> str:
    return str(truncation["direction"]) if truncation else "right"


def _set_up(tokenizer: Tokenizer, kind: str, settings: Settings) -> bool:
    """Rebuild the parts that transformers rebuilds for this class; False if it rebuilds none."""
    family = _family(kind)
    if family in _BERT or family == "MPNet":
        _set_up_bert(tokenizer, kind, settings)
    elif family == "Roberta":
        _set_up_roberta(tokenizer, kind, settings)
    elif family == "XLMRoberta":
        _set_up_xlm_roberta(tokenizer, kind, settings)
    else:
        return False
    return True


def _set_up_bert(tokenizer: Tokenizer, kind: str, settings: Settings) -> None:
    model = tokenizer.model
    _expect(isinstance(model, models.WordPiece), kind, "model", "WordPiece")
    _expect(model.continuing_subword_prefix == "##", kind, "continuing_subword_prefix", "##")
    _expect(model.max_input_chars_per_word == 100, kind, "max_input_chars_per_word", "100")
    _expect(model.unk_token == _content(settings, "unk_token", "[UNK]"), kind, "unk_token", "it")
    tokenizer.normalizer = normalizers.BertNormalizer(
        clean_text=True,
        handle_chinese_chars=bool(settings.flag("tokenize_chinese_chars", True)),
        strip_accents=settings.flag("strip_accents"),
        lowercase=bool(settings.flag("do_lower_case", True)),
    )
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    if _family(kind) == "MPNet":
        sep, cls = _ends(tokenizer, settings, "</s>", "<s>")
        tokenizer.post_processor = processors.RobertaProcessing(sep, cls, True, False)
        return
    sep, cls = _ends(tokenizer, settings, "[SEP]", "[CLS]")
    tokenizer.post_processor = _around(cls, sep)


def _set_up_roberta(tokenizer: Tokenizer, kind: str, settings: Settings) -> None:
    _expect(isinstance(tokenizer.model, models.BPE), kind, "model", "BPE")
    _expect(tokenizer.normalizer is None, kind, "normalizer", "none")
    plain = isinstance(tokenizer.pre_tokenizer, pre_tokenizers.ByteLevel)
    _expect(plain and tokenizer.pre_tokenizer.use_regex, kind, "pre_tokenizer", "ByteLevel")
    tokenizer.model.dropout = None
    space = bool(settings.flag("add_prefix_space", False))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=space)
    sep, cls = _ends(tokenizer, settings, "</s>", "<s>")
    tokenizer.post_processor = processors.RobertaProcessing(sep, cls, True, space)


def _set_up_xlm_roberta(tokenizer: Tokenizer, kind: str, settings: Settings) -> None:
    _expect(isinstance(tokenizer.model, models.Unigram), kind, "model", "Unigram")
    own = tokenizer.normalizer
    parts = _parts(own)
    charsmaps = [part for part in parts if isinstance(part, normalizers.Precompiled)]
    tokenizer.normalizer = charsmaps[0] if charsmaps else None
    scheme = "always" if settings.flag("add_prefix_space", True) else "never"
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.WhitespaceSplit(),
            pre_tokenizers.Metaspace(replacement="▁", prepend_scheme=scheme),
        ]
    )
    end, begin = _ends(tokenizer, settings, "</s>", "<s>", names=("eos_token", "bos_token"))
    tokenizer.post_processor = _around(begin, end)


def _around(first: tuple[str, int], last: tuple[str, int]) -> Any:
    return processors.TemplateProcessing(
        single=[first[0], "$A", last[0]], special_tokens=list(dict.fromkeys((first, last)))
    )


def _expect(fits: bool, kind: str, part: str, expected: str) -> None:
    if not fits:
        raise ModelError(
            f"tokenizer_class {kind} does not match the {part} in tokenizer.json, which should be "
            f"{expected}: transformers would build a different tokenizer; PreTrainedTokenizerFast "
            "reads tokenizer.json unchanged"
        )


def _ends(
    tokenizer: Tokenizer,
    settings: Settings,
    last: str,
    first: str,
    names: tuple[str, str] = ("sep_token", "cls_token"),
) -> tuple[tuple[str, int], tuple[str, int]]:
    """The tokens after and before every text, with their ids."""
    found = []
    for name, default in zip(names, (last, first), strict=True):
        token = _content(settings, name, default)
        at = tokenizer.token_to_id(token)
        if at is None:
            raise ModelError(
                f"{settings.where} has {name} {token!r}, which is not in tokenizer.json"
            )
        found.append((token, int(at)))
    return found[0], found[1]


def _content(settings: Settings, name: str, default: str) -> str:
    """A special token's text, given alone or in an object with its flags."""
    value = settings.values.get(name)
    if isinstance(value, dict):
        value = value.get("content")
    if value is None:
        return default
    if not isinstance(value, str):
        raise settings.wrong(name, "a token")
    return value


def _set_tokens(tokenizer: Tokenizer, folder: Path, settings: Settings, kind: str) -> None:
    """Set the tokens that are matched whole, from all files, which have to agree.

    Args:
        tokenizer: changed in place.
        folder: of the other files.
        settings: tokenizer_config.json.
        kind: the class whose tokenizer transformers rebuilds; "" for tokenizer.json unchanged.
    """
    listed = settings.section("added_tokens_decoder")
    special = settings
    if listed.values:
        _set_listed(tokenizer, listed)
        own = {token.content for token in tokenizer.get_added_tokens_decoder().values()}
        unlisted = own - {_listed(listed, key).content for key in listed}
        if kind and unlisted:
            raise ModelError(
                f"{listed.where} lacks {sorted(unlisted)[0]!r}, which is in the added_tokens of "
                f"tokenizer.json: {kind} would drop it"
            )
    else:
        more = read_settings(folder / SPECIAL_FILE, optional=True).values
        special = Settings(settings.values | more, settings.where)
        _set_legacy(tokenizer, read_settings(folder / ADDED_FILE, optional=True))
    _set_special(tokenizer, special, kind)


def _listed(listed: Settings, key: str) -> AddedToken:
    entry = listed.section(key)
    flags = {name: entry.flag(name) for name in _FLAGS if name in entry}
    return AddedToken(entry.text("content", "") or "", **flags)


def _set_listed(tokenizer: Tokenizer, listed: Settings) -> None:
    own = {at: repr(token) for at, token in tokenizer.get_added_tokens_decoder().items()}
    for key in sorted(listed, key=lambda key: int(key) if key.isdigit() else -1):
        token = _listed(listed, key)
        if not key.isdigit() or tokenizer.token_to_id(token.content) != int(key):
            raise ModelError(
                f"{listed.where} has {token.content!r} as token {key}, but tokenizer.json as "
                f"{tokenizer.token_to_id(token.content)}"
            )
        if own.get(int(key)) != repr(token):
            _add(tokenizer, token)


def _set_legacy(tokenizer: Tokenizer, added: Settings) -> None:
    """Set the tokens of added_tokens.json: token -> id."""
    own = {token.content for token in tokenizer.get_added_tokens_decoder().values()}
    for content in added:
        at = added.integer(content, at_least=0)
        if tokenizer.token_to_id(content) != at:
            raise ModelError(
                f"{added.where} has {content!r} as token {at}, but tokenizer.json as "
                f"{tokenizer.token_to_id(content)}"
            )
        if content not in own:
            _add(tokenizer, AddedToken(content, normalized=True))


def _set_special(tokenizer: Tokenizer, settings: Settings, kind: str) -> None:
    own = {token.content for token in tokenizer.get_added_tokens_decoder().values()}
    for name, token in _special(settings, kind):
        if token.content in own:
            continue
        if tokenizer.token_to_id(token.content) is None:
            raise ModelError(
                f"{settings.where} has {name} {token.content!r}, which is not in tokenizer.json: "
                "its id would be beyond the model's head"
            )
        _add(tokenizer, token)
        own.add(token.content)


def _special(settings: Settings, kind: str) -> Iterator[tuple[str, AddedToken]]:
    """Every special token of a class and its settings, with the setting's name."""
    defaults = _default_tokens(kind)
    for name in dict.fromkeys((*defaults, *settings)):
        if name.endswith("_token") and name not in _SWITCHES:
            value = settings.values[name] if name in settings.values else defaults[name]
            yield from _tokens(name, [value])
        elif name in ("additional_special_tokens", "extra_special_tokens"):
            values = settings.values[name] or []
            if not isinstance(values, dict | list):
                raise settings.wrong(name, "a list of tokens")
            yield from _tokens(name, values.values() if isinstance(values, dict) else values)


def _default_tokens(kind: str) -> dict[str, Any]:
    family = _family(kind)
    if family in _BERT:
        bert = ("unk", "sep", "pad", "cls", "mask")
        return {f"{name}_token": f"[{name.upper()}]" for name in bert}
    if family in ("Roberta", "XLMRoberta", "MPNet"):
        names = {"bos": "<s>", "eos": "</s>", "sep": "</s>", "cls": "<s>", "pad": "<pad>"}
        unknown = "[UNK]" if family == "MPNet" else "<unk>"
        mask = {"content": "<mask>", "lstrip": family == "MPNet", "normalized": False}
        made: dict[str, Any] = {f"{name}_token": token for name, token in names.items()}
        return made | {"unk_token": unknown, "mask_token": mask}
    return {}


def _tokens(name: str, values: Any) -> Iterator[tuple[str, AddedToken]]:
    for value in values:
        if isinstance(value, dict):
            flags = {flag: bool(value[flag]) for flag in _FLAGS[:4] if flag in value}
            yield name, AddedToken(str(value.get("content", "")), special=True, **flags)
        elif isinstance(value, str):
            yield name, AddedToken(value, special=True, normalized=False)
        elif value is not None:
            raise ModelError(f"the tokenizer's {name} is {value!r}, not a token")


def _add(tokenizer: Tokenizer, token: AddedToken) -> None:
    add = tokenizer.add_special_tokens if token.special else tokenizer.add_tokens
    add([token])


def _has_lowercase(normalizer: Any) -> bool:
    return any(isinstance(part, normalizers.Lowercase) for part in _parts(normalizer))


def _parts(normalizer: Any) -> list[Any]:
    if isinstance(normalizer, normalizers.Sequence):
        return [normalizer[at] for at in range(len(normalizer))]
    return [] if normalizer is None else [normalizer]
