"""Evidently's metrics that ask for features of items, their scores, or whose list it is: equal to its own on the same frames."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from scipy.spatial.distance import pdist

from detectors.catalogue import Catalogue
from detectors.columns import DictColumn, Schema
from detectors.ragged import Ragged
from monitor.cli import main
from monitor.config import ConfigError, parse_config
from monitor.evidently_data import Samples
from monitor.evidently_job import score_metrics
from monitor.item_file import read_items
from monitor.parts import parts_of
from monitor.tabular_lists import FileProblem
from tests.slow_world import plain, write_config

pytestmark = pytest.mark.timeout(600)  # Evidently takes seconds to import on a busy machine
ITEMS, LONG = 30, 6
ITEM_OPTIONS = {"k": 4, "item_features": ["price", "weight"]}


def side(rng, n, users):
    """Requests of users, of which some come more than once; their lists, and what of them was relevant."""
    who = [f"u{i}" for i in rng.integers(0, users, n)]
    items = np.stack([rng.permutation(ITEMS)[:LONG] for _ in range(n)])
    scores = np.sort(rng.normal(size=(n, LONG)))[:, ::-1]
    gains = (rng.random((n, LONG)) < 0.4).astype(float)
    lengths = np.full(n, LONG, dtype=np.int64)
    rows = replace(
        plain({"a": rng.normal(size=n)}, np.full(n, np.nan), None, {"who": who}),
        ts_ms=np.arange(n)[::-1].copy(),
        lists={"items": Ragged(lengths, items.reshape(-1).astype(np.uint64)), "item_scores": Ragged(lengths, scores.reshape(-1))},
    )
    return rows, pd.DataFrame(
        {"who": who, "ts": np.arange(n)[::-1], "items": list(items), "scores": list(scores), "gains": list(gains)}
    )


@pytest.fixture(scope="module")
def world():
    rng = np.random.default_rng(0)
    (window, now), (reference, before) = side(rng, 120, 40), side(rng, 200, 40)
    shop = pd.DataFrame({"price": rng.uniform(1, 9, ITEMS), "weight": rng.uniform(1, 9, ITEMS), "brand": list("uvw") * 10})
    catalogue = Catalogue.build(
        np.arange(ITEMS, dtype=np.uint64), [f"item {i}" for i in range(ITEMS)], {f: shop[f].to_numpy() for f in ("price", "weight")},
        {"brand": DictColumn.from_list(shop["brand"].tolist())},
    )  # fmt: skip
    labels = tuple([[g.tolist(), []] for g in table["gains"]] for table in (now, before))
    samples = Samples(
        Schema(("a",), ("who",), "ranking"), (window, reference), labels, items=Catalogue.from_bytes(catalogue.to_bytes())
    )
    return samples, now, before, shop


def frame_of(table, shop, newest=True, scored=False):
    """As a user of Evidently would write it: a row an item, best first."""
    if newest:
        table = table.sort_values("ts").groupby("who").tail(1)
    flat = table.assign(place=[np.arange(1, LONG + 1)] * len(table)).explode(["items", "scores", "gains", "place"])
    data = pd.DataFrame({
        "user_id": flat["who"].to_numpy(), "item_id": flat["items"].to_numpy(), "target": flat["gains"].astype(float).to_numpy(),
        "prediction": flat["scores" if scored else "place"].astype(float).to_numpy(),
    })  # fmt: skip
    return data.join(shop, on="item_id")


def theirs(metric, window, reference, train=None, scored=False):
    from evidently import DataDefinition, Dataset, Recsys, Report

    definition = DataDefinition(
        numerical_columns=["target", "prediction", "price", "weight"], categorical_columns=["brand"],
        ranking=[Recsys(recommendations_type="score" if scored else "rank")],
    )  # fmt: skip
    sides = [Dataset.from_pandas(data, data_definition=definition) for data in (window, reference)]
    more = {} if train is None else {"current_train_data": Dataset.from_pandas(train, data_definition=definition)}
    return Report([metric]).run(*sides, additional_data=more).dict()["metrics"][0]["value"]


def one(samples, metric, user=None, **options):
    return score_metrics(samples, [{"metric": metric, "options": options, "user": user}], "r")


def test_features_of_items_give_evidentlys_diversity_serendipity_and_bias(world):
    from evidently.metrics import Diversity, ItemBias, Serendipity

    samples, now, before, shop = world
    window, reference, every = frame_of(now, shop), frame_of(before, shop), frame_of(before, shop, newest=False)
    train = every[every["target"] > 0]
    (found,) = one(samples, "Diversity", "who", **ITEM_OPTIONS)
    assert found.value == pytest.approx(theirs(Diversity(**ITEM_OPTIONS), window, reference), rel=1e-12)
    features = shop[["price", "weight"]].to_numpy()
    lists = [pdist(features[items[:4]], "cosine").sum() / 4 for items in now.sort_values("ts").groupby("who").tail(1)["items"]]
    assert found.value == pytest.approx(np.mean(lists))
    (found,) = one(samples, "Serendipity", "who", **ITEM_OPTIONS)
    assert found.value == pytest.approx(theirs(Serendipity(**ITEM_OPTIONS), window, reference, train), rel=1e-12)
    for column in ("brand", "price"):
        for distribution in ("default", "train"):
            options = {"k": 4, "column_name": column, "distribution": distribution}
            want = theirs(ItemBias(**options), window, reference, train)
            got = [s.value for s in one(samples, "ItemBias", "who", **options)]
            assert got == pytest.approx(list(want["y"].values()), rel=1e-12), options


def test_scores_of_items_give_evidentlys_distribution_and_single_users_its_table(world):
    from evidently.metrics import RecCasesTable, ScoreDistribution

    samples, now, before, shop = world
    sides = [frame_of(table, shop, scored=True) for table in (now, before)]
    (found,) = one(samples, "ScoreDistribution", "who", k=3)
    assert found.value == pytest.approx(theirs(ScoreDistribution(k=3), *sides, scored=True), rel=1e-12)
    users = ["u3", "u5"]
    (cases,) = one(samples, "RecCasesTable", "who", user_ids=users)
    want = theirs(RecCasesTable(user_ids=users), frame_of(now, shop), frame_of(before, shop))
    shown = cases.evidence["cases"]
    assert cases.value == len(shown) == 2 * LONG == len(want["item_id"])
    assert [row["item_id"] for row in shown] == [f"item {i}" for i in want["item_id"].values()]
    assert [row["user_id"] for row in shown] == list(want["user_id"].values())
    everyone = {s.name: s for s in one(samples, "RecsysPreset", "who", k=4, item_features=["price"], item_bias_columns=["brand"])}
    assert {"evidently_diversity", "evidently_serendipity", "evidently_score_distribution", "evidently_rec_cases_table"} <= set(
        everyone
    )
    assert everyone["evidently_item_bias_u"].value > 0 and "left_out" not in everyone["evidently_ndcg"].evidence


def test_what_is_lacking_is_said_and_unknown_items_are_left_out_and_counted(world):
    samples, now, before, shop = world
    known = samples.items
    few = Catalogue.build(known.hashes[:20], known.names[:20], {f: v[:20] for f, v in known.numeric.items()}, {})
    (found,) = one(replace(samples, items=few), "Diversity", "who", **ITEM_OPTIONS)
    assert found.evidence["left_out"] == ["10 of 30 items without features in the reference"] and 0 < found.value < 1
    reasons = {
        "must know whose list it is": one(samples, "Serendipity", **ITEM_OPTIONS),
        "has no feature 'nobody'": one(samples, "RecCasesTable", "nobody"),
        "the reference knows no colour of items": one(samples, "ItemBias", "who", k=4, column_name="colour"),
        "build it anew with --items FILE": one(replace(samples, items=None), "Diversity", **ITEM_OPTIONS),
        "no user with a relevant item in the window has one": one(
            replace(samples, rows=(samples.rows[0], replace(samples.rows[1], categorical={"who": DictColumn.from_list(["x"] * 200)}))),
            "Serendipity", "who", **ITEM_OPTIONS,
        ),
        "send prediction.item_scores": one(
            replace(samples, rows=tuple(replace(r, lists={"items": r.lists["items"]}) for r in samples.rows)), "ScoreDistribution", k=3
        ),
    }  # fmt: skip
    for words, (refused,) in reasons.items():
        assert math.isnan(refused.value) and words in refused.evidence["reason"], words


def test_a_file_of_items_is_read_or_says_what_is_wrong_with_it(tmp_path):
    path = tmp_path / "items.csv"
    path.write_text("item_id,price,brand,more\n7,1.5,u,x\nb,,v,y\n")
    found = Catalogue.from_bytes(read_items(path, ["brand", "price"]).to_bytes())
    at = [found.names.index(name) for name in ("7", "b")]
    assert found.numeric["price"][at[0]] == 1.5 and np.isnan(found.numeric["price"][at[1]]) and set(found.categorical) == {"brand"}
    assert found.find(found.hashes).tolist() == [0, 1] and found.find(np.array([5], dtype=np.uint64)).tolist() == [-1]
    with pytest.raises(FileProblem, match="no column 'colour'; it has brand, item_id, more, price"):
        read_items(path, ["colour"])
    path.write_text("item_id,price\nb,1\nb,2\n")
    with pytest.raises(FileProblem, match="item 'b' stands there twice"):
        read_items(path, ["price"])
    with pytest.raises(ValueError, match="Upgrade driftd"):
        Catalogue.from_bytes(b"\x09")
    config = write_config(tmp_path, "{name: m, task: ranking, features: {a: numeric}}")
    pd.DataFrame({"a": [1.0] * 40}).to_parquet(tmp_path / "r.parquet")
    wrong = CliRunner().invoke(
        main, ["reference", "build", *config, "--model", "m", "--from", str(tmp_path / "r.parquet"), "--items", str(path)]
    )
    assert wrong.exit_code == 2 and "stands there twice" in wrong.output


def test_a_config_says_whose_lists_they_are_and_the_sample_keeps_scores_where_they_are_asked_for():
    text = "models: [{{name: m, task: ranking, features: {{who: category}}, sample: {{rows: 100{}}}, evidently: [{}]}}]"
    kept = parse_config(text.format("", "{metric: RecCasesTable, user: who}, {metric: ScoreDistribution, options: {k: 3}}"), "c")
    assert parts_of(kept.models[0])["sample"]["lists"] == ["item_scores", "items"]
    plainly = parse_config(text.format("", "{metric: NDCG, options: {k: 3}}"), "c")
    assert parts_of(plainly.models[0])["sample"]["lists"] == ["items"]
    for mask, metric, words in (
        ("", "{metric: RecCasesTable}", "must know whose list it is; write user: FEATURE"),
        ("", "{metric: NDCG, options: {k: 3}, user: wo}", "did you mean 'who'?"),
        (", mask: [who]", "{metric: NDCG, options: {k: 3}, user: who}", "'who' is in sample.mask"),
    ):
        with pytest.raises(ConfigError) as caught:
            parse_config(text.format(mask, metric), "c")
        assert words in str(caught.value)
