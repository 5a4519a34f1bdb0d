"""Categories of more values than are counted by name: what is compared is exact, quiet while nothing changes, and finds what does."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors.calibrate.held import held
from detectors.category import CELLS, OTHER, CategorySummary, hash_of
from detectors.choice import trouble
from detectors.columns import DictColumn
from detectors.evidence import moved
from detectors.pairs import CategoryPair
from detectors.registry import STATISTICS
from detectors.univariate import category_drift

NAMES = [f"v{i}" for i in range(2000)]
SHAPES = {
    "260 of Zipf": 1.0 / np.arange(1.0, 261.0),
    "300 alike": np.ones(300),
    "2000 of Zipf": 1.0 / np.arange(1.0, 2001.0),
}
LEARNED, BUILT_ROWS, BUILT_LIMIT = 5, 20_000, 1000


def summary_of(items, limit=200):
    out = CategorySummary(limit)
    out.add(DictColumn.from_list(items))
    return out


def drawn(rng, shape, rows):
    weights = SHAPES[shape]
    return [NAMES[i] for i in rng.choice(len(weights), rows, p=weights / weights.sum()).tolist()]


def reference_of(rng, shape, how, rows):
    if how == "built":
        return summary_of(drawn(rng, shape, BUILT_ROWS), BUILT_LIMIT)
    out = CategorySummary()
    for _ in range(LEARNED):
        out.merge(summary_of(drawn(rng, shape, rows)))
    return out


def chance(name, pair):
    value = STATISTICS[name].value(pair)
    found = held(name, pair, value)
    return found.table.survival(found.out)


texts = st.lists(st.integers(0, 40).map(str) | st.just(OTHER) | st.none(), max_size=80)


@given(texts, texts, texts, st.integers(1, 8), st.permutations([0, 1, 2]))
def test_the_rows_of_a_hash_are_exact_in_any_order_of_rows_and_merges(a, b, c, limit, order):
    expected = np.zeros(CELLS, dtype=int)
    for item in [*a, *b, *c]:
        if item is not None:
            expected[hash_of(item)] += 1
    parts = [summary_of(items, limit) for items in (a, b, c)]
    first, second, third = (CategorySummary.from_bytes(parts[i].to_bytes()) for i in order)
    second.merge(third)
    first.merge(second)
    at_once = summary_of([*a[::-1], *b, *c], limit)
    assert all(s.cells().tolist() == expected.tolist() for s in (first, at_once, CategorySummary.from_bytes(first.to_bytes())))
    assert first.rows == at_once.rows == expected.sum()


def test_hashes_are_those_of_the_stored_format():
    assert [hash_of(name) for name in ("", "a", "Zürich", "\ud800", "v17")] == [0, 1603, 318, 1320, 1869]


@pytest.mark.parametrize("rows", [50, 500, 5000])
@pytest.mark.parametrize("how", ["built", "learned"])
@pytest.mark.parametrize("shape", SHAPES)
def test_nothing_alarms_more_often_than_meant_while_nothing_changes(shape, how, rows):
    rng = np.random.default_rng(5)
    found = {"js": [], "chi2": [], "psi": [], "linf": []}
    fresh = 0
    for _ in range(10):
        reference = reference_of(rng, shape, how, rows)
        for _ in range(10):
            pair = CategoryPair(reference, summary_of(drawn(rng, shape, rows)))
            if trouble(pair):
                continue
            assert pair.folded
            for name, chances in found.items():
                chances.append(chance(name, pair))
            fresh += chance("new_category_share", pair) < 1e-3
    assert fresh <= 2
    for name, chances in found.items():
        if len(chances) < 50:  # nearly each of the reference's few rows had a value of its own
            assert how == "learned" and rows == 50
            continue
        share = np.mean(np.array(chances) <= 0.1)
        assert 0.02 <= share <= 0.2, (name, share)  # four standard errors of 100 windows that share ten references
        assert np.mean(np.array(chances) <= 0.001) <= 0.02, name


@pytest.mark.parametrize("how", ["built", "learned"])
@pytest.mark.parametrize("rows", [50, 500, 5000])
def test_of_a_value_per_row_nothing_is_said(how, rows):
    def unique(n):
        return [f"id-{i}" for i in rng.integers(0, 2**60, n).tolist()]

    rng = np.random.default_rng(6)
    reference = summary_of(unique(BUILT_ROWS), BUILT_LIMIT) if how == "built" else CategorySummary()
    for _ in range(LEARNED if how == "learned" else 0):
        reference.merge(summary_of(unique(rows)))
    (only,) = category_drift("f", summary_of(unique(rows)), reference, "ref")
    assert np.isnan(only.value) and "category of their own" in only.evidence["reason"]


@pytest.mark.parametrize("how", ["built", "learned"])
@pytest.mark.parametrize("shape", SHAPES)
def test_rows_that_move_to_one_value_are_found_and_named(shape, how):
    rng = np.random.default_rng(7)
    reference = reference_of(rng, shape, how, 500)
    for _ in range(10):
        items = drawn(rng, shape, 500)
        pair = CategoryPair(reference, summary_of(["v2" if rng.random() < 0.3 else item for item in items]))
        assert chance("js", pair) < 1e-6 and moved(pair)["moved"][0]["category"] == "v2"
        assert moved(pair)["folded"].startswith(f"into {pair.folded} cells")


@pytest.mark.parametrize("rows", [500, 5000])
@pytest.mark.parametrize("how", ["built", "learned"])
@pytest.mark.parametrize("shape", SHAPES)
def test_a_wave_of_values_that_were_never_seen_is_found(shape, how, rows):
    rng = np.random.default_rng(8)
    reference = reference_of(rng, shape, how, rows)
    for _ in range(10):
        items = [f"new-{rng.integers(2**60)}" if rng.random() < 0.25 else item for item in drawn(rng, shape, rows)]
        pair = CategoryPair(reference, summary_of(items))
        true = sum(item.startswith("new-") for item in items) / rows
        share = STATISTICS["new_category_share"].value(pair)
        missed = 0.01 if how == "built" or rows == 5000 else 0.15  # rows of values that so few rows never showed
        assert 0.25 * true <= share <= true + missed and chance("new_category_share", pair) < 1e-4
        assert pair.fresh
        if (how, shape) in (("built", "260 of Zipf"), ("built", "300 alike")):  # the reference surely has all values
            assert chance("js", pair) < 1e-6 and moved(pair)["moved"][0]["category"] == "values that the reference never had"


def test_few_values_are_compared_by_name_whatever_their_rows():
    pair = CategoryPair(summary_of(["a", "b", "b"] * 3), summary_of(["a", "z"]))
    assert pair.folded == 0 and pair.named == ["a", "b", "z"] and [side.tolist() for side in pair.bins] == [[3, 6, 0], [1, 0, 1]]


def test_counts_of_an_earlier_release_are_not_compared_where_they_kept_too_little():
    old = CategorySummary.from_bytes(json.dumps([2, 1, [["a", 50], ["b", 30], [OTHER, 20]]]).encode())
    assert old.cells() is None and old.rows == 100
    whole = CategorySummary.from_bytes(json.dumps([2, 1, [["a", 50], ["b", 30]]]).encode())
    assert whole.cells().sum() == 80 and whole.to_bytes() == json.dumps([2, 1, [["a", 50], ["b", 30]]]).encode()
    old.merge(summary_of(["x", "y", "z"], 2))
    whole.merge(CategorySummary.from_bytes(old.to_bytes()))
    assert old.cells() is None and whole.cells() is None and whole.rows == 183
    for sides in ((old, summary_of(["a"] * 30)), (summary_of(["a"] * 30), old)):
        assert sum(side.sum() for side in CategoryPair(*sides).bins) == old.rows + 30
        (only,) = category_drift("f", *sides, "ref")
        assert np.isnan(only.value) and "earlier release" in only.evidence["reason"]
