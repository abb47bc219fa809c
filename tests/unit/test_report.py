"""The report of a tuning: self-contained, escaped, with every number as text."""

from __future__ import annotations

import dataclasses
import re
from html.parser import HTMLParser
from typing import Any
from xml.etree import ElementTree

import pytest

from splade_connectors.evaluate import Study, Tuning
from splade_connectors.evaluate.html_report import render
from splade_connectors.evaluate.plots import Axis, Series, bars, plot
from splade_connectors.evaluate.study import Curve, Fold, Result, Setting, Share, Speed
from splade_connectors.fusion import Rrf
from splade_connectors.fusion.tuning import Against

EVIL = "<b>&\"'</b>"
STUDY = Study(
    tuning=Tuning(
        fusion="rrf:k=10,weights=0.4:0.6",
        legs=("sparse", "dense"),
        candidates=100,
        max_query_terms=16,
        held_out=0.7123,
        against={
            "sparse": Against(ndcg=0.6436, difference=0.0687, p=0.00002),
            "dense": Against(ndcg=0.6451, difference=0.0672, p=0.0004),
        },
        model="splade-tiny",
        dataset="scifact/test",
        queries=300,
        folds=2,
        seed=0,
    ),
    best_leg="dense",
    results=(
        Result(name="sparse", fusion="", tuned=False, ndcg=0.6436, difference=-0.0015, p=0.9),
        Result(name="dense", fusion="", tuned=False, ndcg=0.6451, difference=0.0, p=None),
        Result(name="rrf", fusion="rrf:k=60", tuned=False, ndcg=0.69, difference=0.0449, p=0.001),
        Result(name="rrf", fusion="rrf:k=10", tuned=True, ndcg=0.7, difference=0.0549, p=0.00001),
    ),
    folds=(
        Fold(
            setting=Setting(fusion=Rrf(k=10), candidates=50, max_query_terms=None),
            queries=150,
            trained=0.72,
            held_out=0.71,
        ),
    ),
    curves=(Curve(name="rrf", points=((0.0, 0.6451), (0.5, 0.7011), (1.0, 0.6436))),),
    curve_leg="sparse",
    speeds=(
        Speed(name="sparse", kind="leg", ndcg=0.6436, p50_ms=3.21, p95_ms=5.4),
        Speed(name="tuned, window 100", kind="tuned", ndcg=0.7123, p50_ms=9.87, p95_ms=12.0),
    ),
    shares=(
        Share(name="sparse", share=0.432, found=200, alone=15),
        Share(name="dense", share=0.568, found=260, alone=45),
    ),
    relevant=275,
    unknown_queries=0,
    missing_documents=0,
    warnings=(),
)

VOID = {"meta", "br", "hr", "img", "link", "input"}


class Checked(HTMLParser):
    """Parses a document, checks that elements are closed in order, and keeps what there is."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.text = ""
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: Any) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def drawings(text: str) -> list[ElementTree.Element]:
    """The SVG elements, which are XML on their own."""
    found = re.findall(r"<svg.*?</svg>", text, re.DOTALL)
    return [ElementTree.fromstring(svg) for svg in found]


def test_the_report_needs_nothing_else() -> None:
    text = render(STUDY)
    page = Checked(text)
    assert not {"script", "link", "img", "iframe", "object", "base"} & set(page.tags)
    assert not [name for name, _ in page.attributes if name in ("src", "href", "srcset", "style")]
    assert "url(" not in text
    assert "@import" not in text
    # The namespace of SVG is a name, nothing that is fetched.
    assert set(re.findall(r"https?://[^\"'\s]+", text)) == {"http://www.w3.org/2000/svg"}


def test_every_number_is_there_as_text() -> None:
    text = Checked(render(STUDY)).text
    numbers = ["0.7123", "+0.0672", "0.6436", "0.6451", "0.7011", "3.2", "9.9", "43.2%", "56.8%"]
    for number in [*numbers, "15", "45", "275", "0.7200", "<0.0001", "0.9000"]:
        assert number in text, number
    for words in ["rrf:k=10,weights=0.4:0.6", "at most 16 terms", "scifact/test", "splade-tiny"]:
        assert words in text, words


def test_plots_are_told_to_those_who_do_not_see_them() -> None:
    found = drawings(render(STUDY))
    assert len(found) == 3
    space = "{http://www.w3.org/2000/svg}"
    for drawing in found:
        assert drawing.get("role") == "img"
        for name in ("title", "desc"):
            element = drawing.find(f"{space}{name}")
            assert element is not None
            assert element.text


def test_it_is_made_for_print_light_and_dark() -> None:
    text = render(STUDY)
    assert '<html lang="en">' in text
    assert "@media print" in text
    assert "prefers-color-scheme: dark" in text


def colours(text: str, block: str) -> dict[str, str]:
    found = re.search(block + r"[^{]*\{([^}]*)\}", text)
    assert found
    return dict(re.findall(r"(--\w+): (#\w{6})", found[1]))


def luminance(colour: str) -> float:
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
    ]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("block", [r"\n:root", r"dark\) \{ :root", r"print \{ :root"])
def test_colours_stand_out_from_their_ground(block: str) -> None:
    """At least 4.5 to 1, as WCAG 2.2 wants of text."""
    known = colours(render(STUDY), block)
    grounds = [luminance(known["--ground"]), luminance(known["--soft"])]
    for name in ("--ink", "--dim", *(f"--c{at}" for at in range(6))):
        for ground in grounds:
            bright, dark = sorted((luminance(known[name]), ground), reverse=True)
            assert (bright + 0.05) / (dark + 0.05) >= 4.5, name


def test_whatever_is_named_is_escaped() -> None:
    tuning = dataclasses.replace(
        STUDY.tuning,
        model=EVIL,
        dataset=EVIL,
        legs=(EVIL, "dense"),
        against={EVIL: Against(ndcg=0.6, difference=0.1, p=0.5)},
    )
    study = dataclasses.replace(
        STUDY,
        tuning=tuning,
        best_leg=EVIL,
        curve_leg=EVIL,
        results=tuple(dataclasses.replace(of, name=EVIL, fusion=EVIL) for of in STUDY.results),
        curves=tuple(dataclasses.replace(of, name=EVIL) for of in STUDY.curves),
        speeds=tuple(dataclasses.replace(of, name=EVIL) for of in STUDY.speeds),
        shares=tuple(dataclasses.replace(of, name=EVIL) for of in STUDY.shares),
        warnings=(EVIL,),
    )
    text = render(study)
    page = Checked(text)
    assert "b" not in page.tags
    assert EVIL in page.text
    assert len(drawings(text)) == 3  # still XML


def test_what_to_keep_in_mind_is_said() -> None:
    assert 'class="warning"' not in render(STUDY)
    study = dataclasses.replace(
        STUDY, warnings=("only 30 judged queries",), unknown_queries=4, missing_documents=5
    )
    text = render(study)
    assert text.count('class="warning"') == 3
    for words in ("only 30 judged", "4 judged queries not", "5 relevant documents not"):
        assert words in text


@pytest.mark.parametrize(
    ("difference", "p", "sentence"),
    [
        (0.05, 0.001, "The difference is significant."),
        (0.05, 0.2, "The difference is not significant."),
        (-0.05, 0.2, "The difference is not significant."),
        (-0.05, 0.001, "The leg alone is better."),
    ],
)
def test_the_verdict_follows_the_test(difference: float, p: float, sentence: str) -> None:
    against = {"dense": Against(ndcg=0.6, difference=difference, p=p)}
    tuning = dataclasses.replace(STUDY.tuning, against=against)
    assert sentence in render(dataclasses.replace(STUDY, tuning=tuning))


@pytest.mark.parametrize(
    "points",
    [
        [(0.0, 0.0)],
        [(1.0, 0.5), (1.0, 0.5)],
        [(0.0, 0.6123), (1.0, 0.6124)],
        [(0.0, 1e-9), (1.0, 1e9)],
        [(float(at), 0.5) for at in range(30)],
    ],
)
def test_any_points_can_be_plotted(points: list[tuple[float, float]]) -> None:
    for line in (True, False):
        series = [Series(name=f"series {at}", points=points, line=line) for at in range(8)]
        svg = plot("title", "what is to be seen", series, Axis(label="x"), Axis(label="y"))
        drawing = ElementTree.fromstring(svg)
        _, _, width, height = map(float, str(drawing.get("viewBox")).split())
        for element in drawing.iter():
            for name, most in (("x", width), ("cx", width), ("y", height), ("cy", height)):
                assert -1e-6 <= float(element.get(name, 0)) <= most
        assert "nan" not in svg


def test_lines_end_where_the_axes_say() -> None:
    series = [Series(name="a", points=[(0.0, 0.0), (1.0, 1.0)])]
    svg = plot("t", "d", series, Axis(label="x", low=0, high=1), Axis(label="y", low=0, high=1))
    assert 'points="56.0,274.0 624.0,14.0"' in svg
    for tick in ("0.0", "0.2", "1.0"):
        assert f">{tick}</text>" in svg


def test_bars_are_as_long_as_their_shares() -> None:
    drawing = ElementTree.fromstring(bars("t", "d", [("a", 1.0), ("b", 0.5), ("c", 0.0)]))
    wide = [
        float(element.get("width", ""))
        for element in drawing.iter("{http://www.w3.org/2000/svg}rect")
        if element.get("class") != "frame"
    ]
    assert wide == [460.0, 230.0, 0.0]


def test_tiny_p_values_are_escaped() -> None:
    against = {"dense": Against(ndcg=0.6, difference=0.1, p=0.00001)}
    tuning = dataclasses.replace(STUDY.tuning, against=against)
    text = render(dataclasses.replace(STUDY, tuning=tuning))
    assert "p&nbsp;&lt;0.0001. The difference is significant." in text
