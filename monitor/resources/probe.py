"""A probe takes one sample of one source of resources."""

from __future__ import annotations

from typing import Protocol


class ProbeUnavailable(RuntimeError):
    """The source cannot be asked now. The text says why and what to do."""


class Probe(Protocol):
    """One source. Never blocks longer than its timeout."""

    def sample(self, now_s: float) -> dict[str, float]:
        """Values by metric (detectors/score_names.py, RESOURCES); now_s grows steadily. Raises ProbeUnavailable."""
        ...


class Rates:
    """Counters that only grow become what they grow by in a second; nothing for a first look, or where one began anew."""

    def __init__(self) -> None:
        self._seen: dict[str, tuple[float, float]] = {}

    def rate(self, name: str, value: float, now_s: float) -> float | None:
        before = self._seen.get(name)
        self._seen[name] = (value, now_s)
        if before is None or value < before[0] or now_s <= before[1]:
            return None
        return (value - before[0]) / (now_s - before[1])
