"""How the lifecycle's work grows with the number of alerts: ratios on one machine, no times.

    python -m tests.bench.alerts

A storm is a window in which N alerts begin to fire; what follows is a window in which they go on. Restoring and storing
the state counts. Ten times the alerts may cost at most GROWTH_MOST times the work, and sending stays at one message.
"""

from __future__ import annotations

import time

from alerts.lifecycle import ClosedWindow, Lifecycle
from alerts.policy import Policy
from alerts.routing import Route, Target
from alerts.rules import Rule
from detectors.score import Finding, Score

GROWTH_MOST = 14.0  # times the work for ten times the alerts: linear, and some for sorting and caches
MINUTE_MS = 60_000


def policy(group_by: tuple[str, ...] = ("model", "rule")) -> Policy:
    rules = (Rule("drift", scores=("psi",)), Rule("far", scores=("ks",), above=0.5), Rule("silent", absent="events"))
    return Policy(rules=rules, route=Route(Target(("chat",), group_by, name="default")))


def window(number: int, alerts: int, value: float) -> ClosedWindow:
    level = "breach" if value > 0.25 else "ok"
    findings = [Finding(Score(f"feature-{i}", "psi", value + i * 1e-6, 1000), level, 0.25) for i in range(alerts)]
    return ClosedWindow(number * MINUTE_MS, (number + 1) * MINUTE_MS, 1, 1000, False, {("1", ""): findings})


def storm(alerts: int, group_by: tuple[str, ...] = ("model", "rule")) -> tuple[dict[str, float], int]:
    """Seconds of a calm window, of one in which all fire, and of one in which they go on; and the messages sent."""
    life = Lifecycle.restore("m", MINUTE_MS, MINUTE_MS, policy(group_by), None, None)
    took, sent = {}, 0
    for number, (name, value) in enumerate([("first", 0.1), ("calm", 0.1), ("storm", 0.9), ("on", 0.9), ("over", 0.1)]):
        closed = window(number, alerts, value)
        started = time.perf_counter()
        book, desk = life.state()
        life = Lifecycle.restore("m", MINUTE_MS, MINUTE_MS, policy(group_by), book, desk)
        sent += len(life.window(closed, number * MINUTE_MS).outbox)
        took[name] = time.perf_counter() - started
    return took, sent


def best(alerts: int, group_by: tuple[str, ...] = ("model", "rule"), tries: int = 3) -> dict[str, float]:
    runs = [storm(alerts, group_by)[0] for _ in range(tries)]
    return {name: min(run[name] for run in runs) for name in runs[0]}


def growth(small: int = 1_000, large: int = 10_000, group_by: tuple[str, ...] = ("model", "rule")) -> dict[str, float]:
    """Work at `large` by work at `small`, phase by phase."""
    few, many = best(small, group_by), best(large, group_by)
    return {name: many[name] / few[name] for name in few}


if __name__ == "__main__":
    for by in (("model", "rule"), ("subject",)):
        print("group by", ", ".join(by))
        print("  seconds at 10,000:", {k: round(v, 3) for k, v in best(10_000, by).items()})
        print("  growth 1,000 -> 10,000:", {k: round(v, 1) for k, v in growth(group_by=by).items()})
        print("  messages:", storm(10_000, by)[1])
