"""Alerts as functions of the windows: shown in any order, with revisions, they end as if each had been shown once, in order."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alerts import record as records
from alerts.fold import Flapping, Grid, State, refold
from alerts.lifecycle import ClosedWindow, Lifecycle
from alerts.policy import Policy
from alerts.record import Record
from alerts.routing import Route, Target
from alerts.rules import Rule
from alerts.runs import put, windows
from detectors.score import Finding, Score

MINUTE = 60_000
RULES = (
    Rule("level", scores=("a",), resolve_windows=2),
    Rule("three", scores=("a", "b"), above=0.6, for_windows=3, resolve_below=0.4, cooldown_ms=4 * MINUTE),
    Rule("some", scores=("b",), above=0.6, for_windows=2, of_windows=4, resolve_windows=2),
    Rule("rose", scores=("b",), rise_by=0.2, sigmas=0.5, learn_windows=5, min_rows=10),
    Rule("both", all_of=("level", "some")),
    Rule("either", any_of=("three", "rose"), resolve_windows=2),
    Rule("silent", absent="events", for_windows=2),
)
POLICY = Policy(rules=RULES, route=Route(Target(("chat",), name="default")), flapping=Flapping(2, 8))
LIVED = ("reason", "revision", "at_ms", "grp")


def window(number, shown, revision=1):
    """shown: (version, score, value, rows) of the window; no rows where nothing is."""
    findings: dict = {(v, ""): [Finding(Score("traffic", "rows", 50.0, 50), "ok")] for v in "12" if shown}
    for version, score, value, rows in shown:
        found = Finding(Score("x", score, value, rows), "breach" if value > 0.7 else "ok", 0.7)
        findings.setdefault((version, ""), []).append(found)
    at = number * MINUTE
    return ClosedWindow(at, at + MINUTE, revision, sum(r for *_, r in shown), False, dict(sorted(findings.items())))


class Told:
    """A lifecycle that is stored after every window, the table of alerts that comes of it, and what was sent."""

    def __init__(self, policy=POLICY):
        self.state, self.policy, self.rows, self.sent, self.seen = (None, None), policy, {}, [], {}

    def _look(self, group, name, start_ms):
        found = self.seen.get(start_ms, {}).get(group[1:], [])
        return next((f for f in found if (f.score.subject, f.score.name) == name[1:]), None)

    def show(self, closed):
        self.seen[closed.start_ms] = closed.findings
        life = Lifecycle.restore("m", MINUTE, MINUTE, self.policy, *self.state)
        life.book.look = self._look
        out = life.window(closed, 7)
        for row in out.alert_rows:
            self.rows[row["alert"]] = row
        for row in out.corrected:
            kept = {name: self.rows[row["alert"]][name] for name in ("status", "reason", "revision", "at_ms")}
            self.rows[row["alert"]] = {**row, **kept}
        self.sent += [(n.status, n.reason, n.subject, n.rule) for _, n in out.outbox]
        self.state = life.state()
        return self

    def folded(self):
        kept = [row for row in self.rows.values() if row["reason"] != "withdrawn"]
        assert not {row["reason"] for row in kept} & {"version_gone", "went_quiet"}
        return {row["alert"]: {k: v for k, v in row.items() if k not in LIVED} for row in kept}


values = st.sampled_from([0.1, 0.3, 0.5, 0.65, 0.9, math.nan])
shown = st.lists(
    st.tuples(st.sampled_from("12"), st.sampled_from("ab"), values, st.sampled_from([5, 50])), max_size=4, unique_by=lambda s: s[:2]
)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_any_order_with_revisions_ends_as_the_calm_one(data):
    log = data.draw(st.lists(shown, min_size=3, max_size=14))
    log[0] = log[0] or [("1", "a", 0.1, 50)]  # where it began to listen is lived
    again = [n for n in data.draw(st.lists(st.integers(0, len(log) - 1), max_size=6)) if log[n]]
    calm, lived = Told(), Told()
    for number, what in enumerate(log):
        calm.show(window(number, what))
    order = data.draw(st.permutations([*range(len(log)), *again]))
    for at, number in enumerate(order):
        last = number not in order[at + 1 :]
        lived.show(window(number, log[number] if last else data.draw(shown.filter(bool)), 2))
    assert lived.folded() == calm.folded()


def long_log(n=400):
    """Calm for long, then restless, again and again."""
    return [[("1", "a", 0.9 if i % 97 < 30 and i % 7 in (1, 2, 5) else 0.2, 50)] for i in range(n)]


def test_a_revision_reaches_back_beyond_months_of_calm():
    log = [[("1", "a", 0.2, 50)] for _ in range(3000)]
    log[5] = log[6] = [("1", "a", 0.9, 50)]
    calm, lived = Told(), Told()
    for number, what in enumerate(log):
        calm.show(window(number, what))
        lived.show(window(number, [("1", "a", 0.2, 50)]))
    assert len(lived.state[0]) < 2_000, "runs of calm windows are one entry each"
    for number in (6, 5):
        lived.show(window(number, log[number], 2))
    assert lived.folded() == calm.folded() and calm.folded()


def test_what_is_too_old_goes_into_the_base_and_changes_nothing(monkeypatch):
    whole = Told()
    for number, what in enumerate(long_log()):
        whole.show(window(number, what))
    monkeypatch.setattr(records, "RUNS_MOST", 8)
    monkeypatch.setattr(records, "RUNS_KEPT", 5)
    monkeypatch.setattr(records, "VALUES_MOST", 12)
    monkeypatch.setattr(records, "VALUES_KEPT", 6)
    short = Told()
    for number, what in enumerate(long_log()):
        short.show(window(number, what))
    assert short.folded() == whole.folded() and len(short.state[0]) < len(whole.state[0])
    before = dict(short.rows)
    short.show(window(3, [("1", "a", 0.9, 50)], 2))
    assert short.rows == before, "beyond what is remembered nothing is revised"


@given(st.lists(st.sampled_from("bcmu"), max_size=120), st.sampled_from(RULES[:3]))
def test_runs_are_folded_as_if_walked(marks, rule):
    grid, flapping = Grid(MINUTE, MINUTE), Flapping(2, 8)
    runs: list = []
    single = []
    for i, mark in enumerate(m for each in marks for m in [each] * 9):
        put(runs, i * MINUTE, mark, MINUTE)
        single.append([i * MINUTE, i * MINUTE, mark])
    whole, walked = refold(None, runs, rule, flapping, grid), refold(None, single, rule, flapping, grid)
    assert len(runs) <= max(1, len(marks))
    assert whole.row() == walked.row()


@given(st.lists(st.tuples(st.integers(0, 30), st.sampled_from(["b", "c", "u", None])), max_size=80))
def test_runs_hold_what_was_put(puts):
    runs: list = []
    known: dict = {}
    for at, mark in puts:
        assert put(runs, at * 10, mark, 10) == known.get(at * 10)
        known[at * 10] = mark
    assert dict(windows(runs, 0, 10)) == {at: mark for at, mark in known.items() if mark is not None}
    assert all(a[1] + 10 < b[0] or a[2] != b[2] for a, b in zip(runs, runs[1:], strict=False))


def test_what_was_told_and_is_revised_away_is_told_once_more():
    told = Told(replace(POLICY, rules=RULES[:1]))
    told.show(window(0, [("1", "a", 0.2, 50)])).show(window(1, [("1", "a", 0.9, 50)])).show(window(2, [("1", "a", 0.9, 50)]))
    told.show(window(1, [("1", "a", 0.2, 50)], 2))
    ((row,), firing) = told.rows.values(), ("firing", "threshold_crossed", "x", "level")
    assert told.sent == [firing] and row["since_ms"] == row["window_start_ms"] == 2 * MINUTE, "it fires, for another window"
    told.show(window(2, [("1", "a", 0.2, 50)], 2))
    assert told.sent == [firing, ("resolved", "withdrawn", "x", "level")]
    assert [(r["status"], r["reason"]) for r in told.rows.values()] == [("resolved", "withdrawn")]


def test_a_silence_that_late_events_fill_is_withdrawn():
    told = Told(replace(POLICY, rules=RULES[-1:]))
    told.show(window(0, [("1", "a", 0.2, 50)])).show(window(5, [("1", "a", 0.2, 50)]))
    assert [s[:2] for s in told.sent] == [("firing", "threshold_crossed"), ("resolved", "resolved_clear")]
    for number in (4, 3, 2, 1):
        told.show(window(number, [("1", "a", 0.2, 50)]))
    assert [r["reason"] for r in told.rows.values()] == ["withdrawn"] and len(told.sent) == 2


@pytest.mark.parametrize("behind", [3, 100])
def test_an_alert_whose_labels_come_late_goes_on_however_late_they_are(behind):
    told = Told(replace(POLICY, rules=(Rule("fell", scores=("a",), above=0.5),)))
    for number in range(140):
        told.show(window(number, [("1", "b", 0.1, 50)]))
        if number >= behind:
            told.show(window(number - behind, [("1", "b", 0.1, 50), ("1", "a", 0.9, 50)], 2))
    assert [s[0] for s in told.sent] == ["firing"] and {r["status"] for r in told.rows.values()} == {"firing"}


def test_a_book_of_other_windows_goes_on_from_where_it_was():
    told = Told(replace(POLICY, rules=RULES[:1]))
    told.show(window(0, [("1", "a", 0.9, 50)]))
    life = Lifecycle.restore("m", MINUTE, MINUTE // 2, told.policy, *told.state)
    assert [r[0] for r in life.book.firing()] == ["level"]
    (record,) = (record for _, _, record in life.book.alight())
    assert record.runs == [] and record.base is not None and record.base_ms == 0


def test_a_record_is_read_as_it_was_written():
    record = Record(
        "f" * 16, State("firing", 1, 2, 3, 4, fired=[4], tail=[[4, "b"]]), State(), 7, [[8, 9, "c"]], [[8, 0.5, "c"]], [[1, 2.0]]
    )
    assert Record.from_row(record.row()) == record
