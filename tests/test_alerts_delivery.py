"""The courier: isolation, order, retries, death, draining."""

import threading
import time

from alerts.channels.base import Failed, Retry, Sent, Skipped
from alerts.delivery import ClaimedRow, Courier
from tests.test_alerts_channels import note


class Store:
    def __init__(self, rows):
        self.rows = {r.key: [r, 0, "due", ""] for r in rows}  # row, next_at, state, error
        self.states, self.turns = {}, {}

    def waiting(self, now_ms):
        return list(dict.fromkeys(e[0].channel for e in self.rows.values() if e[2] == "due" and e[1] <= now_ms))

    def claim_due(self, now_ms, limit, lease_ms, channel):
        due = [e for e in self.rows.values() if e[2] == "due" and e[1] <= now_ms and e[0].channel == channel][:limit]
        for e in due:
            e[1] = now_ms + lease_ms
        return [e[0] for e in due]

    def mark_sent(self, key, now_ms):
        self.rows[key][2] = "sent"

    def mark_skipped(self, key, reason, now_ms):
        self.rows[key][2:] = ["skipped", reason]

    def mark_retry(self, key, next_at_ms, attempts, error):
        r = self.rows[key][0]
        row = ClaimedRow(r.key, r.channel, r.group, r.alert, r.body, attempts, r.created_ms)
        self.rows[key] = [row, next_at_ms, "due", error]

    def mark_dead(self, key, error):
        self.rows[key][2:] = ["dead", error]

    def load_channel_state(self, channel):
        return self.states.get(channel)

    def save_channel_state(self, channel, blob, was):
        if self.states.get(channel) != was:
            return False
        self.states[channel] = blob
        return True

    def take_turn(self, channel, now_ms, pace_ms):
        at = max(now_ms, self.turns.get(channel, 0))
        self.turns[channel] = at + pace_ms
        return at

    def rest(self, channel, until_ms):
        self.turns[channel] = max(until_ms, self.turns.get(channel, 0))


class Scripted:
    def __init__(self, *outcomes, gate=None):
        self.outcomes, self.gate, self.keys = list(outcomes), gate, []

    def send(self, notification, attempt, now_ms):
        if self.gate:
            self.gate.wait(5)
        self.keys.append(notification.key)
        return self.outcomes.pop(0) if self.outcomes else Sent()


def row(key, channel, group="credit"):
    return ClaimedRow(key, channel, group, "abcdef0123456789", note(key).to_json(), 0, 0)


def courier(store, channels, now, seen, **more):
    return Courier(store, channels, clock=lambda: now[0], random=lambda: 0.0, on_outcome=lambda c, o: seen.append((c, o)), **more)


def step(c, now):
    c.step(now[0])
    assert all(lane.wait_idle(time.monotonic() + 5) for lane in c._lanes.values())


def test_a_channel_that_hangs_does_not_delay_another():
    gate = threading.Event()
    store, fast = Store([row("s", "slow"), row("f", "fast")]), Scripted()
    c = courier(store, {"slow": Scripted(gate=gate), "fast": fast}, [0], [])
    c.step(0)
    assert c._lanes["fast"].wait_idle(time.monotonic() + 5)
    assert (store.rows["f"][2], store.rows["s"][2]) == ("sent", "due")
    gate.set()
    assert c.drain(time.monotonic() + 5) and store.rows["s"][2] == "sent"


def test_a_retry_keeps_the_order_of_its_group_and_holds_no_other_group():
    now, seen = [0], []
    store = Store([row("1", "a"), row("2", "a"), row("3", "a", "other")])
    channel = Scripted(Retry(None, "503"))
    c = courier(store, {"a": channel}, now, seen)
    step(c, now)
    assert channel.keys == ["1", "3"] and store.rows["1"][1] == store.rows["2"][1] == 1000
    now[0] = 1000
    step(c, now)
    assert channel.keys == ["1", "3", "1", "2"] and store.rows["2"][0].attempts == 0
    assert seen == [("a", "retry"), ("a", "sent"), ("a", "sent"), ("a", "sent")]


def test_a_receiver_that_asks_for_time_is_left_alone_by_every_group_and_every_courier():
    now, seen = [0], []
    store = Store([row(str(i), "a", f"group-{i}") for i in range(9)])
    channel, other = Scripted(Retry(5000, "429")), Scripted()
    c = courier(store, {"a": channel}, now, seen, paces_ms={"a": 1})
    step(c, now)
    assert channel.keys == ["0"] and seen == [("a", "retry")], "one answer of 429 is enough"
    store.rows["late"] = [row("late", "a", "late"), 0, "due", ""]
    second = courier(store, {"a": other}, now, seen, paces_ms={"a": 1})
    now[0] = 100
    step(c, now)
    started = time.monotonic()
    now[0] = 1000
    second.step(now[0])
    second.drain(started)
    assert other.keys == [], "the other courier knows of it"
    now[0] = 70_000
    step(c, now)
    assert sorted(channel.keys[1:]) == sorted([*map(str, range(9)), "late"]) and store.rows["3"][0].attempts == 0


def test_what_a_channel_keeps_back_is_recorded_with_its_reason():
    store, seen = Store([row("1", "a")]), []
    step(courier(store, {"a": Scripted(Skipped("cooldown"))}, [0], seen), [0])
    assert store.rows["1"][2:] == ["skipped", "cooldown"] and seen == [("a", "skipped")]


class Remembers(Scripted):
    """A channel whose state is the set of what it sent."""

    def __init__(self, meanwhile):
        super().__init__()
        self.mine, self.meanwhile = set(), meanwhile

    def send(self, notification, attempt, now_ms):
        self.mine.add(notification.key)
        self.meanwhile()
        return super().send(notification, attempt, now_ms)

    def restore(self, blob):
        self.mine = set(blob.decode().split()) if blob else set()

    def merge(self, blob):
        self.mine |= set(blob.decode().split())

    def state(self):
        return " ".join(sorted(self.mine)).encode()


def test_what_another_courier_saved_meanwhile_is_kept():
    store = Store([row("1", "a")])
    store.states["a"] = b"0"

    def other():
        store.states["a"] = b"0 other"

    step(courier(store, {"a": Remembers(other)}, [0], []), [0])
    assert store.states["a"] == b"0 1 other"


def test_a_refusal_fails_at_once_and_patience_ends_after_a_day():
    now, seen = [0], []
    store = Store([row("1", "a"), row("2", "b"), row("3", "gone")])
    c = courier(store, {"a": Scripted(Failed("404")), "b": Scripted(Retry(None, "503"))}, now, seen)
    now[0] = 86_400_000
    step(c, now)
    assert [e[2] for e in store.rows.values()] == ["dead"] * 3
    assert sorted(seen) == [("a", "failed"), ("b", "dead"), ("gone", "failed")]


def test_a_channel_with_a_bug_is_tried_again_and_run_stops_when_told():
    class Buggy:
        def send(self, notification, attempt, now_ms):
            raise RuntimeError("bug")

    store, stop, seen = Store([row("1", "a")]), threading.Event(), []
    c = courier(store, {"a": Buggy()}, [0], seen)
    thread = threading.Thread(target=c.run, args=(stop,))
    thread.start()
    until = time.monotonic() + 5
    while not seen and time.monotonic() < until:
        time.sleep(0.005)
    stop.set()
    c.wake()
    thread.join(5)
    assert not thread.is_alive() and seen == [("a", "retry")] and c.drain(time.monotonic() + 1)


def test_a_receivers_pace_is_kept_and_a_slow_pace_takes_no_more_than_its_lease_allows():
    at = []

    class Timed:
        def send(self, notification, attempt, now_ms):
            at.append(time.monotonic())
            return Sent()

    store = Store([row(str(i), "a", f"g{i}") for i in range(4)])
    c = Courier(store, {"a": Timed()}, clock=lambda: 0, paces_ms={"a": 60})
    c.step(0)
    assert c._lanes["a"].wait_idle(time.monotonic() + 10)
    assert len(at) == 4 and all(later - sooner >= 0.059 for sooner, later in zip(at, at[1:], strict=False))
    slow = Courier(Store([row(str(i), "a", f"g{i}") for i in range(9)]), {"a": Timed()}, clock=lambda: 0, paces_ms={"a": 20_000})
    slow.step(0)
    started = time.monotonic()
    slow.drain(started)
    assert time.monotonic() - started < 5.0, "closing does not wait for the pace"


def test_a_mark_that_fails_once_is_made_again_and_the_message_is_not_sent_twice():
    class Shaky(Store):
        failures = 2

        def mark_sent(self, key, now_ms):
            if self.failures:
                self.failures -= 1
                raise OSError("the connection broke")
            super().mark_sent(key, now_ms)

    store, channel = Shaky([row("1", "a")]), Scripted()
    c = courier(store, {"a": channel}, [0], [])
    step(c, [0])
    assert store.rows["1"][2] == "sent" and channel.keys == ["1"]
