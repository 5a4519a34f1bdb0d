"""What people want to hear about: a rule picks findings by pattern, says what is bad, and how long it must last.

Patterns are shell patterns (`fnmatch`, case matters). The segment "" is all rows, so the default
`segments=("",)` leaves single segments out and `("*",)` takes them in. What is bad, the first that is given:

    standing            what lasts until somebody acts (alerts/standing.py); never written in a config
    absent              nothing came: "events" or "labels", for absent_ms, or for for_windows windows
    all_of, any_of      of the rules named, all (one) fire for the same version and segment
    above, below        the value's own limit
    rise_ratio, rise_by, fall_by   against the median of the learn_windows calm windows before
    level               the verdict that the model's thresholds gave

alerts/conditions.py says how these are judged, and what lies between firing and resolving.
"""

from __future__ import annotations

from dataclasses import dataclass

from alerts.matchers import matches_any
from alerts.schedule import Schedule
from detectors.score import LEVELS

RULE_LEVELS = ("warn", "breach")
SEVERITIES = ("info", "warning", "critical")  # from least to worst
ABSENT = ("events", "labels")
RETRAINING = "retraining"  # what can stand, and the subject of its alerts
LEARN_LEAST = 5  # calm windows before a relative limit says anything


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule. cooldown_ms is event time between the end of one episode and the start of the next."""

    name: str
    models: tuple[str, ...] = ("*",)
    subjects: tuple[str, ...] = ("*",)
    scores: tuple[str, ...] = ("*",)
    segments: tuple[str, ...] = ("",)
    level: str = "breach"
    resolve_level: str = ""  # a verdict at or above this is not clear yet; "" means level
    above: float | None = None
    below: float | None = None
    resolve_below: float | None = None  # with above: clear only under this
    resolve_above: float | None = None  # with below: clear only over this
    yields: bool = False  # where the model's thresholds judge the score, their verdict counts instead of the own limit
    rise_ratio: float | None = None
    rise_by: float | None = None
    fall_by: float | None = None
    learn_windows: int = 20
    sigmas: float = 4.0  # a change must also exceed so many standard deviations of the calm windows
    standing: str = ""
    absent: str = ""
    absent_ms: int = 0
    all_of: tuple[str, ...] = ()
    any_of: tuple[str, ...] = ()
    for_windows: int = 1
    of_windows: int = 0  # for_windows bad ones among so many suffice; 0: they must follow each other
    resolve_windows: int = 1
    cooldown_ms: int = 0
    min_rows: int = 0  # -1: as the model's thresholds ask, for a rule with a limit of its own
    min_coverage: float = 0.0  # of labels, in the same window
    schedule: Schedule | None = None
    severity: str = "warning"
    channels: tuple[str, ...] = ()  # () means: where the routes say
    notify: bool = True  # False: only an ingredient of combinations

    def __post_init__(self) -> None:
        for field, value, allowed in (
            ("level", self.level, RULE_LEVELS),
            ("resolve_level", self.resolve_level, ("", *RULE_LEVELS)),
            ("severity", self.severity, SEVERITIES),
            ("absent", self.absent, ("", *ABSENT)),
            ("standing", self.standing, ("", RETRAINING)),
        ):
            if value not in allowed:
                raise ValueError(f"rule {self.name!r}: {field} is {value!r}, must be one of {', '.join(v for v in allowed if v)}")
        for field, number, least in (
            ("for_windows", self.for_windows, 1),
            ("resolve_windows", self.resolve_windows, 1),
            ("cooldown_ms", self.cooldown_ms, 0),
            ("min_rows", self.min_rows, -1),
            ("learn_windows", self.learn_windows, LEARN_LEAST),
        ):
            if number < least:
                raise ValueError(f"rule {self.name!r}: {field} is {number}, must be {least} or more")
        if problem := self._contradiction():
            raise ValueError(f"rule {self.name!r}: {problem}")

    def _contradiction(self) -> str:
        if self.of_windows and self.of_windows < self.for_windows:
            return f"of_windows ({self.of_windows}) must be for_windows ({self.for_windows}) or more"
        ways = [
            bool(self.standing),
            bool(self.absent),
            bool(self.all_of or self.any_of),
            self.above is not None or self.below is not None,
            self.relative,
        ]
        if sum(ways) > 1:
            return "says what is bad in more than one way: give one of absent, all_of or any_of, above or below, rise or fall"
        if self.all_of and self.any_of:
            return "give all_of or any_of, not both"
        if self.above is not None and self.below is not None:
            return "give above or below, not both"
        if self.resolve_below is not None and (self.above is None or self.resolve_below > self.above):
            return "resolve_below must lie under above"
        if self.resolve_above is not None and (self.below is None or self.resolve_above < self.below):
            return "resolve_above must lie over below"
        if self.resolve_level and LEVELS.index(self.resolve_level) > LEVELS.index(self.level):
            return f"resolve_level ({self.resolve_level}) must not be worse than level ({self.level})"
        if (self.rise_ratio is not None and self.rise_ratio <= 1) or any(
            v is not None and v <= 0 for v in (self.rise_by, self.fall_by)
        ):
            return "rise_ratio must be over 1, rise_by and fall_by over 0"
        if not self.judges_findings and (self.min_rows > 0 or self.min_coverage or self.of_windows or self.resolve_level):
            return "min_rows, min_coverage, of_windows and resolve_level mean nothing with absent, all_of or any_of"
        if self.absent_ms and not self.absent:
            return "absent_for means nothing without absent"
        return ""

    @property
    def relative(self) -> bool:
        return self.rise_ratio is not None or self.rise_by is not None or self.fall_by is not None

    @property
    def combines(self) -> tuple[str, ...]:
        return self.all_of or self.any_of

    @property
    def judges_findings(self) -> bool:
        return not self.absent and not self.standing and not self.combines

    @property
    def hears_levels(self) -> bool:
        """Whether it goes by the verdicts of thresholds, where there are any, and not by a limit of its own."""
        own = self.relative or ((self.above is not None or self.below is not None) and not self.yields)
        return self.judges_findings and not own

    def covers(self, model: str, segment: str) -> bool:
        return matches_any(self.models, model) and matches_any(self.segments, segment)

    def matches(self, model: str, segment: str, subject: str, score: str) -> bool:
        return self.covers(model, segment) and matches_any(self.scores, score) and matches_any(self.subjects, subject)
