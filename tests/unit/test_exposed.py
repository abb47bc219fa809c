"""Credentials that others can see: said once, with the better way, and never repeated."""

from __future__ import annotations

import warnings

import pytest

from splade_connectors import connect
from splade_connectors.backends.tls import proxy_in_plain_sight
from splade_connectors.cli.process import password_warning
from splade_connectors.options import ConnectOptions
from splade_connectors.testing import HashEncoder

PROXIES = (
    "http_proxy",
    "HTTP_PROXY",
    "https_proxy",
    "all_proxy",
    "ALL_PROXY",
    "no_proxy",
    "NO_PROXY",
)


@pytest.fixture(autouse=True)
def _no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in PROXIES:
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    ("target", "instead"),
    [
        ("qdrant://:s3cret@host/x", "QDRANT_API_KEY"),
        ("qdrant+https://me:s3cret@host/x", "QDRANT_API_KEY"),
        ("elasticsearch://me:s3cret@host:9200/x?field=y", "ELASTICSEARCH_PASSWORD (with ELAST"),
        ("opensearch+https://me:s3cret@[::1]/x", "OPENSEARCH_PASSWORD (with OPENSEARCH_USERNAME)"),
        ("https://me:s3cret@host/model", "an environment variable"),
        ("elasticsearch://me:s3@cret@host/x", "ELASTICSEARCH_PASSWORD"),
    ],
)
def test_a_password_that_was_typed_is_warned_of(target: str, instead: str) -> None:
    warning = password_warning(["search", target, "a query"])
    assert warning is not None
    assert instead in warning
    assert "s3" not in warning
    assert "cret" not in warning


@pytest.mark.parametrize(
    "words",
    [
        ["search", "edge:path", "x"],
        ["search", "qdrant://host/x", "mail me@host: a:b@c"],
        ["search", "elasticsearch://me@host/x", "x"],
        ["index", "https://host/a:b@c", "edge:x"],
        [],
    ],
)
def test_other_words_are_none(words: list[str]) -> None:
    assert password_warning(words) is None


@pytest.mark.parametrize(
    ("settings", "proxy"),
    [
        ({}, None),
        ({"https_proxy": "http://proxy:3128"}, None),
        ({"http_proxy": "http://proxy:3128"}, "proxy:3128"),
        ({"HTTP_PROXY": "http://me:s3cret@proxy:3128/"}, "proxy:3128"),
        ({"ALL_PROXY": "socks5://proxy:1080"}, "proxy:1080"),
        ({"http_proxy": "proxy:3128"}, "proxy:3128"),
        ({"http_proxy": "http://proxy:3128", "no_proxy": "db.example"}, None),
        ({"http_proxy": "http://proxy:3128", "NO_PROXY": "a,.example"}, None),
        ({"http_proxy": "http://proxy:3128", "no_proxy": "*"}, None),
        ({"http_proxy": "http://proxy:3128", "no_proxy": "other"}, "proxy:3128"),
    ],
)
def test_the_proxy_of_a_host_without_tls(
    monkeypatch: pytest.MonkeyPatch, settings: dict[str, str], proxy: str | None
) -> None:
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    assert proxy_in_plain_sight("db.example") == proxy


@pytest.mark.parametrize(
    ("target", "key", "warned"),
    [
        ("qdrant://db.example/x", "s3cret", True),
        ("qdrant+grpc://db.example/x", "s3cret", True),
        ("qdrant://:s3cret@db.example/x", None, True),
        ("qdrant+https://db.example/x", "s3cret", False),
        ("qdrant://db.example/x", None, False),
    ],
)
def test_an_api_key_through_a_plain_proxy_is_warned_of(
    monkeypatch: pytest.MonkeyPatch, target: str, key: str | None, warned: bool
) -> None:
    monkeypatch.setenv("http_proxy", "http://me:pr0xy@proxy:3128")
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        store = connect(target, encoder=HashEncoder(), options=ConnectOptions(api_key=key))
        store.close()
    ours = [str(entry.message) for entry in found if "proxy" in str(entry.message)]
    assert len(ours) == warned
    for message in ours:
        assert "is sent to the proxy proxy:3128 as plain text: write qdrant+https://, or" in message
        assert "s3cret" not in message
        assert "pr0xy" not in message
