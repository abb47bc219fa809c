"""How large a document is in a request, before it is written as one."""

from __future__ import annotations

import json

from splade_connectors.documents import EncodedDocument

# Id, marker and the braces around them.
_FRAME = 100


def document_size(document: EncodedDocument, bytes_per_number: int) -> int:
    """The approximate size of a document in bytes: its payload as JSON, and its vectors.

    Args:
        document: to be written.
        bytes_per_number: taken by a term with its weight, or by a number of a dense vector.
    """
    dense = sum(len(values) for values in document.document.dense_vectors().values())
    payload = len(json.dumps(document.payload, ensure_ascii=False).encode())
    return payload + bytes_per_number * (len(document.vector) + dense) + _FRAME
