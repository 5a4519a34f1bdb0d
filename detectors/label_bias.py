"""Do labels come for rows like all others? Labelled rows against those that wait, each row in one of the two.

    scores             Kolmogorov-Smirnov on common cells; effect: the distance
    predicted labels   chi-square of the two-row table;    effect: Cramér's V
    segments           the same, for each dimension

The score `label_bias` is the greatest effect among the tests that are significant at LEVEL after Bonferroni's
correction, 0 where none is: with many rows a trifle is significant, with few a great effect is chance.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from detectors.columns import Ints
from detectors.float_cells import quantile
from detectors.pvalues import kolmogorov_smirnov_p

LEVEL = 0.001
LEAST = 20  # rows that each side must have


@dataclass(frozen=True, slots=True)
class Compared:
    """One comparison. what: "score", "predicted label", or a dimension of segments."""

    what: str
    effect: float
    p: float
    evidence: dict[str, object]


def of_scores(labelled: Ints, every: Ints) -> Compared | None:
    """Scores of the labelled rows against those of the others; None with too few rows. Shapes (cells,)."""
    rest = np.maximum(every - labelled, 0)
    n, m = int(labelled.sum()), int(rest.sum())
    if min(n, m) < LEAST:
        return None
    distance = float(np.abs(np.cumsum(labelled) / n - np.cumsum(rest) / m).max())
    shown = {name: [round(quantile(c, q), 4) for q in (0.25, 0.5, 0.75)] for name, c in (("labelled", labelled), ("waiting", rest))}
    return Compared("score", distance, kolmogorov_smirnov_p(distance, n, m), {"quartiles": shown})


def of_counts(what: str, labelled: Mapping[str, int], every: Mapping[str, int]) -> Compared | None:
    """Categories of the labelled rows against those of the others; None where there is nothing to compare."""
    from scipy.special import chdtrc

    names = sorted(set(labelled) | set(every))
    table = np.array([[labelled.get(v, 0), max(0, every.get(v, 0) - labelled.get(v, 0))] for v in names], dtype=np.float64)
    held = table.sum(axis=1) > 0
    names, table = [v for v, there in zip(names, held.tolist(), strict=True) if there], table[held]
    if len(table) < 2 or table.sum(axis=0).min() < LEAST:
        return None
    total = table.sum()
    expected = np.outer(table.sum(axis=1), table.sum(axis=0)) / total
    statistic = float(((table - expected) ** 2 / expected).sum())
    shares = {v: [round(a / max(1.0, a + b), 4), int(a + b)] for v, (a, b) in zip(names, table.tolist(), strict=True)}
    top = dict(sorted(shares.items(), key=lambda item: -item[1][1])[:10])
    return Compared(what, math.sqrt(statistic / total), float(chdtrc(len(table) - 1, statistic)), {"labelled_share": top})


def bias(tests: Sequence[Compared]) -> tuple[float, float, dict[str, object]]:
    """The effect, the least corrected p-value, and what was found; NaN without a test."""
    if not tests:
        return math.nan, math.nan, {}
    corrected = [min(1.0, t.p * len(tests)) for t in tests]
    found = [(t, p) for t, p in zip(tests, corrected, strict=True) if p < LEVEL]
    worst = max(found or zip(tests, corrected, strict=True), key=lambda pair: (pair[0].effect, pair[0].what))[0]
    evidence = {"of": worst.what, "effects": {t.what: round(t.effect, 4) for t in tests}, **worst.evidence}
    return worst.effect if found else 0.0, min(corrected), evidence
