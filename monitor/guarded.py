"""Work on a closed window that may fail on odd values: its fault costs its own results, never the window nor the stream.

What a failed piece of work wrote into the model's memory is thrown away with its results: writes are staged and applied
only once it has returned. What the store raises, and a lack of memory, is nobody's fault of these and goes on up: the
transaction is rolled back and tried again, or results would be a function of more than the log.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from monitor.checkpoint import ResourceSample, ScoreRow, WindowRow
from monitor.store.errors import DATABASE_ERRORS, StoreError, StoreUnavailable
from monitor.view import Memory

T = TypeVar("T")
PASSED_ON = (*DATABASE_ERRORS, StoreError, StoreUnavailable, MemoryError)


def tried(memory: Memory, work: Callable[[Memory], T]) -> T | Exception:
    """What the work returns, its writes done, or what it raised, no write done. Raises PASSED_ON."""
    staged = Staged(memory)
    try:
        found = work(staged)
    except PASSED_ON:
        raise
    except Exception as error:
        return error
    staged.apply()
    return found


class Staged:
    """A model's memory whose writes wait for `apply`; reads see them."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory
        self._states: dict[str, bytes | None] = {}  # None: dropped
        self._rows: dict[tuple[int, str, str, str, str], ScoreRow] = {}

    def load_state(self, name: str) -> bytes | None:
        return self._states[name] if name in self._states else self._memory.load_state(name)

    def save_state(self, name: str, blob: bytes) -> None:
        self._states[name] = blob

    def drop_state(self, name: str) -> None:
        self._states[name] = None

    def state_names(self, prefix: str) -> list[str]:
        known = {n for n in self._memory.state_names(prefix) if self._states.get(n, b"") is not None}
        return sorted(known | {n for n, blob in self._states.items() if blob is not None and n.startswith(prefix)})

    def windows(self, from_ms: int) -> list[WindowRow]:
        return self._memory.windows(from_ms)

    def resource_samples(self, from_ms: int, to_ms: int) -> list[ResourceSample]:
        return self._memory.resource_samples(from_ms, to_ms)

    def scores(self, subject: str, score_name: str, from_ms: int, to_ms: int) -> list[ScoreRow]:
        stored = {_key(row): row for row in self._memory.scores(subject, score_name, from_ms, to_ms)}
        mine = (
            r for r in self._rows.values() if (r.subject, r.score) == (subject, score_name) and from_ms <= r.window_start_ms < to_ms
        )
        stored |= {_key(row): row for row in mine}
        return [stored[key] for key in sorted(stored)]

    def rewrite_scores(self, rows: list[ScoreRow]) -> None:
        self._rows |= {_key(row): row for row in rows}

    def apply(self) -> None:
        """Do what was written, each state and row once."""
        for name, blob in self._states.items():
            if blob is None:
                self._memory.drop_state(name)
            else:
                self._memory.save_state(name, blob)
        if self._rows:
            self._memory.rewrite_scores(list(self._rows.values()))


def _key(row: ScoreRow) -> tuple[int, str, str, str, str]:
    return row.window_start_ms, row.version, row.segment, row.subject, row.score
