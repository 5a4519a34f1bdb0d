"""The demo's one live picture: the phase, the worst scores, an alert with its plot, the retrain, the page's address."""

from __future__ import annotations

from typing import Any

from rich.console import Group
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from alerts.words import plot_lines
from detectors.score import LEVELS
from monitor.demo.story import Story
from monitor.publish import Published
from monitor.simulate import SimulatedServer

SCORES_SHOWN, ALERTS_SHOWN = 5, 3
PHASES = {
    "calm": ("calm: the model sees what it was trained on", "green"),
    "drift": ("drift: incomes rose by 80 %", "yellow"),
    "concept": ("concept drift: now the old default, no longer the young", "red"),
    "canary": ("two versions: version 4 beside version 3", "cyan"),
    "new": ("version 4 serves alone", "green"),
}


class Screen:
    """Renders what it is told: windows from the data loop, alerts and the retrain from the story."""

    def __init__(self, server: SimulatedServer, story: Story, started_ms: int) -> None:
        self.server, self.story, self.started_ms = server, story, started_ms
        self.windows = 0
        self.address = ""
        self.plot: list[str] = []
        self._plots: dict[str, list[str]] = {}
        self._scores: dict[tuple[str, str], Any] = {}

    def on_published(self, published: Published) -> None:
        self.windows += published.window.revision == 1
        newest = [r for r in published.scores if r.segment == ""]
        serving = max((r.version for r in newest), default="")
        self._scores.update({(r.subject, r.score): r for r in newest if r.version == serving})

    def look(self, store: Any, now_ms: int) -> None:
        """Fetch the plot of the first alert that has one, once for each alert."""
        for row in self.story.alerts[:ALERTS_SHOWN]:
            if row["alert"] not in self._plots:
                history = store.actions.alert_detail(row["alert"], now_ms)["history"]
                lines = next((plot for moved in history if (plot := plot_lines(moved["evidence"]))), [])
                self._plots[row["alert"]] = [f"{row['subject']}, before and now", *lines] if lines else []
        shown = [self._plots[row["alert"]] for row in self.story.alerts[:ALERTS_SHOWN]]
        self.plot = next((lines for lines in shown if lines), [])

    def phase(self, now_ms: int) -> str:
        share = self.server.new_share(now_ms)
        return self.server.phase(now_ms) if share == 0.0 else "canary" if share < 1.0 else "new"

    def render(self, now_ms: int) -> Panel:
        elapsed = max(1, now_ms - self.started_ms) / 1000.0
        words, style = PHASES[self.phase(now_ms)]
        head = Text.assemble(
            (f"{elapsed:5.0f} s  ", "bold"),
            (words, style),
            f"\n{self.server.made / elapsed:.0f} events/s   {self.windows} windows closed",
        )
        parts: list[Any] = [head, Text(), self._table(), Text()]
        for alert in self.story.alerts[:ALERTS_SHOWN]:
            what = f"{alert['rule']}: {alert['subject']} {alert['score']}, version {alert['version']}"
            parts.append(Text(f"ALERT     {what}", "bold red"))
        parts += [Text(f"          {line}", "red") for line in self.plot]
        if self.story.resolved:
            parts.append(Text(f"RESOLVED  {self.story.resolved} alert(s)", "bold green"))
        if line := self.story.status_line(self.address):
            parts.append(Text(f"RETRAIN   {line}", "bold magenta"))
        if self.address:
            parts.append(Text(f"\nthe page: {self.address}   also /metrics /ready /healthy      Ctrl-C drains and stops", "dim"))
        return Panel(Group(*parts), title="driftd demo", border_style="blue")

    def _table(self) -> Table:
        table = Table(box=None, pad_edge=False, title="worst scores of the last window", title_justify="left")
        for column in ("subject", "score", "value", "limit", "rows", "level"):
            table.add_column(column, justify="right" if column in ("value", "limit", "rows") else "left")
        order = {level: -i for i, level in enumerate(LEVELS)}
        judged = [r for r in list(self._scores.values()) if r.threshold is not None or r.level in ("warn", "breach")]
        judged.sort(key=lambda r: (order[r.level], -(r.value or 0.0)))
        for row in judged[:SCORES_SHOWN]:
            style = {"breach": "red", "warn": "yellow", "unsure": "dim"}.get(row.level, "green")
            value = "-" if row.value is None else f"{row.value:.3f}"
            limit = "by p" if row.threshold is None else f"{row.threshold:.2f}"  # calibrated: judged by its p-value
            table.add_row(row.subject, row.score, value, limit, str(row.rows), Text(row.level, style))
        return table
