"""The retrain loop: what may begin it, its record on both databases, how it is followed, and whether it helped."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy import stats
from starlette.testclient import TestClient

import monitor
from alerts.channels.base import Failed, Retry, Sent, Skipped
from alerts.channels.retrain import RetrainChannel
from alerts.notification import Member, Notification
from alerts.retraining.adapter import Finished, Running, Started
from alerts.retraining.policy import Past, RetrainPolicy, decide, may_start
from alerts.retraining.request import RetrainRequest
from alerts.schedule import Schedule
from detectors.columns import TASKS, Schema
from detectors.gain import compare
from detectors.performance import PerformanceSummary
from detectors.score_names import PERFORMANCE
from monitor.budget import AUTOMATIC
from monitor.checkpoint import ScoreRow, WindowRow
from monitor.config import ConfigError, parse_config
from monitor.config.template import unknown_fields
from monitor.health import Health
from monitor.lineage import enricher
from monitor.metrics import Metrics
from monitor.model import Model
from monitor.retraining import DEFAULT_METRIC, POLL_MS, Retraining
from monitor.store import StoredReference, open_store
from monitor.store.retrains import UnknownRetrain, WrongState
from monitor.trial import outcomes_of
from monitor.web import Access, Shown
from monitor.web.server import build_app

HOUR, DAY = 3_600_000, 86_400_000
T0 = 1_790_000_000_000
SECRET = "whsec_" + base64.b64encode(b"canary-secret-canary-secret").decode()
MODEL = Model("credit", Schema((), (), "binary", "yes"), 60_000, 60_000, 0)


def finding(subject="performance", score="accuracy", status="firing"):
    return Member(
        "a" * 16, status, "threshold_crossed", "accuracy-fell", "critical", "3", "", subject, score, "breach", 0.7, 0.85, 500,
        T0 - HOUR, "first_5_windows", {"note": 1},
    )  # fmt: skip


def note(key="key-1", *members, status="firing"):
    members = members or (finding(),)
    m = members[0]
    return Notification(
        key, m.alert, status, m.reason, m.rule, m.severity, "credit", m.version, "", m.subject, m.score, m.value, m.threshold,
        m.rows, T0 - 60_000, T0, m.since_ms, m.reference, m.evidence, 2, members=members, count=len(members),
    )  # fmt: skip


class Pipeline:
    """An adapter that does what it is told and remembers what it was asked."""

    def __init__(self, *starts, polls=()):
        self.starts, self.polls, self.asked = list(starts), list(polls), []

    def start(self, request, now_ms):
        self.asked.append(request)
        return self.starts.pop(0) if self.starts else Started("run-1", "https://x.example/run-1")

    def poll(self, run, now_ms):
        assert run == "run-1"
        return self.polls.pop(0) if self.polls else None


@pytest.fixture
def store(store_url):
    store = open_store(store_url)
    store.migrate()
    yield store
    store.close()


def loop_of(store, pipeline=None, **policy):
    channel = RetrainChannel(pipeline or Pipeline(), RetrainPolicy(**policy), "retrain", store.retrains)
    return channel, Retraining(store, {"retrain": channel}, {"credit": MODEL}, jitter=lambda: 0.0)


def newest(store):
    return store.retrains.listed("credit")[0][0]


# what may begin


def past(status, at, verdict="", begun=True):
    return Past(f"id-{at}", status, verdict, at, at if begun else -1)


@pytest.mark.parametrize(
    ("policy", "kind", "history", "status", "reason"),
    [
        ({}, "performance", [], "waiting", "allows"),
        ({}, "drift", [], "", "does not count"),
        ({"on": ("drift",)}, "drift", [], "waiting", "allows"),
        ({"mode": "approve"}, "concept", [], "proposed", "approval"),
        ({"mode": "dry_run"}, "concept", [], "dry_run", "dry_run"),
        ({}, "concept", [past("started", T0 - DAY)], "", "under_way"),
        ({}, "concept", [past("proposed", T0 - DAY, begun=False)], "", "under_way"),
        ({}, "concept", [past("succeeded", T0 - DAY)], "", "under_way"),
        ({}, "concept", [past("succeeded", T0 - HOUR, "helped")], "", "cooldown"),
        ({}, "concept", [past("succeeded", T0 - 7 * HOUR, "helped")], "waiting", "allows"),
        ({}, "concept", [past("failed", T0 - 7 * HOUR), past("succeeded", T0 - 20 * HOUR, "helped")], "", "max_per_day"),
        ({}, "concept", [past("rejected", T0 - 1, begun=False)], "", "cooldown"),
        ({}, "concept", [past("rejected", T0 - 7 * HOUR, begun=False)], "waiting", "allows"),
        ({"mode": "dry_run"}, "concept", [past("dry_run", T0 - HOUR, begun=False)], "", "cooldown"),
        ({"mode": "dry_run", "max_per_day": 1}, "concept", [past("dry_run", T0 - 7 * HOUR, begun=False)], "", "max_per_day"),
        ({}, "concept", [past("succeeded", T0 - 2 * DAY, "not_helped"), past("failed", T0 - 3 * DAY)], "blocked", "human"),
        ({}, "concept", [past("succeeded", T0 - 2 * DAY, "helped"), past("failed", T0 - 3 * DAY), past("failed", T0 - 4 * DAY)],
         "waiting", "allows"),
        ({}, "concept", [past("blocked", T0 - DAY, begun=False), past("failed", T0 - 2 * DAY), past("failed", T0 - 3 * DAY)],
         "", "blocked"),
    ],
)  # fmt: skip
def test_the_policy_decides(policy, kind, history, status, reason):
    found = decide(RetrainPolicy(**policy), kind, "new", history, -1, T0)
    assert found.status == status and reason in found.reason


def test_a_known_request_and_a_reset():
    history = [past("failed", T0 - 2 * DAY), past("failed", T0 - 3 * DAY)]
    assert decide(RetrainPolicy(), "concept", history[0].id, history, -1, T0).reason == "known"
    assert decide(RetrainPolicy(), "concept", "new", history, T0 - DAY, T0).status == "waiting"


def test_it_waits_for_labels_and_the_end_of_quiet_hours_and_expires():
    night = Schedule(frozenset(range(7)), 22 * 60, 6 * 60, "UTC")
    policy = RetrainPolicy(min_new_labels=100, quiet=night, expires_ms=DAY)
    noon = T0 // DAY * DAY + 12 * HOUR
    assert may_start(policy, 99, noon, noon) == ("waiting", "99 of 100 new labels")
    assert may_start(policy, 100, noon, noon) == ("due", "")
    assert may_start(policy, 100, noon, noon + 11 * HOUR)[0] == "waiting"
    assert may_start(policy, 0, noon, noon + DAY)[0] == "expired"


def test_only_what_fires_asks_and_the_kind_that_counts_is_chosen(store):
    channel, _ = loop_of(store)
    assert channel.send(note("k0", finding(status="resolved"), status="resolved"), 1, T0) == Skipped("not_firing")
    assert "does not count" in channel.send(note("k1", finding("income", "psi")), 1, T0).reason
    assert channel.send(note("k2", finding("income", "psi"), finding("concept", "adwin")), 1, T0) == Sent()
    request = newest(store)["request"]
    assert request["kind"] == "concept" and request["id"] == "k2" and request["evidence"]["value"] == 0.7
    assert channel.send(note("k2"), 2, T0) == Skipped("known")
    assert RetrainChannel(Pipeline(), RetrainPolicy()).send(note(), 1, T0).reason.startswith("no store")


# how it is followed


def test_the_loop_closes(store):
    pipeline = Pipeline(polls=[Running(), Finished(True, "ok", "4")])
    channel, loop = loop_of(store, pipeline, observe_windows=3, tell=("slack",), reference="auto")
    store.save_reference(StoredReference("credit", "old", 1, 1, True, b"x"))
    store.save_reference(StoredReference("credit", "fresh", 1, 1, False, b"x"))
    channel.send(note(), 1, T0)
    assert newest(store)["status"] == "waiting"
    assert loop.step(T0) == 1 and newest(store)["status"] == "started" and newest(store)["run"] == "run-1"
    assert loop.step(T0 + 1) == 0, "leased or not due"
    loop.step(T0 + POLL_MS)
    assert newest(store)["status"] == "started"
    loop.step(T0 + 2 * POLL_MS)
    assert newest(store)["status"] == "succeeded" and newest(store)["new_version"] == "4"
    store.retrains.move("key-1", "succeeded", T0, reference="fresh")
    loop.step(T0 + 3 * POLL_MS)
    assert newest(store)["verdict"] == ""
    publish(store, {"3": [0.70, 0.71, 0.69], "4": [0.90, 0.91, 0.92]}, T0 + HOUR)
    loop.step(T0 + 4 * HOUR)
    row = newest(store)
    assert row["verdict"] == "helped" and row["verdict_detail"]["paired"] and row["verdict_detail"]["metric"] == "accuracy"
    assert [r.name for r in store.references("credit") if r.active] == ["fresh"]
    kinds = [a["kind"] for a in reversed(store.actions.audit(limit=20)[0])]
    assert kinds == ["retrain_waiting", "retrain_started", "retrain_succeeded", "retrain_verdict", "retrain_reference_switched"]
    told = [json.loads(r.body) for r in store.outbox.claim_due(T0 + DAY, 100, 1)]
    assert [t["reason"] for t in told] == ["retrain_started", "retrain_succeeded", "retrain_helped"]
    assert all(t["status"] == "retrain" for t in told) and loop.step(T0 + 5 * HOUR) == 0


def publish(store, versions, start, name="accuracy"):
    """A window for each value, of all versions side by side."""
    for i in range(max(map(len, versions.values()))):
        begin = start + i * 60_000
        window = WindowRow("credit", begin, begin + 60_000, 1, 100, 100, 0, "", "h", {}, begin)
        scores = []
        for version, values in versions.items():
            if i < len(values):
                for subject, score, value in (("performance", name, values[i]), ("traffic", "rows", 100.0)):
                    scores.append(
                        ScoreRow("credit", version, "", begin, begin + 60_000, 1, subject, score, value, 100, "", None, "ok")
                    )
        with store.publishing("credit") as tx:
            tx.write_window(window, scores)


def test_a_version_that_nobody_named_is_found_and_judged_against_the_windows_before(store):
    channel, loop = loop_of(store, observe_windows=3)
    channel.send(note(), 1, T0)
    loop.step(T0)
    publish(store, {"3": [0.9, 0.72, 0.70, 0.71]}, T0 - 600_000)
    store.retrains.report("key-1", "succeeded", T0 + 1)
    publish(store, {"4": [0.70, 0.71, 0.69]}, T0 + HOUR)
    loop.step(T0 + 2 * HOUR)
    row = newest(store)
    assert row["new_version"] == "4" and row["verdict"] == "not_helped" and not row["verdict_detail"]["paired"]
    assert row["verdict_detail"]["before"] == pytest.approx(0.71)


def test_without_a_new_version_the_verdict_is_unknown_in_the_end(store):
    channel, loop = loop_of(store, observe_ms=DAY)
    channel.send(note(), 1, T0)
    loop.step(T0)
    store.retrains.report("key-1", "succeeded", T0 + 1)
    loop.step(T0 + HOUR)
    assert newest(store)["verdict"] == ""
    loop.step(T0 + 2 * DAY)
    assert newest(store)["verdict"] == "unknown"


def test_retrains_that_do_not_help_raise_a_human_alert_instead_of_another(store):
    pipeline = Pipeline(Failed("no"), Failed("no"))
    channel, loop = loop_of(store, pipeline, cooldown_ms=0, max_per_day=9, tell=("pager",))
    with store.publishing("credit") as tx:
        before = tx.alert_news()
    for i in range(2):
        assert channel.send(note(f"k{i}"), 1, T0 + i) == Sent()
        loop.step(T0 + i)
    assert channel.send(note("k2"), 1, T0 + 10) == Sent() and newest(store)["status"] == "blocked"
    assert channel.send(note("k3"), 1, T0 + 11) == Skipped("blocked") and len(pipeline.asked) == 2
    with store.publishing("credit") as tx:
        stands, after = tx.facts()["retraining"], tx.alert_news()
        assert stands.value == 2 and "did not help" in stands.evidence["why"] and after != before, "the next tick sees it"
    store.retrains.reset("credit", "ada", "data fixed", T0 + 20)
    with store.publishing("credit") as tx:
        assert tx.facts() == {} and tx.alert_news() != after
    assert channel.send(note("k4"), 1, T0 + 30) == Sent() and newest(store)["status"] == "waiting"


def test_a_system_that_is_away_is_tried_again_with_the_same_id_and_given_up_after_a_day(store):
    pipeline = Pipeline(Retry(None, "503"), Retry(5_000_000, "429"))
    channel, loop = loop_of(store, pipeline)
    channel.send(note(), 1, T0)
    loop.step(T0)
    assert newest(store)["status"] == "due" and newest(store)["error"] == "503"
    assert loop.step(T0 + 999) == 0
    loop.step(T0 + 1000)
    assert newest(store)["next_at_ms"] == T0 + 1000 + 5_000_000, "Retry-After is honoured"
    loop.step(T0 + DAY // 2)
    assert newest(store)["status"] == "started" and {r.id for r in pipeline.asked} == {"key-1"}
    channel, _ = loop_of(store, Pipeline(*[Retry(None, "503")] * 2000), cooldown_ms=0, max_futile=9, max_per_day=99)
    loop = Retraining(store, {"retrain": channel}, {"credit": MODEL}, jitter=lambda: 0.999)
    store.retrains.report("key-1", "failed", T0 + DAY // 2)
    channel.send(note("k2"), 1, T0 + DAY)
    at = T0 + DAY
    while newest(store)["status"] in ("waiting", "due"):
        loop.step(at)
        at = max(at + 1, newest(store)["next_at_ms"])
    assert newest(store)["status"] == "failed" and "given up" in newest(store)["error"] and at - T0 > 1.9 * DAY


def test_what_the_system_last_said_is_kept_and_told_at_the_end(store):
    channel, loop = loop_of(store, Pipeline(polls=[Retry(90_000, "Airflow answered 401"), Running(), Retry(None, "503")]))
    channel.send(note(), 1, T0)
    loop.step(T0)
    loop.step(T0 + POLL_MS)
    assert newest(store)["error"] == "Airflow answered 401" and newest(store)["next_at_ms"] == T0 + POLL_MS + 90_000
    loop.step(T0 + HOUR)
    assert newest(store)["status"] == "started" and newest(store)["error"] == ""
    loop.step(T0 + 2 * HOUR)
    loop.step(T0 + 8 * DAY)
    assert newest(store)["status"] == "failed" and newest(store)["error"] == "no word of its end in time; asked last: 503"


def test_a_proposed_one_waits_for_a_human(store):
    channel, loop = loop_of(store, mode="approve")
    channel.send(note(), 1, T0)
    assert loop.step(T0) == 0 and newest(store)["status"] == "proposed"
    row = store.retrains.approve("key-1", "ada", "go", T0 + 1)
    assert row["author"] == "ada" and row["status"] == "waiting"
    with pytest.raises(WrongState):
        store.retrains.reject("key-1", "bob", "", T0 + 2)
    loop.step(T0 + 2)
    assert newest(store)["status"] == "started"
    channel, _ = loop_of(store, mode="approve", cooldown_ms=0)
    store.retrains.report("key-1", "failed", T0 + 3)
    channel.send(note("other-key"), 1, T0 + 4)
    assert store.retrains.reject("other-", "bob", "no need", T0 + 5)["status"] == "rejected"
    with pytest.raises(UnknownRetrain):
        store.retrains.get("nothing")


def test_a_proposal_expires_and_an_approved_one_has_its_time_from_the_approval_on(store):
    channel, loop = loop_of(store, mode="approve", expires_ms=DAY, tell=("pager",))
    channel.send(note("first-one"), 1, T0)
    assert loop.step(T0 + DAY - 1) == 0
    store.retrains.approve("first-one", "ada", "go", T0 + DAY - 1)
    loop.step(T0 + DAY + HOUR)
    assert newest(store)["status"] == "started"
    store.retrains.report("first-one", "failed", T0 + DAY + HOUR)
    channel.send(note("second-one"), 1, T0 + 2 * DAY)
    loop.step(T0 + 3 * DAY)
    row = newest(store)
    assert (row["id"], row["status"], row["reason"]) == ("second-one", "expired", "nobody approved it in time")
    with pytest.raises(WrongState):
        store.retrains.approve("second-one", "ada", "go", T0 + 3 * DAY)
    channel.send(note("third-one"), 1, T0 + 3 * DAY + 1)
    assert newest(store)["status"] == "proposed", "an expired one stands in nobody's way"


def test_pages_lose_none_of_those_that_were_asked_for_at_once(store):
    for i in range(7):
        channel, _ = loop_of(store)
        channel.send(replace(note(f"k{i}"), model=f"m{i}"), 1, T0)
    seen, after = [], None
    while not seen or after is not None:
        rows, after = store.retrains.listed(limit=3, after=after)
        seen += [r["id"] for r in rows]
    assert seen == [f"k{i}" for i in range(7)]


def labelled(store, labels, size_ms=60_000, slide_ms=60_000, start=T0):
    """Windows with so many labelled rows each; written again, they are revisions."""
    with store.publishing("credit") as tx:
        for i, count in enumerate(labels):
            begin = start + i * slide_ms
            tx.write_window(WindowRow("credit", begin, begin + size_ms, 1, 100, count, 0, "", "h", {}, begin), [])


def test_new_labels_are_those_that_came_since_the_last_retrain_began(store):
    start = (T0 - DAY) // 180_000 * 180_000
    labelled(store, [50, 0, 10], start=start)
    assert store.retrains.new_labels("credit") == 60
    channel, loop = loop_of(store, min_new_labels=61, cooldown_ms=0)
    channel.send(note(), 1, T0)
    loop.step(T0)
    assert newest(store)["status"] == "waiting" and newest(store)["reason"] == "60 of 61 new labels"
    labelled(store, [50, 40, 10], start=start)
    loop.step(T0 + HOUR)
    assert newest(store)["status"] == "started" and store.retrains.new_labels("credit") == 0
    labelled(store, [50, 70, 10], start=start)
    assert store.retrains.new_labels("credit") == 30, "late labels of windows from before it began"
    labelled(store, [5], start=start + 2 * DAY)
    assert store.retrains.new_labels("credit") == 35


def test_sliding_windows_count_each_label_once(store):
    labelled(store, [30] * 30, size_ms=60_000, slide_ms=20_000, start=T0 // 60_000 * 60_000)
    assert store.retrains.new_labels("credit") == 300
    facts = store.digests.facts({"credit": 0}, T0 // 60_000 * 60_000, T0 + DAY)
    assert (facts[0].windows, facts[0].rows, facts[0].labelled_rows) == (30, 1000, 300)


def test_two_couriers_make_one_record_and_two_replicas_one_start(store):
    channel, loop = loop_of(store)
    other_channel, other = loop_of(store, channel.adapter)
    assert channel.send(note("k1"), 1, T0) == Sent() and other_channel.send(note("k2"), 1, T0) == Skipped("under_way")
    assert loop.step(T0) + other.step(T0) == 1 and len(channel.adapter.asked) == 1


def test_a_report_comes_twice_or_too_late(store):
    channel, loop = loop_of(store)
    channel.send(note(), 1, T0)
    loop.step(T0)
    assert store.retrains.report("key-1", "started", T0 + 1)["status"] == "started"
    one = store.retrains.report("key-1", "succeeded", T0 + 2, "4", "fine")
    assert store.retrains.report("key-1", "succeeded", T0 + 3, "5")["new_version"] == one["new_version"] == "4"
    with pytest.raises(WrongState):
        store.retrains.report("key-1", "failed", T0 + 4)
    with pytest.raises(ValueError, match="started, succeeded, failed"):
        store.retrains.report("key-1", "done", T0 + 4)


def test_a_channel_that_left_the_config_fails_its_records(store):
    channel, _ = loop_of(store)
    channel.send(note(), 1, T0)
    Retraining(store, {}, {"credit": MODEL}).step(T0)
    assert newest(store)["status"] == "failed" and "no retrain channel 'retrain'" in newest(store)["error"]


# whether it helped


def test_the_comparison_is_students_and_welchs():
    rng = np.random.default_rng(5)
    old = {i: (float(v), 100) for i, v in enumerate(rng.normal(0.7, 0.02, 6))}
    new = {i: (float(v), 100) for i, v in enumerate(rng.normal(0.72, 0.02, 6))}
    gaps = [new[i][0] - old[i][0] for i in old]
    assert compare("accuracy", old, new).p == pytest.approx(stats.ttest_1samp(gaps, 0, alternative="greater").pvalue)
    apart = {i + 100: v for i, v in new.items()}
    oracle = stats.ttest_ind([v for v, _ in new.values()], [v for v, _ in old.values()], equal_var=False, alternative="greater")
    found = compare("accuracy", old, apart)
    assert found.p == pytest.approx(oracle.pvalue) and not found.paired
    for metric, doc in PERFORMANCE.items():
        gain = compare(metric, {1: (1.0, 9), 2: (1.02, 9)}, {1: (2.0, 9), 2: (2.02, 9)})
        verdict = {"below": "helped", "above": "not_helped", "": "unknown"}[doc.worse]
        assert gain.verdict == verdict, metric
    assert compare("pinball:0.5", old, apart).gain == pytest.approx(-found.gain)
    assert compare("own_metric", old, apart).verdict == "unknown"
    assert compare("mae", old, apart).gain == pytest.approx(-found.gain)
    assert compare("accuracy", old, {900: (0.9, 5)}).verdict == "unknown"
    assert compare("accuracy", {1: (0.5, 1), 2: (0.5, 1)}, {1: (0.6, 1), 2: (0.6, 1)}).verdict == "helped"


# lineage, API


CONFIG = """
sources: [{name: p, type: kafka, topics: [log], bootstrap_servers: "k:9092"}]
models:
  - name: credit
    lineage: {"*": {dataset_version: dvc-1}, "3": {mlflow_run_id: abc}}
    rows_query: "SELECT * FROM log WHERE v = '{version}' AND ts >= '{from}' AND ts < {to_ms}"
"""


def test_the_request_carries_where_the_model_and_the_rows_come_from():
    enrich = enricher(parse_config(CONFIG, "t"))
    request = RetrainRequest("i", "credit", "3", "", "r", "concept", "x", "critical", "a", 0, 120_000, 60_000, "ref")
    found = enrich(request)
    assert found.lineage == {"dataset_version": "dvc-1", "mlflow_run_id": "abc", "reference": "ref"}
    assert found.rows["sources"][0]["topics"] == ["log"] and found.rows["from_ms"] == 60_000
    assert found.rows["query"] == "SELECT * FROM log WHERE v = '3' AND ts >= '1970-01-01T00:01:00.000Z' AND ts < 120000"
    evil = enrich(replace(request, version="' OR 1=1 --"))
    assert "v = ''' OR 1=1 --'" in evil.rows["query"]
    assert json.loads(found.to_json())["id"] == "i" and RetrainRequest.from_json(found.to_json()) == found
    assert all(isinstance(v, str) for v in found.parameters().values())


@pytest.mark.parametrize(
    ("yaml", "says"),
    [
        ("models: [{name: m, rows_query: 'x {nope}'}]", "nope"),
        ("models: [{name: m, rows_query: 'x {from_ms:zz}'}]", r"write \{from_ms\}, values go in as they are"),
        ("alerts: {channels: {r: {type: retrain, adapter: airfow, url: 'https://x.example'}}}", "there is no retrain adapter"),
        ("alerts: {channels: {r: {type: retrain}}}", "url is missing"),
        (
            "alerts: {channels: {r: {type: retrain, url: 'https://x.example', options: {dagg: 1}}}}",
            "options.dagg = 1: means nothing for the adapter webhook",
        ),
        (
            "alerts: {channels: {r: {type: retrain, url: 'https://x.example', policy: {tell: [nobody]}}}}",
            "there is no channel 'nobody' to tell",
        ),
        ("alerts: {channels: {r: {type: retrain, url: 'https://x.example', policy: {mode: ask}}}}", "auto, approve, dry_run"),
        ("alerts: {channels: {r: {type: retrain, url: 'https://10.0.0.1/x'}}}", "allow_private"),
    ],
)
def test_the_check_says_what_is_wrong(yaml, says):
    with pytest.raises(ConfigError, match=says):
        parse_config("models: [{name: credit}]\n" + yaml if "models" not in yaml else yaml, "t")


def test_unknown_fields_of_a_template():
    assert unknown_fields("{from} {x} {{y}}") == ["x"]
    for bad in ("{from", "{from:{foo}}", "{model!x}", "{from_ms:zz}", "{version!r}", "{to:>10}"):
        with pytest.raises(ValueError):
            unknown_fields(bad)


def signed(body, secret=SECRET, at=T0 // 1000, message_id="m"):
    key = base64.b64decode(secret.removeprefix("whsec_"))
    digest = hmac.new(key, f"{message_id}.{at}.".encode() + body, hashlib.sha256).digest()
    signature = "v1," + base64.b64encode(digest).decode()
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(at),
        "webhook-signature": signature,
        "Content-Type": "application/json",
    }


def test_the_api_shows_approves_and_hears_jobs(store):
    channel, loop = loop_of(store, mode="approve")
    channel.send(note(), 1, T0)
    shown = Shown(store, {"credit": MODEL}, {}, lambda: T0, retrain_secrets=lambda name: (SECRET,) if name == "retrain" else ())
    app = build_app(Metrics(), Health(), None, Access(allow_actions=True), 10_000, shown)
    client = TestClient(app, base_url="http://localhost")
    assert client.get("/v1/retrains", params={"status": "proposed"}).json()["rows"][0]["id"] == "key-1"
    assert client.get("/v1/retrains/nothing").status_code == 404
    assert client.post("/v1/retrains/key-1/approve", json={"author": "ada"}).json()["status"] == "waiting"
    assert client.post("/v1/retrains/key-1/approve", json={}).status_code == 409
    loop.step(T0)
    closed = TestClient(build_app(Metrics(), Health(), None, Access(), 10_000, shown), base_url="http://localhost")
    body = json.dumps({"status": "succeeded", "version": "4"}).encode()
    assert closed.post("/v1/retrains/key-1", content=body).status_code == 403, "acting is off"
    for headers in (signed(body + b" "), signed(body, at=T0 // 1000 - 301), signed(body, "whsec_" + "B" * 32)):
        assert closed.post("/v1/retrains/key-1", content=body, headers=headers).status_code == 401
    assert newest(store)["status"] == "started"
    done = closed.post("/v1/retrains/key-1", content=body, headers=signed(body))
    assert done.status_code == 200 and done.json()["new_version"] == "4"
    assert client.post("/v1/retrains/key-1/reference", json={}).status_code == 409
    assert client.post("/v1/models/credit/retrains/reset", json={"author": "ada"}).json()["reset"]
    assert client.post("/v1/models/nobody/retrains/reset", json={}).status_code == 404


@pytest.mark.parametrize("task", [t for t in TASKS if t != "none"])
def test_a_retrain_that_concept_drift_began_is_judged_by_a_metric_that_the_task_has(task):
    """The page draws the same one first."""
    schema = Schema((), (), task, "1", classes=("a", "b"), quantiles=(0.1, 0.9))
    summary = PerformanceSummary.empty(schema)
    summary.add(outcomes_of(schema, ["1", "0"]))
    metric = DEFAULT_METRIC.get(task, "accuracy")
    assert metric in {m.name for m in summary.metrics()} and metric in AUTOMATIC
    script = (Path(monitor.__file__).parent / "web" / "static" / "views" / "model.js").read_text()
    drawn = dict(re.findall(r'(\w+): "(\w+)"', re.search(r"const QUALITY = \{(.*)\}", script)[1]))
    assert drawn == DEFAULT_METRIC and 'QUALITY[about.task] ?? "accuracy"' in script
