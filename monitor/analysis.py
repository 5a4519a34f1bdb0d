"""What is computed for a closed window: every analyser by name, from merged summaries to scores without opinion.

    GROUP_ANALYSERS    one (version, segment) at a time: GroupView -> scores of that group
    WINDOW_ANALYSERS   the window as a whole, with what the model remembers: WindowView -> (group, score) pairs

An analyser is a function in a file of its own and a line here. Its result must be a function of the view: the same
panes give the same scores, whoever publishes them and how often.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol

from detectors.performance import PerformanceSummary
from detectors.profile import Profile
from detectors.score import Score
from detectors.scoring import score_performance, score_window
from detectors.window import WindowSummary
from monitor.checkpoint import ScoreRow, WindowRow
from monitor.model import Model
from monitor.panes import Group


class Memory(Protocol):
    """What a model remembers between windows, in the publishing transaction; see monitor/store/publish.py."""

    def load_state(self, name: str) -> bytes | None: ...
    def save_state(self, name: str, blob: bytes) -> None: ...
    def state_names(self, prefix: str) -> list[str]: ...
    def drop_state(self, name: str) -> None: ...
    def windows(self, from_ms: int) -> list[WindowRow]: ...
    def scores(self, subject: str, score_name: str, from_ms: int, to_ms: int) -> list[ScoreRow]: ...


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


GroupAnalyser = Callable[[GroupView], Iterable[Score]]
WindowAnalyser = Callable[[WindowView], Iterable[tuple[Group, Score]]]


def inputs(view: GroupView) -> Iterable[Score]:
    """Features, predictions, latency and traffic, and their drift against the reference."""
    if view.inputs is None:
        return []
    seconds = (view.end_ms - view.start_ms) / 1000.0
    return score_window(view.inputs, view.profile, view.learned, seconds, view.reference)


def performance(view: GroupView) -> Iterable[Score]:
    """The outcomes known so far."""
    if view.performance is None:
        return []
    return score_performance(view.performance, view.model.schema, view.rows)


GROUP_ANALYSERS: dict[str, GroupAnalyser] = {"inputs": inputs, "performance": performance}
WINDOW_ANALYSERS: dict[str, WindowAnalyser] = {}


def analyse(view: WindowView) -> None:
    """Run every analyser; scores are added to view.scores in the registries' order."""
    for group, part in sorted(view.groups.items()):
        found = view.scores.setdefault(group, [])
        for analyser in GROUP_ANALYSERS.values():
            found.extend(analyser(part))
    for whole in WINDOW_ANALYSERS.values():
        for group, score in list(whole(view)):
            view.scores.setdefault(group, []).append(score)
