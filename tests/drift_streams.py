"""Seeded streams of a classifier's errors over River's generators, with the four kinds of concept drift.

A model learns the first concept (linear where the concept is); then it is never taught again, and its errors (1 wrong, 0 right) on
the stream are what the detectors get. Where the concept changes is known.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

GENERATORS = ("sea", "agrawal", "hyperplane", "sine")
KINDS = ("sudden", "gradual", "incremental", "recurring")
TAUGHT = 1500


@dataclass(frozen=True)
class ErrorStream:
    """errors: shape (rows,). changes: the rows at which the concept begins to change."""

    errors: npt.NDArray[np.float64]
    changes: tuple[int, ...]


def _concept(generator: str, variant: int, seed: int) -> Any:
    from river.datasets import synth

    if generator == "sea":
        return synth.SEA(variant=(2, 3, 0, 1)[variant % 4], seed=seed, noise=0.05)
    if generator == "agrawal":
        return synth.Agrawal(classification_function=(0, 2, 3, 6)[variant % 4], seed=seed)
    if generator == "hyperplane":
        plane = (1, 5, 9, 3)[variant % 4]  # the seed is the plane
        return synth.Hyperplane(seed=plane, n_features=4, n_drift_features=0, noise_percentage=0.05)
    return synth.Sine(classification_function=(0, 1, 2, 3)[variant % 4], seed=seed)


@cache
def error_stream(generator: str, kind: str, rows: int = 4000, seed: int = 1) -> ErrorStream:
    """The errors of a tree that learned the first concept, on a stream of that kind of drift."""
    from river.datasets import synth
    from sklearn.linear_model import LogisticRegression
    from sklearn.tree import DecisionTreeClassifier

    half, quarter = rows // 2, rows // 4
    if kind == "incremental" and generator == "hyperplane":
        stream: Any = synth.Hyperplane(seed=1, n_features=4, n_drift_features=2, mag_change=0.0005, noise_percentage=0.05, sigma=0)
        changes: tuple[int, ...] = (0,)  # the plane rotates from the first row on
    elif kind in ("sudden", "gradual"):
        width = rows // 150 if kind == "sudden" else quarter  # a narrower one overflows in River
        before, after = _concept(generator, 0, seed), _concept(generator, 1, seed + 1)
        stream = synth.ConceptDriftStream(before, after, position=half, width=width, seed=seed)
        changes = (half if kind == "sudden" else half - width // 2,)
    else:
        order = (0, 1, 2, 3) if kind == "incremental" else (0, 1, 0, 1)
        parts = [itertools.islice(iter(_concept(generator, v, seed + i)), quarter) for i, v in enumerate(order)]
        stream, changes = itertools.chain(*parts), (quarter, 2 * quarter, 3 * quarter)
    linear = generator in ("sea", "hyperplane")
    model = LogisticRegression(C=100.0) if linear else DecisionTreeClassifier(max_depth=6, random_state=0)
    model.fit(*_table(itertools.islice(iter(_concept(generator, 0, seed + 50)), TAUGHT)))
    x, y = _table(itertools.islice(iter(stream), rows))
    return ErrorStream((model.predict(x) != y).astype(np.float64), changes)


def _table(rows: Any) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    pairs = [([float(v) for v in x.values()], int(y)) for x, y in rows]
    return np.array([x for x, _ in pairs]), np.array([y for _, y in pairs])
