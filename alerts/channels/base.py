"""The seam between the courier and a receiver: one notification, one attempt, one outcome."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from alerts.notification import Notification


@dataclass(frozen=True, slots=True)
class Sent:
    """The receiver has it."""


@dataclass(frozen=True, slots=True)
class Skipped:
    """The channel's own policy kept it back, for good. reason says why."""

    reason: str


@dataclass(frozen=True, slots=True)
class Retry:
    """Try again later, after_ms from now where the receiver said when."""

    after_ms: int | None
    error: str


@dataclass(frozen=True, slots=True)
class Failed:
    """Trying again would not help."""

    error: str


Outcome = Sent | Skipped | Retry | Failed


class Channel(Protocol):
    """A receiver. send never raises for what the receiver does; attempt counts from 1."""

    def send(self, notification: Notification, attempt: int, now_ms: int) -> Outcome: ...


@runtime_checkable
class StatefulChannel(Protocol):
    """A channel that remembers: restored before each send, saved after it; where another courier saved meanwhile, merged first."""

    def restore(self, blob: bytes | None) -> None: ...
    def merge(self, blob: bytes | None) -> None: ...
    def state(self) -> bytes: ...


@runtime_checkable
class TickingChannel(StatefulChannel, Protocol):
    """A channel that must say again what still holds: tick is called about every tick_ms; whether the state changed."""

    @property
    def tick_ms(self) -> int: ...
    def tick(self, now_ms: int) -> bool: ...


def outcome_of_status(status: int, retry_after_ms: int | None) -> Outcome:
    """2xx is sent; 408, 429 and 5xx are tried again; all else fails at once, redirects too."""
    if 200 <= status < 300:
        return Sent()
    if status in (408, 429) or status >= 500:
        return Retry(retry_after_ms, f"the receiver answered {status}")
    hint = ": redirects are not followed, give the final address" if 300 <= status < 400 else ""
    return Failed(f"the receiver answered {status}{hint}")
