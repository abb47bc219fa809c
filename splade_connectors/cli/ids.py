"""Document ids as given on the command line and in files, and the documents they refer to."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from splade_connectors.documents import document_id
from splade_connectors.errors import ConfigurationError
from splade_connectors.shown import quoted, reason_of

if TYPE_CHECKING:
    from splade_connectors.documents import DocumentId
    from splade_connectors.store import Store

_FIELDS = ("_id", "id")


class Exactly:
    """An id whose type is known, because it was written as JSON.

    Args:
        id: document id.
    """

    def __init__(self, id: DocumentId) -> None:
        self.id = document_id(id)


def ids_in(file: Path) -> list[str | Exactly]:
    """Return the ids in a file, one per line: plain, or JSON (a string, or an object with an id).

    Raises:
        ConfigurationError: if the file cannot be read, or a line has no id.
    """
    is_input = str(file) == "-"
    try:
        text = sys.stdin.read() if is_input else file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError, AttributeError) as error:
        raise ConfigurationError(f"cannot read {file}: {reason_of(error)}") from error
    lines = enumerate(text.splitlines(), start=1)
    return [_id_in(line.strip(), number) for number, line in lines if line.strip()]


def _id_in(line: str, number: int) -> str | Exactly:
    if line[0] not in '{"':
        return line
    try:
        found = json.loads(line)
    except ValueError as error:
        raise ConfigurationError(f"line {number} is not JSON: {error}") from error
    if isinstance(found, dict):
        found = next((found[name] for name in _FIELDS if name in found), None)
    if not isinstance(found, str | int):
        raise ConfigurationError(f"line {number} has no id ('_id' or 'id')")
    return Exactly(found)


def meant(
    store: Store, given: Sequence[str | Exactly]
) -> tuple[list[DocumentId], list[DocumentId]]:
    """Return the ids of existing documents, and the given ids that match none.

    On a command line, numbers and strings look alike: both are looked up.

    Raises:
        ConfigurationError: if both exist and are different documents.
    """
    known = set(store.known(list(_candidates(given))))
    found: list[DocumentId] = []
    absent: list[DocumentId] = []
    for item in given:
        here = [id for id in _forms(item) if id in known]
        if len(here) > 1 and _are_two(store, here):
            raise ConfigurationError(
                f"{quoted(here[0])} and {quoted(here[1])} are different documents: say which one "
                'you mean in a JSON file, {"id": …} (--file)'
            )
        if here:
            found.append(here[0])
        else:
            absent.append(_forms(item)[0])
    return list(dict.fromkeys(found)), absent


def _candidates(given: Iterable[str | Exactly]) -> Iterable[DocumentId]:
    return dict.fromkeys(id for item in given for id in _forms(item))


def _forms(item: str | Exactly) -> list[DocumentId]:
    if isinstance(item, Exactly):
        return [item.id]
    is_number = item.removeprefix("-").isdecimal() and item.isascii()
    return [item, int(item)] if is_number and len(item) < len(str(2**1023)) else [item]


def _are_two(store: Store, ids: Sequence[DocumentId]) -> bool:
    """Whether a string and its number are two documents: some stores treat them as one id."""
    return len({document.id for document in store.get(ids)}) > 1
