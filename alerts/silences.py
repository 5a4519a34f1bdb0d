"""A silence: who keeps which alerts quiet, from when until when, and why. Time is the wall clock that is passed in."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from alerts.matchers import Labels, Matcher

REASON_CHARS_MOST = 1_000
AUTHOR_CHARS_MOST = 200
LONGEST_MS = 366 * 86_400_000  # what is silenced for longer is no alert but a rule to remove


@dataclass(frozen=True, slots=True)
class Silence:
    """Alerts that match are not sent from starts_ms until before ends_ms. Messages that close what was sent still go."""

    id: str
    matcher: Matcher
    starts_ms: int
    ends_ms: int
    author: str
    reason: str
    created_ms: int = 0

    def __post_init__(self) -> None:
        if not self.matcher.patterns:
            raise ValueError('a silence must match something: give a label, for example {"model": "credit"}')
        if self.ends_ms <= self.starts_ms:
            raise ValueError(f"a silence must end after it starts: it starts at {self.starts_ms} and ends at {self.ends_ms} (ms)")
        if self.ends_ms - self.starts_ms > LONGEST_MS:
            raise ValueError("a silence is longer than 366 days; change the rule instead")
        require_words("author", self.author, AUTHOR_CHARS_MOST)
        require_words("reason", self.reason, REASON_CHARS_MOST)

    def state(self, now_ms: int) -> str:
        """ "pending", "active" or "expired"."""
        return "pending" if now_ms < self.starts_ms else "active" if now_ms < self.ends_ms else "expired"


def require_words(name: str, value: str, most: int) -> None:
    """Raises ValueError where a text that people must give is missing or too long."""
    if not value.strip():
        raise ValueError(f"{name} is missing: say {'who' if name == 'author' else 'why'}")
    if len(value) > most:
        raise ValueError(f"{name} has {len(value)} characters, at most {most} are kept")


def active(silences: Iterable[Silence], now_ms: int) -> list[Silence]:
    return [s for s in silences if s.state(now_ms) == "active"]


def silenced_by(silences: Sequence[Silence], labels: Labels) -> Silence | None:
    """The first of the (active) silences that covers an alert."""
    return next((s for s in silences if s.matcher.matches(labels)), None)
