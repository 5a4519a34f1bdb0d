"""The detectors of a stream of errors fire at the very row at which River's, or Frouros's, implementations fire.

River runs beside them. Frouros 0.9 cannot be installed beside this numpy; what it fires at on streams of numpy's frozen
RandomState was noted once and stands here.
"""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from river import drift
from scipy.stats import ks_2samp

from detectors.stream import STREAM_DETECTORS
from detectors.stream.kswin import kolmogorov_p
from tests.drift_streams import GENERATORS, KINDS, error_stream

RIVER = {
    "adwin": lambda: drift.ADWIN(),
    "ddm": lambda: drift.binary.DDM(),
    "eddm": lambda: drift.binary.EDDM(),
    "hddm_a": lambda: drift.binary.HDDMA(),
    "hddm_w": lambda: drift.binary.HDDMW(),
    "page_hinkley": lambda: drift.PageHinkley(),
    "kswin": lambda: drift.KSWIN(seed=0),
}
KSWIN_ROWS = 1200  # River tests every row with scipy


def of_river(detector, errors):
    """(fired, warning zone entered) of one of River's detectors."""
    fired, warned, in_zone = [], [], False
    for i, x in enumerate(errors):
        detector.update(x)
        warns = bool(getattr(detector, "warning_detected", False)) and not detector.drift_detected
        if warns and not in_zone:
            warned.append(i)
        in_zone = warns
        if detector.drift_detected:
            fired.append(i)
    return fired, warned


def hits(name, errors, **options):
    found = STREAM_DETECTORS[name](**options).update(np.asarray(errors, dtype=float))
    return found.fired.tolist(), found.warned.tolist()


def numbers(name, errors):
    return errors.astype(int).tolist() if name in ("ddm", "eddm", "hddm_a", "hddm_w") else errors.tolist()


@pytest.mark.parametrize("generator", GENERATORS)
@pytest.mark.parametrize("kind", KINDS)
def test_each_fires_and_warns_where_rivers_does_on_every_drift_stream(generator, kind):
    for name, make in RIVER.items():
        errors = error_stream(generator, kind).errors
        if name == "kswin":
            middle = len(errors) // 2
            errors = errors[middle - KSWIN_ROWS // 2 : middle + KSWIN_ROWS // 2]
        assert hits(name, errors) == of_river(make(), numbers(name, errors)), name


def test_the_drift_streams_have_drift_that_can_be_found():
    found = sum(bool(hits("adwin", error_stream(g, k).errors)[0]) for g in GENERATORS for k in KINDS)
    assert found == len(GENERATORS) * len(KINDS)


@pytest.mark.parametrize("name", ["adwin", "page_hinkley", "kswin"])
def test_those_for_any_error_fire_where_rivers_does_on_the_errors_of_a_regression(name):
    rng = np.random.default_rng(7)
    errors = np.abs(np.concatenate([rng.normal(0, s, 500) for s in (1.0, 3.0, 1.0)]))
    options = {"threshold": 20.0} if name == "page_hinkley" else {}
    make = (lambda: drift.PageHinkley(threshold=20.0)) if name == "page_hinkley" else RIVER[name]
    found = hits(name, errors, **options)
    assert found == of_river(make(), errors.tolist()) and found[0]


def test_options_mean_what_they_mean_to_river():
    errors = error_stream("sine", "recurring").errors
    whole = errors.astype(int).tolist()
    binary = drift.binary
    assert hits("hddm_a", errors, two_sided=1) == of_river(binary.HDDMA(two_sided_test=True), whole)
    assert hits("hddm_w", errors, two_sided=1, weight=0.02) == of_river(binary.HDDMW(two_sided_test=True, lambda_val=0.02), whole)
    assert hits("ddm", errors, drift=4.0, warm_start=100) == of_river(binary.DDM(drift_threshold=4.0, warm_start=100), whole)
    assert hits("eddm", errors, alpha=0.8, beta=0.75) == of_river(binary.EDDM(alpha=0.8, beta=0.75), whole)
    assert hits("adwin", errors, delta=0.1, clock=16, grace=20) == of_river(
        drift.ADWIN(delta=0.1, clock=16, grace_period=20), errors.tolist()
    )
    for side, mode in ((1, "up"), (-1, "down")):
        theirs = of_river(drift.PageHinkley(threshold=10, mode=mode), errors.tolist())
        assert hits("page_hinkley", errors, threshold=10, side=side) == theirs


def test_published_indices_of_river_are_met():
    rng = random.Random(42)
    stream = rng.choices([0, 1], k=1000) + rng.choices([0, 1], k=1000, weights=[0.3, 0.7])
    assert hits("ddm", stream)[0] == [1334]
    assert hits("eddm", stream, alpha=0.8, beta=0.75)[0] == [1278]
    assert hits("hddm_a", stream)[0] == [1206]
    assert hits("hddm_w", stream)[0] == [1077]
    rng = random.Random(12345)
    stream = rng.choices([0, 1], k=1000) + rng.choices(range(4, 8), k=1000)
    assert hits("kswin", stream, alpha=0.0001, seed=42)[0] == [1016]
    rng = random.Random(12345)
    assert hits("adwin", rng.choices([0, 1], k=1000) + rng.choices(range(4, 8), k=1000))[0] == [1023]


def frouros_stream(kind, rows=4000):
    t = np.arange(rows)
    rate = {
        "sudden": np.where(t < rows // 2, 0.2, 0.5),
        "gradual": 0.2 + 0.3 / (1 + np.exp(-(t - rows / 2) / (rows / 20))),
        "incremental": 0.2 + 0.3 * np.clip((t - rows / 4) / (rows / 2), 0, 1),
        "recurring": np.where((t // (rows // 4)) % 2 == 0, 0.2, 0.5),
    }[kind]
    return (np.random.RandomState(31).random_sample(rows) < rate).astype(float)


FROUROS = {
    "sudden": {
        "cusum": [2051, 2769], "gma": [2097], "ecdd": [347, 409, 1117, 1430, 1510, 1672, 2017], "ddm": [2139], "hddm_w": [2053],
    },
    "gradual": {
        "cusum": [1681, 2213, 2514], "gma": [2180], "ecdd": [347, 409, 1117, 1430, 1509, 1933, 2140, 2323],
        "ddm": [1894, 2379], "hddm_w": [1933, 2323],
    },
    "incremental": {
        "cusum": [1529, 2320, 2922, 3285], "gma": [2324],
        "ecdd": [347, 409, 1117, 1430, 1509, 1933, 2140, 2383, 3065], "ddm": [1708, 2903], "hddm_w": [1933, 2384, 2921],
    },
    "recurring": {"cusum": [1062, 1875, 3065, 3840], "gma": [1070, 3342], "ecdd": [347, 409, 1016, 3029], "ddm": [1093, 3340]},
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_each_fires_where_frouros_does(kind):
    options = {"cusum": {"threshold": 20.0}, "gma": {"threshold": 0.15}}
    for name, expected in FROUROS[kind].items():
        assert hits(name, frouros_stream(kind), **options.get(name, {}))[0] == expected, name


def test_published_indices_of_frouros_are_met():
    rng = np.random.RandomState(31)
    three = np.concatenate([rng.normal(0, 0.5, 100), rng.normal(4, 0.2, 100), rng.normal(6, 0.5, 100)])
    assert hits("cusum", three, min_rows=1)[0] == [113, 226]
    assert hits("gma", three, min_rows=1)[0] == [134]
    rng = np.random.RandomState(31)
    two = np.concatenate([rng.normal(0.2, 0.01, 1000), rng.normal(0.8, 0.04, 1000)])
    assert hits("cusum", two)[0] == [1086]
    assert hits("gma", two, threshold=0.3)[0] == [1071]
    assert hits("adwin", two)[0] == [1023]


@pytest.mark.parametrize("n", [5, 30, 47])
def test_the_exact_p_value_of_kswin_is_scipys(n):
    for h in range(1, n + 1):
        sample = np.arange(n, dtype=float)
        theirs = ks_2samp(sample, sample + h - 0.5, method="exact")
        assert theirs.statistic == pytest.approx(h / n)
        assert kolmogorov_p(n, h) == pytest.approx(theirs.pvalue, rel=1e-9)


@st.composite
def cut_streams(draw):
    rates = draw(st.lists(st.floats(0, 1), min_size=1, max_size=4))
    seed, rows = draw(st.integers(0, 2**32 - 1)), draw(st.integers(1, 500))
    rng = np.random.default_rng(seed)
    errors = np.concatenate([(rng.random(rows) < rate).astype(float) for rate in rates])
    cuts = sorted(draw(st.lists(st.integers(0, len(errors)), max_size=8)))
    return errors, cuts


@pytest.mark.parametrize("name", sorted(STREAM_DETECTORS))
@settings(max_examples=40, deadline=None)
@given(cut_streams())
def test_batches_and_restarts_change_nothing(name, stream):
    errors, cuts = stream
    kind = STREAM_DETECTORS[name]
    if not kind.binary:
        errors = errors * 0.7 + 0.1 * np.sin(np.arange(len(errors)))
    whole = kind()
    expected = whole.update(errors)
    detector, fired, warned = kind(), [], []
    for piece in np.split(errors, cuts):
        detector = kind.from_bytes(detector.to_bytes())
        found = detector.update(piece)
        fired += found.fired.tolist()
        warned += found.warned.tolist()
    assert (fired, warned) == (expected.fired.tolist(), expected.warned.tolist())
    assert detector.to_bytes() == whole.to_bytes()
    assert len(detector.to_bytes()) < 8000


@pytest.mark.parametrize("name", sorted(STREAM_DETECTORS))
def test_what_no_detector_can_judge_is_refused(name):
    kind = STREAM_DETECTORS[name]
    assert kind.name == name
    with pytest.raises(ValueError, match="finite"):
        kind().update(np.array([0.0, np.nan]))
    if kind.binary:
        with pytest.raises(ValueError, match="0 or 1"):
            kind().update(np.array([0.5]))
    with pytest.raises(ValueError, match="format"):
        kind.from_bytes(b"\x09")
    with pytest.raises(ValueError, match="not of"):
        other = next(d for d in STREAM_DETECTORS.values() if d is not kind)
        kind.from_bytes(other().to_bytes())


@pytest.mark.parametrize("name", sorted(STREAM_DETECTORS))
@pytest.mark.parametrize("value", [0.0, 1.0])
def test_a_constant_stream_never_fires(name, value):
    assert hits(name, np.full(3000, value))[0] == []
