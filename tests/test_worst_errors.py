"""The worst segment by labels: rows leave their cells with what waits, and a planted segment of wrong predictions is found."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from scipy.stats import ttest_ind
from statsmodels.stats.proportion import proportions_ztest

from detectors.coarse_cells import cuttings_of
from detectors.columns import Columns, DictColumn, Outcomes, Schema
from detectors.expression import fields_of, parse_expression
from detectors.profile import Profile
from detectors.ragged import Ragged
from detectors.score import Score
from detectors.truth import TRUE
from detectors.worst_drop import counted, score_segments
from detectors.worst_errors import PART, VECTOR, WorstErrors
from monitor.performance_pane import leaves_payload
from monitor.references import build_reference
from monitor.runtime import build_models
from monitor.waiting_cells import cells_of, heads_of, marks_of, split_heads, with_heads
from tests.replayed import START, open_replay, replay_events, scores_of

FEATURES = ["income", "age", "region"]


def schema(task: str) -> Schema:
    return Schema(("income", "age"), ("region",), task, parts={PART: {"features": FEATURES, "marks": []}})


def rows(rng: np.random.Generator, n: int) -> Columns:
    age = rng.integers(18, 80, n).astype(float)
    age[rng.random(n) < 0.1] = np.nan
    region = DictColumn.from_list(rng.choice(["N", "S", "E", "it's"], n).tolist())
    return Columns(
        rows=n, numeric={"income": rng.gamma(2, 1000, n), "age": age}, categorical={"region": region},
        score=np.full(n, np.nan), label=DictColumn.missing(n), latency_ms=np.full(n, np.nan), error=np.zeros(n, dtype=bool),
    )  # fmt: skip


def waiting(columns: Columns, task: str) -> tuple[Schema, Profile, np.ndarray]:
    """The schema with the reference's mark, that reference, and the cells as outcomes get them back from the payload."""
    s = schema(task)
    profile = Profile.build(columns, s, "r")
    s.parts[PART]["marks"] = marks_of(s, [profile])
    payload = with_heads(None, heads_of(s, profile, columns))
    assert payload is not None
    return s, profile, cells_of(s, split_heads(payload)[1])


def outcomes(cells: np.ndarray, wrong: np.ndarray) -> Outcomes:
    n = len(wrong)
    return Outcomes(
        predicted_label=DictColumn(wrong.astype(np.int32), ["a", "b"]), predicted_score=np.full(n, np.nan),
        true_label=DictColumn(np.zeros(n, dtype=np.int32), ["a"]), true_value=np.full(n, np.nan),
        weight=np.ones(n, dtype=np.int64), vectors={VECTOR: cells},
    )  # fmt: skip


def score_worst_errors(part: WorstErrors, profile: Profile | None, least_rows: int) -> list[Score]:
    found = counted(part, profile, None, {})
    return [] if found is None else list(score_segments(part, found, least_rows, "r"))


def inside(columns: Columns, evidence: dict[str, object]) -> np.ndarray:
    return np.asarray(parse_expression(str(evidence["where"]), fields_of(schema("binary"))).truth(columns) == TRUE)


def test_a_planted_segment_of_wrong_predictions_is_found_and_its_test_is_that_of_statsmodels():
    rng = np.random.default_rng(1)
    columns = rows(rng, 8000)
    region, age = np.array(columns.categorical["region"].to_list()), columns.numeric["age"]
    wrong = rng.random(8000) < np.where((region == "it's") & (age < 30), 0.5, 0.05)
    s, profile, cells = waiting(columns, "multiclass")
    part = WorstErrors.empty(s)
    part.add(outcomes(cells, wrong))
    gap, p = score_worst_errors(part, profile, 50)
    assert (gap.name, p.name) == ("segment_accuracy_gap", "segment_accuracy_gap_p")
    assert "it's" in str(gap.evidence["where"]) and "age < " in str(gap.evidence["where"])
    there = inside(columns, gap.evidence)
    assert gap.rows == there.sum() == gap.evidence["rows"]
    assert gap.value == pytest.approx((~wrong[~there]).mean() - (~wrong[there]).mean())
    assert gap.evidence["inside"] == pytest.approx((~wrong[there]).mean(), abs=1e-6)
    _, expected = proportions_ztest([wrong[there].sum(), wrong[~there].sum()], [there.sum(), (~there).sum()], alternative="larger")
    assert p.value == pytest.approx(expected * float(str(gap.evidence["segments tried"])), rel=1e-6)


def test_the_worst_of_a_regression_is_its_greatest_mean_error():
    rng = np.random.default_rng(2)
    columns = rows(rng, 4000)
    off = rng.exponential(np.where(columns.numeric["income"] > 4000, 9.0, 2.0))
    s, profile, cells = waiting(columns, "regression")
    part = WorstErrors.empty(s)
    part.add(replace(outcomes(cells, np.zeros(4000, dtype=bool)), predicted_score=off, true_value=np.zeros(4000)))
    gap, p = score_worst_errors(part, profile, 50)
    there = inside(columns, gap.evidence)
    assert gap.name == "segment_mae_gap" and gap.value == pytest.approx(off[there].mean() - off[~there].mean())
    assert "income >= " in str(gap.evidence["where"])
    assert p.value == pytest.approx(0.0, abs=1e-9)
    z = ttest_ind(off[there], off[~there], equal_var=False).statistic
    assert z > 10


def test_nothing_is_found_where_errors_do_not_depend_on_features():
    small = 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        columns = rows(rng, 1500)
        s, profile, cells = waiting(columns, "multiclass")
        part = WorstErrors.empty(s)
        part.add(outcomes(cells, rng.random(1500) < 0.1))
        small += {x.name: x.value for x in score_worst_errors(part, profile, 50)}["segment_accuracy_gap_p"] < 0.05
    assert small <= 5  # 2 are expected at most


def test_what_is_taken_back_was_never_there_and_other_references_are_kept_apart():
    rng = np.random.default_rng(3)
    columns = rows(rng, 300)
    s, profile, cells = waiting(columns, "multiclass")
    wrong = rng.random(300) < 0.3
    part = WorstErrors.empty(s)
    part.add(outcomes(cells, wrong))
    empty = WorstErrors.empty(s).to_bytes()
    assert part.to_bytes() != empty
    gone = outcomes(cells, wrong)
    part.add(replace(gone, weight=-gone.weight))
    assert part.to_bytes() == empty
    later = Profile.build(rows(rng, 300), s, "later")
    both = replace(s, parts={PART: {"features": FEATURES, "marks": marks_of(s, [profile, later])}})
    part = WorstErrors.empty(both)
    for made_with in (profile, later):
        part.add(outcomes(cells_of(both, heads_of(both, made_with, columns)), wrong))
    assert len(part.counts) == 2 and score_worst_errors(part, None, 5) == []
    assert cells_of(s, heads_of(s, later, columns))[:, 0].tolist() == pytest.approx([np.nan] * 300, nan_ok=True)


def test_cells_wait_beside_whatever_else_waits():
    rng = np.random.default_rng(4)
    columns = rows(rng, 7)
    s, profile, _ = waiting(columns, "multiclass")
    heads = heads_of(s, profile, columns)
    heads[[2, 5]] = 0  # rows whose pane has no reference
    texts = [b"x" * 20, None, b"plain", b"", b"WSC", None, b"y"]
    payload = Ragged.of_bytes(texts)
    back, found = split_heads(with_heads(payload, heads))
    assert (found == heads).all()
    assert back.to_bytes() == [b"x" * 20, None, b"plain", None, b"WSC", None, b"y"]
    codes = cells_of(s, heads)
    cuttings = cuttings_of(tuple(FEATURES), profile)
    for i, feature in enumerate(FEATURES):
        expected = cuttings[feature].codes(columns, feature).astype(float)
        expected[[2, 5]] = np.nan
        np.testing.assert_array_equal(codes[:, 1 + i], expected)


CONFIG = """
models:
  - name: m
    task: binary
    positive_label: "1"
    features: {income: numeric, region: category}
    window: {size: 1m}
    min_rows: 30
    columns: {prediction.label: p}
    worst_segments: {features: [income, region]}
"""


def test_a_replay_finds_it_whether_labels_come_before_or_behind_and_a_corrected_label_is_taken_back(tmp_path):
    rng = np.random.default_rng(5)
    n = 2000
    income, region = rng.gamma(2, 1000, n), rng.choice(["N", "S"], n)
    wrong = rng.random(n) < np.where(region == "S", 0.4, 0.05)
    pq.write_table(pa.table({"income": income, "region": region, "p": ["1"] * n, "label": ["1"] * n}), tmp_path / "train.parquet")
    events = [
        {"event_id": f"e{i}", "ts": START + i * 20, "model": "m", "features": {"income": float(income[i]), "region": str(region[i])},
         "prediction": {"label": "1"}}
        for i in range(n)
    ]  # fmt: skip
    labels = [{"event_id": f"e{i}", "label_ts": START + 30_000 + i * 20, "label": "0" if wrong[i] else "1"} for i in range(n)]
    first = [{**row, "label_ts": row["label_ts"] - 5000, "label": "0"} for row in labels]  # all wrong at first, corrected later
    found = []
    for name, told in (("once", labels), ("corrected", [*first, *labels])):
        folder = tmp_path / name
        folder.mkdir()
        cfg, store = open_replay(folder, CONFIG)
        list(build_reference(cfg, store, "m", tmp_path / "train.parquet", (), True))
        assert leaves_payload(build_models(cfg, store)["m"].schema)
        replay_events(cfg, store, folder, events, told)
        gap = scores_of(store)[0, "", "worst_segment", "segment_accuracy_gap"]
        south = region == "S"
        assert "region == 'S'" in gap["evidence"]["where"]
        assert gap["value"] >= wrong[south].mean() - wrong[~south].mean() - 0.05
        found.append(
            {key: (row["value"], row["rows"], row["evidence"]) for key, row in scores_of(store).items() if key[2] != "labels"}
        )
        store.close()
    assert found[0] == found[1]
