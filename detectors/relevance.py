"""What is known of ranked lists whose labels have come, row by row, in plain lists."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import numpy as np

from detectors.columns import Matrix

Relevance = list[list[float]]  # the relevance of each item of a list, best first; and of the relevant ones that it lacks


def relevances(vectors: Mapping[str, Matrix]) -> list[Relevance | None]:
    """vectors: gains and ideal of n rows, shape (n, items) (monitor/payload.py). None where a row has no label or no list."""
    if "gains" not in vectors or "ideal" not in vectors:
        return []
    out: list[Relevance | None] = []
    for gains, ideal in zip(vectors["gains"], vectors["ideal"], strict=True):
        if np.isnan(ideal[0]):
            out.append(None)
            continue
        listed = gains[~np.isnan(gains)].tolist()
        lacking = Counter(ideal[ideal > 0].tolist())
        lacking.subtract(g for g in listed if g > 0)
        out.append([listed, sorted(lacking.elements(), reverse=True)])
    return out
