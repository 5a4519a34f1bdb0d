"""The first weeks of a model whose inputs and volume have a season of days and of weeks: no wolf is cried, no outage missed."""

from __future__ import annotations

import numpy as np
import pytest

from detectors.calibrate.weeks import margins, same_kind, scatter
from monitor.first_days import DAY, NARROW
from tests.bench.quality import live
from tests.bench.quality.driftd import Memory, judged_window, model_of
from tests.bench.quality.null_streams import HOUR_MS, START_MS, Stream
from tests.bench.quality.rows import SEASON, WEEK, Rows

THURSDAY, SATURDAY, SUNDAY, MONDAY = 0, 48, 72, 96  # hours after START_MS


def hours(*numbers: int) -> np.ndarray:
    return np.array([START_MS + n * HOUR_MS for n in numbers], dtype=np.int64)


@pytest.mark.parametrize(
    ("hour", "like"),
    [
        (THURSDAY + 12, []),
        (THURSDAY + 24 + 6, [12]),
        (THURSDAY + 24 + 18, []),  # Saturday in Sydney
        (SATURDAY + 12, []),
        (SUNDAY + 12, []),
        (MONDAY + 6, []),  # Sunday in San Francisco
        (MONDAY + 9, [12, 30]),
        (SATURDAY + 168 + 12, [SATURDAY + 12]),
    ],
)
def test_days_are_alike_that_are_alike_wherever_people_live(hour, like):
    before = [12, 30, 42, SATURDAY + 12, SUNDAY + 12]
    known = [n for n in before if n < hour]
    found = same_kind(hours(*known), START_MS + hour * HOUR_MS)
    assert [n for n, same in zip(known, found, strict=True) if same] == like


def test_margins_leave_out_what_is_no_measure_and_are_as_wide_as_the_season():
    values, out = np.array([1.0, 2.0, 3.0, np.nan, 9.0]), np.array([False, False, False, False, True])
    assert margins(values, out, 0.0, 0.0) == (1.0 - 3.0, 3.0 + 1.0)
    assert margins(values, out, 0.0, 0.5) == (0.5, 3.25)
    assert margins(values, np.ones(5, dtype=np.bool_), 0.0, 0.5) == (0.5, 9.25)


def test_series_scatter_about_the_week_before_once_that_is_known():
    rng = np.random.default_rng(1)
    season = np.tile(np.repeat([3.0, 3.0, 1.0, 1.0, 3.0, 3.0, 3.0], 24), 3)
    noisy = season + rng.normal(0.0, 0.1, len(season))
    found = scatter(noisy[:, None], hours(*range(len(season))), np.array([9.0]))
    assert found[0] == pytest.approx(0.1, rel=0.15)
    assert scatter(noisy[:3, None], hours(0, 1, 2), np.array([0.3])).tolist() == [0.3]


class Volume:
    """Verdicts on a model's rows an hour, from a Thursday midnight on: day and night, and weekends of a third."""

    def __init__(self, seed: int) -> None:
        self.stream = Stream("gaussian", 400, 5_000, seed, features=1)
        self.model, self.memory = model_of(self.stream), Memory()
        self.rows, self.rng = Rows(WEEK, 400, seed), np.random.default_rng(seed)

    def at(self, hour: int, times: float = 1.0) -> tuple[str, str, float]:
        window = self.stream.window(hour % 24)
        window.rows = max(1, int(self.rng.poisson(times * self.rows.usual_rows(hour) * self.rng.lognormal(0.0, 0.03))))
        found = judged_window(self.model, self.memory, window, START_MS + hour * HOUR_MS)
        finding = next(f for f in found if f.score.subject == "traffic" and f.score.name == "rows")
        return finding.level, finding.rule, finding.score.value

    def through(self, first: int, last: int) -> list[tuple[str, str, float]]:
        return [self.at(hour) for hour in range(first, last)]


def test_volume_that_falls_each_weekend_alarms_in_none_of_four_weeks():
    found = Volume(3).through(0, 4 * 168)
    assert [i for i, (level, _, _) in enumerate(found) if level == "breach"] == []
    first = found[SATURDAY : MONDAY + 8]
    assert any(level == "unsure" and rule.endswith(DAY) for level, rule, _ in first)
    assert all("same hour of earlier weeks" in rule for _, rule, _ in found[168 + SATURDAY + 48 :])


def test_an_outage_of_the_first_weekend_is_called_and_makes_no_later_weekend_odd():
    volume = Volume(4)
    volume.through(0, SATURDAY + 12)
    assert all(volume.at(SATURDAY + 12 + i, 0.02)[0] == "breach" for i in range(4))
    assert not [level for level, _, _ in volume.through(SATURDAY + 16, 3 * 168) if level == "breach"]


def test_a_leap_beyond_all_hours_is_called_on_the_first_weekend():
    volume = Volume(5)
    volume.through(0, SATURDAY + 12)
    assert volume.at(SATURDAY + 12, 15.0)[0] == "breach"


def test_from_the_second_week_on_volume_is_held_against_the_same_hour_of_the_week():
    volume = Volume(6)
    volume.through(0, 168 + SATURDAY + 12)
    level, rule, value = volume.at(168 + SATURDAY + 12, 0.3)
    assert level == "breach" and "same hour of earlier weeks" in rule
    volume.through(168 + SATURDAY + 13, 2 * 168 + SUNDAY + 13)
    level, _, value = volume.at(2 * 168 + SUNDAY + 13, 3.0)
    assert level == "breach" and value < 1.2 * 400  # as many as on every weekday at that hour
    assert volume.at(2 * 168 + SUNDAY + 14)[0] == "ok"


def test_an_hour_is_narrower_than_the_day_and_sums_of_squares_move_as_the_column_does():
    """The first two days of a strong daily season, by all scores of its features."""
    rows = Rows(SEASON, 500, 0, features=3)
    watched = live.model_of(rows, 20_000, "statistics: {default: [js, psi, chi2, kl, g_test, std_shift]}\n"
                            "    calibration: {scores: [psi, chi2, kl, g_test, std_shift]}", "{name: every}")  # fmt: skip
    stream = live.Live(watched)
    found = [s for i in range(30) for s in stream.publish(rows, i)]
    assert [s for s in found if s.level == "breach" and s.rule.startswith("calibrated")] == []
    narrow = [s for s in found if s.score == "std_shift" and s.rule.endswith(NARROW)]
    assert len(narrow) > 20 and all(s.level == "unsure" for s in narrow)
    draw = rows.features
    rows.features = lambda n, hour, shift=0.0: {k: v * (3.0 if k == "f00" else 1.0) for k, v in draw(n, hour, shift).items()}
    assert any(s.score == "std_shift" and s.subject == "f00" and s.level == "breach" for s in stream.publish(rows, 30))
