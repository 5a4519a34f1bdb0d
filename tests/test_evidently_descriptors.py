"""Evidently's descriptors of texts: equal to its own on the same texts; what needs a network, or texts that no row keeps, is refused."""

from __future__ import annotations

import inspect
import math
import zipfile
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from detectors.columns import DictColumn, Schema
from monitor.config import ConfigError, parse_config
from monitor.evidently_data import Samples
from monitor.evidently_descriptors import DESCRIPTORS, REFUSED_DESCRIPTORS, alias_of
from monitor.evidently_job import score_metrics
from monitor.evidently_texts import described
from tests.slow_world import plain

pytestmark = pytest.mark.timeout(600)  # Evidently takes seconds to import on a busy machine
ONE = {
    "BeginsWith": {"prefix": "Hello"}, "Contains": {"items": ["world", "1"]}, "DoesNotContain": {"items": ["world", "1"]},
    "EndsWith": {"suffix": "1"}, "ExcludesWords": {"words_list": ["late", "x"], "lemmatize": False},
    "IncludesWords": {"words_list": ["late", "x"], "lemmatize": False},
    "JSONSchemaMatch": {"expected_schema": {"a": "int"}, "validate_types": True}, "RegExp": {"reg_exp": "[0-9]"},
    "TextMatch": {"match_items": ["late"], "word_boundaries": True}, "TriggerWordsPresent": {"words_list": ["late"], "lemmatize": False},
    "WordsPresence": {"words_list": ["late"], "mode": "excludes_all", "lemmatize": False},
}  # fmt: skip
TWO = {"ExactMatch": {}, "ItemMatch": {}, "ItemNoMatch": {}, "WordMatch": {"lemmatize": False}, "WordNoMatch": {"lemmatize": False}}
CORPUS = {"OOVWordsPercentage", "Sentiment"}
TEXTS = ["Hello, world. Hello!", '{"a": 1}', '{"a": "x"}', "x = 1", "select 1", "late http://x.org parcels", "late", "n1"]


def options_of(name):
    if name == "JSONMatch":
        return {"first_column": "note", "second_column": "town"}
    return {**TWO[name], "columns": ["note", "town"]} if name in TWO else {"column_name": "note", **ONE.get(name, {})}


def side(rng, n, words, missing=0):
    texts = [None if i < missing else str(rng.choice(words)) for i in range(n)]
    rows = plain({"a": rng.normal(size=n)}, np.zeros(n), None, {"town": rng.choice(TEXTS[1:], n).tolist()})
    return replace(rows, raw={"note": DictColumn.from_list(texts)}), texts


def entry(name, **options):
    return {"descriptor": name, "options": options_of(name) | options}


def test_the_descriptors_that_the_daemon_knows_are_those_of_evidently():
    import evidently.descriptors as theirs

    assert {n for n in dir(theirs) if callable(getattr(theirs, n)) and n[0].isupper()} == DESCRIPTORS | set(REFUSED_DESCRIPTORS)
    assert not DESCRIPTORS & set(REFUSED_DESCRIPTORS)
    of_others = {n for n in DESCRIPTORS if {"provider", "model", "func"} & set(inspect.signature(getattr(theirs, n)).parameters)}
    assert not of_others, "none that is allowed asks a model, or takes a function"


def test_every_descriptor_of_texts_is_evidentlys_own_on_the_same_frame():
    """Row by row, and by three metrics of each; those that look up a corpus say which one is lacking."""
    import evidently.descriptors as theirs
    from evidently import DataDefinition, Dataset, Report
    from evidently.metrics import MeanValue, UniqueValueCount, ValueDrift

    rng = np.random.default_rng(1)
    (window, after), (reference, before) = side(rng, 120, TEXTS[:-1]), side(rng, 160, TEXTS)
    names = sorted(DESCRIPTORS - CORPUS)
    wanted = [entry(n) for n in names]
    samples = Samples(Schema(("a",), ("town",), "none", kinds={"note": "text"}), (window, reference))
    frames = []
    for rows, texts in ((window, after), (reference, before)):
        data = pd.DataFrame({"a": rows.numeric["a"], "town": rows.categorical["town"].to_list(), "note": texts})
        definition = DataDefinition(numerical_columns=["a"], categorical_columns=["town"], text_columns=["note"])
        arguments = {n: options_of(n) for n in names}
        arguments["JSONSchemaMatch"] = arguments["JSONSchemaMatch"] | {"expected_schema": {"a": int}}
        made = [getattr(theirs, n)(**arguments[n], alias=alias_of(n, options_of(n))) for n in names]
        frames.append(Dataset.from_pandas(data, data_definition=definition, descriptors=made))
    ours = described(window, wanted, "window")
    assert not ours.failed and len(ours.values()) == len(names) == 25
    assert set(ours.numeric) == {
        f"note.{n}" for n in ("text_length", "word_count", "sentence_count", "non_letter_character_percentage")
    }
    for alias, values in ours.values().items():
        assert values.tolist() == frames[0].as_dataframe()[alias].tolist(), alias
        assert len({str(v) for v in values.tolist()}) > 1, f"{alias} says something"

    metrics, own = [], []
    for alias in ours.values():
        kinds = [MeanValue, ValueDrift] if alias in ours.numeric else [UniqueValueCount, ValueDrift]
        metrics += [{"metric": kind.__name__, "options": {"column": alias}} for kind in kinds]
        own += [kind(column=alias) for kind in kinds]
    found = {(s.subject, s.name): s for s in score_metrics(samples, metrics, "r", wanted)}
    for result in Report(own).run(*frames).dict()["metrics"]:
        config, value = result["config"], result["value"]
        kind = config["type"].rsplit(":", 1)[-1]
        name = {"MeanValue": "mean_value", "ValueDrift": "value_drift"}.get(kind)
        if name is None:
            for key, count in value["counts"].items():
                assert found[config["column"], f"evidently_unique_value_count_counts_{key}"].value == count
        else:
            assert found[config["column"], f"evidently_{name}"].value == pytest.approx(value, rel=1e-12), config
    grouped = {"metric": {"metric": "MeanValue", "options": {"column": "note.text_length"}}, "column_name": "note.contains"}
    by = {s.name: s.value for s in score_metrics(samples, [{"metric": "GroupBy", "options": grouped}], "r", wanted)}
    length, holds = ours.numeric["note.text_length"], ours.categorical["note.contains"].astype(bool)
    assert by == {f"evidently_group_by_metric_{is_}": pytest.approx(length[holds == is_].mean()) for is_ in (True, False)}


def test_a_descriptor_that_cannot_be_says_why_and_takes_no_other_one_with_it(monkeypatch, tmp_path):
    import nltk

    monkeypatch.setattr(nltk.data, "path", [str(tmp_path)])
    rng = np.random.default_rng(2)
    (window, texts), (bare, _) = side(rng, 60, TEXTS, missing=5), side(rng, 60, TEXTS, missing=60)
    samples = Samples(Schema(("a",), ("town",), "none", kinds={"note": "text"}), (window, window))
    wanted = [entry("Sentiment"), entry("TextLength"), entry("WordMatch", lemmatize=True), entry("JSONSchemaMatch")]
    metrics = [{"metric": "MeanValue", "options": {"column": f"note.{n}"}} for n in ("sentiment", "text_length")]
    lacks, length, *all_of = score_metrics(samples, [*metrics, {"metric": "TextEvals"}], "r", wanted)
    assert math.isnan(lacks.value) and "needs NLTK's vader_lexicon" in lacks.evidence["reason"]
    assert length.value == pytest.approx(np.mean([len(t or "") for t in texts])) and not length.evidence
    short = replace(samples, schema=replace(samples.schema, parts={"sample": {"text_chars": 20}}))
    (cut,) = score_metrics(short, metrics[1:], "r", wanted)
    assert cut.evidence == {"cut_texts": sum(len(t or "") >= 20 for t in texts)}
    assert {s.subject for s in all_of if s.subject.startswith("note.")} == {"note.text_length", "note.json_schema_match"}
    (said,) = {tuple(s.evidence["left_out"]) for s in all_of}
    assert len(said) == 2 and "wordnet" in said[1] and "or write lemmatize: false" in said[1]
    schema_match = described(window, wanted, "window").categorical["note.json_schema_match"]
    assert [v is None or v != v for v in schema_match] == [t is None for t in texts], (
        "missing texts are missing, where Evidently fails"
    )

    old = replace(samples, rows=(window, bare))
    (refused,) = score_metrics(old, metrics[1:], "r", wanted)
    want = "note.text_length: the reference holds no texts of 'note': build it anew, with `sample: {texts: [...]}`"
    assert refused.evidence["reason"] == want
    (twice,) = score_metrics(samples, [{"metric": "MeanValue", "options": {"column": "a"}}], "r", [entry("TextLength", alias="a")])
    assert "there is a column 'a' already" in str(twice.evidence)


def test_a_corpus_that_the_machine_has_is_used(monkeypatch, tmp_path):
    import evidently.descriptors as theirs
    import nltk
    from evidently import DataDefinition, Dataset

    (tmp_path / "sentiment").mkdir()
    with zipfile.ZipFile(tmp_path / "sentiment" / "vader_lexicon.zip", "w") as lexicon:
        lexicon.writestr("vader_lexicon/vader_lexicon.txt", "late\t-1.5\t0.5\t[-1]\nhello\t2.0\t0.5\t[2]")
    monkeypatch.setattr(nltk.data, "path", [str(tmp_path)])
    monkeypatch.setattr(nltk, "download", lambda *args, **kwargs: False)
    window, texts = side(np.random.default_rng(3), 40, TEXTS)
    own = Dataset.from_pandas(
        pd.DataFrame({"note": texts}), data_definition=DataDefinition(text_columns=["note"]),
        descriptors=[theirs.Sentiment("note", alias="mood")],
    )  # fmt: skip
    found = described(window, [entry("Sentiment", alias="mood")], "window").numeric["mood"]
    assert found.tolist() == own.as_dataframe()["mood"].tolist() and min(found) < 0 < max(found)


CONFIG = """
models:
- name: m
  features: {{a: numeric, town: category, comment: text, hidden: text}}
  sample: {{rows: 500, texts: [comment], mask: [hidden]}}
  evidently: [{{metric: TextEvals}}]
  evidently_descriptors: [{}]
"""


@pytest.mark.parametrize(
    ("written", "words"),
    [
        ("{descriptor: LLMEval, options: {column_name: comment}}", "asks a language model over the network"),
        ("{descriptor: SemanticSimilarity, options: {columns: [comment, town]}}", "downloads a model"),
        ("{descriptor: CustomDescriptor, options: {func: f}}", "takes a function of Python"),
        ("{descriptor: TestSummary}", "write thresholds"),
        ("{descriptor: WordCont, options: {column_name: comment}}", "did you mean 'WordCount'?"),
        ("{descriptor: WordCount}", "reads no column"),
        ("{descriptor: WordCount, options: {column_name: a}}", "no feature 'a' of kind text or category"),
        ("{descriptor: WordCount, options: {column_name: hidden}}", "in sample.mask"),
        ("{descriptor: WordCount, options: {column_name: comment, alias: a}}", "there is a column 'a' already"),
        ("{descriptor: WordCount, options: {column_name: comment, tests: []}}", "judged by the daemon"),
    ],
)
def test_a_config_says_which_descriptors_cannot_be_and_what_to_do(written, words):
    parse_config(CONFIG.format("{descriptor: WordCount, options: {column_name: comment}}"), "c")
    with pytest.raises(ConfigError) as caught:
        parse_config(CONFIG.format(written), "c")
    assert words in str(caught.value)


def test_a_descriptor_of_texts_that_no_row_keeps_is_refused_with_the_sample_to_write():
    one = CONFIG.format("{descriptor: WordCount, options: {column_name: comment}}")
    with pytest.raises(ConfigError) as caught:
        parse_config(one.replace("texts: [comment], ", ""), "c")
    assert "write sample: {rows: 500, texts: [comment]}" in str(caught.value)
    with pytest.raises(ConfigError) as unread:
        parse_config(one.replace("  evidently: [{metric: TextEvals}]\n", ""), "c")
    assert "no metric reads them; write evidently: [{metric: TextEvals}]" in str(unread.value)
