"""The peers' own code at their defaults, on rows of the same streams: does a window with no change alarm?

Evidently   the test that its DataDriftPreset chooses for the column; any of the columns drifted
NannyML     Jensen-Shannon, mean + 3 standard deviations of the reference's chunks; an alert on any column
Alibi       TabularDrift: KS or chi-square a column, Bonferroni at 0.05 over the columns
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy import stats

Rows = dict[str, np.ndarray]


def evidently(reference: Rows, windows: list[Rows]) -> list[dict[str, float]]:
    """Of each window, by column: the score over its limit (above 1 alarms)."""
    from evidently.legacy.calculations.stattests import get_stattest
    from evidently.legacy.core import ColumnType

    out = []
    kinds = {n: ColumnType.Numerical if v.dtype.kind == "f" else ColumnType.Categorical for n, v in reference.items()}
    sides = {n: pd.Series(v) for n, v in reference.items()}
    for window in windows:
        found = {}
        for name, values in window.items():
            current = pd.Series(values)
            test = get_stattest(sides[name], current, kinds[name], None)
            result = test(sides[name], current, kinds[name], None)
            below = "p_value" in test.display_name
            found[name] = (
                result.actual_threshold / max(result.drift_score, 1e-300) if below else result.drift_score / result.actual_threshold
            )
        out.append(found)
    return out


def nannyml(reference: Rows, windows: list[Rows]) -> list[dict[str, float]]:
    import nannyml as nml

    size = len(next(iter(windows[0].values())))
    names = list(reference)
    categorical = [n for n in names if reference[n].dtype.kind != "f"]
    calculator = nml.UnivariateDriftCalculator(column_names=names, treat_as_categorical=categorical, chunk_size=size)
    calculator.fit(pd.DataFrame(reference))
    frame = pd.concat([pd.DataFrame(w) for w in windows], ignore_index=True)
    table = calculator.calculate(frame).filter(period="analysis").to_df()
    out = []
    for i in range(len(windows)):
        row = table.iloc[i]
        found = {}
        for name in names:
            limit = row[name, "jensen_shannon", "upper_threshold"]
            value = row[name, "jensen_shannon", "value"]
            found[name] = float(value / limit) if limit is not None and limit == limit and limit > 0 else 0.0
        out.append(found)
    return out


def alibi(reference: Rows, windows: list[Rows]) -> list[dict[str, float]]:
    """TabularDrift's own tests (alibi_detect/cd/tabular.py): scipy's ks_2samp(method="asymp") and chi2_contingency over the
    union of categories, at 0.05 over the number of columns."""
    limit = 0.05 / len(reference)
    return [{n: limit / max(_alibi_p(reference[n], window[n]), 1e-300) for n in reference} for window in windows]


def _alibi_p(reference: np.ndarray, current: np.ndarray) -> float:
    if reference.dtype.kind == "f":
        return float(stats.ks_2samp(reference, current, method="asymp").pvalue)
    names = np.unique(np.concatenate([reference, current]))
    table = [[int((side == name).sum()) for name in names] for side in (reference, current)]
    return float(stats.chi2_contingency(table).pvalue)


PEERS = {"Evidently": evidently, "NannyML": nannyml, "Alibi Detect": alibi}
