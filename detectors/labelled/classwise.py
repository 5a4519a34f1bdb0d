"""Calibration of the probabilities of many classes or labels, each against the rest, in the bins of calibration.py.

    ece:NAME            expected calibration error of one class                    (detectors/labelled/calibration.py)
    classwise_ece       their mean over the classes                               (Kull, Perello-Nieto et al. 2019)
    brier_reliability   sum over bins of share x (rate - mean score)^2            (Murphy 1973; 1972 for many classes)
    brier_resolution    sum over bins of share x (rate - overall rate)^2
    brier_uncertainty   overall rate x (1 - overall rate)

The last three are added up over classes that exclude each other, as Brier's score of 1950 is, and averaged over labels that do not.
Reliability - resolution + uncertainty is exactly Brier's score of the bins' mean scores. It differs from Brier's score of the
rows by what scores vary inside a bin, at most 1/16 wide.

ECE and reliability are norms of gaps, with the intervals of norms.py; the resolution's is that of calibration.py. Of many classes together
as together.py says how they hang together. The uncertainty of classes that exclude each other is one of their counts.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from detectors.columns import Floats, Ints
from detectors.labelled.calibration import (
    CURVE,
    binned,
    norm_metric,
    reliability_curve,
    resolution_ends,
    resolution_parts,
    uncertainty_ends,
    uncertainty_of_classes,
)
from detectors.labelled.intervals import NONE, Interval, recovered
from detectors.labelled.norms import Ends, Gaps, averaged, gaps_of_bins, norm_ends
from detectors.labelled.tally import Metric
from detectors.labelled.together import OfBins, Rows, of_bins

PARTS = ("brier_reliability", "brier_resolution", "brier_uncertainty")
NAMES = ("classwise_ece", *PARTS)


def classwise(
    cells: Ints, edges: Floats, classes: Sequence[str], each: int, mean: bool, sample: Rows | None = None
) -> list[Metric]:
    """The metrics above; those of one class for the `each` that occur most. Empty without rows.

    cells: counts of rows that are not and that are of the class, shape (classes, 2, len(edges) + 1). mean: average, not sum.
    """
    found = [binned(own, edges) for own in cells]
    counts, sums = np.stack([c for c, _ in found]), np.stack([s for _, s in found])  # (classes, 2, BINS), (classes, BINS)
    held = counts.sum(axis=1)
    rows = int(held[0].sum())
    if rows <= 0:
        return []
    gaps, hits = gaps_of_bins(counts, sums), counts[:, 1].sum(axis=1)
    rate, overall = counts[:, 1] / np.maximum(held, 1), hits / rows
    together = None if sample is None else of_bins(sample, gaps, rate, overall, rate - sums / np.maximum(held, 1))
    out = _of_all(counts, gaps, overall, 1 if mean else len(classes), together)
    resolutions, ends = _resolutions(held / rows, rate, overall), resolution_ends(counts)
    shown = np.argsort(-hits, kind="stable")[:each]
    own = Gaps(*(part[shown] for part in gaps))
    ece, reliability = norm_ends(own, 1), norm_ends(own, 2)
    for at, k in enumerate(shown.tolist()):
        low, high = (float(end[k]) for end in ends)
        value = float(resolutions[k])
        out += [
            norm_metric(f"ece:{classes[k]}", ece, rows, {CURVE: reliability_curve(counts[k], sums[k])}, at),
            norm_metric(f"brier_reliability:{classes[k]}", reliability, rows, at=at),
            _metric(f"brier_resolution:{classes[k]}", value, (min(low, value), max(high, value)), rows),
            Metric(
                f"brier_uncertainty:{classes[k]}",
                float(overall[k] * (1.0 - overall[k])),
                *uncertainty_ends(float(hits[k]), rows),
                rows,
            ),
        ]
    return out


def _of_all(counts: Ints, gaps: Gaps, overall: Floats, times: int, together: OfBins | None) -> list[Metric]:
    """Means over the classes, but for ECE so many times them."""
    k, rows = len(counts), int(counts[0].sum())
    linear: tuple[Floats | None, Floats | None] = (None, None) if together is None else (together.ece, together.reliability)
    ece, reliability = (
        norm_ends(averaged(gaps), power, part, None if together is None else together.even)
        for power, part in zip((1, 2), linear, strict=True)
    )
    out = [norm_metric(NAMES[0], ece, rows), norm_metric(NAMES[1], Ends(*(side * times for side in reliability)), rows)]
    held = counts.sum(axis=1)
    value = float(_resolutions(held / rows, counts[:, 1] / np.maximum(held, 1), overall).mean()) * times
    middle, down, up = resolution_parts(counts)
    below, above = _recovered(middle, middle - down, middle + up, None if together is None else together.resolution)
    centre = float(middle.sum())
    low, high = max(0.0, centre - below) * times / k, (centre + above) * times / k
    out.append(_metric(NAMES[2], value, (min(low, value), max(high, value)), rows))
    hits = counts[:, 1].sum(axis=1).astype(np.float64)
    spreads = overall * (1.0 - overall)
    value = float(spreads.mean()) * times
    if times > 1:
        low, high = uncertainty_of_classes(hits)
    else:
        ends = np.array([uncertainty_ends(float(n), rows) for n in hits])
        below, above = _recovered(spreads, ends[:, 0], ends[:, 1], None if together is None else together.uncertainty)
        low, high = value - below / k, value + above / k
    out.append(Metric(NAMES[3], value, max(0.0, min(low, value)), max(high, value), rows))
    return out


def _recovered(values: Floats, lows: Floats, highs: Floats, correlation: Floats | None) -> Interval:
    """Of classes that err together where their correlation is not known."""
    return recovered(values, lows, highs, correlation=np.ones((len(values), len(values))) if correlation is None else correlation)


def _resolutions(share: Floats, rate: Floats, overall: Floats) -> Floats:
    out: Floats = (share * (rate - overall[:, None]) ** 2).sum(axis=1)
    return out


def _metric(name: str, value: float, ends: Interval, rows: int) -> Metric:
    return Metric(name, value, *(ends if rows > 1 else NONE), rows)
