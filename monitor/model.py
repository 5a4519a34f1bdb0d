"""A model as the engine sees it: frozen settings, its schema and its references. No YAML, no clock."""

from __future__ import annotations

from dataclasses import dataclass, field

from alerts.policy import Policy
from detectors.choice import Choice
from detectors.columns import Schema
from detectors.limits import Limit
from detectors.profile import Profile
from detectors.univariate import AUTO
from monitor.budget import Calibration
from monitor.custom import Custom
from monitor.segments import DerivedSegment, Fairness


@dataclass(frozen=True, slots=True)
class VersionComparison:
    """Two versions that are compared. paired: both got every request. min_effect: in the metric's unit.

    by_request: pairs are rows of the same request's id, else of the same `ts`.
    """

    champion: str
    challenger: str
    metric: str  # one of those of monitor/config/compare.py, or of the schema's numbers
    paired: bool
    values: dict[str, dict[str, float]]  # predicted label -> true label -> what it is worth, for "value"
    alpha: float
    min_effect: float
    by_request: bool = False


@dataclass(frozen=True, slots=True)
class Model:
    """Everything that decides a model's results. Times in ms; slide_ms divides size_ms."""

    name: str
    schema: Schema
    size_ms: int
    slide_ms: int
    lateness_ms: int
    horizon_ms: int = 600_000
    max_ids: int = 500_000
    dedup: bool = True
    label_wait_ms: int = 7 * 86_400_000
    wants_labels: bool = True
    segment_limit: int = 50
    derived: tuple[DerivedSegment, ...] = ()  # segments by expression
    resources: tuple[str, ...] = ()  # names of what is sampled while the model serves
    budget_usd_per_day: float | None = None
    fairness: Fairness = field(default_factory=Fairness)
    version_limit: int = 20
    min_rows: int = 200
    min_coverage: float = 0.0
    worth: dict[tuple[str, str], float] = field(default_factory=dict)  # (predicted, true) -> money
    custom: tuple[Custom, ...] = ()
    estimate: bool = True  # performance, before labels come
    concept: dict[str, dict[str, float]] = field(default_factory=dict)  # stream detectors and their options
    compare: tuple[VersionComparison, ...] = ()
    request_key: str | None = None  # the key of the event's segment that holds the request's id
    slow: tuple[tuple[str, str], ...] = ()  # (subject, score) that each slow detector of the config gives at the least
    concept_rows: int = 2000  # errors of a window that they read at most
    first_windows: int = 5
    thresholds: dict[str, Limit] = field(default_factory=dict)
    calibration: Calibration = field(default_factory=Calibration)
    statistics: Choice = AUTO
    policy: Policy = field(default_factory=Policy)
    formulas: str | None = None  # the tool whose formulas are computed too
    formula_scores: tuple[str, ...] = ()  # and those of its scores that are computed where they are named
    active_profile: str = ""  # the reference that was activated last
    activations: tuple[tuple[int, str], ...] = ()  # (event time in ms from which panes count in it, name), in order
    profiles: dict[str, Profile] = field(default_factory=dict)
    config_hash: str = ""

    def profile_at(self, start_ms: int) -> str:
        """The name of the reference that a pane with that start counts in, "" for none."""
        if not self.activations:
            return self.active_profile
        return next((name for from_ms, name in reversed(self.activations) if from_ms <= start_ms), "")

    def profile_named(self, name: str) -> Profile | None:
        """The reference of that name; None for "". Raises KeyError with the fix if it is gone."""
        if name == "":
            return None
        if name not in self.profiles:
            raise KeyError(
                f"model {self.name!r}: a stored pane counts in reference {name!r}, which the store no longer holds. "
                f"Known: {', '.join(sorted(self.profiles)) or 'none'}. Restore it or delete the model's open panes."
            )
        return self.profiles[name]
