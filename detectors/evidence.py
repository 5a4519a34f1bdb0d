"""What moved, so that a person can read it: the bins or categories whose share changed most, before and after.

Small and plain (JSON): at most SHOWN bins, and a handful of figures. Made of what is alarming alone: of thousands of features few are.
"""

from __future__ import annotations

import math

import numpy as np

from detectors.pairs import CategoryPair, NumericPair, Pair
from detectors.score import NUMERIC_ERRORS

UNEXPLAINED = "unexplained"  # why it cannot be said what moved
TOP = 5  # bins that are said to have moved
SHOWN = 12  # bins whose shares are told, in their own order
TEXT_CHARS = 60  # of a category's name


class Moved:
    """`moved` of a pair, when it is first asked for. It holds the columns, not the pair, which is ten times as large."""

    __slots__ = ("_made", "_pair", "_sides")

    def __init__(self, pair: Pair) -> None:
        self._pair, self._sides = type(pair), (pair.reference, pair.current)
        self._made: dict[str, object] | None = None

    def __call__(self) -> dict[str, object]:
        """What raises on odd values costs the explanation, not the finding."""
        if self._made is None:
            try:
                self._made = moved(self._pair(*self._sides))  # type: ignore[arg-type]
            except NUMERIC_ERRORS as error:
                self._made = {UNEXPLAINED: f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"}
        return self._made


def moved(pair: Pair) -> dict[str, object]:
    """The bins that moved most, and the figures that go with them."""
    before, after = (side.tolist() for side in pair.bin_shares)
    change = [abs(now - then) for then, now in zip(before, after, strict=True)]
    widest = np.argsort(-np.array(change), kind="stable")[:SHOWN].tolist()
    order = [i for i in widest if before[i] or after[i]]
    if isinstance(pair, CategoryPair):
        kind, names = "category", {i: name[:TEXT_CHARS] for i, name in pair.names(order).items()}
    else:
        kind, names = "range", ranges_of(pair, order)
    shown = {i: (round(before[i], 4), round(after[i], 4)) for i in sorted(order)}
    out: dict[str, object] = {
        "moved": [{kind: names[i], "before": shown[i][0], "after": shown[i][1]} for i in order[:TOP] if change[i] > 0],
        "cells": [names[i] for i in shown],
        "reference_shares": [then for then, _ in shown.values()],
        "current_shares": [now for _, now in shown.values()],
    }
    if isinstance(pair, CategoryPair):
        if pair.folded:
            out["folded"] = f"into {pair.folded} cells by the hash of the value, each called by its most frequent one"
        if pair.fresh:
            out["new"] = [name[:TEXT_CHARS] for name in pair.fresh[:TOP]]
    else:
        r, c = pair.moments
        out["mean"], out["std"] = _figures(r.mean, c.mean), _figures(r.std, c.std)
    seen = pair.n + pair.missing[0], pair.m + pair.missing[1]
    if any(pair.missing):
        out["missing"] = _figures(*(lost / rows if rows else math.nan for lost, rows in zip(pair.missing, seen, strict=True)))
    return out


def ranges_of(pair: NumericPair, bins: list[int]) -> dict[int, str]:
    """The values of each of these bins in words: "< 2", "2 to 3.5", ">= 3.5", or "= 2" for a single value."""
    starts = pair.bin_starts
    edges: list[float] = [*pair.ref.edges[starts].tolist(), float(pair.ref.edges[-1])]
    single = (pair.bins[0] > 0).tolist() if pair.discrete else [False] * len(starts)
    return {i: f"= {edges[i]:.6g}" if single[i] else _range(edges[i], edges[i + 1]) for i in bins}


def _range(low: float, high: float) -> str:
    if not math.isfinite(low):
        return f"< {high:.6g}" if math.isfinite(high) else "all"
    return f">= {low:.6g}" if not math.isfinite(high) else f"{low:.6g} to {high:.6g}"


def _figures(*values: float) -> list[float | None]:
    return [float(f"{v:.6g}") if math.isfinite(v) else None for v in values]
