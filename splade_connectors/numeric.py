"""Checks of numbers that callers pass, so that a wrong one is a sentence and not a TypeError."""

from __future__ import annotations

import math
from numbers import Integral, Real

from splade_connectors.errors import ConfigurationError


def check_whole(minimum: int, **values: object) -> None:
    """Refuse values that are not whole numbers of at least `minimum`; None passes.

    Args:
        minimum: the smallest allowed value.
        **values: option -> value. numpy's integers are numbers; True and False are not.

    Raises:
        ConfigurationError: naming the option and the value.
    """
    for name, value in values.items():
        if value is None:
            continue
        if not isinstance(value, Integral) or isinstance(value, bool):
            raise ConfigurationError(f"{name} must be a whole number, not {value!r}")
        if int(value) < minimum:
            raise ConfigurationError(f"{name} must be at least {minimum}, not {value!r}")


def check_number(minimum: float, **values: object) -> None:
    """Refuse values that are not numbers of at least `minimum`; None passes.

    Args:
        minimum: the smallest allowed value; infinity itself is allowed.
        **values: option -> value, as in `check_whole`.

    Raises:
        ConfigurationError: naming the option and the value.
    """
    for name, value in values.items():
        if value is None:
            continue
        if not is_number(value):
            raise ConfigurationError(f"{name} must be a number, not {value!r}")
        if not value >= minimum:  # type: ignore[operator]  # also NaN
            raise ConfigurationError(f"{name} must be at least {minimum}, not {value!r}")


def is_number(value: object) -> bool:
    """Return whether a value is a number, numpy's included; True and False are not."""
    return isinstance(value, Real) and not isinstance(value, bool)


def is_finite(value: object) -> bool:
    """Return whether a value is a finite number."""
    return is_number(value) and math.isfinite(value)  # type: ignore[arg-type]
