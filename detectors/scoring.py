"""From the summaries of a closed window to its scores: what is measured, and what it is measured against."""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Iterable, Iterator
from functools import partial

from detectors.category import CategorySummary
from detectors.choice import Choice
from detectors.labelled.folding import by_label
from detectors.labelled.tally import Metric
from detectors.pairs import CategoryPair, NumericPair, Pair
from detectors.performance import PerformanceSummary
from detectors.profile import PREDICTION, Profile
from detectors.score import NUMERIC_ERRORS, Score, why_failed
from detectors.univariate import AUTO, category_drift, nothing_to_say, numeric_drift, pair_drift
from detectors.window import Numeric, WindowSummary, lacks_predictions, predictions_of

SHARES_MOST = 10  # values of a category whose share is a score of its own
REFERENCE_SHARES_MOST = 50  # of a reference, so that what is frequent in a window is found there
TARGET_SHARES_MOST = 100  # labels
PAIRS = 256  # features whose pairs are kept until their scores are judged, 50 kB each
QUANTILES = {"p01": 0.01, "p05": 0.05, "p25": 0.25, "p50": 0.5, "p75": 0.75, "p95": 0.95, "p99": 0.99}


def score_window(
    summary: WindowSummary,
    profile: Profile | None,
    baseline: WindowSummary | None,
    window_seconds: float,
    baseline_name: str = "first_windows",
    choice: Choice = AUTO,
    pairs: dict[str, Pair] | None = None,
) -> list[Score]:
    """Scores of a window's inputs, predictions, latency and traffic, in a fixed order.

    profile: the reference that summary counts in. baseline: the learned one where there is no profile. pairs: gets those of the
    first PAIRS features, for whoever judges the scores.
    """
    name = profile.name if profile else (baseline_name if baseline else "")
    known: Profile | WindowSummary | None = profile or baseline
    out: list[Score] = []
    for feature, column in summary.numeric.items():
        out.extend(_numeric(feature, column))
        if known is not None and feature in known.numeric:
            make: Callable[[], Pair] = partial(NumericPair, known.numeric[feature], column)
            out.extend(_compared(feature, make, "numeric", column.rows, name, choice, pairs))
        elif known is not None:
            out.append(nothing_to_say(feature, column.rows, name, _unlike(feature, "numeric", feature in known.categorical)))
    for feature, counts in summary.categorical.items():
        out.extend(_presence(feature, counts))
        out.extend(_shares(feature, counts, known.categorical.get(feature) if known is not None else None))
        if known is not None and feature in known.categorical:
            make = partial(CategoryPair, known.categorical[feature], counts)
            out.extend(_compared(feature, make, "category", counts.rows, name, choice, pairs))
        elif known is not None:
            out.append(nothing_to_say(feature, counts.rows, name, _unlike(feature, "category", feature in known.numeric)))
    out.extend(_prediction(summary, profile, baseline, name, choice))
    latency = summary.latency
    if latency.rows:
        for label, q in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99)):
            out.append(Score("latency", f"latency_{label}_ms", latency.quantile(q), latency.rows))
    rows = summary.rows
    out.append(Score("traffic", "rows", float(rows), rows))
    out.append(Score("traffic", "throughput_eps", rows / window_seconds, rows))
    out.append(Score("traffic", "error_share", summary.errors / rows if rows else math.nan, rows))
    return out


def _compared(
    feature: str, make: Callable[[], Pair], kind: str, rows: int, name: str, choice: Choice, pairs: dict[str, Pair] | None
) -> Iterator[Score]:  # fmt: skip
    """The scores of a feature's pair, which is kept. What raises on odd values costs the feature, not the window."""
    try:
        pair = make()
        if pairs is not None and len(pairs) < PAIRS:
            pairs[feature] = pair
        yield from pair_drift(feature, pair, kind, name, choice)
    except NUMERIC_ERRORS as error:
        yield Score(feature, "drift", math.nan, rows, name, why_failed(error))


def _unlike(feature: str, kind: str, other_kind: bool) -> str:
    fix = "run `driftd reference build` again"
    if other_kind:
        return f"the reference holds {feature} as another type than {kind}; correct the config's `features`, or {fix}"
    return f"the reference does not have {feature}; {fix}"


def _prediction(
    summary: WindowSummary, profile: Profile | None, baseline: WindowSummary | None, name: str, choice: Choice
) -> Iterator[Score]:
    """Of the scores where there are any, else of the predicted labels. A reference's predictions that no row has are missing."""
    scores, labels = predictions_of(profile or baseline)
    if summary.score.rows:
        yield from _numeric(PREDICTION, summary.score)
        if scores is not None:
            yield from numeric_drift(PREDICTION, summary.score, scores, name, choice)
    elif summary.label.rows or lacks_predictions(summary, profile or baseline):
        of_scores = scores is not None and scores.rows
        yield from _presence(PREDICTION, summary.score) if of_scores else _presence(PREDICTION, summary.label)
        if labels is not None and summary.label.rows:
            yield from category_drift(PREDICTION, summary.label, labels, name, choice)
        elif labels is not None:
            yield nothing_to_say(PREDICTION, 0, name, "all its values are missing")
    yield from _shares(PREDICTION, summary.label, labels)


def describe(known: Profile | WindowSummary) -> Iterator[Score]:
    """What the scores that describe a window's columns are of a reference itself, under the same subjects and names."""
    numeric = dict(known.numeric)
    numeric[PREDICTION] = known.numeric[PREDICTION] if isinstance(known, Profile) else known.score
    for subject, column in numeric.items():
        if column.rows:
            yield from _numeric(subject, column)
    for subject, counts in {**known.categorical, PREDICTION: known.label}.items():
        if counts.rows:
            if subject != PREDICTION or not numeric[PREDICTION].rows:
                yield from _presence(subject, counts)
            yield from _shares(subject, counts, None, REFERENCE_SHARES_MOST)


def _numeric(subject: str, column: Numeric) -> Iterator[Score]:
    rows, moments = column.rows, column.moments
    yield from _presence(subject, column)
    yield Score(subject, "mean", moments.mean if moments.n else math.nan, rows)
    yield Score(subject, "std", moments.std, rows)
    yield Score(subject, "min", moments.low if moments.n else math.nan, rows)
    yield Score(subject, "max", moments.high if moments.n else math.nan, rows)
    found = column.cells().quantiles(tuple(QUANTILES.values()), moments.low, moments.high)
    for label, value in zip(QUANTILES, found, strict=True):
        yield Score(subject, label, value, rows)


def _presence(subject: str, column: Numeric | CategorySummary) -> Iterator[Score]:
    rows, seen = column.rows, column.rows + column.missing
    yield Score(subject, "count", float(rows), seen)
    yield Score(subject, "missing_share", column.missing / seen if seen else math.nan, seen)


def _shares(subject: str, counts: CategorySummary, reference: CategorySummary | None, most: int = SHARES_MOST) -> Iterator[Score]:
    """Shares of the values that are most frequent in the window or in its reference, one that vanished as 0."""
    rows = counts.rows
    if not rows:
        return
    base = {} if reference is None else reference.counts
    of_base = max(1, sum(base.values()))
    weight = {name: max(n / rows, base.get(name, 0) / of_base) for name, n in counts.counts.items()}
    weight |= {name: n / of_base for name, n in base.items() if name not in weight}
    for name in heapq.nsmallest(most, weight, key=lambda name: (-weight[name], name)):
        yield Score(subject, f"share:{name}", counts.counts.get(name, 0) / rows, rows)


def score_performance(perf: PerformanceSummary) -> list[Score]:
    """Scores of the outcomes known so far: the metrics of the task, and the classes' shares among the labels."""
    out = list(metric_scores(perf.metrics()))
    totals = by_label(perf.confusion, 1)
    n = sum(perf.confusion.values())
    shown = heapq.nsmallest(TARGET_SHARES_MOST, totals, key=lambda label: (-totals[label], label))
    out.extend(Score("target", f"share:{label}", totals[label] / n, n) for label in sorted(shown))
    return out


def metric_scores(metrics: Iterable[Metric]) -> Iterator[Score]:
    """Metrics as scores: NAME, NAME_low and NAME_high, but for those of one class or quantile, whose interval is evidence."""
    for m in metrics:
        known = math.isfinite(m.low) and math.isfinite(m.high)
        interval = {"interval_95": [m.low, m.high]} if known else {}
        yield Score("performance", m.name, m.value, m.rows, evidence={**interval, **m.evidence})
        if known and ":" not in m.name:
            yield Score("performance", f"{m.name}_low", m.low, m.rows)
            yield Score("performance", f"{m.name}_high", m.high, m.rows)
