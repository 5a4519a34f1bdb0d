"""What a decoder must know: limits, and the schema of each model."""

from __future__ import annotations

from dataclasses import dataclass, field

from detectors.columns import Schema

ID_BYTES = 512  # an event id longer than this is refused
LABEL_CHARS = 1000
TEXT_CHARS = 100_000  # of a feature of kind text: longer messages than labels are its nature
MAX_TS_MS = 253_402_300_800_000  # year 10000
ITEMS = 100  # of a ranked list; what comes after is not looked at, but that it was there
LABEL_ITEMS = 1000  # of one label that is a list or an object; more is refused
SUM_TOLERANCE = 0.02  # how far the probabilities of exclusive classes may miss 1: they are often rounded
NUMBER_FIELDS = ("cost_usd", "queue_ms", "tokens_in", "tokens_out")  # of the event itself, read where the config names no others
# vectors and lists of numbers or strings -> where they stand in the event
VECTOR_FIELDS = {
    "probabilities": ("prediction", "probabilities"),
    "quantiles": ("prediction", "quantiles"),
    "labels": ("prediction", "labels"),
    "embedding": ("embedding",),
}
LIST_FIELDS = {"items": ("prediction", "items"), "item_scores": ("prediction", "item_scores")}


@dataclass(frozen=True, slots=True)
class ModelSchema:
    """segments: keys of the event's `segment`. missing_ok: NaN and Infinity count as missing."""

    schema: Schema
    segments: tuple[str, ...] = ()
    missing_ok: bool = False


@dataclass(frozen=True, slots=True)
class DecodeSettings:
    """Bounds in bytes, levels and ms; models by name."""

    message_bytes: int = 1_000_000
    nesting_depth: int = 32
    future_ms: int = 300_000
    excerpt_bytes: int = 4096
    models: dict[str, ModelSchema] = field(default_factory=dict)
