"""The life of an alert, window by window."""

import pytest

from alerts.book import AlertBook
from alerts.rules import Rule
from detectors.score import Finding, Score

O, U, W, B = "ok", "unsure", "warn", "breach"  # noqa: E741


def rule(**changes):
    return Rule("r", **{"for_windows": 2, "resolve_windows": 2, "channels": ("a", "b"), **changes})


def play(steps, the_rule, book=None, now_ms=0):
    """steps: (window, level) or (window, level, revision); gives [(window, status, reason)] and all keys."""
    book, moves, keys = book or AlertBook.empty(), [], []
    for step in steps:
        window, level, revision = (*step, 1)[:3]
        finding = Finding(Score("income", "psi", 0.5, 100), level, 0.25)
        moved = book.step([the_rule], "m", "1", "", window * 10, window * 10 + 10, revision, [finding], now_ms)
        book = AlertBook.from_bytes(book.to_bytes())
        for t in moved:
            keys += [n.key for _, n in t.notifications]
            moves.append((window, t.status, str(t.reason)))
            assert t.alert_row()["status"] == t.status
    return moves, keys


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
    moves, _ = play(list(enumerate(levels)), rule())
    assert loud(moves) == expected


def test_a_rule_at_warn_hears_both_warn_and_breach():
    assert loud(play([(0, W), (1, B)], rule(level="warn"))[0]) == [(1, "firing")]


def test_a_late_revision_replaces_its_own_window_and_can_fire():
    moves, _ = play([(0, B), (1, O), (2, B), (1, B, 2)], rule())
    assert moves[-1] == (1, "firing", "revised_crossed")


def test_a_late_revision_to_an_old_window_behind_clear_ones_does_not_fire():
    assert loud(play([(0, O), (1, O), (2, O), (0, B, 2)], rule(for_windows=1))[0]) == []


def test_showing_the_same_window_twice_does_not_advance_the_streak():
    assert loud(play([(0, B), (0, B, 2), (0, B, 3)], rule())[0]) == []


def test_a_revision_to_unsure_takes_the_window_out_of_the_streak():
    assert loud(play([(0, B), (0, U, 2), (1, B)], rule())[0]) == []


def test_an_alert_whose_windows_are_all_revised_to_clear_resolves():
    moves, _ = play([(0, B), (1, B), (0, O, 2), (1, O, 2)], rule())
    assert moves[-1] == (1, "resolved", "revised_clear")


def test_cooldown_is_counted_in_event_time_between_episodes():
    moves, keys = play(list(enumerate([B, B, O, O, B, B, B, B, B])), rule(cooldown_ms=40))
    assert loud(moves) == [(1, "firing"), (3, "resolved"), (7, "firing")]
    assert (5, "pending", "cooling_down") in moves
    assert len(set(keys)) == len(keys) == 6


def test_a_replay_gives_the_same_keys_whatever_revision_and_wall_time():
    steps = list(enumerate([B, B, O, O, B, B]))
    _, first = play(steps, rule(), now_ms=5)
    _, again = play([(w, level, 7) for w, level in steps], rule(), now_ms=99)
    assert first == again and len(set(first)) == 6


def test_a_removed_rule_ends_its_alerts_without_a_message():
    book = AlertBook.empty()
    play([], rule())
    finding = [Finding(Score("x", "psi", 1.0, 9), B, 0.2)]
    assert book.step([rule(for_windows=1)], "m", "", "", 0, 10, 1, finding, 0)[0].status == "firing"
    (gone,) = book.step([], "m", "", "", 10, 20, 1, finding, 0)
    assert (gone.reason, gone.notifications, len(book)) == ("rule_removed", [], 0)


def test_a_quiet_alert_without_news_is_forgotten():
    book = AlertBook.empty()
    for w, v in ((0, "old"), (100, "new")):
        book.step([rule()], "m", v, "", w * 10, w * 10 + 10, 1, [Finding(Score("x", "psi", 0.0, 9), O)], 0)
    assert len(book) == 1


def test_segments_are_left_out_unless_the_rule_asks():
    assert not rule().matches("m", "channel=web", "x", "psi")
    assert rule(segments=("*",)).matches("m", "channel=web", "x", "psi")


def test_a_book_of_another_version_is_refused():
    with pytest.raises(ValueError, match="version"):
        AlertBook.from_bytes(b'{"version": 99, "alerts": []}')
