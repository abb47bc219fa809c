"""Dead letters: what a store turned away, with its reason, in a file that can be indexed again."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any, Self

from splade_connectors.documents import Document, Rejected
from splade_connectors.errors import ConfigurationError, InvalidDocument


class DeadLetters:
    """Writes rejections to a JSONL file as they come. Usable as a context manager.

    The file is made at the first rejection, so that a run without any leaves none; one that is
    there is replaced then.

    Args:
        path: the file.
        bodies: keep the documents themselves too, and servers' words that may quote them; without
            them the file tells ids and reasons.

    Raises:
        ConfigurationError: at once, when the folder is not there.
    """

    def __init__(self, path: str | Path, *, bodies: bool = True) -> None:
        self.path = Path(path)
        self.count = 0
        self._bodies = bodies
        self._file: IO[str] | None = None
        if not self.path.parent.is_dir():
            raise ConfigurationError(
                f"dead letters cannot be written to {self.path}: there is no folder "
                f"{self.path.parent}"
            )

    def add(
        self, rejected: Rejected, document: Document | None = None, *, text: str | None = None
    ) -> None:
        """Append one line: id, reason, line, and the document where there is one.

        Args:
            rejected: what was turned away.
            document: whole, so that it can be indexed again.
            text: of a stored document whose vector was turned away. It is not the whole document,
                so it is not indexed again: `attach` finds it by itself.
        """
        if self._file is None:
            self._file = self._opened()
        letter: dict[str, Any] = {
            "id": rejected.id,
            "reason": rejected.reason,
            "line": rejected.line,
        }
        if text is not None:
            letter["attach"] = True
        if self._bodies:
            letter |= {"detail": rejected.detail} if rejected.detail else {}
            letter |= {"text": text} if text is not None else {}
            letter["document"] = _body(document) if document else None
        self._file.write(json.dumps(letter, ensure_ascii=True) + "\n")
        self.count += 1

    def close(self) -> None:
        """Write out what is buffered and close the file."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _opened(self) -> IO[str]:
        try:
            # Line by line: what was rejected before a crash is in the file.
            return self.path.open("w", encoding="utf-8", buffering=1)
        except OSError as error:
            reason = error.strerror or type(error).__name__
            raise ConfigurationError(
                f"dead letters cannot be written to {self.path}: {reason}"
            ) from error


def read_dead_letters(path: str | Path) -> Iterator[Document | Rejected]:
    """The documents in a file of dead letters, to be indexed again.

    Letters without a document (a row that was none, or `--no-bodies`) come back as rejections.

    Raises:
        ConfigurationError: when the file cannot be read, or a line is no dead letter.
    """
    path = Path(path)
    try:
        with path.open(encoding="utf-8") as lines:
            for number, line in enumerate(lines, start=1):
                if line.strip():
                    yield _letter(line, number, path)
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"the dead letters in {path} cannot be read: {error}") from error


def _letter(line: str, number: int, path: Path) -> Document | Rejected:
    try:
        letter = json.loads(line)
        body, id = letter.get("document"), letter["id"]
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise ConfigurationError(
            f"line {number} of {path} is no dead letter (id, reason, document): {error}"
        ) from error
    if letter.get("attach"):
        raise ConfigurationError(
            f"{path} is of `attach`: its documents are in the store, and `attach` tries them again"
        )
    origin = letter.get("line")
    if body is None:
        reason = f"the dead letter holds no document; it was: {letter.get('reason')}"
        return Rejected(id=id, reason=reason, line=origin)
    try:
        return Document(
            id=id,
            text=body["text"],
            payload=body["payload"],
            dense=body.get("dense"),
            line=origin,
        )
    except (InvalidDocument, KeyError, TypeError) as error:
        return Rejected(id=id, reason=str(error), line=origin)


def _body(document: Document) -> dict[str, Any]:
    dense: Any = document.dense
    if isinstance(dense, Mapping):
        dense = {name: [float(value) for value in values] for name, values in dense.items()}
    elif dense is not None:
        dense = [float(value) for value in dense]
    return {"text": document.text, "payload": _plain(document.payload), "dense": dense}


def _plain(payload: Mapping[str, Any]) -> Any:
    """The payload, with what is no JSON shown as text: it may be the reason for the rejection."""
    return json.loads(json.dumps(dict(payload), default=repr))
