"""Target URLs: which store, at which address, and which field."""

from __future__ import annotations

from dataclasses import dataclass, field
from urllib.parse import parse_qsl, unquote, urlsplit

from splade_connectors.errors import ConfigurationError

_EXAMPLES = "edge:PATH, qdrant://HOST:6333/COLLECTION, elasticsearch://HOST:9200/INDEX?field=splade"
_PARAMETERS = {"vector", "dense", "field", "kind", "routing"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Target:
    """A parsed target. Its text form and its repr never show a secret.

    Attributes:
        scheme: "edge", "qdrant", "elasticsearch", …: names the adapter.
        transport: the part after "+" in the scheme: "https", "grpc" or "".
        host: host name; empty for embedded stores.
        port: None for the scheme's default.
        path: collection or index name, or the folder of an embedded store.
        prefix: path of a server behind a proxy, before the name, such as "search/v1".
        parameters: the query parameters of the URL.
        username: from the URL.
        password: from the URL.
    """

    scheme: str
    transport: str = ""
    host: str = ""
    port: int | None = None
    path: str = ""
    prefix: str = ""
    parameters: dict[str, str] = field(default_factory=dict)
    username: str | None = field(default=None, repr=False)
    password: str | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        unknown = sorted(set(self.parameters) - _PARAMETERS)
        if unknown:
            known = ", ".join(sorted(_PARAMETERS))
            raise ConfigurationError(f"unknown target parameter {unknown[0]!r}; known: {known}")

    def __str__(self) -> str:
        scheme = f"{self.scheme}+{self.transport}" if self.transport else self.scheme
        if not self.host:
            return f"{scheme}:{self.path}"
        port = f":{self.port}" if self.port else ""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{scheme}://{host}{port}/{self.prefix and f'{self.prefix}/'}{self.path}"


def parse_target(text: str) -> Target:
    """Parse a target.

    Raises:
        ConfigurationError: if the text is not a target; the message shows no secret.
    """
    scheme, colon, rest = text.partition(":")
    if not colon or not scheme:
        # The part before an "@" may be a password.
        shown = "this" if "@" in text else repr(text)
        raise ConfigurationError(f"{shown} is not a target; targets look like {_EXAMPLES}")
    base, _, transport = scheme.lower().partition("+")
    if base in ("http", "https"):
        raise ConfigurationError(
            f"the scheme of a target must name a database, not {scheme!r}: write "
            "elasticsearch+https://HOST/INDEX or qdrant+https://HOST/COLLECTION (or without +https)"
        )
    if base == "edge":
        if transport:
            raise ConfigurationError(f"an embedded target is written edge:PATH, not {scheme}:PATH")
        return _embedded(base, rest)
    return _remote(base, transport, text)


def shown_target(text: str) -> str:
    """A target as given, safe to print: USER and PASSWORD replace its credentials."""
    scheme, separator, rest = text.partition("://")
    authority, slash, name = rest.partition("/")
    given, at, host = authority.rpartition("@")
    if not separator or not at:
        return text
    return f"{scheme}://{'USER' if given.partition(':')[0] else ''}:PASSWORD@{host}{slash}{name}"


def _embedded(scheme: str, rest: str) -> Target:
    path, _, query = rest.partition("?")
    if path.startswith("//"):
        raise ConfigurationError("an embedded target has no host: write edge:PATH")
    if not path:
        raise ConfigurationError("edge: needs the folder of the store, e.g. edge:./my-index")
    return Target(scheme=scheme, path=unquote(path), parameters=_parameters(query))


def _remote(scheme: str, transport: str, text: str) -> Target:
    shown = f"{scheme}://…"
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        # The library's message quotes the text around the "@", which may be a password.
        raise ConfigurationError(
            f"{shown} is not a target: its host or port cannot be parsed; percent-encode special "
            "characters of a user name or password (/ as %2F)"
        ) from None
    if not parts.hostname:
        raise ConfigurationError(f"{shown} has no host; targets look like {_EXAMPLES}")
    if "@" in f"{parts.path}{parts.query}{parts.fragment}":
        # The part before the "@" may be the rest of a password rather than a name.
        raise ConfigurationError(
            f"{shown}: write @ in a name as %40, and percent-encode special characters of a user "
            "name or password (/ as %2F)"
        )
    if parts.fragment:
        raise ConfigurationError(f"{shown}: write # in a name as %23")
    prefix, _, name = parts.path.strip("/").rpartition("/")
    path = unquote(name)
    if not path or "/" in path or prefix.endswith("/"):
        raise ConfigurationError(
            f"{scheme}://{parts.hostname} must be followed by the name of one collection or index, "
            "after the server's path if it has one: "
            f"{scheme}://{parts.hostname}/NAME, {scheme}://{parts.hostname}/PATH/NAME"
        )
    return Target(
        scheme=scheme,
        transport=transport,
        host=parts.hostname,
        port=port,
        path=path,
        prefix=prefix,
        parameters=_parameters(parts.query),
        username=unquote(parts.username) if parts.username else None,
        password=unquote(parts.password) if parts.password else None,
    )


def _parameters(query: str) -> dict[str, str]:
    return dict(parse_qsl(query, keep_blank_values=True))
