"""The life of an alert, window by window."""

import json
import math

import pytest

from alerts.book import AlertBook
from alerts.rules import Rule
from detectors.score import Finding, Score

O, U, W, B = "ok", "unsure", "warn", "breach"  # noqa: E741


def rule(**changes):
    return Rule(**{"name": "r", "for_windows": 2, "resolve_windows": 2, "channels": ("a", "b"), **changes})


def play(steps, the_rule, book=None, now_ms=0):
    """steps: (window, level) or (window, level, revision); gives [(window, status, reason)]."""
    book, moves = book or AlertBook.empty(), []
    for step in steps:
        window, level, revision = (*step, 1)[:3]
        finding = Finding(Score("income", "psi", 0.5, 100), level, 0.25)
        moved = book.step([the_rule], "m", "1", "", window * 10, window * 10 + 10, revision, [finding], now_ms)
        book = AlertBook.from_bytes(book.to_bytes())
        for t in moved:
            moves.append((window, t.status, str(t.reason)))
            assert t.alert_row()["status"] == t.status
    return moves


def loud(moves):
    return [(w, s) for w, s, reason in moves if s != "pending" and reason != "streak_broken"]


@pytest.mark.parametrize(
    ("levels", "expected"),
    [
        ([O, B, O, B, O], []),
        ([B, B], [(1, "firing")]),
        ([B, U, U, B], [(3, "firing")]),
        ([B, W, B], []),
        ([B, B, O, B, O, O], [(1, "firing"), (5, "resolved")]),
        ([B, B, O, U, O], [(1, "firing"), (4, "resolved")]),
        ([B, B, B, B], [(1, "firing")]),
        ([U, U, U], []),
    ],
)
def test_an_alert_follows_its_table(levels, expected):
    moves = play(list(enumerate(levels)), rule())
    assert loud(moves) == expected


@pytest.mark.parametrize(
    ("made", "said"),
    [
        ({}, "calibrated psi, past 310 windows"),
        ({"above": 0.4}, "rule r: above 0.4"),
        ({"above": 0.4, "yields": True}, "calibrated psi, past 310 windows"),
        ({"below": 0.6}, "rule r: below 0.6"),
    ],
)
def test_an_alert_says_which_rule_gave_its_limit(made, said):
    finding = Finding(Score("income", "psi", 0.5, 100, evidence={"moved": []}), B, 0.25, "calibrated psi, past 310 windows")
    (fired,) = AlertBook.empty().step([rule(for_windows=1, **made)], "m", "1", "", 0, 10, 1, [finding], 0)
    assert fired.evidence == {"moved": [], "limit_rule": said}


def test_a_rule_that_learns_what_is_usual_says_so():
    book, moves = AlertBook.empty(), []
    for window, value in enumerate([0.9, 0.91, 0.9, 0.89, 0.9, 0.91, 0.5]):
        finding = Finding(Score("performance", "accuracy", value, 100), O, 0.8, "calibrated accuracy")
        learns = rule(for_windows=1, fall_by=0.05, learn_windows=5)
        moves += book.step([learns], "m", "1", "", window * 10, window * 10 + 10, 1, [finding], 0)
        book = AlertBook.from_bytes(book.to_bytes())
    assert [m.evidence["limit_rule"] for m in moves] == ["rule r: fall_by 0.05"]


def test_a_rule_at_warn_hears_both_warn_and_breach():
    assert loud(play([(0, W), (1, B)], rule(level="warn"))) == [(1, "firing")]


def test_a_rule_hears_the_scores_and_subjects_that_it_names_in_the_order_of_the_findings():
    findings = [Finding(Score(s, n, 0.5, 100), B, 0.25) for s in ("b", "a", "age") for n in ("psi", "mean", "ks")]
    heard = rule(scores=("ks", "p*"), subjects=("a*",), for_windows=1)
    moves = AlertBook.empty().step([heard], "m", "1", "", 0, 10, 1, findings, 0)
    assert [(t.subject, t.score) for t in moves] == [("a", "psi"), ("a", "ks"), ("age", "psi"), ("age", "ks")]


def test_a_late_revision_replaces_its_own_window_and_can_fire():
    moves = play([(0, B), (1, O), (2, B), (1, B, 2)], rule())
    assert moves[-1] == (1, "firing", "revised_crossed")


def test_a_late_revision_to_an_old_window_behind_clear_ones_is_an_episode_that_is_over():
    moves = play([(0, O), (1, O), (2, O), (0, B, 2)], rule(for_windows=1))
    assert moves == [(0, "resolved", "revised_clear")]


def test_showing_the_same_window_twice_does_not_advance_the_streak():
    assert loud(play([(0, B), (0, B, 2), (0, B, 3)], rule())) == []


def test_a_revision_to_unsure_takes_the_window_out_of_the_streak():
    assert play([(0, B), (0, U, 2), (1, B)], rule())[1:] == [(0, "resolved", "withdrawn"), (1, "pending", "streak_started")]


def test_an_alert_whose_windows_are_all_revised_to_clear_is_withdrawn():
    moves = play([(0, B), (1, B), (0, O, 2), (1, O, 2)], rule())
    assert moves[-2:] == [(0, "pending", "revised_clear"), (1, "resolved", "withdrawn")]


def test_cooldown_is_counted_in_event_time_between_episodes():
    moves = play(list(enumerate([B, B, O, O, B, B, B, B, B])), rule(cooldown_ms=40))
    assert loud(moves) == [(1, "firing"), (3, "resolved"), (7, "firing")]
    assert (5, "pending", "cooling_down") in moves


def test_a_removed_rule_ends_its_alerts():
    book = AlertBook.empty()
    play([], rule())
    finding = [Finding(Score("x", "psi", 1.0, 9), B, 0.2)]
    assert book.step([rule(for_windows=1)], "m", "", "", 0, 10, 1, finding, 0)[0].status == "firing"
    (gone,) = book.step([], "m", "", "", 10, 20, 1, finding, 0)
    assert (gone.status, gone.reason, len(book)) == ("resolved", "rule_removed", 0)


def test_a_quiet_alert_without_news_is_forgotten():
    book = AlertBook.empty()
    for w, v in ((0, "old"), (300, "new")):
        book.step([rule()], "m", v, "", w * 10, w * 10 + 10, 1, [Finding(Score("x", "psi", 0.0, 9), O, 0.2)], 0)
    assert len(book) == 1


def test_segments_are_left_out_unless_the_rule_asks():
    assert not rule().matches("m", "channel=web", "x", "psi")
    assert rule(segments=("*",)).matches("m", "channel=web", "x", "psi")


def test_a_book_of_another_version_is_refused():
    with pytest.raises(ValueError, match="version"):
        AlertBook.from_bytes(b'{"version": 99, "alerts": []}')


def test_a_book_of_the_release_before_is_read():
    old = {
        "version": 1,
        "alerts": [
            [
                "m",
                "1",
                "",
                "r",
                "income",
                "psi",
                "firing",
                0,
                -1,
                -1,
                False,
                [[0, "breach", 0.5], [10, "warn", 0.2], [20, "ok", 0.1]],
            ]
        ],
    }
    book = AlertBook.from_bytes(json.dumps(old).encode())
    assert book.firing() == [("r", "m", "1", "", "income", "psi")]
    assert loud(play([(3, O)], rule(), book)) == [(3, "resolved")]


def test_an_alert_of_a_version_that_is_gone_ends():
    book = AlertBook.empty()
    bad, fine = [Finding(Score("x", "psi", 1.0, 9), B, 0.2)], [Finding(Score("x", "psi", 0.0, 9), O, 0.2)]
    book.step([rule(for_windows=1)], "m", "1", "", 0, 10, 1, bad, 0)
    moves = [m for w in range(1, 80) for m in book.step([rule()], "m", "2", "", w * 10, w * 10 + 10, 1, fine, 0)]
    assert [(m.version, m.status, m.reason) for m in moves] == [("1", "resolved", "went_quiet")] and book.firing() == []


@pytest.mark.parametrize(
    ("changes", "levels", "expected"),
    [
        ({"for_windows": 2, "of_windows": 3}, [B, O, B], [(2, "firing")]),
        ({"for_windows": 2, "of_windows": 3}, [B, O, O, B, B], [(4, "firing")]),
        ({"for_windows": 3, "of_windows": 5}, [B, O, B, O, B], [(4, "firing")]),
        ({"for_windows": 2, "of_windows": 3, "resolve_windows": 1}, [B, B, O, O, O], [(1, "firing"), (2, "resolved")]),
        ({"for_windows": 1, "resolve_windows": 1, "resolve_level": "warn"}, [B, W, W, O], [(0, "firing"), (3, "resolved")]),
        ({"for_windows": 1, "resolve_windows": 2, "resolve_level": "warn"}, [B, O, W, O, O], [(0, "firing"), (4, "resolved")]),
    ],
)
def test_k_of_n_and_hysteresis(changes, levels, expected):
    assert loud(play(list(enumerate(levels)), rule(**changes))) == expected


def valued(values, the_rule, rows=100, coverage=None):
    """Like `play`, with values and no limits of the model."""
    book, moves = AlertBook.empty(), []
    for window, value in enumerate(values):
        findings = [Finding(Score("labels", "coverage", coverage, 100), O)] if coverage is not None else []
        findings.append(Finding(Score("x", "psi", value, rows), O))
        for t in book.step([the_rule], "m", "1", "", window * 10, window * 10 + 10, 1, findings, 0):
            moves.append((window, t.status, t.threshold))
        book = AlertBook.from_bytes(book.to_bytes())
    return [m for m in moves if m[1] != "pending"]


def own(**changes):
    return rule(for_windows=1, resolve_windows=1, **changes)


@pytest.mark.parametrize(
    ("the_rule", "values", "expected"),
    [
        (own(above=0.5), [0.4, 0.5, 0.49], [(1, "firing", 0.5), (2, "resolved", 0.5)]),
        (own(above=0.5, resolve_below=0.3), [0.5, 0.4, 0.3, 0.29], [(0, "firing", 0.5), (3, "resolved", 0.5)]),
        (own(below=0.5, resolve_above=0.7), [0.5, 0.6, 0.7, 0.71], [(0, "firing", 0.5), (3, "resolved", 0.5)]),
        (own(above=0.5), [math.nan, math.inf], []),
        (own(rise_ratio=2.0), [10, 10, 10, 10, 10, 19, 20, 20], [(6, "firing", 20.0)]),
        (own(rise_ratio=2.0), [100, 1, 1, 1], []),
        (own(rise_by=5.0), [10, 10, 10, 10, 10, 14, 15], [(6, "firing", 15.0)]),
        (own(fall_by=0.05), [0.9, 0.9, 0.9, 0.9, 0.9, 0.86, 0.85, 0.9], [(6, "firing", 0.85), (7, "resolved", 0.85)]),
        (own(fall_by=0.05), [0.9, 0.8, 0.95, 0.85, 0.99, 0.7], []),
        (own(rise_ratio=2.0), [0, 0, 0, 0, 0, 0, 5], []),
    ],
)  # fmt: skip
def test_own_and_relative_limits(the_rule, values, expected):
    found = valued(values, the_rule)
    assert [m[:2] for m in found] == [m[:2] for m in expected]
    assert [m[2] for m in found] == pytest.approx([m[2] for m in expected])


def test_too_few_rows_or_labels_say_nothing():
    assert valued([0.9], own(above=0.5, min_rows=101)) == []
    assert valued([0.9], own(above=0.5, min_coverage=0.5), coverage=0.4) == []
    assert valued([0.9], own(above=0.5, min_coverage=0.5)) == []
    assert valued([0.9], own(above=0.5, min_coverage=0.5), coverage=0.5)[0][1] == "firing"


def test_a_limit_that_yields_leaves_the_word_to_the_models_threshold():
    yielding = own(above=0.4, yields=True)
    assert loud(play([(0, O), (1, B)], yielding)) == [(1, "firing")]
    assert valued([0.5], yielding)[0][1] == "firing"


def test_a_new_version_is_compared_with_what_the_one_before_was_used_to():
    book, the_rule = AlertBook.empty(), own(rise_ratio=2.0)

    def show(window, version, value):
        return book.step(
            [the_rule], "m", version, "", window * 10, window * 10 + 10, 1, [Finding(Score("x", "psi", value, 9), O)], 0
        )

    for window in range(6):
        show(window, "1", 10.0)
    assert [t.version for t in show(6, "2", 25.0)] == ["2"]


def test_combinations_fire_where_their_parts_do():
    parts = [own(above=0.5, name="a", subjects=("x",)), own(above=0.5, name="b", subjects=("y",))]
    both = Rule("both", all_of=("a", "b"), resolve_windows=1)
    either = Rule("either", any_of=("a", "b"))
    book, seen = AlertBook.empty(), []
    for window, (x, y) in enumerate([(0.9, 0), (0.9, 0.9), (0, 0.9), (0, 0)]):
        findings = [Finding(Score("x", "psi", x, 50), O), Finding(Score("y", "psi", y, 60), O)]
        for t in book.step([*parts, both, either], "m", "1", "", window * 10, window * 10 + 10, 1, findings, 0):
            if t.rule in ("both", "either"):
                seen.append((window, t.rule, t.status, t.value, t.rows))
    assert seen == [
        (0, "either", "firing", 1.0, 50),
        (1, "both", "firing", 2.0, 60),
        (2, "both", "resolved", 1.0, 60),
        (3, "either", "resolved", 0.0, 0),
    ]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"level": "bad"}, "level"),
        ({"for_windows": 0}, "for_windows"),
        ({"of_windows": 1, "for_windows": 2}, "of_windows"),
        ({"above": 1.0, "absent": "events"}, "more than one way"),
        ({"above": 1.0, "below": 0.0}, "not both"),
        ({"all_of": ("a",), "any_of": ("b",)}, "not both"),
        ({"resolve_below": 1.0}, "resolve_below"),
        ({"below": 1.0, "resolve_above": 0.5}, "resolve_above"),
        ({"level": "warn", "resolve_level": "breach"}, "resolve_level"),
        ({"rise_ratio": 0.5}, "rise_ratio"),
        ({"absent_ms": 5}, "absent_for"),
        ({"all_of": ("a",), "min_rows": 5}, "mean nothing"),
    ],
)
def test_a_rule_that_contradicts_itself_is_refused(changes, words):
    with pytest.raises(ValueError, match=words):
        rule(**changes)
