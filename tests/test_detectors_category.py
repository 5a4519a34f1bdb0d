"""Bounded category counts do not depend on how rows are cut into batches, nor on the order of a batch's dictionary."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from detectors.category import OTHER, CategorySummary
from detectors.columns import DictColumn

counted = st.lists(st.integers(0, 15).map(str), max_size=60)


def summary_of(items, limit):
    out = CategorySummary(limit)
    out.add(DictColumn.from_list(items))
    return out


def merged(*parts):
    out = CategorySummary.from_bytes(parts[0].to_bytes())
    for part in parts[1:]:
        out.merge(CategorySummary.from_bytes(part.to_bytes()))
    return out


@given(counted, counted, counted, st.integers(1, 6))
def test_above_the_limit_no_row_is_lost_no_value_counted_too_high_and_two_merge_alike_either_way(a, b, c, limit):
    parts = [summary_of(items, limit) for items in (a, b, c)]
    assert merged(*parts[:2]).counts == merged(*parts[1::-1]).counts
    for whole in (merged(*parts), merged(parts[0], merged(*parts[1:])), merged(*parts[::-1])):
        assert whole.rows == len(a) + len(b) + len(c) and len(set(whole.counts) - {OTHER}) <= limit
        assert all(rows <= (a + b + c).count(name) for name, rows in whole.counts.items() if name != OTHER)
    if len({*a, *b, *c}) <= limit:
        assert merged(parts[0], merged(*parts[1:])).counts == merged(*parts).counts


def test_above_the_limit_what_keeps_its_name_depends_on_the_order_of_merging():
    parts = [CategorySummary(2, counts) for counts in ({"a": 4, "b": 1}, {"d": 2, "b": 1}, {"c": 1, "a": 1})]
    assert merged(*parts).counts == {"a": 5, "b": 2, OTHER: 3}
    assert merged(parts[0], merged(*parts[1:])).counts == {"a": 5, "d": 2, OTHER: 3}


@given(st.lists(st.integers(0, 30).map(str) | st.none(), max_size=200), st.integers(1, 50), st.integers(2, 12), st.randoms())
def test_any_cut_counts_the_same(items, size, limit, random):
    whole, cut = CategorySummary(limit), CategorySummary(limit)
    whole.add(DictColumn.from_list(items))
    for at in range(0, len(items), size):
        part = items[at : at + size]
        names = sorted({i for i in part if i is not None}, key=lambda _: random.random())
        codes = np.array([-1 if i is None else names.index(i) for i in part], dtype=np.int32)
        cut.add(DictColumn(codes, names))
    assert (cut.counts, cut.missing) == (whole.counts, whole.missing)
    assert whole.rows + whole.missing == len(items) and len(set(whole.counts) - {OTHER}) <= limit
