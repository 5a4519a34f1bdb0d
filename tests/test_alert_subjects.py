"""Every subject of a score has a kind of its own, in routes and in what retraining heeds; only features are features."""

from __future__ import annotations

import re

import pytest

from alerts.subjects import BEGINNINGS, TROUBLES, WHOLE, kind_of, trouble_of
from detectors.score_names import FAMILIES

OF_FEATURES = {"features"}  # all of them together


def test_every_subject_that_the_tables_of_scores_name_is_known():
    named = {word for family in FAMILIES for word in re.findall(r"`([a-z_]+(?::[A-Z/:]+)?)", family)} - {"profile"}
    assert {"worst_segment", "fairness:SEGMENT", "compare:CHALLENGER/CHAMPION:METRIC", "check:NAME", "schema"} <= named
    for subject in named - OF_FEATURES:
        assert kind_of(subject) == subject.partition(":")[0], subject
    assert {*WHOLE.values(), *BEGINNINGS.values()} == set(TROUBLES)


@pytest.mark.parametrize(
    ("subject", "kind", "trouble"),
    [
        ("income", "feature", "drift"), ("income,age", "feature", "drift"), ("features", "feature", "drift"),
        ("usd:eur", "feature", "drift"), ("value:usd", "feature", "drift"), ("resource", "feature", "drift"),
        ("resource:server", "resource", "operations"), ("check:a:b", "check", "operations"), ("event:queue_ms", "event", "operations"),
        ("fairness:channel", "fairness", "fairness"), ("compare:4/3:error", "compare", "operations"),
        ("schema", "schema", "operations"), ("labels", "labels", "operations"), ("cost", "cost", "operations"),
        ("worst_segment", "worst_segment", "performance"), ("concept", "concept", "concept"), ("prediction", "prediction", "drift"),
    ],
)  # fmt: skip
def test_the_part_before_the_colon_says_what_it_is(subject, kind, trouble):
    assert (kind_of(subject), trouble_of(subject)) == (kind, trouble)
