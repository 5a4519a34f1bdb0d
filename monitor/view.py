"""A closed window as analysers see it: its merged groups, its model, and what the model remembers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Protocol

from detectors.pairs import Pair
from detectors.performance import PerformanceSummary
from detectors.profile import Profile
from detectors.score import Score
from detectors.window import WindowSummary
from monitor.checkpoint import ResourceSample, ScoreRow, WindowRow
from monitor.intake import Intake
from monitor.model import Model
from monitor.panes import Group


class Memory(Protocol):
    """What a model remembers between windows, in the publishing transaction; see monitor/store/publish.py."""

    def load_state(self, name: str) -> bytes | None: ...
    def save_state(self, name: str, blob: bytes) -> None: ...
    def state_names(self, prefix: str) -> list[str]: ...
    def drop_state(self, name: str) -> None: ...
    def windows(self, from_ms: int) -> list[WindowRow]: ...
    def resource_samples(self, from_ms: int, to_ms: int) -> list[ResourceSample]: ...
    def scores(self, subject: str, score_name: str, from_ms: int, to_ms: int) -> list[ScoreRow]: ...
    def rewrite_scores(self, rows: list[ScoreRow]) -> None: ...


@dataclass(frozen=True, slots=True)
class GroupView:
    """One version and segment of a closed window. Exactly one of profile and learned is there, or none while learning."""

    model: Model
    start_ms: int
    end_ms: int
    version: str
    segment: str
    inputs: WindowSummary | None  # None where only labels came
    performance: PerformanceSummary | None  # None where no label has come
    profile: Profile | None  # the built reference that inputs count in
    learned: WindowSummary | None  # the one of the model's first windows, where there is no built one
    reference: str  # its name in results
    no_reference: str = ""  # why there is none, where there is none
    pairs: dict[str, Pair] = field(default_factory=dict, compare=False)  # of features of all rows, from scores to verdicts

    @property
    def rows(self) -> int:
        return 0 if self.inputs is None else self.inputs.rows


@dataclass(frozen=True, slots=True)
class WindowView:
    """All groups of a closed window, what is stored of earlier ones, and the scores that its groups got."""

    model: Model
    start_ms: int
    end_ms: int
    now_ms: int  # only to be written down, never to decide
    groups: dict[Group, GroupView]
    late_rows: int
    memory: Memory
    scores: dict[Group, list[Score]]
    intake: Intake = field(default_factory=Intake)
    learned_from: frozenset[int] = frozenset()  # starts of the windows that the model's own reference is made of, so far
    moved: tuple[int, int] = (0, 0)  # rows that were counted in another reference's cells, and those by which shares may be off
    shared: dict[str, Any] = field(default_factory=dict)  # what several analysers need, computed once
