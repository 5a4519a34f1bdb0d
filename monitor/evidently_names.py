"""What Evidently's metrics need beside features, by their names: for a daemon that must not import Evidently to know it.

A test holds the names against the modules of evidently.metrics and evidently.presets.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

CLASSES = frozenset(
    "Accuracy Precision Recall F1Score FNR FPR TNR TPR LogLoss RocAuc F1ByLabel PrecisionByLabel RecallByLabel RocAucByLabel "
    "DummyAccuracy DummyF1Score DummyFNR DummyFPR DummyLogLoss DummyPrecision DummyRecall DummyRocAuc DummyTNR DummyTPR "
    "ClassificationPreset ClassificationQuality ClassificationQualityByLabel ClassificationDummyQuality".split()
)
OF_TWO_CLASSES = frozenset(f"{dummy}{rate}" for dummy in ("", "Dummy") for rate in ("FNR", "FPR", "TNR", "TPR"))
VALUES = frozenset(
    "AbsMaxError DummyMAE DummyMAPE DummyRMSE MAE MAPE MeanError R2Score RMSE RegressionPreset RegressionQuality "
    "RegressionDummyQuality".split()
)
TOP_K = frozenset("NDCG MRR HitRate MAP RecallTopK PrecisionTopK FBetaTopK".split())
# what interactions of the reference stand for: Evidently's `current_train_data`
TRAINED = frozenset("PopularityBiasMetric Novelty UserBias ItemBias Serendipity RecsysPreset".split())
SCORED, CASES = "ScoreDistribution", "RecCasesTable"
OF_ITEMS = frozenset({"Diversity", "Serendipity", "ItemBias"})  # ask for features of items
OF_USERS = frozenset({"Serendipity", CASES})  # must know whose list it is
RANKED = TOP_K | TRAINED | OF_ITEMS | {"Personalization", SCORED, CASES}
LABELLED = CLASSES | VALUES | TOP_K | {"Serendipity", "RecsysPreset"}  # compare predictions with labels
EMBEDDINGS = "EmbeddingsDrift"
ROW_TESTS = "RowTestSummary"


def named(metric: str, options: Mapping[str, Any]) -> Iterator[str]:
    """A metric, and those that stand in its arguments."""
    yield metric
    for value in options.values():
        if isinstance(value, dict) and isinstance(value.get("metric"), str):
            yield from named(value["metric"], value.get("options", {}))


def is_labelled(metric: str, options: Mapping[str, Any]) -> bool:
    """Whether it needs the labels of the rows."""
    return not LABELLED.isdisjoint(named(metric, options))


def vectors_of(metric: str, options: Mapping[str, Any]) -> set[str]:
    """The vectors and lists of a prediction that a sample must keep for it."""
    names = set(named(metric, options))
    out = {"items"} if names & RANKED else {"probabilities"} if names & CLASSES else set()
    out |= {"item_scores"} if SCORED in names else set()
    return out | ({"embedding"} if EMBEDDINGS in names or options.get("embeddings") else set())


def sampled_columns(metric: str, options: Mapping[str, Any]) -> list[str]:
    """The columns of a sample's rows that it names. Of lists and of tests of rows: none that would be known beforehand."""
    if metric in RANKED or metric == ROW_TESTS or options.get("embeddings"):
        return []
    columns = _texts([options.get("column"), options.get("column_name")]) + _texts(options.get("columns"))
    nested = [v for v in options.values() if isinstance(v, dict) and isinstance(v.get("metric"), str)]
    return columns + [c for inner in nested for c in sampled_columns(inner["metric"], inner.get("options", {}))]


def item_columns(metric: str, options: Mapping[str, Any]) -> list[str]:
    """The features of items that it names."""
    columns = [*_texts(options.get("item_features")), *_texts(options.get("item_bias_columns"))]
    if metric == "ItemBias":
        columns += _texts([options.get("column_name")])
    nested = [v for v in options.values() if isinstance(v, dict) and isinstance(v.get("metric"), str)]
    return columns + [c for inner in nested for c in item_columns(inner["metric"], inner.get("options", {}))]


def _texts(value: Any) -> list[str]:
    return [v for v in value if isinstance(v, str)] if isinstance(value, list) else []
