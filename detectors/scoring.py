"""From the summaries of a closed window to its scores: what is measured, and what it is measured against."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from detectors import drift
from detectors.adaptive import AdaptiveSummary, common_cells
from detectors.category import CategorySummary
from detectors.cells import Cells
from detectors.columns import Schema
from detectors.numeric import GridSummary
from detectors.performance import PerformanceSummary
from detectors.profile import PREDICTION, Profile
from detectors.score import Score
from detectors.window import Numeric, WindowSummary

QUANTILES = {"p01": 0.01, "p05": 0.05, "p25": 0.25, "p50": 0.5, "p75": 0.75, "p95": 0.95, "p99": 0.99}
LEAST_STD = 0.001  # Wasserstein is divided by the reference's spread, at least this: as Evidently does


def score_window(
    summary: WindowSummary,
    profile: Profile | None,
    baseline: WindowSummary | None,
    window_seconds: float,
    baseline_name: str = "first_windows",
) -> list[Score]:
    """Scores of a window's inputs, predictions, latency and traffic, in a fixed order.

    profile: the reference that summary counts in. baseline: the learned one where there is no profile.
    """
    name = profile.name if profile else (baseline_name if baseline else "")
    out: list[Score] = []
    for feature, column in summary.numeric.items():
        ref = profile.numeric.get(feature) if profile else (baseline.numeric.get(feature) if baseline else None)
        out.extend(_numeric(feature, column, ref, name))
    for feature, counts in summary.categorical.items():
        base = profile.categorical if profile else (baseline.categorical if baseline else {})
        out.extend(_category(feature, counts, base.get(feature), name))
    score_ref = profile.numeric[PREDICTION] if profile else (baseline.score if baseline else None)
    if summary.score.rows:
        out.extend(_numeric(PREDICTION, summary.score, score_ref, name))
    elif summary.label.rows:
        label_ref = profile.label if profile else (baseline.label if baseline else None)
        out.extend(_category(PREDICTION, summary.label, label_ref, name))
    latency = summary.latency
    if latency.rows:
        for label, q in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99)):
            out.append(Score("latency", f"latency_{label}_ms", latency.quantile(q), latency.rows))
    rows = summary.rows
    out.append(Score("traffic", "rows", float(rows), rows))
    out.append(Score("traffic", "throughput_eps", rows / window_seconds, rows))
    out.append(Score("traffic", "error_share", summary.errors / rows if rows else math.nan, rows))
    return out


def _numeric(subject: str, column: Numeric, reference: Numeric | None, name: str) -> Iterator[Score]:
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
    if reference is None or reference.rows == 0 or rows == 0:
        return
    ref, cur = _aligned(reference, column)
    p, q_ = drift.shares(ref.counts), drift.shares(cur.counts)
    deciles = drift.coarse(ref.counts, cur.counts)
    p10, q10 = drift.shares(deciles[0]), drift.shares(deciles[1])
    ks = drift.kolmogorov_smirnov(p, q_)
    yield Score(subject, "psi", drift.psi(p10, q10), rows, name, _moved(ref, deciles))
    yield Score(subject, "ks", ks, rows, name)
    yield Score(subject, "ks_p", drift.kolmogorov_smirnov_p(ks, reference.rows, rows), rows, name)
    yield Score(subject, "js", drift.jensen_shannon(p10, q10), rows, name)
    spread = max(reference.moments.std, LEAST_STD) if reference.moments.n else LEAST_STD
    yield Score(subject, "wasserstein", drift.wasserstein(ref, cur) / spread, rows, name)


def _aligned(reference: Numeric, current: Numeric) -> tuple[Cells, Cells]:
    if isinstance(reference, AdaptiveSummary) and isinstance(current, AdaptiveSummary):
        return common_cells(reference, current)
    if isinstance(reference, GridSummary) and isinstance(current, GridSummary):
        return reference.cells(), current.cells()
    raise ValueError("a grid summary and an adaptive one have no cells in common")


def _moved(ref: Cells, deciles: tuple[np.ndarray, np.ndarray]) -> dict[str, object]:
    """The shares of the reference's deciles before and after: what a person reads in an alert."""
    return {
        "reference_shares": [round(v, 4) for v in drift.shares(deciles[0]).tolist()],
        "current_shares": [round(v, 4) for v in drift.shares(deciles[1]).tolist()],
    }


def _category(subject: str, counts: CategorySummary, reference: CategorySummary | None, name: str) -> Iterator[Score]:
    rows = counts.rows
    seen = rows + counts.missing
    yield Score(subject, "count", float(rows), seen)
    yield Score(subject, "missing_share", counts.missing / seen if seen else math.nan, seen)
    if reference is None or reference.rows == 0 or rows == 0:
        return
    names = sorted(set(reference.counts) | set(counts.counts))
    ref = np.array([reference.counts.get(v, 0) for v in names], dtype=np.int64)
    cur = np.array([counts.counts.get(v, 0) for v in names], dtype=np.int64)
    fresh = [v for v in names if v not in reference.counts]
    p, q = drift.shares(ref), drift.shares(cur)
    statistic, p_value = drift.chi_square(p, cur)
    yield Score(subject, "new_categories", float(len(fresh)), rows, name, {"names": fresh[:20]})
    yield Score(subject, "new_category_share", float(sum(counts.counts[v] for v in fresh)) / rows, rows, name)
    change = dict(zip(names, (q - p).round(4).tolist(), strict=True))
    top = dict(sorted(change.items(), key=lambda item: -abs(item[1]))[:10])
    yield Score(subject, "psi", drift.psi(p, q), rows, name, {"share_change": top})
    yield Score(subject, "js", drift.jensen_shannon(p, q), rows, name)
    yield Score(subject, "chi2", statistic, rows, name)
    yield Score(subject, "chi2_p", p_value, rows, name)


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
