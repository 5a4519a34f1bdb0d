"""Whether driftd sees at all: an alert of the daemon itself where no replica has reached a source for long.

Rules over windows follow event time, which stands still where nothing can be read: they stay quiet, rightly. So this one
follows the clock that is handed in. Every replica looks at its sources; what they see lies in one state of the store:

    {source: [unreached since, last looked at]}     only of sources that nobody reaches

Whoever reaches a source strikes it out, so a rebalance, or a replica that is cut off alone, is no blindness. Time in which
nobody looked (all replicas down) does not count, so that a restart is none either; a short one does not begin the count anew.
The alert goes through the same book, desk, routes and outbox as those of models, under the model's name DAEMON, and under its
lock: of several replicas one tells. Channels that act (retrain) never hear of it. A replay has no sources.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from alerts.lifecycle import ClosedWindow
from alerts.policy import Policy
from alerts.routing import Route
from alerts.rules import Rule
from detectors.columns import Schema
from detectors.score import Finding, Score
from monitor.alerting import Alerting
from monitor.config import Config
from monitor.config.model import DAEMON, DAEMONS_RULE
from monitor.logs import log_event
from monitor.model import Model
from monitor.policies import ACTING, route_of

logger = logging.getLogger("driftd.blindness")
SCORE = "unreachable_seconds"
STATE = "sources"
LOOK_EVERY_S = 10
STEP_MS = LOOK_EVERY_S * 1000
LAPSE_MS = 120_000  # nobody looked for longer: all were down, and the count begins anew

Unreached = dict[str, list[int]]  # source -> [since_ms, looked_ms]


class SourceWatch:
    """Called by the scheduler; `step` takes the time, so that tests need none.

    reached: whether each source answers, as the data loop saw it last; empty while it has not turned.
    """

    def __init__(self, store: Any, cfg: Config, reached: Callable[[], Mapping[str, bool]]) -> None:
        self._store, self._reached = store, reached
        self._after_ms = {s.name: s.unreachable_after_ms for s in cfg.sources if s.unreachable_after_ms}
        acting = {name for name, channel in cfg.alerts.channels.items() if channel.type in ACTING}
        route = route_of(cfg.alerts)
        rule = Rule(DAEMONS_RULE, scores=(SCORE,), severity="critical")
        policy = Policy((rule,), None if route is None else _without(route, acting), public_url=cfg.http.public_url or "")
        self._model = Model(DAEMON, Schema((), ()), STEP_MS, STEP_MS, 0, policy=policy)

    def step(self, now_ms: int) -> int:
        """Look, and tell what is to be told; the number of messages. Raises StoreUnavailable."""
        seen = {name: ok for name, ok in self._reached().items() if name in self._after_ms}
        if not seen:
            return 0
        with self._store.publishing(DAEMON) as tx:
            if tx is None:  # another replica is at it
                return 0
            stored = tx.load_state(STATE)
            before: Unreached = json.loads(stored) if stored else {}
            after = unreached(before, seen, self._after_ms, now_ms)
            if not before and not after:
                return 0
            findings = [self._finding(name, after.get(name)) for name in sorted({*before, *after})]
            start = now_ms - now_ms % STEP_MS
            alerting = Alerting(tx, self._model, now_ms)
            sent = alerting.window(ClosedWindow(start, start + STEP_MS, 1, 1, False, {("", ""): findings}))
            sent += alerting.tick(None)
            alerting.save(True)
            tx.save_state(STATE, json.dumps(after).encode())
        for name in sorted({*before} ^ {*after}):
            what = "source_unreached" if name in after else "source_reached"
            log_event(logger, logging.WARNING if name in after else logging.INFO, what, source=name)
        return sent

    def _finding(self, name: str, counted: list[int] | None) -> Finding:
        after_ms = self._after_ms.get(name, 0)
        blind_ms = counted[1] - counted[0] if counted is not None else 0
        level = "breach" if counted is not None and blind_ms >= after_ms else "ok"
        evidence: dict[str, object] = {"source": name, "since_ms": counted[0]} if counted is not None else {}
        return Finding(
            Score(f"source:{name}", SCORE, blind_ms / 1000.0, 1, evidence=evidence), level, after_ms / 1000.0, DAEMONS_RULE
        )


def unreached(before: Unreached, seen: Mapping[str, bool], after_ms: Mapping[str, int], now_ms: int) -> Unreached:
    """The sources that nobody reaches, as of now. after_ms: how long each may stay so; sources that it lacks are left out."""
    out = {name: counted for name, counted in before.items() if name in after_ms and not seen.get(name, False)}
    for name, ok in seen.items():
        if ok:
            continue
        since, looked = out.get(name, [now_ms, now_ms])
        told = looked - since >= after_ms[name]
        out[name] = [now_ms if now_ms - looked > LAPSE_MS and not told else since, now_ms]
    return out


def _without(route: Route, channels: set[str]) -> Route:
    """The same tree, never to these channels."""
    target = route.target
    steps = (replace(step, channels=tuple(c for c in step.channels if c not in channels)) for step in target.escalate)
    kept = replace(target, channels=tuple(c for c in target.channels if c not in channels), escalate=tuple(steps))
    return replace(route, target=kept, routes=tuple(_without(child, channels) for child in route.routes))
