"""The columns that summaries eat: rows of one model, as numpy arrays, never one object per row.

DictColumn   codes into a short list of distinct strings, -1 where missing
Columns      features, prediction, latency and status of `rows` events, and what optional summaries eat
Outcomes     predictions joined with the labels that came for them
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from detectors.ragged import Ragged

Floats = npt.NDArray[np.float64]
Matrix = npt.NDArray[np.float32]  # shape (n, dim)
Ids = npt.NDArray[np.uint64]  # shape (n, 2): the 128-bit hash of an event id
Hashes = npt.NDArray[np.uint64]  # shape (n,)
Ints = npt.NDArray[np.int64]
Codes = npt.NDArray[np.int32]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class DictColumn:
    """A column of strings as codes (int32, shape (n,), -1 is missing) into `values`."""

    codes: Codes
    values: list[str]

    def take(self, index: Ints | Bools | slice) -> DictColumn:
        return DictColumn(self.codes[index], self.values)

    def to_list(self) -> list[str | None]:
        return [None if c < 0 else self.values[c] for c in self.codes.tolist()]

    @staticmethod
    def missing(rows: int) -> DictColumn:
        return DictColumn(np.full(rows, -1, dtype=np.int32), [])

    @staticmethod
    def from_list(items: list[str | None]) -> DictColumn:
        table: dict[str, int] = {}
        codes = [-1 if item is None else table.setdefault(item, len(table)) for item in items]
        return DictColumn(np.array(codes, dtype=np.int32), list(table))

    @staticmethod
    def concat(parts: list[DictColumn]) -> DictColumn:
        table: dict[str, int] = {}
        arrays: list[Codes] = []
        for part in parts:
            lookup = np.array([table.setdefault(v, len(table)) for v in part.values] + [-1], dtype=np.int32)
            arrays.append(lookup[part.codes])  # code -1 indexes the last entry, which is -1
        codes = np.concatenate(arrays) if arrays else np.empty(0, dtype=np.int32)
        return DictColumn(codes, list(table))


@dataclass(frozen=True, slots=True)
class Columns:
    """`rows` events of one model. NaN is a missing number, code -1 a missing string.

    score: probability of the positive class (binary), of the predicted class (multiclass),
    or the predicted value (regression). error: status was not "ok".
    numbers: other numeric fields of the event by name (schema.numbers), vectors: fields that hold lists of
    schema.vectors[name] numbers, a row of NaN where missing (probabilities: in the order of schema.classes; labels:
    1 for each predicted class; quantiles; embedding). lists: ranked items as 64-bit hashes, best first, where the task
    is ranking, and item_scores beside them where the sample of rows keeps these. raw: the strings of features that were derived (detectors/kinds.py). ids and ts_ms are there for schemas with
    parts, ts_ms for those with kinds too. requests: hashes of the ids of the requests that the events answer, 0 for none.
    """

    rows: int
    numeric: dict[str, Floats]
    categorical: dict[str, DictColumn]
    score: Floats
    label: DictColumn
    latency_ms: Floats
    error: Bools
    numbers: dict[str, Floats] = field(default_factory=dict)
    vectors: dict[str, Matrix] = field(default_factory=dict)
    ids: Ids | None = None
    ts_ms: Ints | None = None
    lists: dict[str, Ragged] = field(default_factory=dict)
    raw: dict[str, DictColumn] = field(default_factory=dict)
    requests: Hashes | None = None

    def take(self, index: Ints | Bools | slice) -> Columns:
        score = self.score[index]
        return Columns(
            rows=len(score),
            numeric={name: values[index] for name, values in self.numeric.items()},
            categorical={name: column.take(index) for name, column in self.categorical.items()},
            score=score,
            label=self.label.take(index),
            latency_ms=self.latency_ms[index],
            error=self.error[index],
            numbers={name: values[index] for name, values in self.numbers.items()},
            vectors={name: values[index] for name, values in self.vectors.items()},
            ids=None if self.ids is None else self.ids[index],
            ts_ms=None if self.ts_ms is None else self.ts_ms[index],
            lists={name: rows.take(index) for name, rows in self.lists.items()},
            raw={name: column.take(index) for name, column in self.raw.items()},
            requests=None if self.requests is None else self.requests[index],
        )

    @staticmethod
    def concat(parts: list[Columns]) -> Columns:
        first = parts[0]
        return Columns(
            rows=sum(p.rows for p in parts),
            numeric={k: np.concatenate([p.numeric[k] for p in parts]) for k in first.numeric},
            categorical={k: DictColumn.concat([p.categorical[k] for p in parts]) for k in first.categorical},
            raw={k: DictColumn.concat([p.raw[k] for p in parts]) for k in first.raw},
            score=np.concatenate([p.score for p in parts]),
            label=DictColumn.concat([p.label for p in parts]),
            latency_ms=np.concatenate([p.latency_ms for p in parts]),
            error=np.concatenate([p.error for p in parts]),
            numbers={k: np.concatenate([p.numbers[k] for p in parts]) for k in first.numbers},
            vectors={k: np.concatenate([p.vectors[k] for p in parts]) for k in first.vectors},
            ids=_joined([p.ids for p in parts]),
            ts_ms=_joined([p.ts_ms for p in parts]),
            lists={k: Ragged.concat([p.lists[k] for p in parts]) for k in first.lists},
            requests=_joined([p.requests for p in parts]),
        )


def _joined(arrays: list[Any]) -> Any:
    """The arrays as one, None where a part lacks it."""
    return None if any(a is None for a in arrays) else np.concatenate(arrays)


@dataclass(frozen=True, slots=True)
class Outcomes:
    """Predictions whose label has come. Classification fills the labels, regression the values.

    weight is +1 for a new outcome and -1 to retract one whose label was corrected.
    ts_ms and label_ts_ms are the times of the prediction and of its label. vectors: what other tasks need, by name
    (probabilities, quantiles, labels and true_labels, gains and ideal; see monitor/payload.py), NaN where missing.
    """

    predicted_label: DictColumn
    predicted_score: Floats
    true_label: DictColumn
    true_value: Floats
    weight: npt.NDArray[np.int64]
    ts_ms: Ints | None = None
    label_ts_ms: Ints | None = None
    vectors: dict[str, Matrix] = field(default_factory=dict)

    @property
    def rows(self) -> int:
        return len(self.predicted_score)

    def take(self, index: Ints | Bools | slice) -> Outcomes:
        return Outcomes(
            predicted_label=self.predicted_label.take(index),
            predicted_score=self.predicted_score[index],
            true_label=self.true_label.take(index),
            true_value=self.true_value[index],
            weight=self.weight[index],
            ts_ms=None if self.ts_ms is None else self.ts_ms[index],
            label_ts_ms=None if self.label_ts_ms is None else self.label_ts_ms[index],
            vectors={name: values[index] for name, values in self.vectors.items()},
        )

    @staticmethod
    def concat(parts: list[Outcomes]) -> Outcomes:
        return Outcomes(
            predicted_label=DictColumn.concat([p.predicted_label for p in parts]),
            predicted_score=np.concatenate([p.predicted_score for p in parts]),
            true_label=DictColumn.concat([p.true_label for p in parts]),
            true_value=np.concatenate([p.true_value for p in parts]),
            weight=np.concatenate([p.weight for p in parts]),
            ts_ms=_joined([p.ts_ms for p in parts]),
            label_ts_ms=_joined([p.label_ts_ms for p in parts]),
            vectors={k: np.concatenate([p.vectors[k] for p in parts]) for k in parts[0].vectors},
        )


TASKS = ("binary", "multiclass", "multilabel", "regression", "ranking", "quantile", "none")


@dataclass(frozen=True, slots=True)
class Schema:
    """Which columns a model has. task: one of TASKS.

    numbers: other numeric fields of the event. vectors: fields that hold a list of numbers, and its length.
    parts: optional summaries (detectors/summaries.py) by name, each with its plain options.
    classes: of a multiclass model whose events may carry probabilities, and of a multilabel one. quantiles: levels
    that a quantile model forecasts, ascending. top_k: the k of metrics "at k".
    """

    numeric: tuple[str, ...]
    categorical: tuple[str, ...]
    task: str = "none"
    positive_label: str | None = None
    category_limit: int = 200  # distinct values of a feature that are counted by name; the rest is __other__
    numbers: tuple[str, ...] = ()
    vectors: dict[str, int] = field(default_factory=dict)
    kinds: dict[str, str] = field(default_factory=dict)  # features that are derived: boolean, datetime, text
    parts: dict[str, dict[str, Any]] = field(default_factory=dict)
    classes: tuple[str, ...] = ()
    quantiles: tuple[float, ...] = ()
    top_k: int = 5
