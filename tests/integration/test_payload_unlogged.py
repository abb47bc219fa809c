"""What documents hold stays out of logs, errors and reports, also where servers quote it."""

from __future__ import annotations

import json
import logging
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from splade_connectors import (
    DeadLetters,
    Document,
    RetryOptions,
    SpladeConnectorsError,
    Store,
    WriteOptions,
    connect,
)
from splade_connectors.cli import main
from splade_connectors.testing import HashEncoder
from splade_lucene.bulk import reason, without_values
from tests.fronts import QdrantGrpcFront, QdrantRestFront
from tests.integration.command_line import jsonl
from tests.integration.elasticsearch_fake import Answer, Asked, error, fake_elasticsearch
from tests.integration.leaks import Hunt

MARKER = "xmarkerx"
TWICE = RetryOptions(attempts=2, initial_wait_s=0.001, max_wait_s=0.002)
# What each field refuses, and servers quote: numbers, dates, … and a text beside them.
MAPPING = {
    "year": {"type": "integer"},
    "day": {"type": "date"},
    "place": {"type": "geo_point"},
    "open": {"type": "boolean"},
    "host": {"type": "ip"},
    "shape": {"type": "object"},
    "span": {"type": "integer_range"},
}
VALUES: dict[str, Any] = {
    "year": f"{MARKER} 'quoted' [bracketed] failed to parse field [{MARKER}] of type [integer]",
    "day": f"{MARKER}-01-01",
    "place": f"{MARKER},1",
    "open": MARKER,
    "host": f"10.0.{MARKER}",
    "shape": MARKER,
    "span": {"gte": MARKER},
}


@pytest.fixture(autouse=True)
def _everything_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)


def rows() -> list[dict[str, Any]]:
    """Some that are taken, and one that is refused for each field."""
    taken = [{"_id": f"good-{n}", "text": f"{MARKER} salt {n}", "note": MARKER} for n in range(5)]
    refused = [
        {"_id": name, "text": f"{MARKER} water", name: value} for name, value in VALUES.items()
    ]
    return taken + refused


def documents() -> list[Document]:
    return [Document(id=row.pop("_id"), text=row.pop("text"), payload=row) for row in rows()]


class Index:
    """An index of an owner whose mapping refuses some values."""

    def __init__(self, scheme: str, url: str) -> None:
        self.name = f"unlogged-{secrets.token_hex(6)}"
        self.target = f"{scheme}://{url.removeprefix('http://').rstrip('/')}/{self.name}"
        self.owner = httpx.Client(base_url=url, timeout=60, trust_env=False)

    def create(self, mappings: dict[str, Any]) -> None:
        self.owner.put(f"/{self.name}", json={"mappings": mappings}).raise_for_status()

    def put(self, id: str, source: dict[str, Any]) -> None:
        path = f"/{self.name}/_doc/{id}?refresh=true"
        self.owner.put(path, json=source).raise_for_status()

    def remove(self) -> None:
        self.owner.delete(f"/{self.name}")
        self.owner.close()

    def open(self) -> Store:
        return connect(self.target, encoder=HashEncoder(), retry=TWICE)


@pytest.fixture(params=["elasticsearch", "rank_features", "opensearch"])
def index(request: pytest.FixtureRequest) -> Iterator[Index]:
    url: str = request.getfixturevalue(f"{request.param}_url")
    made = Index("opensearch" if request.param == "opensearch" else "elasticsearch", url)
    yield made
    made.remove()


def reasons(report: Any) -> dict[Any, str]:
    return {item.id: item.reason for item in report.rejected}


@pytest.mark.servers
def test_values_that_a_mapping_refuses(
    index: Index, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    index.create({"properties": MAPPING})
    hunt, letters = Hunt(), {}
    for bodies in (True, False):
        path = tmp_path / f"letters-{bodies}.jsonl"
        with index.open() as store, DeadLetters(path, bodies=bodies) as kept:
            report = store.index(documents(), dead_letters=kept)
        assert (report.written, report.rejected_count) == (5, len(VALUES))
        hunt.add("report", report, json.dumps(report.to_json()))
        lines = map(json.loads, path.read_text().splitlines())
        letters[bodies] = {letter["id"]: letter for letter in lines}
    hunt.add_logs(caplog.records)
    hunt.add("letters without bodies", letters[False])
    assert hunt.found(MARKER) == []
    # The field is named, and the server's own words are beside the document.
    for name, said in reasons(report).items():
        assert f"[{name}" in said, said
    assert MARKER in letters[True]["year"]["detail"]
    assert "detail" not in letters[False]["year"]


@pytest.mark.servers
def test_documents_that_an_update_refuses(
    index: Index, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    """Stored before their fields were mapped: every update reads them again."""
    index.create({"dynamic": False, "properties": {"text": {"type": "text"}}})
    for row in rows():
        index.put(row.pop("_id"), row)
    index.owner.put(f"/{index.name}/_mapping", json={"properties": MAPPING}).raise_for_status()
    hunt, letters = Hunt(), {}
    for bodies in (True, False):
        path = tmp_path / f"letters-{bodies}.jsonl"
        with index.open() as store, DeadLetters(path, bodies=bodies) as kept:
            report = store.attach(["text"], dead_letters=kept)
        assert report.rejected_count == len(VALUES)
        hunt.add("report", report, json.dumps(report.to_json()))
        letters[bodies] = path.read_text()
    hunt.add("letters without bodies", letters[False])
    with index.open() as store:
        for change in ({"year": f"{MARKER} 5"}, {"note": MARKER}):
            try:
                store.update("good-1", payload=change)
            except SpladeConnectorsError as raised:
                hunt.add("update", raised)
    hunt.add_logs(caplog.records)
    assert hunt.found(MARKER) == []
    assert MARKER in letters[True]


@pytest.mark.servers
@pytest.mark.parametrize("more", [[], ["--json"], ["--log-json"]], ids=str)
@pytest.mark.parametrize("bodies", ["--bodies", "--no-bodies"])
def test_the_command_line(
    elasticsearch_url: str,
    bodies: str,
    more: list[str],
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
    tmp_path: Path,
) -> None:
    made = Index("elasticsearch", elasticsearch_url)
    made.create({"properties": MAPPING})
    letters = tmp_path / "letters.jsonl"
    broken = [f'{{"_id": "broken", "text": "{MARKER}', {"_id": "none", "text": {"a": MARKER}}]
    corpus = jsonl(tmp_path / "corpus.jsonl", [*rows(), *broken])
    hunt = Hunt()
    kept = ["--dead-letters", str(letters), bodies]
    for command, code in [
        (["index", str(corpus), made.target, *kept, *more], 1),
        (["attach", made.target, "--text", "text", "--recheck", *kept, *more], 0),
        (["attach", made.target, "--text", "text", "--dry-run"], 0),
    ]:
        with pytest.raises(SystemExit) as stopped:
            main(["--verbose", *command])
        out, err = capfd.readouterr()
        assert (stopped.value.code or 0) == code, err
        hunt.add(command[0], out, err)
    hunt.add_logs(caplog.records)
    told = letters.read_text()
    if bodies == "--no-bodies":
        hunt.add("letters", told)
    made.remove()
    assert hunt.found(MARKER) == []
    assert told.count("\n") == len(VALUES) + 2
    assert (MARKER in told) == (bodies == "--bodies")


# Servers, and proxies before them, that send back what they got


def repeating(asked: Asked) -> str:
    return json.dumps(asked.body)


def whole(asked: Asked, status: int) -> Answer:
    cause = error("mapper_parsing_exception", f"cannot take {repeating(asked)}")
    return Answer(status, cause)


def page(asked: Asked, status: int) -> Answer:
    return Answer(status, f"<html>{repeating(asked)}</html>")


def each(asked: Asked, status: int) -> Answer:
    """Per document, as 6.x did: "containing [index {…, source[…]}]"."""
    cause = {"type": "unavailable_shards_exception", "reason": f"containing {repeating(asked)}"}
    items = [{"index": {"_id": id, "status": status, "error": cause}} for id in asked.ids]
    return Answer(200, {"errors": True, "items": items})


@pytest.mark.parametrize("status", [400, 413, 429, 500, 503])
@pytest.mark.parametrize("answer", [whole, page, each])
def test_answers_that_repeat_the_request(
    answer: Callable[[Asked, int], Answer],
    status: int,
    caplog: pytest.LogCaptureFixture,
    tmp_path: Path,
) -> None:
    seen = []

    def script(asked: Asked) -> Answer | None:
        if not asked.is_bulk:
            return None
        seen.append(repeating(asked))
        return answer(asked, status)

    hunt = Hunt()
    letters = tmp_path / "letters.jsonl"
    with (
        fake_elasticsearch(script) as (address, _),
        connect(f"elasticsearch://{address}/articles", encoder=HashEncoder(), retry=TWICE) as store,
        DeadLetters(letters, bodies=False) as kept,
    ):
        try:
            report = store.index(documents(), dead_letters=kept)
            assert report.rejected_count == len(documents())
            hunt.add("report", report, json.dumps(report.to_json()), letters.read_text())
        except SpladeConnectorsError as raised:
            hunt.add("error", raised)
    assert MARKER in seen[0]
    hunt.add_logs(caplog.records)
    assert hunt.found(MARKER) == []


@pytest.mark.parametrize("status", [400, 413, 429, 500, 503])
@pytest.mark.parametrize("kind", [QdrantRestFront, QdrantGrpcFront])
def test_answers_of_qdrant_that_quote(
    kind: type[QdrantRestFront | QdrantGrpcFront],
    status: int,
    caplog: pytest.LogCaptureFixture,
    tmp_path: Path,
) -> None:
    scheme = "qdrant+grpc" if kind is QdrantGrpcFront else "qdrant"
    hunt, letters = Hunt(), {}
    with kind() as front:
        target = f"{scheme}://{front.host}/articles"
        with connect(target, encoder=HashEncoder(), retry=TWICE) as store:
            store.index([Document(id="first", text="salt")])
            for bodies in (True, False):
                path = tmp_path / f"letters-{bodies}.jsonl"
                message = f'invalid value: string "{MARKER} "quoted"", expected f32 `{MARKER}`'
                front.fail_next(1000, status, path=_upsert(front), message=message)
                with DeadLetters(path, bodies=bodies) as kept:
                    try:
                        report = store.index(documents(), dead_letters=kept)
                        hunt.add("report", report, json.dumps(report.to_json()))
                        letters[bodies] = path.read_text()
                    except SpladeConnectorsError as raised:
                        hunt.add("error", raised)
    assert hunt.texts
    hunt.add("letters", letters.get(False, ""))
    hunt.add_logs(caplog.records)
    assert hunt.found(MARKER) == []
    if status in (400, 413):
        assert '"detail"' in letters[True]
        assert "invalid value: string \\u2026" in letters[False]


def _upsert(front: QdrantRestFront | QdrantGrpcFront) -> str:
    return "Upsert" if isinstance(front, QdrantGrpcFront) else "PUT /collections/articles/points"


@pytest.mark.parametrize("target", ["edge", "qdrant"])
def test_payloads_that_are_refused_here(target: str, tmp_path: Path) -> None:
    """Before anything is sent: the reasons name fields."""
    deep: Any = MARKER
    for _ in range(200):
        deep = [deep]
    refused = [
        Document(id=1, text=MARKER, payload={"a": {MARKER}}),
        Document(id=2, text=MARKER, payload={"a": float("inf"), "b": MARKER}),
        Document(id=3, text=MARKER, payload={"a": f"\ud800{MARKER}"}),
        Document(id=4, text=MARKER, payload={"a": deep}),
        Document(id=5, text=MARKER, payload={"n": {"m": 2**2000}, "b": MARKER}),
        Document(id=6, text=MARKER, dense=[1.0]),
    ]
    hunt = Hunt()
    with QdrantRestFront() as front:
        place = f"edge:{tmp_path}/x" if target == "edge" else f"qdrant://{front.host}/articles"
        with connect(place, encoder=HashEncoder()) as store:
            store.index([Document(id="first", text="salt")])
            report = store.index(refused)
    assert report.rejected_count == len(refused)
    hunt.add("report", report, json.dumps(report.to_json()))
    assert hunt.found(MARKER, str(2**2000)) == []
    assert "'n.m' is an integer" in reasons(report)[5]


def test_rows_that_are_none(tmp_path: Path) -> None:
    from splade_connectors.files.readers import FileReader

    bad = [
        f'{{"_id": "b", "text": "{MARKER}',
        f'["{MARKER}"]',
        f'{{"_id": 1, "text": ["{MARKER}", 5]}}',
        f'{{"text": "{MARKER}"}}',
    ]
    path = jsonl(tmp_path / "x.jsonl", [{"_id": "a", "text": "salt"}, *bad])
    hunt = Hunt()
    with FileReader(path) as reader:
        found = list(reader)
    assert len(found) == len(bad) + 1
    hunt.add("rows", *found[1:])
    assert hunt.found(MARKER) == []


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            "[1:9] failed to parse field [a.b] of type [long] in document with id '1'. Preview of "
            "field's value: 'x'",
            "failed to parse field [a.b] of type [long]",
        ),
        (
            "object mapping for [a] tried to parse field [b] as object, but found a concrete value",
            "object mapping for [a] tried to parse field [b] as object, but found a concrete value",
        ),
        (
            "[1:2] mapping set to strict, dynamic introduction of [a] within [_doc] is not allowed",
            "mapping set to strict, dynamic introduction of [a] within [_doc] is not allowed",
        ),
        ("value of failed to parse field [x] of type [y]", None),
        ("failed to parse field [a [x] of type [long]", None),
        (MARKER, None),
    ],
)
def test_what_is_left_of_a_servers_words(words: str, said: str | None) -> None:
    cause = {"type": "number_format_exception", "reason": f'For input string: "{MARKER}"'}
    given = {"type": "document_parsing_exception", "reason": words, "caused_by": cause}
    kind = "document_parsing_exception"
    left = f"{kind}: {said}" if said else kind
    assert without_values(given) == f"{left} (number_format_exception)"
    assert MARKER in reason(given)
    assert without_values("text") == without_values(None)


def test_the_last_words_of_a_busy_server_are_kept(tmp_path: Path) -> None:
    """A retried document keeps the server's words for its dead letter."""
    full = {"type": "es_rejected_execution_exception", "reason": f"of source[{MARKER}]"}

    def script(asked: Asked) -> Answer | None:
        if not asked.is_bulk:
            return None
        items = [{"index": {"_id": id, "status": 429, "error": full}} for id in asked.ids]
        return Answer(200, {"errors": True, "items": items})

    path = tmp_path / "letters.jsonl"
    with (
        fake_elasticsearch(script) as (address, _),
        connect(f"elasticsearch://{address}/articles", encoder=HashEncoder()) as store,
        DeadLetters(path) as kept,
    ):
        report = store.index(
            [Document(id="1", text="salt")], options=WriteOptions(retry=TWICE), dead_letters=kept
        )
    assert reasons(report) == {"1": "es_rejected_execution_exception"}
    assert MARKER in json.loads(path.read_text())["detail"]
