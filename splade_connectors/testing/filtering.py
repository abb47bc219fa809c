"""Generated documents and conditions, to test stores against `splade_connectors.filters.matches`.

Hypothesis is an optional dependency: it is imported when a strategy is created, not with this
module.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

from splade_connectors import filters
from splade_connectors.documents import Document
from splade_connectors.extras import require
from splade_connectors.filters import Condition
from splade_connectors.store import Store

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy

Payload = Mapping[str, Any]

# One type of value per path, as stores with a mapping require. Few values, so that conditions match
# some; no text looks like a date, since such stores would treat it as one.
_TEXTS = ["en", "En", "en ", "de", "", "é", "日本語", "null", "a.b", "x" * 200, 'quoted "', "\\"]
_BIG = [2**60, 2**60 + 1, -(2**63), 2**63 - 1]
_NUMBERS = [0.0, -0.0, 0.1, 1.5, 5.0, -7.25, 1e300]
_DAYS = [date(2024, 2, 29), date(2024, 3, 1), date(1969, 12, 31), date(9999, 12, 31), date(1, 1, 1)]
_TIMES = ["", "T00:00:00", "T00:00:00Z", "T23:59:59.999Z", "T12:00:00.1234567", "T01:30:00.5+01:30"]
_DATED = ("when",)
_TEXT_PATHS = ("lang", "author.name")
_WHOLE_PATHS = ("year", "author.age", "part.no")


def assert_same_filtering(
    store: Store, payloads: Sequence[Payload], conditions: Sequence[Condition]
) -> None:
    """Check that a store finds the same payloads for conditions as the reference.

    Args:
        store: its documents "0", "1", … are replaced.
        payloads: of the documents.
        conditions: one search each.

    Raises:
        AssertionError: if not; names the condition, and the payloads missing or wrongly found.
    """
    documents = [
        Document(id=str(at), text="water", payload=payload) for at, payload in enumerate(payloads)
    ]
    report = store.index(documents)
    assert not report.rejected, report.rejected
    for condition in conditions:
        hits = store.search("water", filter=condition, limit=len(payloads), with_payload=False)
        found = {int(hit.id) for hit in hits}
        wanted = {at for at, one in enumerate(payloads) if filters.matches(condition, one)}
        missing = [payloads[at] for at in sorted(wanted - found)]
        beside = [payloads[at] for at in sorted(found - wanted)]
        assert found == wanted, f"{condition}: missing {missing}, wrongly found {beside}"


def assert_filters_generated(store: Store, *, rounds: int, at_once: int, same: bool) -> None:
    """Check a store in rounds of new documents and conditions.

    Args:
        store: empty before and after.
        rounds: number of rounds.
        at_once: number of conditions per round.
        same: whether every run generates the same documents and conditions.
    """
    hypothesis = require("hypothesis", "test", "splade_connectors.testing.filtering")
    some = _strategies().lists(payloads(), min_size=20, max_size=30)
    many = _strategies().lists(conditions(), min_size=at_once, max_size=at_once)
    settings = hypothesis.settings(
        max_examples=rounds,
        derandomize=same,
        database=None,
        deadline=None,
        suppress_health_check=list(hypothesis.HealthCheck),
    )

    def check(documents: list[Payload], wanted: list[Condition]) -> None:
        assert_same_filtering(store, documents, wanted)
        store.delete([str(at) for at in range(len(documents))])

    settings(hypothesis.given(some, many)(check))()


def payloads() -> SearchStrategy[Payload]:
    """Payloads with texts, numbers, dates and objects, single, in lists, missing, null or empty."""
    st = _strategies()
    whole = st.one_of(st.integers(-10, 10), st.sampled_from(_BIG))
    author = st.fixed_dictionaries(
        {}, optional={"name": _some(st.sampled_from(_TEXTS)), "age": _some(st.integers(18, 22))}
    )
    part = st.one_of(
        st.builds(lambda n: {"part": {"no": n}}, _some(st.integers(0, 3))),
        st.builds(lambda n: {"part.no": n}, _some(st.integers(0, 3))),
        st.just({}),
    )
    rest = st.fixed_dictionaries(
        {},
        optional={
            "lang": _some(st.sampled_from(_TEXTS)),
            "year": _some(whole),
            "price": _some(st.one_of(st.sampled_from(_NUMBERS), st.floats(-100, 100))),
            "open": _some(st.booleans()),
            "when": _some(_dates_written()),
            "author": _some(author),
        },
    )
    made: SearchStrategy[Payload] = st.builds(lambda one, other: one | other, rest, part)
    return made


def conditions() -> SearchStrategy[Condition]:
    """Conditions on those payloads, up to a few levels deep, also with types a field never has."""
    st = _strategies()

    def combined(inner: Any) -> Any:
        some = st.lists(inner, max_size=3)
        return st.one_of(
            some.map(lambda given: filters.All(*given)),
            some.map(lambda given: filters.Any(*given)),
            inner.map(filters.Not),
        )

    made: SearchStrategy[Condition] = st.recursive(_leaves(), combined, max_leaves=5)
    return made


def _leaves() -> Any:
    st = _strategies()
    text = st.sampled_from(_TEXTS)
    whole = st.one_of(
        st.integers(-10, 22), st.sampled_from(_BIG), st.sampled_from([5.0, 2.5, 1e30])
    )
    number = st.one_of(st.sampled_from(_NUMBERS), st.integers(-10, 10))
    kinds = {
        **dict.fromkeys(_TEXT_PATHS, st.one_of(text, st.integers(0, 9), st.booleans())),
        **dict.fromkeys(_WHOLE_PATHS, st.one_of(whole, text, st.booleans(), _dates())),
        **dict.fromkeys(_DATED, st.one_of(_dates(), st.integers(0, 3))),
        "price": number,
        "open": st.one_of(st.booleans(), st.integers(0, 1), text),
        "author": st.one_of(text, st.integers(0, 3)),
        "not.there": st.one_of(text, number, st.booleans(), _dates()),
    }
    equals = [st.builds(filters.Equals, st.just(path), kind) for path, kind in kinds.items()]
    among = [
        st.builds(filters.AnyOf, st.just(path), st.lists(kind, max_size=4))
        for path, kind in kinds.items()
    ]
    paths = st.sampled_from([path for path in kinds if path != "author"])
    return st.one_of(*equals, *among, *_ranges(), st.builds(filters.Exists, paths))


def _ranges() -> list[Any]:
    st = _strategies()
    small = st.one_of(st.integers(-10, 22), st.sampled_from([2.5, -0.0, 0.0, 1e300, -1e300]))
    bounds = {
        **dict.fromkeys((*_WHOLE_PATHS, "price", *_TEXT_PATHS, "not.there"), small),
        "when": _dates(),
    }
    lower, upper = st.sampled_from(["gt", "gte"]), st.sampled_from(["lt", "lte"])
    found = []
    for path, kind in bounds.items():
        one = st.dictionaries(st.one_of(lower, upper), kind, min_size=1, max_size=1)
        both = st.builds(lambda a, x, b, y: {a: x, b: y}, lower, kind, upper, kind)
        made = st.one_of(one, both)
        found.append(made.map(lambda given, path=path: filters.Range(path, **given)))
    return found


def _some(values: Any) -> Any:
    """One value, several, none, or null."""
    st = _strategies()
    within = st.lists(st.one_of(values, st.none()), max_size=3)
    return st.one_of(values, values, within, st.none())


def _dates_written() -> Any:
    st = _strategies()
    days = st.one_of(st.sampled_from(_DAYS[:3]), st.dates(date(2024, 2, 27), date(2024, 3, 2)))
    return st.builds(lambda day, time: f"{day.isoformat()}{time}", days, st.sampled_from(_TIMES))


def _dates() -> Any:
    st = _strategies()
    zones = st.sampled_from([None, *(timezone(timedelta(minutes=m)) for m in (0, 90, -300))])
    near = st.datetimes(datetime(2024, 2, 28), datetime(2024, 3, 2), timezones=zones)
    exact = st.sampled_from(["2024-02-29T12:00:00.123", "2024-02-29T00:00:00.5Z"])
    parsed = exact.map(datetime.fromisoformat)
    return st.one_of(st.sampled_from(_DAYS), near, parsed)


def _strategies() -> Any:
    return require("hypothesis", "test", "splade_connectors.testing.filtering").strategies
