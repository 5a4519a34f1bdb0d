"""Ten thousand features of every sort through `driftd reference build` and `driftd replay`: a verdict each, and no `ok` by default."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner, Result
from sqlalchemy import select

from detectors.score import LEVELS
from monitor.cli import main
from monitor.config import load_config
from monitor.store import open_store
from monitor.store.schema import reference_score, score, window
from tests.replayed import START

FEATURES, ROWS, WINDOWS = 10_000, 40, 1  # rows of the reference, and of each window
# what a feature is, by its number's last two digits; every other one is a number as it was
CONSTANT, GONE, NEVER, TEXTS, MOVED, DECLARED = 10, 20, 30, 40, 50, 60
UNSURE = (GONE, NEVER, TEXTS, DECLARED)
CATEGORIES = range(90, 100)
HOUR_MS = 3_600_000


def column(rng: np.random.Generator, feature: int, rows: int, live: bool) -> pa.Array:
    sort = feature % 100
    if sort == CONSTANT:
        return pa.array(np.full(rows, 7.0))
    if sort == NEVER or (sort == GONE and live):
        return pa.nulls(rows, pa.float64())
    if sort in CATEGORIES or (sort == TEXTS and not live):
        return pa.array(np.array(["red", "green", "blue"])[rng.integers(0, 3, rows)])
    return pa.array(rng.normal(size=rows) + (8.0 if live and sort == MOVED else 0.0))


def write_events(path: Path, rng: np.random.Generator) -> None:
    columns = {f"f{i}": column(rng, i, ROWS * WINDOWS, live=True).to_pylist() for i in range(FEATURES)}
    with path.open("wb") as file:
        for i, values in enumerate(zip(*columns.values(), strict=True)):
            features: dict[str, object] = dict(zip(columns, values, strict=True))
            if i % 10 == 0:
                features["f5"] = "a word"
            event = {"event_id": f"e{i}", "ts": START + i * HOUR_MS // ROWS, "model": "m", "features": features}
            file.write(orjson.dumps(event) + b"\n")


def driftd(*args: object) -> Result:
    return CliRunner().invoke(main, [str(a) for a in args], catch_exceptions=False)


@pytest.fixture(scope="module")
def replayed(tmp_path_factory):
    """The store's windows, {(window, subject): {score: row}}, how many reference scores each subject has, and what was said."""
    folder = tmp_path_factory.mktemp("wide")
    rng = np.random.default_rng(1)
    columns = {f"f{i}": column(rng, i, ROWS, live=False) for i in range(FEATURES)}
    pq.write_table(pa.table(columns), folder / "train.parquet")
    write_events(folder / "events.jsonl", rng)
    text = f"store: {{url: 'sqlite:///{folder}/r.db'}}\nalerts: {{channels: {{c: {{type: log}}}}}}\n"
    settings = "{name: m, window: {size: 1h, allowed_lateness: 0s}, min_rows: 30%s}"
    (folder / "inferred.yaml").write_text(text + f"models: [{settings % ''}]\n")
    built = driftd("reference", "build", "--config", folder / "inferred.yaml", "--model", "m", "--from", folder / "train.parquet")
    kinds = {f"f{i}": "category" if i % 100 in {*CATEGORIES, DECLARED} else "numeric" for i in range(FEATURES)}
    (folder / "declared.yaml").write_text(text + f"models: [{settings % f', features: {json.dumps(kinds)}'}]\n")
    done = driftd("replay", folder / "events.jsonl", "--config", folder / "declared.yaml")
    store = open_store(load_config(folder / "declared.yaml").store.sqlalchemy_url())
    found: dict[tuple[int, str], dict[str, Any]] = {}
    c = score.c
    kept = select(c.window_start_ms, c.subject, c.score, c.value, c.level, c.rule, c.evidence)
    with store.engine.connect() as conn:
        for row in conn.execute(kept):
            found.setdefault(((row[0] - START) // HOUR_MS, row[1]), {})[row[2]] = row
        described = Counter(conn.execute(select(reference_score.c.subject)).scalars())
    windows = [dict(r) for r in store.rows(window.select())]
    store.close()
    return windows, found, described, (built, done)


def test_they_are_replayed_and_what_was_refused_is_said(replayed):
    windows, _, described, (built, done) = replayed
    assert built.exit_code == done.exit_code == 0, done.output
    assert f"{FEATURES} features" in built.output
    assert built.output.count("\n") < 200 and "and 9,900 more: 8,801 numeric, 1,099 category; " in built.output
    assert [w["rows"] for w in windows] == [ROWS - ROWS // 10] * WINDOWS
    assert f"dropped {WINDOWS * ROWS // 10}: wrong_type, first events.jsonl, message 0: features.f5 is string" in done.output
    assert len(described) == FEATURES - FEATURES // 100, "all but those that the reference never had"


def test_each_has_a_verdict_in_each_window_and_none_is_ok_by_default(replayed):
    _, found, _, _ = replayed
    for at in range(WINDOWS):
        drift = {feature: scores["drift"] for (w, feature), scores in found.items() if w == at and feature[1:].isdigit()}
        assert len(drift) == FEATURES
        assert all(row.level == "unsure" for row in drift.values() if row.value is None)
        assert all(row.rule for row in drift.values()), "each says what judged it"
        by_sort: dict[int, Counter[str]] = {}
        for feature, row in drift.items():
            by_sort.setdefault(int(feature[1:]) % 100, Counter())[row.level] += 1
        assert [by_sort.pop(sort) for sort in UNSURE] == [Counter(unsure=FEATURES // 100)] * len(UNSURE)
        assert by_sort.pop(MOVED) == Counter(breach=FEATURES // 100)
        assert by_sort.pop(CONSTANT) == Counter(ok=FEATURES // 100), "as it was"
        calm = sum(by_sort.values(), Counter())
        assert calm["unsure"] == 0 and calm["warn"] + calm["breach"] < 30, calm


@pytest.mark.parametrize(
    ("sort", "reason"),
    [(GONE, "all its values are missing"), (NEVER, "the reference has no value of it"),
     (TEXTS, "another type than numeric; correct the config's `features`"), (DECLARED, "another type than category")],
)  # fmt: skip
def test_those_of_which_nothing_can_be_said_say_why(replayed, sort, reason):
    _, found, _, _ = replayed
    for hundred in range(FEATURES // 100):
        scores = found[0, f"f{100 * hundred + sort}"]
        assert reason in json.loads(scores["drift"].evidence)["reason"]
        assert scores["absent"].level == {GONE: "breach", NEVER: "unsure"}.get(sort, "ok")


def test_rows_are_complete_and_a_refused_event_is_a_breach(replayed):
    _, found, _, _ = replayed
    every = {feature for w, feature in found if w == 0}
    assert {feature for w, feature in found if w == WINDOWS - 1} == every
    plain = [set(found[0, f"f{100 * hundred + 5}"]) for hundred in range(FEATURES // 100)]
    assert all(names == plain[0] for names in plain) and {"mean", "std", "p50", "js", "rank_shift", "missing_share"} <= plain[0]
    assert all(row.level in LEVELS for scores in found.values() for row in scores.values())
    refused = found[0, "schema"]["wrong_type_share"]
    assert (refused.value, refused.level) == (0.1, "breach")
    explained = json.loads(found[0, f"f{MOVED}"]["drift"].evidence)
    assert explained["moved"] and explained["statistic"] == "ks"
