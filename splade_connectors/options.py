"""Every default, defined once: frozen, keyword-only dataclasses, validated on construction."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from splade_connectors.errors import ConfigurationError
from splade_connectors.numeric import check_number, check_whole, is_finite, is_number
from splade_connectors.payloads import check_text_fields

# The largest limit and offset that every store accepts.
_LARGEST = 2**31 - 1

Format = Literal["jsonl", "csv", "tsv", "parquet", "json"]

LongText = Literal["truncate", "passages"]
# Tokenizers of a Qdrant text index.
TextTokenizer = Literal["word", "whitespace", "prefix", "multilingual"]
# Precision of the model's matrix products; int8 needs the kernels (`splade_kernels`).
Precision = Literal["fp32", "int8", "fp16", "bf16"]
# Default number of tokens that neighbouring passages of a long text share.
PASSAGE_OVERLAP = 32


@dataclass(frozen=True, kw_only=True, slots=True)
class EncodeOptions:
    """How texts become vectors.

    Attributes:
        batch_size: maximum number of texts per forward pass; memory is bounded independently.
        max_batch_tokens: maximum number of tokens (padding included) per forward pass; None means
            the encoder's fastest measured size. This, not `batch_size`, bounds the memory.
        max_length: maximum number of tokens per text, special tokens included; None means that of
            the index that is written or verified, otherwise the model's own.
        long_text: how longer texts are handled: "truncate" cuts them at `max_length`; "passages"
            encodes overlapping passages of that length and takes the maximum weight per term;
            None means the index's setting, otherwise "truncate".
        passage_overlap: tokens shared by neighbouring passages; None means the index's setting,
            otherwise 32.
        threads: CPU threads per forward pass; None means all cores.
        query_cache: number of recent queries whose vectors are cached; 0 disables the cache.
    """

    batch_size: int = 64
    max_batch_tokens: int | None = None
    max_length: int | None = None
    long_text: LongText | None = None
    passage_overlap: int | None = None
    threads: int | None = None
    query_cache: int = 0

    def __post_init__(self) -> None:
        check_whole(1, batch_size=self.batch_size)
        check_whole(1, max_batch_tokens=self.max_batch_tokens, threads=self.threads)
        check_whole(8, max_length=self.max_length)
        check_whole(0, passage_overlap=self.passage_overlap, query_cache=self.query_cache)
        if self.long_text not in (None, "truncate", "passages"):
            raise ConfigurationError(
                f"long_text must be 'truncate' or 'passages', not {self.long_text!r}"
            )


@dataclass(frozen=True, kw_only=True, slots=True)
class PruneOptions:
    """Which terms of a vector are dropped before it is stored or sent.

    Attributes:
        top_k: keep only this many of the heaviest terms; ties keep the lower index.
        max_ratio: drop terms lighter than this fraction of the vector's heaviest term, in [0, 1).
    """

    top_k: int | None = None
    max_ratio: float = 0.0

    def __post_init__(self) -> None:
        check_whole(1, top_k=self.top_k)
        if not (is_number(self.max_ratio) and 0.0 <= self.max_ratio < 1.0):
            raise ConfigurationError(f"max_ratio must lie in [0, 1), not {self.max_ratio!r}")


@dataclass(frozen=True, kw_only=True, slots=True)
class RetryOptions:
    """When a request that failed with `Unavailable` is retried.

    The backoff before attempt n is random in [0, min(max_wait_s, initial_wait_s · 2^(n-1))]
    ("full jitter"), or whatever the server asked for in `Retry-After`.

    Attributes:
        attempts: maximum number of attempts per request, including the first.
        initial_wait_s: upper bound of the first wait, in seconds.
        max_wait_s: upper bound of every wait, in seconds.
        total_s: retry budget in seconds: no new attempt starts after it.
    """

    attempts: int = 6
    initial_wait_s: float = 0.5
    max_wait_s: float = 30.0
    total_s: float = 180.0

    def __post_init__(self) -> None:
        check_whole(1, attempts=self.attempts)
        check_number(
            0,
            initial_wait_s=self.initial_wait_s,
            max_wait_s=self.max_wait_s,
            total_s=self.total_s,
        )


NO_RETRY = RetryOptions(attempts=1)
# For writes and long reads.
PATIENT = RetryOptions(attempts=10_000, total_s=900.0)


@dataclass(frozen=True, kw_only=True, slots=True)
class WriteOptions:
    """How documents are written to the store.

    Attributes:
        portion_documents: maximum number of documents read and encoded together; length-sorted
            batches are formed within a portion. The first portions are smaller, and stay small
            for a slow model, so that documents are sent within seconds.
        chunk_documents: maximum number of documents per write request.
        max_chunk_bytes: maximum (estimated) size of a write request, in bytes.
        max_request_bytes: maximum size of a request that the server accepts, in bytes; a larger
            document is rejected before it is encoded. None means the server's default: 32 MiB for
            Qdrant, 100 MiB for Elasticsearch and OpenSearch.
        text_fields: payload fields that the text was built from; recorded in the manifest so that
            `explain` and `update` can rebuild it.
        override_manifest: write even if the index names another model or other settings.
        replace: replace whole documents in a collection or index created by another tool,
            including fields that are not in the input; otherwise the run is refused before its
            first write.
        max_in_flight: maximum number of concurrent write requests; reduced while the server is
            slow or reports that it is overloaded.
        skip_unchanged: encode and send only documents that differ from the last run; a hash of
            settings, text, payload and dense vectors is stored with each document. If only the
            payload has changed, the stored sparse vector is reused.
        drop_dense: with `skip_unchanged`: write documents that a dense model gave vectors also
            without that model, which drops those vectors; otherwise such a run is refused.
        mark: with `skip_unchanged`, on Qdrant: store that hash in the payload of points in a
            collection created by another tool; in one created here it is always stored.
        delete_missing: after everything is written, delete previously written documents that are
            not part of this run.
        most_deleted: largest fraction of the documents that `delete_missing` may delete, from 0
            to 1; if more are missing, or a file of the source has no rows, none are deleted.
        retry: when a failed write is retried; None means the store's `retry` or, if that is not
            set either, retries for up to 15 minutes, which outlasts a server restart.
    """

    portion_documents: int = 512
    chunk_documents: int = 256
    max_chunk_bytes: int = 5_000_000
    max_request_bytes: int | None = None
    text_fields: tuple[str, ...] = ("text",)
    override_manifest: bool = False
    replace: bool = False
    max_in_flight: int = 4
    skip_unchanged: bool = False
    drop_dense: bool = False
    mark: bool = False
    delete_missing: bool = False
    most_deleted: float = 0.2
    retry: RetryOptions | None = None

    def __post_init__(self) -> None:
        check_whole(
            1,
            portion_documents=self.portion_documents,
            chunk_documents=self.chunk_documents,
            max_chunk_bytes=self.max_chunk_bytes,
            max_request_bytes=self.max_request_bytes,
            max_in_flight=self.max_in_flight,
        )
        if not (is_number(self.most_deleted) and 0.0 <= self.most_deleted <= 1.0):
            raise ConfigurationError(f"most_deleted must lie in [0, 1], not {self.most_deleted!r}")
        if not self.text_fields:
            raise ConfigurationError("text_fields must name at least one field, e.g. ('text',)")


@dataclass(frozen=True, kw_only=True, slots=True)
class ReadOptions:
    """How the rows of a file are interpreted.

    Columns are renamed first: every other option uses the new names.

    Attributes:
        text_fields: text field; several are joined; empty means title and text.
        id_field: id field; None means _id or id.
        dense_field: field with a dense vector, stored as a vector.
        format: file format: jsonl, json, csv, tsv or parquet; None means the one that the file
            name implies.
        delimiter: CSV delimiter: one character or "tab"; None means a comma, unless the header
            clearly uses another one.
        encoding: text encoding, such as windows-1252; None means UTF-8, unless a byte order mark
            says otherwise.
        types: column types: text, int, float, bool or json; None means as read.
        infer_types: convert CSV columns to numbers or true/false if their first 1,000 rows contain
            nothing else.
        null_words: word that means a missing value in a typed column, such as NA, matched exactly;
            empty cells, and NaN in a column of numbers, are always missing.
        include: field to store besides the text fields; empty means all.
        exclude: field to omit from the payload.
        rename: stored names of fields, by their name in the file; None means unchanged.
        strip_html: remove HTML markup from the text fields before they are encoded and stored.
    """

    text_fields: tuple[str, ...] = ()
    id_field: str | None = None
    dense_field: str | None = None
    format: Format | None = None
    delimiter: str | None = None
    encoding: str | None = None
    types: Mapping[str, str] | None = None
    infer_types: bool = False
    null_words: tuple[str, ...] = ()
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    rename: Mapping[str, str] | None = None
    strip_html: bool = False

    def __post_init__(self) -> None:
        known = get_args(Format)
        if self.format is not None and self.format not in known:
            raise ConfigurationError(
                f"unknown format {self.format!r}; choose one of {', '.join(known)}"
            )
        if self.delimiter is not None and (
            self.delimiter != "tab" and (len(self.delimiter) != 1 or self.delimiter in '"\r\n')
        ):
            raise ConfigurationError(
                f"delimiter (--delimiter) must be one character or 'tab', not {self.delimiter!r}"
            )
        check_text_fields(self.text_fields)
        new = list((self.rename or {}).values())
        if len(set(new)) < len(new):
            raise ConfigurationError(
                "rename (--rename) gives two fields the same name; make the new names distinct"
            )


def read_filter_of(holder: Any) -> None:
    """Replace the `filter` of frozen options or of a leg by the condition that its JSON means."""
    if holder.filter is not None:
        # Imported here: few searches have a filter, but every process imports this module.
        from splade_connectors.filters.written import read_filter

        object.__setattr__(holder, "filter", read_filter(holder.filter))


@dataclass(frozen=True, kw_only=True, slots=True)
class SearchOptions:
    """What a search returns.

    Attributes:
        limit: maximum number of hits.
        offset: number of hits to skip.
        filter: a portable condition (`splade_connectors.filters`) or its JSON, or a filter in the
            store's own query language.
        group_by: single-valued field to group by: only the best hit of each value is returned.
        with_payload: return the stored fields of each hit.
        max_query_terms: maximum number of query terms, keeping the heaviest; None means as many as
            the server's clause limit allows.
        min_score: omit hits that score less than this.
        with_total: count the matching documents.
        with_terms: return the terms that each hit matched, and the passage of its text that
            contains most of them.
    """

    limit: int = 10
    offset: int = 0
    filter: Any = None
    group_by: str | None = None
    with_payload: bool = True
    max_query_terms: int | None = None
    min_score: float | None = None
    with_total: bool = False
    with_terms: bool = False

    def __post_init__(self) -> None:
        read_filter_of(self)
        if self.min_score is not None and not is_finite(self.min_score):
            raise ConfigurationError(f"min_score must be a finite number, not {self.min_score!r}")
        if self.group_by is not None and (
            not isinstance(self.group_by, str) or not all(self.group_by.split("."))
        ):
            raise ConfigurationError(f"group_by must name a field, not {self.group_by!r}")
        for name in ("limit", "offset"):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or value > _LARGEST:
                raise ConfigurationError(
                    f"{name} must be a whole number of at most {_LARGEST:,}, not {value!r}"
                )
        check_whole(1, limit=self.limit, max_query_terms=self.max_query_terms)
        check_whole(0, offset=self.offset)


@dataclass(frozen=True, kw_only=True, slots=True)
class Progress:
    """Progress of a long run.

    Attributes:
        done: documents that the store acknowledged or that were rejected.
        rejected: documents that the store or the reader rejected.
        read: documents read so far, for sources whose `total` may be unknown.
        total: total number of documents, if known.
        retries: requests retried so far.
        in_flight: documents sent but not yet acknowledged.
        stopping: the run was interrupted and is waiting for requests in flight.
        missing: documents that are no longer in the source and are about to be deleted.
    """

    done: int
    rejected: int = 0
    read: int | None = None
    total: int | None = None
    retries: int = 0
    in_flight: int = 0
    stopping: bool = False
    missing: int = 0


OnProgress = Callable[[Progress], None]


@dataclass(frozen=True, kw_only=True, slots=True)
class ConnectOptions:
    """What a target cannot or should not contain: credentials, TLS, where the manifest is stored.

    Attributes:
        api_key: API key, sent the way the store expects it.
        username: user name for basic authentication.
        password: password for `username`.
        bearer_token: sent as `Authorization: Bearer …`, to Elasticsearch and OpenSearch.
        ca_certs: path to a PEM file with the certificate authorities to trust.
        client_cert: path to a PEM file with the client certificate, for mutual TLS.
        client_key: path to a PEM file with the client's private key, if `client_cert` does not
            contain it.
        timeout_s: request timeout in seconds.
        manifest_file: store the manifest in this file, for servers that cannot store it.
    """

    api_key: str | None = field(default=None, repr=False)
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    bearer_token: str | None = field(default=None, repr=False)
    ca_certs: str | None = None
    client_cert: str | None = None
    client_key: str | None = None
    timeout_s: float = 30.0
    manifest_file: str | None = None

    def __post_init__(self) -> None:
        if not (is_number(self.timeout_s) and self.timeout_s > 0):
            raise ConfigurationError(
                f"timeout_s (--timeout) must be a number greater than 0, not {self.timeout_s!r}"
            )


@dataclass(frozen=True, kw_only=True, slots=True)
class AttachOptions:
    """How vectors are attached.

    Attributes:
        text_fields: payload fields that the text is built from, joined by a space: names, or paths
            into objects ("author.bio"); empty means those in the manifest.
        recheck: encode every text and write the vectors that differ. Otherwise, texts are compared
            by hash if documents carry a marker; if not, only documents without a vector are read.
        mark: on Qdrant: store a hash of the text in each point's payload, so that edited texts are
            detected without encoding them.
        replace_model: encode all documents with another model or other settings under a second
            name, and switch to it once complete.
        copy_to: on Qdrant: first copy the collection to this new one and attach there, for servers
            that cannot add a vector to an existing collection.
        switch_alias: with `copy_to`: alias to point to the copy once it is verified.
        part: attach only part i of n (i from 0), so that several machines can share the work.
        text_index: create an index on this field for BM25 search, if the store needs one; without
            text fields, nothing is encoded.
        text_tokenizer: tokenizer of a new text index: word, whitespace, prefix or multilingual;
            None means word.
        rebuild_text_index: rebuild an existing text index so that BM25 can search it; its other
            settings are kept.
        verify: number of vectors to read back at the end and compare with fresh encodings.
        write: sizes of chunks and portions, and the retry budget.
    """

    text_fields: tuple[str, ...] = ()
    recheck: bool = False
    mark: bool = False
    replace_model: bool = False
    copy_to: str | None = None
    switch_alias: str | None = None
    part: tuple[int, int] | None = None
    text_index: tuple[str, ...] = ()
    text_tokenizer: TextTokenizer | None = None
    rebuild_text_index: bool = False
    verify: int = 100
    write: WriteOptions = field(default_factory=WriteOptions)

    def __post_init__(self) -> None:
        if isinstance(self.text_fields, str):
            raise ConfigurationError(
                f"text_fields must be names, such as ('title', 'body'), not {self.text_fields!r}"
            )
        check_text_fields(self.text_fields)
        self._check_text_index()
        check_whole(0, verify=self.verify)
        if self.part is not None:
            check_part(*self.part)
        if self.switch_alias and not self.copy_to:
            raise ConfigurationError("switch_alias (--switch-alias) requires copy_to (--copy-to)")
        if self.copy_to and (self.replace_model or self.part):
            raise ConfigurationError(
                "copy_to copies the whole collection in one run; omit replace_model and part"
            )

    @property
    def is_text_index_alone(self) -> bool:
        """Whether only a text index is created and nothing is encoded."""
        return bool(self.text_index) and not self.text_fields

    def _check_text_index(self) -> None:
        if isinstance(self.text_index, str):
            raise ConfigurationError(
                f"text_index must be names, such as ('body',), not {self.text_index!r}"
            )
        check_text_fields(self.text_index)
        known = get_args(TextTokenizer)
        if self.text_tokenizer not in (None, *known):
            raise ConfigurationError(
                f"text_tokenizer must be one of {', '.join(known)}, not {self.text_tokenizer!r}"
            )
        if not self.text_index and (self.text_tokenizer or self.rebuild_text_index):
            raise ConfigurationError(
                "text_tokenizer and rebuild_text_index require text_index (--text-index FIELD)"
            )
        if self.text_index and (self.copy_to or self.replace_model or self.part):
            raise ConfigurationError(
                "text_index needs a run of its own; omit copy_to, replace_model and part"
            )


@dataclass(frozen=True, kw_only=True, slots=True)
class QueryWeightOptions:
    """How the weights of query tokens are computed.

    Attributes:
        learn: fit the weights to the model's own query results, starting from inverse document
            frequencies. Encodes the sample.
        sample: with `learn`: maximum number of documents, and of queries, used for the fit.
        query_words: with `learn` and without queries: number of leading words of a document that
            serve as a query.
    """

    learn: bool = False
    sample: int = 1000
    query_words: int = 12

    def __post_init__(self) -> None:
        check_whole(1, sample=self.sample, query_words=self.query_words)


def check_part(number: int, parts: int) -> None:
    """Validate part `number` of `parts`.

    Raises:
        ConfigurationError: unless 0 <= number < parts.
    """
    if not all(type(value) is int for value in (number, parts)):
        raise ConfigurationError(
            f"part must be two whole numbers, such as (0, 4), not ({number!r}, {parts!r})"
        )
    if parts < 1 or not 0 <= number < parts:
        raise ConfigurationError(
            f"part must be between 0/{parts} and {parts - 1}/{parts}, not {number}/{parts}"
            if parts > 0
            else f"the number of parts must be at least 1, not {parts}"
        )
