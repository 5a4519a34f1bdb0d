"""Formula profiles against the tools themselves on the same rows; the tools that cannot be put beside the others, by their own
printed numbers (tests/peers)."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from detectors.category import CategorySummary
from detectors.columns import Columns, DictColumn
from detectors.formulas import FORMULAS, alibi, azure, evidently, evidently_tests, nannyml, sagemaker, scouter
from detectors.formulas.scores import ALL, Side, formula_scores, slow_formula_scores
from detectors.score_names import SCORE_NAMES
from tests.peers import inputs

NUMBERS = {
    "few rows": lambda r: (r.normal(0, 1, 300), r.normal(0.2, 1, 200)),
    "many rows": lambda r: (r.gamma(2, 3, 3000), r.gamma(2.2, 3, 900)),
    "more than ten thousand": lambda r: (r.normal(0, 1, 12_000), r.normal(0.3, 1.4, 900)),
    "few values, few rows": lambda r: (r.integers(0, 4, 500).astype(float), r.integers(0, 4, 300).astype(float)),
    "few values, many rows": lambda r: (r.integers(0, 4, 2000).astype(float), r.integers(1, 5, 300).astype(float)),
    "two values": lambda r: (r.integers(0, 2, 500).astype(float), (r.random(300) < 0.6).astype(float)),
    "heavy tail": lambda r: (r.lognormal(0, 1.5, 2000), r.lognormal(0.3, 1.5, 500)),
    "apart": lambda r: (r.normal(0, 1, 2000), r.normal(9, 1, 500)),
}
CATEGORIES = {
    "few rows": (500, 300, "abcd", "abcd"),
    "many rows": (3000, 700, "abcd", "abcd"),
    "new": (3000, 700, "abc", "abcd"),
    "gone": (800, 700, "abcd", "abc"),
    "two": (800, 700, "ab", "ab"),
}


def numbers(case: str) -> tuple[np.ndarray, np.ndarray]:
    return NUMBERS[case](np.random.default_rng(7))


def categories(case: str) -> tuple[list[str], list[str]]:
    n, m, before, after = CATEGORIES[case]
    rng = np.random.default_rng(8)
    weights = np.linspace(2, 1, len(after))
    return rng.choice(list(before), n).tolist(), rng.choice(list(after), m, p=weights / weights.sum()).tolist()


def counts(values: list[str]) -> dict[str, int]:
    return pd.Series(values).value_counts().to_dict()


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("case", NUMBERS)
def test_evidentlys_numbers(case):
    from evidently.legacy.calculations import stattests as st
    from evidently.legacy.calculations.stattests.registry import _get_default_stattest
    from evidently.legacy.core import ColumnType

    r, c = (pd.Series(side) for side in numbers(case))
    ours = evidently.numeric(r.to_numpy(), c.to_numpy())
    default = _get_default_stattest(r, c, ColumnType.Numerical)
    assert evidently.default_test(len(r), pd.concat([r, c]).nunique(), "numeric") == default.name
    value, said = default.func(r, c, ColumnType.Numerical, default.default_threshold)
    assert ours["drift_score"] == pytest.approx(value, abs=1e-9)
    assert evidently.drifted(default.name, ours["drift_score"]) == said
    tests = {
        "psi": st.psi_stat_test, "jensenshannon": st.jensenshannon_stat_test, "kl_div": st.kl_div_stat_test,
        "hellinger": st.hellinger_stat_test, "wasserstein": st.wasserstein_stat_test,
    }  # fmt: skip
    assert set(tests) | {"drift_score"} == set(ours)
    for name, test in tests.items():
        assert ours[name] == pytest.approx(test.func(r.copy(), c.copy(), ColumnType.Numerical, 0.1)[0], abs=1e-9), name


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("case", CATEGORIES)
def test_evidentlys_categories(case):
    from evidently.legacy.calculations import stattests as st
    from evidently.legacy.calculations.stattests.registry import _get_default_stattest
    from evidently.legacy.core import ColumnType

    before, after = categories(case)
    r, c = pd.Series(before), pd.Series(after)
    ours = evidently.category(counts(before), counts(after))
    default = _get_default_stattest(r, c, ColumnType.Categorical)
    assert ours["drift_score"] == pytest.approx(default.func(r, c, ColumnType.Categorical, 0.05)[0], abs=1e-9)
    tests = {
        "psi": st.psi_stat_test, "jensenshannon": st.jensenshannon_stat_test, "kl_div": st.kl_div_stat_test,
        "hellinger": st.hellinger_stat_test,
    }  # fmt: skip
    for name, test in tests.items():
        assert ours[name] == pytest.approx(test.func(r.copy(), c.copy(), ColumnType.Categorical, 0.1)[0], abs=1e-9), name


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("case", inputs.NUMBERS)
def test_evidentlys_other_tests_of_numbers(case):
    from evidently.legacy.calculations.stattests.registry import get_stattest
    from evidently.legacy.core import ColumnType

    pair = inputs.number_pairs()[case]
    series = [pd.Series(side) for side in pair]
    asked = {name: a.numeric for name, a in FORMULAS["evidently"].asked.items() if a.numeric is not None}
    assert len(asked) == 7
    for name, function in asked.items():
        test = get_stattest(*series, ColumnType.Numerical, name)
        try:
            want = test.func(*(s.copy() for s in series), ColumnType.Numerical, 0.1)[0]
        except ValueError:
            with pytest.raises(ValueError, match="Evidently"):
                function(*pair)
        else:
            assert function(*pair) == pytest.approx(want, abs=1e-6), name


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("case", inputs.CATEGORIES)
def test_evidentlys_other_tests_of_categories(case):
    from evidently.legacy.calculations.stattests.registry import get_stattest
    from evidently.legacy.core import ColumnType

    pair = inputs.category_pairs()[case]
    series = [pd.Series([v for v in sorted(side) for _ in range(side[v])]) for side in pair]
    asked = {name: a.category for name, a in FORMULAS["evidently"].asked.items() if a.category is not None}
    assert len(asked) == 5
    for name, function in asked.items():
        if name == "TVD" and case not in ("three", "new", "rare of two"):
            continue  # the tool takes seconds
        test = get_stattest(*series, ColumnType.Categorical, name)
        try:
            want = test.func(*(s.copy() for s in series), ColumnType.Categorical, 0.1)[0]
        except ValueError:
            with pytest.raises(ValueError, match="Evidently"):
                function(*pair)
        else:
            # of equal distances Evidently counts those that rounding, in the order of Python's hashes, leaves greater
            assert function(*pair) == pytest.approx(want, abs=0.006 if name == "TVD" else 1e-6), name


def test_the_total_variation_of_many_rows_has_the_law_of_the_permutations():
    few, many = ({"a": 4000, "b": 6000}, {"a": 4050, "b": 5950}), ({"a": 4000, "b": 6000}, {"a": 4051, "b": 5951})
    exact, drawn = (evidently_tests.total_variation(*pair) for pair in (few, many))
    assert exact == pytest.approx(drawn, abs=0.05) and 0.3 < exact < 0.7


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("case", NUMBERS)
def test_nannymls_numbers(case):
    from nannyml.drift.univariate.methods import FeatureType, MethodFactory
    from nannyml.thresholds import ConstantThreshold

    r, c = numbers(case)
    ours = nannyml.numeric(r, c)
    assert len(ours) == 4
    for name, value in ours.items():
        method = MethodFactory.create(name, FeatureType.CONTINUOUS, chunker=None, threshold=ConstantThreshold())
        method._fit(pd.Series(r))
        assert value == pytest.approx(method._calculate(pd.Series(c)), abs=1e-6), name


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("case", CATEGORIES)
def test_nannymls_categories(case):
    from nannyml.drift.univariate.methods import FeatureType, MethodFactory
    from nannyml.thresholds import ConstantThreshold

    before, after = categories(case)
    ours = nannyml.category(counts(before), counts(after))
    assert len(ours) == 4
    for name, value in ours.items():
        method = MethodFactory.create(name, FeatureType.CATEGORICAL, chunker=None, threshold=ConstantThreshold())
        method._fit(pd.Series(before))
        assert value == pytest.approx(method._calculate(pd.Series(after)), abs=1e-6), name


PEERS = {path.stem: json.loads(path.read_text()) for path in sorted((Path(__file__).parent / "peers").glob("*.json"))}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("tool", PEERS)
def test_the_numbers_that_a_tool_printed(tool):
    """tests/peers/printed.py printed them, where the tool itself was installed."""
    pairs = {"numbers": inputs.number_pairs(), "counts": inputs.category_pairs()}
    formula, seen = FORMULAS[tool], set()
    for key, wanted in PEERS[tool]["numbers"].items():
        kind, name = key.split("/")
        pair = pairs[kind][name]
        found = (formula.numeric if kind == "numbers" else formula.category)(*pair)
        for score, want in wanted.items():
            asked = formula.asked.get(score)
            value = found[score] if asked is None else (asked.numeric if kind == "numbers" else asked.category)(*pair)
            assert value == pytest.approx(want, rel=1e-6, abs=1e-6, nan_ok=True), f"{key}: {score}"
            seen.add(score)
    derived = {"is_drift", "is_drift_fdr", "psi_threshold"} | ({"wasserstein", "ks_p"} if tool == "azure" else set())
    assert seen | derived >= {*formula.names, *formula.asked}


def test_alibi_detects_corrections_over_all_features():
    said = set()
    for name, want in PEERS["alibi"]["tables"].items():
        before, after = inputs.tables()[name]
        p = [FORMULAS["alibi"].category(*({str(v): int(n) for v, n in zip(*np.unique(side[:, 0], return_counts=True), strict=True)}
                                          for side in (before, after)))["p_val"]]  # fmt: skip
        p += [FORMULAS["alibi"].numeric(before[:, i], after[:, i])["p_val"] for i in range(1, before.shape[1])]
        assert {"bonferroni": alibi.bonferroni(p), "fdr": alibi.false_discovery_rate(p)} == want, name
        said.add((want["bonferroni"], want["fdr"]))
    assert len(said) > 1
    assert not alibi.false_discovery_rate([0.05] * 4) and alibi.false_discovery_rate([0.04999] * 4)  # on the line is none


def test_scouters_documented_example():
    before, after = [1000, 1500, 1200, 1300], [800, 1400, 1600, 1200]
    found = scouter.category(dict(zip("abcd", before, strict=True)), dict(zip("abcd", after, strict=True)))
    assert found == {"psi": pytest.approx(0.034921, abs=1e-6), "psi_threshold": pytest.approx(0.0015629, abs=1e-6)}


def test_sagemakers_robust_distance_is_that_of_scipy_less_chance():
    from scipy.stats import ks_2samp

    for case in NUMBERS:
        r, c = numbers(case)
        found = sagemaker.numeric(r, c)
        assert found["linf"] == pytest.approx(ks_2samp(r, c).statistic)
        assert found["linf_robust"] == pytest.approx(max(0.0, found["linf"] - 1.8 * math.sqrt(1 / len(r) + 1 / len(c))))
    assert sagemaker.category({"a": 500, "b": 500}, {"a": 300, "b": 600, "c": 100})["linf"] == pytest.approx(0.2)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("case", NUMBERS)
def test_azures_numbers_by_scipy(case):
    from scipy.spatial.distance import jensenshannon
    from scipy.stats import ks_2samp, wasserstein_distance

    r, c = numbers(case)
    bins = math.ceil(math.log2(min(len(r), len(c))) + 1)
    low, high = min(r.min(), c.min()), max(r.max(), c.max())
    edges = [low, *(low + i * ((high - low) / bins) for i in range(1, bins + 1))]  # the last one may lie below the greatest value
    p, q = np.histogram(r, edges)[0], np.histogram(c, edges)[0]
    found = azure.numeric(r, c)
    assert found["jensen_shannon"] == pytest.approx(jensenshannon(p, q, base=2), abs=1e-9)
    a, b = (p + 1) / (len(r) + bins), (q + 1) / (len(c) + bins)
    assert found["psi"] == pytest.approx(((b - a) * np.log(b / a)).sum(), abs=1e-9)
    assert found["wasserstein"] == pytest.approx(wasserstein_distance(r, c) / max(r.std(ddof=1), 0.001), abs=1e-9)
    assert found["ks_p"] == pytest.approx(ks_2samp(r, c).pvalue if len(r) < 10_000 else math.nan, nan_ok=True)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("case", CATEGORIES)
def test_azures_categories_by_scipy(case):
    from scipy.stats import chisquare

    before, after = categories(case)
    names = sorted({*before, *after})
    r, c = (np.array([side.count(v) for v in names]) for side in (before, after))
    found = azure.category(counts(before), counts(after))
    assert found["chi2_p"] == pytest.approx(chisquare(c, r / r.sum() * c.sum()).pvalue, abs=1e-9)
    assert sorted(found) == ["chi2_p", "jensen_shannon", "psi"]


def columns(x: np.ndarray, c: list[str]) -> Columns:
    n = len(x)
    nothing = np.full(n, np.nan)
    category = {"c": DictColumn.from_list(c)}
    return Columns(n, {"x": x}, category, nothing, DictColumn.missing(n), nothing, np.zeros(n, dtype=bool))


def side(rows: Columns | None, total: int, c: list[str]) -> Side:
    summary = CategorySummary()
    summary.add(DictColumn.from_list(c))
    return Side(rows, total, {"c": summary}, CategorySummary())


@pytest.mark.parametrize("tool", FORMULAS)
def test_every_profile_gives_named_scores_for_each_feature_and_says_what_they_rest_on(tool):
    rng = np.random.default_rng(3)
    r, c = rng.normal(size=400), np.append(rng.normal(size=299), [np.nan])
    before, after = rng.choice(list("ab"), 400).tolist(), rng.choice(list("abz"), 300).tolist()
    asked = tuple(FORMULAS[tool].asked)
    found = formula_scores(tool, side(columns(r, before), 400, before), side(columns(c, after), 300, after), "ref", asked)
    names = {f"{tool}.{name}" for name in (*FORMULAS[tool].names, *asked)}
    assert {s.subject for s in found} - {ALL} == {"x", "c"} and {s.name for s in found} <= names <= set(SCORE_NAMES)
    plain = [s for s in found if s.subject != ALL]
    assert all(s.reference == "ref" and math.isnan(s.value) == ("reason" in s.evidence) for s in plain if s.evidence)
    slow = [name for name in asked if FORMULAS[tool].asked[name].slow]
    others = ("is_drift", "is_drift_fdr", "share_drifted", *slow)
    assert {s.name for s in plain} == names - {f"{tool}.{name}" for name in others}
    late = slow_formula_scores(tool, columns(r, before), columns(c, after), (400, 9000), "ref", slow)
    assert {s.name for s in late} == {f"{tool}.{name}" for name in slow} and {s.subject for s in late} <= {"x", "c"}
    assert all(math.isfinite(s.value) and s.evidence == {"rows": "300 of 9000"} for s in late)
    part = formula_scores(tool, side(columns(r, before), 9000, before), side(columns(c, after), 300, after), "ref")
    assert {s.evidence.get("reference_rows") for s in part if s.subject == "x"} == {"400 of 9000"}


@pytest.mark.filterwarnings("ignore")
def test_more_values_than_are_counted_by_name_are_counted_from_the_sample_as_the_tools_do():
    from evidently.legacy.calculations import stattests as st
    from evidently.legacy.core import ColumnType
    from nannyml.drift.univariate.methods import FeatureType, MethodFactory
    from nannyml.thresholds import ConstantThreshold

    def of_nannyml(name):
        method = MethodFactory.create(name, FeatureType.CATEGORICAL, chunker=None, threshold=ConstantThreshold())
        method._fit(r)
        return method._calculate(c)

    rng = np.random.default_rng(4)
    before, after = ([f"v{i}" for i in rng.integers(0, 400, n).tolist()] for n in (5000, 800))
    numbers_of = rng.normal(size=5000), rng.normal(size=800)
    sides = [side(columns(x, c), len(c), c) for x, c in zip(numbers_of, (before, after), strict=True)]
    assert all(part.categories["c"].rest is not None for part in sides)
    r, c = pd.Series(before), pd.Series(after)
    for tool, name, expected in (
        ("evidently", "psi", st.psi_stat_test.func(r.copy(), c.copy(), ColumnType.Categorical, 0.1)[0]),
        ("evidently", "jensenshannon", st.jensenshannon_stat_test.func(r.copy(), c.copy(), ColumnType.Categorical, 0.1)[0]),
        ("nannyml", "chi2", of_nannyml("chi2")),
        ("nannyml", "jensen_shannon", of_nannyml("jensen_shannon")),
    ):
        found = {(s.subject, s.name): s for s in formula_scores(tool, sides[0], sides[1], "ref")}["c", f"{tool}.{name}"]
        assert found.value == pytest.approx(expected, abs=1e-9) and found.evidence == {}
    slow = slow_formula_scores("frouros", sides[0].rows, sides[1].rows, (5000, 9000), "ref", ["mmd"])
    assert all(s.evidence["rows"] == "800 of 9000" for s in slow)
    part = formula_scores("evidently", side(sides[0].rows, 9000, before), sides[1], "ref")
    assert {s.evidence["reference_rows"] for s in part if s.subject == "c"} == {"5000 of 9000"}
    (nothing,) = (s for s in formula_scores("evidently", side(None, 5000, before), sides[1], "ref") if s.subject == "c")
    assert math.isnan(nothing.value) and "no rows are kept" in nothing.evidence["reason"]


@pytest.mark.parametrize("tool", FORMULAS)
@pytest.mark.parametrize("bad", ["constant", "one row", "all missing", "no reference rows", "apart"])
def test_bad_input_never_crashes_a_profile(tool, bad):
    x = {"constant": np.ones(50), "one row": np.ones(1), "all missing": np.full(50, np.nan), "apart": np.arange(50.0) + 99}
    current = columns(x.get(bad, np.arange(50.0)), ["a"] * len(x.get(bad, np.arange(50.0))))
    reference = None if bad == "no reference rows" else columns(np.ones(60) if bad == "constant" else np.arange(60.0), ["a"] * 60)
    found = formula_scores(
        tool, side(reference, 60, ["a"] * 60), side(current, current.rows, ["a"] * current.rows), "ref", tuple(FORMULAS[tool].asked)
    )
    if bad in ("all missing", "no reference rows"):
        assert [s.evidence["reason"] for s in found if s.subject == "x"] and all(
            math.isnan(s.value) for s in found if s.subject == "x"
        )


def test_alibi_and_evidently_say_what_holds_of_all_features():
    rng = np.random.default_rng(3)
    r, c, same = rng.normal(size=500), rng.normal(1, 1, size=300), ["a", "b"] * 250
    before, after = side(columns(r, same), 500, same), side(columns(c, same[:300]), 300, same[:300])
    found = {s.name: s for tool in ("alibi", "evidently") for s in formula_scores(tool, before, after, "") if s.subject == ALL}
    assert found["alibi.is_drift"].value == 1.0 and found["alibi.is_drift"].evidence == {"limit": 0.025}
    assert found["evidently.share_drifted"].value == 0.5


def test_whylogs_counts_missing_rows_in_the_totals_that_its_shares_are_of():
    """As whylogs 1.6.4 printed it for c = x, y, z, None of 300, 400, 200, 100 rows and 150, 150, 80, 20."""
    before, after = CategorySummary(), CategorySummary()
    before.add(DictColumn.from_list(["x"] * 300 + ["y"] * 400 + ["z"] * 200 + [None] * 100))
    after.add(DictColumn.from_list(["x"] * 150 + ["y"] * 150 + ["z"] * 80 + [None] * 20))
    sides = [Side(None, 1000, {"c": side}, CategorySummary()) for side in (before, after)]
    found = {score.name: score.value for score in formula_scores("whylogs", *sides, "ref")}
    assert found["whylogs.chi2"] == 8.125
    assert found["whylogs.chi2_p"] == pytest.approx(0.017205950425851387, abs=1e-12)
