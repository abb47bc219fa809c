"""Small SVG plots, generated as text: no library, no script, nothing to load.

Colours are CSS variables of the page (`--c0`, `--c1`, …), so they follow light, dark and print
styles; every series also has its own marker or dash pattern, so colour is not needed to tell them
apart.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from itertools import pairwise

WIDTH, HEIGHT = 640, 320
_LEFT, _RIGHT, _TOP, _BOTTOM = 56, 16, 14, 46
_COLOURS = 6
_DASHES = ("", "7 4", "2 3", "10 3 2 3", "4 2", "1 4")
_LEGEND_ROW = 18
_CHARACTER = 6.6


@dataclass(frozen=True, kw_only=True, slots=True)
class Series:
    """Named points, joined by a line if `line` is set."""

    name: str
    points: Sequence[tuple[float, float]]
    line: bool = True


@dataclass(frozen=True, kw_only=True, slots=True)
class Axis:
    """One axis.

    Attributes:
        label: label with the unit.
        low: lower end; None means the data's.
        high: upper end; None means the data's.
    """

    label: str
    low: float | None = None
    high: float | None = None


def plot(title: str, description: str, series: Sequence[Series], x: Axis, y: Axis) -> str:
    """Return a plot of points or lines, with axes and a legend, as an SVG element.

    Args:
        title: short title.
        description: text alternative for screen readers.
        series: at least one series, with at least one point.
        x: horizontal axis.
        y: vertical axis.
    """
    across = _ticks(x, [point[0] for of in series for point in of.points])
    up = _ticks(y, [point[1] for of in series for point in of.points])
    legend, rows = _legend(series)
    height = HEIGHT + rows * _LEGEND_ROW
    parts = [_axes(x, y, across, up)]
    for at, of in enumerate(series):
        spots = [
            (_place(px, across, _LEFT, WIDTH - _RIGHT), _place(py, up, HEIGHT - _BOTTOM, _TOP))
            for px, py in of.points
        ]
        parts.append(_series(at, of, spots))
    return _svg(title, description, height, "".join(parts) + legend)


def bars(title: str, description: str, values: Sequence[tuple[str, float]]) -> str:
    """Return fractions of a whole as labelled horizontal bars, as an SVG element."""
    row, left = 34, 110
    room = WIDTH - left - 70
    parts = []
    for at, (name, value) in enumerate(values):
        top = 10 + at * row
        wide = max(value, 0.0) * room
        parts.append(
            f'<text class="label" x="{left - 10}" y="{top + 16}" text-anchor="end">'
            f"{escape(name)}</text>"
            f'<rect class="frame" x="{left}" y="{top}" width="{room}" height="22" rx="3"/>'
            f'<rect class="f{at % _COLOURS}" x="{left}" y="{top}" width="{wide:.1f}" height="22" '
            'rx="3"/>'
            f'<text class="label" x="{left + room + 10}" y="{top + 16}">{value:.0%}</text>'
        )
    return _svg(title, description, 14 + row * len(values), "".join(parts))


def _svg(title: str, description: str, height: int, body: str) -> str:
    name = escape(title)
    return (
        f'<svg role="img" viewBox="0 0 {WIDTH} {height}" xmlns="http://www.w3.org/2000/svg">'
        f"<title>{name}</title><desc>{escape(description)}</desc>{body}</svg>"
    )


def _ticks(axis: Axis, values: Sequence[float]) -> list[float]:
    """Round numbers that span the values, or the axis if it has bounds."""
    low = min(values) if axis.low is None else axis.low
    high = max(values) if axis.high is None else axis.high
    if high - low < 1e-9:
        low, high = low - 0.01, high + 0.01
    rough = (high - low) / 5
    power = 10.0 ** math.floor(math.log10(rough))
    step = power * min((size for size in (1, 2, 2.5, 5, 10) if size * power >= rough), default=10)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [count * step for count in range(first, last + 1)]


def _place(value: float, ticks: Sequence[float], start: float, end: float) -> float:
    return start + (value - ticks[0]) / (ticks[-1] - ticks[0]) * (end - start)


def _axes(x: Axis, y: Axis, across: Sequence[float], up: Sequence[float]) -> str:
    bottom, right = HEIGHT - _BOTTOM, WIDTH - _RIGHT
    parts = []
    for value in across:
        at = _place(value, across, _LEFT, right)
        parts.append(
            f'<line class="grid" x1="{at:.1f}" y1="{_TOP}" x2="{at:.1f}" y2="{bottom}"/>'
            f'<text class="tick" x="{at:.1f}" y="{bottom + 17}" text-anchor="middle">'
            f"{_number(value, across)}</text>"
        )
    for value in up:
        at = _place(value, up, bottom, _TOP)
        parts.append(
            f'<line class="grid" x1="{_LEFT}" y1="{at:.1f}" x2="{right}" y2="{at:.1f}"/>'
            f'<text class="tick" x="{_LEFT - 7}" y="{at + 4:.1f}" text-anchor="end">'
            f"{_number(value, up)}</text>"
        )
    parts.append(
        f'<text class="label" x="{(_LEFT + right) / 2}" y="{HEIGHT - 8}" text-anchor="middle">'
        f"{escape(x.label)}</text>"
        f'<text class="label" x="14" y="{(_TOP + bottom) / 2}" text-anchor="middle" '
        f'transform="rotate(-90 14 {(_TOP + bottom) / 2})">{escape(y.label)}</text>'
    )
    return "".join(parts)


def _number(value: float, ticks: Sequence[float]) -> str:
    step = min(after - before for before, after in pairwise(ticks))
    digits = max(0, -math.floor(math.log10(step) + 1e-9))
    # A step of 2.5 or 0.025 needs one more digit than its magnitude implies.
    if abs(step * 10**digits - round(step * 10**digits)) > 1e-6:
        digits += 1
    return f"{value + 0.0:.{digits}f}"


def _series(at: int, series: Series, spots: Sequence[tuple[float, float]]) -> str:
    parts = []
    if series.line and len(spots) > 1:
        points = " ".join(f"{px:.1f},{py:.1f}" for px, py in spots)
        parts.append(f'<polyline class="l{at % _COLOURS}" {_dashes(at)} points="{points}"/>')
    else:
        parts += [_mark(at, px, py) for px, py in spots]
    return "".join(parts)


def _dashes(at: int) -> str:
    pattern = _DASHES[at % len(_DASHES)]
    return f'stroke-dasharray="{pattern}"' if pattern else ""


def _mark(at: int, px: float, py: float) -> str:
    """A disc, a square, a diamond or a triangle."""
    colour = f'class="f{at % _COLOURS}"'
    shape = at % 4
    if shape == 0:
        return f'<circle {colour} cx="{px:.1f}" cy="{py:.1f}" r="5"/>'
    if shape == 1:
        return f'<rect {colour} x="{px - 4.5:.1f}" y="{py - 4.5:.1f}" width="9" height="9"/>'
    corners = (
        [(0, -6.5), (6.5, 0), (0, 6.5), (-6.5, 0)] if shape == 2 else [(0, -6), (6, 5), (-6, 5)]
    )
    points = " ".join(f"{px + dx:.1f},{py + dy:.1f}" for dx, dy in corners)
    return f'<polygon {colour} points="{points}"/>'


def _legend(series: Sequence[Series]) -> tuple[str, int]:
    """The legend below the plot, and its number of rows."""
    parts, left, row = [], float(_LEFT), 0
    for at, of in enumerate(series):
        wide = 40 + len(of.name) * _CHARACTER + 14
        if left > _LEFT and left + wide > WIDTH:
            left, row = float(_LEFT), row + 1
        y = HEIGHT + 8 + row * _LEGEND_ROW
        if of.line and len(of.points) > 1:
            parts.append(
                f'<line class="l{at % _COLOURS}" {_dashes(at)} x1="{left:.1f}" y1="{y}" '
                f'x2="{left + 28:.1f}" y2="{y}"/>'
            )
        else:
            parts.append(_mark(at, left + 14, y))
        parts.append(f'<text class="tick" x="{left + 34:.1f}" y="{y + 4}">{escape(of.name)}</text>')
        left += wide
    return "".join(parts), row + 1
