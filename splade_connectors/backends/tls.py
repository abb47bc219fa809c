"""Protection of a connection: TLS files, checked before a client is created, and plain proxies."""

from __future__ import annotations

import ssl
from pathlib import Path
from urllib.request import getproxies_environment, proxy_bypass

from splade_connectors.backends.targets import Target
from splade_connectors.errors import ConfigurationError
from splade_connectors.options import ConnectOptions


def check_files(target: Target, options: ConnectOptions) -> None:
    """Refuse certificate files that cannot be used.

    Raises:
        ConfigurationError: if the target has no TLS, if a client key has no client certificate, or
            if a file is missing or holds no certificate.
    """
    files = {
        "ca_certs (--ca-certs)": options.ca_certs,
        "client_cert (--client-cert)": options.client_cert,
        "client_key (--client-key)": options.client_key,
    }
    given = {name: path for name, path in files.items() if path}
    for name, path in given.items():
        if target.transport != "https":
            raise ConfigurationError(f"{name} needs TLS: write {target.scheme}+https://")
        if not Path(path).is_file():
            raise ConfigurationError(f"{name}: the file {path} does not exist")
    if options.client_key and not options.client_cert:
        raise ConfigurationError("client_key (--client-key) needs client_cert (--client-cert FILE)")
    if given:
        context(options)


def context(options: ConnectOptions) -> ssl.SSLContext:
    """The TLS context of a connection; server certificates are always verified.

    Raises:
        ConfigurationError: if a file holds no certificate or key.
    """
    try:
        made = ssl.create_default_context(cafile=options.ca_certs)
        if options.client_cert:
            # Never prompt for a password: nobody may be there to answer.
            made.load_cert_chain(options.client_cert, options.client_key, password="")
    except (ssl.SSLError, OSError) as error:
        shown = ", ".join(
            path for path in (options.ca_certs, options.client_cert, options.client_key) if path
        )
        reason = getattr(error, "reason", None) or error.strerror or type(error).__name__
        raise ConfigurationError(
            f"{shown}: no matching certificate and key in PEM format ({reason})"
        ) from error
    return made


def proxy_in_plain_sight(host: str) -> str | None:
    """The proxy that the environment sets for a host without TLS, or None.

    For clients that read the environment: httpx and gRPC do, those of Elasticsearch and OpenSearch
    do not.
    """
    proxies = getproxies_environment()
    proxy = proxies.get("http") or proxies.get("all")
    if not proxy or proxy_bypass(host):
        return None
    # Without the proxy's own password, which may precede the host.
    return proxy.rpartition("//")[2].rpartition("@")[2].strip("/")
