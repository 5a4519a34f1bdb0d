"""The part in C that counts columns gives what numpy gives: counts exactly, sums to the last bits."""

from __future__ import annotations

import math
import os
from contextlib import contextmanager

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors import kernels
from detectors.adaptive import CAP, AdaptiveSummary
from detectors.moments import Moments
from detectors.numeric import GridSummary, make_grid

if kernels.kernels is None and not os.environ.get("CI"):
    pytest.skip("detectors/_kernels was not built", allow_module_level=True)


@contextmanager
def numpy_alone():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kernels, "kernels", None)
        yield


def assert_near(a: Moments, b: Moments, scale: float) -> None:
    assert (a.n, a.low, a.high) == (b.n, b.low, b.high)
    assert math.isclose(a.mean, b.mean, rel_tol=1e-12, abs_tol=1e-12 * scale)
    assert math.isclose(a.m2, b.m2, rel_tol=1e-11, abs_tol=1e-11 * scale * scale) or not math.isfinite(scale * scale * 1e6)


def assert_equal(a, b) -> None:
    assert (a.missing, a.infinite) == (b.missing, b.infinite)
    assert a.counts.tolist() == b.counts.tolist()
    assert_near(a.moments, b.moments, max(abs(a.moments.low), abs(a.moments.high), 1e-300) if a.moments.n else 1.0)


def in_pieces(make, values, cuts):
    summary = make()
    for piece in np.split(values, cuts):
        summary.add(piece)
    return summary


def columns(rng):
    n = 9_001
    yield "rounded", np.round(rng.gamma(2, 2, n), 3)
    yield "normal", rng.normal(size=n)
    yield "far from zero", 1e9 + rng.normal(size=n)
    yield "whole", rng.integers(-20, 20, n).astype(float)
    yield "many decades", rng.normal(size=n) * 10.0 ** rng.integers(-150, 120, n)
    yield "constant", np.full(n, 0.1)
    yield "zeros of both signs", np.where(rng.random(n) < 0.5, 0.0, -0.0)
    yield "random bits", rng.integers(-(2**63), 2**63 - 1, n).view(np.float64)
    mixed = rng.normal(size=n)
    mixed[rng.random(n) < 0.3] = np.nan
    mixed[rng.random(n) < 0.01] = np.inf
    mixed[rng.random(n) < 0.01] = -np.inf
    yield "missing and infinite", mixed
    yield "nothing but missing", np.full(n, np.nan)
    yield "nothing", np.empty(0)


CASES = list(columns(np.random.default_rng(3)))


@pytest.mark.parametrize(("name", "values"), CASES, ids=[name for name, _ in CASES])
@pytest.mark.parametrize("cuts", [[], [1, 7, 4096, 4097, 9000], list(range(0, 9000, 333))], ids=["whole", "odd", "many"])
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_adaptive_cells_are_those_of_numpy(name, values, cuts):
    with np.errstate(all="ignore"):
        fast = in_pieces(AdaptiveSummary, values, cuts)
        with numpy_alone():
            slow = in_pieces(AdaptiveSummary, values, [])
    assert fast.shift == slow.shift and fast.keys.tolist() == slow.keys.tolist() and len(fast.keys) <= CAP
    assert_equal(fast, slow)


@pytest.mark.parametrize(("name", "values"), CASES, ids=[name for name, _ in CASES])
@pytest.mark.parametrize("grid", ["normal", "gamma", "few", "decades", "one"])
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_grid_cells_are_those_of_numpy(name, values, grid):
    rng = np.random.default_rng(5)
    edges = make_grid(
        {"normal": rng.normal(size=5000), "gamma": rng.gamma(2, 2, 5000), "few": np.arange(7.0), "decades": 10.0 ** rng.uniform(-30, 30, 5000), "one": np.ones(3)}[grid]
    )  # fmt: skip
    with np.errstate(all="ignore"):
        fast = in_pieces(lambda: GridSummary.empty(edges), values, [5, 4096])
        with numpy_alone():
            slow = in_pieces(lambda: GridSummary.empty(edges), values, [])
    assert_equal(fast, slow)
    finite = values[np.isfinite(values)]
    scale = float(np.abs(finite).max()) * len(finite) if len(finite) else 0.0
    assert np.allclose(fast.sums, slow.sums, rtol=1e-12, atol=1e-12 * scale) or not math.isfinite(scale)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.floats(width=64), max_size=60), st.lists(st.integers(0, 60), max_size=4))
def test_any_floats_in_any_pieces(values, cuts):
    array = np.array(values, dtype=np.float64)
    with np.errstate(all="ignore"):
        fast = in_pieces(AdaptiveSummary, array, sorted(cuts))
        grid = in_pieces(lambda: GridSummary.empty(np.array([-1.0, 0.0, 1.0, 1e300])), array, sorted(cuts))
        with numpy_alone():
            slow = in_pieces(AdaptiveSummary, array, [])
            slow_grid = in_pieces(lambda: GridSummary.empty(np.array([-1.0, 0.0, 1.0, 1e300])), array, [])
    assert (fast.shift, fast.keys.tolist(), fast.counts.tolist()) == (slow.shift, slow.keys.tolist(), slow.counts.tolist())
    assert grid.counts.tolist() == slow_grid.counts.tolist()
    assert (fast.missing, fast.infinite, fast.moments.n) == (slow.missing, slow.infinite, slow.moments.n)


def test_a_summary_goes_on_in_c_where_numpy_left_it():
    rng = np.random.default_rng(8)
    first, second = rng.gamma(1, 3, 6000), rng.gamma(1, 300, 6000)
    mixed, whole = AdaptiveSummary(), AdaptiveSummary()
    with numpy_alone():
        mixed.add(first)
    mixed.add(second)
    whole.add(np.concatenate([second, first]))
    assert (mixed.shift, mixed.keys.tolist(), mixed.counts.tolist()) == (whole.shift, whole.keys.tolist(), whole.counts.tolist())


def test_a_strided_column_is_read_right():
    values = np.random.default_rng(2).normal(size=2000)
    a, b = AdaptiveSummary(), AdaptiveSummary()
    a.add(values[::2])
    b.add(values[::2].copy())
    assert a.to_bytes() == b.to_bytes()
