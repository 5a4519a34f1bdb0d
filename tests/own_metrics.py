"""Metrics of a user's own, as tests/test_label_scores.py names them in its configs."""

from __future__ import annotations

from typing import Any

NOT_A_FUNCTION = 5


def share_of_defaults(summary: Any) -> float:
    """The share of true defaults."""
    return sum(rows for (_, true), rows in summary.confusion.items() if true == "default") / summary.rows


def with_interval(summary: Any) -> tuple[float, float, float]:
    summary.confusion.clear()  # it is a copy: nobody else sees this
    return 1.0, 0.5, 1.5


def fails(summary: Any) -> float:
    return float(summary.rows / 0)


def leaves(summary: Any) -> float:
    raise SystemExit("no rows")


def r2(summary: Any) -> float:
    return next(float(m.value) for m in summary.metrics() if m.name == "r2")


def mean_error(summary: Any) -> float:
    return float(summary.sums["error"] / summary.rows)


def product(summary: Any) -> float:
    """A ratio of sums of products, which come without a sum of squares."""
    return float(summary.sums["hits_true"] / summary.sums["predicted_true"])


def judged(summary: Any) -> float:
    return float(summary.sums["judged"])


def pinball(summary: Any) -> float:
    return float(summary.sums["pinball"] / summary.rows)


def log_loss(summary: Any) -> float:
    return float(summary.sums["log_loss"] / summary.sums["scored"])


def wrong_share(summary: Any) -> float:
    """Of an optional part, which is kept of all rows and not of segments."""
    cells = summary.parts["error_cells"]
    return float(cells.errors.sum() / cells.rows.sum())
