"""Scores of rare events, of one in a thousand to one in a million: as well told apart as any others, and counts that older cells made stay."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics

from detectors.cbpe import expected_auc
from detectors.columns import Columns, DictColumn, Schema
from detectors.performance import PerformanceSummary
from detectors.score_cells import FORMER, FORMER_EDGES, SCORE_EDGES, ReferenceCells, ScoreCells, load_reference, of_former
from detectors.scoring import score_performance
from tests.test_labelled_metrics import measured, outcomes

BINARY = Schema((), (), "binary", "yes")
NAMES = np.array(["no", "yes"])


def rare(n, seed=3):
    rng = np.random.default_rng(seed)
    y = rng.random(n) < 0.01
    return y, np.clip(np.exp(rng.normal(np.where(y, -8.0, -9.5), 1.0)), 0.0, 1.0)


@pytest.mark.parametrize("turned", [False, True])
def test_areas_of_scores_near_0_and_1_are_scikit_learns(turned):
    y, score = rare(20_000)
    if turned:
        y, score = ~y, 1.0 - score
    rows = outcomes(len(y), NAMES[(score >= 0.5) * 1], score, NAMES[y * 1])
    found = measured(BINARY, rows)
    assert found["roc_auc"] == pytest.approx(metrics.roc_auc_score(y, score), abs=1e-3)
    assert found["pr_auc"] == pytest.approx(metrics.average_precision_score(y, score), rel=0.02)


def test_the_estimated_area_of_rare_events_is_that_of_their_rows():
    _, score = rare(20_000)
    missing = DictColumn.missing(len(score))
    y, before = rare(20_000, seed=4)
    cells = ScoreCells.empty(BINARY)
    cells.labels = ReferenceCells.build(outcomes(len(y), NAMES[y * 0], before, NAMES[y * 1]), BINARY).labels
    cells.add(Columns(len(score), {}, {}, score, missing, np.full(len(score), np.nan), np.zeros(len(score), dtype=bool)))
    middle = np.concatenate([[0.0], (SCORE_EDGES[1:] + SCORE_EDGES[:-1]) / 2.0, [1.0]])
    counts = cells.counts.sum(axis=0)
    order = np.argsort(score)
    exact = expected_auc(1.0 - score[order], score[order])
    assert expected_auc(counts * (1.0 - middle), counts * middle) == pytest.approx(exact, abs=1e-3)


def test_scores_that_crowd_elsewhere_say_how_many_pairs_they_do_not_tell_apart():
    y, _ = rare(3000)
    score = 0.5 + 1e-6 * np.random.default_rng(5).normal(y, 1.0)
    summary = PerformanceSummary.empty(BINARY)
    summary.add(outcomes(len(y), NAMES[(score >= 0.5) * 1], score, NAMES[y * 1]))
    (area,) = (s for s in score_performance(summary) if s.name == "roc_auc")
    assert area.evidence["tied_pairs"] > 0.4


def test_counts_of_the_former_cells_are_read_into_todays():
    assert np.isin(FORMER_EDGES, SCORE_EDGES).all()
    rng = np.random.default_rng(6)
    y, score = rng.random(4000) < 0.3, rng.random(4000)
    former = np.zeros((2, len(FORMER_EDGES) + 1), dtype=np.int64)
    np.add.at(former, (y * 1, np.searchsorted(FORMER_EDGES, score, side="right")), 1)
    whole = PerformanceSummary.empty(BINARY)
    whole.add(outcomes(4000, NAMES[(score >= 0.5) * 1], score, NAMES[y * 1]))
    old = PerformanceSummary.empty(BINARY)
    old.confusion, old.sums = dict(whole.confusion), dict(whole.sums)
    old.arrays["score"] = former
    read = PerformanceSummary.from_bytes(old.to_bytes(), BINARY)
    assert read.arrays["score"].shape == whole.arrays["score"].shape and read.arrays["score"].sum() == 4000
    found, now = ({m.name: m.value for m in s.metrics()} for s in (read, whole))
    assert found == pytest.approx(now, abs=1e-3)
    counts = np.stack([former, former, 0 * former])
    data = ReferenceCells("binary", ("negative", "positive", "unknown"), counts).to_bytes()
    assert np.array_equal(load_reference(bytes([FORMER]) + data[1:]).counts, of_former(counts))
    cells = ScoreCells(BINARY, ("negative", "positive", "unknown"), counts[:, 0])
    read_cells = ScoreCells.from_bytes(bytes([FORMER]) + cells.to_bytes()[1:], BINARY)
    assert np.array_equal(read_cells.counts, of_former(counts[:, 0]))
