"""A language for what happens to alerts over time.

    timeline.feed.at("12:00").shift("income", 0.5)
    timeline.feed.at("12:20").calm()
    timeline.expect.between("12:01", "12:05").firing("income")
    timeline.expect.between("12:01", "12:05").notified("chat", "firing")
    timeline.expect.between("12:22", "12:26").resolved("income")

The feed is calm from 11:54 on; a model learns its reference from the first three minutes. Time goes a minute a step.
`feed` says what the model receives, `ops` what people and machines do, `channel(name)` how a receiver behaves, and
`expect` plays as far as it must and looks. Names are patterns over subject and rule.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

import numpy as np
import orjson
from scipy.special import ndtri

from monitor.store.schema import outbox
from tests.timeline_world import Receiver, World

DAY_MS = 1_767_225_600_000 + 5 * 86_400_000  # Tuesday 2026-01-06T00:00:00Z
STEP_MS = 60_000
ROWS = 80  # a minute
CONFIG = """
models:
  - name: credit
    {task}
    team: risk
    features: {{income: numeric, age: numeric, {more}}}
    reference: {{first_windows: 3}}
    min_rows: 50
    window: {{size: 1m, allowed_lateness: 5s}}
idle_timeout: 30s
alerts:
{alerts}
"""
DRIFT = "{name: drift, scores: [psi], above: 0.2}"


def ms(text: str) -> int:
    """ "12:05", or "+1 12:05" for the next day."""
    day, _, clock = text.rpartition(" ")
    hour, minute = clock.split(":")
    return DAY_MS + int(day or 0) * 86_400_000 + (int(hour) * 60 + int(minute)) * 60_000


def clock(at_ms: int) -> str:
    minutes = (at_ms - DAY_MS) // 60_000
    return f"{minutes // 60:02d}:{minutes % 60:02d}"


@dataclass(slots=True)
class Feed:
    """What the model receives. Values are spread evenly over their distribution, so that calm windows do not differ."""

    features: list[str]
    labels: bool = False  # whether the model has any
    running: bool = True
    labelled: bool = True
    shifts: dict[str, float] = field(default_factory=dict)
    missing: set[str] = field(default_factory=set)
    latency: float = 1.0
    errors: float = 0.0
    wrong: float = 0.05
    version: str = "1"
    rows: int = ROWS
    made: int = 0

    def minute(self, end_ms: int) -> tuple[list[bytes], list[bytes]]:
        """Events and labels of the minute that ends at end_ms."""
        if not self.running:
            return [], []
        rng = np.random.default_rng(end_ms // 60_000)
        even = (np.arange(self.rows) + 0.5) / self.rows
        columns = {name: 100 + 10 * (ndtri(rng.permutation(even)) + self.shifts.get(name, 0.0)) for name in self.features}
        latency = np.exp(2 + 0.3 * ndtri(rng.permutation(even))) * self.latency
        events, labels = [], []
        for i in range(self.rows):
            self.made += 1
            name, ts = f"e{self.made}", end_ms - 60_000 + (i * 60_000) // self.rows
            features = {k: round(float(v[i]), 3) for k, v in columns.items() if k not in self.missing}
            events.append(
                orjson.dumps(
                    {
                        "event_id": name, "ts": ts, "model": "credit", "version": self.version, "features": features,
                        "prediction": {"label": "yes" if i % 2 else "no", "score": 0.9 if i % 2 else 0.1},
                        "latency_ms": float(latency[i]), "status": "error" if i < self.errors * self.rows else "ok",
                    }
                )
            )  # fmt: skip
            truth = ("no" if i % 2 else "yes") if i < self.wrong * self.rows else ("yes" if i % 2 else "no")
            if self.labels and self.labelled:
                labels.append(orjson.dumps({"event_id": name, "label": truth, "label_ts": ts}))
        return events, labels


class Timeline:
    """One scenario. alerts: the config's section, as YAML. servers: channels that are a real local server. labels: whether
    the model has a task and labels come; without, it has none, which is quicker."""

    def __init__(
        self, folder: Any, alerts: str, more: str = "", servers: tuple[str, ...] = (), start: str = "11:54", labels: bool = False
    ) -> None:
        extra = [part.split(":")[0].strip() for part in more.split(",") if part.strip()]
        self._feed = Feed(["income", "age", *extra], labels=labels)
        self._receivers = {name: Receiver() for name in servers}
        task = '{task: binary, positive_label: "yes"}' if labels else "{task: none}"
        self.text = CONFIG.format(more=more, task=task[1:-1].replace(", ", "\n    "), alerts="%s")
        self.world = World(folder, self.config(alerts), ms(start), self._receivers)
        self._acts: list[tuple[int, Callable[[], None]]] = []
        self._now = ms(start)
        self._seen: list[tuple[int, dict[str, dict[str, Any]]]] = []
        self._taken: dict[str, int] = dict.fromkeys(servers, 0)
        self.sent: list[tuple[int, str, dict[str, Any]]] = []  # when, channel, message

    @property
    def feed(self) -> _Feeds:
        return _Feeds(self)

    @property
    def ops(self) -> _OpsAt:
        return _OpsAt(self)

    @property
    def expect(self) -> _Expects:
        return _Expects(self)

    def channel(self, name: str) -> _ChannelAt:
        return _ChannelAt(self, self._receivers[name])

    def config(self, alerts: str) -> str:
        return self.text % "\n".join("  " + line for line in alerts.strip("\n").splitlines())

    def act(self, at: str, what: Callable[[], None]) -> None:
        assert ms(at) > self._now, f"{at} is over"
        self._acts.append((ms(at), what))

    def play(self, until: str) -> None:
        """Let time go to `until`."""
        while self._now < ms(until):
            self._now += STEP_MS
            for _, act in sorted((a for a in self._acts if a[0] < self._now), key=lambda a: a[0]):
                act()
            self._acts = [a for a in self._acts if a[0] >= self._now]
            events, labels = self._feed.minute(self._now)
            self.world.events.extend(events)
            self.world.labels.extend(labels)
            self.world.step(self._now)
            self._note()

    def _note(self) -> None:
        self._seen.append((self._now, {row["alert"]: row for row in self.world.store.alerts()}))
        for at, name, message in self.world.received:
            self.sent.append((at, name, orjson.loads(message.to_json())))
        self.world.received.clear()
        for name, receiver in self._receivers.items():
            for key in receiver.taken[self._taken[name] :]:
                (row,) = self.world.store.rows(outbox.select().where(outbox.c.key == key))
                self.sent.append((self._now, name, orjson.loads(row["body"])))
            self._taken[name] = len(receiver.taken)

    def alert(self, pattern: str) -> dict[str, Any]:
        """The last state of the one alert of that name."""
        found = [row for row in self._seen[-1][1].values() if _called(row, pattern)]
        assert len(found) == 1, f"{pattern}: {[(r['rule'], r['subject'], r['score'], r['status']) for r in found]}"
        return found[0]

    def close(self) -> None:
        for receiver in self._receivers.values():
            receiver.close()
        self.world.down()


def _called(row: dict[str, Any], pattern: str) -> bool:
    return any(fnmatchcase(str(row[field]), pattern) for field in ("subject", "rule"))


@dataclass(frozen=True)
class _Feeds:
    timeline: Timeline

    def at(self, at: str) -> _FeedAt:
        return _FeedAt(self.timeline, at)


@dataclass(frozen=True)
class _FeedAt:
    """What begins at a time and lasts."""

    timeline: Timeline
    time: str

    def _set(self, **values: Any) -> _FeedAt:
        feed = self.timeline._feed

        def act() -> None:
            for name, value in values.items():
                setattr(feed, name, value)

        self.timeline.act(self.time, act)
        return self

    def shift(self, pattern: str, deviations: float) -> _FeedAt:
        """Move features by so many standard deviations."""
        feed = self.timeline._feed
        moved = {name: deviations for name in feed.features if fnmatchcase(name, pattern)}
        assert moved
        self.timeline.act(self.time, lambda: feed.shifts.update(moved))
        return self

    def calm(self) -> _FeedAt:
        """All as it was at the beginning."""
        return self._set(shifts={}, missing=set(), latency=1.0, errors=0.0, wrong=0.05, running=True, labelled=True, rows=ROWS)

    def stop(self) -> _FeedAt:
        return self._set(running=False)

    def start(self) -> _FeedAt:
        return self._set(running=True)

    def lose(self, *features: str) -> _FeedAt:
        return self._set(missing=set(features))

    def slow(self, factor: float) -> _FeedAt:
        return self._set(latency=factor)

    def fail(self, share: float) -> _FeedAt:
        return self._set(errors=share)

    def err(self, share: float) -> _FeedAt:
        """Predictions are wrong so often."""
        return self._set(wrong=share)

    def unlabelled(self) -> _FeedAt:
        return self._set(labelled=False)

    def rows(self, rows: int) -> _FeedAt:
        return self._set(rows=rows)

    def version(self, version: str) -> _FeedAt:
        return self._set(version=version)


@dataclass(frozen=True)
class _OpsAt:
    """What people and machines do."""

    timeline: Timeline
    time: str = ""

    def at(self, at: str) -> _OpsAt:
        return _OpsAt(self.timeline, at)

    def restart(self, alerts: str | None = None) -> None:
        """A new process; alerts: with another config."""
        t = self.timeline
        t.act(self.time, lambda: t.world.restart(None if alerts is None else t.config(alerts)))

    def crash(self, method: str) -> None:
        """Die inside this step of the next publishing transaction that reaches it."""
        self.timeline.act(self.time, lambda: setattr(self.timeline.world, "crash_in", method))

    def ack(self, pattern: str, author: str = "ada", comment: str = "on it") -> None:
        self._on_alert(pattern, lambda mark, now: self.timeline.world.store.actions.ack(mark, author, comment, now))

    def unack(self, pattern: str, author: str = "ada") -> None:
        self._on_alert(pattern, lambda mark, now: self.timeline.world.store.actions.unack(mark, author, "", now))

    def _on_alert(self, pattern: str, do: Callable[[str, int], Any]) -> None:
        def act() -> None:
            rows = [
                r for r in self.timeline.world.store.alerts() if _called(r, pattern) and r["status"] in ("firing", "acknowledged")
            ]
            assert rows, f"{pattern} does not fire at {self.time}"
            do(rows[0]["alert"], ms(self.time))

        self.timeline.act(self.time, act)

    def silence(self, until: str, author: str = "ada", reason: str = "known", **matchers: Any) -> None:
        actions = lambda: self.timeline.world.store.actions  # noqa: E731
        now = ms(self.time)
        self.timeline.act(self.time, lambda: actions().silence(matchers, now, ms(until), author, reason, now))

    def unsilence(self) -> None:
        def act() -> None:
            now, actions = ms(self.time), self.timeline.world.store.actions
            for silence in actions.list_silences(now, "active")[0]:
                actions.unsilence(silence["id"], "bob", "over", now)

        self.timeline.act(self.time, act)


@dataclass(frozen=True)
class _ChannelAt:
    """How a receiver behaves from a time on."""

    timeline: Timeline
    receiver: Receiver
    time: str = ""

    def at(self, at: str) -> _ChannelAt:
        return _ChannelAt(self.timeline, self.receiver, at)

    def becomes(self, mode: str | int, retry_after_s: int | None = None) -> None:
        def act() -> None:
            self.receiver.mode, self.receiver.retry_after = mode, retry_after_s

        self.timeline.act(self.time, act)


@dataclass(frozen=True)
class _Expects:
    timeline: Timeline

    def between(self, start: str, end: str) -> _Between:
        self.timeline.play(end)
        return _Between(self.timeline, ms(start), ms(end))


@dataclass(frozen=True)
class _Between:
    """Looks at start <= time <= end."""

    timeline: Timeline
    start: int
    end: int

    def _states(self, pattern: str) -> list[tuple[int, set[str]]]:
        """The statuses of the alerts of that name, step by step, beginning with the step before."""
        seen = [(at, {r["status"] for r in rows.values() if _called(r, pattern)}) for at, rows in self.timeline._seen]
        before = [(at, states) for at, states in seen if at < self.start][-1:]
        return before + [(at, states) for at, states in seen if self.start <= at <= self.end]

    def _becomes(self, pattern: str, status: str) -> _Between:
        states = self._states(pattern)
        began = [clock(at) for (_, a), (at, b) in zip(states, states[1:], strict=False) if status in b and status not in a]
        assert began, f"{pattern} did not become {status}: {[(clock(at), sorted(s)) for at, s in states]}"
        return self

    def firing(self, pattern: str) -> _Between:
        """It begins to fire in this time."""
        return self._becomes(pattern, "firing")

    def resolved(self, pattern: str) -> _Between:
        return self._becomes(pattern, "resolved")

    def acknowledged(self, pattern: str) -> _Between:
        return self._becomes(pattern, "acknowledged")

    def pending(self, pattern: str) -> _Between:
        return self._becomes(pattern, "pending")

    def stays(self, pattern: str, status: str) -> _Between:
        """It is so at every step."""
        for at, states in self._states(pattern)[1:]:
            assert status in states, f"{pattern} at {clock(at)}: {sorted(states)}"
        return self

    def calm(self, pattern: str = "*") -> _Between:
        """Nothing of that name fires."""
        for at, states in self._states(pattern)[1:]:
            assert not states & {"firing", "acknowledged"}, f"{pattern} at {clock(at)}: {sorted(states)}"
        return self

    def messages(self, channel: str = "*", status: str = "*") -> list[dict[str, Any]]:
        return [
            m for at, name, m in self.timeline.sent
            if self.start <= at <= self.end and fnmatchcase(name, channel) and fnmatchcase(m["status"], status)
        ]  # fmt: skip

    def notified(self, channel: str, status: str, times: int = 1, **fields: Any) -> _Between:
        """Exactly so many messages of that status, each with these fields."""
        found = self.messages(channel, status)
        everything = [(clock(at), name, m["status"], m["rule"], m["reason"]) for at, name, m in self.timeline.sent]
        assert len(found) == times, f"{channel} {status}: {len(found)} instead of {times} among {everything}"
        for message in found:
            got = {name: message[name] for name in fields}
            assert got == fields, f"{got} instead of {fields}"
        return self

    def silent(self, channel: str = "*") -> _Between:
        """Nothing was delivered."""
        found = [(m["status"], m["rule"], m["subject"]) for m in self.messages(channel)]
        assert not found, found
        return self


CHANNELS = "channels: {chat: {type: log}, pager: {type: log}, boss: {type: log}}\n"
HOOKS = "channels: {chat: {type: webhook, url: 'http://127.0.0.1:1/', allow_private: true, timeout: 150ms}, pager: {type: log}}\n"


def alerts_section(*rules: str, route: str = "{channels: [chat]}", channels: str = CHANNELS) -> str:
    """The config's section from rules as YAML flow mappings; none: the preset's."""
    written = f"rules: [{', '.join(rules)}]\n" if rules else ""
    return f"{written}route: {route}\n{channels}"
