"""How wrong estimates have been so far: estimated and realised performance side by side, over all windows that have labels."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import select

from monitor.store.schema import score

SUBJECTS = ("estimated_performance", "estimated_performance_weighted")


@dataclass(frozen=True, slots=True)
class Estimate:
    """One metric of one window. realised is None while no label has come."""

    start_ms: int
    version: str
    subject: str
    metric: str
    value: float | None
    low: float | None
    high: float | None
    realised: float | None

    @property
    def inside(self) -> bool | None:
        """Whether the realised value lies in the band; None where one of them is missing."""
        if self.realised is None or self.low is None or self.high is None:
            return None
        return self.low <= self.realised <= self.high


def estimates_of(store: Any, model: str, segment: str = "") -> list[Estimate]:
    """All stored estimates of a model, in order of time."""
    c = score.c
    query = select(c.window_start_ms, c.version, c.subject, c.score, c.value).where(
        c.model == model, c.segment == segment, c.subject.in_((*SUBJECTS, "performance"))
    )
    found = {(r["window_start_ms"], r["version"], r["subject"], r["score"]): r["value"] for r in store.rows(query)}
    ends = ("_low", "_high", "_gap")
    out = []
    for start, version, subject, name in sorted(found):
        if subject == "performance" or name.endswith(ends) or name == "calibration_error":
            continue
        key = (start, version, subject)
        realised = found.get((start, version, "performance", name))
        value, gap = found[*key, name], found.get((*key, f"{name}_gap"))
        if realised is None and value is not None and gap is not None:
            realised = value - gap
        out.append(
            Estimate(
                start, version, subject, name, value, found.get((*key, f"{name}_low")), found.get((*key, f"{name}_high")), realised
            )
        )
    return out


def lines_of(estimates: list[Estimate], metric: str | None) -> Iterator[str]:
    """Lines for people: each window, then how wrong the estimates have been."""
    shown = [e for e in estimates if metric in (None, e.metric)]
    if not shown:
        yield "no estimates; they need a reference that was built from labelled rows (and `sample` for regression), see README"
        return
    yield f"{'window':20}  {'version':8}  {'metric':20}  {'estimated':>10}  {'band':>21}  {'realised':>10}  {'gap':>9}"
    for e in shown:
        begun = datetime.fromtimestamp(e.start_ms / 1000.0, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        band = "" if e.low is None or e.high is None else f"{e.low:.4g} to {e.high:.4g}"
        gap = "" if e.value is None or e.realised is None else f"{e.value - e.realised:+.4f}"
        name = e.metric if e.subject == SUBJECTS[0] else f"{e.metric} (weighted)"
        yield f"{begun:20}  {e.version:8}  {name:20}  {_number(e.value):>10}  {band:>21}  {_number(e.realised):>10}  {gap:>9}"
    yield from (f"so far: {line}" for line in errors_so_far(shown))


def errors_so_far(estimates: list[Estimate]) -> Iterator[str]:
    """Of each metric: mean distance of estimate and realised value, and how often the band held it."""
    for subject, metric in sorted({(e.subject, e.metric) for e in estimates}):
        known = [e for e in estimates if (e.subject, e.metric) == (subject, metric)]
        gaps = [abs(e.value - e.realised) for e in known if e.value is not None and e.realised is not None]
        inside = [e.inside for e in known if e.inside is not None]
        if not gaps:
            yield f"{subject} {metric}: no labels yet, {len(known)} windows estimated"
            continue
        held = f", inside the band in {sum(inside)} of {len(inside)}" if inside else ""
        yield f"{subject} {metric}: off by {sum(gaps) / len(gaps):.4g} on average over {len(gaps)} windows with labels{held}"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.5g}"
