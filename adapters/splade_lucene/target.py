"""Targets of Elasticsearch and OpenSearch, checked before a client is created."""

from __future__ import annotations

import os

from splade_connectors.backends.feature_names import Keys
from splade_connectors.backends.secrets import check_header
from splade_connectors.backends.targets import Target
from splade_connectors.backends.tls import check_files
from splade_connectors.errors import ConfigurationError, NotSupported
from splade_connectors.options import ConnectOptions
from splade_lucene.address import IndexAddress
from splade_lucene.dialect import Dialect, Kind
from splade_lucene.documents import DEFAULT_DENSE
from splade_lucene.schema import check_field_name, check_index_name

DEFAULT_FIELD = "splade"

_SERVERLESS_OF_AMAZON = ".aoss.amazonaws.com"


def check_transport(target: Target) -> None:
    """Refuse anything but HTTP and HTTPS."""
    scheme = target.scheme
    check_supported(target.host, str(target))
    if target.transport not in ("", "https"):
        raise ConfigurationError(
            f"unknown scheme {scheme}+{target.transport}: write {scheme} or {scheme}+https"
        )


def check_supported(host: str, location: str) -> None:
    """Refuse hosts of Amazon OpenSearch Serverless.

    Raises:
        NotSupported: for such a host; says what it lacks.
    """
    if host.endswith(_SERVERLESS_OF_AMAZON):
        raise NotSupported(
            f"{location}: Amazon OpenSearch Serverless is not supported: it accepts only signed "
            "requests, and has no scroll, refresh or update by query; use an Amazon OpenSearch "
            "Service domain (HOST.es.amazonaws.com)"
        )


def host_name(host: str) -> str:
    """The host as written in a URL."""
    return f"[{host}]" if ":" in host else host


def user_and_password(target: Target, options: ConnectOptions, variables: str) -> bytes:
    """b"USER:PASSWORD", or b""; options override the URL, and the URL overrides the environment.

    Args:
        target: of the index.
        options: of the caller.
        variables: prefix of the environment variables.
    """
    username = options.username or target.username or os.environ.get(f"{variables}_USERNAME")
    password = options.password or target.password or os.environ.get(f"{variables}_PASSWORD")
    if username and not password:
        raise ConfigurationError(
            f"missing password for the user {username!r}: set {variables}_PASSWORD"
        )
    return f"{username}:{password}".encode() if username else b""


def certificates(target: Target, options: ConnectOptions) -> dict[str, str]:
    """The client's arguments for certificate authorities and a client certificate."""
    files = {
        "ca_certs": options.ca_certs,
        "client_cert": options.client_cert,
        "client_key": options.client_key,
    }
    check_files(target, options)
    return {name: path for name, path in files.items() if path}


def bearer_token(target: Target, options: ConnectOptions, variables: str) -> str | None:
    """The caller's token, or the environment's if no credentials were given.

    Args:
        target: of the index.
        options: of the caller.
        variables: prefix of the environment variables.

    Raises:
        ConfigurationError: if other credentials are given too, or the token has invalid characters.
    """
    others = options.api_key or options.username or target.username
    if options.bearer_token and others:
        raise ConfigurationError(
            "a bearer token excludes other credentials: omit the API key, or user and password"
        )
    token = options.bearer_token
    if token is None and not others:
        token = os.environ.get(f"{variables}_BEARER_TOKEN")
    return check_header(token, "the bearer token") if token else None


def index_address(
    target: Target, keys: Keys, options: ConnectOptions, dialect: Dialect
) -> IndexAddress:
    """The address of the index and field in a target.

    Raises:
        ConfigurationError: for names and parameters that these servers do not support.
    """
    if options.manifest_file:
        raise ConfigurationError(
            f"on {dialect.name} the mapping holds the manifest; omit manifest_file"
        )
    if "vector" in target.parameters:
        raise ConfigurationError(
            f"vector= is for Qdrant; on {dialect.name} name the sparse field with field=NAME"
        )
    check_index_name(target.path)
    dense = target.parameters.get("dense", DEFAULT_DENSE)
    field = target.parameters.get("field", DEFAULT_FIELD)
    for name in (field, dense):
        check_field_name(name)
    return IndexAddress(
        name=target.path,
        field=field,
        kind=_kind(target.parameters.get("kind"), dialect),
        dense=dense,
        keys=keys,
        location=str(target),
        dialect=dialect,
        routing=_routing(target.parameters.get("routing")),
    )


def _routing(given: str | None) -> str:
    if given == "":
        raise ConfigurationError("routing= needs the payload field that routes a document")
    return given or ""


def _kind(given: str | None, dialect: Dialect) -> Kind | None:
    for kind in dialect.kinds:
        if given == kind:
            return kind
    if given is None:
        return None
    known = ", ".join(dialect.kinds)
    known = f"one of {known}" if len(dialect.kinds) > 1 else f"{known} on {dialect.name}"
    why = dialect.not_offered.get(given)
    raise ConfigurationError(f"kind must be {known}, not {given!r}{f': {why}' if why else ''}")
