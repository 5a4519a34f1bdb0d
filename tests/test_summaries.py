"""Every summary is a monoid: empty is neutral, merging is associative and commutative, order and split do not matter,
and bytes lead back. Over all classes of detectors/ that merge, and both registries of optional parts.

A new part needs its options in INPUT_OPTIONS or OUTCOME_OPTIONS; a test fails until it has them.
"""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import pkgutil
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import detectors
from detectors.adaptive import AdaptiveSummary
from detectors.category import CategorySummary
from detectors.columns import Columns, DictColumn, Outcomes, Schema
from detectors.fits import fit_all
from detectors.free_cells import CodeSums
from detectors.labelled.tasks import LABELLED
from detectors.latency import LatencySummary
from detectors.moments import Moments
from detectors.numeric import GridSummary
from detectors.performance import PerformanceSummary
from detectors.profile import Profile
from detectors.request_errors import halves
from detectors.summaries import INPUT_PARTS, OUTCOME_PARTS
from detectors.window import WindowSummary
from detectors.worst_errors import FREE

# options of each part, as monitor/parts.py would make them of a config
MULTIVARIATE = {"pca": True, "mahalanobis": True, "mmd": ["features", "e"], "pairs": [["x", "y"]], "strong": 0.1, "limit": 5}
INPUT_OPTIONS: dict[str, dict[str, Any]] = {
    "score_spread": {},
    "sample": {"rows": 20, "mask": ["d"]},
    "score_cells": {},
    "class_cells": {},
    "number_moments": {"numbers": ["n", "other"]},
    "request_numbers": {"pane_ms": 20_000, "requests": 30, "numbers": ["error_share", "latency", "n"]},
    "numbers": {},
    "outliers": {"quantile": 0.9},
    "worst_rows": {"rows": 5, "mask": ["d"]},
    "worst_segments": {"features": ["x", "c", "y"]},
    "multivariate": MULTIVARIATE,
    "rules": {
        "rules": [["check:a", "violation_share", "x <= y or c == 'a'"], ["c", "pattern_violation_share", "matches(c, '[a-c]')"]],
        "freshness": True,
    },
}
# and the task of the model that it is for
OUTCOME_OPTIONS: dict[str, tuple[str, dict[str, Any]]] = {
    "label_spread": ("binary", {}),
    "error_cells": ("regression", {}),
    "worst_errors": ("regression", {"features": ["x", "c", "y"], "marks": [7, 9]}),
    "request_errors": ("binary", {"pane_ms": 20_000, "requests": 30}),
    "errors": ("binary", {"pane_ms": 60_000, "cells": 20}),
    "outcome_sample": ("multilabel", {}),
}

EDGES = np.array([-2.0, -0.5, 0.0, 0.5, 1.0, 3.0])


def schema(task: str = "binary", parts: dict[str, dict[str, Any]] | None = None) -> Schema:
    return Schema(
        ("x", "y"), ("c", "d"), task, "yes" if task == "binary" else None, numbers=("n",),
        vectors={"e": 4, "probabilities": 3, "labels": 3, "quantiles": 3}, parts=parts or {},
        classes=("maybe", "no", "yes"), quantiles=(0.1, 0.5, 0.9),
    )  # fmt: skip


def numbers(rng: np.random.Generator, n: int) -> np.ndarray:
    """Normal, whole, huge, zero, missing and infinite values together."""
    pool = np.array([0.0, -0.0, np.nan, np.inf, -np.inf, 1e12, -3.0])
    return np.where(rng.random(n) < 0.3, rng.choice(pool, n), rng.normal(size=n))


def texts(rng: np.random.Generator, n: int, values: str) -> DictColumn:
    names = list(values)
    rng.shuffle(names)
    return DictColumn(rng.integers(-1, len(names), n).astype(np.int32), names)


def some_columns(rng: np.random.Generator, n: int) -> Columns:
    return Columns(
        rows=n,
        numeric={"x": numbers(rng, n), "y": rng.integers(0, 4, n).astype(float)},
        categorical={"c": texts(rng, n, "abcdefg"), "d": texts(rng, n, "pq")},
        score=np.where(rng.random(n) < 0.1, np.nan, rng.random(n)),
        label=texts(rng, n, "yn"),
        latency_ms=np.where(rng.random(n) < 0.1, np.nan, rng.lognormal(size=n)),
        error=rng.random(n) < 0.2,
        numbers={"n": rng.gamma(2.0, size=n)},
        vectors={
            "e": rng.normal(size=(n, 4)).astype(np.float32),
            **{name: rng.random((n, 3)).astype(np.float32) for name in ("probabilities", "labels", "quantiles")},
        },
        ids=rng.integers(0, 2**63, (n, 2)).astype(np.uint64),
        ts_ms=rng.integers(1_700_000_000_000, 1_700_000_060_000, n),
        requests=rng.integers(0, 2**64, 200, dtype=np.uint64)[rng.integers(0, 200, n)] * (rng.random(n) < 0.9),
    )


def some_cells(rng: np.random.Generator, n: int) -> np.ndarray:
    """Codes of three features against either of two references, some rows without."""
    out = np.column_stack([rng.integers(0, 2, n), rng.integers(0, 10, (n, 3))]).astype(np.float32)
    out[out[:, 0] == 1, 2] = np.nan  # a feature that the second one has no cells of
    out[rng.random(n) < 0.3, 0] = FREE  # rows of panes without a reference
    out[out[:, 0] == FREE, 1:] = rng.choice([32767, 32768, 49025, 49026, 65535], ((out[:, 0] == FREE).sum(), 3))
    out[rng.random(n) < 0.1] = np.nan
    return out


def some_outcomes(rng: np.random.Generator, n: int) -> Outcomes:
    labels = ["yes", "no", "maybe"]
    ideal = np.sort(rng.integers(0, 3, (n, 8)), axis=1)[:, ::-1].astype(np.float32)
    vectors = {
        "probabilities": rng.dirichlet([1.0, 1.0, 1.0], n).astype(np.float32),
        "quantiles": np.sort(rng.normal(size=(n, 3)), axis=1).astype(np.float32),
        "labels": rng.integers(0, 2, (n, 3)).astype(np.float32),
        "true_labels": rng.integers(0, 2, (n, 3)).astype(np.float32),
        "true_others": rng.integers(0, 2, (n, 1)).astype(np.float32),
        "gains": rng.permuted(ideal, axis=1),
        "ideal": ideal,
        "relevant": (ideal > 0).sum(axis=1, keepdims=True).astype(np.float32),
    }
    for values in vectors.values():
        values[rng.random(n) < 0.1] = np.nan
    vectors["worst_cells"] = some_cells(rng, n)
    vectors["request"] = halves(rng.integers(0, 2**64, 200, dtype=np.uint64)[rng.integers(0, 200, n)])
    vectors["request"][rng.random(n) < 0.1] = np.nan
    return Outcomes(
        predicted_label=DictColumn(rng.integers(-1, 3, n).astype(np.int32), labels),
        predicted_score=np.where(rng.random(n) < 0.1, np.nan, rng.random(n)),
        true_label=DictColumn(rng.integers(0, 3, n).astype(np.int32), labels),
        true_value=rng.normal(size=n),
        weight=np.ones(n, dtype=np.int64),
        ts_ms=rng.integers(1_700_000_000_000, 1_700_000_060_000, n),
        label_ts_ms=rng.integers(1_700_000_060_000, 1_700_000_900_000, n),
        vectors=vectors,
    )


def some_codes(rng: np.random.Generator, n: int) -> np.ndarray:
    """Codes of a value, some missing, with a weight, an error and its square."""
    off = rng.normal(size=n)
    return np.column_stack([np.where(rng.random(n) < 0.1, 0xFFFF, rng.integers(30_000, 36_000, n)), np.ones(n), off, off * off])


def taken(rows: Any, index: np.ndarray) -> Any:
    """Those rows, of whatever the summary eats."""
    return rows.take(index) if isinstance(rows, Columns | DictColumn | Outcomes) else rows[index]


@dataclasses.dataclass(frozen=True)
class Kind:
    empty: Callable[[], Any]
    rows: Callable[[np.random.Generator, int], Any]
    back: Callable[[bytes], Any]


def window(parts: dict[str, dict[str, Any]], with_profile: bool) -> Kind:
    s = schema(parts=parts)
    profile = reference(s) if with_profile else None
    return Kind(lambda: WindowSummary.empty(s, profile), some_columns, lambda b: WindowSummary.from_bytes(b, s, profile))


def reference(s: Schema) -> Profile:
    """A reference of labelled rows, with all that is fitted to it."""
    rng = np.random.default_rng(9)
    columns = some_columns(rng, 400)
    return dataclasses.replace(Profile.build(columns, s, "r"), extras=fit_all(columns, some_outcomes(rng, 400), s))


def performance(task: str, parts: dict[str, dict[str, Any]]) -> Kind:
    s = schema(task, parts)
    return Kind(lambda: PerformanceSummary.empty(s), some_outcomes, lambda b: PerformanceSummary.from_bytes(b, s))


def part(kinds: dict[str, Any], name: str, s: Schema, rows: Any) -> Kind:
    profile = reference(s)

    def bound(made: Any) -> Any:
        if hasattr(made, "bind"):
            made.bind(profile)
        return made

    return Kind(lambda: bound(kinds[name].empty(s)), rows, lambda b: bound(kinds[name].from_bytes(b, s)))


SUMMARIES: dict[str, Kind] = {
    "Moments": Kind(Moments, lambda rng, n: rng.normal(size=n), Moments.from_bytes),
    "GridSummary": Kind(lambda: GridSummary.empty(EDGES), numbers, lambda b: GridSummary.from_bytes(b, EDGES)),
    "AdaptiveSummary": Kind(AdaptiveSummary, numbers, AdaptiveSummary.from_bytes),
    "CategorySummary": Kind(CategorySummary, lambda rng, n: texts(rng, n, "abcdefgh"), CategorySummary.from_bytes),
    "LatencySummary": Kind(LatencySummary, lambda rng, n: rng.lognormal(size=n), LatencySummary.from_bytes),
    "CodeSums": Kind(CodeSums, some_codes, CodeSums.from_bytes),
    "WindowSummary": window({}, False),
    "WindowSummary on a grid": window({}, True),
    "WindowSummary with all parts": window(INPUT_OPTIONS, True),
    **{f"PerformanceSummary {task}": performance(task, {}) for task in LABELLED},
    **{n: part(INPUT_PARTS, n, schema(parts={n: o}), some_columns) for n, o in INPUT_OPTIONS.items() if n in INPUT_PARTS},
    **{
        n: part(OUTCOME_PARTS, n, schema(task, {n: o}), some_outcomes)
        for n, (task, o) in OUTCOME_OPTIONS.items()
        if n in OUTCOME_PARTS
    },
}


def alike(a: Any, b: Any, place: str = "") -> None:
    """Equal whole numbers and texts; floats to 1e-9 of their size."""
    assert type(a) is type(b) or isinstance(a, int | float) and isinstance(b, int | float), place
    if isinstance(a, np.ndarray):
        if a.dtype.kind == "f":
            finite = a[np.isfinite(a)]
            scale = float(np.abs(finite).max()) if len(finite) else 1.0
            np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-9 * scale, err_msg=place)
        else:
            np.testing.assert_array_equal(a, b, err_msg=place)
    elif isinstance(a, Fraction):
        alike(float(a), float(b), place)
    elif isinstance(a, float):
        assert a == b or a == pytest.approx(b, rel=1e-7, abs=1e-7, nan_ok=True), place
    elif isinstance(a, dict):
        assert a.keys() == b.keys(), place
        for key in a:
            alike(a[key], b[key], f"{place}.{key}")
    elif isinstance(a, list | tuple):
        assert len(a) == len(b), place
        for i, (x, y) in enumerate(zip(a, b, strict=True)):
            alike(x, y, f"{place}[{i}]")
    elif dataclasses.is_dataclass(a):
        for f in dataclasses.fields(a):
            if not f.name.startswith("_"):
                alike(getattr(a, f.name), getattr(b, f.name), f"{place}.{f.name}")
    elif hasattr(a, "__dict__") and not callable(a):
        alike(vars(a), vars(b), place)
    else:
        assert a == b, place


def filled(kind: Kind, rows: Any) -> Any:
    out = kind.empty()
    out.add(rows)
    return out


def merged(kind: Kind, *parts: Any) -> Any:
    """The parts as one; they stay as they are."""
    out = kind.back(parts[0].to_bytes())
    for p in parts[1:]:
        out.merge(kind.back(p.to_bytes()))
    return out


seeds = st.integers(0, 2**32)


@pytest.mark.parametrize("name", SUMMARIES)
@settings(max_examples=15, deadline=None)
@given(seed=seeds, n=st.integers(0, 120), cuts=st.tuples(st.integers(0, 120), st.integers(0, 120)))
def test_a_summary_is_a_commutative_monoid(name: str, seed: int, n: int, cuts: tuple[int, int]) -> None:
    kind = SUMMARIES[name]
    rng = np.random.default_rng(seed)
    rows = kind.rows(rng, n)
    order = np.arange(n)
    a, b, c = (filled(kind, taken(rows, piece)) for piece in np.split(order, sorted(min(cut, n) for cut in cuts)))
    whole = filled(kind, rows)
    shuffled = filled(kind, taken(rows, rng.permutation(n)))
    alike(merged(kind, a, b, c), whole, "any split")
    alike(shuffled, whole, "any order")
    alike(merged(kind, merged(kind, a, b), c), merged(kind, a, merged(kind, b, c)), "associative")
    alike(merged(kind, a, b), merged(kind, b, a), "commutative")
    alike(merged(kind, whole, kind.empty()), whole, "empty on the right")
    alike(merged(kind, kind.empty(), whole), whole, "empty on the left")


@pytest.mark.parametrize("name", SUMMARIES)
@settings(max_examples=10, deadline=None)
@given(seed=seeds, n=st.integers(0, 120))
def test_bytes_lead_back(name: str, seed: int, n: int) -> None:
    kind = SUMMARIES[name]
    summary = filled(kind, kind.rows(np.random.default_rng(seed), n))
    again = kind.back(summary.to_bytes())
    alike(again, summary)
    assert again.to_bytes() == summary.to_bytes()
    assert kind.empty().to_bytes() == kind.back(kind.empty().to_bytes()).to_bytes()


@pytest.mark.parametrize("task", LABELLED)
@settings(max_examples=10, deadline=None)
@given(seed=seeds, n=st.integers(0, 120), some=st.integers(0, 120))
def test_what_is_added_and_taken_back_was_never_added(task: str, seed: int, n: int, some: int) -> None:
    kind = SUMMARIES[f"PerformanceSummary {task}"]
    rng = np.random.default_rng(seed)
    rows, others = kind.rows(rng, n), kind.rows(rng, some)
    summary = filled(kind, rows)
    summary.add(others)
    summary.add(dataclasses.replace(others, weight=-others.weight))
    alike(summary, filled(kind, rows))


@pytest.mark.parametrize("name", [n for n in SUMMARIES if n not in ("Moments", "CategorySummary")])
def test_bytes_of_another_format_or_length_are_refused(name: str) -> None:
    kind = SUMMARIES[name]
    data = filled(kind, kind.rows(np.random.default_rng(1), 20)).to_bytes()
    with pytest.raises(ValueError):
        kind.back(bytes([data[0] ^ 0xFF]) + data[1:-1])


# What each takes at most when stored, in bytes, as its module says: here of two numbers, two categories, three classes.
STORED_MOST = {
    "Moments": 40, "GridSummary": 16 * (len(EDGES) + 1) + 80, "AdaptiveSummary": 16_464, "CategorySummary": 10 * 8 + 40,
    "LatencySummary": 15_000, "CodeSums": 32 * 6_000, "WindowSummary": 60_000, "WindowSummary on a grid": 60_000,
    "WindowSummary with all parts": 200_000, "PerformanceSummary binary": 99_000, "PerformanceSummary multiclass": 3 * 120_000,
    "PerformanceSummary multilabel": 3 * (2_000 + 13_000), "PerformanceSummary regression": 246_000, "PerformanceSummary ranking": 2_000,
    "PerformanceSummary quantile": 3 * 2_000, "PerformanceSummary none": 3 * 120_000, "score_spread": 82_000, "sample": 20 * 120,
    "score_cells": 100_000, "class_cells": 3 * 12_600, "numbers": 16_030, "outliers": 17, "worst_rows": 5 * 120,
    "worst_segments": 28 * 4_000, "multivariate": 44 + 8 * 8 * 9 + 2 * 4_096 + 48 * 5, "rules": 24 * 3 + 20_000, "label_spread": 164_000,
    "error_cells": 24 * 400, "worst_errors": 69_000, "request_errors": 32 * 30, "request_numbers": 48 * 30, "number_moments": 2 * 40 + 60, "errors": 4_000,
    "outcome_sample": 60_000,
}  # fmt: skip


@pytest.mark.parametrize("name", SUMMARIES)
def test_a_summary_is_bounded_as_its_module_says(name: str) -> None:
    kind = SUMMARIES[name]
    summary = filled(kind, kind.rows(np.random.default_rng(3), 40_000))
    assert len(summary.to_bytes()) <= STORED_MOST[name]
    stated = inspect.getmodule(type(summary)).__doc__ or ""  # type: ignore[union-attr]
    assert "Size" in stated, f"{type(summary).__module__} says nothing of its size"


def test_every_part_of_the_registries_is_held_to_this_algebra() -> None:
    assert set(INPUT_OPTIONS) == set(INPUT_PARTS), "give each INPUT_PARTS entry its options in INPUT_OPTIONS"
    assert set(OUTCOME_OPTIONS) == set(OUTCOME_PARTS), "give each OUTCOME_PARTS entry its options in OUTCOME_OPTIONS"


def test_every_class_that_merges_is_held_to_this_algebra() -> None:
    held = {type(kind.empty()) for kind in SUMMARIES.values()}
    for module in pkgutil.walk_packages(detectors.__path__, "detectors."):
        for _, found in inspect.getmembers(importlib.import_module(module.name), inspect.isclass):
            if found.__module__.startswith("detectors.") and hasattr(found, "merge") and not inspect.isabstract(found):
                if not getattr(found, "_is_protocol", False):
                    assert found in held, f"{found.__module__}.{found.__name__} merges, but is not in SUMMARIES"
