"""Samples of rows as Evidently's data sets. Imported only in the process of a slow detector.

Features keep their names, texts too where the sample has them, and their descriptors have those of their aliases; predictions are the columns `prediction` (label) and `score`, labels
`target`. Metrics that compare the two see only the rows whose label has come. What is left to be told of the others:

    multiclass   a column of probabilities for each class, where the sample has them and no other label has come
    quantile     its `score`, the forecast nearest to the median, is compared as a value
    ranking      a row for each item of each list: monitor/evidently_lists.py
    embedding    the columns embedding_0, embedding_1, ... of the rows that have one
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from detectors.catalogue import Catalogue
from detectors.columns import Columns, Schema
from detectors.sample import EMBEDDING
from monitor.evidently_names import OF_TWO_CLASSES
from monitor.evidently_texts import Described

TASKS = {"classification": ("binary", "multiclass"), "regression": ("regression", "quantile")}  # of metrics that need labels
RANKING = "ranking"


class Refused(ValueError):
    """A metric that cannot be computed on a sample of rows, and why."""


@dataclass(frozen=True, slots=True)
class Found:
    """What Evidently gave for one metric or preset, what was left out of it and why, and what belongs into the evidence."""

    results: list[dict[str, Any]]
    left_out: list[str] = field(default_factory=list)
    told: dict[str, object] = field(default_factory=dict)

    def joined(self, other: Found) -> Found:
        return Found([*self.results, *other.results], [*self.left_out, *other.left_out], {**self.told, **other.told})


@dataclass(frozen=True, slots=True)
class Samples:
    """The window's rows and the reference's, and the labels of both: None where none came, [] where there are none at all."""

    schema: Schema
    rows: tuple[Columns, Columns | None]
    labels: tuple[list[Any], list[Any]] = field(default_factory=lambda: ([], []))
    texts: tuple[Described, Described] = (Described(), Described())  # their descriptors, row by row
    items: Catalogue | None = None  # what the reference knows of the items of ranked lists

    def plain(self, named: set[str] | frozenset[str] = frozenset(), without: set[str] | frozenset[str] = frozenset()) -> list[Any]:
        """Of all rows, without some of their columns, and without those that one side alone has.

        named: columns that the metric names. Where the reference has one of these not, there is no reference.
        """
        frames: list[Any] = [
            None if side is None else _frame(side, texts).drop(columns=[*without], errors="ignore")
            for side, texts in zip(self.rows, self.texts, strict=True)
        ]
        if frames[1] is not None and named & set(frames[0]) - set(frames[1]):
            frames[1] = None
        return self._datasets(frames)

    def alone(self) -> dict[str, str]:
        """The columns that `plain` leaves out because one side alone has values of them, and which side has none."""
        window, reference = (None if side is None else _frame(side, t) for side, t in zip(self.rows, self.texts, strict=True))
        if window is None or reference is None:
            return {}
        lacking = {"reference": set(window) - set(reference), "window": set(reference) - set(window)}
        return {column: f"no row of the {side} has one" for side, columns in lacking.items() for column in sorted(columns)}

    def _datasets(self, frames: list[Any]) -> list[Any]:
        """Evidently takes no column that only one of two data sets has."""
        there = [frame for frame in frames if frame is not None]
        common = [column for column in there[0] if all(column in frame for frame in there)]
        sides = zip(frames, self.texts, strict=True)
        return [None if frame is None else _dataset(frame[common], self.schema, self.rows, texts) for frame, texts in sides]

    def groups(self, column: str, most: int) -> Iterator[tuple[str, Samples]]:
        """The rows of each value of a feature, of kind category or of few numbers, or of the prediction. Raises Refused."""
        found = [None if side is None else values_of(side, t, column) for side, t in zip(self.rows, self.texts, strict=True)]
        mine = found[0]
        if mine is None:
            raise Refused(f"the sample has no feature {column!r} to group by")
        values = sorted({value for value in mine if value is not None})
        if len(values) > most:
            raise Refused(f"{column} has {len(values)} values, more than {most} groups")
        for value in values:
            sides = zip(self.rows, self.labels, self.texts, found, strict=True)
            rows, labels, texts = zip(*(_of_value(*side, value) for side in sides), strict=True)
            yield value, replace(self, rows=(rows[0], rows[1]), labels=(labels[0], labels[1]), texts=(texts[0], texts[1]))

    def labelled(self, metric: str, room: str) -> list[Any]:
        """Of the rows that have a label. The reference is left out where it was built without any."""
        tasks = TASKS[room][:1] if metric in OF_TWO_CLASSES else TASKS[room]
        if self.schema.task not in tasks:
            raise Refused(f"{metric} is of task {' or '.join(tasks)}; this model's is {self.schema.task}")
        out: list[Any] = []
        for rows, given in zip(self.rows, self.labels, strict=True):
            there = np.array([i for i, label in enumerate(given) if label is not None], dtype=np.int64)
            has = rows is not None and len(there) > 0
            target = [given[i] for i in there.tolist()]
            out.append(_outcomes(rows.take(there), self.schema, target) if has and rows is not None else None)
        if out[0] is None:
            raise Refused(none_came(self.rows[0]))
        return out

    def embedded(self, metric: str) -> list[Any]:
        """Of the rows that have an embedding, with its numbers as columns."""
        out = []
        for rows, name in zip(self.rows, ("window", "reference"), strict=True):
            found = None if rows is None else rows.vectors.get(EMBEDDING)
            there = np.zeros(0, dtype=np.int64) if found is None else np.flatnonzero(~np.isnan(found).any(axis=1))
            if rows is None or not len(there):
                anew = ": build it anew, with this metric in the config" if name == "reference" else ""
                raise Refused(f"{metric}: the {name}'s sample has no embedding{anew}")
            out.append(_frame(rows.take(there), embedded=True))
        return self._datasets(out)


def values_of(rows: Columns, texts: Described, column: str) -> list[str | None] | None:
    """A column's values as strings; None where the rows have no such column."""
    numbers = {**rows.numeric, **texts.numeric}
    if column in numbers:
        return [None if v != v else f"{v:g}" for v in numbers[column].tolist()]
    if column in texts.categorical:
        return [None if v is None or v != v else str(v) for v in texts.categorical[column].tolist()]
    found = rows.label if column == "prediction" else rows.categorical.get(column)
    return None if found is None else found.to_list()


def _of_value(
    rows: Columns | None, labels: list[Any], texts: Described, found: list[str | None] | None, value: str
) -> tuple[Columns | None, list[Any], Described]:  # fmt: skip
    there = [] if found is None else [i for i, other in enumerate(found) if other == value]
    if rows is None or not there:
        return None, [], Described()
    index = np.array(there, dtype=np.int64)
    return rows.take(index), [labels[i] for i in there] if labels else [], texts.take(index)


def none_came(rows: Columns) -> str:
    """Why there is nothing to compare with labels."""
    return f"no label of the window's {rows.rows} sampled rows has come"


def _frame(rows: Columns, described: Described | None = None, embedded: bool = False) -> Any:
    """Rows as a data frame. Columns without any value are left out: Evidently's statistics refuse them."""
    import pandas as pd

    texts = {**{f: c.to_list() for f, c in rows.categorical.items()}, "prediction": rows.label.to_list()}
    prose = {f: c.to_list() for f, c in rows.raw.items()}
    wide = rows.vectors[EMBEDDING] if embedded else np.empty((rows.rows, 0), dtype=np.float32)
    vectors = {f"{EMBEDDING}_{i}": wide[:, i].astype(np.float64) for i in range(wide.shape[1])}
    values = {} if described is None else described.values()
    return pd.DataFrame({**_numbers(rows), **texts, **prose, **vectors, **values}).dropna(axis="columns", how="all")


def _numbers(rows: Columns) -> dict[str, Any]:
    return {**rows.numeric, **rows.numbers, "score": rows.score, "latency_ms": rows.latency_ms}


def _dataset(data: Any, schema: Schema, sides: tuple[Columns, Columns | None], own: Described) -> Any:
    """An Evidently data set of a frame of either side's rows, with the kinds of its columns."""
    from evidently import DataDefinition, Dataset

    rows = sides[0]
    kinds = (_numbers(rows), (*rows.categorical, "prediction"), rows.raw, own.numeric, own.categorical)
    numeric, categorical, text, counts, flags = ([c for c in kind if c in data] for kind in kinds)
    known = {*numeric, *categorical, *text, *counts, *flags}
    vectors = [c for c in data if c not in known]
    descriptors = [c for c in numeric if schema.kinds.get(c.rpartition(".")[0]) == "text"]
    definition = DataDefinition(
        numerical_columns=numeric, categorical_columns=categorical, text_columns=text, numerical_descriptors=[*descriptors, *counts],
        categorical_descriptors=flags, embeddings={EMBEDDING: vectors} if vectors else None,
    )  # fmt: skip
    return Dataset.from_pandas(data, data_definition=definition)


def _outcomes(rows: Columns, schema: Schema, target: list[Any]) -> Any:
    """Predictions and labels alone: a column for the probability of each class must have the class's name."""
    import pandas as pd
    from evidently import BinaryClassification, DataDefinition, Dataset, MulticlassClassification, Regression

    data = pd.DataFrame({"prediction": rows.label.to_list(), "score": rows.score, "target": target})
    if schema.task in TASKS["regression"]:
        definition = DataDefinition(numerical_columns=["score", "target"], regression=[Regression(prediction="score")])
        return Dataset.from_pandas(data[["score", "target"]], data_definition=definition)
    chances: list[str] = []
    found = rows.vectors.get("probabilities")
    if (
        schema.task == "multiclass"
        and _all_there(found)
        and not {*schema.classes} & {*data.columns}
        and {*target} <= {*schema.classes}
    ):
        assert found is not None
        chances = list(schema.classes)
        data[chances] = found.astype(np.float64)
    kind: Any = MulticlassClassification(target="target", prediction_labels="prediction", prediction_probas=chances or None)
    if schema.task == "binary":
        scored = "score" if data["score"].notna().all() else None
        kind = BinaryClassification(
            target="target", prediction_labels="prediction", prediction_probas=scored, pos_label=schema.positive_label
        )
    definition = DataDefinition(
        numerical_columns=["score", *chances], categorical_columns=["prediction", "target"], classification=[kind]
    )  # fmt: skip
    return Dataset.from_pandas(data, data_definition=definition)


def _all_there(matrix: Any) -> bool:
    return matrix is not None and len(matrix) > 0 and not bool(np.isnan(matrix).any())
