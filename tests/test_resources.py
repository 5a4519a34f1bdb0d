"""Resources of the serving process: real processes, a real HTTP server, a stand-in for NVML; in the windows of drift."""

from __future__ import annotations

import http.server
import os
import subprocess
import sys
import threading
from types import SimpleNamespace

import psutil
import pytest
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from detectors.score_names import RESOURCES
from monitor.checkpoint import ResourceSample
from monitor.config import ConfigError, parse_config
from monitor.metrics import Metrics
from monitor.resources.build import build_sources
from monitor.resources.collector import Collector, Source
from monitor.resources.gpu import GpuProbe
from monitor.resources.probe import ProbeUnavailable, Rates
from monitor.resources.process import ProcessProbe, by_cgroup, by_name, by_pid, by_pid_file
from monitor.resources.scrape import Page, ScrapeProbe
from monitor.resources.servers import SERVERS, table_of
from monitor.store import StoreUnavailable, open_store
from tests.replayed import START, open_replay, replay_events, scores_of


def test_counters_become_rates_and_a_counter_that_begins_anew_says_nothing():
    rates = Rates()
    assert rates.rate("a", 10, 1.0) is None
    assert rates.rate("a", 16, 4.0) == 2.0
    assert rates.rate("a", 1, 5.0) is None
    assert rates.rate("a", 3, 6.0) == 2.0


def test_a_process_and_its_children_are_measured_as_psutil_measures_them(tmp_path):
    code = "import os, time\nfs = [open(os.devnull) for _ in range(25)]\nprint('up', flush=True)\ntime.sleep(60)"
    child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    try:
        assert child.stdout is not None and child.stdout.readline() == b"up\n"
        (tmp_path / "server.pid").write_text(f"{child.pid}\n")
        probes = [ProcessProbe(by_pid(child.pid), "p"), ProcessProbe(by_pid_file(tmp_path / "server.pid"), "f")]
        for probe in probes:
            first = probe.sample(100.0)
            assert first["memory_bytes"] == pytest.approx(psutil.Process(child.pid).memory_info().rss, rel=0.1)
            assert first["open_files"] >= 25 and "cpu_cores" not in first
            second = probe.sample(101.0)
            assert 0 <= second["cpu_cores"] < 0.5 and second["network_receive_bytes_per_s"] >= 0
        ours = ProcessProbe(by_pid(os.getpid()), "us").sample(1.0)  # we are its parent
        assert ours["memory_bytes"] > probes[0].sample(102.0)["memory_bytes"]
        named = by_name(psutil.Process(child.pid).name())()
        assert child.pid in [p.pid for p in named]
    finally:
        child.kill()
        child.wait()
    with pytest.raises(ProbeUnavailable, match="no such process"):
        probes[0].sample(103.0)


def test_cpu_is_counted_in_cores():
    probe = ProcessProbe(by_pid(os.getpid()), "us")
    first = sum(os.times()[:2])
    probe.sample(0.0)
    before = sum(os.times()[:2])
    while sum(os.times()[:2]) - before < 0.3:
        sum(range(10_000))
    within = sum(os.times()[:2]) - before
    seconds = probe.sample(1.0)["cpu_cores"]  # as if a second had passed
    around = sum(os.times()[:2]) - first
    assert within - 0.03 <= seconds <= around + 0.03


def test_a_cgroup_is_read_from_its_files(tmp_path):
    (tmp_path / "below").mkdir()
    (tmp_path / "cgroup.procs").write_text("")
    (tmp_path / "below" / "cgroup.procs").write_text(f"{os.getpid()}\n999999999\n")
    assert [p.pid for p in by_cgroup(str(tmp_path))()] == [os.getpid()]
    with pytest.raises(ProbeUnavailable, match="nowhere"):
        ProcessProbe(by_cgroup(str(tmp_path / "nowhere")), "cgroup").sample(1.0)


class StandInNvml:
    """The functions of pynvml that the probe calls, as NVIDIA documents them: no GPU is in this machine."""

    NVML_TEMPERATURE_GPU = 0

    class NVMLError(Exception):
        pass

    def __init__(self, driver=True, power=True):
        self.driver, self.power = driver, power

    def nvmlInit(self):
        if not self.driver:
            raise self.NVMLError("NVML Shared Library Not Found")

    def nvmlDeviceGetHandleByIndex(self, index):
        if index > 0:
            raise self.NVMLError("Invalid Argument")
        return index

    def nvmlDeviceGetUtilizationRates(self, handle):
        return SimpleNamespace(gpu=37, memory=12)

    def nvmlDeviceGetMemoryInfo(self, handle):
        return SimpleNamespace(total=80 << 30, free=60 << 30, used=20 << 30)

    def nvmlDeviceGetPowerUsage(self, handle):
        if not self.power:
            raise self.NVMLError("Not Supported")
        return 250_500

    def nvmlDeviceGetTemperature(self, handle, kind):
        return 61


def test_a_gpu_by_nvml_and_what_it_does_not_know_is_left_out():
    assert GpuProbe(0, StandInNvml).sample(1.0) == {
        "gpu_utilization": 0.37, "gpu_memory_bytes": float(20 << 30), "gpu_power_watts": 250.5, "gpu_temperature_celsius": 61.0,
    }  # fmt: skip
    assert "gpu_power_watts" not in GpuProbe(0, lambda: StandInNvml(power=False)).sample(1.0)


def test_no_gpu_is_a_clear_message():
    with pytest.raises(ProbeUnavailable, match="is there an NVIDIA driver"):
        GpuProbe(0, lambda: StandInNvml(driver=False)).sample(1.0)
    with pytest.raises(ProbeUnavailable, match="GPU 3"):
        GpuProbe(3, StandInNvml).sample(1.0)


def test_the_real_library_says_clearly_that_there_is_no_gpu():
    pynvml = pytest.importorskip("pynvml") if not os.environ.get("CI") else __import__("pynvml")
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        with pytest.raises(ProbeUnavailable, match="GPU 0"):
            GpuProbe(0).sample(1.0)
    else:
        assert 0 <= GpuProbe(0).sample(1.0)["gpu_utilization"] <= 1


TRITON = """# HELP nv_inference_request_success Number of successful inference requests, all batch sizes
# TYPE nv_inference_request_success counter
nv_inference_request_success{model="credit",version="1"} %d
nv_inference_request_success{model="other",version="1"} 7
# TYPE nv_inference_request_duration_us counter
nv_inference_request_duration_us{model="credit",version="1"} %d
# TYPE nv_inference_queue_duration_us counter
nv_inference_queue_duration_us{model="credit",version="1"} %d
# TYPE nv_gpu_utilization gauge
nv_gpu_utilization{gpu_uuid="GPU-1"} 0.5
nv_gpu_utilization{gpu_uuid="GPU-2"} 0.7
"""


def test_tritons_page_is_read_for_one_model():
    pages = iter([TRITON % (100, 1_000_000, 50_000), TRITON % (150, 1_900_000, 150_000)])
    probe = ScrapeProbe(lambda: next(pages), table_of("triton"), {"model": "credit"}, "triton")
    assert probe.sample(10.0) == {"gpu_utilization": pytest.approx(0.6)}
    assert probe.sample(20.0) == {
        "server_requests_per_s": 5.0, "server_request_ms": 18.0, "server_queue_ms": 2.0, "gpu_utilization": pytest.approx(0.6),
    }  # fmt: skip


@pytest.mark.parametrize("labels", [{"modl": "credit"}, {"model": "credit", "pod": "a"}])
def test_a_label_that_no_metric_has_is_said_and_not_taken_for_the_whole_server(labels):
    with pytest.raises(ProbeUnavailable, match="with labels"):
        ScrapeProbe(lambda: TRITON % (1, 2, 3), table_of("triton"), labels, "triton").sample(1.0)


PAGES = {
    "torchserve": 'ts_inference_requests_total{model="m"} %d\nts_inference_latency_microseconds{model="m"} %d000\nGPUUtilization{DeviceId="0"} 40.0\nMemoryUsed{Level="Host"} 2.0\n',
    "tfserving": ':tensorflow:serving:request_count{status="OK"} %d\n:tensorflow:serving:request_count{status="INVALID_ARGUMENT"} %d\n:tensorflow:serving:request_latency_sum{API="predict"} %d000\n:tensorflow:serving:request_latency_count{API="predict"} %d\n',
    "kserve": '# TYPE request_predict_seconds histogram\nrequest_predict_seconds_bucket{model_name="credit",le="+Inf"} %d\nrequest_predict_seconds_count{model_name="credit"} %d\nrequest_predict_seconds_sum{model_name="credit"} %d\nrequest_predict_seconds_count{model_name="other"} 7\nrequest_predict_seconds_sum{model_name="other"} 9\n',
    "dcgm": 'DCGM_FI_DEV_GPU_UTIL{gpu="0"} 40\nDCGM_FI_DEV_FB_USED{gpu="0"} 2\nDCGM_FI_DEV_GPU_TEMP{gpu="0"} %d\n# %d\n',
    "cadvisor": 'container_cpu_usage_seconds_total{pod="a",cpu="0"} %d\ncontainer_cpu_usage_seconds_total{pod="b",cpu="0"} %d00\ncontainer_memory_working_set_bytes{pod="a"} 5\n',
}


@pytest.mark.parametrize(
    ("server", "labels", "expected"),
    [
        ("torchserve", {}, {"server_requests_per_s": 10.0, "server_request_ms": 1.0, "gpu_utilization": 0.4, "memory_bytes": 2.0 * 2**20}),
        ("tfserving", {}, {"server_requests_per_s": 20.0, "server_failures_per_s": 10.0, "server_request_ms": 1.0}),
        ("kserve", {"model_name": "credit"}, {"server_requests_per_s": 10.0, "server_compute_ms": 1000.0}),
        ("dcgm", {}, {"gpu_utilization": 0.4, "gpu_memory_bytes": 2.0 * 2**20, "gpu_temperature_celsius": 20.0}),
        ("cadvisor", {"pod": "a"}, {"cpu_cores": 10.0, "memory_bytes": 5.0}),
    ],
)  # fmt: skip
def test_pages_of_the_other_servers(server, labels, expected):
    text = PAGES[server]
    pages = iter([text % ((n,) * text.count("%d")) for n in (10, 20)])
    probe = ScrapeProbe(lambda: next(pages), table_of(server), labels, server)
    probe.sample(1.0)
    assert probe.sample(2.0) == pytest.approx(expected)


def test_a_server_without_failures_has_none_and_one_that_does_not_tell_them_apart_says_nothing():
    for label, expected in (('{status="OK"}', {"server_requests_per_s": 10.0, "server_failures_per_s": 0.0}),
                            ("", {"server_requests_per_s": 10.0})):  # fmt: skip
        pages = iter([f":tensorflow:serving:request_count{label} {n}\n" for n in (10, 20)])
        probe = ScrapeProbe(lambda pages=pages: next(pages), table_of("tfserving"), {}, "tfserving")
        probe.sample(1.0)
        assert probe.sample(2.0) == expected


def test_what_cadvisor_says_of_a_pod_and_of_its_containers_counts_once():
    pod = 'namespace="ml",pod="credit-0"'
    page = f"""# TYPE container_cpu_usage_seconds_total counter
container_cpu_usage_seconds_total{{container="",cpu="total",{pod}}} %d
container_cpu_usage_seconds_total{{container="POD",cpu="total",{pod}}} 0
container_cpu_usage_seconds_total{{container="model",cpu="total",{pod}}} %d
# TYPE container_memory_working_set_bytes gauge
container_memory_working_set_bytes{{container="",{pod}}} 1010
container_memory_working_set_bytes{{container="POD",{pod}}} 10
container_memory_working_set_bytes{{container="model",{pod}}} 900
container_memory_working_set_bytes{{container="sidecar",{pod}}} 100
# TYPE container_network_receive_bytes_total counter
container_network_receive_bytes_total{{container="",interface="eth0",{pod}}} %d00
container_network_receive_bytes_total{{container="POD",interface="eth0",{pod}}} %d00
"""
    pages = iter([page % ((n,) * 4) for n in (10, 11)])
    probe = ScrapeProbe(lambda: next(pages), table_of("cadvisor"), {"pod": "credit-0"}, "cadvisor", of_containers=True)
    assert probe.sample(1.0) == {"memory_bytes": 1000.0}
    assert probe.sample(2.0) == {"memory_bytes": 1000.0, "cpu_cores": 1.0, "network_receive_bytes_per_s": 100.0}


def test_every_reading_is_a_documented_score():
    assert {name for server in SERVERS for name in table_of(server)} <= set(RESOURCES)


class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        status, body = self.server.answer  # type: ignore[attr-defined]
        self.send_response(status)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


@pytest.fixture
def server():
    made = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    thread = threading.Thread(target=made.serve_forever, daemon=True)
    thread.start()
    yield made
    made.shutdown()
    made.server_close()


def test_a_page_that_prometheus_client_wrote_is_read_over_http(server):
    registry = CollectorRegistry()
    seconds = Histogram("request_predict_seconds", "d", registry=registry)
    Counter("process_cpu_seconds", "d", registry=registry).inc(3)
    Gauge("process_open_fds", "d", registry=registry).set(42)
    page = Page(f"http://127.0.0.1:{server.server_port}/metrics")
    probe = ScrapeProbe(page.fetch, table_of("kserve"), {}, page.url)
    server.answer = 200, generate_latest(registry)
    assert probe.sample(1.0) == {"open_files": 42.0}
    for _ in range(4):
        seconds.observe(0.25)
    server.answer = 200, generate_latest(registry)
    assert probe.sample(3.0) == {"open_files": 42.0, "cpu_cores": 0.0, "server_requests_per_s": 2.0, "server_compute_ms": 250.0}


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ((302, b""), "redirects are not followed"),
        ((200, b"<html>no page</html>"), "no Prometheus page"),
        ((200, b"up 1\n"), "is on the page"),
    ],
)
def test_a_page_that_is_none_is_a_clear_message(server, answer, words):
    server.answer = answer
    page = Page(f"http://127.0.0.1:{server.server_port}/metrics")
    with pytest.raises(ProbeUnavailable, match=words):
        ScrapeProbe(page.fetch, table_of("triton"), {}, page.url).sample(1.0)


def test_only_loopback_is_asked_without_permission():
    def fetch(url, ip, **more):
        return Page(url, 0.2, resolve=lambda host, port: [ip], **more).fetch()

    with pytest.raises(ProbeUnavailable, match="not a public address: set allow_private"):
        fetch("https://metrics.internal/metrics", "10.0.0.7")
    with pytest.raises(ProbeUnavailable, match="not encrypted"):
        fetch("http://metrics.example/metrics", "93.184.216.34")
    with pytest.raises(ProbeUnavailable, match="user or password"):
        fetch("http://me:pw@localhost/metrics", "127.0.0.1")
    with pytest.raises(ProbeUnavailable, match="Error"):
        fetch("http://127.0.0.1:1/metrics", "127.0.0.1")


class Told:
    def __init__(self, *answers):
        self.answers = list(answers)

    def sample(self, now_s):
        answer = self.answers.pop(0)
        if isinstance(answer, str):
            raise ProbeUnavailable(answer)
        return answer


def test_the_collector_says_once_that_a_source_is_away_and_loses_nothing_else(caplog):
    now = [0.0]
    written: list[ResourceSample] = []
    sources = [Source("m", "a", Told("away", "away", {"x": 1.0}), 10.0), Source("m", "b", Told({"y": 2.0}, {}, {"y": 3.0}), 10.0)]
    metrics = Metrics()
    collector = Collector(sources, written.extend, lambda: int(now[0] * 1000), lambda: now[0], metrics.set_resource)
    seen = []
    with caplog.at_level("INFO", "driftd.resources"):
        for at in (0.0, 5.0, 10.0, 20.0):
            now[0] = at
            collector.turn()
            page = metrics.render()[0].decode()
            seen += [
                [
                    f'driftd_resource_reachable{{model="m",resource="{name}"}} {up}' in page
                    for name, up in (("a", "0.0"), ("b", "1.0"))
                ]
            ]
    assert seen == [[True, True], [True, True], [True, True], [False, True]]
    assert [(s.source, s.ts_ms) for s in written if not s.trouble] == [("b", 0), ("a", 20_000), ("b", 20_000)]
    assert [(s.source, s.ts_ms, s.trouble) for s in written if not s.values] == [("a", 0, "away"), ("a", 10_000, "away")]
    assert [r.getMessage() for r in caplog.records] == ["resource_unavailable", "resource_answers"]


def test_a_store_that_is_away_costs_samples_and_nothing_else():
    def away(samples):
        raise StoreUnavailable("away")

    Collector([Source("m", "a", Told({"x": 1.0}), 1.0)], away, lambda: 1, lambda: 0.0).turn()


def test_a_probe_that_breaks_is_a_source_that_cannot_be_asked():
    written: list[ResourceSample] = []
    Collector(
        [Source("m", "a", Told(), 1.0), Source("m", "b", Told({"x": 1.0}), 1.0)], written.extend, lambda: 1, lambda: 0.0
    ).turn()
    assert [(s.source, s.trouble) for s in written] == [("a", "IndexError: pop from empty list"), ("b", "")]


MODEL = """
models:
  - name: credit
    features: {income: numeric}
    window: {size: 1m, allowed_lateness: 0s}
    min_rows: 20
    reference: {first_windows: 2}
    thresholds: {psi: {breach: 0.25}, latency_p95_ms: {breach: 50}, memory_bytes_max: {breach: 900}}
    resources: [{name: server, type: process, pid: 1}]
"""

QUESTION = """
SELECT d.window_start_ms, d.value AS psi, l.value AS latency, r.value AS cores
FROM score d
JOIN score l USING (model, window_start_ms)
JOIN score r USING (model, window_start_ms)
WHERE d.subject = 'income' AND d.score = 'psi' AND d.level = 'breach'
  AND l.subject = 'latency' AND l.score = 'latency_p95_ms' AND l.version = d.version AND l.segment = d.segment
  AND r.subject = 'resource:server' AND r.score = 'cpu_cores'
ORDER BY d.window_start_ms
"""


def test_latency_rose_when_a_feature_drifted_is_one_query(tmp_path):
    from sqlalchemy import text

    cfg, store = open_replay(tmp_path, MODEL)
    events = [
        {"event_id": f"e{i}", "ts": START + i * 500, "model": "credit", "latency_ms": 80 if i >= 480 else 10,
         "features": {"income": (i * 37 % 100) + (1000 if i >= 480 else 0)}}
        for i in range(600)
    ]  # fmt: skip
    samples = [
        ResourceSample("credit", "server", START + s * 1000, {"cpu_cores": 3.5 if s >= 240 else 0.5, "memory_bytes": float(s)})
        for s in range(0, 300, 10)
    ]
    store.add_resource_samples(samples)
    store.add_resource_samples(samples[:3])  # the same ones again
    replay_events(cfg, store, tmp_path, events)
    assert [dict(r) for r in store.rows(text(QUESTION))] == [
        {
            "window_start_ms": START + 240_000,
            "psi": pytest.approx(store_psi(store)),
            "latency": pytest.approx(80, rel=0.02),
            "cores": 3.5,
        }
    ]
    rows = store.rows(
        text("SELECT * FROM score WHERE subject = 'resource:server' AND score = 'memory_bytes_max' ORDER BY window_start_ms")
    )
    assert [(r["value"], r["rows"], r["level"]) for r in rows] == [(50.0 + 60 * i, 6, "ok") for i in range(5)]
    store.close()


def store_psi(store):
    from sqlalchemy import text

    return store.rows(text("SELECT max(value) AS v FROM score WHERE subject = 'income' AND score = 'psi'"))[0]["v"]


def test_a_source_that_never_answered_is_unsure_in_its_windows_and_says_why(tmp_path):
    cfg, store = open_replay(tmp_path, MODEL)
    events = [{"event_id": f"e{i}", "ts": START + i * 500, "model": "credit", "features": {"income": i}} for i in range(480)]
    dead = Collector([Source("credit", "server", ProcessProbe(by_pid(2**22 + 1), "pid 1"), 10.0)], store.add_resource_samples,
                     lambda: START + 70_000, lambda: 0.0)  # fmt: skip
    dead.turn()  # in the second window; the third one has an answer after a refusal
    store.add_resource_samples([ResourceSample("credit", "server", START + 120_000, {}, "away"),
                                ResourceSample("credit", "server", START + 130_000, {"cpu_cores": 1.0})])  # fmt: skip
    replay_events(cfg, store, tmp_path, events)
    found = {key[0]: row for key, row in scores_of(store).items() if key[2:] == ("resource:server", "samples")}
    assert sorted(found) == [0, 1, 3]
    assert {(row["value"], row["level"], row["rows"], row["version"]) for row in found.values()} == {(None, "unsure", 0, "")}
    assert found[1]["evidence"]["reason"].startswith("it could not be asked: pid 1: no such process")
    assert found[1]["evidence"]["asked in vain"] == 1 and "no driftd asked it" in found[0]["evidence"]["reason"]
    store.close()


def test_samples_are_kept_as_long_as_panes(store_url):
    store = open_store(store_url)
    store.migrate()
    store.add_resource_samples([ResourceSample("m", "s", t, {"cpu_cores": 1.0}) for t in (1_000, 900_000_000)])
    removed = store.retire(1_000_000_000, panes_ms=200_000_000, windows_ms=10**12, dead_letters_ms=10**12)
    assert removed["resource_sample"] == 1
    with store.publishing("m") as tx:
        assert [s.ts_ms for s in tx.resource_samples(0, 10**12)] == [900_000_000]
    store.close()


def test_the_config_builds_a_probe_each_and_explains_mistakes():
    text = """
models:
  - name: m
    resources:
      - {name: self, type: process, cgroup: self, every: 5s}
      - {name: gpu, type: gpu, index: 1}
      - {name: triton, type: prometheus, server: triton, url: "http://127.0.0.1:8002/metrics", labels: {model: m}}
"""
    sources = build_sources(parse_config(text, "c"))
    assert [(s.name, s.every_s, type(s.probe)) for s in sources] == [
        ("self", 5.0, ProcessProbe), ("gpu", 10.0, GpuProbe), ("triton", 10.0, ScrapeProbe)
    ]  # fmt: skip
    for wrong, words in (
        ("{name: a, type: process}", "one of pid, pid_file"),
        ("{name: a, type: process, pid: 1, process: x}", "one of pid, pid_file"),
        ("{name: a, type: prometheus}", "needs url"),
        ("{name: a, type: prometheus, url: 'ftp://x'}", "not allowed"),
        ("{name: a, type: prometheus, url: 'http://x', server: tritn}", "did you mean 'triton'"),
        ("{name: a, type: gpu, every: 1ms}", "greater than or equal to 1000"),
        ("{name: a, type: gpu}, {name: a, type: gpu}", "one name"),
    ):
        with pytest.raises(ConfigError, match=words):
            parse_config(f"models: [{{name: m, resources: [{wrong}]}}]", "c")
