"""What moved, so that a person can read it: the bins or categories whose share changed most, before and after.

Small and plain (JSON): at most SHOWN bins, and a handful of figures.
"""

from __future__ import annotations

import math

import numpy as np

from detectors.pairs import CategoryPair, NumericPair, Pair

TOP = 5  # bins that are said to have moved
SHOWN = 12  # bins whose shares are told, in their own order
TEXT_CHARS = 60  # of a category's name


def moved(pair: Pair) -> dict[str, object]:
    """The bins that moved most, and the figures that go with them."""
    p, q = pair.bin_shares
    change = np.abs(q - p)
    order = [int(i) for i in np.argsort(-change, kind="stable")[:SHOWN] if p[i] or q[i]]
    if isinstance(pair, CategoryPair):
        names = {i: name[:TEXT_CHARS] for i, name in pair.names(order).items()}
    else:
        names = {i: range_of(pair, i) for i in order}
    kind = "category" if isinstance(pair, CategoryPair) else "range"
    out: dict[str, object] = {
        "moved": [{kind: names[i], **_shares(p[i], q[i])} for i in order[:TOP] if change[i] > 0],
        "cells": [names[i] for i in sorted(order)],
        "reference_shares": [round(float(p[i]), 4) for i in sorted(order)],
        "current_shares": [round(float(q[i]), 4) for i in sorted(order)],
    }
    if isinstance(pair, CategoryPair):
        if pair.folded:
            out["folded"] = f"into {pair.folded} cells by the hash of the value, each called by its most frequent one"
        if pair.fresh:
            out["new"] = [name[:TEXT_CHARS] for name in pair.fresh[:TOP]]
    else:
        before, after = pair.moments
        out["mean"], out["std"] = _figures(before.mean, after.mean), _figures(before.std, after.std)
    seen = pair.n + pair.missing[0], pair.m + pair.missing[1]
    if any(pair.missing):
        out["missing"] = _figures(*(lost / rows if rows else math.nan for lost, rows in zip(pair.missing, seen, strict=True)))
    return out


def range_of(pair: NumericPair, i: int) -> str:
    """The values of bin i in words: "< 2", "2 to 3.5", ">= 3.5", or "= 2" for a single value."""
    starts = pair.bin_starts
    low = float(pair.ref.edges[starts[i]])
    high = float(pair.ref.edges[starts[i + 1] if i + 1 < len(starts) else -1])
    if pair.discrete and pair.bins[0][i]:
        return f"= {low:.6g}"
    if not math.isfinite(low):
        return f"< {high:.6g}" if math.isfinite(high) else "all"
    return f">= {low:.6g}" if not math.isfinite(high) else f"{low:.6g} to {high:.6g}"


def _shares(before: float, after: float) -> dict[str, float]:
    return {"before": round(float(before), 4), "after": round(float(after), 4)}


def _figures(*values: float) -> list[float | None]:
    return [float(f"{v:.6g}") if math.isfinite(v) else None for v in values]
