"""The reference that a model makes for itself: its N earliest windows that hold rows enough, merged.

It holds for models without a built reference, and every score that rests on it says so: its name is
`first_N_windows`, or `learning` for the windows that it is made of and while fewer than N are known.

It is a function of the windows alone, not of when they were published: a window that is revised, or that comes
late and is earlier than one of the N, changes it, and then the windows that rested on it are published anew.
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

FORMAT = 1
LEARNING = "learning"


@dataclass(slots=True)
class Baseline:
    """Summaries of the learned windows: start (ms) -> segment -> all versions merged, as bytes."""

    wanted: int
    windows: dict[int, dict[str, bytes]] = field(default_factory=dict)
    changes: int = 0  # since it was loaded, while it was complete
    _merged: dict[str, WindowSummary] | None = None

    @property
    def complete(self) -> bool:
        return len(self.windows) >= self.wanted

    def learn(self, pane: Pane, start_ms: int, min_rows: int) -> None:
        """Take a window in where it belongs, in place of what was known of it."""
        known = start_ms in self.windows
        if pane.rows < min_rows and not known:
            return
        if not known and self.complete and start_ms > max(self.windows):
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
        self.windows[start_ms] = blobs
        if len(self.windows) > self.wanted:
            del self.windows[max(self.windows)]
        self._merged = None
        self.changes += self.complete

    def name(self, start_ms: int) -> str:
        """The name of the reference for a window."""
        return self.learned_name if self._serves(start_ms) else LEARNING

    @property
    def learned_name(self) -> str:
        """What it is called once it is complete."""
        return f"first_{self.wanted}_windows"

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
        head = [[start, [[name, len(blob)] for name, blob in s.items()]] for start, s in self.windows.items()]
        encoded = json.dumps(head).encode()
        body = b"".join(blob for segments in self.windows.values() for blob in segments.values())
        return struct.pack("<BI", FORMAT, len(encoded)) + encoded + body

    @staticmethod
    def from_bytes(data: bytes, wanted: int) -> Baseline:
        """Raises ValueError for a format that this release does not know."""
        form, length = struct.unpack_from("<BI", data)
        if form != FORMAT:
            raise ValueError(f"baseline of format {form}: this release reads format {FORMAT}. Upgrade driftd.")
        out, at = Baseline(wanted), 5 + length
        for start, segments in json.loads(data[5 : 5 + length]):
            out.windows[start] = {}
            for name, size in segments:
                out.windows[start][name] = data[at : at + size]
                at += size
        return out
