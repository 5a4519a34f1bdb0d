"""driftd's own scoring and judging over the windows of a stream: the functions that the daemon calls, without a store."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from detectors.score import Finding, Score
from detectors.window import WindowSummary
from monitor.analysis import inputs
from monitor.budget import Calibration
from monitor.checkpoint import ScoreRow, WindowRow
from monitor.model import Model
from monitor.verdicts import judge_window
from monitor.view import GroupView, WindowView
from tests.bench.quality.null_streams import HOUR_MS, START_MS, Stream, hour_of


class Memory:
    """What a model remembers, in a dict."""

    def __init__(self) -> None:
        self.states: dict[str, bytes] = {}

    def load_state(self, name: str) -> bytes | None:
        return self.states.get(name)

    def save_state(self, name: str, blob: bytes) -> None:
        self.states[name] = blob

    def state_names(self, prefix: str) -> list[str]:
        return sorted(n for n in self.states if n.startswith(prefix))

    def drop_state(self, name: str) -> None:
        del self.states[name]

    def windows(self, from_ms: int) -> list[WindowRow]:
        return []

    def scores(self, subject: str, score_name: str, from_ms: int, to_ms: int) -> list[ScoreRow]:
        return []


def model_of(stream: Stream, **calibration: object) -> Model:
    model = Model("m", stream.schema, HOUR_MS, HOUR_MS, 0, active_profile="reference", profiles={"reference": stream.profile})
    return replace(model, calibration=replace(Calibration(), **calibration))  # type: ignore[arg-type]


def judged_window(
    model: Model, memory: Memory, summary: WindowSummary, start_ms: int, others: Iterable[Score] = ()
) -> list[Finding]:
    """The findings of one window, all rows together. others: scores that come from elsewhere than the summary."""
    group = ("", "")
    profile = model.profiles[model.active_profile]
    part = GroupView(model, start_ms, start_ms + model.size_ms, "", "", summary, None, profile, None, profile.name)
    view = WindowView(model, part.start_ms, part.end_ms, part.end_ms, {group: part}, 0, memory, {group: [*inputs(part), *others]})
    return judge_window(view)[group]


def run(
    stream: Stream, windows: int, first: int = 0, shift: float = 0.0, memory: Memory | None = None, **said: object
) -> Iterator[list[Finding]]:
    """Findings of so many windows, an hour each."""
    model, memory = model_of(stream, **said), memory or Memory()
    for number in range(first, first + windows):
        yield judged_window(model, memory, stream.window(hour_of(number), shift), START_MS + number * HOUR_MS)
