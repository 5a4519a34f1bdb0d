"""Scores that no mixture of the reference's classes makes are found, and those that one makes hold the level."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from detectors.label_mixture import misfit, why_unfit

EDGES = np.linspace(0.0, 1.0, 201)


def scores(rng, positive, rows, moved=0.0):
    """A logistic model's scores of rows of which so many are positive; moved: inputs, of both classes alike."""
    label = rng.random(rows) < positive
    return label, stats.logistic.cdf(rng.normal(np.where(label, 1.0, -1.0) + moved, 1.0))


def cells(values):
    return np.histogram(values, EDGES)[0]


def reference(rng, rows=20_000):
    label, score = scores(rng, 0.3, rows)
    return np.stack([cells(score[~label]), cells(score[label])])


@pytest.mark.parametrize("positive", [0.3, 0.7])
def test_windows_of_other_shares_are_mixtures_at_the_level_that_is_said(positive):
    rng = np.random.default_rng(3)
    found = [misfit(reference(rng), cells(scores(rng, positive, 1000)[1]), positive, 0.0)[0] for _ in range(300)]
    for level in (0.05, 0.2):
        assert abs(np.mean(np.array(found) <= level) - level) < 4 * np.sqrt(level * (1 - level) / 300)
    assert not any(why_unfit(reference(rng), cells(scores(rng, positive, 1000)[1]), positive, 0.02) for _ in range(50))


def test_inputs_that_moved_are_no_mixture_whatever_the_shares():
    rng = np.random.default_rng(4)
    of_window = cells(scores(rng, 0.3, 1000, moved=1.5)[1])
    assert all("another way" in why_unfit(reference(rng), of_window, share, 0.02) for share in np.linspace(0.0, 1.0, 11))


def test_sides_without_rows_say_nothing():
    rng = np.random.default_rng(5)
    assert np.isnan(misfit(reference(rng), np.zeros(200, dtype=np.int64), 0.3, 0.0)).all()
    assert why_unfit(np.stack([np.zeros(200, dtype=np.int64)] * 2), cells(scores(rng, 0.3, 100)[1]), 0.3, 0.0) == ""
    one = np.zeros((2, 200), dtype=np.int64)
    one[:, 7] = 50
    assert np.isnan(misfit(one, one[0], 0.3, 0.0)).all()
