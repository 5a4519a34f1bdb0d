"""A bounded sample of a window's outcomes: what an interval is made of where sums tell nothing of their scatter.

Kept are the `limit` outcomes of the smallest hashes (bottom-k, as detectors/sample.py), the hash being of all that an outcome holds,
its times too. Which ones are kept depends on no order, split or correction: an outcome that was taken back leaves its entry behind
with no rows, and what was pushed out once stays out. To a statistic they are a simple random sample of the outcomes.

Outcomes without the times of their predictions (those of a reference) are not kept.
Size: at most 1,000 outcomes, and fewer where they hold long vectors: about 256 kB in memory, 18 to 30 kB as bytes of the tasks measured.
"""

from __future__ import annotations

import hashlib
import json
import zlib
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from detectors import frame
from detectors.columns import DictColumn, Floats, Hashes, Ints, Matrix, Outcomes, Schema
from detectors.sample import LIST_ITEMS, mixed, only_used

FORMAT = 1
PART = "outcome_sample"
ROWS, LEAST_ROWS, BYTES = 1000, 100, 256_000
FIXED_BYTES = 56  # of an outcome without vectors
# the vectors that the performance of a task is made of, monitor/payload.py
VECTORS = {
    "multiclass": ("probabilities",),
    "multilabel": ("labels", "true_labels", "true_others", "probabilities"),
    "quantile": ("quantiles",),
    "ranking": ("gains", "ideal", "relevant", "cut"),
}


@dataclass(slots=True)
class OutcomeSample:
    """keys: hashes, ascending, and how many rows each stands for, shape (k,); kept: one outcome of each, None where there is none.

    total: rows of all outcomes that were ever added, less those taken back.
    """

    schema: Schema
    limit: int
    total: int = 0
    keys: Hashes = field(default_factory=lambda: np.empty(0, dtype=np.uint64))
    rows: Ints = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    kept: Outcomes | None = None

    @staticmethod
    def empty(schema: Schema) -> OutcomeSample:
        most = max(LEAST_ROWS, min(ROWS, BYTES // (FIXED_BYTES + 4 * _numbers(schema))))
        return OutcomeSample(schema, min(most, int(schema.parts.get(PART, {}).get("rows", ROWS))))

    def add(self, outcomes: Outcomes) -> None:
        """Outcomes of shape (n,), with weight -1 where they are taken back."""
        if outcomes.ts_ms is None or not outcomes.rows:
            return
        self.total += int(outcomes.weight.sum())
        bare = _bare(outcomes, self.schema)
        keys = content_hashes(bare)
        if len(self.keys) >= self.limit:
            candidates = np.flatnonzero(keys <= self.keys[-1])
            keys, bare = keys[candidates], bare.take(candidates)
        if len(keys):
            self._take(keys, bare.weight, bare)

    def merge(self, other: OutcomeSample) -> None:
        self.limit = min(self.limit, other.limit)
        self.total += other.total
        if other.kept is not None:
            self._take(other.keys, other.rows, other.kept)
        elif self.kept is not None and len(self.keys) > self.limit:
            self._take(self.keys[:0], self.rows[:0], self.kept.take(slice(0, 0)))

    def _take(self, keys: Hashes, rows: Ints, outcomes: Outcomes) -> None:
        if self.kept is not None:
            keys, rows = np.concatenate([self.keys, keys]), np.concatenate([self.rows, rows])
            outcomes = Outcomes.concat([self.kept, outcomes])
        found, first, at = np.unique(keys, return_index=True, return_inverse=True)
        total = np.zeros(len(found), dtype=np.int64)
        np.add.at(total, at, rows)
        self.keys, self.rows = found[: self.limit], total[: self.limit]
        kept = outcomes.take(first[: self.limit])
        self.kept = replace(
            kept,
            predicted_label=only_used(kept.predicted_label),
            true_label=only_used(kept.true_label),
            weight=np.ones(len(self.keys), dtype=np.int64),
        )

    def drawn(self, rng: np.random.Generator) -> Outcomes | None:
        """As many outcomes as there were, drawn with replacement from those that are kept; None where none is."""
        there = np.maximum(self.rows, 0)
        if self.kept is None or self.total <= 0 or not there.any():
            return None
        weight = rng.multinomial(self.total, there / there.sum()).astype(np.int64)
        some = weight > 0
        return replace(self.kept.take(some), weight=weight[some])

    def to_bytes(self) -> bytes:
        kept = self.kept
        head: list[Any] = [self.limit, self.total, _meaning(self.schema), len(self.keys)]
        if kept is None:
            return bytes([FORMAT]) + zlib.compress(frame.join([json.dumps([*head, [], [], []]).encode()]), 1)
        assert kept.ts_ms is not None and kept.label_ts_ms is not None
        tables = [kept.predicted_label.values, kept.true_label.values]
        head += [*tables, [[name, matrix.shape[1]] for name, matrix in kept.vectors.items()]]
        parts = [json.dumps(head).encode(), np.diff(self.keys, prepend=np.uint64(0)).astype("<u8").tobytes()]
        parts += [a.astype("<i8").tobytes() for a in (self.rows, kept.ts_ms, kept.label_ts_ms)]
        parts += [c.codes.astype("<i4").tobytes() for c in (kept.predicted_label, kept.true_label)]
        parts += [v.astype("<f8").tobytes() for v in (kept.predicted_score, kept.true_value)]
        parts += [matrix.astype("<f4").tobytes() for matrix in kept.vectors.values()]
        return bytes([FORMAT]) + zlib.compress(frame.join(parts), 1)

    @staticmethod
    def from_bytes(data: bytes, schema: Schema) -> OutcomeSample:
        """Empty where the outcomes were of another task, other classes or quantiles.

        Raises ValueError for a format that this release does not know, or for damaged bytes.
        """
        if not data or data[0] != FORMAT:
            raise ValueError(f"sample of outcomes of format {data[:1]!r}: this release reads {FORMAT}. Upgrade driftd.")
        try:
            parts = iter(frame.split(zlib.decompress(data[1:])))
        except zlib.error as error:
            raise ValueError(f"damaged sample of outcomes: {error}") from error
        out = OutcomeSample.empty(schema)
        limit, total, meaning, n, predicted, true, vectors = json.loads(next(parts))
        if meaning != _meaning(schema):
            return out
        out.limit, out.total = min(out.limit, limit), total
        if not n:
            return out
        keys = np.cumsum(np.frombuffer(next(parts), dtype="<u8").astype(np.uint64), dtype=np.uint64)
        rows, ts_ms, label_ts_ms = (np.frombuffer(next(parts), dtype="<i8").astype(np.int64) for _ in range(3))
        labels = [DictColumn(np.frombuffer(next(parts), dtype="<i4").astype(np.int32), table) for table in (predicted, true)]
        score, value = (np.frombuffer(next(parts), dtype="<f8").astype(np.float64) for _ in range(2))
        matrices = {name: np.frombuffer(next(parts), dtype="<f4").reshape(n, width).astype(np.float32) for name, width in vectors}
        for name, width in _widths(schema).items():  # which an earlier release did not keep
            matrices.setdefault(name, np.full((n, width), np.nan, dtype=np.float32))
        one = np.ones(n, dtype=np.int64)
        out._take(keys, rows, Outcomes(labels[0], score, labels[1], value, one, ts_ms, label_ts_ms, matrices))
        return out


def _meaning(schema: Schema) -> list[Any]:
    return [schema.task, list(schema.classes), list(schema.quantiles)]


def _widths(schema: Schema) -> dict[str, int]:
    """The vectors that are kept, and how many numbers each holds."""
    items = LIST_ITEMS
    known = {
        "probabilities": len(schema.classes) if "probabilities" in schema.vectors else 0,
        "labels": len(schema.classes),
        "true_labels": len(schema.classes),
        "quantiles": len(schema.quantiles),
        "gains": items,
        "ideal": items,
    }
    found = {name: known.get(name, 1) for name in VECTORS.get(schema.task, ())}
    return {name: width for name, width in found.items() if width}


def _numbers(schema: Schema) -> int:
    return sum(_widths(schema).values())


def _bare(outcomes: Outcomes, schema: Schema) -> Outcomes:
    """What is kept of outcomes; -0.0 is 0.0, a vector that they do not have, or of another length, is missing in all rows."""
    vectors: dict[str, Matrix] = {}
    for name, width in _widths(schema).items():
        found = outcomes.vectors.get(name)
        if found is None or (name not in ("gains", "ideal") and found.shape[1] != width):
            vectors[name] = np.full((outcomes.rows, width), np.nan, dtype=np.float32)
        else:
            vectors[name] = found[:, :width] + np.float32(0.0)
    return replace(
        outcomes,
        predicted_score=outcomes.predicted_score + 0.0,
        true_value=outcomes.true_value + 0.0,
        label_ts_ms=outcomes.ts_ms if outcomes.label_ts_ms is None else outcomes.label_ts_ms,
        vectors=vectors,
    )


def content_hashes(outcomes: Outcomes) -> Hashes:
    """64 bits of all that each outcome holds, but of its weight; shape (n,). The same on every machine and in every run."""
    assert outcomes.ts_ms is not None and outcomes.label_ts_ms is not None
    out = mixed(outcomes.ts_ms.astype(np.uint64))
    for more in (outcomes.label_ts_ms.astype(np.uint64), _of_texts(outcomes.predicted_label), _of_texts(outcomes.true_label)):
        out = mixed(out ^ more)
    for values in (outcomes.predicted_score, outcomes.true_value):
        out = mixed(out ^ _bits(values, np.uint64))
    for matrix in outcomes.vectors.values():
        odd = mixed(np.arange(1, matrix.shape[1] + 1, dtype=np.uint64)) | np.uint64(1)
        out = mixed(out ^ (_bits(matrix, np.uint32).astype(np.uint64) * odd).sum(axis=1, dtype=np.uint64))
    return out


def _of_texts(column: DictColumn) -> Hashes:
    hashes = [
        int.from_bytes(hashlib.blake2b(v.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "little") for v in column.values
    ]
    return np.array([*hashes, 0], dtype=np.uint64)[column.codes]


def _bits(values: Floats | Matrix, kind: Any) -> Any:
    """The bits of floats, all that are missing alike."""
    missing = np.isnan(values)
    return np.where(missing, kind(0x7FC00000), np.ascontiguousarray(values).view(kind)) if missing.any() else values.view(kind)
