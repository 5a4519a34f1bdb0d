"""The reference that a model makes for itself: its first N windows, merged.

It holds for models without a built reference, and every score that rests on it says so:
its name is `first_N_windows`, or `learning` while fewer than N have been published.
"""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass, field

from detectors.window import WindowSummary
from monitor.model import Model
from monitor.panes import Pane

FORMAT = 1


@dataclass(slots=True)
class Baseline:
    """Summaries by segment (all versions together) of the windows learned so far."""

    windows: list[int] = field(default_factory=list)  # starts, ms
    segments: dict[str, WindowSummary] = field(default_factory=dict)

    def learn(self, pane: Pane, start_ms: int, wanted: int) -> None:
        """Take a window in, unless enough are known or this one is known."""
        if len(self.windows) >= wanted or start_ms in self.windows or pane.rows == 0:
            return
        self.windows.append(start_ms)
        for (_, segment), summary in sorted(pane.groups.items()):
            copied = WindowSummary.from_bytes(summary.to_bytes(), summary.schema, None)
            mine = self.segments.get(segment)
            if mine is None:
                self.segments[segment] = copied
            else:
                mine.merge(copied)

    def name(self, wanted: int) -> str:
        return f"first_{wanted}_windows" if len(self.windows) >= wanted else "learning"

    def summary(self, segment: str, wanted: int) -> WindowSummary | None:
        """The learned summary, or None while learning goes on."""
        return self.segments.get(segment) if len(self.windows) >= wanted else None

    def to_bytes(self) -> bytes:
        parts = [s.to_bytes() for s in self.segments.values()]
        head = json.dumps([self.windows, list(self.segments), [len(p) for p in parts]]).encode()
        return struct.pack("<BI", FORMAT, len(head)) + head + b"".join(parts)

    @staticmethod
    def from_bytes(data: bytes, model: Model) -> Baseline:
        """Raises ValueError for a format that this release does not know."""
        form, length = struct.unpack_from("<BI", data)
        if form != FORMAT:
            raise ValueError(f"baseline of format {form}: this release reads format {FORMAT}. Upgrade driftd.")
        windows, names, lengths = json.loads(data[5 : 5 + length])
        out, at = Baseline(windows=windows), 5 + length
        for name, size in zip(names, lengths, strict=True):
            out.segments[name] = WindowSummary.from_bytes(data[at : at + size], model.schema, None)
            at += size
        return out
