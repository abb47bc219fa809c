"""Where ONNX files say that their weights are, read without the package onnx."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from splade_connectors.encoders.onnx_files import data_files, locations
from splade_connectors.errors import ModelError

BUNDLED = Path(__file__).parent.parent.parent / "splade_connectors" / "models" / "splade-tiny"


def field(number: int, content: bytes) -> bytes:
    """A field of bytes, as protocol buffers have it."""
    return varint(number << 3 | 2) + varint(len(content)) + content


def varint(value: int) -> bytes:
    found = b""
    while value > 127:
        found, value = found + bytes([value & 127 | 128]), value >> 7
    return found + bytes([value])


def tensor(location: str) -> bytes:
    """A TensorProto whose data is elsewhere."""
    pairs = {"offset": "0", "location": location, "length": "4"}
    entries = [field(1, key.encode()) + field(2, value.encode()) for key, value in pairs.items()]
    return varint(2 << 3) + b"\x01" + b"".join(field(13, entry) for entry in entries)


def model(graph: bytes, *more: bytes) -> bytes:
    """A ModelProto: version, producer, graph."""
    return varint(1 << 3) + b"\x08" + field(2, b"made by hand") + field(7, graph) + b"".join(more)


IN_A_NODE = field(1, field(4, b"Constant") + field(5, field(5, tensor("in/a/node"))))
IN_A_LIST = field(1, field(5, field(10, tensor("in_a_list"))))
IN_A_BRANCH = field(1, field(5, field(6, field(5, tensor("in_a_branch")))))
IN_BRANCHES = field(1, field(5, field(11, field(5, tensor("in_branches")))))
SPARSE = field(15, field(1, tensor("values")) + field(2, tensor("indices")))
FUNCTION = field(25, field(7, field(5, field(5, tensor("in_a_function")))))


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (model(field(5, tensor("a"))), ["a"]),
        (model(field(5, tensor("a")) + field(5, tensor("b")) + field(5, tensor("a"))), ["a", "b"]),
        (model(IN_A_NODE + IN_A_LIST), ["in/a/node", "in_a_list"]),
        (model(IN_A_BRANCH + IN_BRANCHES), ["in_a_branch", "in_branches"]),
        (model(SPARSE), ["values", "indices"]),
        (model(b"", FUNCTION), ["in_a_function"]),
        (model(field(5, field(9, b"raw data with \x6a bytes that look like fields"))), []),
        (model(b""), []),
    ],
)
def test_every_place_of_a_tensor_is_looked_at(
    tmp_path: Path, content: bytes, expected: list[str]
) -> None:
    (tmp_path / "model.onnx").write_bytes(content)
    assert locations(tmp_path / "model.onnx") == expected


def test_the_bundled_graph_is_one_file() -> None:
    assert data_files(BUNDLED / "model.onnx", BUNDLED) == []


@given(st.binary(min_size=1, max_size=300))
def test_other_bytes_are_no_graph_or_have_no_data(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.onnx"
    path.write_bytes(content)
    said = ""
    try:
        locations(path)
    except ModelError as error:
        said = str(error)
    assert said == "" or "any.onnx cannot be read and may be truncated or corrupt" in said


def test_a_graph_nested_without_end_is_refused(tmp_path: Path) -> None:
    graph = field(5, tensor("a"))
    for _ in range(30):
        graph = field(1, field(5, field(6, graph)))
    (tmp_path / "model.onnx").write_bytes(model(graph))
    with pytest.raises(ModelError, match="nested too deep"):
        locations(tmp_path / "model.onnx")


@pytest.mark.parametrize(
    "location", ["", "/etc/passwd", "../a", "x/../../a", "C:\\a", "..\\a", "\\\\host\\a", "a/.."]
)
def test_data_elsewhere_is_refused(tmp_path: Path, location: str) -> None:
    (tmp_path / "model.onnx").write_bytes(model(field(5, tensor(location))))
    with pytest.raises(ModelError, match="outside the model's folder: refused"):
        data_files(tmp_path / "model.onnx", tmp_path)


def test_data_beside_it_and_below_it(tmp_path: Path) -> None:
    graph = tmp_path / "onnx" / "model.onnx"
    (tmp_path / "onnx" / "data").mkdir(parents=True)
    graph.write_bytes(model(field(5, tensor("a")) + field(5, tensor("data/b"))))
    for name in ("a", "data/b"):
        with pytest.raises(ModelError, match=f"'{name}', which does not exist"):
            data_files(graph, tmp_path)
        (graph.parent / name).write_bytes(b"1234")
    assert data_files(graph, tmp_path) == [graph.parent / "a", graph.parent / "data" / "b"]


def test_a_link_out_of_the_folder_is_refused_and_one_inside_it_is_followed(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "model.onnx").write_bytes(model(field(5, tensor("a"))))
    (folder / "b").write_bytes(b"1234")
    (folder / "a").symlink_to(folder / "b")
    assert data_files(folder / "model.onnx", folder) == [folder / "a"]
    (folder / "b").rename(tmp_path / "b")
    (folder / "a").unlink()
    (folder / "a").symlink_to(tmp_path / "b")
    with pytest.raises(ModelError, match="outside the model's folder"):
        data_files(folder / "model.onnx", folder)
    # The folder itself may be a link.
    (folder / "a").unlink()
    (tmp_path / "b").rename(folder / "a")
    (tmp_path / "link").symlink_to(folder)
    linked = tmp_path / "link"
    assert data_files(linked / "model.onnx", linked) == [linked / "a"]
