"""What one window adds to a comparison of two versions: its pairs of rows, or the sums of either version's own."""

from __future__ import annotations

from detectors.compare import (
    MEANS,
    Piece,
    Sums,
    error_sums,
    latency_sums,
    metric_sums,
    number_sums,
    paired,
    paired_requests,
    right_sums,
    share_sums,
    unpaired,
    value_sums,
)
from detectors.error_cells import PART as ERROR_CELLS
from detectors.losses import LOSSES, loss_key
from detectors.number_moments import PART as NUMBER_MOMENTS
from detectors.number_moments import NumberMoments
from detectors.request_errors import ERROR
from detectors.request_errors import PART as REQUEST_ERRORS
from detectors.request_numbers import PART as REQUEST_NUMBERS
from detectors.request_table import RequestTable
from detectors.trace import PART as ERRORS
from detectors.window import WindowSummary
from monitor.config.compare import OF_ANY_TASK, needs_labels
from monitor.label_scores import is_mature
from monitor.model import VersionComparison
from monitor.view import GroupView, WindowView


def piece_of(wanted: VersionComparison, champion: GroupView, challenger: GroupView, view: WindowView) -> Piece:
    """An empty one where there are no pairs or too few rows of either, or, of metrics that need labels, too few of these."""
    if needs_labels(wanted.metric) and not (is_mature(champion) and is_mature(challenger)):
        return Piece()
    if wanted.by_request:
        tables = [_table(wanted, group) for group in (champion, challenger)]
        if tables[0] is None or tables[1] is None:
            return Piece()
        newest = (view.end_ms - 1) // view.model.slide_ms
        return paired_requests(tables[0], tables[1], newest, wanted.metric == "accuracy", _kept_as(wanted))
    traces = [None if g.performance is None else g.performance.parts.get(ERRORS) for g in (champion, challenger)]
    if wanted.paired:
        if None in traces:
            return Piece()
        a, b = (t.between(view.end_ms - view.model.slide_ms, view.end_ms) for t in traces if t is not None)
        return paired(a, b, right=wanted.metric == "accuracy")
    sums = [_sums(wanted, group) for group in (champion, challenger)]
    return Piece() if sums[0] is None or sums[1] is None else unpaired(sums[0], sums[1])


def _table(wanted: VersionComparison, group: GroupView) -> RequestTable | None:
    """What the group's rows cost by their request: of labelled ones, or of all."""
    side = group.performance if needs_labels(wanted.metric) else group.inputs
    found = None if side is None else side.parts.get(REQUEST_ERRORS if needs_labels(wanted.metric) else REQUEST_NUMBERS)
    return found if isinstance(found, RequestTable) else None


def _kept_as(wanted: VersionComparison) -> str:
    """The name of the metric's sums in that table."""
    if wanted.metric in LOSSES:
        return loss_key(wanted.metric, wanted.values)
    return ERROR if needs_labels(wanted.metric) else wanted.metric


def _sums(wanted: VersionComparison, group: GroupView) -> Sums | None:
    performance, inputs = group.performance, group.inputs
    if not needs_labels(wanted.metric):
        return None if inputs is None else _sums_of_all(wanted.metric, inputs)
    if performance is None:
        return None
    if wanted.metric in MEANS.get(performance.schema.task, ()):
        return metric_sums(performance, wanted.metric)
    if ERROR_CELLS not in performance.parts:
        return None
    if wanted.metric == "value":
        return value_sums(performance, wanted.values)
    return (right_sums if wanted.metric == "accuracy" else error_sums)(performance.parts[ERROR_CELLS])


def _sums_of_all(metric: str, inputs: WindowSummary) -> Sums | None:
    if metric in OF_ANY_TASK:
        return latency_sums(inputs.latency) if metric == "latency" else share_sums(inputs.rows, inputs.errors)
    kept = inputs.parts.get(NUMBER_MOMENTS)
    return number_sums(kept.numbers[metric]) if isinstance(kept, NumberMoments) and metric in kept.numbers else None
