"""Why the performance of a window is not the reference's: other inputs or another relation, and which segments and features.

The reference is one that was built of labelled rows, or the model's own first windows as their labels come; against the latter the
split into inputs and relation is monitor/concept.py's, which looks at the 32 to 64 windows before. The ranking is the evidence of
every finding about the window's performance. Features are ranked by what their own shift would do (the reference's errors by feature,
the window's mix), and, where predictions leave their cells behind (`worst_segments`), with the cell that the change came from.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import lru_cache

from detectors.columns import Schema
from detectors.error_cells import PART, ErrorCells
from detectors.feature_errors import NAME, Groups, read_feature_errors
from detectors.labelled.tally import improbable
from detectors.mix import LEAST_EXPECTED, REST, Share, Split, calibration_shift, feature_share, segment_shares, split_change
from detectors.performance import PerformanceSummary
from detectors.score import Score
from monitor.label_scores import is_mature
from monitor.learned_outcomes import reference_of
from monitor.panes import Group
from monitor.split import SUBJECT, split_scores, unit_of
from monitor.view import GroupView, WindowView
from monitor.worst_segments import counted_errors

SHOWN = 10  # segments and features in the evidence
PERFORMANCE = "performance"
DOUBT = "or_by_inputs_that_do_not_move_scores"  # evidence: what is laid to the relation may be these features' shift
OF_CONCEPT = ("performance_change_by_concept", "performance_change_by_concept_p")
HALF = 0.5
FEW = f"nowhere on the scale of scores have both sides {LEAST_EXPECTED} labelled rows"


def change(view: WindowView) -> Iterable[tuple[Group, Score]]:
    """For each version the change by inputs and by concept, and the calibration shift, on its group of all rows."""
    outcomes = reference_of(view)
    for (version, segment), group in sorted(view.groups.items()):
        performance, reference = group.performance, outcomes.summary(group)
        cells = _cells(group, reference)
        if segment or not is_mature(group) or performance is None or PART not in performance.parts or cells is None:
            continue
        split = split_change(cells, performance.parts[PART])
        rows, name = performance.rows, group.reference
        if split is None:
            if group.profile is not None and rows > 0:
                for score in split_scores(Split(*[math.nan] * 5), performance.schema.task, rows, name):
                    yield (version, ""), score
            continue
        why = _why(view, group, outcomes.by_segment, split)
        if group.profile is not None:
            for score in split_scores(split, performance.schema.task, rows, name):
                doubt = why.get(DOUBT) if score.name in OF_CONCEPT else None
                yield (version, ""), score if doubt is None else replace(score, evidence={**score.evidence, DOUBT: doubt})
        shift = None if reference is None else _calibration(reference, performance)
        if isinstance(shift, str):
            for metric in ("calibration_shift", "calibration_shift_p"):
                yield (version, ""), Score(SUBJECT, metric, math.nan, rows, name, {"reason": shift})
        elif shift is not None and reference is not None:
            found = {"groups_of_scores": shift[2], **_classes(reference, performance)}
            yield (version, ""), Score(SUBJECT, "calibration_shift", shift[0], rows, name, dict(found))
            yield (version, ""), Score(SUBJECT, "calibration_shift_p", shift[1], rows, name, dict(found))
        scores = view.scores.get((version, ""), [])
        for i, score in enumerate(scores):
            if score.subject == PERFORMANCE:
                scores[i] = replace(score, evidence={**score.evidence, "change_since_reference": why})


def _cells(group: GroupView, reference: PerformanceSummary | None) -> ErrorCells | None:
    """The reference's errors by score."""
    if group.profile is not None:
        stored = group.profile.extras.get(PART)
        return None if stored is None else _reference_cells(stored, group.model.schema.task)
    part = None if reference is None else reference.parts.get(PART)
    return part if isinstance(part, ErrorCells) else None


@lru_cache(16)
def _reference_cells(data: bytes, task: str) -> ErrorCells:
    return ErrorCells.from_bytes(data, Schema((), (), task))


@lru_cache(16)
def _feature_errors(data: bytes) -> dict[str, Groups]:
    return read_feature_errors(data)


def _calibration(reference: PerformanceSummary, window: PerformanceSummary) -> tuple[float, float, int] | str | None:
    """Of the positive class (binary), or of the predicted one: how often it is right at its probability (multiclass).

    None where there are no probabilities, the reason where there are too few rows.
    """
    if improbable(reference) or improbable(window):
        return None
    for name in ("score", "confidence"):
        before, now = reference.arrays.get(name), window.arrays.get(name)
        if before is not None and now is not None:
            return (calibration_shift(before, now) or FEW) if before.shape == now.shape else None
    return None


def _classes(reference: PerformanceSummary, window: PerformanceSummary) -> dict[str, object]:
    """The shift of each class against the rest, greatest first, where events carry the probabilities of all classes."""
    before, now = reference.arrays.get("one_vs_rest"), window.arrays.get("one_vs_rest")
    if before is None or now is None or before.shape != now.shape or reference.schema.classes != window.schema.classes:
        return {}
    shifts = {name: calibration_shift(*pair) for name, *pair in zip(window.schema.classes, before, now, strict=True)}
    found = [{"class": name, "shift": round(s[0], 6), "p_value": s[1]} for name, s in shifts.items() if s is not None]
    return {"classes": sorted(found, key=lambda f: -float(str(f["shift"])))[:SHOWN]} if found else {}


def _why(view: WindowView, group: GroupView, before: Mapping[str, PerformanceSummary], split: Split) -> dict[str, object]:
    """The ranking of segments and features by their share in the change, as plain values for people. before: by segment."""
    sign, metric, _ = unit_of(group.model.schema.task)
    features, by_concept = _features(view, group, sign), sign * split.by_concept
    unseen = _not_seen_in_scores(features, by_concept)
    return {
        "metric": metric,
        "by_inputs": round(sign * split.by_inputs, 6),
        "by_concept": round(by_concept, 6),
        **({DOUBT: unseen} if unseen else {}),
        "segments": [{"segment": s.name, **_told(sign, s)} for s in _segments(view, group, before)[:SHOWN]],
        "features": features[:SHOWN],
    }


def _not_seen_in_scores(features: list[dict[str, object]], by_concept: float) -> dict[str, float]:
    """Features whose own shift alone gives at least half of what is laid to the relation, greatest first.

    The mix is that of the model's scores: inputs that make it err and do not move its scores look like another relation there.
    """
    alone = {str(told["feature"]): float(str(told["change_if_it_alone_had_moved"])) for told in features}
    return {f: change for f, change in alone.items() if change / by_concept >= HALF} if by_concept else {}


def _segments(view: WindowView, group: GroupView, before: Mapping[str, PerformanceSummary]) -> list[Share]:
    window = {s: _errors(g.performance) for (v, s), g in view.groups.items() if v == group.version and g.performance is not None}
    reference = {s: _errors(p) for s, p in before.items()}
    out: list[Share] = []
    if min(side.get("", (0.0, 0.0))[0] for side in (reference, window)) <= 0:
        return out
    for dimension in sorted({s.partition("=")[0] for s in (*window, *reference) if s}):
        of = f"{dimension}="
        sides = [{s: e for s, e in side.items() if s == "" or s.startswith(of)} for side in (reference, window)]
        out += [(s if s.name != REST else replace(s, name=f"{of} (none)")) for s in segment_shares(sides[0], sides[1])]
    return sorted(out, key=lambda s: (-abs(s.total), s.name))


def _features(view: WindowView, group: GroupView, sign: float) -> list[dict[str, object]]:
    moved: dict[str, float] = {}
    stored = None if group.profile is None else group.profile.extras.get(NAME)
    if stored is not None and group.inputs is not None:
        columns = {**group.inputs.numeric, **group.inputs.categorical}
        known = _feature_errors(stored)
        moved = {f: feature_share(groups, groups.mix(columns[f])) for f, groups in known.items() if f in columns}  # type: ignore[arg-type]
    cells = _cells_of_features(view, group)
    for feature, shares in cells.items():
        moved.setdefault(feature, sum(share.mix for share in shares))
    out = []
    for feature, share in sorted(moved.items(), key=lambda item: (-abs(item[1]), item[0])):
        told: dict[str, object] = {"feature": feature, "change_if_it_alone_had_moved": _part(sign, share)}
        if cells.get(feature):
            told["most_in"] = {"cell": cells[feature][0].name, **_told(sign, cells[feature][0])}
        out.append(told)
    return out


def _cells_of_features(view: WindowView, group: GroupView) -> dict[str, list[Share]]:
    """The cells of each feature whose errors are known on both sides, that with the greatest share in the change first."""
    found = counted_errors(view, group)
    part, counted = found if found is not None else (None, None)
    before = None if counted is None else counted.before
    if part is None or counted is None or before is None:
        return {}
    out = {}
    for i, feature in enumerate(part.features):
        if feature not in counted.cuttings:
            continue
        sides = []
        for sums, _ in (before, counted.now):
            errors = {
                name: (float(n), float(e))
                for name, (n, e, _) in zip(counted.cuttings[feature].cells(), sums[i], strict=True)
                if name
            }
            sides.append({**errors, "": tuple(sums[i, :, :2].sum(axis=0).tolist())})
        if min(side[""][0] for side in sides) > 0:
            out[feature] = [share for share in segment_shares(sides[0], sides[1]) if share.name != REST]
    return out


def _told(sign: float, share: Share) -> dict[str, object]:
    return {
        "change": _part(sign, share.total), "by_its_share_of_rows": _part(sign, share.mix), "by_its_errors": _part(sign, share.rate),
    }  # fmt: skip


def _part(sign: float, value: float) -> float:
    return round(sign * value, 6) + 0.0


def _errors(performance: PerformanceSummary) -> tuple[float, float]:
    """(rows, sum of errors)."""
    if performance.schema.task == "regression":
        return performance.sums["rows"], performance.sums["abs_error"]
    wrong = sum(rows for (predicted, true), rows in performance.confusion.items() if predicted != true)
    return float(sum(performance.confusion.values())), float(wrong)
