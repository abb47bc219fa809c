"""The files of an ONNX graph: the graph itself, and the external data that it names.

Parsed without the package `onnx`, which only converting models needs: the graph is a protocol
buffer message, and only the few fields on the way to a tensor's `external_data` are followed.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from pathlib import Path, PurePosixPath, PureWindowsPath

from splade_connectors.errors import ModelError

Message = memoryview

# By kind of message in onnx.proto: field number -> kind of the message in that field.
_PATHS: dict[str, dict[int, str]] = {
    "model": {7: "graph", 25: "function"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "function": {7: "node"},
    "node": {5: "attribute"},
    "attribute": {
        5: "tensor",
        6: "graph",
        10: "tensor",
        11: "graph",
        22: "sparse",
        23: "sparse",
    },
    "sparse": {1: "tensor", 2: "tensor"},
    "tensor": {13: "entry"},
}
_KEY, _VALUE = 1, 2
_VARINT, _EIGHT_BYTES, _BYTES, _FOUR_BYTES = 0, 1, 2, 5
_DEEPEST = 40


def data_files(graph: Path, folder: Path) -> list[Path]:
    """The external data files of an ONNX file.

    Args:
        graph: the ONNX file.
        folder: the model's folder, which must contain the data. A snapshot in the Hugging Face
            hub's cache consists of links to files beside it, which count as inside.

    Raises:
        ModelError: if the file is not an ONNX graph, or names data that is missing or outside.
    """
    roots = _roots(folder)
    return [_checked(graph, location, roots) for location in locations(graph)]


def locations(graph: Path) -> list[str]:
    """The paths of external data that an ONNX file names; each once.

    Raises:
        ModelError: if the file is not an ONNX graph.
    """
    try:
        with graph.open("rb") as file:
            # Never closed explicitly: an error may still refer to a part of it.
            data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        found = list(dict.fromkeys(_locations(memoryview(data), "model", 0)))
    except (ValueError, IndexError, OSError) as error:
        raise ModelError(
            f"the ONNX file {graph} cannot be read and may be truncated or corrupt: {error}"
        ) from error
    return found


def _locations(message: Message, kind: str, depth: int) -> Iterator[str]:
    if depth > _DEEPEST:
        raise ValueError("graphs are nested too deep")
    inside = _PATHS[kind]
    for number, value in _fields(message):
        if number not in inside:
            continue
        if inside[number] == "entry":
            entry = {at: bytes(part) for at, part in _fields(value)}
            if entry.get(_KEY) == b"location":
                yield entry.get(_VALUE, b"").decode("utf-8")
        else:
            yield from _locations(value, inside[number], depth + 1)


def _fields(message: Message) -> Iterator[tuple[int, Message]]:
    """Number and content of the fields that hold bytes; others are skipped."""
    at, end = 0, len(message)
    while at < end:
        tag, at = _varint(message, at)
        kind = tag & 7
        if kind == _VARINT:
            _, at = _varint(message, at)
        elif kind == _BYTES:
            size, at = _varint(message, at)
            if at + size > end:
                raise ValueError("a field ends beyond the file")
            yield tag >> 3, message[at : at + size]
            at += size
        elif kind in (_EIGHT_BYTES, _FOUR_BYTES):
            at += 8 if kind == _EIGHT_BYTES else 4
        else:
            raise ValueError(f"a field has the wire type {kind}")


def _varint(message: Message, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        byte = message[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at
    raise ValueError("a number is too long")


def _roots(folder: Path) -> list[Path]:
    roots = [folder.resolve()]
    # …/models--OWNER--NAME/snapshots/COMMIT, with links to …/models--OWNER--NAME/blobs.
    for place in roots[0].parents:
        if place.name == "snapshots" and place.parent.name.startswith("models--"):
            return [*roots, place.parent / "blobs"]
    return roots


def _checked(graph: Path, location: str, roots: list[Path]) -> Path:
    kinds = (PurePosixPath(location), PureWindowsPath(location))
    if not location or any(path.is_absolute() or ".." in path.parts for path in kinds):
        raise ModelError(_outside(graph, location))
    path = graph.parent / location
    if not path.is_file():
        raise ModelError(
            f"the ONNX file {graph} has its weights in {location!r}, which does not exist"
        )
    target = path.resolve()
    if not any(target.is_relative_to(root) for root in roots):
        raise ModelError(_outside(graph, location))
    return path


def _outside(graph: Path, location: str) -> str:
    return (
        f"the ONNX file {graph} has its weights in {location!r}, outside the model's folder: "
        "refused; keep the weights beside the graph"
    )
