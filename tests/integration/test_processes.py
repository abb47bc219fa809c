"""Stores and encoders in other processes: forked after they were used, spawned, pickled."""

from __future__ import annotations

import json
import multiprocessing
import os
import pickle
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from splade_connectors import (
    AsyncStore,
    ConfigurationError,
    ConnectOptions,
    EncodeOptions,
    PruneOptions,
    SparseEncoder,
    Store,
    aconnect,
    connect,
    load_encoder,
)
from splade_connectors.testing import MemoryStore
from tests.fronts.qdrant_grpc import QdrantGrpcFront
from tests.fronts.qdrant_rest import QdrantRestFront
from tests.integration.command_line import BUNDLED
from tests.integration.elasticsearch_server import Server, document, server_of

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
MORE = pytest.mark.full("more forks: before the first use, untouched clients, forkserver")
TEXTS = ["Flour, water, salt and time make bread.", "Yeast makes gas, so dough rises."]


@pytest.fixture(scope="module")
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    with server_of("9.3.2", request) as found:
        yield found


@pytest.fixture(scope="module")
def on_server(server: Server) -> str:
    return filled(server.target(server.new_name()))


def filled(target: str) -> str:
    with connect(target, encoder=load_encoder(engine="onnx")) as store:
        store.index([document(str(number), text) for number, text in enumerate(TEXTS)])
    return target


def forked(case: str, target: str) -> Any:
    command = [sys.executable, "-m", "tests.integration.forked", case, target]
    done = subprocess.run(command, capture_output=True, text=True, timeout=180, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return json.loads(done.stdout)


@pytest.mark.servers
@pytest.mark.parametrize("case", ["used", pytest.param("unused", marks=MORE), "async"])
def test_a_child_has_a_working_store(on_server: str, case: str) -> None:
    found = forked(case, on_server)
    assert found["child"] == {"found": ["1", "0"], "status": 0}
    assert found["after"] == ["1", "0"]


@pytest.mark.servers
def test_a_client_of_the_users_is_refused_in_the_child(on_server: str) -> None:
    found = forked("client", on_server)
    assert found["child"]["status"] == 0
    sentence = found["child"]["found"]
    assert "was used with your own client before this process was forked" in sentence
    assert found["after"] == ["1", "0"]


@pytest.mark.parametrize("front", [QdrantRestFront, QdrantGrpcFront])
def test_a_child_has_a_working_qdrant_client(front: type[Any]) -> None:
    with front() as running:
        scheme = "qdrant+grpc" if front is QdrantGrpcFront else "qdrant"
        found = forked("used", filled(f"{scheme}://{running.host}/forks"))
    assert found["child"] == {"found": ["1", "0"], "status": 0}
    assert found["after"] == ["1", "0"]


def test_an_embedded_store_says_what_to_do_in_the_child(tmp_path: Path) -> None:
    found = forked("used", filled(f"edge:{tmp_path}/shard"))
    assert found["first"] == found["after"] == ["1", "0"]
    assert "a shard can be open in one process only" in found["child"]["found"]
    assert found["child"]["status"] == 0


UNTOUCHED = {"found": None, "status": 0}


@pytest.mark.servers
@pytest.mark.parametrize("case", [pytest.param("untouched", marks=MORE), "untouched-async"])
def test_a_child_that_leaves_the_store_alone_ends(on_server: str, case: str) -> None:
    assert forked(case, on_server)["child"] == UNTOUCHED


@pytest.mark.parametrize("case", ["untouched", "untouched-async"])
@pytest.mark.parametrize("scheme", ["edge", pytest.param("qdrant", marks=MORE), "qdrant+grpc"])
def test_a_child_that_leaves_a_qdrant_store_alone_ends(
    tmp_path: Path, case: str, scheme: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # gRPC [1.76.0] notes every fork of a process that awaits it.
    monkeypatch.setenv("GRPC_VERBOSITY", "ERROR")
    if scheme == "edge":
        assert forked(case, filled(f"edge:{tmp_path}/shard"))["child"] == UNTOUCHED
        return
    with (QdrantGrpcFront if scheme == "qdrant+grpc" else QdrantRestFront)() as running:
        target = filled(f"{scheme}://{running.host}/forks")
        assert forked(case, target)["child"] == UNTOUCHED


def test_what_a_child_has_opened_is_not_destroyed_in_its_child_either(tmp_path: Path) -> None:
    script = """
import gc, os, sys, weakref
from splade_connectors import Document, connect
from splade_connectors.testing import HashEncoder

store = connect(sys.argv[1], encoder=HashEncoder())
store.index([Document(id="a", text="water")])
child = os.fork()
if child:
    sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
store.search("water")
opened = weakref.ref(store._opened)
grandchild = os.fork()
del store
gc.collect()
if not grandchild:
    os._exit(opened() is None)
os._exit(os.waitstatus_to_exitcode(os.waitpid(grandchild, 0)[1]))
"""
    with QdrantRestFront() as running:
        command = [sys.executable, "-c", script, f"qdrant://{running.host}/forks"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_child_never_destroys_the_shard_of_its_parent(tmp_path: Path) -> None:
    script = """
import gc, os, sys, weakref
from splade_connectors import connect
from splade_connectors.testing import HashEncoder

store = connect(f"edge:{sys.argv[1]}", encoder=HashEncoder())
engine = weakref.ref(store._opened.send.__self__)
child = os.fork()
del store
gc.collect()
if not child:
    os._exit(engine() is None)
assert engine() is None
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    command = [sys.executable, "-c", script, str(tmp_path / "shard")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")


# Pickles.


def encode(encoder: SparseEncoder) -> Any:
    found = encoder.encode_documents(TEXTS)
    return found.to_vectors() if hasattr(found, "to_vectors") else list(found)


@pytest.mark.parametrize("model", [None, "splade-tiny", str(BUNDLED), BUNDLED])
@pytest.mark.parametrize("engine", [None, "onnx"])
def test_an_encoder_is_pickled_by_its_model(model: Any, engine: Any) -> None:
    options = EncodeOptions(max_length=16, batch_size=3)
    mine = load_encoder(model, engine=engine, options=options)
    data = pickle.dumps(mine)
    assert len(data) < 2_000
    other = pickle.loads(data)
    assert (other.spec, other.options) == (mine.spec, options)
    for here, there in zip(encode(mine), encode(other), strict=True):
        np.testing.assert_array_equal(here.values, there.values)
    assert pickle.loads(data)._graph is other._graph  # one model for all


def test_an_encoder_that_was_fitted_stays_so() -> None:
    fitted = load_encoder().fitted(24, "passages", 4)
    assert pickle.loads(pickle.dumps(fitted)).spec == fitted.spec


def test_an_encoder_of_another_model_is_refused() -> None:
    mine = load_encoder()
    mine.spec = replace(mine.spec, revision="0123456789abcdef")
    data = pickle.dumps(mine)
    with pytest.raises(Exception, match="is not the same model in this process as in the one that"):
        pickle.loads(data)


def search_in_child(store: Store, answers: Any) -> None:
    with store:
        answers.put([hit.id for hit in store.search("why does dough rise")])


@pytest.mark.parametrize("method", ["spawn", pytest.param("forkserver", marks=MORE)])
def test_a_store_is_handed_to_another_process(tmp_path: Path, method: str) -> None:
    target = filled(f"edge:{tmp_path}/shard")
    store = connect(target, encoder=load_encoder(engine="onnx"))
    context = multiprocessing.get_context(method)
    answers = context.Queue()
    child = context.Process(target=search_in_child, args=(store, answers))
    child.start()
    assert answers.get(timeout=120) == ["1", "0"]
    child.join(60)
    assert child.exitcode == 0


SECRETS = ConnectOptions(api_key="SECRET-key", username="me", password="SECRET-pass", timeout_s=7.0)


@pytest.mark.parametrize(
    "target",
    ["qdrant+https://u:SECRET-url@localhost:1/x", "elasticsearch://u:SECRET-url@localhost:1/x"],
)
async def test_a_pickle_holds_no_secret(target: str, monkeypatch: pytest.MonkeyPatch) -> None:
    prune = PruneOptions(top_k=9)
    given: Any = {"prune": prune, "options": SECRETS}
    stores = [connect(target, **given), await aconnect(target, **given)]
    for store, kind in zip(stores, (Store, AsyncStore), strict=True):
        data = pickle.dumps(store)
        assert b"SECRET" not in data
        with monkeypatch.context() as there:
            there.setenv("ELASTICSEARCH_PASSWORD", "of the other process")
            other = pickle.loads(data)
        assert type(other) is kind
        assert repr(other) == repr(store)
        assert other._session._prune == prune
        assert other._origin.options.timeout_s == 7.0
        assert other._origin.options.username == "me"
    stores[0].close()  # type: ignore[unused-coroutine]
    await stores[1].close()  # type: ignore[misc]


def test_what_was_not_opened_by_a_url_says_why_it_has_no_pickle() -> None:
    with pytest.raises(ConfigurationError, match="cannot be pickled because it was not opened by"):
        pickle.dumps(MemoryStore())
