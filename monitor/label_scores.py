"""Labels as a subject of their own: how many came, how late, and whether for rows like all others; and their maturity.

    coverage                       labelled rows / rows, of every version and segment
    delay_p50_seconds, ...         time from the prediction to its label, within 1 %
    unusable, unusable_share       labels that came, but say nothing for the task (a word where a number was due, or a prediction is missing)
    label_bias, label_bias_p       see detectors/label_bias.py: 0 but where the p-value is under what the budget of false alarms
                                   leaves a window; a warning from 0.1 on where the config gives no limit. The p-value is
                                   judged within the budget

Performance is `unsure` while fewer rows than labels.min_coverage have their label: those that come first are seldom
like those that come last.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import replace

from detectors.float_cells import quantile
from detectors.label_bias import LEVEL, Compared, bias, of_counts, of_scores
from detectors.label_spread import LABELS, SCORES
from detectors.labelled.folding import by_label, keeps_name, with_names
from detectors.limits import Limit
from detectors.score import Finding, Score
from monitor.label_inputs import compared_inputs
from monitor.panes import Group
from monitor.view import GroupView, WindowView

SUBJECT = "labels"
PERFORMANCE = ("performance",)  # subjects whose findings wait for labels
DELAYS = {"delay_p50_seconds": 0.5, "delay_p95_seconds": 0.95, "delay_p99_seconds": 0.99}
DEFAULT_LIMITS = {"label_bias": Limit(warn=0.1), "unusable_share": Limit(warn=0.001, breach=0.01)}


def labels(view: WindowView) -> Iterable[tuple[Group, Score]]:
    """Scores of subject `labels`; none for models that want no labels."""
    model = view.model
    if model.schema.task == "none" or not model.wants_labels:
        return
    for group, part in sorted(view.groups.items()):
        if part.rows:
            yield group, Score(SUBJECT, "coverage", labelled_share(part), part.rows)
        if group[1] == "":
            yield from ((group, score) for score in _of_version(view, group, part))


def labelled_share(part: GroupView) -> float:
    """Labelled rows / rows of a group, NaN without rows."""
    return math.nan if not part.rows else (part.performance.labelled if part.performance is not None else 0) / part.rows


def _of_version(view: WindowView, group: Group, part: GroupView) -> Iterable[Score]:
    spread = None if part.performance is None else part.performance.parts.get(LABELS)
    if part.performance is None or spread is None or spread.rows <= 0:
        return
    for name, q in DELAYS.items():
        yield Score(SUBJECT, name, quantile(spread.delays, q), spread.rows)
    unusable = spread.rows - part.performance.labelled
    yield Score(SUBJECT, "unusable", float(unusable), spread.rows)
    yield Score(SUBJECT, "unusable_share", unusable / spread.rows, spread.rows, evidence={"unusable": unusable} if unusable else {})
    tests = list(_compared(view, group, part))
    calibration = view.model.calibration
    budget = calibration.window_level(view.model.slide_ms) if calibration.false_alarms_per_week > 0 else LEVEL
    effect, p, evidence = bias(tests, budget)
    if tests:
        yield Score(SUBJECT, "label_bias", effect, spread.rows, evidence=evidence)
        yield Score(SUBJECT, "label_bias_p", p, spread.rows, evidence={**evidence, "effect": effect})


def _compared(view: WindowView, group: Group, part: GroupView) -> Iterable[Compared]:
    """The tests that can be made of what is counted."""
    assert part.performance is not None
    if part.inputs is None:
        return
    found = (
        [of_scores(part.performance.parts[LABELS].scores, part.inputs.parts[SCORES].scores)] if SCORES in part.inputs.parts else []
    )
    if predicted := by_label(part.performance.confusion, 0):
        every = part.inputs.label.counts
        names = [label for label in every if keeps_name(label, part.performance.fold)]
        found.append(of_counts("predicted label", with_names(predicted, names), with_names(every, names)))
    segments: dict[str, tuple[dict[str, int], dict[str, int]]] = {}
    for (version, segment), other in sorted(view.groups.items()):
        if version == group[0] and segment:
            dimension, _, value = segment.partition("=")
            came, every = segments.setdefault(dimension, ({}, {}))
            came[value], every[value] = other.performance.labelled if other.performance is not None else 0, other.rows
    found += [of_counts(f"segment {dimension}", came, every) for dimension, (came, every) in segments.items()]
    found += compared_inputs(part)
    yield from (test for test in found if test is not None)


def is_mature(group: GroupView) -> bool:
    """Whether labels of the configured share of the group's rows have come."""
    least = group.model.min_coverage
    return least <= 0.0 or labelled_share(group) >= least


def matured(view: WindowView, found: dict[Group, list[Finding]]) -> dict[Group, list[Finding]]:
    """The findings, those on performance `unsure` in groups whose labels have not come to the configured share."""
    least = view.model.min_coverage
    if least <= 0.0:
        return found
    out = {}
    for group, findings in found.items():
        part = view.groups.get(group)
        share = math.nan if part is None else labelled_share(part)
        if share >= least:
            out[group] = findings
            continue
        why = f"labels of {share:.3g} of the rows, labels.min_coverage is {least:g}"
        out[group] = [replace(f, level="unsure", rule=why) if f.score.subject in PERFORMANCE else f for f in findings]
    return out
