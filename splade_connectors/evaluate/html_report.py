"""The report of a tuning: a self-contained HTML file to read, print and share."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

from splade_connectors.evaluate.plots import Axis, Series, bars, plot
from splade_connectors.evaluate.significance import TEST
from splade_connectors.evaluate.study import Fold, Result, Study
from splade_connectors.fusion.spec import format_fusion
from splade_connectors.shown import counted

# Contrast with the background is at least 4.5:1 in both colour schemes (WCAG 2.2, AA).
_STYLE = """
:root { color-scheme: light dark; --ground: #ffffff; --ink: #1b1f24; --dim: #57606a;
  --rule: #d0d7de; --soft: #f3f5f7; --c0: #0b61c4; --c1: #b04400; --c2: #1a7040; --c3: #8a3ba8;
  --c4: #a3224a; --c5: #5d5a00; }
@media (prefers-color-scheme: dark) { :root { --ground: #14171b; --ink: #e8eaed; --dim: #a4adb8;
  --rule: #3a424c; --soft: #1e2329; --c0: #6cb0ff; --c1: #ffa263; --c2: #63d297; --c3: #d59bf0;
  --c4: #ff8fab; --c5: #d8d24a; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 46rem; padding: 2rem 1.25rem 4rem; background: var(--ground);
  color: var(--ink); font: 16px/1.55 system-ui, -apple-system, "Segoe UI", sans-serif; }
h1 { font-size: 1.7rem; line-height: 1.2; margin: 0 0 .3rem; }
h2 { font-size: 1.2rem; margin: 2.6rem 0 .5rem; }
p { margin: .5rem 0; }
.dim, caption { color: var(--dim); font-size: .9rem; }
code { font: .92em ui-monospace, "Cascadia Mono", Menlo, monospace; background: var(--soft);
  padding: .1em .35em; border-radius: 4px; overflow-wrap: anywhere; }
.choice { background: var(--soft); border-left: 4px solid var(--c0); padding: .8rem 1rem;
  margin: 1.2rem 0; border-radius: 0 6px 6px 0; }
.choice p { margin: .25rem 0; }
.warning { border-left: 4px solid var(--c1); padding: .2rem 1rem; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; margin: .8rem 0; font-size: .92rem; }
caption { text-align: left; padding-bottom: .3rem; }
th, td { padding: .32rem .6rem .32rem 0; border-bottom: 1px solid var(--rule); text-align: right;
  font-variant-numeric: tabular-nums; vertical-align: top; white-space: nowrap; }
th:last-child, td:last-child { padding-right: 0; }
th { font-weight: 600; }
.text { text-align: left; white-space: normal; overflow-wrap: anywhere; min-width: 6.5rem; }
tr.chosen { font-weight: 700; }
figure { margin: 1rem 0; }
figcaption { color: var(--dim); font-size: .9rem; }
svg { width: 100%; height: auto; display: block; }
svg text { fill: var(--ink); font-family: inherit; }
svg .tick { font-size: 12px; }
svg .label { font-size: 13px; }
svg .grid { stroke: var(--rule); stroke-width: 1; }
svg .frame { fill: var(--soft); }
svg polyline, svg line[class^="l"] { fill: none; stroke-width: 2.2; stroke-linejoin: round; }
@media print { :root { --ground: #ffffff; --ink: #000000; --dim: #444444; --rule: #bbbbbb;
  --soft: #f3f3f3; --c0: #0b61c4; --c1: #b04400; --c2: #1a7040; --c3: #8a3ba8; --c4: #a3224a;
  --c5: #5d5a00; color-scheme: light; }
  @page { margin: 18mm 16mm; }
  body { max-width: none; padding: 0; font-size: 10.5pt; }
  h2 { break-after: avoid; } figure, table, .choice { break-inside: avoid; }
  .scroll { overflow: visible; } svg { max-width: 15cm; }
  * { print-color-adjust: exact; -webkit-print-color-adjust: exact; } }
"""
_COLOURS = "".join(
    f"svg .l{at} {{ stroke: var(--c{at}); }} svg .f{at} {{ fill: var(--c{at}); }}\n"
    for at in range(6)
)


def render(study: Study) -> str:
    """Return the report as one HTML document: no scripts, nothing to load."""
    of = study.tuning
    title = f"Tuned hybrid search: {of.dataset or 'a collection'}"
    parts = [
        f"<h1>{escape(title)}</h1>",
        f'<p class="dim">{of.queries:,} judged queries, {of.folds} folds; sparse model '
        f"{escape(of.model or 'unknown')}; legs: {escape(', '.join(of.legs))}.</p>",
        *(f'<p class="warning">{escape(text)}.</p>' for text in _warnings(study)),
        _choice(study),
        _quality(study),
        _weights(study),
        _speed(study),
        _shares(study),
        _folds(study),
        _method(study),
    ]
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{_STYLE}{_COLOURS}</style>\n</head>\n<body>\n"
        "<main>\n" + "\n".join(parts) + "\n</main>\n</body>\n</html>\n"
    )


def _warnings(study: Study) -> list[str]:
    found = list(study.warnings)
    if study.unknown_queries:
        unknown = counted(study.unknown_queries, "judged query", "judged queries")
        found.append(f"{unknown} not in queries.jsonl: ignored")
    if study.missing_documents:
        missing = counted(study.missing_documents, "relevant document")
        found.append(f"{missing} not in the store: counted as not found")
    return found


def _choice(study: Study) -> str:
    of = study.tuning
    best = of.against[study.best_leg]
    terms = "all terms" if of.max_query_terms is None else f"at most {of.max_query_terms} terms"
    chosen = "Chosen" if of.is_better else "Best, but not recommended"
    return (
        f'<div class="choice"><p>{chosen}: <code>{escape(of.fusion)}</code>, {of.candidates} '
        f"candidates per leg, {terms} of the sparse query.</p>"
        f"<p>nDCG@10 on held-out queries: <strong>{of.held_out:.4f}</strong>, "
        f"{best.difference:+.4f} vs. {escape(study.best_leg)} alone ({best.ndcg:.4f}); "
        f"p&nbsp;{escape(_p(best.p))}. {_verdict(best.difference, best.p)}</p></div>"
    )


def _verdict(difference: float, p: float) -> str:
    if p >= 0.05:
        return "The difference is not significant."
    return "The difference is significant." if difference > 0 else "The leg alone is better."


def _quality(study: Study) -> str:
    rows = [_result_row(result) for result in study.results]
    table = _table(
        f"Every query held out once. Difference and p-value are against {study.best_leg} alone.",
        ("ranking", "fusion", "nDCG@10", "difference", "p"),
        rows,
        text=2,
        chosen=len(rows) - 1,
    )
    return (
        f'<h2>Quality</h2>{table}<p class="dim">For tuned families and “all families”, nDCG@10 is '
        "that of the settings chosen on the other folds; the fusion shown is chosen on all "
        "queries. Legs and untuned fusions have nothing to tune, so every query counts as held "
        "out.</p>"
    )


def _result_row(result: Result) -> tuple[str, ...]:
    note = "tuned" if result.tuned else "untuned" if result.fusion else "leg alone"
    return (
        f"{result.name} ({note})",
        result.fusion,
        f"{result.ndcg:.4f}",
        "" if result.p is None else f"{result.difference:+.4f}",
        "" if result.p is None else _p(result.p),
    )


def _weights(study: Study) -> str:
    leg = study.curve_leg
    label = f"weight of {leg} (the other leg gets the rest)" if leg else "weight of the leg"
    series = [Series(name=curve.name, points=curve.points) for curve in study.curves]
    peaks = "; ".join(
        f"{curve.name} is best at {_best(curve.points)[0]:g} with {_best(curve.points)[1]:.4f}"
        for curve in study.curves
    )
    picture = plot(
        "nDCG@10 by weight",
        f"nDCG@10 on all queries, which were used for tuning, by {label}: {peaks}.",
        series,
        Axis(label=label, low=0.0, high=1.0),
        Axis(label="nDCG@10"),
    )
    weights = [weight for weight, _ in study.curves[0].points]
    rows = [
        (f"{weight:g}", *(f"{dict(curve.points)[weight]:.4f}" for curve in study.curves))
        for weight in weights
    ]
    table = _table(
        "nDCG@10 on all queries, which were used for tuning, at the chosen window and term limit.",
        ("weight", *(curve.name for curve in study.curves)),
        rows,
        text=0,
    )
    caption = "On all queries: shows how much the weight matters, not the quality to expect."
    return f"<h2>Quality by weight</h2>{_figure(picture, caption)}{table}"


def _best(points: Sequence[tuple[float, float]]) -> tuple[float, float]:
    return max(points, key=lambda point: point[1])


def _speed(study: Study) -> str:
    series = [
        Series(name=speed.name, points=((speed.p50_ms, speed.ndcg),), line=False)
        for speed in study.speeds
    ]
    listed = "; ".join(
        f"{speed.name}: {speed.p50_ms:.1f} ms, {speed.ndcg:.4f}" for speed in study.speeds
    )
    picture = plot(
        "nDCG@10 by latency",
        f"nDCG@10 on all queries, which were used for tuning, by median latency: {listed}.",
        series,
        Axis(label="median latency of a search, ms", low=0.0),
        Axis(label="nDCG@10"),
    )
    table = _table(
        "Searches for 10 hits on this machine, including encoding.",
        ("search", "nDCG@10", "p50 ms", "p95 ms"),
        [
            (speed.name, f"{speed.ndcg:.4f}", f"{speed.p50_ms:.1f}", f"{speed.p95_ms:.1f}")
            for speed in study.speeds
        ],
        text=1,
    )
    return (
        "<h2>Quality by latency</h2>"
        + _figure(
            picture, "The chosen fusion, with other windows and term limits, and each leg alone."
        )
        + table
    )


def _shares(study: Study) -> str:
    listed = "; ".join(f"{share.name} {share.share:.0%}" for share in study.shares)
    picture = bars(
        "Each leg's contribution",
        f"Share of the scores of the top 10 hits: {listed}.",
        [(share.name, share.share) for share in study.shares],
    )
    table = _table(
        f"Relevant documents in the top 10, over all queries: {study.relevant:,}.",
        ("leg", "share of scores", "relevant found", "found by no other leg"),
        [
            (share.name, f"{share.share:.1%}", f"{share.found:,}", f"{share.alone:,}")
            for share in study.shares
        ],
        text=1,
    )
    caption = "Share of the fused scores of the top 10 hits, over all queries."
    return f"<h2>Each leg&rsquo;s contribution</h2>{_figure(picture, caption)}{table}"


def _folds(study: Study) -> str:
    table = _table(
        "The setting chosen on the other folds' queries, and its quality on the fold's own.",
        ("fold", "chosen", "queries", "trained", "held out"),
        [_fold_row(at, fold) for at, fold in enumerate(study.folds, start=1)],
        text=2,
    )
    return f"<h2>Folds</h2>{table}"


def _fold_row(at: int, fold: Fold) -> tuple[str, ...]:
    setting = fold.setting
    terms = "all" if setting.max_query_terms is None else str(setting.max_query_terms)
    chosen = f"{format_fusion(setting.fusion)}; window {setting.candidates}; {terms} terms"
    return str(at), chosen, f"{fold.queries:,}", f"{fold.trained:.4f}", f"{fold.held_out:.4f}"


def _method(study: Study) -> str:
    of = study.tuning
    return (
        "<h2>How this was measured</h2>"
        f'<p class="dim">Queries were split into {of.folds} folds (random seed {of.seed}). For '
        "each fold, fusion family, weights, scales, window and number of query terms were chosen "
        "together by nDCG@10 on the other folds. Scales are each leg&rsquo;s mean best score and "
        "need no judgements. nDCG@10 is trec_eval&rsquo;s, by ir-measures. p-values: "
        f"{TEST} (Smucker, Allan and Carterette, CIKM 2007), not corrected for the number of "
        "comparisons.</p>"
    )


def _figure(picture: str, caption: str) -> str:
    return f"<figure>{picture}<figcaption>{escape(caption)}</figcaption></figure>"


def _table(
    caption: str,
    head: Sequence[str],
    rows: Iterable[Sequence[str]],
    *,
    text: int,
    chosen: int | None = None,
) -> str:
    """An HTML table; the first `text` columns contain text, the others numbers."""
    cells = "".join(
        f'<th scope="col"{_words(at, text)}>{escape(name)}</th>' for at, name in enumerate(head)
    )
    body = "".join(
        f"<tr{' class=chosen' if at == chosen else ''}>"
        + "".join(f"<td{_words(place, text)}>{escape(cell)}</td>" for place, cell in enumerate(row))
        + "</tr>"
        for at, row in enumerate(rows)
    )
    return (
        f'<div class="scroll"><table><caption>{escape(caption)}</caption><thead><tr>{cells}</tr>'
        f"</thead><tbody>{body}</tbody></table></div>"
    )


def _words(at: int, text: int) -> str:
    return ' class="text"' if at < text else ""


def _p(p: float) -> str:
    return "<0.0001" if p < 0.0001 else f"{p:.4f}"
