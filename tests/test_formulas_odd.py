"""Formula profiles at values that tools refuse or round: each column has the tool's own number, or the reason why it has none."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from detectors.category import CategorySummary
from detectors.columns import Columns, DictColumn
from detectors.formulas import FORMULAS, evidently, scouter
from detectors.formulas.scores import ALL, Side, formula_scores

ODD = {
    "beyond 2^53": lambda r: 2.0**60 + r.randint(0, 9, 300) * 256.0,
    "the range overflows": lambda r: np.append(r.normal(0, 1, 299), r.choice([-1.5e308, 1.5e308])),
    "cubes overflow": lambda r: r.normal(0, 1, 300) * 1e150,
    "cubes vanish": lambda r: r.normal(0, 1, 300) * 1e-160,
    "one value": lambda r: np.full(300, 3.0),
}


def side(**numeric: np.ndarray) -> Side:
    n = len(next(iter(numeric.values())))
    nothing = np.full(n, np.nan)
    rows = Columns(n, numeric, {}, nothing, DictColumn.missing(n), nothing, np.zeros(n, dtype=bool))
    return Side(rows, n, {}, CategorySummary())


@pytest.mark.parametrize("tool", FORMULAS)
@pytest.mark.parametrize("case", ODD)
def test_a_column_that_a_tool_cannot_take_leaves_the_others_theirs_and_says_why(tool, case):
    state = np.random.RandomState(6)
    sane = state.normal(0, 1, 300), state.normal(0.4, 1, 300)
    odd = ODD[case](state), ODD[case](np.random.RandomState(8))
    before, after = (side(odd=o, sane=s) for o, s in zip(odd, sane, strict=True))
    asked = tuple(FORMULAS[tool].asked)
    found = {(s.subject, s.name): s for s in formula_scores(tool, before, after, "ref", asked)}
    alone = formula_scores(tool, side(sane=sane[0]), side(sane=sane[1]), "ref", asked)
    for score in alone:
        if score.subject == "sane":
            there = found["sane", score.name]
            assert there == score or (there.evidence["reason"] and there.evidence == score.evidence)
    values = [s for s in found.values() if s.subject == "odd"]
    assert values and all(math.isfinite(s.value) or s.evidence["reason"] for s in alone)
    if case in ("beyond 2^53", "the range overflows"):
        assert all(s.evidence["reason"] for s in values if math.isnan(s.value) and s.name.endswith(tuple(FORMULAS[tool].names)))
    for score in values:
        if score.name.endswith("_p") and not math.isnan(score.value):
            assert 0.0 <= score.value <= 1.0, score


def test_what_is_said_of_all_features_names_those_that_it_leaves_out():
    state = np.random.RandomState(4)
    x, gone = state.normal(0, 1, 400), np.full(400, np.nan)
    for tool, name in (("evidently", "share_drifted"), ("alibi", "is_drift"), ("alibi", "is_drift_fdr")):
        found = {s.name: s for s in formula_scores(tool, side(x=x, y=x), side(x=x, y=gone), "r") if s.subject == ALL}
        assert found[f"{tool}.{name}"].evidence["left_out"] == ["y"]
        found = {s.name: s for s in formula_scores(tool, side(x=x, y=x), side(x=x, y=x), "r") if s.subject == ALL}
        assert "left_out" not in found[f"{tool}.{name}"].evidence


def test_kuipers_p_value_is_none_where_frouros_has_none():
    """Frouros 0.9.0 gives NaN, of a fraction of a negative number's power; its real part was taken once, 1.0008."""
    asked = FORMULAS["frouros"].asked["kuiper_p"].numeric
    for r, c in ((np.full(37, 4.2), np.full(11, 4.2)), (np.append(np.zeros(1999), 1.0), np.append(np.zeros(299), 1.0))):
        with pytest.raises(ValueError, match="not defined"):
            asked(r, c)


def test_evidentlys_hellinger_distance_of_great_values_is_rounded_as_there():
    from evidently.legacy.calculations.stattests import hellinger_stat_test
    from evidently.legacy.core import ColumnType

    state = np.random.RandomState(9)
    r, c = 1e12 + state.normal(0, 1, 1900), 1e12 + state.normal(0.2, 1, 210)
    want = hellinger_stat_test.func(pd.Series(r), pd.Series(c), ColumnType.Numerical, 0.1)[0]
    assert evidently.numeric(r, c)["hellinger"] == pytest.approx(want, abs=1e-9)


def test_scouters_deciles_are_rounded_in_its_order_where_many_rows_have_one_value():
    """As scouter-ml 0.25.0 printed it."""
    state = np.random.RandomState(5)
    r, c = state.randint(0, 30, 2700) / 10.0, state.randint(0, 33, 900) / 10.0
    assert scouter.numeric(r, c)["psi"] == pytest.approx(0.08835883672774339, abs=1e-9)
