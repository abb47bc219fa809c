"""What protects a connection: files for TLS, checked before a client is made, and plain proxies."""

from __future__ import annotations

import ssl
from pathlib import Path
from urllib.request import getproxies_environment, proxy_bypass

from splade_connectors.backends.targets import Target
from splade_connectors.errors import ConfigurationError
from splade_connectors.options import ConnectOptions


def check_files(target: Target, options: ConnectOptions) -> None:
    """Refuse certificates that cannot be used.

    Raises:
        ConfigurationError: without TLS in the target, for a key without a certificate, and for
            files that are missing or hold no certificate.
    """
    files = {
        "ca_certs (--ca-certs)": options.ca_certs,
        "client_cert (--client-cert)": options.client_cert,
        "client_key (--client-key)": options.client_key,
    }
    given = {name: path for name, path in files.items() if path}
    for name, path in given.items():
        if target.transport != "https":
            raise ConfigurationError(f"{name} is for TLS: write {target.scheme}+https://")
        if not Path(path).is_file():
            raise ConfigurationError(f"there is no file {path} with certificates, for {name}")
    if options.client_key and not options.client_cert:
        raise ConfigurationError(
            "client_key (--client-key) goes with client_cert (--client-cert FILE)"
        )
    if given:
        context(options)


def context(options: ConnectOptions) -> ssl.SSLContext:
    """What a connection trusts, and shows of itself; certificates are always verified.

    Raises:
        ConfigurationError: for files that hold no certificate or key.
    """
    try:
        made = ssl.create_default_context(cafile=options.ca_certs)
        if options.client_cert:
            # A password is not asked for: nobody may be there to answer.
            made.load_cert_chain(options.client_cert, options.client_key, password="")
    except (ssl.SSLError, OSError) as error:
        shown = ", ".join(
            path for path in (options.ca_certs, options.client_cert, options.client_key) if path
        )
        reason = getattr(error, "reason", None) or error.strerror or type(error).__name__
        raise ConfigurationError(
            f"{shown}: no certificate or key in PEM form that fit together ({reason})"
        ) from error
    return made


def proxy_in_plain_sight(host: str) -> str | None:
    """The proxy that the environment puts between here and a host without TLS, None for none.

    For clients that go by the environment: httpx and gRPC do, those of Elasticsearch and OpenSearch
    do not.
    """
    proxies = getproxies_environment()
    proxy = proxies.get("http") or proxies.get("all")
    if not proxy or proxy_bypass(host):
        return None
    # Without its own password, which may stand before the host.
    return proxy.rpartition("//")[2].rpartition("@")[2].strip("/")
