"""The HTTP side of the daemon: pushing until durable, bounds, metrics, health."""

from __future__ import annotations

import gzip
import json
import threading
import time
import urllib.error
import urllib.request

import pytest
from prometheus_client.parser import text_string_to_metric_families

from monitor.checkpoint import ScoreRow, WindowRow
from monitor.events import PartitionKey
from monitor.health import Health
from monitor.metrics import Metrics
from monitor.sources.http_queue import HttpSource
from monitor.web import Access, Token, WebServer, split


class Loop:
    """A data loop of the simplest kind: commits what it polls."""

    def __init__(self, source):
        self.source, self.values, self.stop = source, [], False
        self.hold = False
        source.start(self)
        self.thread = threading.Thread(target=self.run, daemon=True)

    def on_assign(self, source, keys):
        return dict.fromkeys(keys, -1)

    def run(self):
        while not self.stop:
            if self.hold:
                time.sleep(0.01)
                continue
            for role, raw in self.source.poll(1000, 20):
                self.values += [(role, v) for v in raw.values]
                self.source.commit({raw.key: raw.next_offset})


@pytest.fixture
def served():
    source = HttpSource("push", 5, lambda: 1, "host")
    loop = Loop(source)
    metrics, health = Metrics(), Health()
    server = WebServer("127.0.0.1:0", metrics, health, source.submit, Access([Token.of("t", ["admin"], "canary-token")]), 10_000)
    server.start()
    loop.thread.start()
    yield server, loop, metrics, health
    loop.stop = True
    server.stop()


def call(server, path, body=None, token="canary-token", **headers):
    request = urllib.request.Request(server.address + path, data=body, headers=headers)
    if token:
        request.add_header("Authorization", "Bearer " + token)
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, answer.read(), dict(answer.headers)
    except urllib.error.HTTPError as error:
        return error.code, error.read(), dict(error.headers)


def test_rows_are_accepted_once_they_are_durable(served):
    server, loop, _, _ = served
    assert call(server, "/v1/events", b'{"a":1}\n{"a":2}')[:2] == (202, b'{"rows":2}')
    assert call(server, "/v1/labels", b'[{"b":1},{"b":2},{"b":3}]')[0] == 202
    packed = gzip.compress(b'{\n "c": 1\n}')
    assert call(server, "/v1/events", packed, **{"Content-Encoding": "gzip"})[0] == 202
    assert [v for r, v in loop.values if r == "events"] == [b'{"a":1}', b'{"a":2}', b'{\n "c": 1\n}']
    assert len([v for r, v in loop.values if r == "labels"]) == 3


def test_a_full_queue_answers_429_with_retry_after(served):
    server, loop, _, _ = served
    loop.hold = True
    time.sleep(0.1)
    answers = []
    threads = [
        threading.Thread(target=lambda i=i: answers.append(call(server, "/v1/events", b'{"a":%d}\n{"a":%d}' % (i, i))))
        for i in range(4)
    ]
    for t in threads:
        t.start()
        time.sleep(0.1)
    time.sleep(0.3)
    assert [a[0] for a in answers] == [429, 429] and all(int(a[2]["retry-after"]) >= 1 for a in answers)
    loop.hold = False
    for t in threads:
        t.join(10)
    assert sorted(a[0] for a in answers) == [202, 202, 429, 429] and len(loop.values) == 4


@pytest.mark.parametrize(
    ("path", "body", "headers", "status"),
    [
        ("/v1/events", b"", {}, 400),
        ("/v1/events", b"x" * 10_001, {}, 413),
        ("/v1/events", gzip.compress(b" " * 10_000_000, mtime=0), {"Content-Encoding": "gzip"}, 413),
        ("/v1/events", b"no gzip", {"Content-Encoding": "gzip"}, 400),
        ("/v1/events", gzip.compress(b"{}", mtime=0)[:-4], {"Content-Encoding": "gzip"}, 400),
        ("/v1/events", b"{}", {"Content-Encoding": "br"}, 415),
        ("/v1/nothing", b"{}", {}, 404),
    ],
)
def test_bad_bodies_are_refused(served, path, body, headers, status):
    assert call(served[0], path, body, **headers)[0] == status


def test_every_route_but_health_needs_the_token(served):
    server = served[0]
    for path, body in (("/metrics", None), ("/v1/events", b"{}"), ("/v1/labels", b"{}")):
        for token in ("", "wrong"):
            status, text, headers = call(server, path, body, token)
            assert status == 401 and headers["www-authenticate"] == "Bearer" and b"canary" not in text
    assert call(server, "/healthy", token="")[0] == 200


def test_ready_says_what_is_missing(served):
    server, _, _, health = served
    status, body, _ = call(server, "/ready")
    assert status == 503 and json.loads(body)["store"] is False
    health.set_store(True)
    health.set_assigned(True)
    assert call(server, "/ready")[0] == 503
    health.set_lag_known(True)
    assert call(server, "/ready")[0] == 200


def window(start=0, rows=10):
    return WindowRow("m", start, start + 60_000, 1, rows, 5, 1, "r", "h", {}, 1)


def score(subject, value, start=0, level="ok", limit=0.1):
    return ScoreRow("m", "1", "", start, start + 60_000, 1, subject, "psi", value, 10, "r", limit, level)


def families(metrics):
    return {f.name: f for f in text_string_to_metric_families(metrics.render()[0].decode())}


def test_hostile_names_stay_one_series_and_the_limit_holds():
    metrics = Metrics(series_limit=3)
    evil = 'a"} 1\nevil 2\\'
    metrics.publish(window(), [score(evil, 0.5, level="breach")] + [score(f"f{i}", 0.1) for i in range(5)], 1500.0)
    found = families(metrics)
    assert "evil" not in found and len(found["driftd_score"].samples) == 3
    assert found["driftd_score"].samples[0].labels["feature"] == evil
    assert found["driftd_score_level"].samples[0].value == 3
    assert found["driftd_metric_series_hidden"].samples[0].value == 3
    assert found["driftd_label_delay_seconds"].samples[0].value == 1.5


def test_over_the_limit_what_is_looked_at_is_shown_first_and_what_is_left_out_does_not_pile_up():
    features = [score(f"f{i}", 0.1)._replace(score=name, level=level) for i in range(4)
                for name, level in (("mean", "unjudged"), ("ks", "ok"), ("drift", "ok"))]  # fmt: skip
    traffic = score("traffic", 10.0)._replace(score="rows", level="unjudged")
    metrics = Metrics(series_limit=7)
    for start in (0, 60_000):
        metrics.publish(window(start), [row._replace(window_start_ms=start) for row in (*features, traffic)], None)
        found = families(metrics)
        shown = [(s.labels["feature"], s.labels["score"]) for s in found["driftd_score"].samples]
        assert sorted(shown) == sorted([("traffic", "rows"), *((f"f{i}", "drift") for i in range(4)), ("f0", "ks"), ("f1", "ks")])
        assert found["driftd_metric_series_hidden"].samples[0].value == 6
    metrics.publish(window(120_000), [traffic._replace(window_start_ms=120_000)], None)
    assert families(metrics)["driftd_metric_series_hidden"].samples[0].value == 0


def test_a_feature_that_vanished_leaves_the_page_and_old_windows_do_not_return():
    metrics = Metrics()
    metrics.publish(window(0), [score("old", 0.1), score("kept", 0.1)], None)
    metrics.publish(window(60_000), [score("kept", 0.2, 60_000), score("none", None, 60_000)], None)
    metrics.publish(window(0), [score("kept", 0.9), score("old", 0.9)], None)
    values = {s.labels["feature"]: s.value for s in families(metrics)["driftd_score"].samples}
    assert set(values) == {"kept", "none"} and values["kept"] == 0.2 and values["none"] != values["none"]


def test_partitions_that_are_gone_leave_the_page():
    metrics = Metrics()
    key = PartitionKey("s", "t", 0)
    metrics.set_partition(key, 5, 1000, 3000)
    metrics.expire(3000)
    assert families(metrics)["driftd_watermark_lag_seconds"].samples[0].value == 2.0
    metrics.expire(4000)
    assert families(metrics)["driftd_consumer_lag"].samples == []


def test_split():
    assert split(b" [1, {}] ", 10) == [b"1", b"{}"]
    assert split(b'{"a":\n1}', 10) == [b'{"a":\n1}']
    assert split(b'{"a":1}\n\n{"b":2}\n', 10) == [b'{"a":1}', b'{"b":2}']
    assert split(b"[broken", 10) == [b"[broken"] and split(b"\n ", 10) == []
