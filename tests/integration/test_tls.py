"""Certificates: trusted, not trusted, asked for; on every store, blocking and awaited."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from splade_connectors import RetryOptions, aconnect, connect
from splade_connectors.errors import ConfigurationError, NotFound, SpladeConnectorsError
from splade_connectors.options import ConnectOptions
from splade_connectors.testing import HashEncoder
from tests.fronts import QdrantRestFront
from tests.servers.tls import Certificates, TlsFront

ONCE = RetryOptions(attempts=1)
SCHEMES = [
    pytest.param("elasticsearch", marks=pytest.mark.servers),
    pytest.param("opensearch", marks=pytest.mark.servers),
    "qdrant",
]


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(params=SCHEMES)
def plain(request: pytest.FixtureRequest) -> Iterator[tuple[str, str]]:
    """A scheme, and the URL of a server of it that speaks plain HTTP."""
    if request.param != "qdrant":
        yield request.param, request.getfixturevalue(f"{request.param}_url")
        return
    with QdrantRestFront() as front:
        yield "qdrant", front.url


async def failure(target: str, asynchronous: bool, **options: Any) -> SpladeConnectorsError:
    """What a search in an index that is not there ends with."""
    with pytest.raises(SpladeConnectorsError) as caught:
        await _search(target, asynchronous, ConnectOptions(**options))
    return caught.value


async def _search(target: str, asynchronous: bool, options: ConnectOptions) -> None:
    arguments: dict[str, Any] = {"encoder": HashEncoder(), "options": options, "retry": ONCE}
    if asynchronous:
        async with await aconnect(target, **arguments) as store:
            await store.search("water")
    else:
        with connect(target, **arguments) as blocking:
            blocking.search("water")


@pytest.mark.parametrize("asynchronous", [False, True], ids=["sync", "async"])
async def test_only_a_trusted_server_is_talked_to(
    plain: tuple[str, str], certificates: Certificates, asynchronous: bool
) -> None:
    scheme, url = plain
    with TlsFront(url, certificates) as front:
        target = f"{scheme}+https://{front.address}/articles"
        for given in ({}, {"ca_certs": certificates.other_ca}):
            error = await failure(target, asynchronous, **given)
            assert isinstance(error, ConfigurationError)
            assert "--ca-certs FILE" in str(error)
        trusted = await failure(target, asynchronous, ca_certs=certificates.ca)
        assert isinstance(trusted, NotFound), trusted


@pytest.mark.parametrize("asynchronous", [False, True], ids=["sync", "async"])
async def test_a_server_may_ask_for_a_certificate(
    plain: tuple[str, str], certificates: Certificates, asynchronous: bool
) -> None:
    scheme, url = plain
    with TlsFront(url, certificates, asks=True) as front:
        target = f"{scheme}+https://{front.address}/articles"
        without = await failure(target, asynchronous, ca_certs=certificates.ca)
        assert not isinstance(without, NotFound)
        both = {"client_cert": certificates.client_cert, "client_key": certificates.client_key}
        for files in ({"client_cert": certificates.client}, both):
            found = await failure(target, asynchronous, ca_certs=certificates.ca, **files)
            assert isinstance(found, NotFound), found


@pytest.mark.parametrize("scheme", ["elasticsearch", "opensearch", "qdrant"])
def test_files_that_cannot_be_used(scheme: str, certificates: Certificates, tmp_path: Path) -> None:
    missing, empty = str(tmp_path / "missing.pem"), tmp_path / "empty.pem"
    empty.write_text("nothing")
    ca, cert, key = certificates.ca, certificates.client_cert, certificates.client_key
    for transport, options, sentence in [
        ("", {"client_cert": cert}, rf"needs TLS: write {scheme}\+https://"),
        ("+https", {"client_key": key}, r"needs client_cert \(--client-cert FILE\)"),
        ("+https", {"client_cert": missing}, f"the file {re.escape(missing)} does not exist"),
        ("+https", {"ca_certs": str(empty)}, "no matching certificate and key in PEM"),
        ("+https", {"ca_certs": ca, "client_cert": cert}, "no matching certificate and key in PEM"),
    ]:
        target = f"{scheme}{transport}://localhost/articles"
        with pytest.raises(ConfigurationError, match=sentence):
            connect(target, encoder=HashEncoder(), options=ConnectOptions(**options))


@pytest.mark.parametrize("scheme", ["elasticsearch", "opensearch"])
def test_a_bearer_token_goes_alone(scheme: str) -> None:
    target = f"{scheme}://localhost/articles"
    for more in ({"username": "me", "password": "x"}, {"api_key": "x"}):
        options = ConnectOptions(bearer_token="t0ken", **more)
        with pytest.raises(ConfigurationError, match=r"bearer token excludes other") as caught:
            connect(target, encoder=HashEncoder(), options=options)
        assert "t0ken" not in str(caught.value)
    with pytest.raises(ConfigurationError, match="characters that no token can have") as caught:
        connect(target, encoder=HashEncoder(), options=ConnectOptions(bearer_token="t0ken\n"))
    assert "t0ken" not in f"{caught.value}{ConnectOptions(bearer_token='t0ken')!r}"
