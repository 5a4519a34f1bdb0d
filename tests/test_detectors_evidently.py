"""Drift scores against Evidently's own functions on the same rows."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from detectors.columns import Columns, DictColumn, Schema
from detectors.profile import Profile
from detectors.scoring import score_window
from detectors.window import WindowSummary


def columns(frame):
    n = len(frame)
    return Columns(
        n, {"x": frame["x"].to_numpy(float)}, {"c": DictColumn.from_list(frame["c"].tolist())}, np.full(n, np.nan),
        DictColumn.missing(n), np.full(n, np.nan), np.zeros(n, dtype=bool),
    )  # fmt: skip


@pytest.mark.parametrize(("shift", "scale"), [(0.0, 1.0), (0.3, 1.0), (0.0, 1.5)])
def test_drift_scores_are_evidentlys(shift, scale):
    from evidently.legacy.calculations.stattests import chi_stat_test, ks_stat_test, wasserstein_stat_test
    from evidently.legacy.core import ColumnType

    rng = np.random.default_rng(6)
    reference = pd.DataFrame({"x": rng.gamma(2.0, 3.0, 20_000), "c": rng.choice(list("abc"), 20_000)})
    current = pd.DataFrame(
        {"x": rng.gamma(2.0, 3.0, 4_000) * scale + shift, "c": rng.choice(list("abc"), 4_000, p=[0.5, 0.3, 0.2])}
    )
    schema = Schema(("x",), ("c",))
    profile = Profile.build(columns(reference), schema, "r")
    summary = WindowSummary.empty(schema, profile)
    summary.add(columns(current))
    ours = {(s.subject, s.name): s.value for s in score_window(summary, profile, None, 60.0)}

    def theirs(test, column, kind):
        return test.func(reference[column], current[column], kind, 0.05)[0]

    numerical, categorical = ColumnType.Numerical, ColumnType.Categorical
    assert ours["x", "wasserstein"] == pytest.approx(theirs(wasserstein_stat_test, "x", numerical), rel=0.01, abs=1e-3)
    p = theirs(ks_stat_test, "x", numerical)
    assert ours["x", "ks_p"] == pytest.approx(p, abs=0.05) if p > 1e-3 else ours["x", "ks_p"] < 1e-2
    assert ours["c", "chi2_p"] < 1e-6 and theirs(chi_stat_test, "c", categorical) < 1e-6
