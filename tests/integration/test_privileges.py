"""Least privileges, on an Elasticsearch that really asks for them."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator

import httpx
import pytest

from splade_connectors import Document, Store, WriteOptions, connect
from splade_connectors.errors import AccessDenied, AttachRefused
from splade_connectors.options import ConnectOptions
from splade_connectors.testing import HashEncoder
from tests.integration.elasticsearch_fake import Answer, Asked, error, fake_elasticsearch
from tests.servers import SharedServer
from tests.servers.security import (
    ADMIN,
    ALIAS_WRITER,
    ATTACHER,
    ATTACHER_AGAIN,
    CREATOR,
    READER,
    WRITER,
)

pytestmark = pytest.mark.servers


class Index:
    """An index of the admin, opened as other users."""

    def __init__(self, server: SharedServer) -> None:
        self.server = server
        self.name = f"articles-{uuid.uuid4().hex}"
        address = server.url.removeprefix("http://")
        self.target = f"elasticsearch://{address}/{self.name}"
        auth = (ADMIN, server.users[ADMIN])
        self.admin = httpx.Client(base_url=server.url, auth=auth, timeout=60, trust_env=False)
        for number in range(20):
            document = {"title": f"tide and moon {number}"}
            path = f"/{self.name}/_doc/{number}?refresh=true"
            self.admin.put(path, json=document).raise_for_status()

    def open(self, user: str, name: str = "") -> Store:
        options = ConnectOptions(username=user, password=self.server.users[user])
        target = self.target.replace(self.name, name or self.name)
        return connect(target, encoder=HashEncoder(), options=options)

    def exists(self, name: str) -> bool:
        return self.admin.head(f"/{name}").status_code == 200

    def has_field(self) -> bool:
        mapping = self.admin.get(f"/{self.name}/_mapping").json()[self.name]["mappings"]
        return "splade" in mapping["properties"]


@pytest.fixture
def index(secured_elasticsearch: SharedServer) -> Iterator[Index]:
    made = Index(secured_elasticsearch)
    yield made
    made.admin.delete(f"/{made.name}").raise_for_status()
    made.admin.close()


def test_the_privileges_of_the_table_are_enough(index: Index) -> None:
    with index.open(ATTACHER) as store:
        plan = store.plan_attach(["title"])
        assert plan.refusals == ()
        report = store.attach(["title"])
        assert (report.attached, report.rejected_count) == (20, 0)
        assert store.verify(everything=True, recheck=True).complete
    with index.open(READER) as store:
        assert len(store.search("moon", limit=50)) == 20
        assert store.explain("moon", "3").terms
        assert store.get(["3"], with_vectors=True)[0].vector is not None
        assert store.inspect().manifest is not None
    index.admin.put(f"/{index.name}/_doc/new?refresh=true", json={"title": "bread"})
    with index.open(ATTACHER_AGAIN) as store:
        # The mapping is as it should be: nothing of it is to be managed any more.
        assert store.attach().attached == 1
    with index.open(WRITER) as store:
        options = WriteOptions(text_fields=("title",), replace=True)
        report = store.index([Document(id="x", text="salt")], options=options)
        assert (report.written, report.rejected_count) == (1, 0)
    with index.open(ATTACHER) as store:
        assert store.detach().done


def test_what_is_missing_is_named_before_anything_is_written(index: Index) -> None:
    with index.open(READER) as store:
        with pytest.raises(AttachRefused, match=r"lacks privileges on .*: index, manage, mon"):
            store.attach(["title"])
        (refusal,) = store.plan_attach(["title"]).refusals
        assert "monitor (cluster)" in refusal
    with (
        index.open(WRITER) as store,
        pytest.raises(AttachRefused, match=r"lacks privileges on .*: manage, monitor \(cluster\);"),
    ):
        store.attach(["title"])
    assert not index.has_field()


def test_a_reader_cannot_write(index: Index) -> None:
    with index.open(ATTACHER) as store:
        store.attach(["title"])
    with index.open(READER) as store, pytest.raises((AttachRefused, AccessDenied), match="index"):
        store.attach()


DOCUMENTS = [Document(id=str(n), text=f"salt {n}", payload={"new": n}) for n in range(5)]
# The index is the admin's, with documents in it.
REPLACE = WriteOptions(replace=True)
ASKS = "/_security/user/_has_privileges"


def test_who_may_create_an_index(index: Index) -> None:
    name = f"{index.name}-new"
    with index.open(CREATOR, name) as store:
        assert store.index(DOCUMENTS).written == 5
        index.admin.post(f"/{name}/_refresh").raise_for_status()
        assert len(store.search("salt")) == 5
        # Not managed any more: the mapping is as it should be.
        assert store.index([Document(id="x", text="salt")]).written == 1
    index.admin.delete(f"/{name}").raise_for_status()


def test_an_index_without_the_field_is_to_be_managed(index: Index) -> None:
    for user, lacking in [(CREATOR, "manage"), (WRITER, r"manage, monitor \(cluster\)")]:
        with (
            index.open(user) as store,
            pytest.raises(
                AccessDenied, match=rf"on {index.name}: {lacking}; ask an admin to grant"
            ),
        ):
            store.index(DOCUMENTS, options=REPLACE)
    assert not index.has_field()
    with index.open(ATTACHER) as store:
        assert store.index(DOCUMENTS, options=REPLACE).written == 5


@pytest.mark.parametrize(
    ("user", "lacking"),
    [(READER, r"create_index, index, monitor \(cluster\)"), (WRITER, r"create_index, monitor .*")],
)
def test_what_index_lacks_is_named_before_anything_is_created(
    index: Index, user: str, lacking: str
) -> None:
    name = f"{index.name}-new"
    with (
        index.open(user, name) as store,
        pytest.raises(AccessDenied, match=rf"lacks privileges on {name}: {lacking}; ask an admin"),
    ):
        store.index(DOCUMENTS, options=REPLACE)
    assert not index.exists(name)
    with index.open(ATTACHER) as store:
        store.attach(["title"])
    with (
        index.open(READER) as store,
        pytest.raises(AccessDenied, match=r"lacks privileges on .*: index; .*Nothing was written"),
    ):
        store.index(DOCUMENTS, options=WriteOptions(text_fields=("title",), replace=True))


def test_privileges_on_an_alias(index: Index) -> None:
    """They are enough but for `attach`, which is bound to the index itself."""
    alias = f"alias-{uuid.uuid4().hex}"
    actions = {"actions": [{"add": {"index": index.name, "alias": alias}}]}
    index.admin.post("/_aliases", json=actions).raise_for_status()
    with index.open(ALIAS_WRITER, alias) as store:
        with pytest.raises(AccessDenied, match=rf"behind the alias, {index.name}, .* lacks read"):
            store.plan_attach(["title"])
        options = WriteOptions(text_fields=("title",), replace=True)
        assert store.index(DOCUMENTS, options=options).written == 5
        assert len(store.search("salt")) == 5
    with index.open(ALIAS_WRITER) as store, pytest.raises(AccessDenied):
        store.index(DOCUMENTS, options=REPLACE)


def written(script: Callable[[Asked], Answer | None]) -> tuple[int, list[str]]:
    """Documents written to a fake by a run of many windows, and the paths that were asked."""
    documents = [Document(id=str(n), text=f"salt {n}") for n in range(50)]
    options = WriteOptions(portion_documents=5, chunk_documents=5)
    with fake_elasticsearch(script) as (address, fake):
        with connect(f"elasticsearch://{address}/articles", encoder=HashEncoder()) as store:
            report = store.index(documents, options=options)
        return report.written, [asked.path for asked in fake.asked]


@pytest.mark.parametrize(
    "refusal",
    [
        Answer(400, {"error": f"no handler found for uri [{ASKS}] and method [POST]"}),
        Answer(401, error("security_exception", "no user")),
        Answer(403, error("security_exception", "not for you")),
        Answer(403, "<html>not through here</html>"),
        Answer(404, "<html>nothing here</html>"),
        Answer(405, error("method_not_allowed", "POST")),
        Answer(500, error("exception", "of the server")),
        Answer(200, {}),
        Answer(200, {"username": "me", "has_all_requested": True}),
    ],
    ids=lambda answer: f"{answer.status}",
)
def test_a_server_that_does_not_tell_stops_nothing(refusal: Answer) -> None:
    count, paths = written(lambda asked: refusal if asked.path == ASKS else None)
    assert count == 50
    assert paths.count(ASKS) == 1
    assert paths.index(ASKS) < paths.index("/articles/_bulk")


def test_nothing_is_sent_after_a_no() -> None:
    no = {"cluster": {"monitor": True}, "index": {"articles": {"index": False, "read": True}}}
    asked_for = []

    def script(asked: Asked) -> Answer | None:
        if asked.path != ASKS:
            asked_for.append((asked.method, asked.path))
            return None
        return Answer(200, no)

    with pytest.raises(AccessDenied, match="lacks privileges on articles: index; ask an admin"):
        written(script)
    assert not [path for method, path in asked_for if method == "PUT" or path.endswith("_bulk")]


def test_a_server_without_security(elasticsearch_url: str) -> None:
    name = f"articles-{uuid.uuid4().hex}"
    target = f"elasticsearch://{elasticsearch_url.removeprefix('http://').rstrip('/')}/{name}"
    with connect(target, encoder=HashEncoder()) as store:
        assert store.index(DOCUMENTS, options=REPLACE).written == 5
    httpx.delete(f"{elasticsearch_url.rstrip('/')}/{name}").raise_for_status()
