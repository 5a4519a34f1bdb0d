"""From the summaries of a closed window to its scores: what is measured, and what it is measured against."""

from __future__ import annotations

import math
from collections.abc import Iterator

from detectors.category import CategorySummary
from detectors.choice import Choice
from detectors.columns import Schema
from detectors.performance import PerformanceSummary
from detectors.profile import PREDICTION, Profile
from detectors.score import Score
from detectors.univariate import AUTO, category_drift, nothing_to_say, numeric_drift
from detectors.window import Numeric, WindowSummary

QUANTILES = {"p01": 0.01, "p05": 0.05, "p25": 0.25, "p50": 0.5, "p75": 0.75, "p95": 0.95, "p99": 0.99}


def score_window(
    summary: WindowSummary,
    profile: Profile | None,
    baseline: WindowSummary | None,
    window_seconds: float,
    baseline_name: str = "first_windows",
    choice: Choice = AUTO,
) -> list[Score]:
    """Scores of a window's inputs, predictions, latency and traffic, in a fixed order.

    profile: the reference that summary counts in. baseline: the learned one where there is no profile.
    """
    name = profile.name if profile else (baseline_name if baseline else "")
    known: Profile | WindowSummary | None = profile or baseline
    out: list[Score] = []
    for feature, column in summary.numeric.items():
        out.extend(_numeric(feature, column))
        if known is not None and feature in known.numeric:
            out.extend(numeric_drift(feature, column, known.numeric[feature], name, choice))
        elif known is not None:
            out.append(nothing_to_say(feature, column.rows, name, _unlike(feature, "numeric", feature in known.categorical)))
    for feature, counts in summary.categorical.items():
        out.extend(_category(feature, counts))
        if known is not None and feature in known.categorical:
            out.extend(category_drift(feature, counts, known.categorical[feature], name, choice))
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


def _unlike(feature: str, kind: str, other_kind: bool) -> str:
    fix = "run `driftd reference build` again"
    if other_kind:
        return f"the reference holds {feature} as another type than {kind}; correct the config's `features`, or {fix}"
    return f"the reference does not have {feature}; {fix}"


def _prediction(
    summary: WindowSummary, profile: Profile | None, baseline: WindowSummary | None, name: str, choice: Choice
) -> Iterator[Score]:
    """Of the scores where there are any, else of the predicted labels."""
    if summary.score.rows:
        reference = profile.numeric[PREDICTION] if profile else (baseline.score if baseline else None)
        yield from _numeric(PREDICTION, summary.score)
        if reference is not None:
            yield from numeric_drift(PREDICTION, summary.score, reference, name, choice)
    elif summary.label.rows:
        labels = profile.label if profile else (baseline.label if baseline else None)
        yield from _category(PREDICTION, summary.label)
        if labels is not None:
            yield from category_drift(PREDICTION, summary.label, labels, name, choice)


def _numeric(subject: str, column: Numeric) -> Iterator[Score]:
    rows, moments = column.rows, column.moments
    seen = rows + column.missing
    yield Score(subject, "count", float(rows), seen)
    yield Score(subject, "missing_share", column.missing / seen if seen else math.nan, seen)
    yield Score(subject, "mean", moments.mean if moments.n else math.nan, rows)
    yield Score(subject, "std", moments.std, rows)
    yield Score(subject, "min", moments.low if moments.n else math.nan, rows)
    yield Score(subject, "max", moments.high if moments.n else math.nan, rows)
    own = column.cells()
    for label, q in QUANTILES.items():
        yield Score(subject, label, own.quantile(q, moments.low, moments.high), rows)


def _category(subject: str, counts: CategorySummary) -> Iterator[Score]:
    rows = counts.rows
    seen = rows + counts.missing
    yield Score(subject, "count", float(rows), seen)
    yield Score(subject, "missing_share", counts.missing / seen if seen else math.nan, seen)


def score_performance(perf: PerformanceSummary, schema: Schema, predictions: int) -> list[Score]:
    """Scores of the outcomes known so far. predictions: rows of the window, labelled or not."""
    n = perf.rows
    out = [Score("performance", "coverage", n / predictions if predictions else math.nan, predictions)]
    if n <= 0:
        return out
    values = _regression(perf, n) if schema.task == "regression" else _classification(perf, schema, n)
    out.extend(Score("performance", name, value, n) for name, value in values.items())
    if schema.task != "regression":
        totals: dict[str, int] = {}
        for (_, true), rows in perf.confusion.items():
            totals[true] = totals.get(true, 0) + rows
        out.extend(Score("target", f"share:{label}", rows / n, n) for label, rows in sorted(totals.items()))
    return out


def _regression(perf: PerformanceSummary, n: int) -> dict[str, float]:
    s = perf.sums
    total = s["value_sq"] - s["value"] ** 2 / n
    return {
        "mae": s["abs_error"] / n,
        "rmse": math.sqrt(max(0.0, s["sq_error"]) / n),
        "r2": 1.0 - s["sq_error"] / total if total > 0 else math.nan,
    }


def _classification(perf: PerformanceSummary, schema: Schema, n: int) -> dict[str, float]:
    right = sum(rows for (predicted, true), rows in perf.confusion.items() if predicted == true)
    labels = sorted({name for pair in perf.confusion for name in pair})
    chosen = [schema.positive_label] if schema.task == "binary" and schema.positive_label is not None else labels
    each = [_precision_recall(perf, label) for label in chosen if label is not None]
    out = {"accuracy": right / n}
    for i, name in enumerate(("precision", "recall", "f1")):
        out[name] = sum(row[i] for row in each) / len(each) if each else math.nan
    scored = perf.sums["scored"]
    if schema.task == "binary" and scored > 0:
        out["roc_auc"] = perf.roc_auc()
        out["brier"] = perf.sums["brier"] / scored
        out["log_loss"] = perf.sums["log_loss"] / scored
    return out


def _precision_recall(perf: PerformanceSummary, label: str) -> tuple[float, float, float]:
    """Precision, recall and F1 of one label; 0 where undefined, as scikit-learn's zero_division=0."""
    hit = perf.confusion.get((label, label), 0)
    predicted = sum(rows for (p, _), rows in perf.confusion.items() if p == label)
    true = sum(rows for (_, t), rows in perf.confusion.items() if t == label)
    precision = hit / predicted if predicted else 0.0
    recall = hit / true if true else 0.0
    f1 = 2 * hit / (predicted + true) if predicted + true else 0.0
    return precision, recall, f1
