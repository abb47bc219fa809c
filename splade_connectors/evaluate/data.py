"""Queries and judgements in BEIR layout: queries.jsonl and qrels/SPLIT.tsv."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from splade_connectors.errors import ConfigurationError
from splade_connectors.shown import reason_of


@dataclass(frozen=True, kw_only=True, slots=True)
class Judged:
    """Queries with relevance judgements.

    Attributes:
        queries: query id -> text.
        qrels: query id -> document id -> grade (0 means "not relevant").
        unknown_queries: query ids that have judgements but no text.
    """

    queries: Mapping[str, str]
    qrels: Mapping[str, Mapping[str, int]]
    unknown_queries: tuple[str, ...] = ()

    def fingerprint(self) -> str:
        """Return a hash of the query texts, independent of their location."""
        texts = "\0".join(sorted(self.queries.values()))
        return hashlib.sha256(texts.encode("utf-8", "replace")).hexdigest()[:16]


def read_beir(folder: Path, split: str = "test") -> Judged:
    """Read the judged queries in a folder.

    Raises:
        ConfigurationError: if a file is missing or a line is invalid, naming it.
    """
    queries, judgements = beir_files(folder, split)
    texts = dict(_queries(queries))
    qrels: dict[str, dict[str, int]] = {}
    for query, document, grade in _judgements(judgements):
        qrels.setdefault(query, {})[document] = grade
    known = {query: texts[query] for query in qrels if query in texts}
    if not known:
        raise ConfigurationError(f"no query in {folder} has judgements in qrels/{split}.tsv")
    return Judged(
        queries=known,
        qrels={query: qrels[query] for query in known},
        unknown_queries=tuple(query for query in qrels if query not in texts),
    )


def beir_files(folder: Path, split: str = "test") -> tuple[Path, Path]:
    """Return the paths of a folder's queries and judgements."""
    return folder / "queries.jsonl", folder / "qrels" / f"{split}.tsv"


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    try:
        with path.open(encoding="utf-8") as file:
            yield from ((number, line.rstrip("\n")) for number, line in enumerate(file, 1))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"cannot read {path}: {reason_of(error)}") from error


def _queries(path: Path) -> Iterator[tuple[str, str]]:
    for number, line in _lines(path):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            yield str(row["_id"]), str(row["text"])
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise ConfigurationError(
                f'line {number} of {path} is not a query {{"_id": …, "text": …}}: {error}'
            ) from error


def _judgements(path: Path) -> Iterator[tuple[str, str, int]]:
    for number, line in _lines(path):
        cells = line.split("\t")
        if not line.strip() or (number == 1 and cells[-1].strip() == "score"):
            continue
        try:
            query, document, grade = cells
            yield query, document, int(grade)
        except ValueError as error:
            raise ConfigurationError(
                f"line {number} of {path} is not a judgement QUERY<tab>DOCUMENT<tab>GRADE: {error}"
            ) from error
