"""Verdicts on all scores of a closed window at once, so that the whole model keeps the alarm rate that the config asks for.

1. scores with a limit in the config are held against it (detectors/limits.py);
2. every other score that has a null (monitor/judged.py) gets its probability, on the scale that its past windows say;
3. streaks count: a rule that waits for k windows may have wider limits (detectors/calibrate/streak.py);
4. of the scores that a rule listens to, as many are called changed as the week's budget allows, corrected for how many
   were looked at (detectors/calibrate/multiple.py), one that says in part what others say as a part; those that no rule listens to are a family of their own;
5. what is significant and smaller than min_effect is ok, and too few rows are `unsure`.
"""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass, replace

import numpy as np

from alerts.matchers import matches_any
from alerts.rules import Rule
from detectors.calibrate.history import LEAST_WINDOWS
from detectors.calibrate.multiple import cutoff
from detectors.calibrate.streak import correlation, single_probability, streak_probability
from detectors.columns import Floats
from detectors.limits import judge, judge_one
from detectors.score import HEADLINE, LEVELS, Finding, why_failed
from monitor.budget import LOOSEST, WARN_TIMES
from monitor.first_days import DAY, HOUR
from monitor.guarded import tried
from monitor.judged import judged
from monitor.judged_pairs import statistic_of
from monitor.judged_score import Judged
from monitor.label_scores import PERFORMANCE, matured
from monitor.logs import log_event
from monitor.model import Model
from monitor.panes import Group
from monitor.past import CALLED, CALM, CHUNK, HELD, Remembered, rests_on_inputs
from monitor.view import WindowView

logger = logging.getLogger("driftd.verdicts")
BESIDE, COUNTS_AS = "wasserstein", 0.4  # beside both of those that speak it is as much of a score: what it alone finds by chance
TOO_FEW = f"too few past windows, {LEAST_WINDOWS} are needed and learned {CHUNK} at a time"
SPOKEN_BY = ("js", "rank_shift")  # whose verdict a headline has where its own statistic has no null


def judge_window(view: WindowView) -> dict[Group, list[Finding]]:
    """A finding for each score of each group, groups in order."""
    model, calibration = view.model, view.model.calibration
    groups = sorted(view.scores.items())
    if calibration.false_alarms_per_week <= 0:
        return matured(view, {group: judge(scores, model.thresholds, model.min_rows) for group, scores in groups})
    items = list(judged(view, calibration))
    remembered = Remembered(view) if calibration.use_past else None
    if remembered is not None:
        remembered.look_up(items)
    found = findings(model, items)
    of: dict[Group, dict[int, Finding]] = {group: {} for group, _ in groups}
    for item, finding in zip(items, found, strict=True):
        of[item.group][item.at] = finding
    out = {
        group: headlines(
            [of[group].get(at) or judge_one(score, model.thresholds, model.min_rows) for at, score in enumerate(scores)]
        )
        for group, scores in groups
    }
    if remembered is not None:
        mine = [item for item in items if rests_on_inputs(item)]
        alone = findings(model, mine) if len(mine) < len(items) else found
        flags = {id(item): _flag(finding) for item, finding in zip(mine, alone, strict=True)}
        remembered.note([(item, flags.get(id(item), CALM)) for item in items])
    return matured(view, out)


def judge_guarded(view: WindowView) -> tuple[dict[Group, list[Finding]], list[str]]:
    """The findings, and what failed: where judging raises, a limit of the config still holds, and all else is `unsure`."""
    found = tried(view.memory, lambda memory: judge_window(replace(view, memory=memory)))
    if not isinstance(found, Exception):
        return found, []
    why = why_failed(found)
    log_event(logger, logging.ERROR, "judging_failed", model=view.model.name, window_start_ms=view.start_ms, error=why["failed"])
    rule = f"it could not be judged: {why['failed']}"
    out = {}
    for group, scores in sorted(view.scores.items()):
        judged = judge(scores, view.model.thresholds, view.model.min_rows)
        stands = [f.score.name in view.model.thresholds and f.score.subject not in PERFORMANCE for f in judged]
        out[group] = [f if kept else replace(f, level="unsure", rule=rule) for f, kept in zip(judged, stands, strict=True)]
    return out, ["judging"]


def _flag(finding: Finding) -> int:
    return CALLED if finding.level == "breach" else HELD if finding.rule.endswith((HOUR, DAY)) else CALM


def headlines(found: list[Finding]) -> list[Finding]:
    """`drift` by a statistic without a null of its own gets the worst verdict of those that speak for it."""
    speak: dict[str, list[Finding]] = {}
    for finding in found:
        if finding.score.name in SPOKEN_BY and finding.rule.startswith("calibrated"):
            speak.setdefault(finding.score.subject, []).append(finding)
    return [
        _spoken_for(f, speak[f.score.subject]) if f.score.name == HEADLINE and not f.rule and f.score.subject in speak else f
        for f in found
    ]


def _spoken_for(headline: Finding, by: list[Finding]) -> Finding:
    worst = max(by, key=lambda f: (LEVELS.index(f.level), f.score.value / f.threshold if f.threshold else 0.0))
    limit = "" if worst.threshold is None else f" {worst.score.value:.3g} of {worst.threshold:.3g}"
    score = headline.score
    if worst.level in ("warn", "breach"):
        score = replace(score, evidence={**score.explained, "by": f"{worst.score.name}{limit}"}, more=None)
    return Finding(score, worst.level, None, f"{worst.rule}{limit}")


@dataclass(slots=True)
class _Member:
    """A judged score in its family. windows: how many in a row the rules that listen want."""

    item: Judged
    probability: float
    listened: bool
    windows: int
    at_warn: bool  # a rule alarms at level warn already
    rho: float  # correlation of two windows in a row
    chance: float  # of a streak as long as the rules want, all as far out as this window


def findings(model: Model, items: list[Judged]) -> list[Finding]:
    """A finding for each judged score, in order."""
    hearing: dict[tuple[str, str], Hearing] = {}
    listening = [r for r in model.policy.rules if r.hears_levels]
    members = [_member(model, item, listening, hearing) for item in items]
    _streaks(members)
    level = model.calibration.window_level(model.slide_ms)
    cutoffs: dict[bool, tuple[float, float]] = {}
    for listened in (True, False):
        family = [m for m in members if m.listened == listened and not m.item.alias]
        chances, counts = np.array([m.chance for m in family]), _counts(family)
        found = [cutoff(chances, at, model.calibration.correction, counts) for at in (level, min(LOOSEST, WARN_TIMES * level))]
        cutoffs[listened] = found[0], found[1]
    return [_finding(m, *cutoffs[m.listened]) for m in members]


def _counts(family: list[_Member]) -> Floats:
    """As how many scores each member of a family counts, by what is judged beside it; shape (m,)."""
    beside: dict[tuple[Group, str], int] = {}
    for member in family:
        key = member.item.group, member.item.score.subject
        beside[key] = beside.get(key, 0) + (member.item.score.name in SPOKEN_BY)
    return np.array([
        COUNTS_AS if statistic_of(i.score) == BESIDE and beside[i.group, i.score.subject] == len(SPOKEN_BY) else 1.0
        for i in (member.item for member in family)
    ])  # fmt: skip


Hearing = tuple[list[Rule], bool, tuple[bool, int, bool]]  # rules, whether they hear all subjects, and what they then ask for


def _member(model: Model, item: Judged, listening: list[Rule], hearing: dict[tuple[str, str], Hearing]) -> _Member:
    """hearing: those of the rules listening that hear a score of a segment, by both, whatever its subject. Its streak is not known yet."""
    score, segment = item.score, item.group[1]
    key = segment, score.name
    if key not in hearing:
        names = (score.name, HEADLINE) if score.name in SPOKEN_BY else (score.name,)
        rules = [r for r in listening if r.covers(model.name, segment) and any(matches_any(r.scores, n) for n in names)]
        hearing[key] = rules, all("*" in r.subjects for r in rules), _asked(rules)
    rules, all_subjects, asked = hearing[key]
    if not all_subjects:
        asked = _asked([r for r in rules if "*" in r.subjects or matches_any(r.subjects, score.subject)])
    overlap = (model.size_ms - model.slide_ms) / model.size_ms
    rho = correlation(item.reference_rows, score.rows, overlap) if item.reference_rows else overlap
    single = item.probability()
    return _Member(item, single, asked[0] or not listening, asked[1], asked[2], rho, single)


def _asked(rules: list[Rule]) -> tuple[bool, int, bool]:
    """Whether any rule listens, to how many windows in a row at the least, and whether one alarms at level warn."""
    windows = min((1 if r.of_windows else r.for_windows for r in rules), default=1)
    return bool(rules), windows, any(r.level == "warn" for r in rules)


def _streaks(members: list[_Member]) -> None:
    """The chance of each one's streak; those that wait for as many windows, and have as many rows, at once."""
    alike: dict[tuple[int, float], list[_Member]] = {}
    for member in members:
        item = member.item
        if item.held and item.past is None and not item.settled:  # it is looked at, and cannot alarm
            member.chance = 1.0
        elif member.windows > 1 and not math.isnan(member.probability):
            alike.setdefault((member.windows, member.rho), []).append(member)
    for (windows, rho), some in alike.items():
        chances = streak_probability(np.array([m.probability for m in some]), windows, rho)
        for member, chance in zip(some, chances.tolist(), strict=True):
            member.chance = chance


def _streak(single: float, windows: int, rho: float) -> float:
    if math.isnan(single) or windows <= 1:
        return single
    return float(streak_probability(np.array([single]), windows, rho)[0])


def _finding(member: _Member, breach: float, warn: float) -> Finding:
    item = member.item
    rule = f"calibrated {item.score.name}"
    held = item.held
    if item.past is not None or held:
        rule += f", {item.basis}"
    elif item.table is None or item.needs_past:
        why = item.settled or item.forgotten or TOO_FEW
        return Finding(item.score, "unsure", None, f"{rule}: {why}")
    if item.forgotten and item.past is None:
        rule += f", {item.forgotten}"
    limit = item.limit(single_probability(breach, member.windows, member.rho))
    if item.settled or (math.isnan(member.probability) and not held):
        return Finding(item.score, "unsure", limit, f"{rule}: {item.settled or 'undefined'}")
    chance = member.chance
    if held and chance > breach and item.effect >= item.floor:
        later = _streak(item.later_probability(), member.windows, member.rho)
        if later <= breach:
            return Finding(item.score, "unsure", limit, f"{rule}: {item.waits}")
    level = "ok"
    if item.effect >= item.floor:
        level = "breach" if chance <= breach else "warn" if chance <= warn and not member.at_warn else "ok"
    if level == "ok":
        return Finding(item.score, level, limit, rule)
    evidence = {**item.score.explained, "probability": _digits(member.probability), "needed": _digits(breach)}
    return Finding(replace(item.score, evidence=evidence, more=None), level, limit, rule)


def _digits(value: float) -> float:
    return float(f"{value:.3g}")
