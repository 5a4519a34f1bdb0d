"""Binary classification: confusion counts, and the scores of each class in fine cells (detectors/score_cells.py).

Events may carry the score alone: then there is no confusion to count, and the metrics of scores stand for themselves.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from detectors.columns import Floats, Outcomes, Schema
from detectors.labelled import confusion, curves
from detectors.labelled.calibration import calibration
from detectors.labelled.pinball import two_sides
from detectors.labelled.tally import Metric, Tally, Task, improbable, mean_of, probable, undefined
from detectors.score_cells import SCORE_EDGES, centers_of

TIED = 0.01  # of the pairs: from here on the evidence says that the scores are hardly told apart
CLIP = float(np.finfo(np.float64).eps)  # scikit-learn's log_loss clips probabilities here
OF_LABELS = ("accuracy", "precision", "recall", "f1", "specificity", "balanced_accuracy", "mcc")
UNLABELLED = "the events carry scores alone: no predicted label to hold against the true one"
FEW = 30  # rows of the rarer class
CENTERS = centers_of("binary")
LOSSES: dict[str, Callable[[Floats], Floats]] = {
    "brier": lambda chance: (1.0 - chance) ** 2,
    "log_loss": lambda chance: -np.log(np.clip(chance, CLIP, 1.0)),
}  # of the probability of what came
OF_SCORES = ("roc_auc", "gini", "pr_auc", "score_ks", "brier", "log_loss", "ece", "mce", "brier_reliability", "brier_resolution",
             "brier_uncertainty")  # fmt: skip


def add(tally: Tally, o: Outcomes) -> None:
    predicted, true = o.predicted_label, o.true_label
    there = (true.codes >= 0) & (predicted.codes >= 0)
    known = (true.codes >= 0) & ((predicted.codes >= 0) | np.isfinite(o.predicted_score))
    tally.count_rows(o.weight[known])
    tally.add_confusion(predicted, true, there, o.weight)
    scored = probable(tally, o.predicted_score, known, o.weight)
    if not scored.any():
        return
    score, weight = o.predicted_score[scored], o.weight[scored]
    wanted = tally.schema.positive_label
    code = true.values.index(wanted) if wanted in true.values else -2
    positive = (true.codes[scored] == code).astype(np.int64)
    tally.count("score", (positive, np.searchsorted(SCORE_EDGES, score, side="right")), weight)
    chance = np.clip(np.where(positive == 1, score, 1.0 - score), CLIP, 1.0 - CLIP)
    tally.count_rows(weight, "scored")
    tally.add_values("brier", (score - positive) ** 2, weight)
    tally.add_values("log_loss", -np.log(chance), weight)


def metrics(tally: Tally) -> Sequence[Metric]:
    m = confusion.matrix(tally)
    out = undefined(OF_LABELS, tally.rows, UNLABELLED)
    if m.rows > 0:
        out = [confusion.accuracy(m), *confusion.positive_class(m, tally.schema.positive_label), confusion.mcc(m)]
    scored = int(tally.sums["scored"])
    reason = improbable(tally) or confusion.misnamed(m, tally.schema.positive_label)
    if reason and scored + tally.sums["improbable"] > 0:
        return [*out, *undefined(OF_SCORES, tally.rows, reason)]
    if scored <= 0:
        return out
    negative, positive = tally.arrays["score"]
    negatives, positives = float(negative.sum()), float(positive.sum())
    area = curves.roc_auc(negative, positive)
    low, high = curves.roc_auc_interval(area, negatives, positives)
    tied = curves.tied_pairs(negative, positive) if negatives > 0 and positives > 0 else 0.0
    seen = {"tied_pairs": round(tied, 4)} if tied >= TIED else {}
    out.append(Metric("roc_auc", area.value, low, high, scored, seen))
    out.append(Metric("gini", 2 * area.value - 1, 2 * low - 1, 2 * high - 1, scored))
    out.append(Metric("pr_auc", *curves.average_precision(negative, positive), scored))
    out.append(Metric("score_ks", *curves.score_ks(negative, positive), scored))
    out += [_loss(tally, name, scored) for name in ("brier", "log_loss")]
    out += calibration(tally.arrays["score"], SCORE_EDGES)
    return out


def _loss(tally: Tally, name: str, scored: int) -> Metric:
    """A mean loss. Where few rows are of one class, or none is, their losses are a part of it that is hardly seen yet: of 50 rows, of which
    2 % are positive, Student's interval holds in 62 %, that of both classes added up in 95. Each class's are those of its score cells.
    """
    value, low, high = mean_of(tally, name, scored, "positive")
    counts = tally.arrays["score"].astype(np.float64)
    if scored > 1 and 0 < counts.sum() == scored and counts.sum(axis=1).min() <= FEW:
        losses = LOSSES[name](1.0 - CENTERS), LOSSES[name](CENTERS)
        sides = [(float(n.sum()), float(n @ loss), float(n @ loss**2)) for n, loss in zip(counts, losses, strict=True)]
        likely = [_likely(counts.sum(axis=0) * chance, loss) for chance, loss in zip((1.0 - CENTERS, CENTERS), losses, strict=True)]
        ends = two_sides(sides[0], sides[1], (likely[0][0], likely[1][0]), (likely[0][1], likely[1][1]))
        low, high = min(ends[0], value), max(ends[1], value)
    return Metric(name, value, low, min(high, 1.0) if name == "brier" else high, scored)


def _likely(rows: Floats, loss: Floats) -> tuple[float, float]:
    """The mean and standard deviation of what a row of a class loses, of which rows are as often as their scores say."""
    share = rows / max(1e-12, float(rows.sum()))
    mean = float(share @ loss)
    return mean, math.sqrt(max(0.0, float(share @ loss**2) - mean**2))


def _arrays(schema: Schema) -> dict[str, tuple[int, ...]]:
    return {"score": (2, len(SCORE_EDGES) + 1)}


BINARY = Task(add, metrics, lambda schema: ("brier", "log_loss"), ("scored", "improbable"), _arrays)
