"""All that happens to the alerts of one model, in three calls. What they return is to be written in one transaction.

    window(...)  a window was published: absence, book, desk
    tick(...)    no window need have come: event time went on, clocks ran, people acted
    state(...)   to be stored; `Clock` says when the next tick has something to do

Pure: windows, time, silences and acknowledgements go in. The same windows give the same moves and the same message keys.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import orjson

from alerts.absence import Heard, gone_versions, heard_window, next_deadline_ms, watch
from alerts.book import AlertBook
from alerts.desk import Ack, Desk, Effects, Scene
from alerts.policy import Policy
from alerts.silences import Silence
from alerts.standing import Fact, stand
from alerts.transition import Shown, Transition
from detectors.score import Finding


@dataclass(frozen=True, slots=True)
class Clock:
    """When there is something to do without a window, and the last news seen. None: nothing waits."""

    wall_ms: int | None = None
    event_ms: int | None = None
    news: str = ""
    seen: bool = False  # whether a tick has ever looked: the first one starts the count of silence

    def is_due(self, now_ms: int, event_ms: int | None, news: str) -> bool:
        if not self.seen or news != self.news:
            return True
        late = self.wall_ms is not None and now_ms >= self.wall_ms
        return late or (self.event_ms is not None and event_ms is not None and event_ms >= self.event_ms)

    def to_bytes(self) -> bytes:
        return orjson.dumps([self.wall_ms, self.event_ms, self.news, self.seen])

    @staticmethod
    def from_bytes(blob: bytes | None) -> Clock:
        return Clock(*orjson.loads(blob)) if blob else Clock()


@dataclass(frozen=True, slots=True)
class ClosedWindow:
    """What the lifecycle wants to know of a published window. findings: by (version, segment)."""

    start_ms: int
    end_ms: int
    revision: int
    rows: int
    new_labels: bool  # it holds labels that its last revision did not
    findings: Mapping[tuple[str, str], list[Finding]]


@dataclass(slots=True)
class Lifecycle:
    """The alerts of one model as they were stored, and what people did since."""

    model: str
    size_ms: int
    slide_ms: int
    policy: Policy
    book: AlertBook
    desk: Desk
    heard: Heard
    silences: Sequence[Silence] = ()
    acks: dict[str, Ack] = field(default_factory=dict)
    facts: Mapping[str, Fact] = field(default_factory=dict)  # what stands, by the rules that tell of it

    @staticmethod
    def restore(model: str, size_ms: int, slide_ms: int, policy: Policy, book: bytes | None, desk: bytes | None) -> Lifecycle:
        """From what `state` gave. Raises ValueError where another release wrote it."""
        alerts = (
            AlertBook.from_bytes(book, policy.flapping, slide_ms)
            if book
            else AlertBook(flapping=policy.flapping, slide_ms=slide_ms)
        )
        if desk is None:
            return Lifecycle(model, size_ms, slide_ms, policy, alerts, Desk(quietly=len(alerts) > 0), Heard())
        head, _, rest = desk.partition(b"\n")
        return Lifecycle(model, size_ms, slide_ms, policy, alerts, Desk.from_bytes(rest), Heard.from_row(orjson.loads(head)))

    def state(self) -> tuple[bytes, bytes]:
        """(book, desk)."""
        return self.book.to_bytes(), orjson.dumps(self.heard.row()) + b"\n" + self.desk.to_bytes()

    def window(self, closed: ClosedWindow, now_ms: int) -> Effects:
        """Show a published window. A silence that it ends is told of first, as it would have been in its time."""
        start, end, rules = closed.start_ms, closed.end_ms, self.policy.rules
        before = watch(self.book, rules, self.heard, self.model, start, self.size_ms, self.slide_ms, now_ms)
        out = self._settle(before, _newest(before, self.size_ms), now_ms) if before else Effects()
        newest = closed.rows > 0 and end > self.heard.events_ms
        moves = heard_window(
            self.book, rules, self.heard, self.model, start, end, self.slide_ms, closed.rows > 0, closed.new_labels, now_ms
        )
        for (version, segment), findings in closed.findings.items():
            moves += self.book.step(rules, self.model, version, segment, start, end, closed.revision, findings, now_ms)
        gone = gone_versions(self.heard, {version for version, _ in closed.findings}, newest)
        if gone:
            moves += self.book.end_versions(gone, Shown((self.model, "", ""), start, end, closed.revision, now_ms))
        if newest:
            moves += self._stand((start, end), closed.revision, now_ms)
        return out.then(self._settle(moves, (start, end), now_ms))

    def tick(self, event_ms: int | None, now_ms: int) -> Effects:
        """event_ms: until when event time has come for all partitions, less the allowed lateness; None where unknown."""
        moves: list[Transition] = []
        if event_ms is not None:
            moves += watch(self.book, self.policy.rules, self.heard, self.model, event_ms, self.size_ms, self.slide_ms, now_ms)
        end_ms = self.heard.newest_ms
        window = _newest(moves, self.size_ms) if moves else (end_ms - self.size_ms, end_ms)
        if end_ms >= 0:
            moves += self._stand((end_ms - self.size_ms, end_ms), 1, now_ms)
        return self._settle(moves, window, now_ms)

    def _stand(self, window: tuple[int, int], revision: int, now_ms: int) -> list[Transition]:
        shown = Shown((self.model, "", ""), *window, revision, now_ms)
        return stand(self.book, self.policy.rules, self.facts, self.model, shown)

    def clock(self, now_ms: int, news: str) -> Clock:
        """When `tick` has something to do again."""
        due = next_deadline_ms(self.policy.rules, self.heard, self.model, self.slide_ms)
        return Clock(self.desk.next_ms(self.policy, self.silences, now_ms), due, news, True)

    def _settle(self, moves: list[Transition], window: tuple[int, int], now_ms: int) -> Effects:
        out = self.desk.settle(Scene(self.book, self.policy, moves, self.silences, self.acks, window, now_ms))
        for mark in out.acks_done:
            self.acks.pop(mark, None)
        return out


def _newest(moves: list[Transition], size_ms: int) -> tuple[int, int]:
    end_ms = max(move.window_end_ms for move in moves)
    return end_ms - size_ms, end_ms
