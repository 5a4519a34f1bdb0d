"""10,000 alerts that begin to fire in one window: few messages, all delivered within a receiver's rate, and no one waits for a slow one."""

from __future__ import annotations

import threading
import time
from collections import Counter

import orjson
import pytest
from sqlalchemy import func, select

from alerts.channels.base import Retry, Sent
from alerts.delivery import Courier
from alerts.lifecycle import ClosedWindow
from alerts.policy import Policy
from alerts.routing import Route, Target
from alerts.rules import Rule
from detectors.columns import Schema
from detectors.score import Finding, Score
from monitor.alerting import Alerting
from monitor.model import Model
from monitor.store import open_store
from monitor.store.schema import alert, outbox

MINUTE, T0 = 60_000, 1_790_000_040_000
MODELS, FEATURES = 100, 100
POLICY = Policy(rules=(Rule("drift", scores=("psi",), segments=("*",)),), route=Route(Target(("chat",), name="default")))


@pytest.fixture
def store(tmp_path):
    opened = open_store(f"sqlite:///{tmp_path}/storm.db")
    opened.migrate()
    yield opened
    opened.close()


def window(store, model, number, value, groups=(("1", ""),), features=FEATURES):
    """A published window of a model in which all features have one value."""
    level = "breach" if value > 0.25 else "ok"
    findings = [Finding(Score(f"f{i:02d}", "psi", value + i * 1e-6, 1000), level, 0.25) for i in range(features)]
    start, end = T0 + number * MINUTE, T0 + (number + 1) * MINUTE
    with store.publishing(model) as tx:
        alerting = Alerting(tx, Model(model, Schema((), ()), MINUTE, MINUTE, 0, policy=POLICY), end)
        alerting.window(ClosedWindow(start, end, 1, 1000, False, dict.fromkeys(groups, findings)))
        alerting.tick(None)
        alerting.save(True)


def firing(store):
    with store.engine.connect() as conn:
        return conn.execute(select(func.count()).select_from(alert).where(alert.c.status == "firing")).scalar()


class Limited:
    """A receiver that takes `per_second` messages in each second of the clock, and answers 429 with Retry-After to more."""

    def __init__(self, clock, per_second):
        self.clock, self.per_second = clock, per_second
        self.taken, self.refused, self.in_second = [], 0, Counter()

    def send(self, notification, attempt, now_ms):
        second = self.clock[0] // 1000
        if self.in_second[second] >= self.per_second:
            self.refused += 1
            return Retry(1000, "429")
        self.in_second[second] += 1
        self.taken.append(notification)
        return Sent()


def test_ten_thousand_alerts_of_a_hundred_models_are_a_message_each_and_all_get_through(store):
    for i in range(MODELS):
        window(store, f"model-{i:02d}", 0, 0.1)
        window(store, f"model-{i:02d}", 1, 0.9)
    assert firing(store) == MODELS * FEATURES
    now = [T0 + 3 * MINUTE]
    receiver = Limited(now, 10)
    outcomes = []
    courier = Courier(
        store.outbox, {"chat": receiver}, clock=lambda: now[0], random=lambda: 0.0, on_outcome=lambda c, o: outcomes.append(o)
    )
    seconds = 0
    while store.outbox.counts().get("due", 0):
        seconds += 1
        assert seconds < 60, store.outbox.counts()
        now[0] += 1000
        while courier.step(now[0]) <= now[0] or not courier.idle():
            assert courier._lanes["chat"].wait_idle(time.monotonic() + 10)
    assert len({n.key for n in receiver.taken}) == len(receiver.taken) == MODELS, "one message a model, each once"
    assert all(n.count == FEATURES and len(n.members) == 20 for n in receiver.taken)
    assert receiver.refused <= seconds, "one answer of 429 a second, not one a message"
    assert Counter(outcomes) == {"sent": MODELS, "retry": receiver.refused}
    assert courier.drain(time.monotonic() + 5)


def test_ten_thousand_alerts_of_one_model_are_one_message(store):
    groups = [("1", f"region={i:02d}") for i in range(100)]
    window(store, "one", 0, 0.1, groups)
    window(store, "one", 1, 0.9, groups)
    assert firing(store) == 10_000
    with store.engine.connect() as conn:
        (body,) = conn.execute(select(outbox.c.body)).scalars()
    message = orjson.loads(body)
    assert message["count"] == 10_000 and len(message["members"]) == 20 and len(body) < 50_000


def test_windows_are_published_while_a_receiver_hangs(store):
    gate, entered = threading.Event(), threading.Event()

    class Hangs:
        def send(self, notification, attempt, now_ms):
            entered.set()
            assert gate.wait(30)
            return Sent()

    window(store, "one", 0, 0.1)
    window(store, "one", 1, 0.9)
    courier = Courier(store.outbox, {"chat": Hangs()}, clock=lambda: T0 + 3 * MINUTE)
    courier.step(T0 + 3 * MINUTE)
    assert entered.wait(10)
    window(store, "two", 0, 0.1)
    window(store, "two", 1, 0.9)
    window(store, "one", 2, 0.1)
    assert firing(store) == FEATURES and store.outbox.counts() == {"due": 3}, "the loop's transactions waited for nobody"
    gate.set()
    assert courier._lanes["chat"].wait_idle(time.monotonic() + 10) and courier.drain(time.monotonic() + 5)
    assert store.outbox.counts()["sent"] >= 1
