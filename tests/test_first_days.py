"""The first week: what has not moved keeps the limits of independent rows from the second day on, what moves by the hour its wide ones."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from detectors.calibrate.first_days import DAY_MS, LEAST_MOVED, day_noise, earlier_days, moved, same_hour
from detectors.calibrate.history import learn
from detectors.calibrate.nulls import NORMAL, NORMAL_EITHER
from tests.bench.quality.driftd import Memory, judged_window, model_of
from tests.bench.quality.null_streams import HOUR_MS, START_MS, Stream

SCORES = 150
FAR = 4.0  # about where the limit of one of so many scores lies


def positions(rng, hours, amplitude=0.0, seasonal=1.0, spike=False):
    """Of windows of an hour, and the hours' share in them: a part of the scores moves by the hour of the day."""
    at = np.arange(hours)[:, None] / 24.0 + rng.random(SCORES)
    season = amplitude * (np.abs(np.sin(np.pi * at)) if not spike else (np.arange(hours)[:, None] % 24 == 9))
    season = season * (np.arange(SCORES) < seasonal * SCORES)
    return rng.standard_normal((hours, SCORES)) + season, season


def limits(values, hour):
    """The place on the null's scale at which each score of window `hour` alarms, of a closed limit of FAR."""
    starts = START_MS + HOUR_MS * np.arange(hour)
    calm = np.zeros((hour, values.shape[1]), dtype=np.bool_)
    same = same_hour(starts, START_MS + hour * HOUR_MS)
    values = values[:hour]
    days = earlier_days(values, calm, calm, same, 1.0, moved(values, calm), day_noise(values, calm, starts))
    return np.array([days.of(i).value(FAR) for i in range(values.shape[1])])


@pytest.mark.parametrize("hour", [24, 30, 47, 110, 160])
def test_independent_rows_keep_the_closed_limits_from_the_second_day_on(hour):
    kept = []
    for seed in range(8):
        values, _ = positions(np.random.default_rng(seed), hour)
        chance = np.array([NORMAL.survival(at) for at in limits(values, hour)]) / NORMAL.survival(FAR)
        kept.append(chance.mean())
    assert 0.85 < np.mean(kept) <= 1.0


@pytest.mark.parametrize(
    ("amplitude", "seasonal", "spike"), [(1.0, 1.0, False), (3.0, 1.0, False), (3.0, 0.02, False), (6.0, 0.02, True)]
)
def test_a_season_of_many_scores_or_of_one_keeps_its_wide_limits(amplitude, seasonal, spike):
    """The chance that a window alarms on a score that has the season, over the one that is meant: over hours of the second day."""
    times = []
    for seed in range(6):
        values, season = positions(np.random.default_rng(seed), 48, amplitude, seasonal, spike)
        for hour in range(24, 48):
            one = np.arange(SCORES) < seasonal * SCORES
            chance = [NORMAL.survival(at) for at in limits(values, hour)[one] - season[hour, one]]
            times.append(np.mean(chance) / NORMAL.survival(FAR))
    assert np.mean(times) < 2.0


def test_limits_around_a_strong_season_are_as_wide_as_days_differ_once_two_were_seen():
    """The chance that a window alarms over the one that is meant: of the noise between days, whatever the season's own movement."""
    for noise, least in ((1.0, 0.05), (1.3, 0.02)):
        times = []
        for seed in range(3):
            values, season = positions(np.random.default_rng(seed), 144, 20.0)
            values = season + noise * (values - season)
            for hour in range(121, 144, 3):
                chance = [NORMAL.survival(at) for at in (limits(values, hour) - season[hour]) / noise]
                times.append(np.mean(chance) / NORMAL.survival(FAR))
        assert least < np.mean(times) < 1.5


def test_how_days_differ_is_not_known_before_half_a_day_was_seen_twice():
    values, _ = positions(np.random.default_rng(1), 60, 20.0)
    starts, called = START_MS + HOUR_MS * np.arange(60), np.zeros(values.shape, dtype=np.bool_)
    assert np.isnan(day_noise(values[:35], called[:35], starts[:35])).all()
    assert 1.0 <= np.median(day_noise(values[:36], called[:36], starts[:36])) < 1.4
    values[:, 0] += 5.0 * np.random.default_rng(2).standard_normal(60)
    called[30:, 1] = True
    found = day_noise(values, called, starts)
    assert found[0] > 8.0 and np.isnan(found[1]) and 1.0 <= np.median(found[2:]) < 1.3


def test_movement_is_told_of_windows_enough_and_of_none_that_was_called():
    rng = np.random.default_rng(1)
    values, _ = positions(rng, 48)
    called = np.zeros(values.shape, dtype=np.bool_)
    assert np.isinf(moved(values[: LEAST_MOVED - 1], called[: LEAST_MOVED - 1])).all()
    found = moved(values, called)
    assert np.median(found) < 0.1 and np.mean(found > 0.5) < 0.1
    values[20:, 0] = 9.0  # drift that came and stays
    assert moved(values, called)[0] > 5.0
    called[20:, 0] = True
    assert moved(values, called)[0] == pytest.approx(found[0], abs=0.7)
    values[:, 1] = np.nan
    assert np.isinf(moved(values, called)[1])


def test_without_a_season_windows_alarm_as_often_as_the_budget_says_from_the_second_day_on_and_at_the_first_weekend():
    """20 features, 40 alarms a week asked for: a fifth of the windows may alarm, once a day was seen."""
    asked, bad, windows, weekend = 0.0, 0, 0, 0
    for seed in range(2):
        stream, memory = Stream("gaussian", 500, 20_000, seed, features=20), Memory()
        watched = model_of(stream, false_alarms_per_week=40.0)
        asked = watched.calibration.window_level(HOUR_MS)
        for hour in range(96):  # Thursday to Sunday
            found = judged_window(watched, memory, stream.window(hour % 24), START_MS + hour * HOUR_MS)
            if hour * HOUR_MS >= DAY_MS:
                bad += any(f.level == "breach" for f in found)
                weekend += hour >= 48 and any(f.level == "breach" for f in found)
                windows += 1
            else:
                assert not any(f.level == "breach" for f in found)
    assert 0.4 < bad / windows / asked < 1.7
    assert 0.3 < weekend / 96 / asked < 2.0


@pytest.mark.parametrize(("common", "lost", "least"), [(0.0, 0.9, 0.9), (0.2, 0.72, 0.72), (1 / 3, 0.5, 0.58)])
def test_the_references_error_is_not_counted_twice_once_past_windows_have_it(common, lost, least):
    """Two-sided deviates of which windows share a part, the reference's error: how often they pass the limit of 0.01."""
    rng, windows, later, scores = np.random.default_rng(4), 200, 150, 600
    shared = rng.standard_normal(scores)
    deviates = np.abs(np.sqrt(common) * shared + np.sqrt(1.0 - common) * rng.standard_normal((windows + later, scores)))
    values = (deviates - NORMAL_EITHER.centre) / NORMAL_EITHER.spread
    expected = learn(values[:windows], START_MS + HOUR_MS * np.arange(windows)).at(START_MS + windows * HOUR_MS)
    passed = {}
    for left in (1.0, float(np.sqrt(1.0 - common))):
        far = (NORMAL_EITHER.value_at(0.01) - NORMAL_EITHER.centre) / NORMAL_EITHER.spread
        pasts = [replace(expected.of(i), least=left) for i in range(scores)]
        passed[left] = float(np.mean(values[windows:] >= np.array([past.value(far) for past in pasts]))) / 0.01
        assert all(past.position(past.value(far)) == pytest.approx(far) for past in pasts)
    assert least < passed[left] < 1.05
    assert common == 0.0 or passed[1.0] < lost  # were no spread smaller than the null's
