"""Dead letters: rejected documents and their reasons, in a file that can be indexed again."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Self

from splade_connectors.documents import Document, Rejected
from splade_connectors.errors import ConfigurationError, InvalidDocument
from splade_connectors.files.letter_file import LetterFile
from splade_connectors.files.outputs import same_file
from splade_connectors.shown import reason_of, sketch
from splade_connectors.values import stored_payload
from splade_connectors.vectors import SparseVector

# The fields of a letter without its document, and the mark of one that must not be retried.
_BARE = {"id", "reason", "line", "file"}
_FINAL = {"again": False}


class DeadLetters:
    """Writes rejections to a JSONL file as they occur. Usable as a context manager.

    The file is created at the first rejection, so a run without any leaves none. An existing
    regular file is replaced then, keeping its mode; a new one has mode 600. A letter contains its
    document as passed in, or a mark that it must not be retried. If the disk is full, writing
    continues in the temporary folder, and a warning names the file.

    Args:
        path: the file; None means one named after the current time that does not exist yet, in the
            current folder or, if that is not writable (or is the root of a container), in the
            temporary folder.
        bodies: include the documents, and servers' messages that may quote them; otherwise the
            file contains only ids and reasons.

    Attributes:
        count: number of letters.
        again: number of letters that may succeed if retried.

    Raises:
        ConfigurationError: immediately, if the folder does not exist or the file is not writable.
    """

    def __init__(self, path: str | Path | None = None, *, bodies: bool = True) -> None:
        self._file = LetterFile(path)
        self.count = self.again = 0
        self._bodies = bodies

    @property
    def path(self) -> Path:
        """The file; the last one if the first one's disk was full."""
        return self._file.path

    def add(
        self, rejected: Rejected, document: Document | None = None, *, text: str | None = None
    ) -> None:
        """Append one line: id, reason, source line, and the document if there is one.

        Args:
            rejected: the rejection.
            document: the whole document, so that it can be indexed again.
            text: text of a stored document whose vector was rejected. It is not the whole
                document, so it is not indexed again; `attach` finds it anyway.
        """
        letter = self._letter(rejected, document, text)
        self._file.write(json.dumps(letter, ensure_ascii=True) + "\n")
        self.count += 1
        self.again += letter["again"]

    def _letter(
        self, rejected: Rejected, document: Document | None, text: str | None
    ) -> dict[str, Any]:
        if rejected.letter is not None:  # unchanged
            kept = rejected.letter.items()
            return {name: value for name, value in kept if self._bodies or name in _BARE} | _FINAL
        body, whole = _body(document) if document and self._bodies else (None, False)
        letter: dict[str, Any] = {
            "id": rejected.id,
            "reason": rejected.reason,
            "line": rejected.line,
            **({} if rejected.file is None else {"file": rejected.file}),
            "again": whole and not rejected.final,
        }
        if text is not None:
            letter["attach"] = True
        if self._bodies:
            letter |= {"detail": rejected.detail} if rejected.detail else {}
            letter |= {"text": text} if text is not None else {}
            letter["document"] = body
        return letter

    def replaces(self, file: Path) -> bool:
        """Return whether the letters would overwrite this file ("-" is stdin)."""
        return self._file.named and same_file(self.path, file)

    def close(self) -> None:
        """Flush and close the file."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


def named_file(letters: DeadLetters | None) -> str | None:
    """Return the path of the dead-letter file for reports; None if there are no letters."""
    return str(letters.path) if letters is not None and letters.count else None


def is_hopeless(rejected: Rejected) -> bool:
    """Return whether a rejection is a dead letter that was never meant to be retried.

    Such a letter stays in its file: it is counted, and neither rejected again nor copied.
    """
    return rejected.letter is not None and rejected.letter.get("again") is False


class Letters:
    """Reads the documents in a dead-letter file, to retry them.

    Letters without a document (an invalid row, or `--no-bodies`), and those that would only fail
    again, are yielded as rejections, which `index` skips and counts (`IndexReport.skipped`).

    Attributes:
        path: the file.
        paths: the file, as a tuple.
        text_fields: always empty.
        fraction: always None: progress is unknown.

    Raises:
        ConfigurationError: if the file cannot be read, or a line is not a dead-letter record.
    """

    text_fields: tuple[str, ...] = ()
    fraction: float | None = None

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.paths = (self.path,)

    def __iter__(self) -> Iterator[Document | Rejected]:
        try:
            with self.path.open(encoding="utf-8") as lines:
                for number, line in enumerate(lines, start=1):
                    if line.strip():
                        yield _letter(line, number, self.path)
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigurationError(
                f"cannot read the dead letters in {self.path}: {reason_of(error)}"
            ) from error


def _letter(line: str, number: int, path: Path) -> Document | Rejected:
    try:
        letter = json.loads(line)
        body, id, reason = letter.get("document"), letter["id"], letter.get("reason")
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise ConfigurationError(
            f"line {number} of {path} is not a dead-letter record (id, reason, document): {error}"
        ) from error
    if letter.get("attach"):
        raise ConfigurationError(
            f"{path} was written by `attach`, so its documents are in the store; run `attach` "
            "again to retry them"
        )
    if body is None:
        return _not_again(letter, f"the dead letter contains no document; its reason: {reason}")
    if letter.get("again") is False:
        return _not_again(letter, f"not retried, because it would fail again: {reason}")
    try:
        return Document(
            id=id,
            text=body["text"],
            payload=body["payload"],
            dense=body.get("dense"),
            vector=_vector(body.get("vector")),
            line=_line_of(letter),
            file=_file_of(letter),
        )
    except (ConfigurationError, KeyError, TypeError, AttributeError) as error:
        return _not_again(letter, f"line {number} of {path} is not a valid document: {error}")


def _not_again(letter: Mapping[str, Any], reason: str) -> Rejected:
    known = letter["id"] if isinstance(letter["id"], str | int) else None
    return Rejected(id=known, reason=reason, line=_line_of(letter), final=True, letter=letter)


def _line_of(letter: Mapping[str, Any]) -> int | None:
    line = letter.get("line")
    return line if isinstance(line, int) else None


def _file_of(letter: Mapping[str, Any]) -> str | None:
    file = letter.get("file")
    return file if isinstance(file, str) else None


def _vector(raw: Mapping[str, Any] | None) -> SparseVector | None:
    return None if raw is None else SparseVector(indices=raw["indices"], values=raw["values"])


def _body(document: Document) -> tuple[dict[str, Any] | None, bool]:
    """The document as JSON, and whether it is complete.

    Values that are not JSON, which may be the reason for the rejection, are only sketched.
    """
    try:
        payload, whole = _payload(document.payload)
        body = {
            "text": document.text,
            "payload": payload,
            "dense": _dense(document.dense),
            "vector": None if document.vector is None else _vector_body(document.vector),
        }
        json.dumps(body)
        return body, whole
    except Exception:  # the caller's values may raise anything
        return None, False


def _payload(payload: Mapping[str, Any]) -> tuple[Any, bool]:
    """The payload as it would be stored, and whether it can be."""
    try:
        return stored_payload(payload), True
    except InvalidDocument:
        return sketch(dict(payload)), False


def _dense(dense: Any) -> Any:
    if isinstance(dense, Mapping):
        return {name: [float(value) for value in values] for name, values in dense.items()}
    return None if dense is None else [float(value) for value in dense]


def _vector_body(vector: SparseVector) -> dict[str, Any]:
    return {"indices": vector.indices.tolist(), "values": vector.values.tolist()}
