"""The conditions: values that are checked when created, independent of any store."""

from __future__ import annotations

import typing
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, fields
from datetime import date, datetime

import numpy as np

from splade_connectors.errors import ConfigurationError, InvalidDocument
from splade_connectors.filters.dates import Span, span_in, span_of
from splade_connectors.shown import quoted
from splade_connectors.values import stored_payload

Number = int | float
Value = str | bool | int | float | date

# A limit, because Qdrant needs a test for every way in which objects and lists may be nested.
_DEEPEST = 5


class Condition:
    """A condition on a document's payload; combine conditions with `a & b`, `a | b` and `~a`."""

    __slots__ = ()

    def __and__(self, other: Condition) -> All:
        return All(self, other)

    def __or__(self, other: Condition) -> Any:
        return Any(self, other)

    def __invert__(self) -> Not:
        return Not(self)


@dataclass(frozen=True, slots=True)
class Equals(Condition):
    """A value of the field equals this one.

    Attributes:
        path: of the field.
        value: text (whole, case-sensitive), a number, a bool or a date.
    """

    path: str
    value: Value

    def __post_init__(self) -> None:
        _check_path(self.path)
        object.__setattr__(self, "value", _checked(self.path, self.value))


@dataclass(frozen=True, slots=True)
class AnyOf(Condition):
    """A value of the field equals one of these; an empty list matches nothing.

    Attributes:
        path: of the field.
        values: as in `Equals`.
    """

    path: str
    values: Sequence[Value]

    def __post_init__(self) -> None:
        _check_path(self.path)
        if isinstance(self.values, str | bytes) or not isinstance(self.values, Iterable):
            raise ConfigurationError(
                f"AnyOf({self.path!r}, …) takes a list of values, not {quoted(self.values)}"
            )
        values = tuple(_checked(self.path, value) for value in self.values)
        object.__setattr__(self, "values", values)


@dataclass(frozen=True, slots=True)
class Range(Condition):
    """A value of the field is within these bounds, which are either all numbers or all dates.

    A date without a time is the whole day: `lte=date(2024, 12, 31)` includes it, `gt=` starts
    after it. A text bound is parsed as a date.

    Attributes:
        path: of the field.
        gt: exclusive lower bound.
        gte: inclusive lower bound.
        lt: exclusive upper bound.
        lte: inclusive upper bound.
    """

    path: str
    gt: Value | None = field(default=None, kw_only=True)
    gte: Value | None = field(default=None, kw_only=True)
    lt: Value | None = field(default=None, kw_only=True)
    lte: Value | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        _check_path(self.path)
        for name in self.given:
            object.__setattr__(self, name, _bound(self.path, getattr(self, name)))
        kinds = {isinstance(bound, date) for bound in self.given.values()}
        if not kinds or len(kinds) > 1:
            what = "numbers and dates" if kinds else "no bound"
            raise ConfigurationError(
                f"Range({self.path!r}, …) has {what}: give gt or gte, lt or lte, as numbers only "
                "or as dates only"
            )
        for open_end, closed_end in (("gt", "gte"), ("lt", "lte")):
            if open_end in self.given and closed_end in self.given:
                raise ConfigurationError(
                    f"Range({self.path!r}, …) has both {open_end} and {closed_end}: give only one"
                )

    @property
    def given(self) -> dict[str, Value]:
        """The given bounds by name."""
        bounds = {entry.name: getattr(self, entry.name) for entry in fields(self)[1:]}
        return {name: bound for name, bound in bounds.items() if bound is not None}

    @property
    def is_of_dates(self) -> bool:
        """Whether the bounds are dates."""
        return any(isinstance(bound, date) for bound in self.given.values())

    @property
    def moments(self) -> tuple[int | None, int | None]:
        """For dates: the first millisecond inside and the first one after; None is unbounded."""
        spans = {name: span_of(typing.cast(date, bound)) for name, bound in self.given.items()}
        first = spans["gte"].start if "gte" in spans else None
        behind = spans["lt"].start if "lt" in spans else None
        first = spans["gt"].end if "gt" in spans else first
        behind = spans["lte"].end if "lte" in spans else behind
        return first, behind


@dataclass(frozen=True, slots=True)
class Exists(Condition):
    """The field has a value; an empty text counts, null and an empty list do not.

    Attributes:
        path: of the field.
    """

    path: str

    def __post_init__(self) -> None:
        _check_path(self.path)


@dataclass(frozen=True, slots=True, init=False)
class All(Condition):
    """All of these conditions hold; without conditions, every document matches."""

    conditions: tuple[Condition, ...]

    def __init__(self, *conditions: Condition) -> None:
        object.__setattr__(self, "conditions", _conditions("All", conditions))


@dataclass(frozen=True, slots=True, init=False)
class Any(Condition):
    """At least one of these conditions holds; without conditions, no document matches."""

    conditions: tuple[Condition, ...]

    def __init__(self, *conditions: Condition) -> None:
        object.__setattr__(self, "conditions", _conditions("Any", conditions))


@dataclass(frozen=True, slots=True)
class Not(Condition):
    """The condition does not hold, which includes documents without a value.

    Attributes:
        condition: the negated condition.
    """

    condition: Condition

    def __post_init__(self) -> None:
        _conditions("Not", (self.condition,))


@dataclass(frozen=True, slots=True)
class Sorted:
    """Values by kind, as stores compare them.

    Attributes:
        texts: compared whole.
        numbers: 5 and 5.0 are equal.
        booleans: never equal to numbers.
        spans: of the dates.
    """

    texts: tuple[str, ...]
    numbers: tuple[Number, ...]
    booleans: tuple[bool, ...]
    spans: tuple[Span, ...]


def values_of(condition: Equals | AnyOf) -> Sorted:
    """The distinct values of a condition, by kind."""
    given = condition.values if isinstance(condition, AnyOf) else (condition.value,)
    booleans = dict.fromkeys(value for value in given if isinstance(value, bool))
    numbers = dict.fromkeys(
        value for value in given if isinstance(value, int | float) and not isinstance(value, bool)
    )
    return Sorted(
        texts=tuple(dict.fromkeys(value for value in given if isinstance(value, str))),
        numbers=tuple(numbers),
        booleans=tuple(booleans),
        spans=tuple(dict.fromkeys(span_of(value) for value in given if isinstance(value, date))),
    )


def _check_path(path: object) -> None:
    """Refuse a path that not every store can express."""
    if not isinstance(path, str) or not all(path.split(".")):
        raise ConfigurationError(
            f"a condition needs a field name, such as lang or author.name, not {quoted(path)}"
        )
    marks = sorted({'"', "*"} & set(path))
    if marks or not path.isprintable():
        what = repr(marks[0]) if marks else "a control character"
        raise ConfigurationError(
            f"the field {quoted(path)} has {what} in its name, which not every store can query: "
            "write this condition in the store's own filter language"
        )
    if path.count(".") >= _DEEPEST:
        raise ConfigurationError(
            f"the path {quoted(path)} is more than {_DEEPEST} names deep: write this condition in "
            "the store's own filter language"
        )


def _checked(path: str, given: typing.Any) -> Value:
    """A value as documents store it; dates stay dates."""
    if given is None:
        raise ConfigurationError(
            f"None is not a value of {path!r}: Not(Exists({path!r})) finds documents without a "
            "value"
        )
    refused = ConfigurationError(
        f"the condition on {path!r} has the value {quoted(given)}: it takes text, a bool, a date, "
        "or a finite number of at most 64 bits"
    )
    try:
        value = stored_payload({path: given}).get(path)
    except InvalidDocument as error:
        raise refused from error
    if isinstance(given, np.datetime64) and isinstance(value, str):
        return date_in(value, path)
    if value is None or not isinstance(value, str | bool | int | float):
        raise refused
    if isinstance(given, int) and isinstance(value, str):  # more than 64 bits
        raise refused
    return given if isinstance(given, date) else value


def _bound(path: str, given: typing.Any) -> Value:
    """A bound: a number, or a date, which may be given as text."""
    value = _checked(path, given)
    if isinstance(value, str):
        return date_in(value, path)
    if isinstance(value, bool):
        raise ConfigurationError(f"Range({path!r}, …) takes numbers or dates, not {value}")
    return value


def date_in(text: str, path: str) -> date:
    """The date or datetime in a text.

    Raises:
        ConfigurationError: if it is not a date in a form that all stores parse alike.
    """
    if span_in(text) is None:
        raise ConfigurationError(
            f"the condition on {path!r} has {quoted(text)}, which is not a date: write 2024-05-17, "
            "2024-05-17T08:30:00 or 2024-05-17T08:30:00.125+02:00"
        )
    return datetime.fromisoformat(text) if "T" in text else date.fromisoformat(text)


def _conditions(name: str, given: Sequence[typing.Any]) -> tuple[Condition, ...]:
    for condition in given:
        if not isinstance(condition, Condition):
            raise ConfigurationError(
                f"{name}(…) takes conditions, such as Equals('lang', 'en'), not {quoted(condition)}"
            )
    return tuple(given)
