"""Classes that exclude each other: confusion counts and, where events carry them, the probabilities of all classes.

Each class's probabilities are counted in cells, of the rows that are of that class and of the rest: one against the
rest. Cells: those of binary models for up to FINE classes (90 kB a class in memory), for more 512 of equal width and
finer ones near 0 and 1 (8.7 kB a class); filled cells only where stored.

Pairs of classes, one against one, need each class's probabilities by true class: classes squared times 4.5 kB in memory.
They are counted for up to PAIRED classes (290 kB); with 100 they would take 45 MB a segment, so beyond there is no `roc_auc_ovo`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from detectors.columns import Floats, Ints, Matrix, Outcomes, Schema
from detectors.labelled import confusion, curves
from detectors.labelled.calibration import calibration
from detectors.labelled.classwise import classwise
from detectors.labelled.intervals import logit, wilson
from detectors.labelled.tally import Metric, Tally, Task, codes_in, improbable, mean_of, probable, same_label, undefined
from detectors.labelled.together import Rows, of_areas, of_pairs, rows_of
from detectors.score_cells import SCORE_EDGES

CLIP = float(np.finfo(np.float32).eps)  # probabilities came as float32; scikit-learn clips those here
EACH = 20  # classes with metrics of their own
FINE = 16
PAIRED = 8
_tail = 2.0 ** -np.arange(10, 25, dtype=np.float64)
EDGES: Floats = np.unique(np.concatenate([np.linspace(0.0, 1.0, 513), _tail, 1.0 - _tail]))
_COARSE = np.concatenate([[0], np.searchsorted(EDGES, SCORE_EDGES, side="right")])  # EDGES are some of SCORE_EDGES


def class_edges(classes: int) -> Floats:
    """The bounds of the cells of each class's probabilities."""
    return SCORE_EDGES if classes <= FINE else EDGES


def add(tally: Tally, o: Outcomes) -> None:
    predicted, true = o.predicted_label, o.true_label
    there = (true.codes >= 0) & (predicted.codes >= 0)
    tally.count_rows(o.weight[there])
    tally.add_confusion(predicted, true, there, o.weight)
    sure = probable(tally, o.predicted_score, there, o.weight)
    if sure.any():
        right = same_label(predicted, true)[sure].astype(np.int64)
        cell = np.searchsorted(EDGES, o.predicted_score[sure], side="right")
        tally.count("confidence", (right, cell), o.weight[sure])
    chances = o.vectors.get("probabilities")
    if chances is None or chances.shape[1] != len(tally.schema.classes) or "one_vs_rest" not in tally.arrays:
        return
    place = codes_in(true, tally.schema.classes)
    rows = np.flatnonzero(there & (place >= 0) & ~np.isnan(chances).any(axis=1))
    if len(rows):
        _add_chances(tally, chances[rows], place[rows], o.weight[rows])


def _add_chances(tally: Tally, chances: Matrix, place: np.ndarray, weight: np.ndarray) -> None:
    n, k = chances.shape
    of_true = chances[np.arange(n), place].astype(np.float64)
    tally.count_rows(weight, "scored")
    tally.add_values("log_loss", -np.log(np.clip(of_true, CLIP, 1.0 - CLIP)), weight)
    squares = (chances.astype(np.float64) ** 2).sum(axis=1)
    tally.add_values("brier", squares - 2.0 * of_true + 1.0, weight)
    better = (chances > of_true.astype(np.float32)[:, None]).sum(axis=1)
    tally.count_rows(weight[better < tally.schema.top_k], "top_k")
    cell = np.searchsorted(class_edges(k), chances, side="right")
    mine = (np.arange(k)[None, :] == place[:, None]).astype(np.int64)
    tally.count("one_vs_rest", (np.arange(k)[None, :], mine, cell), weight[:, None])
    if "by_true" in tally.arrays:
        tally.count("by_true", (np.arange(k)[None, :], place[:, None], _COARSE[cell]), weight[:, None])


def metrics(tally: Tally) -> Sequence[Metric]:
    m = confusion.matrix(tally)
    out = [confusion.accuracy(m), *confusion.macro(m), confusion.mcc(m)]
    scored = int(tally.sums["scored"])
    if scored > 0:
        sample = rows_of(tally)
        cells = None if sample is None else np.searchsorted(class_edges(len(tally.schema.classes)), sample.chances, side="right")
        out += [*_areas(tally, scored, sample, cells), *_pairs(tally, scored, sample, cells)]
        top = tally.sums["top_k"]
        out.append(Metric("top_k_accuracy", top / scored, *wilson(top, scored), scored, {"k": tally.schema.top_k}))
        out += [Metric(name, *mean_of(tally, name, scored, "positive"), scored) for name in ("log_loss", "brier")]
        chances = tally.arrays["one_vs_rest"]
        out += classwise(chances, class_edges(len(chances)), tally.schema.classes, EACH, False, sample)
    if reason := improbable(tally):
        out += undefined(("ece", "mce"), tally.rows, reason)
    else:
        out += [metric for metric in calibration(tally.arrays["confidence"], EDGES) if metric.name in ("ece", "mce")]
    return [*out, *confusion.each_class(m, EACH)]


def _areas(tally: Tally, scored: int, sample: Rows | None, cells: Ints | None) -> list[Metric]:
    """ROC AUC of each class against the rest: plain and weighted mean over the classes that occur, and those that occur most."""
    counts = tally.arrays["one_vs_rest"]
    there = np.array([k for k, (rest, mine) in enumerate(counts) if rest.any() and mine.any()], dtype=np.int64)
    if not len(there):
        return [Metric("roc_auc", math.nan, math.nan, math.nan, scored)]
    found = [curves.placements(*counts[k]) for k in there]
    correlation = None if sample is None or cells is None else of_areas(sample, cells, there, counts)
    weights = counts[there, 1].sum(axis=1)
    out = [
        Metric("roc_auc", *_mean_area(found, np.full(len(there), 1.0 / len(there)), correlation), scored),
        Metric("roc_auc_weighted", *_mean_area(found, weights / weights.sum(), correlation, scored), scored),
    ]
    for k in there[np.argsort(-weights, kind="stable")][:EACH].tolist():
        area, (rest, mine) = curves.roc_auc(*counts[k]), counts[k].sum(axis=1).tolist()
        out.append(Metric(f"roc_auc:{tally.schema.classes[k]}", area.value, *curves.roc_auc_interval(area, rest, mine), scored))
    return out


def _mean_area(
    found: Sequence[curves.Placements], shares: Floats, correlation: Floats | None, drawn: float = math.inf
) -> tuple[float, float, float]:
    """A mean of areas that hang together, or err together where that is not known, with its interval on the logit.

    drawn: rows whose classes the shares are made of, which is chance too.
    """
    areas = np.array([one.area for one in found])
    value, errors = float(shares @ areas), shares * curves.moderated_errors(found)
    variance = float(errors.sum()) ** 2 if correlation is None else float(errors @ correlation @ errors)
    error = math.sqrt(max(0.0, variance) + float(shares @ (areas - value) ** 2) / drawn)
    rows = min(min(one.positives, one.negatives) for one in found)
    return value, *logit(min(value, 1.0), error, max(1.0, rows))


def _pairs(tally: Tally, scored: int, sample: Rows | None, cells: Ints | None) -> list[Metric]:
    """Mean ROC AUC of the pairs of classes that occur: of either class's probability on the rows of the two alone."""
    counts = tally.arrays.get("by_true")
    if counts is None:
        return []
    there = [i for i in range(len(counts)) if counts[i, i].any()]
    pairs = [(i, j) for i in there for j in there if i != j]
    if not pairs:
        return [Metric("roc_auc_ovo", math.nan, math.nan, math.nan, scored)]
    found = [curves.placements(counts[i, j], counts[i, i]) for i, j in pairs]
    correlation = None if sample is None or cells is None else of_pairs(sample, _COARSE[cells], pairs, counts)
    return [Metric("roc_auc_ovo", *_mean_area(found, np.full(len(pairs), 1.0 / len(pairs)), correlation), scored)]


def _arrays(schema: Schema) -> dict[str, tuple[int, ...]]:
    out: dict[str, tuple[int, ...]] = {"confidence": (2, len(EDGES) + 1)}
    if "probabilities" in schema.vectors:
        k = len(schema.classes)
        out["one_vs_rest"] = (k, 2, len(class_edges(k)) + 1)
        if k <= PAIRED:
            out["by_true"] = (k, k, len(EDGES) + 1)  # class of the probability, class of the row
    return out


MULTICLASS = Task(add, metrics, lambda schema: ("log_loss", "brier"), ("scored", "top_k", "improbable"), _arrays)
