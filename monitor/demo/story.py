"""What happens in the demo after driftd has asked for a retrain, and what there is to say of it.

It looks at the store as any tool may, and acts as people and pipelines do: somebody approves, version 4 is deployed to half
of the traffic when its training is over, and to all of it when driftd says that it helped.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from monitor.demo.pipeline import NEW_VERSION, Pipeline
from monitor.demo.settings import Pace
from monitor.simulate import SimulatedServer

AUTHOR = "driftd demo"


class Story:
    """step(now_ms) is called twice a second. alerts and retrain are the newest rows of the store."""

    def __init__(
        self, server: SimulatedServer, pipeline: Pipeline, approve: str, pace: Pace, config_path: str, say: Callable[[str], None]
    ) -> None:  # fmt: skip
        self.alerts: list[dict[str, Any]] = []
        self.resolved = 0
        self.retrain: dict[str, Any] | None = None
        self.asked = False  # a key was pressed
        self.config_path = config_path
        self._server, self._pipeline, self._approve, self._pace, self._say = server, pipeline, approve, pace, say
        self._said: set[str] = set()

    def step(self, store: Any, page: str, now_ms: int) -> None:
        rows = store.alerts()
        self.alerts = [row for row in rows if row["status"] in ("firing", "acknowledged")]
        self.resolved = sum(row["status"] == "resolved" for row in rows)
        for row in self.alerts:
            self._once(f"alert {row['alert']}", f"alert: {row['rule']}: {row['subject']} {row['score']}, version {row['version']}")
        self.retrain = next(iter(store.retrains.listed(limit=1)[0]), None)
        if self.retrain is None:
            return
        self._follow(store, self.retrain, page, now_ms)
        if self.retrain["verdict"] == "helped" and not self.alerts:
            self._once("resolved", f"resolved: {self.resolved} alert(s), none fires any more")

    def _follow(self, store: Any, row: dict[str, Any], page: str, now_ms: int) -> None:
        status, name = row["status"], row["id"]
        if status == "proposed":
            self._once("proposed", f"retrain requested: {row['request']['reason']}; {self.how_to_approve(row, page)}")
            due = self._approve == "auto" and now_ms - row["requested_ms"] >= self._pace.approve_s * 1000
            if due or self.asked:
                how = "--approve auto" if due else "a key was pressed"
                store.retrains.approve(name, AUTHOR, how, now_ms)
            return
        self._once("approved", f"approved by {row['author']}: {row['reason']}")
        if self._pipeline.calls:
            call = self._pipeline.calls[0]
            self._once("called", f"retrain call received: model {call['model']}, {call['reason']}")
        if status == "succeeded" and self._server.new_share(now_ms) == 0.0:
            self._server.deploy(0.5, now_ms)
            self._once("deployed", f"trained: version {NEW_VERSION} takes half of the traffic")
        if row["verdict"]:
            detail = row["verdict_detail"]
            self._once("verdict", self.verdict(row))
            if row["verdict"] == "helped" and detail and self._server.new_share(now_ms) < 1.0:
                self._server.deploy(1.0, now_ms)

    def how_to_approve(self, row: dict[str, Any], page: str) -> str:
        if self._approve == "auto":
            return f"approved by itself in {self._pace.approve_s:.0f} s (--approve ask waits for you)"
        command = f"driftd retrains approve {row['id'][:8]} -c {self.config_path}"
        return f"approve it: press Enter, or {page}/retrains/{row['id']}, or {command}"

    def verdict(self, row: dict[str, Any]) -> str:
        """What driftd found, in a line."""
        found = row["verdict_detail"]
        if not found or found["before"] is None or found["after"] is None:
            return f"version {row['new_version']}: {row['verdict'].replace('_', ' ')}"
        how = "on the same period" if found["paired"] else "than the old one's last windows"
        return (
            f"version {row['new_version']} {row['verdict'].replace('_', ' ')}: {found['metric']} {found['before']:.3f} -> "
            f"{found['after']:.3f} {how}, {found['windows']} windows, p {found['p']:.2g}"
        )

    def status_line(self, page: str) -> str:
        """Where the retrain is, in a line; "" before there is one."""
        row = self.retrain
        if row is None:
            return ""
        if row["status"] == "proposed":
            return f"waits for approval: {self.how_to_approve(row, page)}"
        if row["verdict"]:
            return self.verdict(row)
        doing = {
            "waiting": "approved",
            "due": "approved, the pipeline is called",
            "started": "the pipeline took the call and trains",
            "succeeded": f"version {NEW_VERSION} is trained and takes half of the traffic; its first windows are compared",
        }
        return f"{doing.get(row['status'], row['status'])} (by {row['author']})"

    def _once(self, key: str, text: str) -> None:
        if key not in self._said:
            self._said.add(key)
            self._say(text)
