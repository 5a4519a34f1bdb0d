"""The scores of a model's `profile`: exactly as another tool computes them, for all rows of each version."""

from __future__ import annotations

from collections.abc import Iterable

from detectors.columns import Schema
from detectors.formulas.scores import Side, formula_scores
from detectors.profile import Profile
from detectors.sample import PART, RowSample
from detectors.score import Score
from detectors.window import WindowSummary
from monitor.view import GroupView


def formulas(view: GroupView) -> Iterable[Score]:
    """Nothing without a reference; a segment keeps no rows, so none for segments."""
    tool, asked, own = view.model.formulas, view.model.formula_scores, view.reference
    if tool is None or view.inputs is None or view.segment:
        return []
    if view.profile is not None:
        return formula_scores(tool, _of_profile(view.profile, view.model.schema), _of_summary(view.inputs), own, asked)
    if view.learned is not None:
        return formula_scores(tool, _of_summary(view.learned), _of_summary(view.inputs), own, asked)
    return []


def _of_summary(summary: WindowSummary) -> Side:
    sample = summary.parts.get(PART)
    return Side(None if sample is None else sample.kept, summary.rows, summary.categorical, summary.label)


def _of_profile(profile: Profile, schema: Schema) -> Side:
    """The rows are decoded once for each window: a millisecond for a thousand of them."""
    blob = profile.extras.get(PART)
    sample = None if blob is None else RowSample.from_bytes(blob, schema)
    return Side(None if sample is None else sample.kept, profile.rows, profile.categorical, profile.label)
