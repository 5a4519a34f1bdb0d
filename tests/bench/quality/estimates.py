"""Error of estimated performance beside NannyML's, on its own data. `python -m tests.bench.quality.estimates`

For each data set of the NannyML wheel that has labels for its analysis period: the mean distance of the estimate from
what the labels show, over windows of one size, and the share of windows whose realised value lies in the estimate's band.
NannyML sees all rows; CBPE here sees score cells, DLE a sample of 1,000 rows a window.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import nannyml
import numpy as np
from rich.console import Console
from rich.table import Table

from detectors.cbpe import BAND
from detectors.columns import Columns, DictColumn, Outcomes, Schema
from detectors.dle import estimate_losses, fit_loss, window_errors
from tests.slow_world import plain
from tests.test_estimated import BINARY, estimate, reference_of

SAMPLE = 1000
Row = tuple[str, str, float, float, float, float]  # data set, metric, ours, theirs, ours in band, theirs in band


def _texts(values: Any) -> list[str]:
    return [str(int(v)) for v in values]


def _summary(name: str, metric: str, ours: list[tuple[float, float, float]], theirs: Any) -> Row:
    """ours: (value, low, high) by window. theirs: NannyML's columns of the metric."""
    realised = theirs["realized"].to_numpy(float)
    own = np.array(ours)
    low, high = (theirs[f"{end}_confidence_boundary"].to_numpy(float) for end in ("lower", "upper"))
    errors = np.abs(own[:, 0] - realised).mean(), np.abs(theirs["value"].to_numpy(float) - realised).mean()
    inside = ((own[:, 1] <= realised) & (realised <= own[:, 2])).mean(), ((low <= realised) & (realised <= high)).mean()
    return name, metric, float(errors[0]), float(errors[1]), float(inside[0]), float(inside[1])


def binary(name: str, loaded: Any, score: str, label: str, truth: str, size: int) -> Iterator[Row]:
    reference, analysis, targets = loaded
    analysis = analysis.join(targets[[truth]]) if truth not in analysis else analysis
    reference, analysis = (d.dropna(subset=[score, label, truth]).reset_index(drop=True) for d in (reference, analysis))
    cbpe = nannyml.CBPE(
        y_pred_proba=score, y_pred=label, y_true=truth, metrics=BINARY, chunk_size=size, problem_type="classification_binary"
    )
    theirs = cbpe.fit(reference).estimate(analysis).filter(period="analysis").to_df()
    schema = Schema((), (), "binary", "1", parts={"score_cells": {}})
    profile = reference_of(schema, reference[score], _texts(reference[label]), _texts(reference[truth]))
    pieces = [analysis.iloc[c["start_index"] : c["end_index"] + 1] for c in theirs["chunk"].to_dict("records")]
    found = [estimate(schema, profile, p[score], _texts(p[label]))[0] for p in pieces]
    for metric in BINARY:
        yield _summary(name, metric, [(f[metric], f[f"{metric}_low"], f[f"{metric}_high"]) for f in found], theirs[metric])


def multiclass(name: str, loaded: Any, size: int) -> Iterator[Row]:
    reference, analysis, targets = loaded
    analysis = analysis.join(targets[["y_true"]])
    names = {c.removeprefix("y_pred_proba_"): c for c in reference if c.startswith("y_pred_proba_")}
    metrics = ["accuracy", "precision", "recall", "f1"]
    cbpe = nannyml.CBPE(
        y_pred_proba=names,
        y_pred="y_pred",
        y_true="y_true",
        metrics=metrics,
        chunk_size=size,
        problem_type="classification_multiclass",
    )
    theirs = cbpe.fit(reference).estimate(analysis).filter(period="analysis").to_df()

    def confidence(data: Any) -> Any:
        return np.array([row[names[row["y_pred"]]] for row in data.to_dict("records")])

    schema = Schema((), (), "multiclass", parts={"score_cells": {}})
    profile = reference_of(schema, confidence(reference), reference["y_pred"], reference["y_true"])
    pieces = [analysis.iloc[c["start_index"] : c["end_index"] + 1] for c in theirs["chunk"].to_dict("records")]
    found = [estimate(schema, profile, confidence(p), p["y_pred"])[0] for p in pieces]
    for metric in metrics:
        yield _summary(name, metric, [(f[metric], f[f"{metric}_low"], f[f"{metric}_high"]) for f in found], theirs[metric])


def regression(name: str, loaded: Any, size: int) -> Iterator[Row]:
    reference, analysis, targets = loaded
    analysis = analysis.join(targets[["y_true"]])
    numeric = ["car_age", "km_driven", "price_new", "accident_count", "door_count"]
    texts = ["fuel", "transmission"]
    metrics = ["mae", "mse", "rmse"]
    dle = nannyml.DLE(feature_column_names=numeric + texts, y_pred="y_pred", y_true="y_true", metrics=metrics, chunk_size=size)
    theirs = dle.fit(reference).estimate(analysis).filter(period="analysis").to_df()

    def columns(data: Any) -> Columns:
        return plain({c: data[c] for c in numeric}, data["y_pred"], None, {c: data[c].astype(str) for c in texts})

    n = len(reference)
    nothing = DictColumn.missing(n)
    values = (reference[c].to_numpy(float) for c in ("y_pred", "y_true"))
    model = fit_loss(columns(reference), Outcomes(nothing, next(values), nothing, next(values), np.ones(n, dtype=np.int64)))
    found: list[dict[str, tuple[float, float, float]]] = []
    for chunk in theirs["chunk"].to_dict("records"):
        piece = analysis.iloc[chunk["start_index"] : chunk["end_index"] + 1]
        sampled = piece.sample(min(SAMPLE, len(piece)), random_state=0)
        ours = estimate_losses(model, columns(sampled))
        errors = window_errors(model, {k: v for k, (v, _) in ours.items()}, len(piece))
        bands = {k: BAND * float(np.hypot(errors[k], e)) for k, (_, e) in ours.items()}
        found.append({k: (v, v - bands[k], v + bands[k]) for k, (v, _) in ours.items()})
    for metric in metrics:
        yield _summary(name, metric, [f[metric] for f in found], theirs[metric])


def rows(quick: bool = False) -> Iterator[Row]:
    yield from binary("car loans", nannyml.load_synthetic_car_loan_dataset(), "y_pred_proba", "y_pred", "repaid", 5000)
    if quick:
        return
    yield from binary(
        "employment", nannyml.load_us_census_ma_employment_data(), "predicted_probability", "prediction", "employed", 5000
    )
    yield from multiclass("credit cards", nannyml.load_synthetic_multiclass_classification_dataset(), 6000)
    yield from regression("car prices", nannyml.load_synthetic_car_price_dataset(), 6000)


def main(quick: bool = False) -> None:
    """quick: of the first data set alone."""
    table = Table(
        "data", "metric", "mean |error|", "NannyML's", "in band", "NannyML's", title="Performance estimated before labels"
    )
    for name, metric, ours, theirs, inside, their_inside in rows(quick):
        table.add_row(name, metric, f"{ours:.5g}", f"{theirs:.5g}", f"{inside:.0%}", f"{their_inside:.0%}")
    Console(width=110).print(table)


if __name__ == "__main__":
    main()
