"""Samples of rows as Evidently's data sets. Imported only in the process of a slow detector.

Features keep their names, texts too where the sample has them, and their descriptors have those of their aliases; predictions are the columns `prediction` (label) and `score`, labels
`target`. Metrics that compare the two see only the rows whose label has come. What is left to be told of the others:

    multiclass   a column of probabilities for each class, where the sample has them and no other label has come
    quantile     its `score`, the forecast nearest to the median, is compared as a value
    ranking      each request is a user, and has a row for each item: `user_id`, `item_id` (a hash), its place as `prediction`, its
                 relevance as `target`, and the request's features. Relevant items that the list lacks stand far behind its end
    embedding    the columns embedding_0, embedding_1, ... of the rows that have one
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from detectors.columns import Columns, Schema
from detectors.sample import EMBEDDING
from monitor.evidently_names import OF_TWO_CLASSES
from monitor.evidently_texts import Described

FAR = 1_000_000  # the place of a relevant item that a list lacks
TASKS = {"classification": ("binary", "multiclass"), "regression": ("regression", "quantile")}  # of metrics that need labels
RANKING = "ranking"


class Refused(ValueError):
    """A metric that cannot be computed on a sample of rows, and why."""


@dataclass(frozen=True, slots=True)
class Samples:
    """The window's rows and the reference's, and the labels of both: None where none came, [] where there are none at all."""

    schema: Schema
    rows: tuple[Columns, Columns | None]
    labels: tuple[list[Any], list[Any]] = field(default_factory=lambda: ([], []))
    texts: tuple[Described, Described] = (Described(), Described())  # their descriptors, row by row

    def plain(self, without: set[str] | frozenset[str] = frozenset()) -> list[Any]:
        """Of all rows, without some of their texts."""
        out: list[Any] = []
        for side, texts in zip(self.rows, self.texts, strict=True):
            kept = None if side is None else replace(side, raw={f: c for f, c in side.raw.items() if f not in without})
            out.append(None if kept is None else _dataset(kept, self.schema, texts))
        return out

    def groups(self, column: str, most: int) -> Iterator[tuple[str, Samples]]:
        """The rows of each value of a feature, of kind category or of few numbers, or of the prediction. Raises Refused."""
        found = [None if side is None else _values(side, t, column) for side, t in zip(self.rows, self.texts, strict=True)]
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
            raise Refused(_none_came(self.rows[0]))
        return out

    def ranked(self, metric: str, labelled: bool) -> list[Any]:
        """Of the items of ranked lists; labelled: only of lists that have a label."""
        if self.schema.task != RANKING:
            raise Refused(f"{metric} is of task {RANKING}; this model's is {self.schema.task}")
        if not self.rows[0].lists or not (self.rows[0].lists["items"].lengths > 0).any():
            raise Refused("the window's sample holds no items: its rows have none, or `mask` has the prediction")
        out = [_ranked(side, self.schema, of if labelled else None) for side, of in zip(self.rows, self.labels, strict=True)]
        if out[0] is None:
            raise Refused(_none_came(self.rows[0]))
        return out

    def interactions(self) -> Any:
        """The relevant items of the reference's lists, for metrics that ask for training data. Raises Refused."""
        found = _ranked(self.rows[1], self.schema, self.labels[1], only_relevant=True)
        if found is None:
            raise Refused("the reference keeps no ranked lists with labels: build it anew, with this metric in the config")
        return found

    def embedded(self, metric: str) -> list[Any]:
        """Of the rows that have an embedding, with its numbers as columns."""
        out = []
        for rows, name in zip(self.rows, ("window", "reference"), strict=True):
            found = None if rows is None else rows.vectors.get(EMBEDDING)
            there = np.zeros(0, dtype=np.int64) if found is None else np.flatnonzero(~np.isnan(found).any(axis=1))
            if rows is None or not len(there):
                anew = ": build it anew, with this metric in the config" if name == "reference" else ""
                raise Refused(f"{metric}: the {name}'s sample has no embedding{anew}")
            out.append(_dataset(rows.take(there), self.schema, embedded=True))
        return out


def _values(rows: Columns, texts: Described, column: str) -> list[str | None] | None:
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


def _none_came(rows: Columns) -> str:
    return f"no label of the window's {rows.rows} sampled rows has come"


def _dataset(rows: Columns, schema: Schema, described: Described | None = None, embedded: bool = False) -> Any:
    """An Evidently data set. Columns without any value are left out: its statistics refuse them."""
    import pandas as pd
    from evidently import DataDefinition, Dataset

    numbers = {**rows.numeric, **rows.numbers, "score": rows.score, "latency_ms": rows.latency_ms}
    texts = {**{f: c.to_list() for f, c in rows.categorical.items()}, "prediction": rows.label.to_list()}
    prose = {f: c.to_list() for f, c in rows.raw.items()}
    wide = rows.vectors[EMBEDDING] if embedded else np.empty((rows.rows, 0), dtype=np.float32)
    vectors = {f"{EMBEDDING}_{i}": wide[:, i].astype(np.float64) for i in range(wide.shape[1])}
    own = described or Described()
    data = pd.DataFrame({**numbers, **texts, **prose, **vectors, **own.values()}).dropna(axis="columns", how="all")
    numeric, categorical, text, counts, flags = (
        [c for c in kind if c in data] for kind in (numbers, texts, prose, own.numeric, own.categorical)
    )
    descriptors = [c for c in numeric if schema.kinds.get(c.rpartition(".")[0]) == "text"]
    definition = DataDefinition(
        numerical_columns=numeric, categorical_columns=categorical, text_columns=text, numerical_descriptors=[*descriptors, *counts],
        categorical_descriptors=flags, embeddings={EMBEDDING: list(vectors)} if vectors else None,
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


def _ranked(rows: Columns | None, schema: Schema, labels: list[Any] | None, only_relevant: bool = False) -> Any:
    """Items as rows, best first; None where there are none. labels: what relevances() says of each list, None: not wanted."""
    import pandas as pd
    from evidently import DataDefinition, Dataset, Recsys

    if rows is None or "items" not in rows.lists:
        return None
    items = rows.lists["items"]
    told = [label if isinstance(label, list) else None for label in labels or ()]
    chosen = range(rows.rows) if labels is None else [i for i, label in enumerate(told) if label is not None]
    users: list[int] = []
    names: list[str] = []
    places: list[int] = []
    gains: list[float] = []
    for i in chosen:
        found = items.row(i)
        listed, lacking = ([], []) if labels is None else told[i] or ([], [])
        own = [] if found is None else [f"{item:016x}" for item in found.tolist()]
        more = [] if only_relevant else [f"lacking-{i}-{j}" for j in range(len(lacking))]
        names += [*own, *more]
        users += [i] * (len(own) + len(more))
        places += [*range(1, len(own) + 1), *[FAR] * len(more)]
        gains += [*listed, *[0.0] * (len(own) - len(listed)), *lacking[: len(more)]]
    of = np.array(users, dtype=np.int64)
    numbers = {f: v[of] for f, v in rows.numeric.items()}
    texts = {f: np.array(c.to_list(), dtype=object)[of] for f, c in rows.categorical.items()}
    data = pd.DataFrame({**numbers, **texts, "user_id": of, "item_id": names, "prediction": places})
    if labels is not None:
        data["target"] = gains
    if only_relevant:
        data = data[data["target"] > 0]
    if data.empty:
        return None
    definition = DataDefinition(
        numerical_columns=[*numbers, "prediction", *(["target"] if labels is not None else [])], categorical_columns=list(texts),
        ranking=[Recsys(recommendations_type="rank")],
    )  # fmt: skip
    return Dataset.from_pandas(data, data_definition=definition)
