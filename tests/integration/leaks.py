"""Looking for what must not be shown: in errors and all they came from, in objects, in logs."""

from __future__ import annotations

import base64
import logging
import traceback
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, quote_plus

from splade_connectors import AsyncStore, Store

# Ours; what the clients' own loggers say at DEBUG is theirs, and documented.
OURS = ("splade_connectors", "splade_elasticsearch", "splade_opensearch", "splade_qdrant")


def forms(secret: str, user: str = "") -> set[str]:
    """A secret, and what it looks like in URLs, headers, JSON and reprs."""
    found = {secret, quote(secret, safe=""), quote(secret), quote_plus(secret)}
    found |= {quote(secret, safe="").lower(), repr(secret)[1:-1], ascii(secret)[1:-1]}
    pairs = [secret, f"{user}:{secret}"] if user else [secret]
    found |= {base64.b64encode(pair.encode()).decode().rstrip("=") for pair in pairs}
    return found


@dataclass
class Hunt:
    """What has been shown, to be searched.

    Attributes:
        texts: where from -> text.
    """

    texts: list[tuple[str, str]] = field(default_factory=list)

    def add(self, where: str, *shown: object) -> None:
        """Texts as they are; of anything else its str and its repr; of errors all that is told."""
        for item in shown:
            if isinstance(item, bytes):
                item = item.decode("utf-8", "replace")
            self.texts.append((where, str(item)))
            if not isinstance(item, str):
                self.texts.append((f"repr of {where}", repr(item)))
            if isinstance(item, BaseException):
                self._add_error(where, item)

    def add_store(self, store: Store | AsyncStore) -> None:
        """A store, and the objects it is made of."""
        inside: Any = store
        for part in (store, inside._opened, inside._opened.backend, inside._session):
            self.add(type(part).__name__, part)
        self.add("calls", getattr(inside._opened.send, "__self__", ""))

    def add_logs(self, records: Iterable[logging.LogRecord]) -> None:
        """Records of our loggers, as a formatter writes them."""
        formatter = logging.Formatter()
        for record in records:
            if record.name.startswith(OURS):
                self.add(f"log of {record.name}", formatter.format(record))

    def found(self, *hidden: str) -> list[tuple[str, str]]:
        """Where any of these stands: place and text."""
        return [(where, text) for where, text in self.texts if any(form in text for form in hidden)]

    def _add_error(self, where: str, error: BaseException) -> None:
        self.add(f"traceback of {where}", "".join(traceback.format_exception(error)))
        self.texts.append((f"notes of {where}", str(getattr(error, "__notes__", ""))))
        for link in _chain(error):
            name = f"{type(link).__name__} behind {where}"
            self.texts += [(name, repr(link)), (name, str(link)), (name, repr(link.args))]


def _chain(error: BaseException) -> Iterator[BaseException]:
    waiting: list[BaseException | None] = [error]
    seen: list[BaseException] = []
    while waiting:
        link = waiting.pop()
        if link is None or any(link is other for other in seen):
            continue
        seen.append(link)
        yield link
        waiting += [link.__cause__, link.__context__]
