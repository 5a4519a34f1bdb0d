"""What running a model takes: queue delay, tokens and cost of its events, and how fast a daily budget burns.

The money spent earlier on a day is read from the stored scores of that day's windows: those that neither overlap
each other nor the window. Where a window's cost changes, the later ones of its day are published anew (monitor/stale.py).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator

from detectors.operations import NumberSummary, score_numbers
from detectors.score import Score
from monitor.panes import Group
from monitor.stale import outdate
from monitor.view import GroupView, WindowView

DAY_MS = 86_400_000
WHOLE: Group = ("", "")  # all versions
SUBJECT, SPENT = "cost", "window_usd"


def operations(view: GroupView) -> Iterable[Score]:
    """Scores of the events' other numbers."""
    part = None if view.inputs is None else view.inputs.parts.get("numbers")
    if not isinstance(part, NumberSummary):
        return []
    return score_numbers(part, (view.end_ms - view.start_ms) / 1000.0)


def cost_budget(view: WindowView) -> Iterator[tuple[Group, Score]]:
    """The window's cost over all versions, and what that means for the day's budget (UTC)."""
    budget = view.model.budget_usd_per_day
    if budget is None:
        return
    cost, rows = 0.0, 0
    for (_, segment), group in sorted(view.groups.items()):
        part = None if group.inputs is None or segment else group.inputs.parts.get("numbers")
        if isinstance(part, NumberSummary):
            cost += part.total("cost_usd")
            rows += part.numbers["cost_usd"].rows if "cost_usd" in part.numbers else 0
    _outdate_later(view, cost if rows else None)
    if rows == 0:
        yield WHOLE, Score(SUBJECT, SPENT, math.nan, 0)
        yield WHOLE, Score(SUBJECT, "burn_rate", math.nan, 0, evidence={"reason": "no event of the window has cost_usd"})
        return
    size = view.end_ms - view.start_ms
    spent = cost + sum(_earlier(view, size))
    pace = cost / size * DAY_MS  # dollars a day
    evidence: dict[str, object] = {
        "budget_usd_per_day": budget,
        "spent_today_usd": round(spent, 6),
        "pace_usd_per_day": round(pace, 6),
    }
    yield WHOLE, Score(SUBJECT, SPENT, cost, rows)
    yield WHOLE, Score(SUBJECT, "burn_rate", pace / budget, rows, evidence=evidence)
    yield WHOLE, Score(SUBJECT, "budget_spent_share", spent / budget, rows, evidence=evidence)
    if pace > 0:
        left = max(0.0, budget - spent) / pace * 24.0
        yield WHOLE, Score(SUBJECT, "budget_exhausted_in_hours", left, rows, evidence=evidence)


def _outdate_later(view: WindowView, cost: float | None) -> None:
    stored = next((row.value for row in view.memory.scores(SUBJECT, SPENT, view.start_ms, view.start_ms + 1)), None)
    if cost == stored:
        return
    day = view.start_ms // DAY_MS
    size = view.end_ms - view.start_ms
    outdate(view.memory, view.end_ms, lambda w: w.start_ms // DAY_MS == day and (w.start_ms - view.start_ms) % size == 0)


def _earlier(view: WindowView, size: int) -> Iterator[float]:
    """The cost of the day's earlier windows; of sliding ones those in step with this window."""
    day = view.start_ms // DAY_MS * DAY_MS
    for row in view.memory.scores(SUBJECT, SPENT, day, view.start_ms):
        if (view.start_ms - row.window_start_ms) % size == 0 and row.value is not None:
            yield row.value
