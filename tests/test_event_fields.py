"""Probabilities, quantiles, predicted labels, ranked items, embeddings: one result however they come."""

from __future__ import annotations

import json

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.columns import Schema
from detectors.ragged import Ragged
from monitor.config import ConfigError, parse_config
from monitor.decode import DECODERS
from monitor.decode.ids import hash_texts
from monitor.decode.native import NativeDecoder
from monitor.decode.settings import ITEMS, NUMBER_FIELDS, DecodeSettings, ModelSchema
from monitor.runtime import schema_of
from monitor.tabular import Reader, names_of, read_batches
from monitor.tabular_lists import FileProblem
from tests.test_decode import KEY, NOW, flat, raw

CLASSES = ("bird", "cat", "dog")
SCHEMAS = {
    "pets": Schema((), (), "multiclass", classes=CLASSES, vectors={"probabilities": 3, "embedding": 4}, numbers=NUMBER_FIELDS),
    "tags": Schema((), (), "multilabel", classes=CLASSES, vectors={"probabilities": 3, "labels": 3}),
    "search": Schema((), (), "ranking"),
    "scored": Schema((), (), "ranking", parts={"sample": {"lists": ["item_scores", "items"]}}),
    "sales": Schema((), (), "quantile", quantiles=(0.1, 0.5, 0.9), vectors={"quantiles": 3}),
    "loose": Schema((), (), "multiclass", classes=CLASSES, vectors={"probabilities": 3, "embedding": 2}),
}
SETTINGS = DecodeSettings(models={name: ModelSchema(s, (), name == "loose") for name, s in SCHEMAS.items()})


def event(model, **more):
    return {"event_id": "e", "ts": NOW, "model": model, **more}


def predicted(model, _embedding=None, **prediction):
    return event(model, prediction=prediction, embedding=_embedding)


def decode(values, name="native"):
    return DECODERS[name](SETTINGS).events(raw(values))


def one_by_one(values):
    found = ([], [], [])
    for i, value in enumerate(values):
        for out, part in zip(found, flat(DECODERS["native"](SETTINGS).events(raw([value], first=i))), strict=True):
            out += part
    return tuple(sorted(part) for part in found)


GOOD = [
    predicted("pets", [1, 2.5, 3, 4], probabilities={"cat": 0.7, "dog": 0.2, "bird": 0.1}),
    predicted("pets", probabilities={"cat": 0.7, "dog": 0.3}, label="dog"),
    predicted("pets", None, probabilities=None, label="dog", score=0.4),
    predicted("loose", [0.5, 1], probabilities={"dog": 1}),
    predicted("tags", labels=["dog", "cat"]),
    predicted("tags", probabilities={"dog": 0.9, "cat": 0.8}),
    predicted("tags", labels=[], probabilities={"dog": 0.9}),
    predicted("search", items=["a", "b", "c"]),
    predicted("search", items=[f"item {i}" for i in range(ITEMS + 20)]),
    predicted("search", items=[], item_scores="not looked at"),
    predicted("scored", items=["a", "b", "c"], item_scores=[3, 2.5, -1e30]),
    predicted("scored", items=[f"item {i}" for i in range(ITEMS + 20)], item_scores=[*range(ITEMS + 20)]),
    predicted("scored", items=["a"], item_scores=None),
    predicted("scored", items=[], item_scores=[]),
    predicted("sales", quantiles={"0.1": 1.0, "0.5": 2, "0.9": 3.5}),
    event("pets", cost_usd=0.01, tokens_in=5, embedding=None),
]
ODD = [
    predicted("pets", probabilities={"cat": 0.7, "dog": 0.2}),
    predicted("pets", probabilities={"cat": 0.7, "wolf": 0.3}),
    predicted("pets", probabilities={"cat": 1.7, "dog": -0.7}),
    predicted("pets", probabilities={"cat": "most"}),
    predicted("pets", probabilities={}),
    predicted("pets", probabilities=[0.1, 0.2, 0.7]),
    predicted("pets", probabilities=[0.3, 0.7]),
    predicted("pets", probabilities=[None, 0.3, 0.7]),
    predicted("pets", [1, 2, 3], label="dog"),
    predicted("pets", [1, 2, 3, None], label="dog"),
    predicted("pets", [1, 2, 3, 1e300], label="dog"),
    predicted("pets", "abc", label="dog"),
    predicted("tags", labels=["wolf"]),
    predicted("tags", labels="dog"),
    predicted("tags", labels=["dog", None]),
    predicted("search", items=["a", 7, None]),
    predicted("search", items=["a", "b", "a"]),
    predicted("search", items=[*(f"item {i}" for i in range(ITEMS + 20)), "item 3"]),
    predicted("search", items=["7", 7]),
    predicted("search", items=["a", 7]),
    predicted("search", items={"a": 1}),
    predicted("search", items=["x" * 2000]),
    predicted("scored", items=["a", "b"], item_scores=[1]),
    predicted("scored", item_scores=[1]),
    predicted("scored", items=["a", "b"], item_scores=[1, None]),
    predicted("scored", items=["a", "b"], item_scores=[1, 1e300]),
    predicted("scored", items=["a", "b"], item_scores=[1, "2"]),
    predicted("scored", items=["a"], item_scores=1),
    predicted("sales", quantiles={"0.1": 1.0, "0.9": 3.5}),
    predicted("sales", quantiles=[1, 2, 3]),
    predicted("sales", quantiles=[1, 2]),
    event("tags", embedding="not looked at", prediction={"labels": ["dog"], "items": 5}),
]
TEXT = [
    b'{"event_id":"n","ts":%d,"model":"pets","prediction":{"label":"dog"},"embedding":[1,2,NaN,4]}' % NOW,
    b'{"event_id":"n","ts":%d,"model":"loose","prediction":{"label":"dog"},"embedding":[1,NaN]}' % NOW,
    b'{"event_id":"n","ts":%d,"model":"loose","prediction":{"probabilities":{"dog":NaN,"cat":0.5}}}' % NOW,
    b'{"event_id":"n","ts":%d,"model":"pets","prediction":{"probabilities":{"dog":Infinity,"cat":0.5}}}' % NOW,
    b'{"event_id":"n","ts":%d,"model":"pets","prediction":{},"cost_usd":Infinity}' % NOW,
]


@pytest.mark.parametrize("seed", range(6))
def test_many_at_once_equal_one_at_a_time(seed):
    rng = np.random.default_rng(seed)
    values = [orjson.dumps(e) for e in GOOD * 30 + (ODD if seed % 2 else [])] + (TEXT if seed % 2 else [])
    values = [values[i] for i in rng.permutation(len(values))]
    plain = [orjson.dumps({**predicted("pets", label="dog", score=0.5), "event_id": f"p{i}"}) for i in range(20)]
    values = [
        *plain[:10],
        *values,
        *plain[10:],
        orjson.dumps(predicted("pets", probabilities=3)),
        orjson.dumps(predicted("pets", True)),
    ]
    dead = flat(decode(values))[2]
    assert flat(decode(values)) == one_by_one(values) == flat(NativeDecoder(SETTINGS, scanner=False).events(raw(values)))
    assert [offset for offset, *_ in dead][-2:] == [len(values) - 2, len(values) - 1]
    values = values[:-2]
    if seed % 2 == 0:
        assert not decode(values).dead


def test_what_is_not_given_follows_from_what_is():
    batches = {b.model: b.columns for b in decode([orjson.dumps(e) for e in GOOD]).events}
    pets, tags = batches["pets"], batches["tags"]
    assert pets.label.to_list() == ["cat", "dog", "dog", None]
    assert pets.score.tolist() == pytest.approx([0.7, 0.3, 0.4, np.nan], nan_ok=True)
    assert pets.vectors["probabilities"][0].tolist() == pytest.approx([0.1, 0.7, 0.2])
    assert pets.vectors["embedding"][0].tolist() == [1, 2.5, 3, 4] and np.isnan(pets.vectors["embedding"][1:]).all()
    assert pets.numbers["cost_usd"].tolist() == pytest.approx([np.nan, np.nan, np.nan, 0.01], nan_ok=True)
    assert tags.vectors["labels"].tolist() == [[0, 1, 1], [0, 1, 1], [0, 0, 0]]
    items = batches["search"].lists["items"]
    assert items.lengths.tolist() == [3, ITEMS + 1, 0] and (items.row(0) == hash_texts(["a", "b", "c"])[:, 0]).all()
    assert batches["sales"].score.tolist() == [2.0] and batches["sales"].vectors["quantiles"].tolist() == [[1, 2, 3.5]]


def test_reasons_say_what_is_allowed():
    said = [d.detail for d in decode([orjson.dumps(e) for e in ODD]).dead]
    for words in (
        "sums to 0.9 over the model's classes", "'wolf' is not among the model's classes", "must lie between 0 and 1",
        "prediction.probabilities is string, must be a number", "has 2 numbers, must have 3", "embedding has 3 numbers, must have 4",
        "holds null", "beyond", "embedding is string, must be a list of 4 numbers", "'wolf', which is not among the model's classes",
        "prediction.labels is string", "prediction.items is object", "names no 0.5", "at most 1000",
        "prediction.items names 'a' twice", "'item 3' twice", "'7' twice",
    ):  # fmt: skip
        assert any(words in s for s in said), (words, said)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.lists(st.integers(0, 9), max_size=5) | st.none(), max_size=12),
    st.lists(st.integers(0, 11), max_size=12),
    st.integers(0, 6),
)
def test_ragged_columns_are_lists(rows, order, longest):
    column = Ragged(
        np.array([-1 if r is None else len(r) for r in rows], dtype=np.int64),
        np.array([v for r in rows if r is not None for v in r], dtype=np.uint64),
    )
    order = [i for i in order if i < len(rows)]

    assert plain(column) == rows
    assert plain(column.take(np.array(order, dtype=np.int64))) == [rows[i] for i in order]
    assert plain(Ragged.concat([column, column])) == rows + rows
    assert plain(column.head(longest)) == [r if r is None else r[:longest] for r in rows]


@pytest.mark.parametrize("kind", ["parquet", "csv", "jsonl", "lists"])
def test_files_give_the_columns_of_the_events(kind, tmp_path):
    chances = np.array([[0.1, 0.7, 0.2], [0.5, 0.3, 0.2]])
    table = {"ts": [NOW, NOW + 1], "cost_usd": [0.1, None], **{f"proba_{c}": chances[:, i] for i, c in enumerate(CLASSES)}}
    path = tmp_path / f"f.{'parquet' if kind == 'lists' else kind}"
    vectors = [[1.0, 2.0, 3.0, 4.0], None]
    if kind == "parquet":
        pq.write_table(pa.table(table), path)
    elif kind == "csv":
        pacsv.write_csv(pa.table(table), path)
    elif kind == "lists":
        del table["proba_bird"], table["proba_cat"], table["proba_dog"]
        pq.write_table(pa.table({**table, "probabilities": chances.tolist(), "embedding": vectors}), path)
    else:
        nested = [dict(zip(CLASSES, row.tolist(), strict=True)) for row in chances]
        lines = [
            {"ts": NOW, "cost_usd": c, "prediction": {"probabilities": n}, "embedding": v}
            for c, n, v in zip([0.1, None], nested, vectors, strict=True)
        ]
        path.write_text("\n".join(json.dumps(line) for line in lines))
    reader = Reader(path, names_of(path), SCHEMAS["pets"], (), {})
    columns = reader.columns(next(read_batches(path, reader.wanted)[0]))
    np.testing.assert_allclose(columns.vectors["probabilities"], chances, rtol=1e-6)
    assert columns.label.to_list() == ["cat", "bird"] and columns.score.tolist() == pytest.approx([0.7, 0.5])
    assert columns.numbers["cost_usd"].tolist() == pytest.approx([0.1, np.nan], nan_ok=True)
    if kind in ("lists", "jsonl"):
        assert columns.vectors["embedding"].tolist()[0] == vectors[0] and np.isnan(columns.vectors["embedding"][1]).all()


def test_a_file_with_a_class_too_few_is_refused(tmp_path):
    path = tmp_path / "f.parquet"
    pq.write_table(pa.table({"proba_cat": [0.5], "proba_dog": [0.5]}), path)
    with pytest.raises(FileProblem, match="prediction.probabilities.bird"):
        Reader(path, names_of(path), SCHEMAS["pets"], (), {})


@pytest.mark.parametrize("lenient", [False, True], ids=["reject", "missing"])
@pytest.mark.parametrize("model", ["pets", "tags", "search", "scored", "sales"])
def test_lists_in_files_are_read_as_the_events_that_hold_them(model, lenient, tmp_path):
    """A file a kind of column, one row an event: the decoder is the oracle, for what is refused and why as well."""
    schema = SCHEMAS[model]
    kinds = {}
    for e in GOOD + ODD + TEXT:
        e = e if isinstance(e, dict) else json.loads(e)
        held = {**(e.get("prediction") or {}), "embedding": e.get("embedding")}
        held = {n: v for n, v in held.items() if n in (*schema.vectors, *LISTS.get(model, ())) and v is not None}
        if e["model"] == model and held and all(fits(v) for v in held.values()):
            kinds.setdefault(tuple((n, kind_of(v)) for n, v in sorted(held.items())), []).append(held)
    assert sum(len(rows) for rows in kinds.values()) >= 2
    for rows in kinds.values():
        settings = DecodeSettings(models={model: ModelSchema(schema, (), lenient)})
        events = [{n: v for n, v in row.items() if n != "embedding"} for row in rows]
        lines = [
            json.dumps(event(model, prediction=p, embedding=r.get("embedding"))).encode() for p, r in zip(events, rows, strict=True)
        ]
        expected = NativeDecoder(settings).events(raw(lines))
        path = tmp_path / "f.parquet"
        pq.write_table(pa.table({name: pa.array([row[name] for row in rows]) for name in rows[0]}), path)
        refused = {}
        reader = Reader(path, names_of(path), schema, (), {}, lenient=lenient)
        columns = reader.read(next(read_batches(path, reader.wanted)[0]), refused)[0]
        assert {row: (why.reason, str(why)) for row, why in refused.items()} == {
            d.offset: (d.reason, d.detail) for d in expected.dead
        }
        for batch in expected.events:
            kept = columns.take(batch.offsets)
            for name in schema.vectors:
                np.testing.assert_array_equal(kept.vectors[name], batch.columns.vectors[name])
            for name in LISTS.get(model, ()):
                assert plain(kept.lists[name]) == plain(batch.columns.lists[name])


def plain(column):
    """A ragged column as lists."""
    return [None if (r := column.row(i)) is None else r.tolist() for i in range(column.rows)]


LISTS = {"search": ("items",), "scored": ("items", "item_scores")}


def fits(value):
    """Whether a column can hold it, and not as columns of its own, as it does objects."""
    of = {str if isinstance(v, str) else float for v in value if v is not None} if isinstance(value, list) else ()
    return not isinstance(value, dict) and len(of) <= 1


def kind_of(value):
    """What a column can hold together: the type, and that of the elements."""
    if isinstance(value, list):
        return "list", *sorted({type(v).__name__ for v in value})
    return "number" if isinstance(value, int | float) else type(value).__name__


def cloud(side, data):
    return orjson.dumps(
        {"specversion": "1.0", "id": "r", "type": f"org.kubeflow.serving.inference.{side}", "data": data,
         "time": "2026-01-01T00:00:00Z", "inferenceservicename": "pets"}
    )  # fmt: skip


def test_scores_of_items_are_as_many_as_the_items():
    values = [orjson.dumps(predicted("scored", items=["a", "b"], item_scores=scores)) for scores in ([2, 1], [1], [1, 2, 3])]
    found = decode(values)
    [batch] = found.events
    assert batch.columns.lists["item_scores"].values.tolist() == [2.0, 1.0]
    assert {d.detail for d in found.dead} == {
        "prediction.item_scores has 1 numbers, prediction.items 2 items",
        "prediction.item_scores has 3 numbers, prediction.items 2 items",
    }


@pytest.mark.parametrize(
    "answer",
    [
        {"predictions": [[0.1, 0.7, 0.2], [0.5, 0.3, 0.2]]},
        {"predictions": [{"probabilities": {"cat": 0.7, "dog": 0.2, "bird": 0.1}}, {"label": "bird", "scores": [0.5, 0.3, 0.2]}]},
        {"outputs": [{"name": "probabilities", "shape": [2, 3], "datatype": "FP32", "data": [0.1, 0.7, 0.2, 0.5, 0.3, 0.2]}],
         "parameters": {"cost_usd": 0.5, "queue_ms": 3.0}},
    ],
    ids=["v1 lists", "v1 objects", "v2 tensor"],
)  # fmt: skip
def test_kserve_carries_probabilities_and_measured_numbers(answer):
    decoder = DECODERS["kserve"](SETTINGS)
    decoded = decoder.events(raw([cloud("request", {"instances": [{}, {}]}), cloud("response", answer)]))
    [batch] = decoded.events
    np.testing.assert_allclose(batch.columns.vectors["probabilities"], [[0.1, 0.7, 0.2], [0.5, 0.3, 0.2]], rtol=1e-6)
    assert batch.columns.label.to_list() == ["cat", "bird"]
    if "parameters" in answer:
        assert batch.columns.numbers["cost_usd"].tolist() == [0.25, 0.25]
        assert batch.columns.numbers["queue_ms"].tolist() == [3.0, 3.0]


def test_kserve_refuses_numbers_without_names():
    settings_ = DecodeSettings(models={"pets": ModelSchema(Schema((), (), "binary", "yes"))})
    decoder = DECODERS["kserve"](settings_)
    decoded = decoder.events(raw([cloud("request", {"instances": [{}]}), cloud("response", {"predictions": [[0.1, 0.9]]})], KEY))
    assert [d.reason for d in decoded.dead] == ["wrong_type"] and "classes" in decoded.dead[0].detail


def test_the_config_says_what_a_prediction_holds():
    cfg = parse_config(
        "models: [{name: a, task: multiclass, classes: [x, y], embedding: {dim: 3}, numbers: [steps]},"
        " {name: b, task: quantile, quantiles: [0.9, 0.1]}, {name: c}]", "c.yaml",
    )  # fmt: skip
    a, b, c = (schema_of(m, None) for m in cfg.models)
    assert a.vectors == {"probabilities": 2, "embedding": 3} and a.numbers == ("steps",) and a.classes == ("x", "y")
    assert b.quantiles == (0.1, 0.9) and b.vectors == {"quantiles": 2} and c.numbers == NUMBER_FIELDS and c.vectors == {}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{name: m, task: binary, positive_label: y, classes: [a]}", "means nothing for task binary"),
        ("{name: m, task: multilabel}", "needs classes"),
        ("{name: m, task: quantile}", "needs quantiles"),
        ("{name: m, task: quantile, quantiles: [0.5, 0.5]}", "twice"),
        ("{name: m, task: quantile, quantiles: [1.5]}", "less than 1"),
        ("{name: m, numbers: [latency_ms]}", "every event has"),
        ("{name: m, embedding: {dim: 0}}", "greater than or equal to 1"),
        ("{name: m, task: ranking, positive_label: y}", "means nothing for task ranking"),
    ],
)
def test_the_config_refuses(text, words):
    with pytest.raises(ConfigError, match=words):
        parse_config(f"models: [{text}]", "c.yaml")
