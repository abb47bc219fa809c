"""Least privileges, on an Elasticsearch that really asks for them."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import httpx
import pytest

from splade_connectors import Document, Store, WriteOptions, connect
from splade_connectors.backend import ConnectOptions
from splade_connectors.errors import AccessDenied, AttachRefused
from splade_connectors.testing import HashEncoder
from tests.servers import ElasticsearchServer
from tests.servers.security import ADMIN, ATTACHER, ATTACHER_AGAIN, READER, WRITER

pytestmark = pytest.mark.servers


class Index:
    """An index of the admin, opened as other users."""

    def __init__(self, server: ElasticsearchServer) -> None:
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

    def open(self, user: str) -> Store:
        options = ConnectOptions(username=user, password=self.server.users[user])
        return connect(self.target, encoder=HashEncoder(), options=options)

    def has_field(self) -> bool:
        mapping = self.admin.get(f"/{self.name}/_mapping").json()[self.name]["mappings"]
        return "splade" in mapping["properties"]


@pytest.fixture
def index(secured_elasticsearch: ElasticsearchServer) -> Iterator[Index]:
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
        options = WriteOptions(text_fields=("title",))
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
        pytest.raises(AttachRefused, match=r"lacks privileges on .*: manage;"),
    ):
        store.attach(["title"])
    assert not index.has_field()


def test_a_reader_cannot_write(index: Index) -> None:
    with index.open(ATTACHER) as store:
        store.attach(["title"])
    with index.open(READER) as store, pytest.raises((AttachRefused, AccessDenied), match="index"):
        store.attach()
