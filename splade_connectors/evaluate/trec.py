"""Writing run files in trec_eval's format: query Q0 document rank score tag."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from splade_connectors.documents import DocumentId
from splade_connectors.errors import ConfigurationError
from splade_connectors.files.outputs import write_text

Ranking = Iterable[tuple[DocumentId, float]]


def write_run(path: Path, rankings: Mapping[str, Ranking], tag: str) -> None:
    """Write rankings, best first. Tools that read them sort by score, with ties in any order.

    Args:
        path: output file; replaced if it exists.
        rankings: query id -> documents with their scores.
        tag: name of the system.

    Raises:
        ConfigurationError: if an id is empty or contains a space, which the format does not allow,
            or the file cannot be written.
    """
    lines = [
        f"{_word(query)} Q0 {_word(id)} {rank} {float(score)!r} {_word(tag)}\n"
        for query, ranking in rankings.items()
        for rank, (id, score) in enumerate(ranking, start=1)
    ]
    write_text(path, "".join(lines))


def _word(value: DocumentId) -> str:
    text = str(value)
    if len(text.split()) != 1 or text != text.strip():
        raise ConfigurationError(
            f"{text!r} cannot be written to a TREC run file, whose columns are separated by spaces"
        )
    return text
