"""What a window leaves for the detectors of its errors, and how a chain of detectors moves over it; see monitor/concept.py."""

from __future__ import annotations

import json
import math
import struct
from dataclasses import astuple, dataclass, field
from datetime import UTC, datetime

import numpy as np

from detectors import frame
from detectors.columns import Floats, Ints
from detectors.error_cells import ErrorCells
from detectors.mix import Split, split_change
from detectors.score import Score
from detectors.stream import STREAM_DETECTORS
from monitor.model import Model
from monitor.split import SUBJECT, split_scores

SHOWN = 20  # firings named in the evidence
_SCALE = "scale"  # the mean error of a chain's first window: what a regression's errors are divided by
_CELLS = "cells"  # the errors by score of a chain's windows
EARLIER = "earlier_windows"  # the reference of a split against them
ROSE = "errors_rose"  # score: detectors that fired in a window whose errors lie above those before
_MEAN = "mean"  # the sum of a chain's errors, and how many
Chain = dict[tuple[str, str], bytes]  # (version, detector) -> its state


@dataclass(slots=True)
class Entry:
    """What a window left: traces by version, states after it of the two chains, and (rows seen, firings) of the judging one."""

    traces: dict[str, bytes] = field(default_factory=dict)
    young: Chain = field(default_factory=dict)
    judging: Chain = field(default_factory=dict)
    fired: dict[str, dict[str, list[int]]] = field(default_factory=dict)
    means: dict[str, list[float]] = field(default_factory=dict)  # error of the chain's earlier windows, and of this one
    cells: dict[str, bytes] = field(default_factory=dict)  # errors by score, by version; none where a reference has them
    splits: dict[str, list[float]] = field(default_factory=dict)  # rows, then the change against the chain's earlier windows

    def to_bytes(self) -> bytes:
        keys = [list(self.traces), [list(k) for k in self.young], [list(k) for k in self.judging], list(self.cells)]
        head = json.dumps([*keys, self.fired, self.means, self.splits]).encode()
        return frame.join([head, *self.traces.values(), *self.young.values(), *self.judging.values(), *self.cells.values()])

    @staticmethod
    def from_bytes(data: bytes) -> Entry:
        head, *blobs = frame.split(data)
        traces, young, judging, cells, fired, means, splits = json.loads(head)
        rest = iter(blobs)
        return Entry(
            {version: next(rest) for version in traces},
            {(version, name): next(rest) for version, name in young},
            {(version, name): next(rest) for version, name in judging},
            fired,
            means,
            {version: next(rest) for version in cells},
            splits,
        )


def advance(chain: Chain, version: str, errors: Floats, times: Ints, model: Model) -> dict[str, list[int]]:
    """Move one version's detectors of a chain; returns for each the rows it has seen, then the times at which it fired."""
    if model.schema.task == "regression" and len(errors):
        if (version, _SCALE) not in chain:
            chain[version, _SCALE] = struct.pack("<d", float(errors.mean()) or 1.0)
        errors = errors / struct.unpack("<d", chain[version, _SCALE])[0]
    found = {}
    for name, options in model.concept.items():
        kind, state = STREAM_DETECTORS[name], chain.get((version, name))
        detector = kind(**options) if state is None else kind.from_bytes(state)
        at = detector.seen
        fired = detector.update(errors).fired - at
        chain[version, name] = detector.to_bytes()
        found[name] = [detector.seen, *np.asarray(times)[fired].tolist()]
    return found


def mean_errors(chain: Chain, version: str, errors: Floats) -> list[float]:
    """The mean error of the chain's windows before this one (its own where there are none) and of this one, which is added to them."""
    total, rows = struct.unpack("<dd", chain.get((version, _MEAN), bytes(16)))
    chain[version, _MEAN] = struct.pack("<dd", total + float(errors.sum()), rows + len(errors))
    return [total / rows if rows else float(errors.mean()), float(errors.mean())]


def learn(chain: Chain, version: str, cells: bytes, model: Model) -> list[float]:
    """Count a window's errors by score among those of the chain's earlier windows.

    Returns the window's rows, then what its change of performance against these is split into: the numbers of a Split,
    NaN while the earlier windows have too few rows.
    """
    window = ErrorCells.from_bytes(cells, model.schema)
    stored = chain.get((version, _CELLS))
    earlier = ErrorCells.empty(model.schema) if stored is None else ErrorCells.from_bytes(stored, model.schema)
    split = split_change(earlier, window) if int(earlier.rows.sum()) >= model.min_rows else None
    earlier.merge(window)
    chain[version, _CELLS] = earlier.to_bytes()
    return [float(window.rows.sum()), *(astuple(split) if split is not None else (math.nan,) * 5)]


def scores_of(entry: Entry, version: str, model: Model) -> list[Score]:
    out: list[Score] = []
    if version in entry.splits:
        rows, *numbers = entry.splits[version]
        out += split_scores(Split(*numbers), model.schema.task, int(rows), EARLIER)
    earlier, now = entry.means[version]
    for name, (seen, *times) in entry.fired[version].items():
        when = [datetime.fromtimestamp(t / 1000.0, UTC).isoformat(timespec="milliseconds") for t in times[:SHOWN]]
        evidence: dict[str, object] = {"fired_at": when, "mean_error_before": round(earlier, 6), "mean_error_now": round(now, 6)}
        out.append(Score(SUBJECT, name, float(len(times)), seen, "", evidence if times else {}))
    if entry.fired[version]:
        names = [name for name, (_, *times) in entry.fired[version].items() if times]
        most = max(seen for seen, *_ in entry.fired[version].values())
        shown: dict[str, object] = {"fired": names, "mean_error_before": round(earlier, 6), "mean_error_now": round(now, 6)}
        out.append(Score(SUBJECT, ROSE, float(len(names)) if now > earlier else 0.0, most, "", shown if names else {}))
    return out


def rose(entry: Entry) -> dict[str, bool]:
    """By version, whether the window's errors lie above those of the windows before it."""
    return {version: now > earlier for version, (earlier, now) in entry.means.items()}
