"""TLS before a server that speaks plain HTTP, as proxies in front of databases do it."""

from __future__ import annotations

import socket
import ssl
import threading
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

import trustme

_BUFFER = 65536


class Certificates:
    """A certificate authority of the tests, and the files that it makes.

    Args:
        folder: for the files.

    Attributes:
        ca: file of the authority.
        client: file with a client's certificate and key.
        client_cert: file with the certificate alone.
        client_key: file with the key alone.
        other_ca: file of another authority.
    """

    def __init__(self, folder: Path) -> None:
        self._authority = trustme.CA()
        self._server = self._authority.issue_cert("127.0.0.1")
        client = self._authority.issue_cert("client@example.org")
        self.ca = str(folder / "ca.pem")
        self.other_ca = str(folder / "other-ca.pem")
        self.client = str(folder / "client.pem")
        self.client_cert = str(folder / "client-cert.pem")
        self.client_key = str(folder / "client-key.pem")
        self._authority.cert_pem.write_to_path(self.ca)
        trustme.CA().cert_pem.write_to_path(self.other_ca)
        client.private_key_and_cert_chain_pem.write_to_path(self.client)
        client.cert_chain_pems[0].write_to_path(self.client_cert)
        client.private_key_pem.write_to_path(self.client_key)

    def context(self, *, asks: bool) -> ssl.SSLContext:
        """Of a server; `asks` for the client's certificate."""
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self._server.configure_cert(context)
        if asks:
            self._authority.configure_trust(context)
            context.verify_mode = ssl.CERT_REQUIRED
        return context


class TlsFront:
    """Listens with TLS on a port of its own, and passes on to a server.

    Args:
        url: of the server.
        certificates: of the front.
        asks: for the client's certificate.
    """

    def __init__(self, url: str, certificates: Certificates, *, asks: bool = False) -> None:
        parts = urlsplit(url)
        self._behind = (parts.hostname or "127.0.0.1", parts.port or 80)
        self._context = certificates.context(asks=asks)
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._listening.getsockname()[1]}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()

    def _accept(self) -> None:
        while True:
            try:
                plain, _ = self._listening.accept()
            except OSError:
                return  # it was closed
            threading.Thread(target=self._serve, args=(plain,), daemon=True).start()

    def _serve(self, plain: socket.socket) -> None:
        try:
            client = self._context.wrap_socket(plain, server_side=True)
            # Of TLS 1.3 a client learns only now that it was refused.
            behind = socket.create_connection(self._behind)
        except OSError:
            plain.close()
            return
        back = threading.Thread(target=_pass_on, args=(behind, client), daemon=True)
        back.start()
        _pass_on(client, behind)
        back.join()
        client.close()
        behind.close()


def _pass_on(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(_BUFFER):
            target.sendall(data)
    for side in (source, target):
        with suppress(OSError):
            side.shutdown(socket.SHUT_RDWR)
