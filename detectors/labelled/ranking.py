"""Ranked lists: how high the relevant items stand among the first k (schema.top_k).

    ndcg_at_k        DCG / ideal DCG, gains as they are and log2 discounts          (Järvelin and Kekäläinen 2002)
    map_at_k         mean over rows of sum_{i <= k, relevant} precision_i / min(relevant, k)
    mrr              mean of 1 / place of the first relevant item, 0 where none is in the list (of its first 100)
    cut_list_share   share of rows whose list had more items than are looked at
    hit_rate_at_k    share of rows with a relevant item among the first k
    precision_at_k   relevant among the first k / k;   recall_at_k: / all relevant

A row whose label names no relevant item says nothing about an order: it is counted (no_relevant_share) and left out.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from detectors.columns import Outcomes
from detectors.labelled.intervals import wilson
from detectors.labelled.tally import Metric, Tally, Task, mean_of, undefined

MEANS = ("ndcg_at_k", "map_at_k", "mrr", "precision_at_k", "recall_at_k")


def add(tally: Tally, o: Outcomes) -> None:
    if "gains" not in o.vectors:
        return
    gains, ideal, relevant = (o.vectors[n].astype(np.float64) for n in ("gains", "ideal", "relevant"))
    judged = ~np.isnan(relevant[:, 0]) & ~np.isnan(ideal[:, 0])
    tally.count_rows(o.weight[judged], "judged")
    if "cut" in o.vectors:
        tally.count_rows(o.weight[judged & (o.vectors["cut"][:, 0] > 0)], "cut")
    there = judged & (relevant[:, 0] > 0)
    g, best, number, weight = np.nan_to_num(gains[there]), ideal[there], relevant[there, 0], o.weight[there]
    tally.count_rows(weight)
    k = tally.schema.top_k
    discount = 1.0 / np.log2(np.arange(2, k + 2))
    hit = g > 0
    first = hit[:, :k]
    precision = np.cumsum(first, axis=1) / np.arange(1, k + 1)
    place = np.argmax(hit, axis=1) + 1.0
    hits = first.sum(axis=1)
    found = {
        "ndcg_at_k": (g[:, :k] @ discount) / (best[:, :k] @ discount),
        "map_at_k": (precision * first).sum(axis=1) / np.minimum(number, k),
        "mrr": np.where(hit.any(axis=1), 1.0 / place, 0.0),
        "precision_at_k": hits / k,
        "recall_at_k": hits / number,
    }
    for name, values in found.items():
        tally.add_values(name, values, weight)
    tally.count_rows(weight[hits > 0], "hit")


def metrics(tally: Tally) -> Sequence[Metric]:
    n, judged, k = tally.rows, tally.sums["judged"], {"k": tally.schema.top_k}
    without, cut = judged - n, tally.sums["cut"]
    shares = [
        Metric("cut_list_share", cut / judged, *wilson(cut, judged), int(judged)),
        Metric("no_relevant_share", without / judged, *wilson(without, judged), int(judged)),
    ]
    if n <= 0:
        return [*undefined((*MEANS, "hit_rate_at_k"), 0, "no label names a relevant item"), *shares]
    out = [Metric(name, *mean_of(tally, name, n, "share"), n, k) for name in MEANS]
    out.append(Metric("hit_rate_at_k", tally.sums["hit"] / n, *wilson(tally.sums["hit"], n), n, k))
    return [*out, *shares]


RANKING = Task(add, metrics, lambda schema: MEANS, ("judged", "hit", "cut"))
