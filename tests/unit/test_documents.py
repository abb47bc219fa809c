"""Documents and their ids."""

from __future__ import annotations

import ast
import inspect
import math
import pickle
import uuid
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from splade_connectors import Document
from splade_connectors.errors import InvalidDocument
from splade_qdrant.documents import point_id

TEXT_IDS = st.text(min_size=1, max_size=20)
IDS = st.one_of(TEXT_IDS, st.integers(), st.integers(-3, 3).map(str), st.uuids().map(str))


@pytest.mark.parametrize("id", ["a", " ", "Ünïcode ✓", "a" * 5000, 0, -1, 2**200, "0"])
def test_strings_and_integers_are_ids(id: Any) -> None:
    assert Document(id=id).id == id


@pytest.mark.parametrize(
    ("given", "id"),
    [
        (np.int8(-3), -3),
        (np.uint64(2**64 - 1), 2**64 - 1),
        (np.str_("a"), "a"),
        (uuid.UUID(int=1), "00000000-0000-0000-0000-000000000001"),
    ],
)
def test_ids_of_other_libraries_are_plain_ones(given: Any, id: Any) -> None:
    found = Document(id=given).id
    assert (found, type(found)) == (id, type(id))


def test_the_arguments_that_type_checkers_see_are_those_there_are() -> None:
    tree = ast.parse(inspect.getsource(Document))
    (shown,) = (
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.If) and getattr(node, "name", "") == "__init__"
    )
    names = [argument.arg for argument in shown.args.kwonlyargs]
    assert names == list(inspect.signature(Document).parameters)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.longdouble])
def test_dense_vectors_of_any_numpy_type(dtype: Any) -> None:
    vector: Any = np.array([0.5, -0.25], dtype)
    assert list(map(float, Document(id=1, dense=vector).dense_vectors()[""])) == [0.5, -0.25]
    with pytest.raises(InvalidDocument, match="contains NaN or infinity"):
        Document(id=1, dense={"dense": np.array([np.nan, 1], dtype)})  # type: ignore[dict-item]


@pytest.mark.parametrize(
    ("id", "sentence"),
    [
        (np.bool_(True), r"not np\.True_"),
        (np.float64(1), r"not np\.float64\(1\.0\)"),
        (np.timedelta64(1, "s"), "not np.timedelta64"),
        (True, "a document id must be a string, an integer or a UUID, not True"),
        (None, "not None"),
        (1.0, r"not 1\.0"),
        (b"a", "not b'a'"),
        (["a"], r"not \['a'\]"),
        ("", "a document id must not be the empty string"),
        ("\ud800", "not valid Unicode"),
    ],
)
def test_anything_else_is_refused(id: Any, sentence: str) -> None:
    with pytest.raises(InvalidDocument, match=sentence):
        Document(id=id)


@pytest.mark.parametrize(
    ("id", "point"),
    [
        (0, 0),
        (5, 5),
        (2**64 - 1, 2**64 - 1),
        (2**64, "1e94a6f0-a546-5bbf-a204-4b41abe5abeb"),
        (-1, "247f5c47-0875-5c17-80a8-7633c647dae2"),
        ("5", "511f15e0-c675-5509-bf00-fc9a0ee63e87"),
        ("bread", "4eec1eb8-4d66-5761-9dd8-b4946606abda"),
        ("apple.pie/1", "5469b056-50e3-5033-bfe5-bd0b45d412a6"),
        ("Ünïcode id ✓", "9cfc3ef0-adf3-5286-b105-37875e932ce0"),
        ("00000000-0000-4000-8000-000000000001", "00000000-0000-4000-8000-000000000001"),
    ],
)
def test_the_point_of_an_id_is_the_same_for_ever(id: Any, point: int | str) -> None:
    assert point_id(id) == point


@given(IDS)
def test_a_point_id_is_one_that_qdrant_takes(id: int | str) -> None:
    found = point_id(id)
    if isinstance(found, int):
        assert 0 <= found < 2**64
    else:
        assert str(uuid.UUID(found)) == found
    assert found == point_id(id)


@given(st.sets(IDS, max_size=30))
def test_different_ids_have_different_points(ids: set[int | str]) -> None:
    assert len({point_id(id) for id in ids}) == len(ids)


@given(st.integers())
def test_a_number_and_its_text_are_two_documents(number: int) -> None:
    assert len({point_id(number), point_id(str(number)), point_id(f"int:{number}")}) == 3


SPELLINGS: dict[str, Callable[[str], str]] = {
    "as it comes back": str,
    "upper case": str.upper,
    "an md5": lambda text: text.replace("-", ""),
    "an md5 in upper case": lambda text: text.replace("-", "").upper(),
    "in braces": lambda text: f"{{{text}}}",
    "as a URN": lambda text: f"urn:uuid:{text}",
}


@given(st.uuids(), st.sampled_from(sorted(SPELLINGS)))
def test_every_spelling_of_a_uuid_is_the_same_point(value: uuid.UUID, spelling: str) -> None:
    assert point_id(SPELLINGS[spelling](str(value))) == str(value)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "bread",
        "{6c1d2f0a0d3b5c559b505b1f6a3f9e11}",
        "urn:uuid:6c1d2f0a0d3b5c559b505b1f6a3f9e11",
        "uuid:6c1d2f0a-0d3b-5c55-9b50-5b1f6a3f9e11",
        "6c1d2f0a0d3b-5c55-9b50-5b1f6a3f9e11",
        " 6c1d2f0a-0d3b-5c55-9b50-5b1f6a3f9e11",
        "6c1d2f0a0d3b5c559b505b1f6a3f9e1",
        "6c1d2f0a0d3b5c559b505b1f6a3f9e1g",
        "\uff16c1d2f0a0d3b5c559b505b1f6a3f9e11",
        # Python's own parser takes these.
        "6c1d2f0a0d3b5c559b505b1f6a3f9e_1",
        "+c1d2f0a0d3b5c559b505b1f6a3f9e11",
        "0x1d2f0a0d3b5c559b505b1f6a3f9e11",
        "6c1d2f0a-0d3b-5c55-9b50-5b1f6a3f9e11\n",
    ],
)
def test_what_qdrant_takes_for_no_uuid_is_a_text(text: str) -> None:
    assert uuid.UUID(str(point_id(text))).version == 5


class Unspeakable:
    """A value of a caller's whose methods fail."""

    def __repr__(self) -> str:
        raise RuntimeError("no words")


@pytest.mark.parametrize(
    "id",
    [
        Unspeakable(),
        {"name": "x" * 60_000},
        [["x" * 60_000]] * 500,
        10**5000,
        -(10**400),
        "\ud800" * 60_000,
        b"x" * 60_000,
    ],
    ids=["no repr", "object", "list", "10^5000", "-10^400", "surrogates", "bytes"],
)
def test_what_is_no_id_is_named_in_a_line(id: Any) -> None:
    with pytest.raises(InvalidDocument) as found:
        Document(id=id)
    assert len(str(found.value)) < 300
    assert str(found.value).isprintable()


@pytest.mark.parametrize("dense", [(value for value in [1.0]), {"a": Unspeakable()}, Unspeakable()])
def test_what_is_no_dense_vector_is_named(dense: Any) -> None:
    with pytest.raises(InvalidDocument, match="is not a list of numbers"):
        Document(id="a", dense=dense)


@pytest.mark.parametrize("text", [None, 5, b"x", ["x"]])
def test_a_text_that_is_no_string_is_refused(text: Any) -> None:
    kind = type(text).__name__
    with pytest.raises(InvalidDocument, match=f"text of document 'a' must be a string, not {kind}"):
        Document(id="a", text=text)


def test_a_payload_that_is_no_mapping_is_refused() -> None:
    with pytest.raises(
        InvalidDocument, match="payload of document 'a' must be a mapping, not list"
    ):
        Document(id="a", payload=[1])  # type: ignore[arg-type]


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_dense_vector_with_nan_or_infinity_is_refused(value: float) -> None:
    with pytest.raises(
        InvalidDocument, match=r"the dense vector of document 'a' contains NaN or inf"
    ):
        Document(id="a", dense=[0.0, value])
    with pytest.raises(
        InvalidDocument, match="the dense vector 'title' of document 'a' contains NaN"
    ):
        Document(id="a", dense={"text": [0.0], "title": np.array([value])})


@pytest.mark.parametrize("dense", ["[0.1]", [None], [10**400], 3, {"text": 3}])
def test_a_dense_vector_without_numbers_is_refused(dense: Any) -> None:
    with pytest.raises(
        InvalidDocument, match=r"the dense vector.* of document 'a' is not a list of numbers"
    ):
        Document(id="a", dense=dense)


def test_dense_vectors_by_name() -> None:
    assert Document(id="a").dense_vectors() == {}
    assert Document(id="a", dense=[1.0, 2.0]).dense_vectors() == {"": [1.0, 2.0]}
    assert Document(id="a", dense={"title": [1.0]}).dense_vectors() == {"title": [1.0]}


def test_a_document_survives_pickling() -> None:
    document = Document(id="a", text="b", payload={"c": [1]}, dense={"d": [0.5]}, line=3)
    assert pickle.loads(pickle.dumps(document)) == document


@pytest.mark.parametrize("dense", [[[1.0, 2.0], [3.0, 4.0]], {"a": ((1.0,),)}, np.ones((2, 3))])
def test_a_multivector_is_a_sentence(dense: Any) -> None:
    with pytest.raises(InvalidDocument, match=r"is a list of vectors \(a multivector\), which"):
        Document(id=1, dense=dense)
