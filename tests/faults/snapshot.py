"""All that a server holds, compared as JSON values in double precision."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

# Document id -> field -> value; vectors are fields, too.
Snapshot = Mapping[str, Mapping[str, Any]]

_SHOWN = 5


def assert_untouched(
    before: Snapshot,
    after: Snapshot,
    except_fields: Collection[str] = (),
    tolerances: Mapping[str, float] | None = None,
) -> None:
    """The same documents with the same values.

    Args:
        before: what must still be there.
        after: what is.
        except_fields: at the top level; may have come, changed or gone.
        tolerances: field at the top level -> how far its numbers may have moved.

    Raises:
        AssertionError: naming the first differences.
    """
    assert not (missing := before.keys() - after.keys()), f"lost: {sorted(missing)[:_SHOWN]}"
    assert not (more := after.keys() - before.keys()), f"appeared: {sorted(more)[:_SHOWN]}"
    found = [
        difference
        for id in before
        for difference in _differing(before[id], after[id], set(except_fields), tolerances or {})
    ]
    shown = "; ".join(found[:_SHOWN])
    assert not found, f"{len(found)} values differ, such as: {shown}"


def _differing(
    old: Mapping[str, Any], new: Mapping[str, Any], ignored: set[str], allowed: Mapping[str, float]
) -> Iterator[str]:
    for field in sorted((old.keys() | new.keys()) - ignored):
        if field not in new:
            yield f"{field} is gone (it was {_short(old[field])})"
        elif field not in old:
            yield f"{field} has come ({_short(new[field])})"
        else:
            yield from differences(old[field], new[field], field, allowed.get(field, 0.0))


def differences(old: Any, new: Any, path: str, tolerance: float = 0.0) -> Iterator[str]:
    """Where two JSON values differ. 1 and 1.0 are the same number, 1 and true are not."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        if old.keys() != new.keys():
            yield f"{path} has the keys {sorted(new)}, not {sorted(old)}"
        for key in old.keys() & new.keys():
            yield from differences(old[key], new[key], f"{path}.{key}", tolerance)
    elif isinstance(old, list) and isinstance(new, list):
        if len(old) != len(new):
            yield f"{path} has {len(new)} entries, not {len(old)}"
        for at, (left, right) in enumerate(zip(old, new, strict=False)):
            yield from differences(left, right, f"{path}[{at}]", tolerance)
    elif not _is_same(old, new, tolerance):
        yield f"{path} is {_short(new)}, not {_short(old)}"


def _is_same(old: Any, new: Any, tolerance: float) -> bool:
    if _is_number(old) and _is_number(new):
        # Python compares an int with a float exactly, not after rounding.
        return bool(old == new) or (tolerance > 0 and abs(old - new) <= tolerance)
    return type(old) is type(new) and bool(old == new)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
