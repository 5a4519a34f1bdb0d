"""What did not happen: no events, no labels. Judged by event time, so that a restart or a backlog is no silence.

Silence of events is a function of the windows that hold some: each hole among them is shown to the book as a window of
nothing at the instant at which it became long enough, once event time has passed it. A window that comes late closes its
hole, also where it was told. Silence of labels is what was lived: when labels came is in no log.
While a rule's schedule is closed no time passes for it: the count begins anew when it opens.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

from alerts.book import AlertBook
from alerts.conditions import BAD, CLEAR
from alerts.matchers import matches_any
from alerts.rules import Rule
from alerts.runs import Runs, put
from alerts.transition import Shown, Transition
from detectors.score import Finding, Score

SUBJECT = {"events": "traffic", "labels": "performance"}
SCORE = {"events": "silent_seconds", "labels": "labels_silent_seconds"}
NEVER = -1
GONE_WINDOWS = 6  # new windows without a version's rows or labels, for its alerts to end; late labels come in bursts
HOLES_MOST, HOLES_KEPT = 256, 192  # how many holes in the traffic are remembered


@dataclass(slots=True)
class Heard:
    """Event times (ms): until when the model's windows held events, when labels last came, how far event time is
    known to have come, and how far was looked for silence. versions: how many new windows in a row went by without
    anything of each version, a late label too. held: runs of windows with events; began_ms: until when there was no
    silence before them."""

    events_ms: int = NEVER
    labels_ms: int = NEVER
    newest_ms: int = NEVER
    looked_ms: int = NEVER
    versions: dict[str, int] = field(default_factory=dict)
    held: Runs = field(default_factory=list)
    began_ms: int = NEVER

    def row(self) -> list[Any]:
        return [self.events_ms, self.labels_ms, self.newest_ms, self.looked_ms, self.versions, self.held, self.began_ms]

    @staticmethod
    def from_row(row: list[Any]) -> Heard:
        events, labels, newest, looked = (int(v) for v in row[:4])
        versions: dict[str, int] = dict(row[4]) if len(row) > 4 else {}
        held, began = row[5:7] if len(row) > 5 else ([], events)
        return Heard(events, labels, newest, looked, versions, held, began)


def deadline_ms(rule: Rule, last_ms: int, slide_ms: int) -> int:
    """The event time at which a silence that began at last_ms is too long."""
    need = need_ms(rule, slide_ms)
    begun, schedule = last_ms, rule.schedule
    if schedule is None:
        return begun + need
    begun = schedule.next_open_ms(begun)
    if not schedule.is_open(begun + need - 1):
        begun = schedule.next_open_ms(begun + need)
    return begun + need


def last_ms(rule: Rule, heard: Heard) -> int:
    return heard.events_ms if rule.absent == "events" else heard.labels_ms


def watch(
    book: AlertBook, rules: Iterable[Rule], heard: Heard, model: str, upto_ms: int, size_ms: int, slide_ms: int, now_ms: int
) -> list[Transition]:
    """Event time has come to upto_ms: which silences have become too long?"""
    if heard.events_ms == NEVER:
        heard.events_ms = heard.began_ms = upto_ms  # the first look: silence is counted from here
    if heard.labels_ms == NEVER:
        heard.labels_ms = upto_ms
    looked, heard.looked_ms = heard.looked_ms, max(heard.looked_ms, upto_ms)
    out = []
    for rule in _absent(rules, model):
        if rule.absent == "events":
            out.extend(_tell_holes(book, rule, heard, model, size_ms, slide_ms, now_ms))
            continue
        since = last_ms(rule, heard)
        due = deadline_ms(rule, since, slide_ms)
        if due <= upto_ms and looked < due:
            out.extend(_show(book, rule, model, due - size_ms, due, due - since, need_ms(rule, slide_ms), now_ms))
    heard.newest_ms = max(heard.newest_ms, upto_ms)
    return out


def heard_window(
    book: AlertBook, rules: Iterable[Rule], heard: Heard, model: str, start_ms: int, end_ms: int, slide_ms: int, has_rows: bool,
    new_labels: bool, now_ms: int,
) -> list[Transition]:  # fmt: skip
    """A window was published, and `watch` has looked as far as its start. has_rows: it holds events; new_labels: it
    holds labels that its last revision did not."""
    out: list[Transition] = []
    heard.newest_ms = max(heard.newest_ms, end_ms)
    size_ms = end_ms - start_ms
    if has_rows:
        heard.events_ms = max(heard.events_ms, end_ms)
        put(heard.held, start_ms, CLEAR, slide_ms)
        if len(heard.held) > HOLES_MOST:
            heard.began_ms = heard.held[-HOLES_KEPT - 1][1] + size_ms
            del heard.held[:-HOLES_KEPT]
    if new_labels:
        heard.labels_ms = heard.newest_ms
    for rule in _absent(rules, model):
        if rule.absent == "events":
            out.extend(_tell_holes(book, rule, heard, model, size_ms, slide_ms, now_ms))
        elif new_labels:
            at = heard.newest_ms
            out.extend(_show(book, rule, model, at - size_ms, at, 0, need_ms(rule, slide_ms), now_ms))
    return out


def _tell_holes(
    book: AlertBook, rule: Rule, heard: Heard, model: str, size_ms: int, slide_ms: int, now_ms: int
) -> list[Transition]:
    """Show the book all windows with events, and one of nothing for each hole that was too long."""
    runs: Runs = []
    silent: dict[int, int] = {}

    def hole(since_ms: int, until_ms: int) -> None:
        due = deadline_ms(rule, since_ms, slide_ms)
        if due <= until_ms:
            runs.append([due - size_ms, due - size_ms, BAD])
            silent[due - size_ms] = due - since_ms

    before = heard.began_ms
    for first, last, _ in heard.held:
        if NEVER < before <= first:
            hole(before, first)
        runs.append([first, last, CLEAR])
        before = last + size_ms
    hole(before, heard.looked_ms)
    if not runs:
        return []
    need = need_ms(rule, slide_ms)
    once = replace(rule, for_windows=1)  # the silence was measured already
    window = Shown((model, "", ""), runs[-1][1], runs[-1][1] + size_ms, 1, now_ms)
    return book.retell(once, runs, lambda start: _finding(rule, silent.get(start, 0), need), window)


def gone_versions(heard: Heard, present: set[str], newest: bool) -> set[str]:
    """A window was published that holds something of `present` versions; newest: it holds events, and none was later.

    The known versions of which nothing has come for GONE_WINDOWS. One that is gone is told once, and known again if it returns.
    """
    if newest:
        heard.versions = {version: missed + 1 for version, missed in heard.versions.items()}
    heard.versions.update(dict.fromkeys(present - {""}, 0))
    gone = {version for version, missed in heard.versions.items() if missed >= GONE_WINDOWS}
    for version in gone:
        del heard.versions[version]
    return gone


def need_ms(rule: Rule, slide_ms: int) -> int:
    return rule.absent_ms or rule.for_windows * slide_ms


def next_deadline_ms(rules: Iterable[Rule], heard: Heard, model: str, slide_ms: int) -> int | None:
    """The earliest event time at which a silence that is not told yet becomes too long."""
    due = (deadline_ms(rule, last_ms(rule, heard), slide_ms) for rule in _absent(rules, model))
    return min((ms for ms in due if ms > heard.looked_ms), default=None)


def _absent(rules: Iterable[Rule], model: str) -> list[Rule]:
    return [rule for rule in rules if rule.absent and matches_any(rule.models, model)]


def _finding(rule: Rule, silent_ms: int, need: int) -> Finding:
    score = Score(SUBJECT[rule.absent], SCORE[rule.absent], silent_ms / 1000.0, 0)
    return Finding(score, "breach" if silent_ms >= need else "ok", need / 1000.0, rule.name)


def _show(
    book: AlertBook, rule: Rule, model: str, start_ms: int, end_ms: int, silent_ms: int, need: int, now_ms: int
) -> list[Transition]:
    shown = Shown((model, "", ""), start_ms, end_ms, 1, now_ms)
    return book.show(replace(rule, for_windows=1), _finding(rule, silent_ms, need), shown)
