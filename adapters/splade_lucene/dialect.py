"""The differences between Elasticsearch and OpenSearch, for the shared modules."""

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
    """A server's schema, and its names in messages.

    Attributes:
        name: of the product.
        scheme: of its targets.
        not_this: completes the sentence "the server at … is not …".
        credentials: environment variables to name if the credentials are refused.
        kinds: types of sparse fields, the best last.
        not_offered: other types of sparse fields -> why they are not used.
        dense_type: type of dense fields.
        dimensions: the mapping parameter for the number of dimensions.
        dense_mapping: the rest of a new dense field's mapping, for a server version.
        by_angle: whether a dense field with this mapping compares directions.
        scores_cosines: whether its approximate search scores (1 + cosine) / 2, as far as known.
        number_in: the version number in the root's `version` object; raises a `ConfigurationError`
            for that location if the server is another product.
        fusing: makes the part that combines legs on this server.
        dense_settings: index settings needed to create an index with dense vectors.
        first_knn: the first version that searches dense vectors.
        vectors_apart: the first version that stores vectors apart from `_source`: responses omit
            them unless requested, and updates keep those that `_source` excludes, but may change
            the last digits of cosine vectors; None if no version does.
        tells_privileges: whether the server says which privileges a user lacks.
        lists_long: whether a document lists (in `_ignored`) the fields whose text was too long for
            the index.
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
        """Whether a server of this version stores vectors apart from `_source`."""
        return self.vectors_apart is not None and version >= self.vectors_apart
