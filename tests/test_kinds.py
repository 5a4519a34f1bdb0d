"""Booleans, datetimes and texts become bounded columns of numbers and categories, alike from events and from files."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pandas as pd
import pytest

from detectors.columns import Columns, DictColumn, Schema
from detectors.kinds import Vocabulary, derive, derive_reference, raw_schema, schema_columns
from detectors.profile import Profile
from monitor.references import build_reference
from monitor.tabular import infer_schema
from tests.replayed import START, open_replay, replay_events, scored, scores_of

FEATURES = {"x": "numeric", "c": "category", "new": "boolean", "since": "datetime", "bio": "text"}
NUMERIC, CATEGORICAL, KINDS = schema_columns(FEATURES)
SCHEMA = Schema(NUMERIC, CATEGORICAL, kinds=KINDS)
WORDS = "the quick brown fox jumps over a lazy dog and runs far away from here".split()


def raw(new, since, bio, ts=None) -> Columns:
    n = len(new)
    nothing = np.full(n, np.nan)
    categorical = {"c": ["a"] * n, "new": new, "since": since, "bio": bio}
    columns = {f: DictColumn.from_list(v) for f, v in categorical.items()}
    at = None if ts is None else np.array(ts, dtype=np.int64)
    return Columns(n, {"x": nothing}, columns, nothing, DictColumn.missing(n), nothing, np.zeros(n, dtype=bool), ts_ms=at)


def test_the_schema_names_what_is_counted_and_the_raw_one_what_events_have():
    assert NUMERIC == ("bio.length", "bio.non_letters", "bio.oov", "bio.words", "since.age_days", "x")
    assert CATEGORICAL == ("c", "new", "since.hour", "since.weekday")
    assert (raw_schema(SCHEMA).numeric, raw_schema(SCHEMA).categorical) == (("x",), ("bio", "c", "new", "since"))


def test_values_are_derived_row_by_row_and_what_cannot_be_read_is_missing():
    day = 86_400_000
    found = derive(
        raw(
            ["True", "0", None, "maybe"],
            ["2026-01-01T05:30:00Z", str(START + day), None, "soon"],
            ["Hello, big world!", "", None, "12 34"],
            [START + day] * 4,
        ),
        SCHEMA,
        None,
    )
    assert found.categorical["new"].to_list() == ["true", "false", None, "maybe"]
    assert found.categorical["since.hour"].to_list() == ["05", "00", None, None]
    assert found.categorical["since.weekday"].to_list() == ["thu", "fri", None, None]
    np.testing.assert_allclose(found.numeric["since.age_days"], [1 - 5.5 / 24, 0.0, np.nan, np.nan])
    np.testing.assert_allclose(found.numeric["bio.length"], [17, 0, np.nan, 5])
    np.testing.assert_allclose(found.numeric["bio.words"], [3, 0, np.nan, 2])
    np.testing.assert_allclose(found.numeric["bio.non_letters"], [4 / 17, np.nan, np.nan, 1.0])
    assert np.isnan(found.numeric["bio.oov"]).all() and "bio" not in found.categorical
    assert found.raw["bio"].to_list()[0] == "Hello, big world!"


def test_hours_are_those_of_the_standard_library():
    rng = np.random.default_rng(0)
    times = rng.integers(0, 4_000_000_000_000, 300).tolist()
    found = derive(raw(["1"] * 300, [str(t) for t in times], ["a"] * 300, times), SCHEMA, None)
    want = [datetime.fromtimestamp(t / 1000, UTC) for t in times]
    assert found.categorical["since.hour"].to_list() == [f"{t:%H}" for t in want]
    assert found.categorical["since.weekday"].to_list() == [f"{t:%a}".lower() for t in want]


def texts(rng, n, strange=0.0):
    return [
        " ".join(f"word{rng.integers(10**6)}" if rng.random() < strange else rng.choice(WORDS) for _ in range(8)) for _ in range(n)
    ]


def test_new_words_are_told_from_known_ones_and_the_reference_is_held_against_others_texts():
    rng = np.random.default_rng(1)
    reference, vocabulary = derive_reference(raw(["1"] * 400, [None] * 400, texts(rng, 400, 0.05)), SCHEMA)
    again = Vocabulary.from_bytes(vocabulary.to_bytes())
    calm = derive(raw(["1"] * 400, [None] * 400, texts(rng, 400, 0.05)), SCHEMA, again).numeric["bio.oov"]
    strange = derive(raw(["1"] * 400, [None] * 400, texts(rng, 400, 0.5)), SCHEMA, again).numeric["bio.oov"]
    assert reference.numeric["bio.oov"].mean() == pytest.approx(0.05, abs=0.015) == pytest.approx(calm.mean(), abs=0.03)
    assert strange.mean() == pytest.approx(0.5, abs=0.03)
    with pytest.raises(ValueError):
        Vocabulary.from_bytes(vocabulary.to_bytes()[:-1])


CONFIG = """
models:
  - name: m
    features: {features}
    window: {{size: 1m, allowed_lateness: 0s}}
    reference: {{first_windows: 2}}
    min_rows: 50
    segments: [{{name: terse, where: "bio == 'hi'"}}]
    thresholds: {{drift: {{breach: 0.2}}}}
"""


def events(windows=4, rows=200):
    rng = np.random.default_rng(2)
    for w in range(windows):
        last = w == windows - 1
        said = texts(rng, rows, 0.6 if last else 0.05)
        for i in range(rows):
            ts = START + w * 60_000 + i
            since = datetime.fromtimestamp((ts - rng.integers(10**10)) / 1000, UTC).isoformat()
            features = {"x": rng.normal(), "c": "ab"[i % 2], "new": bool(i % 4 == 0) ^ last, "since": since, "bio": said[i]}
            yield {"event_id": f"{w}-{i}", "ts": ts, "model": "m", "features": features}


def test_every_kind_is_scored_from_events_and_drifts_are_found(tmp_path):
    rows = list(events())
    rows[0]["features"]["bio"] = "long " * 5000
    rows[1]["features"]["bio"] = "hi"
    found = scored(tmp_path, CONFIG.format(features=str(FEATURES).replace("'", "")), rows)
    assert found[0, "", "bio.length", "max"]["value"] == 25_000.0
    assert found[0, "terse=true", "traffic", "rows"]["value"] == 1.0
    level = {subject: row["level"] for (w, segment, subject, name), row in found.items() if (w, segment, name) == (3, "", "drift")}
    assert {*NUMERIC, *CATEGORICAL} - {"bio.oov"} <= set(level)
    assert level["new"] == "breach" and level["bio.length"] == "breach" and level["x"] == level["since.age_days"] == "ok"
    assert "bio.oov" not in {subject for _, _, subject, _ in found}  # without a vocabulary it would always be missing


def test_a_built_reference_infers_kinds_and_brings_its_vocabulary(tmp_path):
    rows = list(events(2))
    calm, last = rows[:200], rows[200:]
    frame = pd.DataFrame([{**e["features"], "ts": e["ts"]} for e in calm])
    frame["since"] = pd.to_datetime(frame["since"], format="ISO8601")
    frame.to_parquet(tmp_path / "ref.parquet")
    assert infer_schema(tmp_path / "ref.parquet", {}, {"ts"})[0] == FEATURES
    cfg, store = open_replay(tmp_path, CONFIG.format(features="{}").replace("bio == 'hi'", "bio == 'hi'"))
    said = list(build_reference(cfg, store, "m", tmp_path / "ref.parquet", (), True))
    assert "bio: text (inferred; override with --type)" in said
    profile = Profile.from_bytes(store.references("m")[0].blob)
    assert profile.schema.kinds == KINDS and profile.vocabulary is not None
    replay_events(cfg, store, tmp_path, last)
    found = scores_of(store)
    assert found[1, "", "bio.oov", "drift"]["level"] == "breach" and found[1, "", "bio.oov", "mean"]["value"] > 0.5
    assert found[1, "", "since.age_days", "drift"]["level"] == "ok" and found[1, "", "new", "drift"]["level"] == "breach"


@pytest.mark.parametrize(
    ("value", "name"), [(["2026-01-01", "2026-02-03"], "datetime"), (["a b c d", "e f g h"], "text"), (["a", "b"], "category")]
)
def test_strings_are_inferred_by_what_they_hold(tmp_path, value, name):
    pd.DataFrame({"f": value}).to_csv(tmp_path / "a.csv", index=False)
    assert infer_schema(tmp_path / "a.csv", {}, set())[0]["f"] == name
