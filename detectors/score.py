"""What scoring a closed window gives: numbers without opinion, and the verdict that a limit has on them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

NUMERIC_ERRORS = (ValueError, ArithmeticError, IndexError)  # what arithmetic on odd values raises
HEADLINE = "drift"  # the score that speaks for a feature; its evidence names the statistic
UNJUDGED = "unjudged"  # no rule has a limit for it
LEVELS = (UNJUDGED, "ok", "unsure", "warn", "breach")  # from best to worst; unsure: too few rows to say


@dataclass(slots=True)  # of a window thousands are made: `frozen` would take three times as long
class Score:
    """One number about one subject of one window. Nobody changes one.

    subject: a feature's name, or `prediction`, `target`, `performance`, `latency`, `traffic`.
    name: the statistic, for example `psi`, `ks`, `accuracy`, `latency_p95_ms`.
    rows: how many rows the value rests on. reference: what it was compared with ("" if nothing).
    """

    subject: str
    name: str
    value: float
    rows: int
    reference: str = ""
    evidence: dict[str, object] = field(default_factory=dict)
    least_rows: int | None = None  # rows that a verdict needs, where these are no events; None: the model's min_rows
    more: Callable[[], dict[str, object]] | None = field(default=None, compare=False, repr=False)  # evidence that few ask for

    @property
    def explained(self) -> dict[str, object]:
        """All of its evidence, with what is made only where somebody reads it."""
        return self.evidence if self.more is None else {**self.evidence, **self.more()}


def why_failed(error: Exception) -> dict[str, object]:
    """The evidence of a score that could not be computed. Who logs looks for `failed`."""
    what = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
    return {"reason": f"it could not be computed: {what}", "failed": what}


@dataclass(slots=True)
class Finding:
    """A score with the verdict of its rule; nobody changes one. threshold is None where no rule judges the score."""

    score: Score
    level: str
    threshold: float | None = None
    rule: str = ""
