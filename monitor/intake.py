"""What came for a pane and is in none of its summaries: repeats, fields of another type, features without a name.

    repeats      events whose id was seen before: dropped, counted here
    wrong_type   events refused because a field had another type than the schema's, by field
    non_finite   events refused because a field was NaN or infinite, by field
    unreadable   values of datetime features that are no times, by feature, and latencies below 0: their rows are in the summaries,
                 the value missing
    unnamed      features that the schema does not name, in one message of SAMPLE_EVERY (by its offset)

A part of the pane, so that the windows know it and what is refused shows even where every event is.
All of it is a function of the log: a refused event is judged late by the clock that its own message meets.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np
import orjson

from detectors.columns import Ints, Schema
from detectors.limits import Limit
from detectors.score import Score
from monitor.events import DeadLetter, EventBatch, RawBatch
from monitor.watermark import BEFORE_TIME

SAMPLE_EVERY = 1024  # messages; one costs 5 microseconds to parse
NAMES, NAME_CHARS = 200, 100
OTHER = "__other__"
LATENCY = "latency_ms"  # among the unreadable: those below 0
REFUSED = Limit(warn=0.001, breach=0.01)
DEFAULT_LIMITS = {"wrong_type_share": REFUSED, "non_finite_share": REFUSED}


@dataclass(slots=True)
class Intake:
    """Counts of one pane; merging adds. sampled: messages looked into for features without a name."""

    repeats: int = 0
    sampled: int = 0
    wrong_type: Counter[str] = field(default_factory=Counter)
    unnamed: Counter[str] = field(default_factory=Counter)
    unreadable: Counter[str] = field(default_factory=Counter)
    non_finite: Counter[str] = field(default_factory=Counter)

    def count(self, names: Counter[str], name: str, more: int = 1) -> None:
        """So many more of a name; over the bound, of OTHER."""
        name = name[:NAME_CHARS]
        names[name if name in names or len(names) < NAMES else OTHER] += more

    def merge(self, other: Intake) -> None:
        self.repeats += other.repeats
        self.sampled += other.sampled
        self.wrong_type.update(other.wrong_type)
        self.unnamed.update(other.unnamed)
        self.unreadable.update(other.unreadable)
        self.non_finite.update(other.non_finite)

    def to_json(self) -> list[object]:
        """Counts that are empty are left out at the end, as in what older releases wrote."""
        names = [self.wrong_type, self.unnamed, self.unreadable, self.non_finite]
        while len(names) > 2 and not names[-1]:
            names.pop()
        return [self.repeats, self.sampled, *(sorted(counts.items()) for counts in names)]

    @staticmethod
    def from_json(data: list[object]) -> Intake:
        repeats, sampled, *names = data
        assert isinstance(repeats, int) and isinstance(sampled, int)
        return Intake(repeats, sampled, *(Counter(dict(counts)) for counts in names if isinstance(counts, list)))


def refused_field(letter: DeadLetter) -> str:
    """The field for which an event was refused, "" where the letter is of something else. The detail begins with the field."""
    if letter.reason not in ("wrong_type", "non_finite") or not letter.model or letter.ts_ms < 0:
        return ""
    return letter.detail.partition(" ")[0]


def clocks_at(offsets: Ints, batches: list[EventBatch], clock_ms: int | None) -> Ints:
    """The partition's clock (ms) that messages at these offsets meet, shape (len(offsets),)."""
    start = BEFORE_TIME if clock_ms is None else clock_ms
    known = np.concatenate([np.empty(0, dtype=np.int64), *(b.offsets for b in batches)])
    order = np.argsort(known, kind="stable")
    times = np.concatenate([np.empty(0, dtype=np.int64), *(b.ts_ms for b in batches)])[order]
    running = np.maximum(np.concatenate([[start], np.maximum.accumulate(times)]), start).astype(np.int64)
    found: Ints = running[np.searchsorted(known[order], offsets, side="left")]
    return found


def unnamed_features(raw: RawBatch, batch: EventBatch, schema: Schema) -> Iterator[tuple[int, list[str]]]:
    """(row of the batch, names) of the sampled messages: features that the schema does not name. Messages that hold
    one event are looked into; a list of events is not."""
    known = {*schema.numeric, *schema.categorical, *schema.kinds}
    for at in np.flatnonzero(raw.offsets % SAMPLE_EVERY == 0).tolist():
        row = int(np.searchsorted(batch.offsets, raw.offsets[at]))
        value = raw.values[at]
        if value is None or row >= batch.rows or batch.offsets[row] != raw.offsets[at]:
            continue
        try:
            event = orjson.loads(value)
        except orjson.JSONDecodeError:
            continue
        features = event.get("features") if isinstance(event, dict) and event.get("model") == batch.model else None
        if isinstance(features, dict):
            yield row, [name for name in features if name not in known]


def score_intake(intake: Intake, rows: int) -> Iterable[Score]:
    """Scores of a window's intake over all versions; rows are the events that were accepted."""
    if rows + intake.repeats:
        share = intake.repeats / (rows + intake.repeats)
        yield Score("traffic", "duplicate_share", share, rows + intake.repeats, evidence={"repeats": intake.repeats})
    wrong, unread = sum(intake.wrong_type.values()), sum(intake.unreadable.values())
    if rows + wrong:
        evidence: dict[str, object] = {"events by field": dict((intake.wrong_type + intake.unreadable).most_common(20))}
        if unread:
            times = sorted(intake.unreadable.keys() - {LATENCY})[:20]
            wrongs = [f"values of {', '.join(times)} are no times"] if times else []
            wrongs += [f"{LATENCY} lies below 0"] if LATENCY in intake.unreadable else []
            evidence["reason"] = f"{', '.join(wrongs)}; they count as missing"
        yield Score("schema", "wrong_type_share", min(1.0, (wrong + unread) / (rows + wrong)), rows + wrong, evidence=evidence)
    infinite = sum(intake.non_finite.values())
    if rows + infinite:
        found: dict[str, object] = {"events by field": dict(intake.non_finite.most_common(20))}
        yield Score("schema", "non_finite_share", infinite / (rows + infinite), rows + infinite, evidence=found)
    if intake.sampled:
        seen: dict[str, object] = {"sampled events": intake.sampled, "events by name": dict(intake.unnamed.most_common(20))}
        yield Score("schema", "unnamed_features", float(len(intake.unnamed)), intake.sampled, evidence=seen, least_rows=1)
