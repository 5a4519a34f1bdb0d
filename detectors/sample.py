"""A bounded sample of rows: those whose event ids have the smallest hashes.

Which rows are kept depends on nothing but the rows (bottom-k by a hash, Broder 1997): any order and any split
of them keeps the same ones, and a merge is exact. To a statistic they are a simple random sample without
replacement, as a hash knows nothing of its row.

Kept are features, prediction, latency, error, time and the id's hash; never a masked feature, a column derived of one, or an id; the texts
of a feature of kind text, a vector or a ranked list only where the options name it, cut to so many characters or items.
Size: 8 bytes a number and 4 a category, for each row and feature, and 41 bytes a row; a text what it holds, each once; 4 bytes
a number of a vector, 8 an item or its score.

    options in schema.parts["sample"]: rows (at most so many), mask (features, "prediction" or "embedding"), texts, text_chars,
    vectors, lists, list_items
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np

from detectors import frame
from detectors.columns import Columns, DictColumn, Hashes, Ids, Ints, Matrix, Schema
from detectors.mask import hidden_columns
from detectors.ragged import Ragged

FORMAT, WITH_TEXTS, WITH_VECTORS = 1, 2, 3
PART = "sample"
ROWS = 1000
TEXT_CHARS = 500
LIST_ITEMS = 100
LIST_TYPES = {"items": "<u8", "item_scores": "<f8"}  # of what lists hold
PREDICTION = "prediction"
EMBEDDING = "embedding"
_U = np.uint64


@dataclass(slots=True)
class RowSample:
    """At most `limit` rows, ordered by (hash, time): `kept` is None while there are none.

    limit falls to that of a sample merged in: of rows that another one dropped nothing is known.
    """

    schema: Schema
    limit: int
    mask: frozenset[str]
    kept: Columns | None = None

    @staticmethod
    def empty(schema: Schema) -> RowSample:
        return RowSample(schema, int(schema.parts.get(PART, {}).get("rows", ROWS)), hidden_columns(schema))

    @property
    def rows(self) -> int:
        return 0 if self.kept is None else self.kept.rows

    def add(self, columns: Columns) -> None:
        """Add rows; their ids decide. Raises ValueError for columns without ids."""
        if columns.ids is None or columns.ts_ms is None:
            raise ValueError("rows without ids cannot be sampled")
        candidates = self._candidates(columns.ids)
        if len(candidates):
            self._keep([self._bare(columns.take(candidates))])

    def _candidates(self, ids: Ids) -> Ints:
        """The numbers of the rows that can be among the kept ones."""
        first = ids[:, 0]
        if self.kept is not None and self.kept.ids is not None and self.kept.rows >= self.limit:
            return np.flatnonzero(first <= self.kept.ids[-1, 0])
        if len(first) <= self.limit:
            return np.arange(len(first))
        return np.flatnonzero(first <= np.partition(first, self.limit - 1)[self.limit - 1])

    def _bare(self, columns: Columns) -> Columns:
        """The columns that may be kept."""
        n = columns.rows
        hidden = PREDICTION in self.mask
        return replace(
            columns,
            numeric={f: v for f, v in columns.numeric.items() if f not in self.mask},
            categorical={f: v for f, v in columns.categorical.items() if f not in self.mask},
            raw=self._texts(columns),
            score=np.full(n, np.nan) if hidden else columns.score,
            label=DictColumn.missing(n) if hidden else columns.label,
            numbers={f: v for f, v in columns.numbers.items() if f not in self.mask},
            vectors=self._vectors(columns),
            lists=self._lists(columns),
            requests=None,
        )

    def _shown(self, kind: str) -> list[str]:
        """The vectors or lists that are kept."""
        named = self.schema.parts.get(PART, {}).get(kind, ())
        return [name for name in named if (EMBEDDING if name == EMBEDDING else PREDICTION) not in self.mask]

    def _vectors(self, columns: Columns) -> dict[str, Matrix]:
        """Those of the schema; missing in all rows where the columns do not have them in that length."""
        out = {}
        for name in self._shown("vectors"):
            if (length := self.schema.vectors.get(name)) is not None:
                found = columns.vectors.get(name)
                fits = found is not None and found.shape[1] == length
                out[name] = found if fits and found is not None else np.full((columns.rows, length), np.nan, dtype=np.float32)
        return out

    def _lists(self, columns: Columns) -> dict[str, Ragged]:
        most = int(self.schema.parts.get(PART, {}).get("list_items", LIST_ITEMS))
        found = {name: columns.lists.get(name) for name in self._shown("lists")}
        return {n: Ragged.missing(columns.rows, LIST_TYPES[n]) if v is None else v.head(most) for n, v in found.items()}

    def _texts(self, columns: Columns) -> dict[str, DictColumn]:
        """The texts that are kept, cut. A feature that the columns do not have is missing in all rows."""
        options = self.schema.parts.get(PART, {})
        chars = int(options.get("text_chars", TEXT_CHARS))
        out = {}
        for feature in options.get("texts", ()):
            if feature not in self.mask:
                column = columns.raw.get(feature) or DictColumn.missing(columns.rows)
                cut = DictColumn(column.codes, [text[:chars] for text in column.values])
                out[feature] = DictColumn.concat([cut])  # texts that are one now
        return out

    def _keep(self, more: list[Columns]) -> None:
        parts = more if self.kept is None else [self.kept, *more]
        found = parts[0] if len(parts) == 1 else Columns.concat(parts)
        assert found.ids is not None and found.ts_ms is not None
        order = np.lexsort((found.score, found.ts_ms, found.ids[:, 1], found.ids[:, 0]))[: self.limit]
        self.kept = _compact(found.take(order))

    def merge(self, other: RowSample) -> None:
        """Keep the smallest of both."""
        self.limit = min(self.limit, other.limit)
        if other.kept is not None:
            self._keep([other.kept])
        elif self.kept is not None and self.kept.rows > self.limit:
            self._keep([])

    def to_bytes(self) -> bytes:
        kept = self.kept
        if kept is None:
            return bytes([FORMAT]) + frame.join([json.dumps([self.limit, 0, [], [], [], []]).encode()])
        assert kept.ids is not None and kept.ts_ms is not None
        tables = [kept.label.values, *(c.values for c in kept.categorical.values())]
        head = [self.limit, kept.rows, list(kept.numeric), list(kept.categorical), list(kept.numbers), tables]
        parts = [json.dumps(head).encode(), kept.ids.astype("<u8").tobytes(), kept.ts_ms.astype("<i8").tobytes()]
        numbers = [kept.score, kept.latency_ms, *kept.numeric.values(), *kept.numbers.values()]
        parts += [values.astype("<f8").tobytes() for values in numbers]
        parts += [c.codes.astype("<i4").tobytes() for c in (kept.label, *kept.categorical.values())]
        parts.append(kept.error.astype(np.uint8).tobytes())
        if not (kept.raw or kept.vectors or kept.lists):
            return bytes([FORMAT]) + frame.join(parts)
        parts.append(json.dumps([[feature, column.values] for feature, column in kept.raw.items()]).encode())
        parts += [column.codes.astype("<i4").tobytes() for column in kept.raw.values()]
        if not (kept.vectors or kept.lists):
            return bytes([WITH_TEXTS]) + frame.join(parts)
        parts.append(json.dumps([[[n, v.shape[1]] for n, v in kept.vectors.items()], list(kept.lists)]).encode())
        parts += [matrix.astype("<f4").tobytes() for matrix in kept.vectors.values()]
        for name, items in kept.lists.items():
            parts += [items.lengths.astype("<i8").tobytes(), items.values.astype(LIST_TYPES[name]).tobytes()]
        return bytes([WITH_VECTORS]) + frame.join(parts)

    @staticmethod
    def from_bytes(data: bytes, schema: Schema) -> RowSample:
        """A feature that the schema has gained since is missing in all rows, one that it lost or masks is dropped.

        Raises ValueError for a format that this release does not know.
        """
        if not data or data[0] not in (FORMAT, WITH_TEXTS, WITH_VECTORS):
            raise ValueError(f"row sample of format {data[:1]!r}: this release reads {FORMAT} to {WITH_VECTORS}. Upgrade driftd.")
        parts = iter(frame.split(data[1:]))
        limit, rows, numeric, categorical, others, tables = json.loads(next(parts))
        out = RowSample.empty(schema)
        out.limit = min(out.limit, limit)
        if not rows:
            return out
        ids = np.frombuffer(next(parts), dtype="<u8").reshape(rows, 2).astype(np.uint64)
        ts_ms = np.frombuffer(next(parts), dtype="<i8").astype(np.int64)
        score, latency_ms = (np.frombuffer(next(parts), dtype="<f8").astype(np.float64) for _ in range(2))
        floats = {f: np.frombuffer(next(parts), dtype="<f8").astype(np.float64) for f in numeric}
        more = {f: np.frombuffer(next(parts), dtype="<f8").astype(np.float64) for f in others}
        label, *texts = [DictColumn(np.frombuffer(next(parts), dtype="<i4").astype(np.int32), table) for table in tables]
        named = dict(zip(categorical, texts, strict=True))
        error = np.frombuffer(next(parts), dtype=np.uint8).astype(np.bool_)
        tables = json.loads(next(parts)) if data[0] != FORMAT else []
        raw = {f: DictColumn(np.frombuffer(next(parts), dtype="<i4").astype(np.int32), table) for f, table in tables}
        dims, ranked = json.loads(next(parts)) if data[0] == WITH_VECTORS else ([], [])
        vectors = {n: np.frombuffer(next(parts), dtype="<f4").reshape(rows, dim).astype(np.float32) for n, dim in dims}
        lists = {}
        for name in ranked:
            lengths = np.frombuffer(next(parts), dtype="<i8").astype(np.int64)
            kind = np.dtype(LIST_TYPES[name])
            lists[name] = Ragged(lengths, np.frombuffer(next(parts), dtype=kind).astype(kind.newbyteorder("=")))
        nothing = np.full(rows, np.nan)
        found = Columns(
            rows=rows,
            numeric={f: floats.get(f, nothing) for f in schema.numeric},
            categorical={f: named.get(f, DictColumn.missing(rows)) for f in schema.categorical},
            score=score,
            label=label,
            latency_ms=latency_ms,
            error=error,
            numbers={f: more.get(f, nothing) for f in schema.numbers},
            ids=ids,
            ts_ms=ts_ms,
            raw=raw,
            vectors=vectors,
            lists=lists,
        )
        out._keep([out._bare(found)])
        return out


def merged(samples: Iterable[RowSample]) -> RowSample | None:
    """One sample of all, None where there is none. The samples are left as they were."""
    out: RowSample | None = None
    for sample in samples:
        if out is None:
            out = RowSample(sample.schema, sample.limit, sample.mask, sample.kept)
        else:
            out.merge(sample)
    return out


def mixed(z: Hashes) -> Hashes:
    """Whole numbers scattered over 64 bits, one to one (SplitMix64, Steele et al. 2014)."""
    z = (z ^ (z >> _U(30))) * _U(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> _U(27))) * _U(0x94D049BB133111EB)
    return z ^ (z >> _U(31))


def numbered(columns: Columns) -> Columns:
    """The rows of a file with ids made of their numbers, where they have none."""
    if columns.ids is not None and columns.ts_ms is not None:
        return columns
    z = mixed(np.arange(1, columns.rows + 1, dtype=np.uint64) * _U(0x9E3779B97F4A7C15))
    ids = columns.ids if columns.ids is not None else np.stack([z, z], axis=1)
    return replace(columns, ids=ids, ts_ms=columns.ts_ms if columns.ts_ms is not None else np.zeros(columns.rows, dtype=np.int64))


def _compact(columns: Columns) -> Columns:
    """The same rows; strings that none of them holds are forgotten, the rest stand in order of appearance."""
    return replace(
        columns,
        label=only_used(columns.label),
        categorical={f: only_used(c) for f, c in columns.categorical.items()},
        raw={f: only_used(c) for f, c in columns.raw.items()},
    )


def only_used(column: DictColumn) -> DictColumn:
    """The same column; strings that no row has are forgotten, the rest stand in order of appearance."""
    present, first = np.unique(column.codes, return_index=True)
    order = present[np.argsort(first)]
    order = order[order >= 0]
    table = np.full(len(column.values) + 1, -1, dtype=np.int32)
    table[order] = np.arange(len(order), dtype=np.int32)
    return DictColumn(table[column.codes], [column.values[c] for c in order.tolist()])
