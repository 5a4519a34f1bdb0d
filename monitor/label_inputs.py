"""Labelled rows' inputs against all rows', feature by feature: the cells that wait with a prediction, against those that its event filled.

Against a built reference both count in its coarse cells; without one the labelled rows have codes that are coarser than the
cells of the window's own summaries. Categories with more values than are counted by name are left out.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from detectors.adaptive import AdaptiveSummary
from detectors.category import CategorySummary
from detectors.coarse_cells import MISSING, cuttings_of, mark_of
from detectors.columns import Floats
from detectors.free_cells import CodeSums, code_of, counts_of, start_of
from detectors.label_bias import Compared, of_cells, of_counts
from detectors.worst import PART as WORST
from detectors.worst import WorstCells
from detectors.worst_errors import PART, WorstErrors
from monitor.view import GroupView

LEAST_KNOWN = (
    0.99  # of the labelled rows must have brought their cells: predictions that waited before the config named them have none
)


def compared_inputs(part: GroupView) -> Iterable[Compared]:
    """A comparison for each feature that the config names and that can be compared."""
    if part.performance is None or part.inputs is None:
        return
    errors = part.performance.parts.get(PART)
    if not isinstance(errors, WorstErrors):
        return
    found = _in_reference(errors, part) if part.profile is not None else _without_reference(errors, part)
    yield from (test for test in found if test is not None)


def _known(labelled: float, part: GroupView) -> bool:
    return part.performance is not None and labelled >= LEAST_KNOWN * part.performance.rows


def _in_reference(errors: WorstErrors, part: GroupView) -> Iterable[Compared | None]:
    assert part.inputs is not None
    cells, cuttings = part.inputs.parts.get(WORST), cuttings_of(errors.features, part.profile)
    counted = errors.counts.get(mark_of(errors.features, cuttings))
    if not isinstance(cells, WorstCells) or counted is None or cells.features != errors.features:
        return
    for i, feature in enumerate(errors.features):
        if feature not in cuttings:
            continue
        labelled, every, cutting = counted[0][i, :, 0], cells.singles[i, :, 0], cuttings[feature]
        if not _known(float(labelled.sum()), part):
            continue
        names = cutting.cells()
        if cutting.edges is None:
            sides = [{name: int(rows) for name, rows in zip(names, side, strict=True) if name} for side in (labelled, every)]
            yield of_counts(feature, *sides)
        else:
            held = [*range(len(cutting.edges) + 1), MISSING]
            yield of_cells(feature, labelled[held], every[held], names)


def _without_reference(errors: WorstErrors, part: GroupView) -> Iterable[Compared | None]:
    assert part.inputs is not None
    for feature, labelled in zip(errors.features, errors.free, strict=False):
        column = part.inputs.numeric.get(feature) or part.inputs.categorical.get(feature)
        if not isinstance(column, AdaptiveSummary | CategorySummary) or not _known(_rows(labelled), part):
            continue
        every = counts_of(column)
        if every is None:
            continue
        if isinstance(column, CategorySummary):
            yield _of_names(feature, labelled, column)
        else:
            shift = max(labelled.shift, every.shift)
            sides = [labelled.coarser(shift), every.coarser(shift)]
            keys = np.union1d(sides[0].keys, sides[1].keys)
            names = [f"{start_of(int(key) << shift):.4g}" for key in keys]
            yield of_cells(feature, _on(keys, sides[0]), _on(keys, sides[1]), names)


def _rows(sums: CodeSums) -> float:
    return float(sums.sums[:, 0].sum() + sums.missing[0])


def _on(keys: np.ndarray, side: CodeSums) -> Floats:
    out = np.zeros(len(keys) + 1)
    out[np.searchsorted(keys, side.keys)] = side.sums[:, 0]
    out[-1] = side.missing[0]
    return out


def _of_names(feature: str, labelled: CodeSums, column: CategorySummary) -> Compared | None:
    """By value; values whose codes are one are told together."""
    names: dict[int, list[str]] = {}
    for value in sorted(column.counts):
        names.setdefault(code_of(value) >> labelled.shift, []).append(value)
    found = dict(zip(labelled.keys.tolist(), labelled.sums[:, 0].tolist(), strict=True))
    came = {", ".join(values): int(found.get(code, 0)) for code, values in names.items()}
    every = {", ".join(values): sum(column.counts[v] for v in values) for values in names.values()}
    gone = {"missing": int(labelled.missing[0])}, {"missing": column.missing}
    return of_counts(feature, came | gone[0], every | gone[1])
