"""The values that cross from the engine to the store: all that a batch caused, to be written whole.

The engine makes these, the store writes them; neither knows how the other works.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from detectors.columns import DictColumn, Floats, Ids, Ints
from detectors.ragged import Ragged
from monitor.events import DeadLetter, PartitionKey


@dataclass(frozen=True, slots=True)
class PaneBlob:
    """The summaries of one (partition, model, pane): one row, replaced whole."""

    model: str
    kind: str  # "inputs", "performance" or "pending"
    pane_start_ms: int
    blob: bytes
    rows: int


@dataclass(frozen=True, slots=True)
class LateRows:
    """Rows that came after their pane had closed, to be added to its count if the pane ever held rows."""

    model: str
    pane_start_ms: int
    rows: int


@dataclass(frozen=True, slots=True)
class SeenIds:
    """Event ids accepted since the last checkpoint, appended; dropped once expires_ms has passed."""

    expires_ms: int
    blob: bytes


@dataclass(frozen=True, slots=True)
class WaitingPredictions:
    """Predictions of one model that wait for a label. group is JSON of [version, [[dim, value], …]].

    payload: what some tasks need beside label and score, see monitor/payload.py; None where no row has one.
    """

    model: str
    ids: Ids
    ts_ms: Ints
    pane_start_ms: Ints
    group: DictColumn
    label: DictColumn
    score: Floats
    payload: Ragged | None = None


@dataclass(frozen=True, slots=True)
class ArrivedLabels:
    """Labels of one partition, at most one an id (the last by label_ts_ms, then by label and payload)."""

    ids: Ids
    label_ts_ms: Ints
    label: DictColumn
    value: Floats
    payload: Ragged | None = None  # of labels that are lists or objects


@dataclass(frozen=True, slots=True)
class JoinedRows:
    """Rows whose other half this transaction completed, or whose label it corrected.

    weight: +1 adds the outcome, -1 retracts the one that a corrected label replaces.
    """

    model: str
    pane_start_ms: Ints
    ts_ms: Ints
    label_ts_ms: Ints
    group: DictColumn
    predicted_label: DictColumn
    predicted_score: Floats
    true_label: DictColumn
    true_value: Floats
    weight: npt.NDArray[np.int64]
    payload: Ragged | None = None
    true_payload: Ragged | None = None

    @property
    def rows(self) -> int:
        return len(self.ts_ms)


@dataclass(slots=True)
class PartitionCut:
    """What one partition owes the store: written only if token and expected_offset still hold."""

    key: PartitionKey
    token: str
    expected_offset: int
    next_offset: int
    max_ts_ms: int | None  # greatest accepted event time: the partition's watermark before lateness
    idle: bool  # read to its end for idle_timeout: does not hold windows back
    now_ms: int
    panes: list[PaneBlob] = field(default_factory=list)
    seen: list[SeenIds] = field(default_factory=list)
    seen_before_ms: int | None = None  # rows of seen_ids that expired before this go
    waiting: list[WaitingPredictions] = field(default_factory=list)
    labels: ArrivedLabels | None = None
    late: list[LateRows] = field(default_factory=list)
    dead: list[DeadLetter] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)  # consumed, accepted and each drop reason, to be added


# Reads, inside the checkpoint's transaction, the partition's own performance pane: (model, pane_start_ms).
ReadPane = Callable[[str, int], bytes | None]

# Given the rows that a partition's cut joined, the performance panes to write in the same transaction.
# Pure: what it needs of the past it reads, so a rolled back attempt leaves nothing to undo.
Absorb = Callable[[PartitionKey, list[JoinedRows], ReadPane], list[PaneBlob]]


@dataclass(frozen=True, slots=True)
class Claim:
    """What a partition's owner gets when it claims it: the fence's token and the last checkpoint."""

    key: PartitionKey
    token: str
    next_offset: int  # -1: never read, start where the source's config says
    max_ts_ms: int | None
    panes: list[PaneBlob]
    seen: list[SeenIds]


@dataclass(frozen=True, slots=True)
class PartitionState:
    """A partition as the last checkpoint of its owner left it, for watermarks over all replicas."""

    key: PartitionKey
    role: str  # "events" or "labels"
    next_offset: int
    max_ts_ms: int | None
    idle: bool
    seen_at_ms: int


@dataclass(frozen=True, slots=True)
class Partial:
    """A stored pane of one partition. version grows with each write of it."""

    key: PartitionKey
    model: str
    kind: str
    pane_start_ms: int
    version: int
    rows: int
    blob: bytes

    @property
    def input_key(self) -> str:
        k = self.key
        return f"{k.source}/{k.topic}/{k.partition}/{self.kind}/{self.pane_start_ms}"


@dataclass(frozen=True, slots=True)
class WindowRow:
    """A published window: one row per model and window, replaced by each revision."""

    model: str
    start_ms: int
    end_ms: int
    revision: int
    rows: int
    labelled_rows: int
    late_rows: int
    reference: str
    config_hash: str
    inputs: dict[str, int]  # Partial.input_key -> version that went in
    published_ms: int


class ScoreRow(NamedTuple):
    """One row of the `score` table and of `driftd export scores`: a tuple, as a window of many features has a hundred thousand."""

    model: str
    version: str  # "" for all versions
    segment: str  # "" for all rows, else "dimension=value"
    window_start_ms: int
    window_end_ms: int
    revision: int
    subject: str
    score: str
    value: float | None  # None where the statistic is undefined
    rows: int
    reference: str
    threshold: float | None
    level: str
    rule: str = ""  # what gave the limit, "" where nothing judges the score
    # JSON: what moved, where the level is warn or breach; else which statistic and why, the reason why there is no value, or
    # the segment that a score is of
    evidence: str = ""


class ReferenceScore(NamedTuple):
    """A score of a reference itself. segment: "" all rows, EVERY_SEGMENT where the reference does not tell them apart."""

    segment: str
    subject: str
    score: str
    value: float | None
    rows: int


EVERY_SEGMENT = "*"
_TROUBLE = "unavailable"  # no metric's name


@dataclass(frozen=True, slots=True)
class ResourceSample:
    """What one source of resources said at one time; values by metric. trouble: why it said nothing, where it could not be asked."""

    model: str
    source: str
    ts_ms: int
    values: dict[str, float]
    trouble: str = ""

    def to_json(self) -> str:
        return json.dumps({_TROUBLE: self.trouble} if self.trouble else self.values)

    @staticmethod
    def from_json(model: str, source: str, ts_ms: int, text: str) -> ResourceSample:
        values = json.loads(text)
        return ResourceSample(model, source, ts_ms, values, values.pop(_TROUBLE, ""))


@dataclass(frozen=True, slots=True)
class OutboxRow:
    """One notification for one channel. key is its idempotency key."""

    key: str
    channel: str
    group: str  # delivered in order within (channel, group)
    alert: str
    body: str  # JSON of alerts.notification.Notification
    created_ms: int
