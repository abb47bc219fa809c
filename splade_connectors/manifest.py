"""The manifest: the settings an index was written with, stored in it and checked at every use."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, asdict, dataclass, fields, replace
from functools import cached_property
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from splade_connectors.errors import ManifestMismatch, SpladeConnectorsError
from splade_connectors.options import LongText, Precision
from splade_connectors.shown import quoted

KeyStyle = Literal["token", "id", "other"]

# 2: the revision covers configuration, tokenizer and weights in every file; "windows" of long
# texts are called passages.
FORMAT = 2
# The format of manifests that do not state one.
_FIRST_FORMAT = 1
# Setting names in the first format -> current names.
_FORMER_NAMES = {"window_overlap": "passage_overlap"}

MANIFEST_KEY = "splade_connectors"

# Settings that a query must share with the index; the others affect only documents.
_QUERY_SETTINGS = ("model", "revision", "tokenizer", "activation", "key_style")
# The same for a separate query side, where the document side is not compared.
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

# Settings that default to those of the index.
_GOING_ON = {
    "max_length",
    "long_text",
    "passage_overlap",
    "precision",
    "prune_top_k",
    "prune_max_ratio",
}

# Omitted from the JSON if None.
_OPTIONAL = {"tuning", "passage_overlap", "query_side"}


@dataclass(frozen=True, kw_only=True)
class IndexManifest:
    """The settings that an index's sparse vectors were encoded with.

    Attributes:
        model: name of the model.
        revision: content hash of everything that affects its vectors, or its Hub revision.
        tokenizer: content hash of its tokenizer.
        activation: "log1p" (one log) or "log1p_log1p" (two).
        max_length: maximum number of tokens per text, special tokens included.
        long_text: "truncate" or "passages".
        passage_overlap: tokens shared by neighbouring passages; None if texts are truncated.
        prune_top_k: maximum number of terms per document; None for all.
        prune_max_ratio: lightest weight kept, as a fraction of the document's heaviest.
        key_style: how terms are named in the store.
        text_fields: payload fields that the text was built from.
        precision: precision of the model: "fp32", "int8", "fp16" or "bf16"; queries may use any.
        tuning: default fusion of hybrid searches, as of `Tuning.to_json`; None without one. It
            does not affect vectors: neither compared nor part of the fingerprint.
        query_side: content hash of the query encoding, if it differs from the documents'; None if
            both are the same. Identifies clients that have only the query side. Does not affect
            vectors either.
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
        """Return a JSON object; the inverse of `from_json`. Optional entries may be absent."""
        made = asdict(self) | {"text_fields": list(self.text_fields)}
        absent = {name for name in _OPTIONAL if made[name] is None}
        if self.precision == "fp32":
            # Older indices have no such entry; omitting it keeps their fingerprints valid.
            absent.add("precision")
        return {name: value for name, value in made.items() if name not in absent}

    def fingerprint(self) -> str:
        """Return 8 hex digits that change with any setting that affects vectors."""
        return self._fingerprint

    @cached_property
    def _fingerprint(self) -> str:
        # Cached, because every document's stamp contains it.
        settings = replace(self, tuning=None, query_side=None).to_json()
        text = json.dumps(settings, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:8]

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> IndexManifest:
        """Read a manifest from a JSON object, ignoring unknown entries of later minor versions.

        An earlier format is accepted here and refused by `check`, which says how to upgrade it.

        Raises:
            ManifestMismatch: if it is not a manifest, or has a later format.
        """
        version = raw.get("format", _FIRST_FORMAT)
        if version not in range(_FIRST_FORMAT, FORMAT + 1) or isinstance(version, bool):
            raise ManifestMismatch(
                f"the index has a manifest of format {quoted(version)}, but this version reads "
                f"only up to format {FORMAT}: pip install -U splade-connectors"
            )
        raw = _with_todays_names(raw) if version < FORMAT else raw
        wrong = schema_problems(cls, raw)
        if wrong:
            raise ManifestMismatch(f"the index has an unreadable manifest: {'; '.join(wrong)}")
        known = {field.name for field in fields(cls)}
        values = {name: value for name, value in raw.items() if name in known}
        return cls(**values | {"text_fields": tuple(raw.get("text_fields", ("text",)))})

    @property
    def outdated(self) -> bool:
        """Whether the manifest was read from an earlier format."""
        return self.format < FORMAT

    def check(
        self, mine: IndexManifest, *, use: Literal["write", "query", "verify"], where: str
    ) -> None:
        """Refuse to mix vectors of different models or settings.

        Args:
            mine: the settings that this process would write or query with.
            use: "query" compares only settings that affect queries, the others compare all.
            where: name of the index, for the message.

        Raises:
            ManifestMismatch: naming each differing setting with both values and the overriding
                option, or the command that upgrades an old manifest.
        """
        if self.outdated:
            raise ManifestMismatch(
                f"{where} has an outdated manifest (format {self.format}, with a weaker revision "
                "hash): run `splade-connectors attach TARGET --override-manifest` once with the "
                f"model that wrote it, which keeps the vectors and upgrades it to format {FORMAT}"
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
                same += " (omit yours to use those of the index)"
            if "text_fields" in differences:
                fields = ", ".join(map(repr, differences["text_fields"][0]))
                same += f": WriteOptions(text_fields=({fields},)) (--text, once per field)"
            anyway = "compare" if use == "verify" else "mix"
            raise ManifestMismatch(
                f"{where} was written with other settings ({sides}). {same}, or "
                f"override_manifest=True (--override-manifest) to {anyway} them anyway",
                differences=differences,
            )

    def differences(
        self, mine: IndexManifest, *, apart: Sequence[str] = ()
    ) -> dict[str, tuple[Any, Any]]:
        """Return the document settings that differ, with both values.

        Args:
            mine: the manifest to compare with.
            apart: settings to ignore.
        """
        return self._different(mine, [name for name in _WRITE_SETTINGS if name not in apart])

    def _different(self, mine: IndexManifest, names: Sequence[str]) -> dict[str, tuple[Any, Any]]:
        return {
            name: (getattr(self, name), getattr(mine, name))
            for name in names
            if getattr(self, name) != getattr(mine, name)
        }

    def _query_settings(self, mine: IndexManifest) -> tuple[str, ...]:
        """The settings that queries must share."""
        alone = not mine.revision
        if alone or (mine.query_side is not None and self.query_side == mine.query_side):
            return _QUERY_SIDE_SETTINGS
        # A different query side over the same documents: the document side must match.
        return _QUERY_SETTINGS


def schema_problems(record: type, raw: Mapping[str, Any]) -> list[str]:
    """Describe what is missing from a JSON record, or has the wrong type.

    Someone may have edited it, and errors must not surface in the middle of a run.

    Args:
        record: a dataclass; its tuples are lists in JSON.
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
    if kind is not None:  # a mapping; its contents are checked by a record of their own
        return isinstance(value, Mapping) and all(isinstance(name, str) for name in value)
    if hint is float:
        return _fits(value, int) or (isinstance(value, float) and math.isfinite(value))
    return isinstance(value, hint) and (hint is bool or not isinstance(value, bool))


def _with_todays_names(raw: Mapping[str, Any]) -> dict[str, Any]:
    """The entries of a first-format manifest under current names, still marked as that format."""
    named = {_FORMER_NAMES.get(name, name): value for name, value in raw.items()}
    if named.get("long_text") == "windows":
        named["long_text"] = "passages"
    return named | {"format": _FIRST_FORMAT}


def parse_manifest(raw: object, where: str) -> IndexManifest | None:
    """Parse the manifest that a store returned; None if there is none.

    Raises:
        ManifestMismatch: if the value is not a manifest.
    """
    if raw is None:
        return None
    if not isinstance(raw, Mapping):
        raise ManifestMismatch(f"{where} has a manifest that is not a JSON object: {quoted(raw)}")
    try:
        return IndexManifest.from_json(raw)
    except SpladeConnectorsError as error:
        raise ManifestMismatch(f"{where}: {error}") from error
