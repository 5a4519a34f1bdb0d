"""Evidently on the sampled texts: descriptors as columns for its metrics, and the drift of contents. Imported only in the process of a slow detector.

Each descriptor is computed once, by Evidently itself, over all rows of a side. They see what the sample keeps: texts cut to
`sample.text_chars`. Nothing is downloaded: a corpus of NLTK is used where this machine has it.
"""

from __future__ import annotations

import importlib.util
import inspect
import math
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from detectors.columns import Columns
from detectors.score import Score
from monitor.evidently_descriptors import CORPORA, alias_of, columns_read

Array = npt.NDArray[Any]
TEXT_SCORE = "evidently.drift_score"
NEEDS = {"IsValidSQL": "sqlvalidator"}  # packages beside Evidently's own
TYPES: dict[str, type] = {"str": str, "int": int, "float": float, "bool": bool, "list": list, "dict": dict}


@dataclass(frozen=True, slots=True)
class Described:
    """Descriptors of the rows of one side, by alias: numbers, or categories; and why others are lacking."""

    numeric: dict[str, Array] = field(default_factory=dict)
    categorical: dict[str, Array] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)

    def take(self, index: Array) -> Described:
        numeric, categorical = ({a: v[index] for a, v in kind.items()} for kind in (self.numeric, self.categorical))
        return Described(numeric, categorical, self.failed)

    def values(self) -> dict[str, Array]:
        return {**self.numeric, **self.categorical}


def described(rows: Columns | None, wanted: list[dict[str, Any]], side: str) -> Described:
    """wanted: {descriptor, options}, as in the config. side: the name of the rows, for reasons."""
    out = Described()
    if rows is None or not wanted:
        return out
    frame = _frame(rows)
    for entry in wanted:
        name, options = entry["descriptor"], entry.get("options", {})
        alias = alias_of(name, options)
        try:
            if alias in frame or alias in rows.numeric:
                raise ValueError(f"there is a column {alias!r} already: give it another alias")
            for column in columns_read(options):
                if column not in frame or frame[column].isna().all():
                    anew = ": build it anew, with `sample: {texts: [...]}`" if side == "reference" else ""
                    raise ValueError(f"the {side} holds no texts of {column!r}{anew}")
            kind, values = _column(frame, name, {**options, "alias": alias}, columns_read(options))
        except Exception as error:  # noqa: BLE001  a descriptor that fails takes no other one with it
            words = " ".join(str(error).split())[:300]
            out.failed[alias] = words if type(error) is ValueError else f"{type(error).__name__}: {words}"
        else:
            (out.numeric if kind == "num" else out.categorical)[alias] = values
    return out


def _frame(rows: Columns) -> Any:
    import pandas as pd

    strings = {**rows.categorical, "prediction": rows.label, **rows.raw}
    return pd.DataFrame({f: pd.Series(c.to_list(), dtype=object) for f, c in strings.items()})


def _column(frame: Any, name: str, options: dict[str, Any], reads: list[str]) -> tuple[str, Array]:
    """Evidently's kind of a column, and its values. Where it fails on missing texts (JSONSchemaMatch does), of the rows that have one."""
    made = _made(name, options)
    try:
        try:
            kind, found = _generated(made, frame)
        except Exception:
            there = frame[reads].notna().all(axis="columns")
            if there.all():
                raise
            kind, found = _generated(made, frame[there])
            found = found.astype(object).reindex(frame.index)
    except LookupError as error:
        lacking = _corpora(name, options)
        if not lacking:
            raise
        or_not = ", or write lemmatize: false" if "lemmatize" in _arguments(name) else ""
        fix = f"python -m nltk.downloader -d {sys.prefix}/nltk_data {' '.join(lacking)}"
        raise ValueError(f"{name} needs NLTK's {' and '.join(lacking)}, which this machine lacks: {fix}{or_not}") from error
    values = found.to_numpy()
    return kind, values.astype(np.float64) if kind == "num" else values.astype(object)


def _generated(made: Any, frame: Any) -> tuple[str, Any]:
    from evidently import DataDefinition, Dataset

    data = Dataset.from_pandas(frame.copy(), data_definition=DataDefinition(text_columns=list(frame)), descriptors=[made])
    added = [*data.data_definition.numerical_descriptors, *data.data_definition.categorical_descriptors]
    if len(added) != 1:
        raise ValueError(f"Evidently made {len(added)} columns of it, not one")
    return ("num" if data.data_definition.numerical_descriptors else "cat"), data.as_dataframe()[added[0]]


def _made(name: str, options: dict[str, Any]) -> Any:
    import evidently.descriptors as descriptors
    import nltk

    nltk.download = lambda *args, **kwargs: False  # it would wait for a network that is not there
    package = NEEDS.get(name)
    if package is not None and importlib.util.find_spec(package) is None:
        raise ValueError(f"{package} is not installed: pip install {package}")
    kind = getattr(descriptors, name, None)
    if kind is None:
        raise ValueError(f"Evidently has no descriptor {name!r}")
    schema = options.get("expected_schema")
    if isinstance(schema, dict):
        unknown = [t for t in schema.values() if t not in TYPES]
        if unknown:
            raise ValueError(f"expected_schema names a type {unknown[0]!r}; allowed: {', '.join(TYPES)}")
        options = {**options, "expected_schema": {key: TYPES[t] for key, t in schema.items()}}
    return kind(**options)


def _arguments(name: str) -> Mapping[str, inspect.Parameter]:
    import evidently.descriptors as descriptors

    return inspect.signature(getattr(descriptors, name)).parameters


def _corpora(name: str, options: dict[str, Any]) -> tuple[str, ...]:
    """What of NLTK's a descriptor looks up."""
    lemmatize = _arguments(name).get("lemmatize")
    if lemmatize is not None and options.get("lemmatize", lemmatize.default):
        return ("wordnet",)
    return CORPORA.get(name, ())


def score_texts(window: Columns, reference: Columns | None, features: list[str], name: str) -> list[Score]:
    """How well a classifier tells the window's texts from the reference's (ROC AUC): Evidently's drift of text content.

    The limit is 0.55, or, where the reference has 1,000 texts or fewer, what random scores reach in one of twenty draws.
    """
    import pandas as pd
    from evidently.legacy.calculations.stattests.registry import get_stattest
    from evidently.legacy.core import ColumnType

    out = []
    for feature in features:
        sides = []
        for rows in (reference, window):
            column = None if rows is None else rows.raw.get(feature)
            sides.append(pd.Series([] if column is None else column.to_list(), dtype=object).dropna())
        before, after = sides
        if before.empty or after.empty:
            side = (
                "reference holds no texts: build it anew, with `sample: {texts: [...]}`" if before.empty else "window has no texts"
            )
            out.append(Score(feature, TEXT_SCORE, math.nan, len(after), name, {"reason": f"the {side}"}))
            continue
        test = get_stattest(before, after, ColumnType.Text, None)
        try:
            found = test(before, after, ColumnType.Text, None)
        except ValueError as error:  # too few texts, or none with a word in common
            out.append(Score(feature, TEXT_SCORE, math.nan, len(after), name, {"reason": f"{test.name}: {error}"}))
            continue
        evidence: dict[str, object] = {"test": test.name, "drifted": bool(found.drifted), "texts": f"{len(before)}, {len(after)}"}
        out.append(Score(feature, TEXT_SCORE, float(found.drift_score), len(after), name, evidence))
    return out
