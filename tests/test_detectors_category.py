"""Bounded category counts do not depend on how rows are cut into batches, nor on the order of a batch's dictionary."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from detectors.category import OTHER, CategorySummary
from detectors.columns import DictColumn


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
