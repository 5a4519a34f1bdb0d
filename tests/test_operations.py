"""Queue delay, tokens, cost and the day's budget, in the windows of everything else."""

from __future__ import annotations

import math

import numpy as np
import pytest

from detectors.columns import Columns, DictColumn, Schema
from detectors.operations import NumberSummary, score_numbers
from monitor.config import ConfigError, parse_config
from monitor.store.schema import score
from tests.replayed import START, open_replay, replay_events, scored

SCHEMA = Schema((), (), numbers=("cost_usd", "queue_ms", "tokens_in"), parts={"numbers": {}})


def columns(**numbers) -> Columns:
    n = len(next(iter(numbers.values())))
    nothing = np.full(n, np.nan)
    return Columns(n, {}, {}, nothing, DictColumn.missing(n), nothing, np.zeros(n, dtype=bool),
                   numbers={k: np.asarray(v, dtype=float) for k, v in numbers.items()})  # fmt: skip


def values(part: NumberSummary) -> dict[tuple[str, str], float]:
    return {(s.subject, s.name): s.value for s in score_numbers(part, 60.0)}


def test_totals_means_and_quantiles_are_numpys_within_a_hundredth():
    rng = np.random.default_rng(1)
    cost, queue = rng.lognormal(-9, 1.5, 20_000), rng.gamma(2, 20, 20_000)
    queue[::10] = np.nan
    part = NumberSummary.empty(SCHEMA)
    for at in range(0, 20_000, 3_000):
        part.add(columns(cost_usd=cost[at : at + 3_000], queue_ms=queue[at : at + 3_000]))
    found = values(part)
    assert found["event:cost_usd", "total"] == pytest.approx(cost.sum(), rel=1e-9)
    assert found["event:cost_usd", "per_second"] == pytest.approx(cost.sum() / 60, rel=1e-9)
    assert found["event:queue_ms", "mean"] == pytest.approx(np.nanmean(queue), rel=1e-9)
    for name, data in (("cost_usd", cost), ("queue_ms", queue)):
        for label, q in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99)):
            assert found[f"event:{name}", label] == pytest.approx(np.nanquantile(data, q), rel=0.012), (name, label)
    assert ("event:queue_ms", "total") not in found and not any(subject == "event:tokens_in" for subject, _ in found)


def test_zero_tokens_infinite_and_missing_numbers():
    part = NumberSummary.empty(SCHEMA)
    part.add(columns(tokens_in=[0, 0, 0, 5]))
    part.add(columns(tokens_in=[np.nan, np.nan], queue_ms=[np.inf, 1.0]))
    found = values(part)
    assert found["event:tokens_in", "p50"] == 0 and found["event:tokens_in", "total"] == 5
    assert found["event:queue_ms", "p99"] == pytest.approx(1.0, rel=0.02) and math.isfinite(found["event:queue_ms", "mean"])


MODEL = """
models:
  - name: chat
    window: {size: 1h, slide: SLIDE, allowed_lateness: 0s}
    min_rows: 1
    dedup: {horizon: 1s}
    cost: {budget_usd_per_day: 24}
    thresholds: {burn_rate: {warn: 1, breach: 1.5}}
"""


def events(hours, cost=lambda hour: 1.0):
    return [
        {"event_id": f"e{h}-{i}", "ts": START + h * 3_600_000 + i * 60_000, "model": "chat", "version": str(i % 2),
         "queue_ms": 5, "tokens_in": 100, "tokens_out": 20, "cost_usd": cost(h) / 60}
        for h in range(hours) for i in range(60)
    ]  # fmt: skip


@pytest.mark.parametrize("slide", ["1h", "30m"])
def test_a_budget_burns_over_all_versions_from_midnight(tmp_path, slide):
    text = MODEL.replace("SLIDE", slide)
    cfg, store = open_replay(tmp_path, text)
    replay_events(cfg, store, tmp_path, events(30, lambda h: 2.0 if h >= 3 else 1.0))
    whole: dict[int, dict[str, dict]] = {}
    for row in store.rows(score.select().where(score.c.subject == "cost", score.c.version == "", score.c.segment == "")):
        whole.setdefault(row["window_start_ms"], {})[row["score"]] = row
    store.close()

    def at(hour, name):
        return whole[START + hour * 3_600_000][name]["value"]

    assert at(0, "window_usd") == pytest.approx(1) and at(3, "burn_rate") == pytest.approx(2)
    assert at(2, "budget_spent_share") == pytest.approx(3 / 24) and at(10, "budget_spent_share") == pytest.approx(19 / 24)
    assert at(10, "budget_exhausted_in_hours") == pytest.approx(5 / 2)
    assert at(20, "budget_exhausted_in_hours") == 0
    assert at(24, "budget_spent_share") == pytest.approx(2 / 24)  # a new day
    assert (
        whole[START + 3 * 3_600_000]["burn_rate"]["level"] == "breach" and whole[START]["budget_spent_share"]["level"] == "unjudged"
    )


def test_tokens_and_cost_of_each_version_and_a_budget_that_no_event_spends(tmp_path):
    text = MODEL.replace("SLIDE", "1h")
    found = {k[2:]: row for k, row in scored(tmp_path, text, events(1)).items() if row["version"] == "1"}
    assert found["event:tokens_in", "total"]["value"] == 3000 and found["event:cost_usd", "mean"]["value"] == pytest.approx(1 / 60)
    (tmp_path / "none").mkdir()
    silent = [{k: v for k, v in e.items() if k != "cost_usd"} for e in events(1)]
    row = scored(tmp_path / "none", text, silent)[0, "", "cost", "burn_rate"]
    assert row["level"] == "unsure" and row["value"] is None


def test_a_budget_without_the_field_that_spends_it_is_refused():
    with pytest.raises(ConfigError, match="cost_usd"):
        parse_config("models: [{name: m, numbers: [queue_ms], cost: {budget_usd_per_day: 1}}]", "c")
    with pytest.raises(ConfigError, match="greater than 0"):
        parse_config("models: [{name: m, cost: {budget_usd_per_day: 0}}]", "c")
