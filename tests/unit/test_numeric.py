"""Numbers in options: text, booleans and the like are refused with a sentence, everywhere."""

from __future__ import annotations

import dataclasses
from typing import Any, get_type_hints

import numpy as np
import pytest

from splade_connectors import options
from splade_connectors.errors import ConfigurationError
from splade_connectors.fusion import DistributionBased, Rrf, WeightedSum, legs
from splade_connectors.options import AttachOptions, EncodeOptions, SearchOptions, WriteOptions
from splade_connectors.testing import MemoryStore
from splade_connectors.testing.encoder import HashEncoder

# Names that the modules import for type checkers only.
LATER: dict[str, Any] = {"SparseEncoder": Any, **vars(legs), **vars(options)}
NUMBERS = {int, float, int | None, float | None}
# A report, not options.
CLASSES = [
    found
    for module in (options, legs)
    for found in vars(module).values()
    if isinstance(found, type) and dataclasses.is_dataclass(found)
    if found.__module__ == module.__name__
    if found is not options.Progress
]
FIELDS = [
    (found, name)
    for found in CLASSES
    for name, hint in get_type_hints(found, LATER).items()
    if hint in NUMBERS
]


def given(kind: Any, name: str, value: Any) -> Any:
    required = {"vector": [1.0]} if kind is legs.DenseLeg else {}
    return kind(**required, **{name: value})


def test_the_list_of_fields_is_what_it_should_be() -> None:
    names = {name for _, name in FIELDS}
    assert names >= {"limit", "offset", "max_query_terms", "min_score", "candidates", "timeout_s"}
    assert len(FIELDS) >= 30


@pytest.mark.parametrize("value", ["3", True, False, float("nan"), [3], b"3", 3j, object], ids=repr)
@pytest.mark.parametrize(("kind", "name"), FIELDS)
def test_what_is_no_number_is_refused(kind: Any, name: str, value: Any) -> None:
    with pytest.raises(ConfigurationError, match=f"^{name} .*must .*, not "):
        given(kind, name, value)


@pytest.mark.parametrize(("kind", "name"), FIELDS)
def test_whole_numbers_and_numbers_are_accepted(kind: Any, name: str) -> None:
    whole = get_type_hints(kind, LATER)[name] in (int, int | None)
    value: Any = 16 if whole else 0.5
    assert getattr(given(kind, name, value), name) == value
    if whole:
        with pytest.raises(ConfigurationError, match=f"{name} must be a whole number"):
            given(kind, name, 16.5)


@pytest.mark.parametrize("value", ["3", True, None, float("inf")], ids=repr)
def test_weights_of_a_fusion_are_numbers(value: Any) -> None:
    for make in (
        lambda: Rrf(k=value),
        lambda: Rrf(weights=(1.0, value)),
        lambda: DistributionBased(weights=(value,)),
        lambda: WeightedSum(scale=(1.0, value)),
    ):
        with pytest.raises(ConfigurationError, match="must be"):
            make()


@pytest.mark.parametrize("part", [("0", 4), (0, "4"), (True, 4), (0, 4.0)])
def test_a_part_is_two_whole_numbers(part: Any) -> None:
    with pytest.raises(ConfigurationError, match="part must be two whole numbers"):
        AttachOptions(text_fields=("text",), part=part)


def test_numbers_of_numpy_are_numbers() -> None:
    assert SearchOptions(min_score=np.float32(0.5)).min_score == 0.5  # type: ignore[arg-type]
    assert WriteOptions(chunk_documents=np.int64(3)).chunk_documents == 3  # type: ignore[arg-type]
    assert EncodeOptions(batch_size=np.int32(3)).batch_size == 3  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["limit", "offset", "max_query_terms", "min_score"])
@pytest.mark.parametrize("value", ["3", True])
def test_a_search_says_it(name: str, value: Any) -> None:
    store = MemoryStore(HashEncoder())
    with pytest.raises(ConfigurationError, match=f"{name} must be a .*number.*, not {value!r}"):
        store.search("water", **{name: value})
