"""Every default, once. Frozen, keyword-only values that are checked when they are made."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from splade_connectors.errors import ConfigurationError
from splade_connectors.payloads import check_text_fields

# The largest limit and offset that all stores take.
_LARGEST = 2**31 - 1

Format = Literal["jsonl", "csv", "tsv", "parquet", "json"]

LongText = Literal["truncate", "passages"]
# Of a text index in Qdrant.
TextTokenizer = Literal["word", "whitespace", "prefix", "multilingual"]
# Of a model's products: int8 needs the kernels (`splade_kernels`).
Precision = Literal["fp32", "int8", "fp16", "bf16"]
# Tokens that neighbouring passages of a long text share, unless something else is asked for.
PASSAGE_OVERLAP = 32


def _at_least(minimum: int, **values: float | None) -> None:
    for name, value in values.items():
        if value is not None and value < minimum:
            raise ConfigurationError(f"{name} must be at least {minimum}, not {value!r}")


@dataclass(frozen=True, kw_only=True, slots=True)
class EncodeOptions:
    """How texts become vectors.

    Attributes:
        batch_size: most texts in one forward pass; memory is bounded all the same.
        max_batch_tokens: most tokens (padding included) in one forward pass; None takes what
            the encoder was measured to like. This, not `batch_size`, bounds the memory.
        max_length: most tokens of a text, special tokens included; None takes that of the index
            that is written to or verified, or else the model's own.
        long_text: what becomes of longer texts: "truncate" cuts them at `max_length`; "passages"
            encodes overlapping passages of that many tokens and takes the maximum over them, term
            by term; None takes what the index was written with, or else "truncate".
        passage_overlap: tokens that neighbouring passages share; None takes what the index was
            written with, or else 32.
        threads: CPU threads of one forward pass; None takes all cores.
        query_cache: queries whose vectors are remembered, those used last; 0 remembers none.
    """

    batch_size: int = 64
    max_batch_tokens: int | None = None
    max_length: int | None = None
    long_text: LongText | None = None
    passage_overlap: int | None = None
    threads: int | None = None
    query_cache: int = 0

    def __post_init__(self) -> None:
        _at_least(1, batch_size=self.batch_size)
        _at_least(1, max_batch_tokens=self.max_batch_tokens, threads=self.threads)
        _at_least(8, max_length=self.max_length)
        _at_least(0, passage_overlap=self.passage_overlap, query_cache=self.query_cache)
        if self.long_text not in (None, "truncate", "passages"):
            raise ConfigurationError(
                f"long_text must be 'truncate' or 'passages', not {self.long_text!r}"
            )


@dataclass(frozen=True, kw_only=True, slots=True)
class PruneOptions:
    """Which terms of a vector are dropped before it is stored or sent.

    Attributes:
        top_k: keep at most this many terms, the heaviest; ties keep the lower index.
        max_ratio: drop terms lighter than this share of the vector's heaviest term, in [0, 1).
    """

    top_k: int | None = None
    max_ratio: float = 0.0

    def __post_init__(self) -> None:
        _at_least(1, top_k=self.top_k)
        if not 0.0 <= self.max_ratio < 1.0:
            raise ConfigurationError(f"max_ratio must lie in [0, 1), not {self.max_ratio!r}")


@dataclass(frozen=True, kw_only=True, slots=True)
class RetryOptions:
    """When a request that failed as `Unavailable` is sent again.

    The wait before attempt n is random in [0, min(max_wait_s, initial_wait_s · 2^(n-1))]
    ("full jitter"), or what the server asked for in `Retry-After`.

    Attributes:
        attempts: most tries of one request, the first included.
        initial_wait_s: upper end of the first wait.
        max_wait_s: upper end of every wait.
        total_s: no new try begins after this long.
    """

    attempts: int = 6
    initial_wait_s: float = 0.5
    max_wait_s: float = 30.0
    total_s: float = 180.0

    def __post_init__(self) -> None:
        _at_least(1, attempts=self.attempts)
        _at_least(
            0,
            initial_wait_s=self.initial_wait_s,
            max_wait_s=self.max_wait_s,
            total_s=self.total_s,
        )


NO_RETRY = RetryOptions(attempts=1)
# Of writes and of long reads.
PATIENT = RetryOptions(attempts=10_000, total_s=900.0)


@dataclass(frozen=True, kw_only=True, slots=True)
class WriteOptions:
    """How documents travel to the store.

    Attributes:
        portion_documents: most documents read and encoded together; length-sorted batches are
            formed inside a portion. The first portions are smaller, and those of a slow model stay
            so, so that documents are sent within seconds.
        chunk_documents: most documents in one write request.
        max_chunk_bytes: most bytes (estimated) in one write request.
        text_fields: payload fields that the text was made of; named in the manifest, so that
            `explain` and `update` find the text again.
        override_manifest: write although the index names another model or other settings.
        replace: replace documents whole in a collection or index that others made, whatever else
            they hold; without it such a run is refused before the first write.
        max_in_flight: most write requests at once. There are fewer while the server is slow, or
            says that it is too busy.
        skip_unchanged: encode and send only what differs from what was written last: a hash of
            settings, text, payload and dense vectors is kept beside each document. Where only the
            payload has changed, the stored sparse vector goes on.
        mark: with `skip_unchanged`, on Qdrant: keep that hash in the payload of points of a
            collection that others made; in one of ours it is kept anyway.
        delete_missing: after all was written, delete the documents that were written before and
            that are not among those of this run.
        most_deleted: the largest share of the documents that `delete_missing` may delete, from 0
            to 1; if more are missing, none is deleted.
        retry: when a failed write is sent again; None takes the store's `retry`, or, if none
            was given, waits up to 15 minutes: a long run outlives the restart of a server.
    """

    portion_documents: int = 512
    chunk_documents: int = 256
    max_chunk_bytes: int = 5_000_000
    text_fields: tuple[str, ...] = ("text",)
    override_manifest: bool = False
    replace: bool = False
    max_in_flight: int = 4
    skip_unchanged: bool = False
    mark: bool = False
    delete_missing: bool = False
    most_deleted: float = 0.2
    retry: RetryOptions | None = None

    def __post_init__(self) -> None:
        _at_least(
            1,
            portion_documents=self.portion_documents,
            chunk_documents=self.chunk_documents,
            max_chunk_bytes=self.max_chunk_bytes,
            max_in_flight=self.max_in_flight,
        )
        if not 0.0 <= self.most_deleted <= 1.0:
            raise ConfigurationError(f"most_deleted must lie in [0, 1], not {self.most_deleted!r}")
        if not self.text_fields:
            raise ConfigurationError("text_fields must name at least one field, e.g. ('text',)")


@dataclass(frozen=True, kw_only=True, slots=True)
class ReadOptions:
    """What the rows of a file mean.

    Columns are renamed first: every other option names them as they are called then.

    Attributes:
        text_fields: text field, several are joined; empty takes title and text.
        id_field: id field; None takes _id or id.
        dense_field: field with a dense vector, stored as one.
        format: format of the file, jsonl, json, csv, tsv or parquet; None takes that of the
            file's name.
        delimiter: of CSV, one character or "tab"; None takes the comma, or what else the header
            is certainly separated by.
        encoding: of text, such as windows-1252; None takes UTF-8, or what the file begins with.
        types: of columns, text, int, float, bool or json; None leaves them as they are read.
        infer_types: make numbers and true/false of columns of CSV that hold nothing else in the
            first 1,000 rows.
        null_words: word that is no value in a column with a type, such as NA, exactly as it is
            spelled; the empty cell is none anyway, and neither is NaN in a column of numbers.
        include: field to store, beside the texts; empty takes all.
        exclude: field not to store.
        rename: fields, from the file's name to the stored one; None renames none.
        strip_html: take the markup out of the text fields, as they are encoded and stored.
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
                f"the format {self.format!r} is not known; known are {', '.join(known)}"
            )
        if self.delimiter is not None and (
            self.delimiter != "tab" and (len(self.delimiter) != 1 or self.delimiter in '"\r\n')
        ):
            raise ConfigurationError(
                f"a delimiter (--delimiter) is one character, or tab, not {self.delimiter!r}"
            )
        check_text_fields(self.text_fields)
        new = list((self.rename or {}).values())
        if len(set(new)) < len(new):
            raise ConfigurationError("two fields get the same name (--rename): name each once")


@dataclass(frozen=True, kw_only=True, slots=True)
class SearchOptions:
    """What a search returns.

    Attributes:
        limit: most hits.
        offset: hits to skip.
        filter: a condition of the one filter language (`splade_connectors.filters`), also as its
            JSON, or one in the store's own.
        group_by: a field with one value for each document, whose best hit alone is returned for
            each value.
        with_payload: return the stored fields of each hit.
        max_query_terms: most terms of the query that are sent, the heaviest; None takes what
            the server's clause limit allows.
        min_score: leave out hits that score less.
        with_total: count the documents that match.
        with_terms: return the terms that each hit matched, and the part of its text with most of
            them.
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
        if self.filter is not None:
            # Few searches have one, and every process imports this module.
            from splade_connectors.filters.written import read_filter

            object.__setattr__(self, "filter", read_filter(self.filter))
        if self.min_score is not None and not math.isfinite(self.min_score):
            raise ConfigurationError(f"min_score must be a finite number, not {self.min_score!r}")
        if self.group_by is not None and (
            not isinstance(self.group_by, str) or not all(self.group_by.split("."))
        ):
            raise ConfigurationError(f"group_by names a field, not {self.group_by!r}")
        for name in ("limit", "offset"):
            value = getattr(self, name)
            if not isinstance(value, int) or value > _LARGEST:
                raise ConfigurationError(f"{name} must be a whole number of 32 bits, not {value!r}")
        _at_least(1, limit=self.limit, max_query_terms=self.max_query_terms)
        _at_least(0, offset=self.offset)


@dataclass(frozen=True, kw_only=True, slots=True)
class Progress:
    """How far a long run has come.

    Attributes:
        done: documents that the store has acknowledged, or that were rejected.
        rejected: documents that the store or the reader turned away.
        read: documents that were read so far, if `total` may not be known.
        total: documents in all, when known.
        retries: requests that were sent again so far.
        in_flight: documents that have been sent, and not been acknowledged yet.
        stopping: the run was interrupted, and waits for what is in flight.
        missing: documents that the source no longer has, which are deleted from now on.
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
    """What a target cannot say, or should not: credentials, TLS, where the manifest is kept.

    Attributes:
        api_key: sent as the store's own kind of API key.
        username: for basic authentication.
        password: with `username`.
        bearer_token: sent as `Authorization: Bearer …`, to Elasticsearch and OpenSearch.
        ca_certs: path of a file with the certificate authorities to trust.
        client_cert: path of a PEM file with this client's certificate, for servers that ask for it.
        client_key: path of a PEM file with its key, if `client_cert` does not hold it.
        timeout_s: seconds until a request counts as failed.
        manifest_file: keep the manifest in this file, for servers that cannot.
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


@dataclass(frozen=True, kw_only=True, slots=True)
class AttachOptions:
    """How vectors are attached.

    Attributes:
        text_fields: payload fields that the text is made of, joined by a space: names, or paths
            into objects ("author.bio"); empty takes those of the manifest.
        recheck: encode every text, and write the vectors that differ. Without it, if documents
            carry a marker the texts are compared by their hash, and elsewhere only documents
            without a vector are read.
        mark: on Qdrant: keep a hash of the text in the payload of each point, so that edited texts
            are found without encoding them.
        replace_model: encode all documents with another model or other settings under a second
            name, and switch to it when it is complete.
        copy_to: on Qdrant: copy the collection to this new one first, and attach there; for servers
            that cannot add a vector to what exists.
        switch_alias: with `copy_to`: the alias that names the copy when all is verified.
        part: only this part of the documents, the i-th of n (i from 0), for several machines that
            share the work.
        text_index: give this field an index that BM25 searches, if its store needs one; without
            text fields nothing is encoded, and that is all that is done.
        text_tokenizer: how a new text index finds words: word, whitespace, prefix or multilingual;
            None takes word.
        rebuild_text_index: rebuild a text index of the owner's, so that BM25 can search it; its
            other settings stay.
        verify: vectors that are read back at the end and compared with fresh encodings.
        write: sizes of chunks and passages, and patience.
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
                f"text_fields are names, such as ('title', 'body'), not {self.text_fields!r}"
            )
        check_text_fields(self.text_fields)
        self._check_text_index()
        if self.verify < 0:
            raise ConfigurationError(f"verify must be at least 0, not {self.verify!r}")
        if self.part is not None:
            check_part(*self.part)
        if self.switch_alias and not self.copy_to:
            raise ConfigurationError("switch_alias (--switch-alias) goes with copy_to (--copy-to)")
        if self.copy_to and (self.replace_model or self.part):
            raise ConfigurationError(
                "a collection is copied in one run, to a copy that has no vectors yet: omit "
                "replace_model and part"
            )

    @property
    def is_text_index_alone(self) -> bool:
        """Whether nothing is to be encoded."""
        return bool(self.text_index) and not self.text_fields

    def _check_text_index(self) -> None:
        if isinstance(self.text_index, str):
            raise ConfigurationError(
                f"text_index holds names, such as ('body',), not {self.text_index!r}"
            )
        check_text_fields(self.text_index)
        known = get_args(TextTokenizer)
        if self.text_tokenizer not in (None, *known):
            raise ConfigurationError(
                f"text_tokenizer must be one of {', '.join(known)}, not {self.text_tokenizer!r}"
            )
        if not self.text_index and (self.text_tokenizer or self.rebuild_text_index):
            raise ConfigurationError(
                "text_tokenizer and rebuild_text_index go with text_index (--text-index FIELD)"
            )
        if self.text_index and (self.copy_to or self.replace_model or self.part):
            raise ConfigurationError(
                "a text index is made in a run of its own: omit copy_to, replace_model and part"
            )


@dataclass(frozen=True, kw_only=True, slots=True)
class QueryWeightOptions:
    """How the weights of query tokens are found.

    Attributes:
        learn: fit them to what the model's own queries find, beginning with the inverse document
            frequencies that they are without it. Encodes the sample.
        sample: with `learn`: most documents, and most queries, that the fit goes by.
        query_words: with `learn` and without queries: that many words at the beginning of a
            document stand for one.
    """

    learn: bool = False
    sample: int = 1000
    query_words: int = 12

    def __post_init__(self) -> None:
        _at_least(1, sample=self.sample, query_words=self.query_words)


def check_part(number: int, parts: int) -> None:
    """Refuse a part that is none.

    Raises:
        ConfigurationError: unless 0 <= number < parts.
    """
    if parts < 1 or not 0 <= number < parts:
        raise ConfigurationError(
            f"a part is one of 0/{parts} to {parts - 1}/{parts}, not {number}/{parts}"
            if parts > 0
            else f"there are at least 1 parts, not {parts}"
        )
