"""How the lifecycle's work grows with the number of alerts: ratios on one machine, no times.

    python -m tests.bench.alerts

A storm is a window in which N alerts begin to fire; what follows is a window in which they go on. Restoring and storing
the state counts. Ten times the alerts may cost at most GROWTH_MOST times the work, and sending stays at one message.
Then the same storm through the store, as a share of the minute that the window lasts: what the data loop gives up.
"""

from __future__ import annotations

import gc
import time
from tempfile import TemporaryDirectory

from alerts.lifecycle import ClosedWindow, Lifecycle
from alerts.policy import Policy
from alerts.routing import Route, Target
from alerts.rules import Rule
from detectors.columns import Schema
from detectors.score import Finding, Score
from monitor.alerting import Alerting
from monitor.model import Model
from monitor.store import open_store

GROWTH_MOST = 25.0  # times the work for ten times the alerts: linear, and some for sorting and caches; 100 is quadratic
SHARE_MOST = 0.1
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
    gc.collect()
    gc.disable()  # its passes over everything else that lives here are not the lifecycle's
    life = Lifecycle.restore("m", MINUTE_MS, MINUTE_MS, policy(group_by), None, None)
    took, sent = {}, 0
    for number, (name, value) in enumerate([("first", 0.1), ("calm", 0.1), ("storm", 0.9), ("on", 0.9), ("over", 0.1)]):
        closed = window(number, alerts, value)
        started = time.process_time()
        book, desk = life.state()
        life = Lifecycle.restore("m", MINUTE_MS, MINUTE_MS, policy(group_by), book, desk)
        sent += len(life.window(closed, number * MINUTE_MS).outbox)
        took[name] = time.process_time() - started
    gc.enable()
    return took, sent


def best(alerts: int, group_by: tuple[str, ...] = ("model", "rule"), tries: int = 3) -> dict[str, float]:
    runs = [storm(alerts, group_by)[0] for _ in range(tries)]
    return {name: min(run[name] for run in runs) for name in runs[0]}


def stored(alerts: int) -> dict[str, float]:
    """Each phase through SQLite, rows, trail, outbox and state written, as a share of the window's minute."""
    model = Model("m", Schema((), ()), MINUTE_MS, MINUTE_MS, 0, policy=policy())
    out = {}
    with TemporaryDirectory() as folder:
        store = open_store(f"sqlite:///{folder}/bench.db")
        store.migrate()
        for number, (name, value) in enumerate([("first", 0.1), ("calm", 0.1), ("storm", 0.9), ("on", 0.9), ("over", 0.1)]):
            closed = window(number, alerts, value)
            started = time.perf_counter()
            with store.publishing("m") as tx:
                assert tx is not None
                alerting = Alerting(tx, model, number * MINUTE_MS)
                alerting.window(closed)
                alerting.tick(None)
                alerting.save(True)
            out[name] = (time.perf_counter() - started) / (MINUTE_MS / 1000)
        store.close()
    return out


def main() -> int:
    """Prints the ratios; 1 where one of them is beyond its limit."""
    beyond = False
    for by in (("model", "rule"), ("subject",)):
        few, many = best(1_000, by), best(10_000, by)
        total = sum(many.values()) / sum(few.values())
        beyond |= total > GROWTH_MOST
        print(f"grouped by {', '.join(by)}: 10 times the alerts, {total:.1f} times the work, {storm(10_000, by)[1]} messages")
    shares = stored(10_000)
    beyond |= max(shares.values()) > SHARE_MOST
    print("10,000 alerts through the store, shares of a window's minute:", {k: f"{v:.2%}" for k, v in shares.items()})
    return int(beyond)


if __name__ == "__main__":
    raise SystemExit(main())
