"""The life of events before they are summarised: raw, decoded, refused.

RawBatch     undecoded messages of one partition, with offsets
EventBatch   decoded predictions of one model from one partition, as columns
LabelBatch   decoded labels from one partition
DeadLetter   one message, or one event of a message, that was refused, and why
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from detectors.columns import Columns, DictColumn, Floats, Ids, Ints
from detectors.ragged import Ragged


@dataclass(frozen=True, order=True, slots=True)
class PartitionKey:
    """One ordered log: a Kafka partition, or partition 0 of an HTTP or file source."""

    source: str  # the name in the config
    topic: str
    partition: int


@dataclass(frozen=True, slots=True)
class RawBatch:
    """Messages of one partition in offset order. values[i] is None for a tombstone."""

    key: PartitionKey
    offsets: Ints
    record_ts_ms: Ints  # -1 where the log has no record time
    values: list[bytes | None]
    next_offset: int  # where to read on once this batch is durable
    recorded: bool = True  # whether the record times are the log's own; of a file they are now, so that the future is known

    @property
    def rows(self) -> int:
        return len(self.values)


@dataclass(frozen=True, slots=True)
class EventBatch:
    """Decoded predictions of one model from one partition, in log order."""

    model: str
    offsets: Ints
    ts_ms: Ints
    ids: Ids
    version: DictColumn
    segments: dict[str, DictColumn]  # one column for each segment dimension of the config
    columns: Columns

    @property
    def rows(self) -> int:
        return len(self.ts_ms)


@dataclass(frozen=True, slots=True)
class LabelBatch:
    """Decoded labels. label is for classes, value for numbers (NaN where the label is no number).

    payload: labels that are lists or objects, as bytes (monitor/decode/vectors.py); None where none is.
    """

    offsets: Ints
    ids: Ids
    label: DictColumn
    value: Floats
    label_ts_ms: Ints  # the record's time where the label has none of its own
    payload: Ragged | None = None

    @property
    def rows(self) -> int:
        return len(self.label_ts_ms)


# Why a message is refused. Each is a value of `reason` in driftd_dropped_total and of dead_letter.reason.
REASONS = (
    "undecodable",  # not JSON, bad UTF-8, lone surrogate, NUL, duplicate key
    "too_large",  # over limits.message_bytes
    "too_deep",  # over limits.nesting_depth
    "non_finite",  # NaN or Infinity where the model does not allow it
    "wrong_type",  # a field of another type than the schema's
    "missing_field",  # no event_id, ts or model (predictions); no event_id or label (labels)
    "unknown_model",  # a model that the config does not name
    "future",  # ts further ahead of the record's time than limits.future_ms
    "late",  # its pane was closed for its own partition
    "duplicate",  # the event_id was seen inside the horizon: counted, not kept
    "label_expired",  # label_ts - prediction ts over labels.wait
    "unpaired",  # a KServe request or response whose other half never came
    "pending_overflow",  # more predictions wait for a label than labels.max_pending
)


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A refused message. excerpt: at most limits.excerpt_bytes of it, empty where a model masks features."""

    offset: int
    index: int  # position of the event inside its message
    reason: str
    detail: str  # place, value, what is allowed
    excerpt: bytes = b""
    ts_ms: int = -1
    model: str = ""  # of the event, where it could be told


@dataclass(slots=True)
class Decoded:
    """What a decoder returns for one RawBatch."""

    events: list[EventBatch] = field(default_factory=list)
    labels: list[LabelBatch] = field(default_factory=list)
    dead: list[DeadLetter] = field(default_factory=list)


class Decoder(Protocol):
    """See monitor/decode."""

    def events(self, raw: RawBatch) -> Decoded: ...
    def labels(self, raw: RawBatch) -> Decoded: ...


class StatefulDecoder(Decoder, Protocol):
    """A decoder that keeps halves of events; they are saved with the partition's checkpoint."""

    def pending(self, key: PartitionKey) -> bytes | None: ...
    def restore(self, key: PartitionKey, blob: bytes) -> None: ...
    def forget(self, key: PartitionKey) -> None: ...
