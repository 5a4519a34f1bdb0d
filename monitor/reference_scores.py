"""A reference described by the scores that describe its windows: quantiles, moments, shares, so that both are drawn together.

Written with the first window that is compared with the reference, in the same transaction: a built one once, the learned one
again where a late window changed it. Rows of a built reference hold for every segment, for it does not tell them apart.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import Protocol

from detectors.mask import hidden_categories, unnamed
from detectors.profile import Profile
from detectors.scoring import describe
from detectors.window import WindowSummary
from monitor.baseline import Baseline
from monitor.checkpoint import EVERY_SEGMENT, ReferenceScore
from monitor.model import Model


class Described(Protocol):
    """What is read and written of a model; see monitor/store/publish.py."""

    def is_described(self, name: str) -> bool: ...
    def describe_reference(self, name: str, rows: list[ReferenceScore]) -> None: ...


def describe_references(tx: Described, model: Model, baseline: Baseline, names: Iterable[str]) -> None:
    """Describe those of the named references that are not described yet, and the learned one where it changed."""
    hidden = hidden_categories(model.schema)
    learned = {baseline.learned_name} if baseline.complete else set()
    for name in sorted(set(names) | learned):
        if name in model.profiles and not tx.is_described(name):
            tx.describe_reference(name, list(_rows(EVERY_SEGMENT, model.profiles[name], hidden)))
        elif name in learned and (baseline.changes or not tx.is_described(name)):
            found = sorted(baseline.merged(model).items())
            tx.describe_reference(name, [row for segment, summary in found for row in _rows(segment, summary, hidden)])


def _rows(segment: str, known: Profile | WindowSummary, hidden: frozenset[str]) -> Iterator[ReferenceScore]:
    for score in describe(known):
        if score.subject in hidden and unnamed(score) is None:
            continue
        value = score.value if math.isfinite(score.value) else None
        yield ReferenceScore(segment, score.subject, score.name, value, score.rows)
