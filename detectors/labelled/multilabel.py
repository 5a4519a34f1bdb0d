"""Several classes at once: the predicted set of each row against the true one.

A true label that is none of the model's classes counts as missed: no prediction can hit it.

Where events carry probabilities, each label's are counted in cells, of the rows that have the label and of the rest: 9 kB a label in
memory, filled cells only where stored. `brier` is the mean over rows and labels of (probability - label)^2.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from detectors.columns import Bools, Floats, Ints, Matrix, Outcomes, Schema
from detectors.labelled.classwise import classwise
from detectors.labelled.intervals import NONE, logit, recovered, student, wilson, wilsons
from detectors.labelled.tally import Metric, Tally, Task, mean_of, undefined
from detectors.labelled.together import of_f1, rows_of
from detectors.score_cells import CLASS_EDGES

EACH = 20  # classes with metrics of their own
HIT, FALSE, MISSED = 0, 1, 2
MICRO = {"micro_precision": (0, 1, 0), "micro_recall": (0, 0, 1), "micro_f1": (0, 0.5, 0.5)}  # of hits, predicted, true
_SIZES = ("hits", "predicted", "true")  # labels of a row
_PAIRS = (("hits", "predicted"), ("hits", "true"), ("predicted", "true"))


def add(tally: Tally, o: Outcomes) -> None:
    predicted, true = o.vectors.get("labels"), o.vectors.get("true_labels")
    if predicted is None or true is None:
        return
    unknown = o.vectors["true_others"]
    there = ~np.isnan(np.concatenate([predicted, true, unknown], axis=1)).any(axis=1)
    p, t, weight = predicted[there] > 0.5, true[there] > 0.5, o.weight[there]
    others = unknown[there, 0]
    hit, false, missed = (p & t), (p & ~t), (~p & t)
    for row, which in ((HIT, hit), (FALSE, false), (MISSED, missed)):
        tally.arrays["classes"][:, row] += weight @ which.astype(np.int64)
    hits = hit.sum(axis=1).astype(np.float64)
    wrong = false.sum(axis=1) + missed.sum(axis=1) + others
    tally.count_rows(weight)
    tally.count_rows(weight[wrong == 0], "exact")
    tally.add_values("hamming_loss", (false | missed).mean(axis=1), weight)
    union = hits + wrong
    sizes = {"hits": hits, "predicted": p.sum(axis=1).astype(np.float64), "true": t.sum(axis=1) + others}
    tally.add_values("jaccard", np.divide(hits, union, out=np.zeros_like(hits), where=union > 0), weight)
    for name, values in sizes.items():
        tally.add_values(name, values, weight)
    for one, other in _PAIRS:
        tally.sums[f"{one}_{other}"] += float((weight * sizes[one] * sizes[other]).sum())
    chances = o.vectors.get("probabilities")
    if chances is not None and "chances" in tally.arrays and chances.shape[1] == len(tally.schema.classes):
        _add_chances(tally, chances[there], t, weight)


def _add_chances(tally: Tally, chances: Matrix, true: Bools, weight: Ints) -> None:
    """Probabilities and true labels, shapes (n, classes); rows without all of the former say nothing."""
    scored = ~np.isnan(chances).any(axis=1)
    chances, true, weight = chances[scored], true[scored], weight[scored]
    tally.count_rows(weight, "scored")
    tally.add_values("brier", ((chances.astype(np.float64) - true) ** 2).mean(axis=1), weight)
    cell = np.searchsorted(CLASS_EDGES, chances, side="right")
    tally.count("chances", (np.arange(chances.shape[1])[None, :], true.astype(np.int64), cell), weight[:, None])


def metrics(tally: Tally) -> Sequence[Metric]:
    n, s, counts = tally.rows, tally.sums, tally.arrays["classes"]
    out = [Metric("subset_accuracy", s["exact"] / n, *wilson(s["exact"], n), n)]
    out += [Metric(name, *mean_of(tally, name, n, "share"), n) for name in ("hamming_loss", "jaccard")]
    if s["predicted"] + s["true"] > 0:
        out += [_micro(tally, n, name, np.array(parts)) for name, parts in MICRO.items()]
        out += _f1(tally, counts, n)
    else:
        names = *MICRO, "macro_f1", *(f"f1:{name}" for name in tally.schema.classes[:EACH])
        out += undefined(names, n, "no row has a label, predicted or true")
    scored = int(tally.sums["scored"])
    if scored > 0:
        out.append(Metric("brier", *mean_of(tally, "brier", scored, "positive"), scored))
        out += classwise(tally.arrays["chances"], CLASS_EDGES, tally.schema.classes, EACH, True, rows_of(tally))
    return out


def _f1(tally: Tally, counts: Ints, n: int) -> list[Metric]:
    """The mean over labels, its interval theirs added up (Zou and Donner 2008) as they hang together; those that occur most by name."""
    hit = counts[:, HIT].astype(np.float64)
    true = hit + counts[:, MISSED]
    either = true + counts[:, FALSE]
    values, ends = (
        _f1_of(np.divide(hit, either, out=np.zeros_like(hit), where=either > 0)),
        [_f1_of(end) for end in wilsons(hit, either)],
    )
    sample = rows_of(tally, scored=False)
    correlation = np.ones((len(hit), len(hit))) if sample is None else of_f1(sample, values)
    down, up = (off / len(hit) for off in recovered(values, ends[0], ends[1], correlation=correlation))
    macro = float(values.mean())
    out = [Metric("macro_f1", macro, max(0.0, macro - down), min(1.0, macro + up), n)]
    for k in np.argsort(-true, kind="stable")[:EACH].tolist():
        label = tally.schema.classes[k]
        if either[k] > 0:
            out.append(Metric(f"f1:{label}", float(values[k]), float(ends[0][k]), float(ends[1][k]), n))
        else:
            out += undefined((f"f1:{label}",), n, f"no row has the label {label!r}, predicted or true")
    return out


def _f1_of(jaccard: Floats) -> Floats:
    """F1 is that share seen through 2 j / (1 + j)."""
    return 2.0 * jaccard / (1.0 + jaccard)


def _micro(tally: Tally, n: int, name: str, parts: Floats) -> Metric:
    """All hits / a mixture of all predicted and all true labels, by the delta method over rows: a row's labels go together."""
    s = tally.sums
    means = np.array([s[size] for size in _SIZES]) / n
    whole = float(parts @ means)
    if whole <= 0 or n < 2:
        return Metric(name, float(means[0]) / whole if whole > 0 else 0.0, *NONE, n)
    value = float(means[0]) / whole
    second = np.array([[s[f"{size}_sq"] if size == other else _product(s, size, other) for other in _SIZES] for size in _SIZES])
    gradient = (np.array([1.0, 0.0, 0.0]) - value * parts) / whole
    variance = float(gradient @ (second / n - np.outer(means, means)) @ gradient)
    return Metric(name, value, *logit(value, math.sqrt(max(0.0, variance) / (n - 1)), n, student(n - 1)), n)


def _product(sums: dict[str, float], one: str, other: str) -> float:
    return sums[f"{one}_{other}"] if (one, other) in _PAIRS else sums[f"{other}_{one}"]


def _arrays(schema: Schema) -> dict[str, tuple[int, ...]]:
    k = len(schema.classes)
    chances = {"chances": (k, 2, len(CLASS_EDGES) + 1)} if "probabilities" in schema.vectors else {}
    return {"classes": (k, 3), **chances}


MULTILABEL = Task(
    add,
    metrics,
    lambda schema: ("hamming_loss", "jaccard", "brier", *_SIZES),
    ("exact", "scored", *(f"{one}_{other}" for one, other in _PAIRS)),
    _arrays,
)
