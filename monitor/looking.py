"""A window's distributions as people see them: a feature's shares now and in its reference, on few common bins."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np

from detectors.adaptive import AdaptiveSummary, common_cells
from detectors.category import CategorySummary
from detectors.cells import Cells
from detectors.mask import hidden_categories, masked_names
from detectors.numeric import GridSummary
from detectors.profile import PREDICTION
from detectors.window import Numeric
from monitor.baseline import Baseline
from monitor.checkpoint import Partial
from monitor.model import Model
from monitor.publish import merge_partials

BINS_MOST = 200
NAMES_MOST = 50


class Looked(Protocol):
    """What is read of a model; see Reading.of_model."""

    def partials(self, from_ms: int, to_ms: int) -> list[Partial]: ...
    def load_state(self, name: str) -> bytes | None: ...


def distribution(
    tx: Looked, model: Model, start_ms: int, version: str, segment: str, subject: str, bins: int = 30
) -> dict[str, Any]:
    """The shares of one subject (a feature or `prediction`) in one window and in its reference.

    Numeric: {"kind": "numeric", "edges": k + 1 numbers, "current": k shares, "reference": k shares or None, ...}; what lies
    beyond the edges is in `below` and `above`. Category: {"kind": "category", "names": …, "current": …, "reference": …}.
    Raises KeyError for a group or subject that the window does not have, or whose panes are gone.
    """
    inputs, _, _ = merge_partials(model, tx.partials(start_ms, start_ms + model.size_ms))
    summary = inputs.groups[version, segment]
    profile = model.profile_named(inputs.profile)
    learned, reference = None, profile.name if profile else ""
    if profile is None and (stored := tx.load_state("baseline")):
        baseline = Baseline.from_bytes(stored, model.first_windows, model.min_rows)
        learned, reference = baseline.summary(start_ms, segment, model), baseline.name(start_ms)
    head = {"model": model.name, "subject": subject, "window_start_ms": start_ms, "version": version, "segment": segment}
    scored = subject == PREDICTION and summary.score.rows > 0
    if scored or subject in summary.numeric:
        base: Numeric | None
        mine = summary.score if scored else summary.numeric[subject]
        if profile is not None:
            base = profile.numeric.get(subject)
        else:
            base = None if learned is None else (learned.score if scored else learned.numeric.get(subject))
        return {**head, "kind": "numeric", "reference_name": reference, **_numeric(mine, base, max(2, min(bins, BINS_MOST)))}
    if subject in summary.categorical or subject == PREDICTION:
        counts = summary.label if subject == PREDICTION else summary.categorical[subject]
        named: CategorySummary | None
        if profile is not None:
            named = profile.label if subject == PREDICTION else profile.categorical.get(subject)
        else:
            named = None if learned is None else (learned.label if subject == PREDICTION else learned.categorical.get(subject))
        return {**head, "kind": "category", "reference_name": reference, **_named(_category(counts, named), subject, model)}
    raise KeyError(subject)


def _named(found: dict[str, Any], subject: str, model: Model) -> dict[str, Any]:
    return {**found, "names": masked_names(found["names"])} if subject in hidden_categories(model.schema) else found


def _numeric(current: Numeric, reference: Numeric | None, bins: int) -> dict[str, Any]:
    if isinstance(current, AdaptiveSummary) and isinstance(reference, AdaptiveSummary):
        ref_cells, cells = common_cells(reference, current)
    else:
        cells = current.cells()
        ref_cells = reference.cells() if isinstance(reference, GridSummary) else cells
    seen = [s for s in (current, reference) if s is not None and s.moments.n]
    if not seen:
        return {"edges": [], "current": [], "reference": None, "below": [0.0, 0.0], "above": [0.0, 0.0], "rows": [0, 0]}
    low = min(c.quantile(0.005, s.moments.low, s.moments.high) for c, s in _pairs(cells, ref_cells, current, reference))
    high = max(c.quantile(0.995, s.moments.low, s.moments.high) for c, s in _pairs(cells, ref_cells, current, reference))
    if not high > low:
        low, high = low - 0.5, high + 0.5
    edges = np.linspace(low, high, bins + 1)
    now = _binned(cells, current, edges)
    then = None if reference is None or not reference.moments.n else _binned(ref_cells, reference, edges)
    return {
        "edges": edges.tolist(),
        "current": now[1:-1].round(6).tolist(),
        "reference": None if then is None else then[1:-1].round(6).tolist(),
        "below": [float(now[0]), 0.0 if then is None else float(then[0])],
        "above": [float(now[-1]), 0.0 if then is None else float(then[-1])],
        "rows": [current.rows, 0 if reference is None else reference.rows],
    }


def _pairs(cells: Cells, ref_cells: Cells, current: Numeric, reference: Numeric | None) -> list[tuple[Cells, Numeric]]:
    pairs: list[tuple[Cells, Numeric]] = [(cells, current)] if current.moments.n else []
    return pairs + ([(ref_cells, reference)] if reference is not None and reference.moments.n else [])


def _binned(cells: Cells, of: Numeric, edges: np.ndarray) -> np.ndarray:
    """Shares below the first edge, between edges, and above the last; rows lie evenly inside a cell."""
    total = cells.rows
    if total == 0:
        return np.zeros(len(edges) + 1)
    bounds = np.clip(cells.edges, of.moments.low, of.moments.high)
    upto = np.concatenate([[0.0], np.cumsum(cells.counts)]) / total
    keep = np.concatenate([[True], np.diff(bounds) > 0])
    at = np.interp(edges, bounds[keep], np.maximum.accumulate(upto)[_last_of_run(keep)], left=0.0, right=1.0)
    return np.diff(np.concatenate([[0.0], at, [1.0]]))


def _last_of_run(keep: np.ndarray) -> np.ndarray:
    """For each kept bound the last index of those that are equal to it: cells of no width lie at their bound."""
    starts = np.flatnonzero(keep)
    return np.concatenate([starts[1:] - 1, [len(keep) - 1]])


def _category(current: CategorySummary, reference: CategorySummary | None) -> dict[str, Any]:
    base = {} if reference is None else reference.counts
    rows, ref_rows = current.rows, sum(base.values())
    weight = {n: max(current.counts.get(n, 0) / max(1, rows), base.get(n, 0) / max(1, ref_rows)) for n in {*current.counts, *base}}
    names = sorted(weight, key=lambda n: (-weight[n], n))[:NAMES_MOST]
    return {
        "names": names,
        "current": [current.counts.get(n, 0) / max(1, rows) for n in names],
        "reference": None if reference is None or not ref_rows else [base.get(n, 0) / ref_rows for n in names],
        "more": max(0, len(weight) - len(names)),
        "rows": [rows, ref_rows],
    }
