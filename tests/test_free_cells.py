"""Codes that need no reference: the order of the numbers, the cells of a window's own summary, and one state for any order."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors.adaptive import AdaptiveSummary
from detectors.category import OTHER, CategorySummary
from detectors.coarse_cells import MISSING, NAMED
from detectors.columns import Columns, DictColumn
from detectors.free_cells import CAP, NONE, CodeSums, code_of, codes_of, counts_of, cut_names, cut_numbers, in_cells, start_of


def columns(numbers=(), texts=()):
    n = max(len(numbers), len(texts))
    return Columns(
        rows=n, numeric={} if len(texts) else {"x": np.array(numbers, dtype=np.float64)},
        categorical={"c": DictColumn.from_list(list(texts))} if len(texts) else {},
        score=np.full(n, np.nan), label=DictColumn.missing(n), latency_ms=np.full(n, np.nan), error=np.zeros(n, dtype=bool),
    )  # fmt: skip


def coded(values):
    return codes_of(columns(numbers=values), "x")


def counted(values):
    out = CodeSums()
    out.add(np.column_stack([coded(values), np.ones((len(values), 3))]))
    return out


finite = st.floats(allow_nan=False, allow_infinity=False)


@given(st.lists(finite, min_size=1, max_size=50))
def test_codes_are_in_the_order_of_the_numbers_and_begin_where_they_say(values):
    ordered = np.sort(values)
    codes = coded(ordered)
    assert (np.diff(codes) >= 0).all() and (codes >= 0).all() and (codes < NONE).all()
    for value, code in zip(ordered.tolist(), codes.tolist(), strict=True):
        assert start_of(code) <= value
        assert coded([start_of(code)])[0] == code or start_of(code) == -np.inf
        if 1e-37 < abs(value) < 1e38:
            assert abs(value - start_of(code)) <= abs(value) / 64


def test_what_is_no_number_is_missing_and_zeros_are_one():
    assert coded([np.nan, np.inf, -np.inf]).tolist() == [NONE] * 3
    assert len(set(coded([0.0, -0.0]).tolist())) == 1
    assert codes_of(columns(texts=["a", None, "b", "a"]), "c").tolist() == [code_of("a"), NONE, code_of("b"), code_of("a")]


@given(
    st.integers(0, 2**32), st.integers(0, 3000), st.integers(0, 3000),
    st.sampled_from(["narrow", "wide", "near zero", "whole"]),
)  # fmt: skip
def test_any_split_and_order_gives_one_state_and_it_is_that_of_the_windows_own_summary(seed, n, cut, shape):
    rng = np.random.default_rng(seed)
    values = {
        "narrow": rng.normal(300.0, 5.0, n), "wide": np.exp(rng.normal(0.0, 30.0, n)), "near zero": rng.normal(size=n),
        "whole": rng.integers(-3, 100, n).astype(float),
    }[shape]  # fmt: skip
    values[rng.random(n) < 0.05] = np.nan
    whole, a, b = counted(values), counted(rng.permutation(values[:cut])), counted(values[cut:])
    b.merge(a)
    assert b.to_bytes() == whole.to_bytes() and len(whole.keys) <= CAP
    summary = AdaptiveSummary()
    summary.add(values)
    own = counts_of(summary)
    assert own is not None
    shift = max(own.shift, whole.shift)
    mine, theirs = whole.coarser(shift), own.coarser(shift)
    assert (mine.keys == theirs.keys).all() and (mine.sums[:, 0] == theirs.sums[:, 0]).all()
    assert mine.missing[0] == theirs.missing[0]


def test_a_row_that_is_taken_back_leaves_the_same_state_whenever_that_is():
    rng = np.random.default_rng(1)
    values = np.exp(rng.normal(0, 20, 2000))
    rows = np.column_stack([coded(values), np.ones((2000, 3))])
    back = rows[:1500] * [1, -1, -1, -1]
    first, last = CodeSums(), CodeSums()
    for part in (rows[:1500], back, rows[1500:]):
        first.add(part)
    for part in (rows[1500:], rows[:1500], back):
        last.add(part)
    assert first.to_bytes() == last.to_bytes() and first.sums[:, 0].sum() == 500


def test_cells_hold_about_equally_many_rows_and_are_said_exactly():
    rng = np.random.default_rng(2)
    values = rng.gamma(2.0, 1000.0, 9000)
    values[:90] = np.nan
    sums = counted(values)
    cutting, keys = cut_numbers(sums)
    cells = in_cells(sums, cutting, keys)
    edges = np.concatenate([[-np.inf], cutting.edges, [np.inf]])
    there = values[~np.isnan(values)]
    assert cells[: len(keys) + 1, 0].tolist() == np.histogram(there, edges)[0].tolist()
    assert cells[MISSING, 0] == 90 and len(keys) == 8 and (np.abs(cells[:9, 0] / 990 - 1) < 0.15).all()
    empty, none = cut_numbers(CodeSums())
    assert empty.edges is not None and len(empty.edges) == len(none) == 0


def test_categories_are_found_by_their_hashes():
    texts = ["a"] * 50 + ["b"] * 30 + [f"rare-{i}" for i in range(20)] + [None] * 5
    sums = CodeSums()
    sums.add(np.column_stack([codes_of(columns(texts=texts), "c"), np.ones((105, 3))]))
    counts = CategorySummary()
    counts.add(DictColumn.from_list(texts))
    own = counts_of(counts)
    assert own is not None and (own.keys == sums.keys).all() and (own.sums[:, 0] == sums.sums[:, 0]).all()
    cutting, keys = cut_names(sums, {"a": 50, "b": 30})
    cells = in_cells(sums, cutting, keys)
    assert cutting.names == ("a", "b") and cells[[0, 1, NAMED, MISSING], 0].tolist() == [50, 30, 20, 5]
    counts.counts[OTHER] = 3
    assert counts_of(counts) is None


def test_columns_whose_cells_are_too_wide_say_nothing():
    summary = AdaptiveSummary(shift=62)
    assert counts_of(summary) is None
    with pytest.raises(ValueError, match="format"):
        CodeSums.from_bytes(b"\x07" + CodeSums().to_bytes()[1:])
