"""Do labels come for rows like all others? Labelled rows against those that wait, each row in one of the two.

    scores             Kolmogorov-Smirnov on common cells; effect: the distance
    predicted labels   chi-square of the two-row table;    effect: Cramér's V
    segments           the same, for each dimension
    features           the same, for each feature whose cells wait with the prediction (detectors/worst_errors.py)

The labelled rows are some of all rows, drawn without putting back where labels come by lot: the table of labelled and waiting rows
has then the hypergeometric law that the chi-square statistic of two rows is made for, (N - 1) / N of it. Cells in which few rows are
expected are joined, so that the law holds.

The score `label_bias` is the greatest effect among the tests that are significant at `level` after Bonferroni's
correction, 0 where none is: with many rows a trifle is significant, with few a great effect is chance.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from detectors.columns import Floats, Ints
from detectors.float_cells import quantile
from detectors.pvalues import kolmogorov_smirnov_p

LEVEL = 0.001  # where the config has no budget of false alarms
LEAST = 20  # rows that each side must have
LEAST_EXPECTED = 5.0  # of either side in a cell
GROUPS = 9  # of a feature's cells
OTHERS = "others"


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
    names = sorted(set(labelled) | set(every))
    rows = np.array([[labelled.get(v, 0), max(0, every.get(v, 0) - labelled.get(v, 0))] for v in names], dtype=np.float64)
    total = rows.sum()
    if not total:
        return None
    rare = rows.sum(axis=1) * rows.sum(axis=0).min() / total < LEAST_EXPECTED
    if rare.sum() > 1:
        names = [v for v, few in zip(names, rare.tolist(), strict=True) if not few] + [OTHERS]
        rows = np.concatenate([rows[~rare], rows[rare].sum(axis=0)[None]])
    return _of_table(what, names, rows)


def of_cells(what: str, labelled: Floats, every: Floats, names: Sequence[str]) -> Compared | None:
    """Ordered cells of a number, the last of which holds what is missing; shapes (cells,), `names` tells each but that.

    Neighbours are joined until GROUPS are left, or fewer where the smaller side has few rows.
    """
    table = np.stack([labelled, np.maximum(every - labelled, 0.0)], axis=1)
    sides = table.sum(axis=0)
    if sides.min() < LEAST or not table[:-1].any():  # all missing: nothing that the labels could depend on
        return None
    groups = max(2, min(GROUPS, int(sides.min() // (2 * LEAST_EXPECTED))))
    inner = table[:-1]
    upto = np.cumsum(inner.sum(axis=1))
    place = np.floor((upto - inner.sum(axis=1) / 2.0) / max(1.0, upto[-1] / groups))
    starts = np.flatnonzero(np.concatenate([[True], place[1:] > place[:-1]]))
    joined = np.concatenate([np.add.reduceat(inner, starts, axis=0), table[-1:]])
    told = [
        names[i] if j - i == 1 else f"{names[i]} ... {names[j - 1]}" for i, j in itertools.pairwise([*starts.tolist(), len(inner)])
    ]
    told.append("missing")
    if joined[-1].sum() * sides.min() / sides.sum() < LEAST_EXPECTED:
        joined, told = joined[:-1], told[:-1]
    return _of_table(what, told, joined)


def _of_table(what: str, names: Sequence[str], table: Floats) -> Compared | None:
    """Chi-square of labelled and waiting rows by cell, shape (cells, 2)."""
    from scipy.special import chdtrc

    held = table.sum(axis=1) > 0
    names, table = [v for v, there in zip(names, held.tolist(), strict=True) if there], table[held]
    if len(table) < 2 or table.sum(axis=0).min() < LEAST:
        return None
    total = table.sum()
    expected = np.outer(table.sum(axis=1), table.sum(axis=0)) / total
    statistic = float(((table - expected) ** 2 / expected).sum())
    rows = table.sum(axis=1)
    shown = np.sort(np.argsort(-rows, kind="stable")[:10])  # in the order of the cells
    top = [
        {"of": names[i], "labelled_share": round(float(table[i, 0] / max(1.0, rows[i])), 4), "rows": int(rows[i])}
        for i in shown.tolist()
    ]
    return Compared(
        what,
        math.sqrt(statistic / total),
        float(chdtrc(len(table) - 1, statistic * (total - 1.0) / total)),
        {"labelled_share": top},
    )


def bias(tests: Sequence[Compared], level: float = LEVEL) -> tuple[float, float, dict[str, object]]:
    """The effect, the least corrected p-value, and what was found; NaN without a test."""
    if not tests:
        return math.nan, math.nan, {}
    corrected = [min(1.0, t.p * len(tests)) for t in tests]
    found = [(t, p) for t, p in zip(tests, corrected, strict=True) if p < level]
    worst = max(found or zip(tests, corrected, strict=True), key=lambda pair: (pair[0].effect, pair[0].what))[0]
    evidence = {"of": worst.what, "effects": {t.what: round(t.effect, 4) for t in tests}, **worst.evidence}
    return worst.effect if found else 0.0, min(corrected), evidence
