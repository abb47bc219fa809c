"""Records of ours that others have edited: every verb answers with a sentence."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from splade_connectors import Document, Store, connect
from splade_connectors.errors import ConfigurationError, ManifestMismatch
from splade_connectors.manifest import MANIFEST_KEY
from splade_connectors.testing import HashEncoder

STATE = f"{MANIFEST_KEY}_state"
WRONG: dict[str, tuple[str, Any]] = {
    "manifests are a list": (MANIFEST_KEY, ["splade"]),
    "manifests are a text": (MANIFEST_KEY, "x" * 60_000),
    "a manifest is a number": (MANIFEST_KEY, {"splade": 5}),
    "a manifest is empty": (MANIFEST_KEY, {"splade": {}}),
    "states are a list": (STATE, ["splade"]),
    "a state is a text": (STATE, {"splade": "other"}),
    "a model is an object": ("model", {"name": "\x1b[31m"}),
    "a length is a text": ("max_length", "256"),
    "text fields are numbers": ("text_fields", [1]),
    "a tuning is a list": ("tuning", ["rrf"]),
}
VERBS: dict[str, Callable[[Store], Any]] = {
    "search": lambda store: store.search("water"),
    "index": lambda store: store.index([Document(id=2, text="salt")]),
    "inspect": lambda store: store.inspect(),
    "update": lambda store: store.update(1, payload={"text": "salt"}),
    "verify": lambda store: store.verify(),
    "tuning": lambda store: store.tuning(),
}


@pytest.fixture
def shard(tmp_path: Path) -> Path:
    with connect(f"edge:{tmp_path}/shard", encoder=HashEncoder()) as store:
        store.index([Document(id=1, text="water")])
    return tmp_path / "shard"


def edited(shard: Path, key: str, value: Any) -> None:
    """Write another value into the record that lies beside the shard."""
    (path,) = [
        path
        for path in shard.parent.rglob("*.json")
        if MANIFEST_KEY in path.read_text(encoding="utf-8", errors="replace")
    ]
    record = json.loads(path.read_text())
    if key.startswith(MANIFEST_KEY):
        record[key] = value
    else:
        record[MANIFEST_KEY]["splade"][key] = value
    path.write_text(json.dumps(record))


@pytest.mark.parametrize(("key", "value"), WRONG.values(), ids=WRONG)
def test_wrong_types_in_a_record_are_a_sentence(shard: Path, key: str, value: Any) -> None:
    edited(shard, key, value)
    for name, verb in VERBS.items():
        with (
            connect(f"edge:{shard}", encoder=HashEncoder()) as store,
            pytest.raises((ManifestMismatch, ConfigurationError)) as found,
        ):
            verb(store)
        assert len(str(found.value)) < 1000, name
        assert str(found.value).isprintable(), name


@pytest.mark.parametrize(
    "tuning",
    [{"fusion": 5}, {"legs": "sparse"}, {"format": 99}, {"against": []}, {"format": "\x1b[31m"}],
    ids=str,
)
def test_a_tuning_that_is_none_is_a_sentence(shard: Path, tuning: dict[str, Any]) -> None:
    edited(shard, "tuning", tuning)
    with connect(f"edge:{shard}", encoder=HashEncoder()) as store:
        with pytest.raises(ConfigurationError, match=r"cannot be used: .*tune --forget"):
            store.tuning()
        assert len(store.search("water")) == 1
        store.save_tuning(None)
        assert store.tuning() is None
