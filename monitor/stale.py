"""Windows that must be published anew although none of their panes changed: what they were compared with did.

Whoever changes something that published windows were judged by (a learned reference, remembered windows, what a day has
cost) marks them here, in the same transaction. The next round publishes them, oldest first, so that results depend on the
panes and not on when they were published. A window whose panes are gone stays as it is.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Protocol

from monitor.checkpoint import WindowRow

STATE = "stale"  # starts of windows


class States(Protocol):
    """The named states of a model in an open transaction."""

    def load_state(self, name: str) -> bytes | None: ...
    def save_state(self, name: str, blob: bytes) -> None: ...


class Windows(States, Protocol):
    def windows(self, from_ms: int) -> list[WindowRow]: ...


def stale(tx: States) -> set[int]:
    """Starts of the windows that wait to be published anew."""
    stored = tx.load_state(STATE)
    return set(json.loads(stored)) if stored else set()


def mark(tx: States, starts: Iterable[int]) -> None:
    """Have these windows published anew."""
    known = stale(tx)
    if not known.issuperset(found := set(starts)):
        tx.save_state(STATE, json.dumps(sorted(known | found)).encode())


def unmark(tx: States, start: int) -> None:
    """A window is about to be published."""
    known = stale(tx)
    if start in known:
        tx.save_state(STATE, json.dumps(sorted(known - {start})).encode())


def outdate(tx: Windows, from_ms: int, which: Callable[[WindowRow], bool] = lambda window: True) -> None:
    """Have the published windows that start at or after from_ms, and of which `which` holds, published anew."""
    mark(tx, (w.start_ms for w in tx.windows(from_ms) if which(w)))
