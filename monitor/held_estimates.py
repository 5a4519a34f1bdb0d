"""How far an estimate of performance lies from what it is on the reference's own rows, which its evidence says (detectors/usual.py)."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from detectors.score import Score
from detectors.usual import ERROR, REFERENCE
from monitor.judging import SCORES

EDGE = 1e-9  # from 0 and 1, which have no logit


@dataclass(frozen=True, slots=True)
class HeldEstimate:
    """out: standard errors to the worse side. back: a place on that scale as a value of the score. effect: how much worse it is.

    settled: why nothing can be said, "" where something can.
    """

    out: float
    back: Callable[[float], float]
    effect: float
    settled: str


def held_estimate(score: Score) -> HeldEstimate:
    """Of one metric. ROC AUC by its logit, which is nearer to normal."""
    usual, error = (float(str(score.evidence.get(name, "nan"))) for name in (REFERENCE, ERROR))
    if why := _unknown(score, usual, error):
        return HeldEstimate(math.nan, lambda place: math.nan, math.nan, why)
    doc = SCORES.get(score.name)
    sign = 1.0 if doc is not None and doc.worse == "above" else -1.0
    effect = sign * (score.value - usual)
    if score.name != "roc_auc":
        return HeldEstimate(effect / error, lambda place: usual + sign * place * error, effect, "")
    before, now = (_logit(v) for v in (usual, score.value))
    width = error / max(usual * (1.0 - usual), EDGE)
    return HeldEstimate((before - now) / width, lambda place: 1.0 / (1.0 + math.exp(place * width - before)), effect, "")


def _unknown(score: Score, usual: float, error: float) -> str:
    if not math.isfinite(score.value):
        return str(score.evidence.get("reason", "it is not defined for these rows"))
    if math.isnan(usual):
        return str(score.evidence.get("reason", "what it is on the reference's own rows is not known: build the reference anew"))
    if math.isnan(error):
        return "too few rows of a class are to be expected"
    return "" if error > 0 else "it does not vary on the reference"


def _logit(share: float) -> float:
    inside = min(max(share, EDGE), 1.0 - EDGE)
    return math.log(inside / (1.0 - inside))
