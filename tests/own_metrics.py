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
