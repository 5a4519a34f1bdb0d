"""The preset hears every score that is judged without being named, of every task."""

from __future__ import annotations

import numpy as np
import pytest
from sqlalchemy import select

from alerts.presets import DEFAULT
from detectors.labelled.tasks import LABELLED
from detectors.score_names import FAIRNESS, LABELS, MULTIVARIATE, PERFORMANCE, TRAFFIC, WORST
from monitor.budget import AUTOMATIC
from monitor.store.schema import alert
from tests.replayed import START, open_replay, replay_events

SUBJECTS = [
    (PERFORMANCE, "performance"),
    (LABELS, "labels"),
    (TRAFFIC, "traffic"),
    (WORST, "worst_segment"),
    (MULTIVARIATE, "multivariate"),
    (FAIRNESS, "fairness:young"),
]
HOUR_MS = 3_600_000
BAD, WINDOWS, ROWS = 9, 12, 200
CONFIG = """
models:
  - name: m
    task: {task}
    {more}
    features: {{x: numeric}}
    window: {{size: 1h, allowed_lateness: 0s}}
    reference: {{first_windows: 6}}
alerts: {{channels: {{c: {{type: log}}}}, route: {{channels: [c]}}}}
"""
ITEMS = [f"i{j}" for j in range(12)]


def heard(subject: str, name: str) -> list[str]:
    return [r.name for r in DEFAULT if r.hears_levels and r.level == "breach" and r.matches("m", "", subject, name)]


@pytest.mark.parametrize("name", AUTOMATIC)
def test_a_rule_of_the_preset_hears_every_score_that_is_judged_by_itself(name):
    subject = next((subject for family, subject in SUBJECTS if name in family), "x")
    assert heard(subject, name), f"{name} of {subject} may be a breach, and nobody hears of it"


def ranking(rng, bad):
    order = [str(v) for v in rng.permutation(ITEMS)]
    place = min(11, int(rng.geometric(0.4)) - 1)
    return {"items": order}, [order[11 - place if bad else place]]


def quantile(rng, bad):
    middle = rng.normal()
    return {"quantiles": {"0.1": middle - 1.3, "0.5": middle, "0.9": middle + 1.3}}, middle + rng.normal() * (6 if bad else 1)


def regression(rng, bad):
    value = rng.normal()
    return {"value": value}, value + rng.normal() * (6 if bad else 1)


def multilabel(rng, bad):
    p = rng.random(3)
    true = rng.random(3) < (0.5 if bad else p)
    chances = {name: float(v) for name, v in zip("abc", p, strict=True)}
    return {"probabilities": chances}, [name for name, v in zip("abc", true, strict=True) if v]


def binary(rng, bad):
    p = rng.beta(0.4, 0.4)
    true = rng.random() < (0.5 if bad else p)
    return {"label": "y" if p > 0.5 else "n", "score": p}, "y" if true else "n"


def multiclass(rng, bad):
    p = rng.dirichlet([0.3, 0.3, 0.3])
    chances = {name: float(v) for name, v in zip("abc", p, strict=True)}
    return {"probabilities": chances}, str(rng.choice(list("abc"), p=None if bad else p))


MAKERS = {
    "binary": (binary, "positive_label: y"), "multiclass": (multiclass, "classes: [a, b, c]"),
    "multilabel": (multilabel, "classes: [a, b, c]"), "regression": (regression, ""), "ranking": (ranking, "top_k: 5"),
    "quantile": (quantile, "quantiles: [0.1, 0.5, 0.9]"),
}  # fmt: skip


@pytest.mark.parametrize("task", sorted(set(LABELLED) - {"none"}))
def test_performance_that_breaks_is_told_without_a_rule_whatever_the_task(tmp_path, task):
    make, more = MAKERS[task]
    rng = np.random.default_rng(3)
    cfg, store = open_replay(tmp_path, CONFIG.format(task=task, more=more))
    events, labels = [], []
    for at in range(WINDOWS * ROWS):
        window, ts = at // ROWS, START + at * (HOUR_MS // ROWS)
        prediction, label = make(rng, window >= BAD)
        events.append({"event_id": f"e{at}", "ts": ts, "model": "m", "features": {"x": rng.normal()}, "prediction": prediction})
        labels.append({"event_id": f"e{at}", "label": label, "label_ts": ts + 1000})
    replay_events(cfg, store, tmp_path, events, labels)
    wanted = select(alert).where(alert.c.rule == "performance-fell")
    fired = {(r["subject"], r["window_start_ms"]) for r in store.rows(wanted)}
    told = {r["rule"] for r in store.rows(select(alert))}
    store.close()
    assert {subject for subject, _ in fired} == {"performance"}, told
    assert min(start for _, start in fired) >= START + BAD * HOUR_MS
