"""The daemon's publisher over windows that are handed to it: a config's models, panes as bytes, scores, verdicts, alerts.

What runs is monitor/publish.py with all analysers, what models remember, and the life of alerts, by the config's own defaults;
only the store's tables are lists and dicts here, because a window has more scores than a bench has time to keep.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from detectors.registry import STATISTICS
from detectors.score_names import SCORE_NAMES
from monitor.checkpoint import OutboxRow, Partial, PartitionState, ResourceSample, ScoreRow, WindowRow
from monitor.config import parse_config
from monitor.events import PartitionKey
from monitor.judging import JUDGED, by_past
from monitor.model import Model
from monitor.publish import publish_due
from monitor.references import build_reference
from monitor.runtime import build_models
from monitor.store import open_store
from tests.bench.quality.driftd import Memory
from tests.bench.quality.rows import GAPPED, HOUR_MS, START_MS, Rows

KEY = PartitionKey("log", "events", 0)
CONFIG = """
store: {{url: "sqlite:///{folder}/s.db"}}
sources:
  - {{name: log, type: http, carries: both}}
models:
  - name: m
    task: binary
    positive_label: "yes"
    features: {{{features}}}
    window: {{size: 1h, allowed_lateness: 0s}}
    {more}
alerts:
  preset: default
  rules: [{rules}]
  channels: {{console: {{type: log}}}}
  route: {{channels: [console]}}
"""


def every_score() -> str:
    """Of a model's section: all statistics of drift computed, and every score judged that has a null or its own past."""
    statistics = ", ".join(sorted(STATISTICS, key=lambda name: (name not in ("wasserstein", "js"), name == "js")))
    nulls, pasts = ", ".join(sorted(JUDGED)), ", ".join(name for name in SCORE_NAMES if by_past(name))
    return f"statistics: {{default: [{statistics}]}}\n    calibration: {{scores: [{nulls}], series: [{pasts}]}}"


def model_of(rows: Rows, reference_rows: int, more: str = "", rules: str = "") -> Model:
    """The model of a config that says as little as it may. reference_rows: of a built reference, 0 for a learned one."""
    kind = "numeric" if rows.numeric else "category"
    features = ", ".join([*(f"{n}: {kind}" for n in rows.names), *(f"{n}: numeric" for n in GAPPED)])
    with tempfile.TemporaryDirectory() as folder:
        cfg = parse_config(CONFIG.format(folder=folder, features=features, more=more, rules=rules), "bench.yaml")
        store = open_store(cfg.store.sqlalchemy_url())
        try:
            store.migrate()
            if reference_rows:
                path = Path(folder) / "train.parquet"
                rows.write_reference(path, reference_rows)
                list(build_reference(cfg, store, "m", path, (), True))
            found = build_models(cfg, store)["m"]
        finally:
            store.close()
    if reference_rows:
        object.__setattr__(found, "activations", ())  # holds from the first window on, whatever the clock said
    return found


@dataclass
class Live(Memory):
    """One model's publishing transaction, for ever open, and what came of it."""

    model: Model
    states: dict[str, bytes] = field(default_factory=dict)
    panes: dict[str, Partial] = field(default_factory=dict)
    waiting: dict[str, int] = field(default_factory=dict)
    written: dict[int, WindowRow] = field(default_factory=dict)
    newest: list[ScoreRow] = field(default_factory=list)
    fired: list[tuple[int, str, str, str]] = field(default_factory=list)  # (window, rule, subject, score) of every firing
    firing: set[str] = field(default_factory=set)
    described: set[str] = field(default_factory=set)  # references

    def publish(self, rows: Rows, number: int, labels: bool = True) -> list[ScoreRow]:
        """Hand over window `number` and publish it; its scores."""
        start = START_MS + number * HOUR_MS
        self.panes = {k: p for k, p in self.panes.items() if p.pane_start_ms >= start - 2 * HOUR_MS}
        inputs, performance = rows.panes(self.model, number, self.model.profile_at(start), labels)
        made = [Partial(KEY, self.model.name, "inputs", start, 1, inputs.rows, inputs.to_bytes())]
        if performance is not None:
            made.append(Partial(KEY, self.model.name, "performance", start, 1, performance.labelled, performance.to_bytes()))
        for partial in made:
            self.panes[partial.input_key] = partial
            self.waiting[partial.input_key] = 1
        while published := publish_due(self, self.model, lambda key: True, start, 0, ended_ms=start + HOUR_MS):  # type: ignore[arg-type]
            failed = {name for window in published for name in window.failures}
            if failed:  # a window that was not judged has no alarm, which is no result
                raise RuntimeError(f"window {number}: {', '.join(sorted(failed))} failed; the log has the error")
        return self.newest

    # the open transaction, as monitor.publish.Publishing says

    def partitions(self) -> list[PartitionState]:
        return [PartitionState(KEY, "events", 0, None, False, 0)]

    def unsettled(self) -> list[tuple[str, int, int]]:
        return [(key, self.panes[key].pane_start_ms, version) for key, version in self.waiting.items()]

    def windows(self, from_ms: int) -> list[WindowRow]:
        return [w for start, w in self.written.items() if start >= from_ms]

    def partials(self, from_ms: int, to_ms: int) -> list[Partial]:
        return [p for p in self.panes.values() if from_ms <= p.pane_start_ms < to_ms]

    def settle(self, panes: list[tuple[str, int]]) -> None:
        for key, _ in panes:
            self.waiting.pop(key, None)

    def write_window(self, window: WindowRow, scores: list[ScoreRow]) -> None:
        self.written[window.start_ms], self.newest = window, scores

    def rewrite_scores(self, rows: list[ScoreRow]) -> None: ...

    def resource_samples(self, from_ms: int, to_ms: int) -> list[ResourceSample]:
        return []

    def scores(self, subject: str, score_name: str, from_ms: int, to_ms: int) -> list[ScoreRow]:
        return []

    def write_alerts(self, rows: list[dict[str, Any]]) -> None:
        for row in rows:
            if row["status"] == "firing" and row["alert"] not in self.firing:
                self.firing.add(row["alert"])
                self.fired.append((row["window_start_ms"], row["rule"], row["subject"], row["score"]))
            elif row["status"] in ("resolved", "inactive"):
                self.firing.discard(row["alert"])

    def enqueue(self, rows: list[OutboxRow]) -> None: ...

    def alert_news(self) -> str:
        return ""

    def silences(self, now_ms: int) -> list[Any]:
        return []

    def acks(self) -> list[Any]:
        return []

    def is_described(self, name: str) -> bool:
        return name in self.described

    def describe_reference(self, name: str, rows: list[Any]) -> None:
        self.described.add(name)

    def facts(self) -> dict[str, Any]:
        return {}

    def drop_acks(self, alerts: list[str]) -> None: ...

    def move_alerts(self, alerts: list[str], before: str, after: str, now_ms: int) -> None: ...

    def write_trail(self, rows: list[dict[str, Any]]) -> None: ...
