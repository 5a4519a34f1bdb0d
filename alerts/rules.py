"""What people want to hear about: a rule picks findings by pattern and says how long they must last.

Patterns are shell patterns (`fnmatch`, case matters). The segment "" is all rows, so the default
`segments=("",)` leaves single segments out and `("*",)` takes them in.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase

from detectors.score import LEVELS

RULE_LEVELS = ("warn", "breach")
SEVERITIES = ("info", "warning", "critical")


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule. cooldown_ms is event time between the end of one episode and the start of the next."""

    name: str
    models: tuple[str, ...] = ("*",)
    subjects: tuple[str, ...] = ("*",)
    scores: tuple[str, ...] = ("*",)
    segments: tuple[str, ...] = ("",)
    level: str = "breach"
    for_windows: int = 1
    resolve_windows: int = 1
    cooldown_ms: int = 0
    severity: str = "warning"
    channels: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.level not in RULE_LEVELS:
            raise ValueError(f"rule {self.name!r}: level is {self.level!r}, must be one of {', '.join(RULE_LEVELS)}")
        if self.severity not in SEVERITIES:
            raise ValueError(f"rule {self.name!r}: severity is {self.severity!r}, must be one of {', '.join(SEVERITIES)}")
        for field, value, least in (
            ("for_windows", self.for_windows, 1),
            ("resolve_windows", self.resolve_windows, 1),
            ("cooldown_ms", self.cooldown_ms, 0),
        ):
            if value < least:
                raise ValueError(f"rule {self.name!r}: {field} is {value}, must be {least} or more")

    def matches(self, model: str, segment: str, subject: str, score: str) -> bool:
        return (
            _any(self.models, model) and _any(self.segments, segment) and _any(self.subjects, subject) and _any(self.scores, score)
        )

    def is_bad(self, level: str) -> bool:
        """Whether a finding of this level counts as breaching for this rule."""
        return LEVELS.index(level) >= LEVELS.index(self.level)


def _any(patterns: Iterable[str], value: str) -> bool:
    return any(fnmatchcase(value, pattern) for pattern in patterns)
