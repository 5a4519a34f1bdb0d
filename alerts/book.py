"""All alerts of one model, as a pure function of the windows it is shown: no clock, no I/O.

Each alert is a fold over the marks of its windows in their order (alerts/fold.py), whatever the order in which they were
shown: a window that comes late, or is revised, takes its place, and the state is folded again (alerts/record.py says how
far back). Where that gives another state than before, the move that comes of it corrects what was told.

What ends without a window that resolves it is alerts/ended.py's. Who is told, when and how often is alerts/desk.py's.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from operator import itemgetter
from typing import Any

import orjson

from alerts.combine import Look, Part, combination, lit_at, parts_of
from alerts.conditions import BAD, CLEAR, Verdict, judge
from alerts.correction import Episode, correction, moved
from alerts.ended import drop_removed, end_versions, forget
from alerts.fold import UNSURE, Flapping, Grid, advance, refold
from alerts.matchers import matches_any
from alerts.record import Group, Name, Record
from alerts.rules import Rule
from alerts.runs import Runs, windows
from alerts.transition import Reason, Shown, Transition, fingerprint, finite
from detectors.score import UNJUDGED, Finding, Score

VERSION = 3


def _nothing(group: Group, name: Name, start_ms: int) -> Finding | None:
    return None


class AlertBook:
    """All alerts of the models that were stepped through it. Changed in place by `step`.

    slide_ms: how far windows lie apart; 0: as far as they are long. look: a finding of a window that was shown before.
    """

    def __init__(
        self, groups: dict[Group, dict[Name, Record]] | None = None, flapping: Flapping | None = None, slide_ms: int = 0
    ) -> None:
        self._groups = groups if groups is not None else {}
        self.flapping = flapping or Flapping()
        self._slide_ms = slide_ms
        self._newest_ms = -1
        self._touched: dict[Group, int] = {}  # start of the oldest window from which on an alert of the group is another
        self._rules: dict[str, Rule] = {}
        self._size_ms = 0
        self.look: Look = _nothing

    @staticmethod
    def empty() -> AlertBook:
        return AlertBook()

    def step(
        self, rules: Iterable[Rule], model: str, version: str, segment: str, window_start_ms: int, window_end_ms: int, revision: int,
        findings: list[Finding], now_ms: int,
    ) -> list[Transition]:  # fmt: skip
        """Show the book one window of one (version, segment). now_ms is only written down, never decides."""
        rules = list(rules)
        window = Shown((model, version, segment), window_start_ms, window_end_ms, revision, now_ms)
        self._rules, self._size_ms = {rule.name: rule for rule in rules}, window_end_ms - window_start_ms
        newest = window_start_ms > self._newest_ms
        self._newest_ms = max(self._newest_ms, window_start_ms)
        alerts = self._groups.setdefault(window.group, {})
        out = drop_removed(alerts, rules, window)
        by_score = _by_score(findings)
        coverage = next((f.score.value for _, f in by_score.get("coverage", ()) if f.score.subject == "labels"), None)
        for rule in rules:
            if rule.judges_findings and rule.covers(model, segment) and _awake(rule, window_end_ms):
                shown: set[Name] = set()
                out.extend(self._step_rule(alerts, rule, _heard(rule, by_score), coverage, window, shown))
                if not newest:
                    out.extend(self._take_back(alerts, rule, shown, window))
        out.extend(self._combine(rules, window))
        if newest:
            out.extend(forget(self._groups, {r.name for r in rules if r.absent}, window))
        return out

    def show(self, rule: Rule, finding: Finding, window: Shown) -> list[Transition]:
        """Show one finding in the order in which it comes, never to be revised: how silence of labels speaks to the book."""
        record = self._record(window.group, (rule.name, finding.score.subject, finding.score.name))
        verdict = judge(rule, finding, None, ())
        again = window.start_ms == record.start_ms and (record.state.bad > 0) == (verdict.mark == BAD)
        self._note_newest(record, finding, verdict, window)
        if again or verdict.mark is None:
            return []
        moves = advance(record.state, rule, self.flapping, window.start_ms, window.end_ms - window.start_ms, verdict.mark)
        return [moved(record, rule, finding, verdict, window, status, reason) for status, reason in moves]

    def retell(self, rule: Rule, runs: Runs, found: Callable[[int], Finding], window: Shown) -> list[Transition]:
        """Give an alert all of its windows: how silence of events speaks to the book. found: what one of them shows."""
        newest = found(runs[-1][1])
        record = self._record(window.group, (rule.name, newest.score.subject, newest.score.name))
        if record.runs == runs:
            return []
        before, known_ms = record.state.episode, record.runs[-1][1] if record.runs else -1
        grid = self._grid(window)
        record.runs, record.base = runs, None
        record.state = refold(None, runs, rule, self.flapping, grid)
        last = Shown(window.group, runs[-1][1], runs[-1][1] + grid.size_ms, window.revision, window.now_ms)
        self._note_newest(record, newest, judge(rule, newest, None, ()), last)
        if record.state.episode == before:
            return []

        def told(start_ms: int) -> tuple[Finding, Verdict]:
            finding = found(start_ms)
            return finding, judge(rule, finding, None, ())

        return correction(record, rule, before, window, told, known_ms)

    def _step_rule(
        self,
        alerts: dict[Name, Record],
        rule: Rule,
        heard: Iterable[Finding],
        coverage: float | None,
        window: Shown,
        shown: set[Name],
    ) -> Iterator[Transition]:
        by_level = rule.above is None and rule.below is None and not rule.relative
        for finding in heard:
            name = (rule.name, finding.score.subject, finding.score.name)
            record = alerts.get(name)
            if record is None:
                if by_level and finding.threshold is None and finding.level in (UNJUDGED, "ok"):
                    continue  # nothing judges this score, or only others that speak for it
                record = self._record(window.group, name)
            if not rule.relative:
                yield from self._show(record, rule, name, finding, judge(rule, finding, coverage, ()), window)
                shown.add(name)
                continue
            if record.inherits and (not record.values or window.start_ms < record.values[0][0]):
                record.calm = self._inherited(rule, name, window.group, window.start_ms)
            calm = record.calm_before(window.start_ms, rule.learn_windows)
            yield from self._show(record, rule, name, finding, judge(rule, finding, coverage, calm), window)
            shown.add(name)

    def _take_back(self, alerts: dict[Name, Record], rule: Rule, shown: set[Name], window: Shown) -> list[Transition]:
        """A window that is shown again says nothing any more of some alerts: their scores are not in it."""
        out = []
        slide_ms = self._grid(window).slide_ms
        for name, record in alerts.items():
            if name[0] != rule.name or name in shown or not record.note(window.start_ms, None, slide_ms):
                continue
            before = record.state.episode
            if rule.relative:
                record.unlearn(window.start_ms)
                record.relearn(rule, window.start_ms, slide_ms)
                out += self._hand_down(rule, name, window)
            self._fold(record, rule, window)
            if record.start_ms == window.start_ms:
                record.start_ms = record.runs[-1][1] if record.runs else record.base_ms
            nothing = Finding(Score(*name[1:], math.nan, 0), ""), Verdict(None, "", None)
            out += self._corrected(record, rule, name, before, *nothing, window, rule.relative)
        return out

    def _inherited(self, rule: Rule, name: Name, group: Group, start_ms: int) -> list[list[Any]]:
        """A new version is compared with what the version before it was used to."""
        found = [
            (calm[-1][0], version, calm)
            for (model, version, segment), records in self._groups.items()
            if (model, segment) == (group[0], group[2]) and version != group[1] and name in records
            if (calm := records[name].calm_entries(start_ms, rule.learn_windows))
        ]
        return max(found)[2] if found else []

    def _show(
        self, record: Record, rule: Rule, name: Name, finding: Finding, verdict: Verdict, window: Shown, changed: bool = False
    ) -> list[Transition]:
        """changed: marks of past windows were changed already."""
        start, mark, grid = window.start_ms, verdict.mark or UNSURE, self._grid(window)
        before, rested = record.state.episode, record.rested
        appends = start > (record.runs[-1][1] if record.runs else record.base_ms)
        out: list[Transition] = []
        relearned = False
        if not record.is_too_old(start):
            value = finite(finding.score.value) if verdict.mark else None
            if rule.relative and record.learn(start, value, mark):
                relearned = True
                changed |= record.relearn(rule, start, grid.slide_ms)
                out += self._hand_down(rule, name, window)
            changed |= record.note(start, mark, grid.slide_ms)
        self._note_newest(record, finding, verdict, window, rested and not (appends or changed))
        if appends and not changed:
            moves = advance(record.state, rule, self.flapping, start, grid.size_ms, mark)
            out += [moved(record, rule, finding, verdict, window, status, reason) for status, reason in moves]
            if moves and start < self._newest_ms:
                self._touch(window)
        else:
            if changed:
                self._fold(record, rule, window)
            out += self._corrected(record, rule, name, before, finding, verdict, window, relearned)
        record.trim(rule, self.flapping, grid)
        if rested and record.is_alight and not out:
            out.append(moved(record, rule, finding, verdict, window, "firing", Reason(record.state.reason)))
        return out

    def _hand_down(self, rule: Rule, name: Name, window: Shown) -> list[Transition]:
        """What was calm for a version in the past changed: so did what newer versions are compared with."""
        out = []
        for group, records in self._groups.items():
            record = records.get(name)
            if record is None or not record.inherits or not record.values or record.values[0][0] <= window.start_ms:
                continue
            if (group[0], group[2]) != (window.group[0], window.group[2]) or group == window.group:
                continue
            calm = self._inherited(rule, name, group, record.values[0][0])
            if calm == record.calm:
                continue
            record.calm, before = calm, record.state.episode
            theirs = Shown(group, record.start_ms, record.end_ms, record.revision, window.now_ms)
            if record.relearn(rule, record.values[0][0] - 1, self._grid(window).slide_ms):
                self._fold(record, rule, theirs)
            out += self._corrected(
                record, rule, name, before, *self._told(record, rule, group, name, record.start_ms), theirs, True
            )
        return out

    def _fold(self, record: Record, rule: Rule, window: Shown) -> None:
        self._touch(window)
        record.state = record.fold(rule, self.flapping, self._grid(window))

    def _touch(self, window: Shown) -> None:
        self._touched[window.group] = min(window.start_ms, self._touched.get(window.group, window.start_ms))

    def _corrected(
        self, record: Record, rule: Rule, name: Name, before: Episode, finding: Finding, verdict: Verdict,
        window: Shown, relearned: bool = False,
    ) -> list[Transition]:  # fmt: skip
        def told(start_ms: int) -> tuple[Finding, Verdict]:
            return (finding, verdict) if start_ms == window.start_ms else self._told(record, rule, window.group, name, start_ms)

        return correction(record, rule, before, window, told, None, relearned)

    def _told(self, record: Record, rule: Rule, group: Group, name: Name, start_ms: int) -> tuple[Finding, Verdict]:
        """What a window that was shown before showed."""
        if rule.combines:
            finding: Finding | None = combination(rule, lit_at(self._parts(rule, group), start_ms, self.look))
        else:
            finding = self.look(group, name, start_ms)
        if finding is None:
            return Finding(Score(*name[1:], math.nan, 0), ""), Verdict(None, "", None)
        return finding, judge(rule, finding, 1.0, record.calm_before(start_ms, rule.learn_windows) if rule.relative else ())

    def _note_newest(self, record: Record, finding: Finding, verdict: Verdict, window: Shown, rests: object = False) -> None:
        record.heard_ms = max(window.start_ms, self._newest_ms)
        record.rested = record.rested if rests else ""
        if window.start_ms >= record.start_ms:
            record.value, record.threshold, record.rows = finite(finding.score.value), finite(verdict.threshold), finding.score.rows
            record.level, record.reference = verdict.level, finding.score.reference
            record.start_ms, record.end_ms, record.revision = window.start_ms, window.end_ms, window.revision

    def _combine(self, rules: list[Rule], window: Shown) -> list[Transition]:
        """Show a window to the combinations, and what became of those before it where their parts were folded again."""
        out: list[Transition] = []
        touched = self._touched.pop(window.group, None)
        slide_ms = self._grid(window).slide_ms
        for rule in rules:
            if not (rule.combines and rule.covers(window.group[0], window.group[2]) and _awake(rule, window.end_ms)):
                continue
            finding = combination(rule, self._lit(window))
            name = (rule.name, finding.score.subject, finding.score.name)
            record, changed = self._record(window.group, name), False
            if touched is not None:
                parts = self._parts(rule, window.group)
                for start, _ in list(windows(record.runs, touched, slide_ms)):
                    then = combination(rule, lit_at(parts, start))
                    changed |= record.note(start, BAD if then.level == "breach" else CLEAR, slide_ms)
            if record.runs and window.start_ms < record.runs[-1][1]:
                finding, verdict = self._told(record, rule, window.group, name, window.start_ms)
            else:
                verdict = judge(rule, finding, None, ())
            out += self._show(record, rule, name, finding, verdict, window, changed)
        return out

    def _lit(self, window: Shown) -> dict[str, list[tuple[Name, int]]]:
        """What fires now, by rule, of the whole model and of the group."""
        out: dict[str, list[tuple[Name, int]]] = {}
        for _, name, record in self._heard_by(window.group):
            if record.status == "firing":
                rows = record.rows if record.start_ms == window.start_ms else 0
                out.setdefault(name[0], []).append((name, rows))
        return out

    def _parts(self, rule: Rule, group: Group) -> list[Part]:
        grid = Grid(self._size_ms, self._slide_ms or self._size_ms)
        return parts_of(rule, self._rules, self._heard_by(group), self.flapping, grid)

    def _heard_by(self, group: Group) -> Iterator[tuple[Group, Name, Record]]:
        for each in dict.fromkeys(((group[0], "", ""), group)):
            for name, record in self._groups.get(each, {}).items():
                yield each, name, record

    def _grid(self, window: Shown) -> Grid:
        size_ms = window.end_ms - window.start_ms
        return Grid(size_ms, self._slide_ms or size_ms)

    def _record(self, group: Group, name: Name) -> Record:
        alerts = self._groups.setdefault(group, {})
        if name not in alerts:
            alerts[name] = Record(fingerprint(name[0], *group, *name[1:]))
        return alerts[name]

    def end_versions(self, gone: set[str], window: Shown) -> list[Transition]:
        """End what fires for versions that take no traffic any more."""
        return end_versions(self._groups, gone, window)

    def firing(self) -> list[tuple[str, str, str, str, str, str]]:
        """(rule, model, version, segment, subject, score) of every alert that fires, sorted."""
        return sorted((name[0], *group, *name[1:]) for group, name, _ in self.alight())

    def alight(self) -> Iterator[tuple[Group, Name, Record]]:
        """Every alert that fires, or flaps."""
        for group, alerts in self._groups.items():
            for name, record in alerts.items():
                if record.is_alight:
                    yield group, name, record

    def __len__(self) -> int:
        return sum(map(len, self._groups.values()))

    def to_bytes(self) -> bytes:
        rows = [
            [*group, *name, *record.row()]
            for group, alerts in sorted(self._groups.items())
            for name, record in sorted(alerts.items(), key=_by_name)
        ]
        return orjson.dumps({"version": VERSION, "slide_ms": self._slide_ms, "newest_ms": self._newest_ms, "alerts": rows})

    @staticmethod
    def from_bytes(blob: bytes, flapping: Flapping | None = None, slide_ms: int = 0) -> AlertBook:
        """Raises ValueError where the blob was written by a version that this program does not know."""
        data: dict[str, Any] = orjson.loads(blob)
        version = data.get("version")
        if version not in (1, 2, VERSION):
            raise ValueError(f"alert book: version is {version!r}, this program reads up to {VERSION}")
        groups: dict[Group, dict[Name, Record]] = {}
        for model, part, segment, rule, subject, score, *rest in data["alerts"]:
            if version == 1:
                record = Record.from_row_1(fingerprint(rule, model, part, segment, subject, score), rest)
            else:
                record = Record.from_row(rest) if version == VERSION else Record.from_row_2(rest)
            groups.setdefault((model, part, segment), {})[rule, subject, score] = record
        book = AlertBook(groups, flapping, slide_ms)
        book._newest_ms = data.get("newest_ms", -1)
        if data.get("slide_ms", slide_ms) != slide_ms:
            for alerts in groups.values():
                for record in alerts.values():
                    record.rebase()
        return book


def _by_score(findings: list[Finding]) -> dict[str, list[tuple[int, Finding]]]:
    """Findings by the score's name, with their place: of these there are few, and many findings."""
    out: dict[str, list[tuple[int, Finding]]] = {}
    for placed in enumerate(findings):
        out.setdefault(placed[1].score.name, []).append(placed)
    return out


def _heard(rule: Rule, by_score: dict[str, list[tuple[int, Finding]]]) -> Iterator[Finding]:
    """The findings that a rule hears, in their order."""
    found = (placed for score, placed in by_score.items() if matches_any(rule.scores, score))
    placed = sorted(chain.from_iterable(found), key=itemgetter(0))
    every_subject = "*" in rule.subjects
    return (finding for _, finding in placed if every_subject or matches_any(rule.subjects, finding.score.subject))


def _by_name(item: tuple[Name, Record]) -> Name:
    return item[0]


def _awake(rule: Rule, at_ms: int) -> bool:
    return rule.schedule is None or rule.schedule.is_open(at_ms - 1)
