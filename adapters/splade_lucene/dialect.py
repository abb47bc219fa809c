"""Where Elasticsearch and OpenSearch differ: what the shared modules ask for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from splade_lucene.fusing import Fusing

Version = tuple[int, ...]

Kind = Literal["rank_features", "sparse_vector"]

KINDS: tuple[Kind, ...] = ("rank_features", "sparse_vector")


@dataclass(frozen=True, kw_only=True, slots=True)
class Dialect:
    """A server's schema, and how it is called in messages.

    Attributes:
        name: of the product.
        scheme: of its targets.
        not_this: how the sentence "what answers there is not …" goes on.
        credentials: environment variables to name when the credentials are refused.
        kinds: types of sparse fields, the best last.
        not_offered: further types of sparse fields, and why they are not used.
        dense_type: type of dense fields.
        dimensions: the parameter of such a field that holds its size.
        dense_mapping: the rest of a new one's mapping, for a version of the server.
        by_angle: whether a dense field of this mapping compares directions.
        scores_cosines: whether its approximate search scores (1 + cosine) / 2, as far as known.
        number_in: the version's number in what the root says of it; raises a
            `ConfigurationError` of that location where another product answers.
        fusing: makes what combines legs on this server.
        dense_settings: what an index with dense vectors has to be created with.
        first_knn: the first version that searches dense vectors.
        vectors_apart: the first version that keeps vectors apart from `_source`: answers leave
            them out unless asked, updates keep those that `_source` excludes, and may move
            cosine ones in their last digits; None when no version does.
        tells_privileges: whether the server says which privileges a user lacks.
        lists_long: whether a document lists the fields (in `_ignored`) of which a text was too
            long for the index.
        point_in_time: whether an index is read by point in time; else by scroll.
    """

    name: str
    scheme: str
    not_this: str
    credentials: str
    kinds: tuple[Kind, ...]
    dense_type: str
    dimensions: str
    dense_mapping: Callable[[Version], Mapping[str, Any]]
    by_angle: Callable[[Mapping[str, Any]], bool]
    scores_cosines: Callable[[Mapping[str, Any]], bool]
    number_in: Callable[[Mapping[str, Any], str], str]
    fusing: Callable[[], Fusing]
    not_offered: Mapping[str, str] = field(default_factory=dict)
    dense_settings: Mapping[str, Any] = field(default_factory=dict)
    first_knn: Version = ()
    vectors_apart: Version | None = None
    tells_privileges: bool = False
    lists_long: bool = True
    point_in_time: bool = False

    def keeps_vectors_apart(self, version: Version) -> bool:
        """Whether a server of this version keeps vectors apart from `_source`."""
        return self.vectors_apart is not None and version >= self.vectors_apart
