"""Names of collections and vectors, checked before anything is sent."""

from __future__ import annotations

from splade_connectors.errors import ConfigurationError

# What would make another path of a request's: older clients quote nothing.
_CHANGES_THE_PATH = frozenset("/\\?#%")
# What Qdrant refuses in the name of a collection, which is a folder on its disk.
_REFUSED = frozenset('<>:"|*')
_MOST_BYTES = 255
# Of a vector the folder is called vector_storage-NAME [edge 0.9.0: 240 bytes are created].
_MOST_VECTOR_BYTES = 240


def check_collection_name(name: str, what: str = "collection") -> None:
    """Refuse what Qdrant refuses as the name of a collection, and what would change a request.

    Args:
        name: of the collection.
        what: it is called in the message.

    Raises:
        ConfigurationError: saying what is wrong with it.
    """
    forbidden = _REFUSED | _CHANGES_THE_PATH
    _check(name, f"the {what} name {name!r} is refused", forbidden, _MOST_BYTES)


def check_vector_name(name: str) -> None:
    """Refuse a name that no sparse vector can have; the unnamed vector is a dense one.

    Raises:
        ConfigurationError: saying what is wrong with it.
    """
    refused = f"the vector name {name!r} is refused"
    _check(name, refused, _CHANGES_THE_PATH, _MOST_VECTOR_BYTES)


def _check(name: str, refused: str, forbidden: frozenset[str], most_bytes: int) -> None:
    if not name:
        raise ConfigurationError(f"{refused}: it is empty")
    if name in (".", ".."):
        raise ConfigurationError(f"{refused}: it would be another folder")
    if not name.isprintable():
        raise ConfigurationError(f"{refused}: it has a control character")
    bad = sorted(forbidden & set(name))
    if bad:
        raise ConfigurationError(f"{refused}: {bad[0]!r} is not allowed in it")
    if len(name.encode("utf-8", "surrogatepass")) > most_bytes:
        raise ConfigurationError(f"{refused}: it has more than {most_bytes} bytes")
