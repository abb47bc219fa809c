"""One filter language for every store: conditions on payload fields with the same meaning on each.

    from splade_connectors import filters

    english = filters.Equals("lang", "en") & filters.Range("year", gte=2020)
    store.search("how do vaccines work", filter=english & ~filters.Exists("retracted"))

A path names a field, or one inside objects ("author.name"); lists along the path and at its end are
searched, and one matching value is enough. null and an empty list are not values: a document
without a value matches only `Not`. Text equals text, numbers equal numbers (5 is 5.0), and dates
are compared as moments, to the millisecond; a date without a time zone is UTC.
"""

from splade_connectors.filters.conditions import (
    All,
    Any,
    AnyOf,
    Condition,
    Equals,
    Exists,
    Not,
    Range,
)
from splade_connectors.filters.reference import matches, paths_of
from splade_connectors.filters.written import from_json, is_condition, to_json

__all__ = [
    "All",
    "Any",
    "AnyOf",
    "Condition",
    "Equals",
    "Exists",
    "Not",
    "Range",
    "from_json",
    "is_condition",
    "matches",
    "paths_of",
    "to_json",
]
