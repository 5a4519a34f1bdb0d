"""How a move of an alert is told: as it happens, or after a window in the past was revised and all was folded again.

A correction is one move: from what was told to what is so now. Where the alert is in the state it was in, only what is known
of its last move changed (another window, another value): that `corrects` its row, and is no news.
"""

from __future__ import annotations

from collections.abc import Callable

from alerts.conditions import Verdict, limit_rule
from alerts.record import Record
from alerts.rules import Rule
from alerts.transition import Reason, Shown, Transition, finite, plain
from detectors.score import Finding

Episode = tuple[str, str, int, int, bool]  # alerts.fold.State.episode
LIMIT_RULE = "limit_rule"  # in the evidence: which rule gave the limit
AT_ONCE = {Reason.THRESHOLD_CROSSED: Reason.REVISED_CROSSED, Reason.RESOLVED_CLEAR: Reason.REVISED_CLEAR}


def moved(
    record: Record, rule: Rule, finding: Finding, verdict: Verdict, window: Shown, status: str, reason: Reason,
    at: tuple[int, int] | None = None, corrects: bool = False, since_ms: int | None = None,
) -> Transition:  # fmt: skip
    """A move that a window made. at: start and end of that window where it is not the one that is being shown."""
    if window.revision > 1:
        reason = AT_ONCE.get(reason, reason)
    score = finding.score
    start_ms, end_ms = at or (window.start_ms, window.end_ms)
    evidence = {**plain(score.explained), LIMIT_RULE: limit_rule(rule, finding)} if status == "firing" else {}
    return Transition(
        record.mark, rule.name, rule.severity, *window.group, score.subject, score.name, status, reason, finite(score.value),
        finite(verdict.threshold), score.rows, start_ms, end_ms, record.since_ms if since_ms is None else since_ms, window.revision,
        window.now_ms, verdict.level, score.reference, evidence, record.trigger_ms, corrects,
    )  # fmt: skip


def correction(
    record: Record,
    rule: Rule,
    before: Episode,
    window: Shown,
    told: Callable[[int], tuple[Finding, Verdict]],
    known_ms: int | None = None,
    relearned: bool = False,
) -> list[Transition]:
    """What to tell of an alert whose episode was `before`. told: what the window that starts then showed.

    known_ms: start of the newest window known before, where a move later than that is no revision. relearned: whether what
    the alert is compared with may be another.
    """
    s = record.state
    was, was_moved, _, since_ms, flapped = before
    if not s.moved:
        if not was_moved:
            return []
        return [moved(record, rule, *told(window.start_ms), window, "resolved", Reason.WITHDRAWN, since_ms=since_ms)]
    if s.episode == before and s.moved_ms != window.start_ms and not relearned:
        return []
    at = (s.moved_ms, s.moved_ms + window.end_ms - window.start_ms)
    reason = Reason(s.reason)
    if known_ms is None or s.moved_ms <= known_ms:
        if s.status == "firing" and was != "firing":
            reason = Reason.REVISED_CROSSED
        elif was == "firing" and s.status != "firing":
            reason = Reason.REVISED_CLEAR
    corrects = (was, was_moved, flapped) == (s.status, s.moved, s.flapping)
    return [moved(record, rule, *told(s.moved_ms), window, s.moved, reason, at, corrects)]
