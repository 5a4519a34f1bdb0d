"""Why the performance of a window is not the reference's: other inputs or another relation, and which segments and features.

Rests on a reference that was built of labelled rows; without one there is nothing to split. The ranking is the evidence
of every finding about the window's performance.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from functools import lru_cache

from detectors.columns import Schema
from detectors.error_cells import PART, ErrorCells
from detectors.feature_errors import NAME, Groups, read_feature_errors
from detectors.mix import Split, calibration_shift, feature_share, segment_shares, split_change
from detectors.performance import PerformanceSummary
from detectors.profile import Profile
from detectors.score import Score
from monitor.label_scores import is_mature
from monitor.panes import Group
from monitor.split import SUBJECT, split_scores, unit_of
from monitor.view import GroupView, WindowView

SHOWN = 10  # segments and features in the evidence
PERFORMANCE = "performance"


def change(view: WindowView) -> Iterable[tuple[Group, Score]]:
    """For each version the change by inputs and by concept, and the calibration shift, on its group of all rows."""
    for (version, segment), group in sorted(view.groups.items()):
        profile, performance = group.profile, group.performance
        if (
            segment
            or not is_mature(group)
            or profile is None
            or performance is None
            or PART not in profile.extras
            or PART not in performance.parts
        ):
            continue
        task = performance.schema.task
        split = split_change(_reference_cells(profile.extras[PART], task), performance.parts[PART])
        if split is None:
            continue
        rows, name = performance.rows, group.reference
        for score in split_scores(split, task, rows, name):
            yield (version, ""), score
        shift = _calibration(profile.performance.get(""), performance)
        if shift is not None:
            found = {"groups_of_scores": shift[2], **_classes(profile.performance[""], performance)}
            yield (version, ""), Score(SUBJECT, "calibration_shift", shift[0], rows, name, dict(found))
            yield (version, ""), Score(SUBJECT, "calibration_shift_p", shift[1], rows, name, dict(found))
        why = _why(view, group, profile, split)
        scores = view.scores.get((version, ""), [])
        for i, score in enumerate(scores):
            if score.subject == PERFORMANCE:
                scores[i] = replace(score, evidence={**score.evidence, "change_since_reference": why})


@lru_cache(16)
def _reference_cells(data: bytes, task: str) -> ErrorCells:
    return ErrorCells.from_bytes(data, Schema((), (), task))


@lru_cache(16)
def _feature_errors(data: bytes) -> dict[str, Groups]:
    return read_feature_errors(data)


def _calibration(reference: PerformanceSummary | None, window: PerformanceSummary) -> tuple[float, float, int] | None:
    """Of the positive class (binary), or of the predicted one: how often it is right at its probability (multiclass)."""
    if reference is None:
        return None
    for name in ("score", "confidence"):
        before, now = reference.arrays.get(name), window.arrays.get(name)
        if before is not None and now is not None:
            return calibration_shift(before, now) if before.shape == now.shape else None
    return None


def _classes(reference: PerformanceSummary, window: PerformanceSummary) -> dict[str, object]:
    """The shift of each class against the rest, greatest first, where events carry the probabilities of all classes."""
    before, now = reference.arrays.get("one_vs_rest"), window.arrays.get("one_vs_rest")
    if before is None or now is None or before.shape != now.shape or reference.schema.classes != window.schema.classes:
        return {}
    shifts = {name: calibration_shift(*pair) for name, *pair in zip(window.schema.classes, before, now, strict=True)}
    found = [{"class": name, "shift": round(s[0], 6), "p_value": s[1]} for name, s in shifts.items() if s is not None]
    return {"classes": sorted(found, key=lambda f: -float(str(f["shift"])))[:SHOWN]} if found else {}


def _why(view: WindowView, group: GroupView, profile: Profile, split: Split) -> dict[str, object]:
    """The ranking of segments and features by their share in the change, as plain values for people."""
    sign, metric, _ = unit_of(group.model.schema.task)
    segments = []
    for dimension in sorted(
        {s.partition("=")[0] for _, s in view.groups if s} | {s.partition("=")[0] for s in profile.performance if s}
    ):
        window = {
            s: _errors(g.performance) for (v, s), g in view.groups.items() if v == group.version and g.performance is not None
        }
        reference = {s: _errors(p) for s, p in profile.performance.items()}
        if "" in reference and "" in window and reference[""][0] > 0 and window[""][0] > 0:
            of = f"{dimension}="
            shares = segment_shares(
                {s: e for s, e in reference.items() if s == "" or s.startswith(of)},
                {s: e for s, e in window.items() if s == "" or s.startswith(of)},
            )
            segments += [(s if s.name != "the rest" else replace(s, name=f"{of} (none)")) for s in shares]
    segments.sort(key=lambda s: (-abs(s.total), s.name))
    features: list[tuple[str, float]] = []
    inputs = group.inputs
    if NAME in profile.extras and inputs is not None:
        columns = {**inputs.numeric, **inputs.categorical}
        for feature, groups in _feature_errors(profile.extras[NAME]).items():
            if feature in columns:
                features.append((feature, feature_share(groups, groups.mix(columns[feature]))))  # type: ignore[arg-type]
    features.sort(key=lambda f: (-abs(f[1]), f[0]))
    return {
        "metric": metric,
        "by_inputs": round(sign * split.by_inputs, 6),
        "by_concept": round(sign * split.by_concept, 6),
        "segments": [
            {
                "segment": s.name,
                "change": _part(sign, s.total),
                "by_its_share_of_rows": _part(sign, s.mix),
                "by_its_errors": _part(sign, s.rate),
            }
            for s in segments[:SHOWN]
        ],
        "features": [{"feature": f, "change_if_it_alone_had_moved": _part(sign, share)} for f, share in features[:SHOWN]],
    }


def _part(sign: float, value: float) -> float:
    return round(sign * value, 6) + 0.0


def _errors(performance: PerformanceSummary) -> tuple[float, float]:
    """(rows, sum of errors)."""
    if performance.schema.task == "regression":
        return performance.sums["rows"], performance.sums["abs_error"]
    wrong = sum(rows for (predicted, true), rows in performance.confusion.items() if predicted != true)
    return performance.sums["rows"], float(wrong)
