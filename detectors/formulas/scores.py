"""The scores of a formula profile for all features of a window: numbers from the sample of rows, categories from the counts,
or from the sample too where they have more values than are counted by name.

Equal to the tool's own output where all rows are in the samples; where they are not, the evidence says how many were.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

import numpy as np

from detectors.category import CategorySummary
from detectors.columns import Columns, Floats
from detectors.formulas import FORMULAS, alibi, evidently
from detectors.formulas.common import Found
from detectors.profile import PREDICTION
from detectors.score import NUMERIC_ERRORS, Score

Result = TypeVar("Result")
ALL = "features"  # the subject of what a tool says of all features together
UNNAMED = (
    "more values than are counted by name, and no rows are kept to count them by; build the reference with `profile` in the config"
)
NO_ROWS = "the reference holds no rows; a profile needs one that `driftd reference build` made with `profile` in the config"


@dataclass(frozen=True, slots=True)
class Side:
    """A reference or a window: its sampled rows (None: none kept), its rows in all, and its counts of categories."""

    rows: Columns | None
    total: int
    categories: Mapping[str, CategorySummary]
    label: CategorySummary


def formula_scores(tool: str, reference: Side, current: Side, name: str, asked: tuple[str, ...] = ()) -> list[Score]:
    """Scores named TOOL.STATISTIC; name is the reference's. asked: of the tool's scores that are computed where they are named;
    slow ones are not computed here.

    Raises KeyError for an unknown tool or score.
    """
    formula = FORMULAS[tool]
    asked = tuple(score for score in asked if not formula.asked[score].slow)
    out: list[Score] = []
    tests: dict[str, tuple[Found, int, int]] = {}
    for subject, before, after in _numbers(reference, current):
        if before is None:
            out.append(_nothing(tool, subject, current.total, name, NO_ROWS))
        elif len(before) == 0 or len(after) == 0:
            out.append(_nothing(tool, subject, len(after), name, "all its values are missing"))
        else:
            values = len(np.unique(np.concatenate([before, after])))
            evidence = _sampled(reference, current)
            found = _of_column(tool, subject, formula.numeric, (before, after), len(after), name, evidence)
            out.extend(found)
            tests[subject] = _values(tool, found), len(before), values
            out.extend(_asked(tool, asked, "numeric", subject, (before, after), len(after), name, evidence))
    for subject, ref, cur in _categories(reference, current):
        evidence = {}
        if ref.rest is not None or cur.rest is not None:
            if any(rows is None or subject not in (PREDICTION, *rows.categorical) for rows in (reference.rows, current.rows)):
                out.append(_nothing(tool, subject, cur.rows, name, UNNAMED))
                continue
            ref, cur = (_sample_counts(rows, subject) for rows in (reference.rows, current.rows) if rows is not None)
            evidence = _sampled(reference, current)
        counts, others = _counts(ref), _counts(cur)
        if not counts or not others:
            out.append(_nothing(tool, subject, cur.rows, name, "all its values are missing"))
        else:
            of = partial(formula.category, missing=(ref.missing, cur.missing)) if formula.counts_missing else formula.category
            found = _of_column(tool, subject, of, (counts, others), cur.rows, name, evidence)
            out.extend(found)
            tests[subject] = _values(tool, found), -ref.rows, len(set(counts) | set(others))
            out.extend(_asked(tool, asked, "category", subject, (counts, others), cur.rows, name, evidence))
    silent = {score.subject for score in out if math.isnan(score.value) and score.name == f"{tool}.{next(iter(formula.names))}"}
    out.extend(_together(tool, {s: test for s, test in tests.items() if s not in silent}, current.total, name, silent))
    return out


def slow_formula_scores(
    tool: str, reference: Columns, window: Columns, rows: tuple[int, int], name: str, asked: list[str]
) -> list[Score]:
    """Those of the asked scores that take long, all from samples, categories too. rows: of reference and window in all."""
    sides = []
    for sample, total in zip((reference, window), rows, strict=True):
        counts = {feature: _sample_counts(sample, feature) for feature in sample.categorical}
        sides.append(Side(sample, total, counts, CategorySummary()))
    before, after = sides
    evidence = _sampled(before, after)
    out: list[Score] = []
    for subject, ref, cur in _numbers(before, after):
        if ref is not None and len(ref) and len(cur):
            out.extend(_asked(tool, tuple(asked), "numeric", subject, (ref, cur), len(cur), name, evidence))
    for subject, known, seen in _categories(before, after):
        pair = _counts(known), _counts(seen)
        if all(pair):
            out.extend(_asked(tool, tuple(asked), "category", subject, pair, seen.rows, name, evidence))
    return out


def _numbers(reference: Side, current: Side) -> Iterator[tuple[str, Floats | None, Floats]]:
    """Finite values of both sides of each numeric column; None for a reference without rows."""
    if current.rows is None:
        return
    for subject in (*current.rows.numeric, PREDICTION):
        after = _finite(current.rows, subject)
        if subject == PREDICTION and not len(after):
            continue
        if reference.rows is None:
            yield subject, None, after
        elif subject == PREDICTION or subject in reference.rows.numeric:
            yield subject, _finite(reference.rows, subject), after


def _finite(rows: Columns, subject: str) -> Floats:
    values = rows.score if subject == PREDICTION else rows.numeric[subject]
    out: Floats = values[np.isfinite(values)]
    return out


def _categories(reference: Side, current: Side) -> Iterator[tuple[str, CategorySummary, CategorySummary]]:
    for subject, counts in current.categories.items():
        if subject in reference.categories:
            yield subject, reference.categories[subject], counts
    scored = current.rows is not None and bool(np.isfinite(current.rows.score).any())
    if current.label.rows and not scored:
        yield PREDICTION, reference.label, current.label


def _sample_counts(rows: Columns, subject: str) -> CategorySummary:
    """The counts of all values of the sampled rows."""
    out = CategorySummary(max(1, rows.rows))
    out.add(rows.label if subject == PREDICTION else rows.categorical[subject])
    return out


def _counts(summary: CategorySummary) -> dict[str, int]:
    return {value: rows for value, rows in summary.counts.items() if rows > 0}


def _quiet(function: Callable[[Any, Any], Result], before: object, after: object) -> Result:
    """The tool's formula, without the warnings of numpy and scipy about what it divides by."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        return function(before, after)


def _of_column(
    tool: str, subject: str, formula: Callable[..., Found], sides: tuple[object, object], rows: int, name: str,
    evidence: dict[str, object],
) -> list[Score]:  # fmt: skip
    """A column that the tool has no number for, as where it can make no bins of whole numbers beyond 2^53, costs no other its own."""
    try:
        found = _quiet(formula, *sides)
    except NUMERIC_ERRORS as error:
        return [_nothing(tool, subject, rows, name, f"{tool} has no number for these values: {error}")]
    return [Score(subject, f"{tool}.{statistic}", value, rows, name, evidence) for statistic, value in found.items()]


def _values(tool: str, found: list[Score]) -> Found:
    return {score.name.removeprefix(f"{tool}."): score.value for score in found}


def _asked(
    tool: str, asked: tuple[str, ...], kind: str, subject: str, sides: tuple[object, object], rows: int, name: str,
    evidence: dict[str, object],
) -> Iterator[Score]:  # fmt: skip
    """Those of the asked scores that the tool has for the kind; one that it refuses has no value, and the reason."""
    for statistic in asked:
        function = getattr(FORMULAS[tool].asked[statistic], kind)
        if function is None:
            continue
        try:
            value, why = _quiet(function, *sides), {}
        except NUMERIC_ERRORS as error:
            value, why = math.nan, {"reason": str(error)}
        yield Score(subject, f"{tool}.{statistic}", value, rows, name, {**evidence, **why})


def _nothing(tool: str, subject: str, rows: int, name: str, why: str) -> Score:
    first = next(iter(FORMULAS[tool].names))
    return Score(subject, f"{tool}.{first}", math.nan, rows, name, {"reason": why})


def _sampled(reference: Side, current: Side) -> dict[str, object]:
    """What of the rows the numbers rest on, where it is not all of them."""
    out: dict[str, object] = {}
    for key, side in (("reference_rows", reference), ("rows", current)):
        kept = 0 if side.rows is None else side.rows.rows
        if kept < side.total:
            out[key] = f"{kept} of {side.total}"
    return out


def _together(tool: str, tests: dict[str, tuple[Found, int, int]], rows: int, name: str, silent: set[str]) -> list[Score]:
    """What the tool says of all features; prediction is none of them. Rows are negative for categories. silent: have no number."""
    left_out: dict[str, object] = {"left_out": sorted(silent - {PREDICTION})} if silent - {PREDICTION} else {}
    features = {subject: test for subject, test in tests.items() if subject != PREDICTION}
    if not features:
        return []
    if tool == "alibi":
        p_values = [found["p_val"] for found, _, _ in features.values()]
        limit: dict[str, object] = {"limit": alibi.P_VALUE / len(features)}
        return [
            Score(ALL, "alibi.is_drift", float(alibi.bonferroni(p_values)), rows, name, limit | left_out),
            Score(ALL, "alibi.is_drift_fdr", float(alibi.false_discovery_rate(p_values)), rows, name, left_out),
        ]
    if tool == "evidently":
        hits = 0
        for found, n, values in features.values():
            test = evidently.default_test(abs(n), values, "numeric" if n > 0 else "category")
            hits += evidently.drifted(test, found["drift_score"])
        return [Score(ALL, "evidently.share_drifted", hits / len(features), rows, name, left_out)]
    return []
