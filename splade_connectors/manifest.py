"""The manifest: what an index was written with, kept in the index and checked at every use."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, asdict, dataclass, fields, replace
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from splade_connectors.errors import ManifestMismatch, SpladeConnectorsError
from splade_connectors.options import LongText, Precision
from splade_connectors.shown import quoted

KeyStyle = Literal["token", "id", "other"]

# 2: the revision covers configuration, tokenizer and weights in every file; passages are called so.
FORMAT = 2
# What manifests have that do not say their format.
_FIRST_FORMAT = 1
# Names that the first format had for today's settings.
_FORMER_NAMES = {"window_overlap": "passage_overlap"}

MANIFEST_KEY = "splade_connectors"

# Settings that a query must share with the index. The others shape documents only.
_QUERY_SETTINGS = ("model", "revision", "tokenizer", "activation", "key_style")
# The same, where queries have a side of their own and documents are not looked at.
_QUERY_SIDE_SETTINGS = ("model", "query_side", "key_style")

_WRITE_SETTINGS = (
    *_QUERY_SETTINGS,
    "max_length",
    "long_text",
    "passage_overlap",
    "precision",
    "prune_top_k",
    "prune_max_ratio",
    "text_fields",
)

# Taken from the index where they are not given.
_GOING_ON = {
    "max_length",
    "long_text",
    "passage_overlap",
    "precision",
    "prune_top_k",
    "prune_max_ratio",
}

# Absent from the JSON of an index that has none.
_OPTIONAL = {"tuning", "passage_overlap", "query_side"}


@dataclass(frozen=True, kw_only=True, slots=True)
class IndexManifest:
    """What the sparse vectors of an index were made with.

    Attributes:
        model: name of the model.
        revision: content hash of everything that changes its vectors, or its hub revision.
        tokenizer: content hash of its tokenizer.
        activation: "log1p" (one log) or "log1p_log1p" (two).
        max_length: most tokens of a text, special tokens included.
        long_text: "truncate" or "windows".
        passage_overlap: tokens shared by neighbouring windows, None if texts are truncated.
        prune_top_k: most terms of a document, None for all.
        prune_max_ratio: lightest weight kept, as a share of the document's heaviest.
        key_style: how terms are named in the store.
        text_fields: payload fields that the text was made of.
        precision: of the model's products: "fp32", "int8", "fp16" or "bf16". Queries may be of any.
        tuning: the default fusion of hybrid searches, as `Tuning.to_json` has it; None without
            one. No setting of the vectors: neither compared nor part of the fingerprint.
        query_side: content hash of how queries are encoded, where that is not how documents are;
            None if both are alike. Whoever has the query side alone is known by it. No setting
            of the vectors either.
        format: version of this record.
    """

    model: str
    revision: str
    tokenizer: str
    activation: str
    max_length: int
    long_text: LongText = "truncate"
    passage_overlap: int | None = None
    prune_top_k: int | None = None
    prune_max_ratio: float = 0.0
    key_style: KeyStyle = "id"
    text_fields: tuple[str, ...] = ("text",)
    precision: Precision = "fp32"
    tuning: Mapping[str, Any] | None = None
    query_side: str | None = None
    format: int = FORMAT

    def to_json(self) -> dict[str, Any]:
        """A JSON object; the inverse of `from_json`. What only some indices have may be absent."""
        made = asdict(self) | {"text_fields": list(self.text_fields)}
        absent = {name for name in _OPTIONAL if made[name] is None}
        if self.precision == "fp32":
            # As indices were written before there was another: their fingerprints stay.
            absent.add("precision")
        return {name: value for name, value in made.items() if name not in absent}

    def fingerprint(self) -> str:
        """8 hex digits that differ where any setting of the vectors differs."""
        settings = replace(self, tuning=None, query_side=None).to_json()
        text = json.dumps(settings, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:8]

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> IndexManifest:
        """The manifest in a JSON object; unknown entries of later minor versions are ignored.

        One of an earlier format is read, and refused only when it is compared: `check` says what
        brings it up to date.

        Raises:
            ManifestMismatch: when it is not a manifest, or one of a later format.
        """
        version = raw.get("format", _FIRST_FORMAT)
        if version not in range(_FIRST_FORMAT, FORMAT + 1) or isinstance(version, bool):
            raise ManifestMismatch(
                f"the index has a manifest of format {quoted(version)}, this version reads "
                f"format {FORMAT}: pip install -U splade-connectors"
            )
        raw = _with_todays_names(raw) if version < FORMAT else raw
        wrong = wrong_values(cls, raw)
        if wrong:
            raise ManifestMismatch(f"the index has an unreadable manifest: {'; '.join(wrong)}")
        known = {field.name for field in fields(cls)}
        values = {name: value for name, value in raw.items() if name in known}
        return cls(**values | {"text_fields": tuple(raw.get("text_fields", ("text",)))})

    @property
    def outdated(self) -> bool:
        """Whether an earlier format of this record was read."""
        return self.format < FORMAT

    def check(
        self, mine: IndexManifest, *, use: Literal["write", "query", "verify"], where: str
    ) -> None:
        """Refuse to mix vectors of different models or settings.

        Args:
            mine: what this process would write or query with.
            use: "query" compares what a query depends on, the others everything.
            where: the index, for the message.

        Raises:
            ManifestMismatch: naming each differing setting with both values, and the option
                that overrides; or naming the command that brings an old manifest up to date.
        """
        if self.outdated:
            raise ManifestMismatch(
                f"{where} has a manifest of format {self.format} of an earlier version, whose "
                "revision says less than today's: type `splade-connectors attach TARGET "
                "--override-manifest` once, with the model that wrote it, which keeps its vectors "
                f"and writes the manifest in format {FORMAT}"
            )
        names = self._query_settings(mine) if use == "query" else _WRITE_SETTINGS
        differences = self._different(mine, names)
        if differences:
            sides = "; ".join(
                f"{name}: the index has {theirs!r}, you have {ours!r}"
                for name, (theirs, ours) in differences.items()
            )
            same = "Use the same ones"
            if differences.keys() <= _GOING_ON:
                same += " (omit yours: those of the index apply)"
            if "text_fields" in differences:
                fields = ", ".join(map(repr, differences["text_fields"][0]))
                same += f": WriteOptions(text_fields=({fields},)) (--text, once for each)"
            anyway = "compare" if use == "verify" else "mix"
            raise ManifestMismatch(
                f"{where} was written with other settings ({sides}). {same}, or "
                f"override_manifest=True (--override-manifest) to {anyway} them anyway",
                differences=differences,
            )

    def differences(
        self, mine: IndexManifest, *, apart: Sequence[str] = ()
    ) -> dict[str, tuple[Any, Any]]:
        """The settings of documents that differ, with both values.

        Args:
            mine: the other one.
            apart: settings that may differ.
        """
        return self._different(mine, [name for name in _WRITE_SETTINGS if name not in apart])

    def _different(self, mine: IndexManifest, names: Sequence[str]) -> dict[str, tuple[Any, Any]]:
        return {
            name: (getattr(self, name), getattr(mine, name))
            for name in names
            if getattr(self, name) != getattr(mine, name)
        }

    def _query_settings(self, mine: IndexManifest) -> tuple[str, ...]:
        """What has to be the same for queries."""
        alone = not mine.revision
        if alone or (mine.query_side is not None and self.query_side == mine.query_side):
            return _QUERY_SIDE_SETTINGS
        # Another query side over the same documents: what counts is that they are the same.
        return _QUERY_SETTINGS


def wrong_values(record: type, raw: Mapping[str, Any]) -> list[str]:
    """What is absent from a JSON object that was a record once, or has another type; in words.

    Others may have edited it, and what is wrong in it must not be found out in the middle of a run.

    Args:
        record: a dataclass; lists stand for its tuples.
        raw: the JSON object.
    """
    hints = get_type_hints(record)
    needed = [field.name for field in fields(record) if field.default is MISSING]
    absent = ", ".join(repr(name) for name in needed if name not in raw)
    return [
        *([f"it lacks {absent}"] if absent else []),
        *(
            f"{name} is {quoted(raw[name])}"
            for name, hint in hints.items()
            if name in raw and not _fits(raw[name], hint)
        ),
    ]


def _fits(value: Any, hint: Any) -> bool:
    kind, inside = get_origin(hint), get_args(hint)
    if kind in (Union, UnionType):
        return any(_fits(value, one) for one in inside)
    if kind is Literal:
        return isinstance(value, str) and value in inside
    if kind is tuple:
        return isinstance(value, list | tuple) and all(_fits(item, inside[0]) for item in value)
    if kind is not None:  # a mapping: what it holds has a record of its own
        return isinstance(value, Mapping) and all(isinstance(name, str) for name in value)
    if hint is float:
        return _fits(value, int) or (isinstance(value, float) and math.isfinite(value))
    return isinstance(value, hint) and (hint is bool or not isinstance(value, bool))


def _with_todays_names(raw: Mapping[str, Any]) -> dict[str, Any]:
    """The entries of a manifest of the first format, which is kept as its format."""
    named = {_FORMER_NAMES.get(name, name): value for name, value in raw.items()}
    if named.get("long_text") == "windows":
        named["long_text"] = "passages"
    return named | {"format": _FIRST_FORMAT}


def parse_manifest(raw: object, where: str) -> IndexManifest | None:
    """The manifest in what a store returned, None if there is none.

    Raises:
        ManifestMismatch: when something is there that is not a manifest.
    """
    if raw is None:
        return None
    if not isinstance(raw, Mapping):
        raise ManifestMismatch(f"{where} has a manifest that is not a JSON object: {quoted(raw)}")
    try:
        return IndexManifest.from_json(raw)
    except SpladeConnectorsError as error:
        raise ManifestMismatch(f"{where}: {error}") from error
