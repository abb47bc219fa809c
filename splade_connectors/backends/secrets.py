"""Keep credentials and the contents of documents out of errors and logs.

Servers, and proxies in front of them, echo what they were sent: a header in an error page, a value
that a field refuses. Their messages are masked before they become part of ours.
"""

from __future__ import annotations

import base64
import html
import json
import traceback
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeVar
from urllib.parse import quote, quote_plus

from splade_connectors.errors import ConfigurationError, SpladeConnectorsError

HIDDEN = "…"
# Shorter ones occur in any text: hiding every "a" would gain nothing.
_SHORTEST = 4
Failure = TypeVar("Failure", bound=SpladeConnectorsError)


class Secrets:
    """Every form in which a server may echo a credential.

    Args:
        *values: values of the headers that carry them ("Basic …", "ApiKey …", "Bearer …"), or
            bare keys; None and "" are ignored.
    """

    def __init__(self, *values: str | None) -> None:
        bare = {part for value in values if value for part in _parts(value)}
        forms = {form for part in bare for form in _forms(part)}
        # Longest first: one form may contain another.
        self._forms = sorted((form for form in forms if len(form) >= _SHORTEST), key=len)[::-1]

    def __repr__(self) -> str:
        return "Secrets()"

    def masked(self, words: Any) -> Any:
        """A text, the texts in a JSON value, or a response's bytes, with the credentials masked."""
        match words:
            case str():
                for form in self._forms:
                    words = words.replace(form, HIDDEN)
                return words
            case bytes():
                return self.masked(words.decode("utf-8", "replace")).encode()
            case Mapping():
                return {self.masked(key): self.masked(value) for key, value in words.items()}
            case list() | tuple():
                return [self.masked(value) for value in words]
        return words

    def shown_by(self, error: BaseException) -> bool:
        """Whether an error, or one in its chain of causes, shows a credential."""
        texts = [*traceback.format_exception(error), *map(repr, _chain(error))]
        return any(form in text for form in self._forms for text in texts)

    def caused(self, failure: Failure, cause: Exception, *, quoted: bool = False) -> Failure:
        """Our error with the client's as its cause, unless that reveals too much.

        Raise it outside the `except` block, which would link the client's error anyway.

        Args:
            failure: our error.
            cause: the client's error.
            quoted: whether the client's error may quote documents.
        """
        failure.__cause__ = None if quoted or self.shown_by(cause) else cause
        return failure


def check_header(value: str, what: str, more: str = "") -> str:
    """Return a credential that goes into a header verbatim, checked.

    Raises:
        ConfigurationError: if no header can hold it; the HTTP library's error would show it.
    """
    if not value.isascii() or not value.isprintable() or " " in value:
        kind = what.rpartition(" ")[2]
        raise ConfigurationError(
            f"{what} contains characters that no {kind} can have (a trailing line break?){more}"
        )
    return value


def _parts(value: str) -> Iterator[str]:
    """The credential in a header, its decoded form, and the secret half of that."""
    kind, _, rest = value.partition(" ")
    bare = rest if rest and kind in ("Basic", "ApiKey", "Bearer") else value
    yield bare
    decoded = _decoded(bare)
    if decoded:
        yield decoded
        # "USER:PASSWORD", or "ID:KEY": the name alone is not a secret.
        yield decoded.partition(":")[2]


def _decoded(text: str) -> str | None:
    try:
        decoded = base64.b64decode(text, validate=True).decode()
    except ValueError:
        return None
    return decoded if ":" in decoded else None


def _forms(text: str) -> Iterator[str]:
    """The text as it is, and as spelled in URLs, JSON, HTML, a repr, and base64."""
    encoded = text.encode("utf-8", "surrogateescape")
    for safe in ("", "/"):
        yield quote(encoded, safe=safe)
        yield quote(encoded, safe=safe).lower()
    yield text
    yield quote_plus(encoded)
    yield html.escape(text)
    for escaped in (True, False):
        yield json.dumps(text, ensure_ascii=escaped)[1:-1]
    yield repr(text)[1:-1]
    yield ascii(text)[1:-1]
    yield repr(encoded)[2:-1]
    yield base64.b64encode(encoded).decode().rstrip("=")
    yield base64.urlsafe_b64encode(encoded).decode().rstrip("=")


def _chain(error: BaseException) -> Sequence[BaseException]:
    found: list[BaseException] = []
    waiting: list[BaseException | None] = [error]
    while waiting:
        link = waiting.pop()
        if link is not None and link not in found:
            found.append(link)
            # Clients also keep errors of their libraries as arguments.
            waiting += [link.__cause__, link.__context__]
            waiting += [part for part in link.args if isinstance(part, BaseException)]
    return found
