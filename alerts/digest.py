"""The summary of a day or week for a team: when it is due, what it says, and the key that makes it one. Pure.

A period ends at a local time of day, so it follows daylight saving: one in a while has 23 or 25 hours. The newest period that
has ended is the one to tell; after a downtime older ones are not made up for. The idempotency key is of the digest's name, the
period's start and the channel: replicas and restarts make the same one.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from hashlib import sha256
from zoneinfo import ZoneInfo

from alerts.notification import FORMAT, Notification
from alerts.words import number

NAMESPACE = uuid.UUID("c2b5a1f4-8d0e-5a63-9c1b-2f7f6f0f4d21")
MODELS_MOST = 30  # models that a digest tells of one by one, the ones with most to say first
NAMES_MOST = 3  # scores, alerts and retrains that are named of each model; the rest is counted


@dataclass(frozen=True, slots=True)
class Digest:
    """minute: of the local day at which a period ends. weekday: 0 is Monday; None: every day."""

    name: str
    channels: tuple[str, ...]
    minute: int
    timezone: str
    weekday: int | None = None
    team: str = ""

    def __post_init__(self) -> None:
        ZoneInfo(self.timezone)  # raises ZoneInfoNotFoundError, a KeyError
        if not 0 <= self.minute < 24 * 60:
            raise ValueError(f"minute {self.minute} is not of a day: write 0 to 1439")

    def period(self, now_ms: int) -> tuple[int, int]:
        """Start and end, in ms since 1970 UTC, of the newest period that has ended by now_ms; the start belongs to it."""
        zone = ZoneInfo(self.timezone)
        day = datetime.fromtimestamp(now_ms / 1000, UTC).astimezone(zone).date() + timedelta(days=1)
        ends: list[int] = []
        while len(ends) < 2:
            at = self._end_ms(day, zone)
            if at is not None and at <= now_ms:
                ends.append(at)
            day -= timedelta(days=1)
        return ends[1], ends[0]

    def _end_ms(self, day: date, zone: ZoneInfo) -> int | None:
        if self.weekday is not None and day.weekday() != self.weekday:
            return None
        return int(datetime.combine(day, time(*divmod(self.minute, 60)), zone).timestamp() * 1000)


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """What one model did in a period. worst: (what, value, limit) of scores that are bad in its newest windows, worst first."""

    model: str
    windows: int = 0
    rows: int = 0
    labelled_rows: int = 0
    late_rows: int = 0
    worst: tuple[tuple[str, float | None, float | None], ...] = ()
    bad: int = 0  # scores that are bad in all
    fired: tuple[str, ...] = ()
    resolved: tuple[str, ...] = ()
    open: int = 0  # alerts that fire now
    retrains: tuple[str, ...] = ()

    @property
    def weight(self) -> tuple[int, int, int, int, str]:
        """Sorts the model with most to say first."""
        return -self.open, -len(self.fired), -self.bad, -len(self.retrains), self.model


def lines_of(facts: Iterable[ModelFacts]) -> list[str]:
    """The digest's text: what all models did, then each, the ones with most to say first."""
    told = sorted(facts, key=lambda f: f.weight)
    rows, labelled = sum(f.rows for f in told), sum(f.labelled_rows for f in told)
    head = [f"{_count(len(told), 'model')}: {_count(sum(f.windows for f in told), 'window')}, {_rows(rows, labelled)}"]
    head.append(
        f"alerts: {sum(len(f.fired) for f in told)} fired, {sum(len(f.resolved) for f in told)} resolved, "
        f"{sum(f.open for f in told)} open now; retrains: {sum(len(f.retrains) for f in told)}"
    )
    body = [line for f in told[:MODELS_MOST] for line in _model_lines(f)]
    if len(told) > MODELS_MOST:
        body.append(f"and {len(told) - MODELS_MOST} more models with less to say")
    return head + body


def _model_lines(f: ModelFacts) -> list[str]:
    late = f", {f.late_rows} late" if f.late_rows else ""
    lines = [f"{f.model}: {_count(f.windows, 'window')}, {_rows(f.rows, f.labelled_rows)}{late}"]
    if not f.windows:
        lines = [f"{f.model}: no windows: nothing came in"]
    if f.worst:
        lines.append(f"  bad now: {_some([_score(*each) for each in f.worst], f.bad)}")
    for what, names in (("fired", f.fired), ("resolved", f.resolved), ("retrains", f.retrains)):
        if names:
            lines.append(f"  {what}: {_some(names, len(names))}")
    if f.open:
        lines.append(f"  open now: {_count(f.open, 'alert')}")
    return lines


def _score(name: str, value: float | None, limit: float | None) -> str:
    return f"{name} = {number(value)}" + ("" if limit is None else f", limit {number(limit)}")


def _some(names: Iterable[str], count: int) -> str:
    shown = list(names)[:NAMES_MOST]
    return "; ".join(shown) + (f"; and {count - len(shown)} more" if count > len(shown) else "")


def _count(n: int, what: str) -> str:
    return f"{n} {what}" if n == 1 else f"{n} {what}s"


def _rows(rows: int, labelled: int) -> str:
    return f"{rows} rows" + (f", {100 * labelled / rows:.3g} % with labels" if rows else "")


def digest_key(name: str, start_ms: int, channel: str) -> str:
    return str(uuid.uuid5(NAMESPACE, json.dumps([name, start_ms, channel])))


def digest_notes(
    digest: Digest, facts: Iterable[ModelFacts], period: tuple[int, int], now_ms: int, public_url: str
) -> list[tuple[str, Notification]]:
    """(channel, message) for each channel of the digest."""
    start_ms, end_ms = period
    zone = ZoneInfo(digest.timezone)
    first, last = (datetime.fromtimestamp(ms / 1000, UTC).astimezone(zone) for ms in period)
    whom = f"team {digest.team}" if digest.team else digest.name
    span = f"week {first:%Y-%m-%d} to {last:%Y-%m-%d}" if digest.weekday is not None else f"{last:%A %Y-%m-%d}"
    comment = "\n".join(lines_of(facts))
    return [
        (
            channel,
            Notification(
                key=digest_key(digest.name, start_ms, channel), alert=sha256(f"digest:{digest.name}".encode()).hexdigest()[:16],
                status="digest", reason="digest_due", rule=f"digest:{digest.name}", severity="info", model="", version="",
                segment="", subject=f"driftd digest of {whom}, {span}", score="", value=None, threshold=None, rows=0,
                window_start_ms=start_ms, window_end_ms=end_ms, since_ms=start_ms, format=FORMAT, comment=comment,
                labels={"team": digest.team} if digest.team else {},
                links={"model": f"{public_url.rstrip('/')}/"} if public_url else {}, at_ms=now_ms,
            ),
        )
        for channel in digest.channels
    ]  # fmt: skip
