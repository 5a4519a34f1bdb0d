"""The promise, on windows drawn from known distributions: the rate of false alarms, the season, what is found, what is unsure."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from alerts.policy import Policy
from alerts.rules import Rule
from detectors.calibrate.episodes import usual
from detectors.calibrate.history import LEAST_WINDOWS, hour_of_week, learn
from detectors.choice import Choice
from detectors.columns import Schema
from detectors.limits import Limit
from detectors.profile import Profile
from detectors.score import Score
from detectors.window import WindowSummary
from monitor import past
from monitor.budget import WEEK_MS, Calibration
from monitor.past import CHUNK, Chunk, Past, forget_old_references
from monitor.verdicts import headlines
from tests.bench.quality.driftd import Memory, judged_window, model_of
from tests.bench.quality.live import Live
from tests.bench.quality.live import model_of as model_of_config
from tests.bench.quality.null_streams import HOUR_MS, START_MS, Stream, columns
from tests.bench.quality.rows import Rows

CHOICE = Choice(default=("js", "rank_shift"))


def model(stream, **said):
    return replace(model_of(stream, **said), statistics=CHOICE)


def of(findings, score, subject="f00"):
    return next(f for f in findings if f.score.name == score and f.score.subject == subject)


def breaches(findings):
    return [f for f in findings if f.level == "breach" and f.score.name in ("js", "rank_shift")]


@pytest.mark.parametrize(("shape", "size"), [("gaussian", 50), ("zero-inflated", 500), ("heavy-tailed", 50)])
def test_windows_in_which_nothing_changes_alarm_as_often_as_the_budget_says(shape, size):
    """20 features, 40 false alarms a week asked for: of 120 windows of an hour in four streams, about 25 may alarm."""
    bad = windows = 0
    for seed in range(4):
        stream = Stream(shape, size, 20_000, seed, features=20)
        watched = model(stream, use_past=False, false_alarms_per_week=40.0)
        for i in range(30):
            bad += bool(breaches(judged_window(watched, Memory(), stream.window(i % 24), START_MS + i * HOUR_MS)))
            windows += 1
    assert watched.calibration.window_level(HOUR_MS) == pytest.approx(0.2, abs=0.015)
    assert 0.1 < bad / windows < 0.33


def test_a_shift_is_found_and_says_how_far_out_it_lay_and_what_gave_the_limit():
    stream = Stream("gaussian", 1000, 20_000, 1, features=5)
    found = judged_window(model(stream, use_past=False), Memory(), stream.window(0, shift=0.5), START_MS)
    shift, calm = of(found, "rank_shift"), of(found, "rank_shift", "f01")
    assert (shift.level, calm.level) == ("breach", "ok") and shift.score.value > shift.threshold > calm.score.value
    assert shift.rule == "calibrated rank_shift" and shift.score.evidence["probability"] < shift.score.evidence["needed"]


def test_scores_beyond_those_that_a_memory_has_room_for_say_so(monkeypatch):
    """Of five features with two judged scores each, a memory of six keeps those of three."""
    monkeypatch.setattr(past, "MAX_SCORES", 6)
    stream, memory = Stream("gaussian", 500, 20_000, 1, features=5), Memory()
    watched, said = model(stream), "its past is not remembered, as the model has more than 6 scores of that kind"
    for number in range(CHUNK + 3):
        found = judged_window(watched, memory, stream.window(number % 24), START_MS + number * HOUR_MS)
        for name in ("js", "rank_shift"):
            rules = {f: of(found, name, f).rule for f in ("f00", "f01", "f02", "f03", "f04")}
            assert [f for f, rule in rules.items() if said in rule] == ["f03", "f04"], rules
    (index,) = (json.loads(blob) for name, blob in memory.states.items() if name == "past:reference:index")
    kept = [Chunk.from_bytes(memory.states[f"past:reference:{chunk}"]).names for chunk in index["chunks"]]
    assert all({name.split("|")[2] for name in names} == {"f00", "f01", "f02"} for names in kept)


def test_the_headline_by_wasserstein_has_a_limit_of_its_own():
    stream = Stream("heavy-tailed", 1000, 20_000, 1, features=3)
    found = judged_window(model_of(stream, use_past=False), Memory(), stream.window(0, shift=0.5), START_MS)
    headline, calm = of(found, "drift"), of(found, "drift", "f01")
    assert headline.score.evidence["statistic"] == "wasserstein" and headline.rule == "calibrated drift"
    assert headline.level == "breach" and headline.score.value > headline.threshold > 0
    assert calm.level == "ok" and calm.score.value < calm.threshold and headlines(found) == found


def test_a_headline_that_is_not_judged_itself_has_the_verdict_of_those_that_speak_for_it():
    stream = Stream("heavy-tailed", 1000, 20_000, 1, features=3)
    watched = model(stream, scores=frozenset({"js", "rank_shift"}), use_past=False)
    found = judged_window(watched, Memory(), stream.window(0, shift=0.5), START_MS)
    headline = of(found, "drift")
    assert headline.level == "breach" and headline.threshold is None
    assert "rank_shift" in headline.rule or "js" in headline.rule
    assert of(found, "drift", "f01").level == "ok" and headlines(found) == found


def test_static_limits_go_before_and_say_so():
    stream = Stream("gaussian", 1000, 20_000, 1, features=3)
    mixed = replace(model(stream, use_past=False), thresholds={"js": Limit(breach=0.9)})
    found = judged_window(mixed, Memory(), stream.window(0, shift=1.0), START_MS)
    assert (of(found, "js").level, of(found, "js").rule, of(found, "js").threshold) == ("ok", "static js", 0.9)
    assert of(found, "rank_shift").level == "breach"
    off = model(stream, false_alarms_per_week=0.0)
    assert of(judged_window(off, Memory(), stream.window(0, shift=1.0), START_MS), "rank_shift").rule == ""


def test_what_is_significant_and_small_does_not_alarm():
    stream = Stream("gaussian", 2_000_000, 4_000_000 // 100, 1, features=2)
    window = stream.window(0, shift=0.05)
    closed = model(stream, use_past=False)
    assert of(judged_window(closed, Memory(), window, START_MS), "rank_shift").level == "breach"
    floors = model(stream, use_past=False, min_effect={"rank_shift": 0.05, "js": 0.05})
    assert of(judged_window(floors, Memory(), window, START_MS), "rank_shift").level == "ok"


def test_few_rows_are_unsure_and_the_limit_says_what_could_have_been_seen():
    stream = Stream("gaussian", 20, 20_000, 1, features=2)
    found = of(judged_window(model(stream), Memory(), stream.window(0, shift=3.0), START_MS), "rank_shift")
    assert found.level == "unsure" and "20 rows of the 30" in found.rule and 0.3 < found.threshold <= 1.0


def test_fewer_alarms_are_asked_for_with_wider_limits_and_a_streak_narrows_them_again():
    stream = Stream("gaussian", 500, 20_000, 1, features=2)
    window = stream.window(0)

    def limit(budget, **rule):
        watched = replace(model(stream, false_alarms_per_week=budget), policy=Policy((Rule("r", scores=("rank_shift",), **rule),)))
        return of(judged_window(watched, Memory(), window, START_MS), "rank_shift").threshold

    assert limit(0.1) > limit(1.0) > limit(10.0) > limit(10.0, for_windows=3)


def test_only_scores_that_a_rule_hears_share_its_budget():
    stream = Stream("gaussian", 500, 20_000, 1, features=20)
    window = stream.window(0)
    everything = of(judged_window(model(stream), Memory(), window, START_MS), "rank_shift").threshold
    one = replace(model(stream), policy=Policy((Rule("r", scores=("rank_shift",), subjects=("f00",)),)))
    assert of(judged_window(one, Memory(), window, START_MS), "rank_shift").threshold < everything


def test_a_daily_season_alarms_on_no_day_and_what_it_does_not_explain_does():
    stream = Stream("daily season", 2000, 24_000, 3, features=4)
    watched, memory = model(stream), Memory()
    bad, unsure = [], []
    for i in range(24 * 16):
        found = judged_window(watched, memory, stream.window(i % 24), START_MS + i * HOUR_MS)
        bad.append(len(breaches(found)))
        unsure.append(sum("held, it may be the hour" in f.rule for f in found if f.score.name == "rank_shift"))
    assert sum(map(bool, bad)) <= 6 and sum(map(bool, bad[:24])) == 0, bad
    assert sum(map(bool, unsure[:24])) > 12 and not any(unsure[24:])
    shifted = judged_window(watched, memory, stream.window(0, shift=1.0), START_MS + 24 * 16 * HOUR_MS)
    assert of(shifted, "rank_shift").level == "breach" and "past" in of(shifted, "rank_shift").rule


class TestFirstDays:
    """Windows of an hour of streams without a season; what they find as a word of a letter an hour: . ok, u unsure, B breach."""

    def word(self, shift_at, hours, rows=1000, reference="gaussian", slide_ms=HOUR_MS, feature="f00"):
        stream = Stream(reference, rows, 20_000, 2, features=3)
        watched, memory = replace(model(stream), size_ms=slide_ms, slide_ms=slide_ms), Memory()
        out = ""
        for i in range(hours):
            found = judged_window(watched, memory, stream.window(i % 24, shift_at(i)), START_MS + i * slide_ms)
            levels = {f.level for f in found if f.score.subject == feature and f.score.name in ("js", "rank_shift")}
            out += "B" if "breach" in levels else "u" if "unsure" in levels else "."
        return out.replace("w", ".")

    def test_a_jump_is_found_on_the_first_day_and_goes_on_until_it_ends(self):
        word = self.word(lambda i: 1.0 if 8 <= i < 40 else 0.0, 60)
        assert "B" not in word[:8] and set(word[8:40]) == {"B"} and "B" not in word[40:]

    def test_a_jump_is_found_within_minutes_where_windows_are_minutes(self):
        word = self.word(lambda i: 1.0 if i >= 8 else 0.0, 90, slide_ms=60_000)
        assert "B" not in word[:8] and set(word[8:]) == {"B"}

    def test_what_moves_slowly_is_held_for_a_day_and_called_when_it_stays(self):
        word = self.word(lambda i: min(1.0, i / 12), 48)
        assert "B" not in word[:24] and word[6:24].count("u") >= 15 and set(word[25:]) == {"B"}

    def test_what_was_so_from_the_first_window_is_held_for_a_day_and_then_called(self):
        word = self.word(lambda i: 0.7, 48)
        assert set(word[:24]) == {"u"} and set(word[24:]) == {"B"}

    def test_the_hour_of_a_datetime_feature_is_no_jump_and_its_weekday_waits_a_week(self):
        rng, names = np.random.default_rng(1), ("seen.hour", "seen.weekday", "plain")
        stream = Stream("categories", 300, 100, 1, features=1)
        stream.schema = Schema((), names, kinds={"seen": "datetime"})
        rows = {name: np.array([f"v{v}" for v in rng.integers(0, 24 if name == "seen.hour" else 7, 5000)]) for name in names}
        stream.profile = Profile.build(columns(rows, stream.schema), stream.schema, "reference")
        watched, memory, called = model(stream), Memory(), dict.fromkeys(names, 0)
        for i in range(60):
            window = WindowSummary.empty(stream.schema, stream.profile)
            day = np.array([f"v{i // 24}"] * 300)
            of_window = {
                "seen.hour": np.array([f"v{i % 24}"] * 300),
                "seen.weekday": day,
                "plain": day if i > 6 else rows["plain"][:300],
            }
            window.add(columns(of_window, stream.schema))
            for finding in judged_window(watched, memory, window, START_MS + i * HOUR_MS):
                called[finding.score.subject] = called.get(finding.score.subject, 0) + (finding.level == "breach")
        assert called["seen.hour"] == called["seen.weekday"] == 0 < called["plain"]

    def test_what_no_hour_of_the_reference_can_hold_is_called_at_once(self):
        assert self.word(lambda i: 5.0, 4) == "BBBB"
        assert self.word(lambda i: 0.0, 4) == "...."

    def test_a_category_that_is_one_value_from_the_first_window_on_is_called_at_once(self):
        rng = np.random.default_rng(1)
        stream = Stream("categories", 300, 100, 1, features=1)
        stream.schema = Schema((), ("c",))
        stream.profile = Profile.build(
            columns({"c": rng.choice(np.array(["x", "y", "z"]), 5000)}, stream.schema), stream.schema, "r"
        )
        watched, found = model(stream), {}
        for name, values in (("mostly", ["x"] * 280 + ["y"] * 20), ("constant", ["x"] * 300)):
            window = WindowSummary.empty(stream.schema, stream.profile)
            window.add(columns({"c": np.array(values)}, stream.schema))
            found[name] = of(judged_window(watched, Memory(), window, START_MS), "js", "c").level
        assert found == {"mostly": "unsure", "constant": "breach"}


def test_drift_that_stays_is_not_learned_as_usual():
    stream = Stream("gaussian", 1000, 20_000, 3, features=3)
    watched, memory = model(stream), Memory()
    levels = []
    for i in range(4 * CHUNK):
        found = judged_window(watched, memory, stream.window(i % 24, shift=0.4 if i >= 10 else 0.0), START_MS + i * HOUR_MS)
        levels.append(of(found, "rank_shift").level)
    assert set(levels[10:]) == {"breach"} and "breach" not in levels[:10]


def test_only_what_came_back_by_itself_three_times_is_usual():
    values = np.ones((8, 2))
    beyond = np.array([[0, 1, 0, 1, 0, 1, 0, 1], [0, 0, 0, 1, 1, 1, 1, 1]], dtype=np.bool_).T
    kept = usual(values, beyond)
    night = 10.0 + 8.0 * np.sin(np.arange(96) * np.pi / 12)  # always beyond, and by the hour
    assert not np.isnan(usual(night[:, None], np.ones((96, 1), dtype=np.bool_))).any()
    risen = np.concatenate([np.zeros(10), np.linspace(8, 40, 86)])
    assert np.isnan(usual(risen[:, None], (risen > 5)[:, None])).sum() == 86
    assert not np.isnan(kept[:, 0]).any() and np.isnan(kept[:, 1]).tolist() == [False] * 3 + [True] * 5


def test_independent_rows_leave_the_closed_limits_alone_and_scatter_widens_them():
    rng = np.random.default_rng(4)
    starts = START_MS + np.arange(672) * HOUR_MS
    calm = learn(rng.standard_normal((672, 60)), starts).at(int(starts[-1]) + HOUR_MS)
    assert np.mean([abs(calm.of(i).value(4.0) - 4.0) for i in range(60)]) < 0.15
    wide = learn(3.0 * rng.standard_normal((672, 60)), starts).at(int(starts[-1]) + HOUR_MS)
    for one in map(wide.of, range(60)):
        assert one.value(4.0) == pytest.approx(12.0, rel=0.35)
        assert one.position(one.value(4.0)) == pytest.approx(4.0)
    few = learn(3.0 * rng.standard_normal((LEAST_WINDOWS - 1, 5)), starts[: LEAST_WINDOWS - 1]).at(int(starts[-1]))
    assert all(few.of(i).value(4.0) == few.of(i).position(4.0) == 4.0 for i in range(5))


def test_hours_of_the_week_are_those_of_utc():
    assert hour_of_week(np.array([START_MS])).tolist() == [4 * 24]  # Thursday, 2026-01-01
    assert hour_of_week(np.array([START_MS + 3 * 24 * HOUR_MS])).tolist() == [0]


def test_volume_is_held_against_the_same_hour_of_earlier_days():
    stream = Stream("gaussian", 1000, 20_000, 5, features=1)
    watched, memory, rng = model(stream), Memory(), np.random.default_rng(6)

    def finding(i, factor=1.0):
        window = stream.window(i % 24)
        window.rows = int(1000 * (2 + np.sin(2 * np.pi * i / 24)) * factor * rng.lognormal(0, 0.02))
        return of(judged_window(watched, memory, window, START_MS + i * HOUR_MS), "rows", "traffic")

    first = finding(0)
    assert first.level == "unsure" and "too few past windows, 30 are needed and learned 32 at a time" in first.rule
    levels = [finding(i).level for i in range(1, 24 * 9)]
    assert levels.count("breach") == 0
    night = finding(24 * 9 + 18)
    assert night.level == "ok" and night.score.value < 1200  # as every night
    assert finding(24 * 9 + 6, factor=0.4).level == "breach"  # as many as at night, by day


@pytest.mark.parametrize(
    ("subject", "name", "usual", "scatter", "worse", "better"),
    [
        ("resource:server", "memory_bytes", 2e9, 0.03, 1.4, 0.6),
        ("resource:gpu", "gpu_temperature_celsius", 60.0, 0.03, 1.4, 0.7),
        ("cost", "window_usd", 3.0, 0.05, 1.6, 0.5),
        ("performance", "accuracy", 0.9, 0.01, 0.85, 1.1),
        ("performance", "mae", 5.0, 0.04, 1.5, 0.7),
        ("f00", "missing_share", 0.1, 0.05, 2.0, 0.3),
    ],
)
def test_any_metric_that_the_config_names_is_held_against_its_own_past(subject, name, usual, scatter, worse, better):
    stream = Stream("gaussian", 2000, 20_000, 5, features=1)
    watched, memory, rng = model(stream, series=frozenset({name})), Memory(), np.random.default_rng(8)
    watched = replace(watched, min_coverage=0.0)
    season = 1.0 if name == "accuracy" else 1.2

    def finding(i, factor=1.0):
        level = usual * season ** np.sin(2 * np.pi * i / 24) * rng.lognormal(0, scatter) * factor
        others = [Score(subject, name, min(level, 1.0) if usual < 1 else level, 2000)]
        found = judged_window(watched, memory, stream.window(i % 24), START_MS + i * HOUR_MS, others)
        return [f for f in found if (f.score.subject, f.score.name) == (subject, name)][-1]

    first = finding(0)
    assert first.level == "unsure" and "too few past windows" in first.rule
    levels = [finding(i).level for i in range(1, 24 * 8)]
    assert levels.count("breach") == 0 and "ok" in levels
    bad = finding(24 * 8 + 3, worse)
    assert bad.level == "breach" and bad.rule == f"calibrated {name}, same hour of earlier weeks"
    limits = bad.score.value, bad.threshold
    assert limits[0] < limits[1] if name == "accuracy" else limits[0] > limits[1]
    assert finding(24 * 8 + 4, better).level == "ok"  # nobody is called for what got better


def test_performance_counts_and_is_remembered_once_its_labels_are_there():
    stream = Stream("gaussian", 2000, 20_000, 5, features=1)
    waits, memory = replace(model(stream, series=frozenset({"mae"})), min_coverage=0.5), Memory()
    for i in range(80):
        found = judged_window(waits, memory, stream.window(0), START_MS + i * HOUR_MS, [Score("performance", "mae", 5.0 + i, 2000)])
    late = of(found, "mae", "performance")
    assert late.level == "unsure" and "min_coverage" in late.rule
    stored = Past(memory, "series", HOUR_MS, False).learned(START_MS + 80 * HOUR_MS)
    assert stored is not None and not any("mae" in name for name in stored[0])


class TestPast:
    def test_a_chunk_comes_back_from_its_bytes_and_other_formats_are_refused(self):
        beyond, held = np.array([[True, False], [False, True]]), np.array([[False, False], [False, True]])
        chunk = Chunk(["a", "b"], np.array([5, 6]), np.array([[1.0, np.nan], [2.5, 3.0]]), beyond, held)
        back = Chunk.from_bytes(chunk.to_bytes())
        assert back.names == chunk.names and back.starts.tolist() == [5, 6]
        assert (back.beyond == beyond).all() and (back.held == held).all()
        assert np.array_equal(back.values, chunk.values, equal_nan=True)
        with pytest.raises(ValueError, match="Upgrade"):
            Chunk.from_bytes(b"\x09" + chunk.to_bytes()[1:])

    def test_a_window_published_anew_replaces_its_row_and_order_does_not_matter(self):
        one, other = Memory(), Memory()
        rows = {START_MS + i * HOUR_MS: {"a": (float(i), i % 3 == 0), "b": (float(-i), False)} for i in range(40)}
        for start, row in rows.items():
            Past(one, "past:r", HOUR_MS, True).note(start, row)
        for start in [*reversed(rows), START_MS]:
            Past(other, "past:r", HOUR_MS, True).note(start, {"a": (99.0, True), "b": (0.0, True)})
            Past(other, "past:r", HOUR_MS, True).note(start, rows[start])
        assert one.states == other.states

    def test_what_a_window_sees_is_before_it_bounded_and_frozen(self):
        memory = Memory()
        for i in range(40 * 24):
            Past(memory, "past:r", HOUR_MS, True).note(START_MS + i * HOUR_MS, {"a": (float(i), False)})
            Past(memory, "series", HOUR_MS, False).note(START_MS + i * HOUR_MS, {"a": (float(i), False)})
        frozen = Past(memory, "past:r", HOUR_MS, True).learned(START_MS + 40 * 24 * HOUR_MS)
        rolling = Past(memory, "series", HOUR_MS, False).learned(START_MS + 40 * 24 * HOUR_MS)
        assert frozen is not None and rolling is not None
        assert frozen[1].rows[0] <= 28 * 24 + CHUNK and frozen[1].level[0] < 350 < 500 < rolling[1].level[0]
        assert Past(memory, "past:r", HOUR_MS, True).learned(START_MS + 5 * HOUR_MS) is None
        assert sum(map(len, memory.states.values())) < 60_000

    def test_memories_of_old_references_go(self):
        memory = Memory()
        for i, name in enumerate(("past:a", "past:b", "past:c")):
            Past(memory, name, HOUR_MS, True).note(START_MS + i * HOUR_MS, {"x": (0.0, False)})
        forget_old_references(memory, "past:d")
        assert {n.split(":")[1] for n in memory.state_names("past:")} == {"c"}


@pytest.mark.parametrize("reference_rows", [0, 1000])
def test_the_bench_of_false_alarms_judges_all_default_scores_as_the_publisher_does(reference_rows):
    rows = Rows("gaussian", 300, 1)
    live = Live(model_of_config(rows, reference_rows))
    for number in range(7):
        found = live.publish(rows, number)
    judged = {(s.subject, s.score) for s in found if s.rule.startswith("calibrated")}
    assert {
        ("f00", "js"),
        ("prediction", "js"),
        ("g0", "missing_share"),
        ("performance", "accuracy"),
        ("traffic", "rows"),
    } <= judged
    assert {s.score for s in found} >= {"adwin", "latency_p95_ms"} and len(live.model.policy.rules) > 8


def test_a_budget_is_of_a_week_whatever_the_window():
    calibration = Calibration(false_alarms_per_week=2.0)
    assert calibration.window_level(60_000) == pytest.approx(2 * 60_000 / WEEK_MS, rel=1e-3)
    assert calibration.window_level(WEEK_MS) == 0.2
