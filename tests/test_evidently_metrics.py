"""Evidently's metrics and presets by name: all of them run on a model that fits."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy.spatial.distance import pdist
from scipy.special import softmax
from scipy.stats import entropy
from sklearn.metrics import f1_score, log_loss, ndcg_score, r2_score, roc_auc_score

from detectors.catalogue import Catalogue
from detectors.columns import DictColumn, Schema
from detectors.ragged import Ragged
from detectors.sample import RowSample
from monitor.config import ConfigError, parse_config
from monitor.evidently_data import TASKS, Samples
from monitor.evidently_job import score_metrics
from monitor.evidently_names import CLASSES, EMBEDDINGS, LABELLED, OF_TWO_CLASSES, OF_USERS, RANKED, VALUES, vectors_of
from monitor.parts import parts_of
from monitor.store import open_store
from monitor.store.schema import score
from tests.slow_world import START_MS, build, plain, replayed, write_config

pytestmark = pytest.mark.timeout(600)  # children import heavy packages, seconds each on a busy machine
OPTIONS = {
    "CategoryCount": {"column": "town", "category": "x"}, "InListValueCount": {"column": "town", "values": ["x"]},
    "OutListValueCount": {"column": "town", "values": ["x"]}, "InRangeValueCount": {"column": "a", "left": -1, "right": 1},
    "OutRangeValueCount": {"column": "a", "left": -1, "right": 1}, "QuantileValue": {"column": "a", "quantile": 0.25},
    "ColumnCorrelations": {"column_name": "a"}, "ColumnCorrelationMatrix": {"column_name": "a"}, "ValueStats": {"column": "a"},
    "UniqueValueCount": {"column": "town"}, "RowTestSummary": {"columns": ["a"]}, "EmbeddingsDrift": {"embeddings_name": "embedding"},
    "GroupBy": {"metric": {"metric": "MeanValue", "options": {"column": "a"}}, "column_name": "town"},
    "ItemBias": {"k": 5, "column_name": "brand"}, "UserBias": {"column_name": "town"},
    "Diversity": {"k": 5, "item_features": ["price", "weight"]}, "Serendipity": {"k": 5, "item_features": ["price", "weight"]},
}  # fmt: skip
VECTORS = {"embedding": 4, "probabilities": 3}


def kinds():
    import evidently.metrics as metrics
    import evidently.presets as presets

    return {n: getattr(module, n) for module in (metrics, presets) for n in dir(module) if isinstance(getattr(module, n), type)}


def room(kind):
    return kind.__module__.rsplit(".", 1)[-1]


def rows_of(task, n, moved, rng):
    """Rows of a model of a task, and their labels: texts that are all alike, embeddings, and what its predictions hold."""
    a = rng.normal(moved, 1, n)
    chances = rng.dirichlet([1, 1, 1], n).astype(np.float32)
    chance = 1 / (1 + np.exp(-a))
    label, score_ = np.where(a > 0, "1", "0"), chance
    if task == "multiclass":
        label, score_ = np.array(list("pqr"))[chances.argmax(axis=1)], chances.max(axis=1)
    out = plain(
        {"a": a, "b": a + rng.normal(size=n), "note.length": rng.poisson(9, n)}, score_, label, {"town": list("xy") * (n // 2)}
    )
    items = np.concatenate([rng.permutation(40)[:8] for _ in range(n)]).astype(np.uint64)
    out = replace(
        out,
        raw={"note": DictColumn.from_list(["the same words"] * n)},
        vectors={"embedding": rng.normal(moved, 1, (n, 4)).astype(np.float32), "probabilities": chances},
        lists={
            "items": Ragged(np.full(n, 8, dtype=np.int64), items),
            "item_scores": Ragged(np.full(n, 8, dtype=np.int64), np.sort(rng.normal(size=(n, 8)))[:, ::-1].reshape(-1)),
        },
    )
    truth = {
        "binary": (rng.random(n) < chance).astype(int).astype(str).tolist(),
        "multiclass": [str(rng.choice(list("pqr"), p=p / p.sum())) for p in chances.astype(float)],
        "regression": (score_ + rng.normal(size=n)).tolist(),
        "ranking": [[(rng.random(8) < 0.3).astype(float).tolist(), [1.0] * int(rng.integers(0, 3))] for _ in range(n)],
    }
    return out, truth[task]


def shop(rng):
    """What the 40 items are like."""
    features = {f: rng.uniform(1, 9, 40) for f in ("price", "weight")}
    names = [f"i{j}" for j in range(40)]
    return Catalogue.build(np.arange(40, dtype=np.uint64), names, features, {"brand": DictColumn.from_list(list("uvwx") * 10)})


@pytest.fixture(scope="module")
def models():
    rng = np.random.default_rng(0)
    out = {}
    for task in ("binary", "multiclass", "regression", "ranking"):
        (window, came), (reference, known) = rows_of(task, 200, 1.0, rng), rows_of(task, 300, 0.0, rng)
        schema = Schema(
            ("a", "b", "note.length"), ("town",), task, "1" if task == "binary" else None, vectors=VECTORS,
            classes=("p", "q", "r"), kinds={"note": "text"},
        )  # fmt: skip
        out[task] = Samples(schema, (window, reference), ([*came[:150], *[None] * 50], known), items=shop(rng))
    return out


def entry_of(name, kind):
    plain_options = {f: v for f, v in (("column", "a"), ("k", 5)) if f in kind.__fields__ and kind.__fields__[f].required}
    return {"metric": name, "options": OPTIONS.get(name, plain_options)} | ({"user": "town"} if name in OF_USERS else {})


def test_every_metric_and_preset_of_evidently_runs_on_a_model_that_fits(models):
    """All of evidently.metrics and evidently.presets."""
    found = {}
    for name, kind in kinds().items():
        of = {
            "recsys": ["ranking"],
            "regression": ["regression"],
            "classification": ["binary"] if name in OF_TWO_CLASSES else ["binary", "multiclass"],
        }
        for task in of.get(room(kind), ["binary"]):
            for s in score_metrics(models[task], [entry_of(name, kind)], "r"):
                assert math.isfinite(s.value) and "reason" not in s.evidence, (name, s)
                found.setdefault((name, task), {})[s.subject, s.name] = s.value
    assert {name for name, _ in found} == set(kinds()) and len(kinds()) >= 90
    assert {task for name, task in found if name in CLASSES} == {"binary", "multiclass"}
    assert len({name for name, task in found if task == "multiclass"}) == len(CLASSES - OF_TWO_CLASSES)

    a, b = models["binary"].rows[0].numeric["a"], models["binary"].rows[0].numeric["b"]
    reference = models["binary"].rows[1].numeric["a"]
    _columns_are_numpys(found, a, b, np.array(models["binary"].rows[0].categorical["town"].to_list()), reference)
    assert found["TextEvals", "binary"]["note.length", "evidently_mean_value"] == pytest.approx(
        models["binary"].rows[0].numeric["note.length"].mean()
    ), "texts are told by their descriptors"


def _columns_are_numpys(all_found, a, b, town, reference):
    from scipy import stats

    found = {name: values for (name, task), values in all_found.items() if task == "binary"}
    assert found["MeanValue"] == {("a", "evidently_mean_value"): pytest.approx(a.mean())}
    assert found["StdValue"]["a", "evidently_std_value"] == pytest.approx(a.std(ddof=1))
    assert found["QuantileValue"]["a", "evidently_quantile_value"] == pytest.approx(np.quantile(a, 0.25))
    assert found["CategoryCount"]["town", "evidently_category_count_share"] == 0.5
    assert found["InRangeValueCount"]["a", "evidently_in_range_value_count_count"] == ((a >= -1) & (a <= 1)).sum()
    assert found["UniqueValueCount"]["town", "evidently_unique_value_count_counts_x"] == 100
    groups = {("evidently", f"evidently_group_by_metric_{t}"): pytest.approx(a[town == t].mean()) for t in "xy"}
    assert found["GroupBy"] == groups
    for name, rho in (("pearson", stats.pearsonr), ("spearman", stats.spearmanr), ("kendall", stats.kendalltau)):
        key = "evidently", f"evidently_column_correlation_matrix_{name}_b"
        assert found["ColumnCorrelations"][key] == pytest.approx(rho(a, b)[0])
    assert found["DataDriftPreset"]["a", "evidently_value_drift"] == pytest.approx(stats.ks_2samp(reference, a).pvalue)


def test_the_names_that_the_daemon_knows_are_those_of_evidentlys_modules():
    rooms = {n: room(kind) for n, kind in kinds().items()}
    assert {n for n, where in rooms.items() if where == "classification"} == CLASSES
    assert {n for n, where in rooms.items() if where == "regression"} == VALUES
    assert {n for n, where in rooms.items() if where == "recsys"} == RANKED
    assert {n for n, where in rooms.items() if where == "embeddings"} == {EMBEDDINGS}
    assert set(TASKS) == {"classification", "regression"} and LABELLED <= set(rooms)
    nested = {"metric": {"metric": "NDCG", "options": {"k": 3}}, "column_name": "town"}
    assert vectors_of("GroupBy", nested) == {"items"} and vectors_of("LogLoss", {}) == {"probabilities"}
    assert vectors_of("DataDriftPreset", {"embeddings": ["embedding"]}) == {"embedding"} and not vectors_of("RowCount", {})


def one(samples, metric, **options):
    (found,) = score_metrics(samples, [{"metric": metric, "options": options}], "r")
    return found.value


def test_metrics_of_classes_see_the_rows_whose_label_has_come(models):
    binary, several = models["binary"], models["multiclass"]
    labels, predicted = binary.labels[0][:150], binary.rows[0].label.to_list()[:150]
    assert one(binary, "Accuracy") == pytest.approx(np.mean(np.array(labels) == np.array(predicted)))
    assert one(binary, "RocAuc") == pytest.approx(roc_auc_score(np.array(labels) == "1", binary.rows[0].score[:150]))
    assert one(binary, "F1Score") == pytest.approx(f1_score(labels, predicted, pos_label="1"))
    labels, chances = several.labels[0][:150], several.rows[0].vectors["probabilities"][:150].astype(float)
    chances /= chances.sum(axis=1, keepdims=True)
    assert one(several, "LogLoss") == pytest.approx(log_loss(labels, chances, labels=list("pqr")), rel=1e-5)
    want = roc_auc_score(labels, chances, multi_class="ovr", labels=list("pqr"))
    assert one(several, "RocAuc") == pytest.approx(want, rel=1e-5)
    (refused,) = score_metrics(several, [{"metric": "MAE"}], "r")
    assert refused.evidence["reason"] == "MAE is of task regression or quantile; this model's is multiclass"


def test_metrics_of_values_see_the_rows_whose_label_has_come(models):
    samples = models["regression"]
    values, guessed = np.array(samples.labels[0][:150]), samples.rows[0].score[:150]
    found = {s.name: s.value for s in score_metrics(samples, [{"metric": m} for m in ("MAE", "RMSE", "R2Score")], "r")}
    assert found["evidently_mae_mean"] == pytest.approx(np.abs(values - guessed).mean())
    assert found["evidently_rmse"] == pytest.approx(math.sqrt(((values - guessed) ** 2).mean()))
    assert found["evidently_r2_score"] == pytest.approx(r2_score(values, guessed))
    quantile = replace(samples, schema=replace(samples.schema, task="quantile"))
    assert {s.value for s in score_metrics(quantile, [{"metric": "RMSE"}], "r")} == {found["evidently_rmse"]}
    none = replace(samples, labels=([None] * 200, []))
    (empty,) = score_metrics(none, [{"metric": "MAE"}], "r")
    assert empty.evidence["reason"] == "no label of the window's 200 sampled rows has come"


def test_a_metric_of_a_group_is_of_the_groups_rows(models):
    """Also of errors and of lists, which Evidently's own GroupBy gives for all rows."""
    binary = models["binary"]
    group = {"metric": {"metric": "Accuracy"}, "column_name": "town"}
    found = {s.name: s.value for s in score_metrics(binary, [{"metric": "GroupBy", "options": group}], "r")}
    right = np.array(binary.labels[0][:150]) == np.array(binary.rows[0].label.to_list()[:150])
    town = np.array(binary.rows[0].categorical["town"].to_list()[:150])
    assert found == {f"evidently_group_by_metric_{t}": pytest.approx(right[town == t].mean()) for t in "xy"}
    lost = {"metric": {"metric": "RowCount"}, "column_name": "nothing"}
    (refused,) = score_metrics(binary, [{"metric": "GroupBy", "options": lost}], "r")
    assert refused.evidence["reason"] == "the sample has no feature 'nothing' to group by"


def test_metrics_of_lists_are_those_of_the_labelled_requests(models):
    samples = models["ranking"]
    truth = [(gains, lacking) for gains, lacking in samples.labels[0][:150] if sum(gains) + sum(lacking) > 0]
    hits = np.array([sum(gains[:5]) for gains, _ in truth])
    number = np.array([sum(gains) + sum(lacking) for gains, lacking in truth])
    assert one(samples, "HitRate", k=5) == pytest.approx(np.mean(hits > 0))
    assert one(samples, "PrecisionTopK", k=5) == pytest.approx(np.mean(hits / 5))
    assert one(samples, "RecallTopK", k=5) == pytest.approx(np.mean(hits / number))
    order = -np.arange(10.0)
    ndcg = [ndcg_score([[*gains, *lacking, 0, 0][:10]], [order], k=5) for gains, lacking in truth]
    assert one(samples, "NDCG", k=5) == pytest.approx(np.mean(ndcg))
    preset = score_metrics(samples, [{"metric": "RecsysPreset", "options": {"k": 5}}], "r")
    assert {"evidently_ndcg", "evidently_novelty", "evidently_personalization"} <= {s.name for s in preset}
    assert [line.partition(":")[0] for line in preset[0].evidence["left_out"]] == ["RecCasesTable"]
    bare = replace(samples, labels=(samples.labels[0], []))
    (novelty,) = score_metrics(bare, [{"metric": "Novelty", "options": {"k": 5}}], "r")
    assert "the reference keeps no ranked lists with labels" in novelty.evidence["reason"]
    (other,) = score_metrics(models["binary"], [{"metric": "NDCG", "options": {"k": 5}}], "r")
    assert other.evidence["reason"] == "NDCG is of task ranking; this model's is binary"


def test_embeddings_are_compared_in_the_ways_that_evidently_has(models):
    samples = models["binary"]
    ways = [
        {"method": m, "options": o}
        for m, o in (("DistanceDriftMethod", {"dist": "euclidean"}), ("RatioDriftMethod", {"bootstrap": False}))
    ]
    far = one(samples, EMBEDDINGS, embeddings_name="embedding", drift_method=ways[0])
    means = [side.vectors["embedding"].astype(float).mean(axis=0) for side in samples.rows]
    assert far == pytest.approx(np.linalg.norm(means[0] - means[1]), rel=1e-6)
    assert one(samples, EMBEDDINGS, embeddings_name="embedding", drift_method=ways[1]) == 1.0
    unknown = {"embeddings_name": "embedding", "drift_method": {"method": "Nothing"}}
    (refused,) = score_metrics(samples, [{"metric": EMBEDDINGS, "options": unknown}], "r")
    assert refused.evidence["reason"] == "Evidently has no way 'Nothing' to compare embeddings"
    without = replace(samples, rows=(samples.rows[0], replace(samples.rows[1], vectors={})))
    (lacks,) = score_metrics(without, [{"metric": EMBEDDINGS, "options": {"embeddings_name": "embedding"}}], "r")
    assert "the reference's sample has no embedding: build it anew" in lacks.evidence["reason"]


def test_texts_that_a_metric_fails_on_are_left_out_and_names_that_are_taken_are_told_apart(models):
    samples = models["binary"]
    (left,) = score_metrics(samples, [{"metric": "DriftedColumnsCount"}], "r")[:1]
    assert left.evidence == {"left_out": ["note"]}
    two = [{"metric": "ValueDrift", "options": {"column": "a", "method": method}} for method in ("psi", "ks")]
    assert [s.name for s in score_metrics(samples, two, "r")] == ["evidently_value_drift", "evidently_value_drift_ks"]


@pytest.mark.parametrize("mask", [(), ("prediction",), ("embedding",)])
def test_vectors_and_lists_of_a_sample_survive_bytes_and_merges_and_hide_behind_its_mask(models, mask):
    options = {"rows": 50, "mask": list(mask), "vectors": ["embedding", "probabilities"], "list_items": 5}
    options["lists"] = ["item_scores", "items"]
    schema = replace(models["ranking"].schema, parts={"sample": options})
    rows = models["ranking"].rows[0]
    ids = np.random.default_rng(3).integers(0, 2**63, (200, 2)).astype(np.uint64)
    rows = replace(rows, ids=ids, ts_ms=np.arange(200), raw={})
    whole, first, second = (RowSample.empty(schema) for _ in range(3))
    whole.add(rows)
    first.add(rows.take(slice(0, 90)))
    second.add(replace(rows.take(slice(90, 200)), ids=ids[90:]))
    merged = RowSample.from_bytes(first.to_bytes(), schema)
    merged.merge(RowSample.from_bytes(second.to_bytes(), schema))
    assert merged.to_bytes() == whole.to_bytes()
    shown = {"embedding"} - set(mask) | ({"probabilities"} if "prediction" not in mask else set())
    assert set(whole.kept.vectors) == shown and (set(whole.kept.lists) == {"items", "item_scores"}) == ("prediction" not in mask)
    best = np.argsort(ids[:, 0])[:50]
    if "embedding" in shown:
        assert np.array_equal(whole.kept.vectors["embedding"], rows.vectors["embedding"][best])
    if "prediction" not in mask:
        assert [r.tolist() for r in map(whole.kept.lists["items"].row, range(50))] == [
            rows.lists["items"].row(i)[:5].tolist() for i in best
        ]
        scores = whole.kept.lists["item_scores"]
        assert scores.row(7).tolist() == rows.lists["item_scores"].row(best[7])[:5].tolist() and scores.values.dtype == np.float64
    older = RowSample.empty(replace(schema, parts={"sample": {"rows": 50}}))
    older.add(rows)
    missing = RowSample.from_bytes(older.to_bytes(), schema).kept
    assert all(np.isnan(matrix).all() for matrix in missing.vectors.values()) and set(missing.vectors) == shown


def test_a_config_says_where_a_metric_of_embeddings_cannot_be():
    text = "models: [{{name: m, features: {{a: numeric}}, {}evidently: [{{metric: EmbeddingsDrift, options: {{embeddings_name: embedding}}}}]}}]"
    with pytest.raises(ConfigError) as none:
        parse_config(text.format("sample: {rows: 100}, "), "c")
    assert "EmbeddingsDrift is of embeddings, and the model has none" in str(none.value)
    with pytest.raises(ConfigError) as large:
        parse_config(text.format("sample: {rows: 50000}, embedding: {dim: 400}, "), "c")
    assert "write sample: {rows: 10000}" in str(large.value)
    with pytest.raises(
        ConfigError, match="'embedding' is in sample.mask, so no row keeps one; take 'embedding' out of sample.mask"
    ):
        parse_config(text.format("sample: {rows: 100, mask: [embedding]}, embedding: {dim: 400}, "), "c")
    kept = parse_config(text.format("sample: {rows: 100}, embedding: {dim: 400}, "), "c").models[0]
    assert parts_of(kept)["sample"]["vectors"] == ["embedding"]


COLUMNS = """
models:
  - name: m
    features: {pay: numeric, age: numeric, born: datetime, words: text, comment: text}
    numbers: [queue_ms]
    sample: {rows: 100, mask: [pay, born, words, prediction], texts: [comment]}
    evidently_descriptors: [{descriptor: TextLength, options: {column_name: comment, alias: letters}}]
    evidently:
      - %s
"""


@pytest.mark.parametrize(
    ("entry", "words"),
    [("{metric: MeanValue, options: {column: pay}}", "MeanValue looks at 'pay', which is in sample.mask, so no row keeps it; take 'pay'"),
     ("{metric: MeanValue, options: {column: born.age_days}}",
      "MeanValue looks at 'born.age_days', which is made of 'born', which is in sample.mask, so no row keeps it; take 'born' out of"),
     ("{metric: ValueDrift, options: {column: words.length}}", "'words.length', which is made of 'words', which is in sample.mask"),
     ("{metric: MeanValue, options: {column: score}}", "'score', which is made of 'prediction', which is in sample.mask"),
     ("{metric: DataDriftPreset, options: {columns: [age, born.hour]}}", "DataDriftPreset looks at 'born.hour', which is made of 'born'"),
     ("{metric: GroupBy, options: {metric: {metric: MeanValue, options: {column: age}}, column_name: born.weekday}}", "'born.weekday'"),
     ("{metric: GroupBy, options: {metric: {metric: MeanValue, options: {column: pay}}, column_name: age}}", "looks at 'pay'"),
     ("{metric: MeanValue, options: {column: agee}}", "'agee', and no sampled row has such a column; did you mean 'age'? allowed: age, comm")],
    ids=["masked", "made of a time", "made of a text", "prediction", "several", "group", "inner", "unknown"],
)  # fmt: skip
def test_a_metric_of_a_column_that_no_row_keeps_is_refused_with_the_fix(entry, words):
    with pytest.raises(ConfigError) as caught:
        parse_config(COLUMNS % entry, "c")
    (problem,) = caught.value.problems
    assert words in str(caught.value) and problem.path == "models[0].evidently[0].options"


@pytest.mark.parametrize("column", ["age", "queue_ms", "latency_ms", "comment", "comment.length", "letters"])
def test_a_metric_of_a_column_that_rows_keep_is_taken(column):
    parse_config(COLUMNS % f"{{metric: MissingValueCount, options: {{column: {column}}}}}", "c")


RANKING = """
name: m
task: ranking
top_k: 3
features: {a: numeric, comment: text, who: category}
embedding: {dim: 3}
window: {size: 1h}
labels: {wait: 9d}
sample: {rows: 1000, keep: 9d, texts: [comment], text_chars: 20}
columns: {prediction.items: items, prediction.item_scores: item_scores}
evidently_descriptors:
  - {descriptor: TextLength, options: {column_name: comment, alias: length}}
  - {descriptor: Contains, options: {column_name: comment, items: [late]}}
  - {descriptor: Sentiment, options: {column_name: comment}}
evidently:
  - {metric: NDCG, options: {k: 3}}
  - {metric: RecallTopK, options: {k: 3}}
  - {metric: Novelty, options: {k: 3}}
  - {metric: Diversity, options: {k: 3, item_features: [price, weight]}}
  - {metric: ScoreDistribution, options: {k: 3}}
  - {metric: RecCasesTable, user: who}
  - {metric: EmbeddingsDrift, options: {embeddings_name: embedding, drift_method: {method: DistanceDriftMethod, options: {bootstrap: false}}}}
  - {metric: MeanValue, options: {column: length}}
  - {metric: CategoryCount, options: {column: comment.contains, category: true}}
  - {metric: MeanValue, options: {column: comment.sentiment}}
"""


def test_lists_embeddings_and_texts_go_from_events_and_a_reference_through_a_child_to_scores(tmp_path):
    """The sample holds all rows: Evidently's metrics equal those that all labelled rows have."""
    rng = np.random.default_rng(7)

    def table(n, moved):
        items = [[f"i{j}" for j in rng.permutation(12)[:5]] for _ in range(n)]
        labels = [{f"i{j}": 1 for j in rng.permutation(12)[:3]} for _ in range(n)]
        return pd.DataFrame({
            "event_id": [f"e{i}" for i in range(n)], "ts": START_MS + np.arange(n), "a": rng.normal(size=n), "items": items,
            "embedding": rng.normal(moved, 1, (n, 3)).tolist(), "label": [list(label) for label in labels],
            "item_scores": [np.sort(rng.normal(size=5))[::-1].tolist() for _ in range(n)], "who": [f"u{i % 60}" for i in range(n)],
            "comment": rng.choice(["late", "on time", "late again, and the parcel was open"], n),
        })  # fmt: skip

    config = write_config(tmp_path, RANKING)
    reference, window = table(200, 0.0), table(150, 1.0)
    shop = pd.DataFrame({"item_id": [f"i{j}" for j in range(12)], "price": rng.uniform(1, 9, 12), "weight": rng.uniform(1, 9, 12)})
    shop.to_csv(tmp_path / "shop.csv", index=False)
    assert "metrics that look at price, weight of items have no value: build with --items" in build(tmp_path, config, reference)
    build(tmp_path, config, reference, "--items", str(tmp_path / "shop.csv"))
    replayed(tmp_path, config, window, window[["event_id", "label"]][:120].assign(label_ts=START_MS + 5_000))
    store = open_store(f"sqlite:///{tmp_path}/d.db", read_only=True)
    try:
        got = {(r["subject"], r["score"]): r for r in store.rows(score.select().where(score.c.segment == ""))}
    finally:
        store.close()
    ours = {name: got["performance", name]["value"] for name in ("ndcg_at_k", "recall_at_k")}
    assert got["performance", "ndcg_at_k"]["rows"] == 120
    assert got["evidently", "evidently_ndcg"]["value"] == pytest.approx(ours["ndcg_at_k"], rel=1e-9)
    assert got["evidently", "evidently_recall_top_k"]["value"] == pytest.approx(ours["recall_at_k"], rel=1e-9)
    assert got["evidently", "evidently_novelty"]["value"] > 0
    like = shop.set_index("item_id")
    lists = [pdist(like.loc[items[:3]].to_numpy(), "cosine").sum() / 3 for items in window["items"]]
    assert got["evidently", "evidently_diversity"]["value"] == pytest.approx(np.mean(lists))
    first = np.concatenate([scores[:3] for scores in window["item_scores"]])
    assert got["evidently", "evidently_score_distribution"]["value"] == pytest.approx(entropy(softmax(first)))
    cases = got["evidently", "evidently_rec_cases_table"]
    shown = json.loads(cases["evidence"])["cases"]
    assert cases["value"] == len(shown) == 5 * 5 and {row["item_id"] for row in shown} <= set(shop["item_id"])
    newest = {who: items for who, items in zip(window["who"], window["items"], strict=True)}
    assert [row["item_id"] for row in shown[:5]] == newest[shown[0]["user_id"]]
    means = [np.array(t["embedding"].tolist()).mean(axis=0) for t in (reference, window)]
    moved = np.linalg.norm(means[0] - means[1])
    assert got["evidently", "evidently_embeddings_drift"]["value"] == pytest.approx(moved, rel=1e-5)
    length = got["length", "evidently_mean_value"]
    assert length["value"] == pytest.approx(window["comment"].str[:20].str.len().mean())
    late = got["comment.contains", "evidently_category_count_count"]["value"]
    assert late == window["comment"].str.contains("late").sum()
    lacking = got["comment.sentiment", "evidently_mean_value"]
    assert lacking["value"] is None and "nltk.downloader" in json.loads(lacking["evidence"])["reason"]
