"""Many scores looked at together: which probability is small enough that the family as a whole keeps its level.

bonferroni            level / m: whatever the dependence
benjamini-hochberg    the greatest i level / m that i scores keep (1995): false discovery rate, where scores are
                      independent or rise together; where nothing has changed it is the chance of any alarm at all
                      Scores that say in part the same may count as less than one each there (1997: weights)
benjamini-yekutieli   the same with level / (1 + 1/2 + ... + 1/m) (2001): whatever the dependence
"""

from __future__ import annotations

import numpy as np

from detectors.columns import Floats

CORRECTIONS = ("benjamini-hochberg", "benjamini-yekutieli", "bonferroni")


def cutoff(probabilities: Floats, level: float, correction: str = "benjamini-hochberg", counts: Floats | None = None) -> float:
    """The probability at or below which a score of the family is called changed. shape (m,); NaN is no member.

    counts: as how many scores each counts for Benjamini-Hochberg, shape (m,), 1 without. Raises ValueError for a correction that is not known.
    """
    if correction not in CORRECTIONS:
        raise ValueError(f"correction {correction!r} is not one of {', '.join(CORRECTIONS)}")
    there = np.flatnonzero(~np.isnan(probabilities))
    order = there[np.argsort(probabilities[there], kind="stable")]
    p, m = probabilities[order], len(there)
    if m == 0:
        return level
    if correction == "bonferroni":
        return level / m
    if correction == "benjamini-yekutieli":
        level = level / float((1.0 / np.arange(1, m + 1)).sum())
    reached = np.arange(1.0, m + 1.0)
    if counts is not None and correction == "benjamini-hochberg":
        reached = np.cumsum(counts[order])
    steps = level * np.maximum(reached, 1.0) / max(float(reached[-1]), 1.0)
    kept = np.flatnonzero(p <= steps)
    return float(steps[kept[-1]]) if len(kept) else float(steps[0])
