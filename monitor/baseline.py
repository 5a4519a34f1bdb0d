"""The reference that a model makes for itself: its earliest windows, as many as hold N times min_rows rows, merged.

Windows are taken in order; those that hold fewer than min_rows are put together with the next until they do, so that it is the N
earliest windows where each holds enough. At most MOST_WINDOWS, whatever they hold: then scores say that the reference has few rows.

It holds for models without a built reference, and every score that rests on it says so: its name is
`first_N_windows`, or `learning` for the windows that it is made of, whose `drift` says how many rows there are of how many.

It is a function of the windows alone, not of when they were published: a window that is revised, or that comes
late and is earlier than one of these, changes it, and then the windows that rested on it are published anew.
"""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass, field

from detectors.outliers import WORST_ROWS
from detectors.sample import PART as SAMPLE
from detectors.window import WindowSummary, without_part
from monitor.model import Model
from monitor.panes import Pane

FORMAT = 2  # 1 had no rows: all of its windows hold enough
LEARNING = "learning"
MOST_WINDOWS = 100  # they are kept apart, for each may be revised


@dataclass(slots=True)
class Baseline:
    """Summaries of the learned windows: start (ms) -> segment -> all versions merged, as bytes; and their rows."""

    wanted: int
    least: int  # rows, of each of the wanted
    windows: dict[int, dict[str, bytes]] = field(default_factory=dict)
    rows: dict[int, int] = field(default_factory=dict)
    changes: int = 0  # since it was loaded, while it was complete
    touched: int | None = None  # since it was loaded: the earliest window that was taken in or changed
    _merged: dict[str, WindowSummary] | None = None

    @property
    def complete(self) -> bool:
        return self._suffice(sorted(self.windows))

    def _suffice(self, starts: list[int]) -> bool:
        return len(starts) >= max(MOST_WINDOWS, self.wanted) or self._held(starts) >= self.wanted * self.least

    def _held(self, starts: list[int]) -> int:
        """The rows of these windows that count: of those put together no more than the least."""
        whole, rest = 0, 0
        for start in starts:
            rest += self.rows[start]
            if rest >= self.least:
                whole, rest = whole + 1, 0
        return whole * self.least + rest

    def progress(self, start_ms: int) -> str:
        """How much is known with a window that it is learned from."""
        held, goal = self._held([s for s in sorted(self.windows) if s <= start_ms]), self.wanted * self.least
        if held >= goal:
            return f"no reference yet: it is complete with this window, {goal} rows"
        return f"no reference yet: {held} of {goal} rows with this window, of one at most {self.least}"

    def learn(self, pane: Pane, start_ms: int) -> None:
        """Take a window in where it belongs, in place of what was known of it."""
        known = start_ms in self.windows
        if not known and (pane.rows == 0 or (self.complete and start_ms > max(self.windows))):
            return
        segments: dict[str, WindowSummary] = {}
        for (_, segment), summary in sorted(pane.groups.items()):
            copied = WindowSummary.from_bytes(
                without_part(without_part(summary.to_bytes(), SAMPLE), WORST_ROWS), summary.schema, None
            )
            if segment in segments:
                segments[segment].merge(copied)
            else:
                segments[segment] = copied
        blobs = {segment: summary.to_bytes() for segment, summary in segments.items()}
        if known and self.windows[start_ms] == blobs:
            return
        self.windows[start_ms], self.rows[start_ms] = blobs, pane.rows
        starts = sorted(self.windows)
        while self._suffice(starts[:-1]):
            last = starts.pop()
            del self.windows[last], self.rows[last]
        self._merged = None
        self.touched = start_ms if self.touched is None else min(start_ms, self.touched)
        self.changes += self.complete

    def name(self, start_ms: int) -> str:
        """The name of the reference for a window."""
        return self.learned_name if self._serves(start_ms) else LEARNING

    @property
    def learned_name(self) -> str:
        """What it is called once it is complete."""
        return f"first_{len(self.windows)}_windows"

    def summary(self, start_ms: int, segment: str, model: Model) -> WindowSummary | None:
        """The learned summary for a window, None if it is one of the learned or learning goes on."""
        if not self._serves(start_ms):
            return None
        return self.merged(model).get(segment)

    def merged(self, model: Model) -> dict[str, WindowSummary]:
        """Segment -> the learned windows of all versions, merged."""
        if self._merged is None:
            self._merged = {}
            for _, segments in sorted(self.windows.items()):
                for name, blob in segments.items():
                    summary = WindowSummary.from_bytes(blob, model.schema, None)
                    if name in self._merged:
                        self._merged[name].merge(summary)
                    else:
                        self._merged[name] = summary
        return self._merged

    def _serves(self, start_ms: int) -> bool:
        return self.complete and start_ms not in self.windows

    def to_bytes(self) -> bytes:
        head = [[start, [[name, len(blob)] for name, blob in s.items()], self.rows[start]] for start, s in self.windows.items()]
        encoded = json.dumps(head).encode()
        body = b"".join(blob for segments in self.windows.values() for blob in segments.values())
        return struct.pack("<BI", FORMAT, len(encoded)) + encoded + body

    @staticmethod
    def from_bytes(data: bytes, wanted: int, least: int) -> Baseline:
        """Raises ValueError for a format that this release does not know."""
        form, length = struct.unpack_from("<BI", data)
        if not 1 <= form <= FORMAT:
            raise ValueError(f"baseline of format {form}: this release reads formats up to {FORMAT}. Upgrade driftd.")
        out, at = Baseline(wanted, least), 5 + length
        for start, segments, *rows in json.loads(data[5 : 5 + length]):
            out.windows[start], out.rows[start] = {}, rows[0] if rows else least
            for name, size in segments:
                out.windows[start][name] = data[at : at + size]
                at += size
        return out
