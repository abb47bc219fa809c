"""Names of collections and vectors, checked before anything is sent."""

from __future__ import annotations

from splade_connectors.errors import ConfigurationError

# Characters that would change the path of a request: older clients do not percent-encode.
_CHANGES_THE_PATH = frozenset("/\\?#%")
# Characters that Qdrant refuses in a collection's name, which is a folder on its disk.
_REFUSED = frozenset('<>:"|*')
_MOST_BYTES = 255
# A vector's folder is called vector_storage-NAME [edge 0.9.0 can create 240 bytes].
_MOST_VECTOR_BYTES = 240


def check_collection_name(name: str, what: str = "collection") -> None:
    """Refuse a name that Qdrant refuses for a collection, or that would change a request's path.

    Args:
        name: of the collection.
        what: the kind of name, for the message.

    Raises:
        ConfigurationError: if the name is refused, with the reason.
    """
    forbidden = _REFUSED | _CHANGES_THE_PATH
    _check(name, f"the {what} name {name!r} is refused", forbidden, _MOST_BYTES)


def check_vector_name(name: str) -> None:
    """Refuse a name that no sparse vector can have; the unnamed vector is always dense.

    Raises:
        ConfigurationError: if the name is refused, with the reason.
    """
    refused = f"the vector name {name!r} is refused"
    _check(name, refused, _CHANGES_THE_PATH, _MOST_VECTOR_BYTES)


def _check(name: str, refused: str, forbidden: frozenset[str], most_bytes: int) -> None:
    if not name:
        raise ConfigurationError(f"{refused}: it is empty")
    if name in (".", ".."):
        raise ConfigurationError(f"{refused}: it would refer to another folder")
    if not name.isprintable():
        raise ConfigurationError(f"{refused}: it contains an unprintable character")
    bad = sorted(forbidden & set(name))
    if bad:
        raise ConfigurationError(f"{refused}: {bad[0]!r} is not allowed in it")
    if len(name.encode("utf-8", "surrogatepass")) > most_bytes:
        raise ConfigurationError(f"{refused}: it is longer than {most_bytes} bytes")
