"""Duplicates are a function of the log: batches may be cut anywhere."""

from __future__ import annotations

import os

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor import dedup
from monitor.dedup import SeenTable


@pytest.fixture(scope="module", autouse=True, params=["c", "numpy"])
def way(request):
    """Everything here holds whether the part in C was built or not."""
    if request.param == "c" and dedup.walk is None and not os.environ.get("CI"):
        pytest.skip("monitor/_seen was not built")
    assert request.param == "numpy" or dedup.walk is not None
    with pytest.MonkeyPatch.context() as patch:
        if request.param == "numpy":
            patch.setattr(dedup, "walk", None)
        yield


def sequential(ids: list[int], expires: list[int], clock: list[int]) -> list[bool]:
    """The definition, one row after the other."""
    known: dict[int, int] = {}
    out = []
    for key, expiry, now in zip(ids, expires, clock, strict=True):
        repeated = key in known and known[key] > now
        out.append(repeated)
        if not repeated:
            known[key] = expiry
    return out


rows = st.lists(st.tuples(st.integers(1, 12), st.integers(0, 6)), min_size=1, max_size=60)


@settings(max_examples=300, deadline=None)
@given(rows=rows, cuts=st.lists(st.integers(0, 60), max_size=5))
def test_any_cut_of_the_log_gives_the_sequential_answer(rows: list[tuple[int, int]], cuts: list[int]) -> None:
    ids = [key for key, _ in rows]
    clock = np.maximum.accumulate(np.array([0, *(at for _, at in rows[:-1])])).tolist()
    expires = [at + 2 for _, at in rows]
    table = SeenTable(max_ids=1000)
    bounds = sorted({0, len(rows), *(c for c in cuts if c < len(rows))})
    found: list[bool] = []
    for a, b in zip(bounds, bounds[1:], strict=False):
        found += table.add(np.array(ids[a:b], dtype=np.uint64), np.array(expires[a:b]), np.array(clock[a:b])).tolist()
    assert found == sequential(ids, expires, clock)


def test_ids_survive_growth_and_expired_ones_are_dropped() -> None:
    table = SeenTable(max_ids=1_000_000)
    rng = np.random.default_rng(1)
    ids = rng.integers(1, 2**63, 50_000, dtype=np.uint64)
    far = np.full(5_000, 1_000)
    for part in np.split(ids, 10):
        assert not table.add(part, far, np.zeros(5_000, dtype=np.int64)).any()
    assert table.add(ids[:5_000], far, np.full(5_000, 999)).all()
    assert not table.add(ids[:5_000], far + 1_000, np.full(5_000, 1_000)).any()


def test_zero_is_an_id_like_any_other() -> None:
    table = SeenTable(max_ids=10)
    zero = np.zeros(2, dtype=np.uint64)
    assert table.add(zero, np.array([5, 5]), np.array([0, 0])).tolist() == [False, True]


def test_a_full_table_gives_up_the_ids_that_expire_first_and_counts_them() -> None:
    table = SeenTable(max_ids=4_000)
    for step in range(20):
        ids = np.arange(1 + step * 1_000, 1_001 + step * 1_000, dtype=np.uint64)
        table.add(ids, np.full(1_000, 100 + step), np.zeros(1_000, dtype=np.int64))
    assert table.evicted > 0
    last = np.arange(19_001, 20_001, dtype=np.uint64)
    assert table.add(last, np.full(1_000, 200), np.zeros(1_000, dtype=np.int64)).all()


@pytest.mark.parametrize("n", [1, 2, 4_095, 20_000], ids=str)
def test_all_rows_of_one_id_are_duplicates_of_the_first(n: int) -> None:
    table = SeenTable(max_ids=100_000)
    found = table.add(np.full(n, 77, dtype=np.uint64), np.full(n, 10), np.zeros(n, dtype=np.int64))
    assert found.tolist() == [False] + [True] * (n - 1)
